//! The views as the applying thread sees them: the rows that were read or changed last, over the group that
//! is under way and those that are not written yet, over the store.
//!
//! It is the only one that changes them, so what it remembers is what is, or will be, in the store.
//! How much it remembers is bounded, see `memo`; what is forgotten before it is written is found in its group.

use std::collections::VecDeque;
use std::sync::Arc;

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
    /// Turns of the memory for units when it began.
    began: u64,
    /// What is on its way to the store, in order, with the turns when each began.
    pending: VecDeque<(u64, Arc<Group>)>,
}

impl Cached {
    /// Nothing remembered yet; at most twice so many units.
    #[must_use]
    pub fn new(store: Arc<Store>, units: usize) -> Self {
        Self {
            store,
            memo: Memo::new(units, ROWS),
            current: Changes::default(),
            began: 0,
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
        let mut missing: Vec<UnitId> = self.memo.with::<Units, _>(|table| {
            let may_be_unwritten = self.has_forgotten(table.turns());
            units
                .filter(|unit| !table.knows(unit))
                .filter(|unit| !may_be_unwritten || self.unwritten::<Units>(unit).is_none())
                .collect()
        });
        missing.sort_unstable();
        missing.dedup();
        if missing.len() < 2 {
            return Ok(());
        }
        let rows = self.store.multi_get::<Units>(&missing)?;
        self.memo.with::<Units, _>(|table| {
            for (unit, row) in missing.into_iter().zip(rows) {
                table.put_new(unit, row);
            }
        });
        Ok(())
    }

    /// Whether rows of units that are not in the store yet may be forgotten, after so many turns of the memory.
    fn has_forgotten(&self, turns: u64) -> bool {
        let oldest = self.pending.front().map_or(self.began, |(began, _)| *began);
        turns >= oldest + 2
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
        let turns = self.memo.with::<Units, _>(|table| table.turns());
        let began = std::mem::replace(&mut self.began, turns);
        self.pending.push_back((began, Arc::clone(group)));
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
        let pending = self.pending.iter().rev().map(|(_, group)| &group.changes);
        let mut newest_first = std::iter::once(&self.current).chain(pending);
        newest_first.find_map(|changes| T::of(changes).get(key))
    }

    /// The bytes of an entry, written or not.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn entry(&self, index: LogIndex) -> Result<Option<Bytes>, StoreError> {
        let unwritten = self.pending.iter().find_map(|(_, group)| {
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
        let pending = self.pending.iter().map(|(_, group)| &group.changes);
        let mut unwritten = pending.chain(std::iter::once(&self.current));
        match unwritten.find_map(|changes| changes.history.get(index, unit)) {
            Some(row) => Ok(Some(*row)),
            None => self.store.history(unit, index),
        }
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        let pending = self.pending.iter().map(|(_, group)| &group.changes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::apply::state::Unit;
    use crate::store::StoreOptions;

    #[test]
    fn given_rows_that_are_not_written_and_forgotten_when_read_at_once_then_they_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("store"), &StoreOptions::default()).unwrap();
        let head = store.head().unwrap();
        let mut views = Cached::new(Arc::new(store), 2);
        let item = |n: u64| format!("01/10614141123459/21/{n}").parse().unwrap();
        let make = |n: u64| {
            let mut changes = Changes::default();
            let length = n + 1;
            let unit = Unit {
                length,
                ..Unit::default()
            };
            changes.units.insert(item(n), Arc::new(unit));
            changes
        };
        // Some in a group on its way, some in the one that is under way.
        (0..6).for_each(|n| views.merge(make(n)));
        let group = Group {
            id: None,
            first: LogIndex(0),
            entries: Vec::new(),
            tiles: Vec::new(),
            changes: views.take_changes(),
            head,
        };
        views.absorb(&Arc::new(group));
        (6..12).for_each(|n| views.merge(make(n)));
        // With units of which nobody has heard.
        views.prefetch((0..14).map(item)).unwrap();
        for n in 0..14 {
            let unit = views.get::<Units>(&item(n)).unwrap();
            let length = unit.map(|unit| unit.length);
            assert_eq!(length, (n < 12).then_some(n + 1), "{n}");
        }
    }
}
