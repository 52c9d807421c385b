//! The views as the applying thread sees them: the groups that are not written yet, over the rows
//! that were read or written last, over the store.
//!
//! It is the only one that changes them, so what it remembers is what is, or will be, in the store.
//! How much it remembers is bounded, see `memo`.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use prost::bytes::Bytes;

use super::memo::Memo;
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
    memo: Memo,
    /// What is on its way to the store, in order.
    pending: VecDeque<Arc<Group>>,
}

impl Cached {
    /// Nothing remembered yet; at most twice so many units.
    #[must_use]
    pub fn new(store: Arc<Store>, units: usize) -> Self {
        Self {
            store,
            memo: Memo::new(units, ROWS),
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
        let missing: BTreeSet<UnitId> = self.memo.with::<Units, _>(|table| {
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
        self.memo.with::<Units, _>(|table| {
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
}

/// Whether rows of the table come back soon enough to be remembered.
fn remembered<T: Table>() -> bool {
    TypeId::of::<T>() != TypeId::of::<Findings>()
}

impl Read for Cached {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        let cached = remembered::<T>();
        if cached && let Some(row) = self.memo.with::<T, _>(|table| table.get(key).cloned()) {
            return Ok(row);
        }
        if let Some(row) = self.unwritten::<T>(key) {
            return Ok(Some(row.clone()));
        }
        let row = self.store.get::<T>(key)?;
        if !cached {
            return Ok(row);
        }
        self.memo
            .with::<T, _>(|table| table.put(key.clone(), row.clone()));
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
        self.0.memo.with::<T, _>(|table| {
            for (key, value) in values {
                table.put(key.clone(), Some(value.clone()));
            }
        });
    }
}
