//! Views with changes over them.

use std::sync::Arc;

use super::state::{Changes, HistoryRow, Read, ReadError, Table, Unit, Units};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::tlog::LogIndex;

/// Views with the changes of one record over them.
#[derive(Debug)]
pub struct Overlay<R> {
    base: R,
    changes: Changes,
}

impl<R: Read> Overlay<R> {
    /// No changes yet.
    pub fn new(base: R) -> Self {
        Self {
            base,
            changes: Changes::default(),
        }
    }

    /// The value that the changes give a row, if they do.
    pub(super) fn changed<T: Table>(&self, key: &T::Key) -> Option<&T::Value> {
        T::of(&self.changes).get(key)
    }

    /// New value of a row.
    pub fn put<T: Table>(&mut self, key: T::Key, value: T::Value) {
        T::of_mut(&mut self.changes).insert(key, value);
    }

    /// Makes room for so many more values in a table that has one.
    pub(super) fn reserve<T: Table>(&mut self, more: usize) {
        T::of_mut(&mut self.changes).reserve(more);
    }

    /// Remembers what an entry does to a unit, and that it is the last that touched it.
    pub fn put_history(&mut self, id: UnitId, unit: &mut Unit, index: LogIndex, row: HistoryRow) {
        if unit.touched == Some(index) {
            return; // One entry does one thing to a unit; what it did first is what counts.
        }
        let before = unit.touched.replace(index);
        unit.besides += u64::from(!row.joined);
        let row = HistoryRow { before, ..row };
        self.changes.history.push(index, id, row);
    }

    /// Remembers that the entry does to a unit what it did to the last one, which was in the same state.
    pub(super) fn put_alike(&mut self, id: UnitId, unit: Arc<Unit>, index: LogIndex) {
        self.changes.history.push_alike(index, id);
        self.put::<Units>(id, unit);
    }

    /// Remembers where a record is.
    pub fn put_record(&mut self, record: RecordId, index: LogIndex) {
        self.changes.records.insert(record, index);
    }

    /// The changes.
    pub fn into_changes(mut self) -> Changes {
        self.changes.history.sort();
        self.changes
    }
}

impl<R: Read> Read for Overlay<R> {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        match self.changed::<T>(key) {
            Some(value) => Ok(Some(value.clone())),
            None => self.base.get::<T>(key),
        }
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        match self.changes.history.get(index, unit) {
            Some(row) => Ok(Some(*row)),
            None => self.base.history(unit, index),
        }
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        match self.changes.records.get(record) {
            Some(index) => Ok(Some(*index)),
            None => self.base.entry_of(record),
        }
    }
}

/// Views in memory, of a log that is short.
impl Read for Changes {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        Ok(T::of(self).get(key).cloned())
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        Ok(self.history.get(index, unit).copied())
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        Ok(self.records.get(record).copied())
    }
}
