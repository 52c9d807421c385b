//! The views as the applying thread sees them: the rows that were read or changed last, over the group that
//! is under way and those that are not written yet, over the store.
//!
//! It is the only one that changes them, so what it remembers is what is, or will be, in the store.
//! How much it remembers is bounded, see `memo`; what is forgotten before it is written is found in its group.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::{HashSet, HashSetExt as _};
use prost::bytes::Bytes;

use super::memo::Memo;
use super::{Group, Store, StoreError};
use crate::core::apply::state::{
    Changes, Findings, HistoryRow, Read, ReadError, Rows, Table, Units, Visitor,
};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::tlog::LogIndex;

/// Rows that each table but that of the units remembers in a generation.
const ROWS: usize = 1 << 14;

/// A store with the rows that were used last at hand.
pub struct Cached {
    store: Arc<Store>,
    memo: Memo,
    /// What the group that is under way has changed so far.
    current: Changes,
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
            current: Changes::default(),
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
        let mut seen = HashSet::new();
        let missing: Vec<UnitId> = self.memo.with::<Units, _>(|table| {
            units
                .filter(|unit| !table.knows(unit))
                .filter(|unit| self.unwritten::<Units>(unit).is_none())
                .filter(|unit| seen.insert(*unit))
                .collect()
        });
        if missing.len() < 2 {
            return Ok(());
        }
        let rows = self.store.multi_get::<Units>(&missing)?;
        self.memo.with::<Units, _>(|table| {
            for (unit, row) in missing.into_iter().zip(rows) {
                table.put(unit, row);
            }
        });
        Ok(())
    }

    /// Lays over what the next record of the group that is under way changes.
    pub fn merge(&mut self, changes: Changes) {
        changes.visit(&mut Remember(&self.memo));
        self.current.merge(changes);
    }

    /// What the group has changed, which is under way no more: it has to be [absorbed](Self::absorb) or written before
    /// anything is read.
    #[must_use]
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.current)
    }

    /// Lays over a group that will be written next, with the changes that were taken.
    pub fn absorb(&mut self, group: &Arc<Group>) {
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
        let pending = self.pending.iter().rev().map(|group| &group.changes);
        let mut newest_first = std::iter::once(&self.current).chain(pending);
        newest_first.find_map(|changes| T::of(changes).get(key))
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
const fn remembered<T: Table>() -> bool {
    T::NUMBER != Findings::NUMBER
}

impl Read for Cached {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        let cached = remembered::<T>();
        if cached && let Some(row) = self.memo.with::<T, _>(|table| table.get(key)) {
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
        let pending = self.pending.iter().map(|group| &group.changes);
        let mut unwritten = pending.chain(std::iter::once(&self.current));
        match unwritten.find_map(|changes| changes.history.get(index, unit)) {
            Some(row) => Ok(Some(*row)),
            None => self.store.history(unit, index),
        }
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        let pending = self.pending.iter().map(|group| &group.changes);
        let mut unwritten = pending.chain(std::iter::once(&self.current));
        match unwritten.find_map(|changes| changes.records.get(record)) {
            Some(index) => Ok(Some(*index)),
            None => self.store.entry_of(record),
        }
    }
}

struct Remember<'a>(&'a Memo);

impl Visitor for Remember<'_> {
    fn table<T: Table>(&mut self, values: &Rows<T::Key, T::Value>) {
        if remembered::<T>() {
            self.0.with::<T, _>(|table| {
                for (key, value) in values.iter() {
                    table.put(key.clone(), Some(value.clone()));
                }
            });
        }
    }
}
