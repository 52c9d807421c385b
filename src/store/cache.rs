//! The rows of the views that the committing thread read or wrote last, decoded.
//!
//! It is the only writer, so what it remembers is what is in the store: after each commit the
//! changes are laid over. Each table remembers so many rows at most, in two generations: when the
//! young one is full it becomes the old one, and what was in the old one and not asked for since is
//! forgotten.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};

use super::{Store, StoreError};
use crate::core::apply::state::{
    Changes, Findings, HistoryRow, Read, ReadError, Records, Table, Units, Visitor,
};
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
}

impl Cached {
    /// Nothing remembered yet; at most twice so many units.
    #[must_use]
    pub fn new(store: Arc<Store>, units: usize) -> Self {
        Self {
            store,
            units: units.max(1),
            tables: RefCell::default(),
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
                .collect::<BTreeSet<_>>()
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

    /// Lays over what was committed.
    pub fn absorb(&self, changes: &Changes) {
        changes.visit(&mut Absorb(self));
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
    !is::<T, Records>() && !is::<T, Findings>()
}

impl Read for Cached {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        if !remembered::<T>() {
            return self.store.get::<T>(key);
        }
        if let Some(row) = self.with::<T, _>(|table| table.get(key).cloned()) {
            return Ok(row);
        }
        let row = self.store.get::<T>(key)?;
        self.with::<T, _>(|table| table.put(key.clone(), row.clone()));
        Ok(row)
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        self.store.history(unit, index)
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
