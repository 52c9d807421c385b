//! A store as it was at one moment, for answers that are of one piece.

use rocksdb::{Direction, IteratorMode, ReadOptions};
use serde::de::DeserializeOwned;

use super::memo::Memo;
use super::options::META;
use super::side::Side;
use super::{LogHead, Store, StoreError, decode, io, row_of, visit_rows};
use crate::core::apply::state::{HistoryRow, Read, ReadError, Table};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::tlog::LogIndex;

/// A store at one moment. What was read once is remembered.
pub struct View<'a> {
    store: &'a Store,
    snapshot: rocksdb::Snapshot<'a>,
    memo: Memo,
}

/// Rows of a table that a view remembers in a generation.
const REMEMBERED: usize = 4096;

impl<'a> View<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            snapshot: store.db.snapshot(),
            memo: Memo::new(REMEMBERED, REMEMBERED),
        }
    }
}

impl View<'_> {
    /// Size and root of the log at that moment.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn head(&self) -> Result<LogHead, StoreError> {
        let bytes = self.snapshot.get_cf(self.store.family(META)?, b"log");
        let bytes = bytes.map_err(|error| io(&error))?;
        decode(&bytes.ok_or_else(|| StoreError::Corrupt("no log head".into()))?)
    }

    /// The store, for what never changes once written: entries and full tiles.
    #[must_use]
    pub const fn store(&self) -> &Store {
        self.store
    }

    /// Reads rows that will be asked for, all at once.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read.
    pub fn prefetch<T: Table>(&self, keys: &[T::Key]) -> Result<(), StoreError> {
        let mut at = ReadOptions::default();
        at.set_snapshot(&self.snapshot);
        let rows = self.store.multi_get_at::<T>(keys, &at)?;
        self.memo.with::<T, _>(|table| {
            for (key, row) in keys.iter().zip(rows) {
                table.put(key.clone(), row);
            }
        });
        Ok(())
    }

    /// Rows of a table whose key's bytes begin with a prefix, from a key on, until the visitor
    /// says stop.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read.
    pub fn scan_prefix<T: Table>(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: impl FnMut(&[u8], T::Value) -> bool,
    ) -> Result<(), StoreError> {
        let mode = IteratorMode::From(from.max(prefix), Direction::Forward);
        let rows = self.snapshot.iterator_cf(self.store.family(T::NAME)?, mode);
        visit_rows(rows, prefix, visit)
    }

    /// Rows beside the log whose keys begin with a prefix, as of the same moment.
    ///
    /// # Errors
    /// As [`View::scan_prefix`].
    pub fn side_scan<V: DeserializeOwned>(
        &self,
        side: Side,
        prefix: &[u8],
        from: &[u8],
        visit: impl FnMut(&[u8], V) -> bool,
    ) -> Result<(), StoreError> {
        let mode = IteratorMode::From(from.max(prefix), Direction::Forward);
        let family = self.store.family(side.family())?;
        visit_rows(self.snapshot.iterator_cf(family, mode), prefix, visit)
    }

    /// The same from a key back, that key included.
    ///
    /// # Errors
    /// As [`View::scan_prefix`].
    pub fn side_scan_back<V: DeserializeOwned>(
        &self,
        side: Side,
        prefix: &[u8],
        from: &[u8],
        visit: impl FnMut(&[u8], V) -> bool,
    ) -> Result<(), StoreError> {
        let mode = IteratorMode::From(from, Direction::Reverse);
        let family = self.store.family(side.family())?;
        visit_rows(self.snapshot.iterator_cf(family, mode), prefix, visit)
    }
}

impl Read for View<'_> {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        if let Some(row) = self.memo.with::<T, _>(|table| table.get(key)) {
            return Ok(row);
        }
        let row = self.store.family(T::NAME).and_then(|family| {
            self.snapshot
                .get_pinned_cf(family, T::key_bytes(key))
                .map_err(|error| io(&error))
        });
        let row = row_of::<T>(row)?;
        self.memo
            .with::<T, _>(|table| table.put(key.clone(), row.clone()));
        Ok(row)
    }

    /// Rows of history never change, so they are read past the snapshot.
    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        self.store.history(unit, index)
    }

    /// Where a record is never changes either; it may lie behind the snapshot.
    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        self.store.entry_of(record)
    }
}
