//! The views as the applying thread sees them: the groups that are not written yet, over the rows
//! that were read or written last, over the store.
//!
//! It is the only one that changes them, so what it remembers is what is, or will be, in the store.
//! Each table remembers so many decoded rows at most, in two generations: when the young one is full
//! it becomes the old one, and what was in the old one and not asked for since is forgotten.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use prost::bytes::Bytes;

use super::{Group, Store, StoreError};
use crate::core::apply::state::{Findings, HistoryRow, Read, ReadError, Table, Units, Visitor};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::tlog::LogIndex;

/// Rows that each table but that of the units remembers in a generation.
const ROWS: usize = 1 << 14;

/// A store with the rows that were used last at hand.
pub struct Cached {
    store: Arc<Store>,
    /// Units that a generation remembers.
    units: usize,
    tables: RefCell<HashMap<TypeId, Box<dyn Any + Send>>>,
    /// What is on its way to the store, in order.
    pending: VecDeque<Arc<Group>>,
}

impl Cached {
    /// Nothing remembered yet; at most twice so many units.
    #[must_use]
    pub fn new(store: Arc<Store>, units: usize) -> Self {
        Self {
            store,
            units: units.max(1),
            tables: RefCell::default(),
            pending: VecDeque::new(),
        }
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Reads the units that are not remembered, all at once.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read.
    pub fn prefetch(&self, units: impl Iterator<Item = UnitId>) -> Result<(), StoreError> {
        let missing: BTreeSet<UnitId> = self.with::<Units, _>(|table| {
            units
                .filter(|unit| table.get(unit).is_none())
                .filter(|unit| self.unwritten::<Units>(unit).is_none())
                .collect()
        });
        if missing.len() < 2 {
            return Ok(());
        }
        let missing: Vec<UnitId> = missing.into_iter().collect();
        let rows = self.store.multi_get::<Units>(&missing)?;
        self.with::<Units, _>(|table| {
            for (unit, row) in missing.into_iter().zip(rows) {
                table.put(unit, row);
            }
        });
        Ok(())
    }

    /// Lays over what will be written next.
    pub fn absorb(&mut self, group: &Arc<Group>) {
        group.changes.visit(&mut Absorb(self));
        self.pending.push_back(Arc::clone(group));
    }

    /// The oldest so many groups that were laid over are written.
    pub fn written(&mut self, groups: usize) {
        self.pending.drain(..groups.min(self.pending.len()));
    }

    /// How many groups are on their way.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    fn unwritten<T: Table>(&self, key: &T::Key) -> Option<&T::Value> {
        let mut newest_first = self.pending.iter().rev();
        newest_first.find_map(|group| T::of(&group.changes).get(key))
    }

    /// The bytes of an entry, written or not.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn entry(&self, index: LogIndex) -> Result<Option<Bytes>, StoreError> {
        let unwritten = self.pending.iter().find_map(|group| {
            let at = usize::try_from(index.0.checked_sub(group.first.0)?).ok()?;
            group.entries.get(at)
        });
        match unwritten {
            Some(entry) => Ok(Some(entry.clone())),
            None => self.store.entry(index),
        }
    }

    fn with<T: Table, A>(
        &self,
        act: impl FnOnce(&mut Generations<T::Key, Option<T::Value>>) -> A,
    ) -> A {
        let mut tables = self.tables.borrow_mut();
        let limit = if is::<T, Units>() { self.units } else { ROWS };
        let table = tables
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Box::new(Generations::<T::Key, Option<T::Value>>::new(limit)));
        match table.downcast_mut() {
            Some(table) => act(table),
            // Each type has its own table.
            None => act(&mut Generations::new(limit)),
        }
    }
}

fn is<T: 'static, U: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<U>()
}

/// Whether rows of the table come back soon enough to be remembered.
fn remembered<T: Table>() -> bool {
    !is::<T, Findings>()
}

impl Read for Cached {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        let cached = remembered::<T>();
        if cached && let Some(row) = self.with::<T, _>(|table| table.get(key).cloned()) {
            return Ok(row);
        }
        if let Some(row) = self.unwritten::<T>(key) {
            return Ok(Some(row.clone()));
        }
        let row = self.store.get::<T>(key)?;
        if !cached {
            return Ok(row);
        }
        self.with::<T, _>(|table| table.put(key.clone(), row.clone()));
        Ok(row)
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        let key = (index, *unit);
        let unwritten = self
            .pending
            .iter()
            .find_map(|group| group.changes.history.get(&key));
        match unwritten {
            Some(row) => Ok(Some(*row)),
            None => self.store.history(unit, index),
        }
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        let unwritten = self
            .pending
            .iter()
            .find_map(|group| group.changes.records.get(record));
        match unwritten {
            Some(index) => Ok(Some(*index)),
            None => self.store.entry_of(record),
        }
    }
}

struct Absorb<'a>(&'a Cached);

impl Visitor for Absorb<'_> {
    fn table<T: Table>(&mut self, values: &BTreeMap<T::Key, T::Value>) {
        if !remembered::<T>() || values.is_empty() {
            return;
        }
        self.0.with::<T, _>(|table| {
            for (key, value) in values {
                table.put(key.clone(), Some(value.clone()));
            }
        });
    }
}

/// A map that forgets what was not asked for in a while.
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    limit: usize,
}

impl<K: Hash + Eq + Clone, V> Generations<K, V> {
    fn new(limit: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            limit,
        }
    }

    fn get(&mut self, key: &K) -> Option<&V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.put(key, value);
        }
        self.young.get(key)
    }

    fn put(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.limit && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_a_full_map_when_more_comes_then_what_was_used_stays_and_the_rest_is_forgotten() {
        let mut map = Generations::new(4);
        for n in 0..4 {
            map.put(n, n);
        }
        map.put(4, 4);
        assert_eq!(map.get(&0), Some(&0), "used again");
        for n in 5..9 {
            map.put(n, n);
        }
        assert_eq!(map.get(&0), Some(&0));
        assert_eq!(map.get(&1), None);
        assert!(map.young.len() + map.old.len() <= 8);
    }

    #[test]
    fn given_an_old_value_when_it_is_put_anew_then_only_the_new_one_is_there() {
        let mut map = Generations::new(1);
        map.put(1, "old");
        map.put(2, "other");
        map.put(1, "new");
        assert_eq!(map.get(&1), Some(&"new"));
        assert!(!map.old.contains_key(&1));
    }
}
