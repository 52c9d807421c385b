//! Reading entries, and what they did to units, out of the chunks in which they lie.

use prost::bytes::Bytes;
use rocksdb::{DBRawIterator, ReadOptions};

use super::chunk::{self, Chunk, Rows};
use super::options::ENTRIES;
use super::{Store, StoreError, io};
use crate::core::apply::state::HistoryRow;
use crate::core::id::UnitId;
use crate::core::tlog::LogIndex;

/// An entry and its rows, as they lie in a chunk.
pub(super) type Parts<'a> = (&'a [u8], &'a [u8]);

/// Reads entries and what they did to units.
pub struct EntryReader<'a> {
    chunks: DBRawIterator<'a>,
}

impl<'a> EntryReader<'a> {
    pub(super) fn new(store: &'a Store, options: ReadOptions) -> Result<Self, StoreError> {
        let family = store.family(ENTRIES)?;
        Ok(Self {
            chunks: store.db.raw_iterator_cf_opt(family, options),
        })
    }
}

impl EntryReader<'_> {
    /// The bytes of an entry, or none where there is no such entry.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn entry(&mut self, index: LogIndex) -> Result<Option<Bytes>, StoreError> {
        let parts = self.parts(index)?;
        Ok(parts.map(|(entry, _)| Bytes::copy_from_slice(entry)))
    }

    /// An entry, and all that it did to units.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn entry_and_rows(
        &mut self,
        index: LogIndex,
    ) -> Result<Option<(Bytes, Rows<'_>)>, StoreError> {
        let parts = self.parts(index)?;
        Ok(parts.map(|(entry, rows)| (Bytes::copy_from_slice(entry), Rows::new(rows))))
    }

    /// What an entry did to a unit.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn row(
        &mut self,
        unit: &UnitId,
        index: LogIndex,
    ) -> Result<Option<HistoryRow>, StoreError> {
        match self.parts(index)? {
            Some((_, rows)) => chunk::row_of(rows, unit),
            None => Ok(None),
        }
    }

    /// An entry and its rows.
    pub(super) fn parts(&mut self, index: LogIndex) -> Result<Option<Parts<'_>>, StoreError> {
        let at_hand = self.chunk()?.map(|chunk| chunk.indexes());
        let at_hand = at_hand.unwrap_or_default();
        if !at_hand.contains(&index.0) {
            // Where all are read in order, it is in the chunk that follows.
            if self.chunks.valid() && at_hand.end == index.0 {
                self.chunks.next();
            } else {
                self.chunks.seek(index.0.to_be_bytes());
            }
            self.chunks.status().map_err(|error| io(&error))?;
        }
        let chunk = self.chunk()?;
        let chunk = chunk.filter(|chunk| chunk.indexes().contains(&index.0));
        chunk.map(|chunk| chunk.get(index)).transpose()
    }

    /// The last entry that there is.
    pub(super) fn last_index(&mut self) -> Result<Option<u64>, StoreError> {
        self.chunks.seek_to_last();
        self.chunks.status().map_err(|error| io(&error))?;
        let end = self.chunk()?.map(|chunk| chunk.indexes().end);
        Ok(end.and_then(|end| end.checked_sub(1)))
    }

    fn chunk(&self) -> Result<Option<Chunk<'_>>, StoreError> {
        let row = self.chunks.item();
        row.map(|(key, value)| Chunk::new(key, value)).transpose()
    }
}
