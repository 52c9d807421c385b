//! Rows beside the log: what a node keeps that is no function of the entries. None of it is in the tree,
//! so it may be changed and erased, and none of it is compared between two stores.

use std::collections::BTreeMap;

use rocksdb::{BottommostLevelCompaction, CompactOptions, Direction, IteratorMode, WriteBatch};
use serde::{Serialize, de::DeserializeOwned};

use super::{Store, StoreError, decode, encode, visit_rows};

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What early warning derived (see `signals`): made anew when it is lost.
    Signals,
    /// Personal data (see `private`): erased when asked, and when its time has come.
    Private,
}

impl Side {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Signals, Self::Private];

    pub(super) const fn family(self) -> &'static str {
        match self {
            Self::Signals => "signals",
            Self::Private => "private",
        }
    }
}

/// Changes of rows, written all at once.
#[derive(Debug, Default)]
pub struct SideChanges(BTreeMap<Vec<u8>, Vec<u8>>);

impl SideChanges {
    /// A new value.
    ///
    /// # Errors
    /// [`StoreError`] when it doesn't encode.
    pub fn put<V: Serialize>(&mut self, key: Vec<u8>, value: &V) -> Result<(), StoreError> {
        self.0.insert(key, encode(value)?);
        Ok(())
    }
}

impl Store {
    /// A row.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn side_get<V: DeserializeOwned>(
        &self,
        side: Side,
        key: &[u8],
    ) -> Result<Option<V>, StoreError> {
        let bytes = self.get_bytes(side.family(), key)?;
        bytes.map(|bytes| decode(&bytes)).transpose()
    }

    /// Rows whose keys begin with a prefix, from a key on, until the visitor says stop.
    ///
    /// # Errors
    /// [`StoreError`] when one can't be read.
    pub fn side_scan<V: DeserializeOwned>(
        &self,
        side: Side,
        prefix: &[u8],
        from: &[u8],
        visit: impl FnMut(&[u8], V) -> bool,
    ) -> Result<(), StoreError> {
        let mode = IteratorMode::From(from.max(prefix), Direction::Forward);
        let rows = self.db.iterator_cf(self.family(side.family())?, mode);
        visit_rows(rows, prefix, visit)
    }

    /// Writes changes, all of them or none; after a crash of the machine the last ones may be gone.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn side_write(&self, side: Side, changes: SideChanges) -> Result<(), StoreError> {
        let batch = self.side_batch(side, changes)?;
        self.write_unsynced(batch)
    }

    /// The same, and on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn side_write_synced(&self, side: Side, changes: SideChanges) -> Result<(), StoreError> {
        let batch = self.side_batch(side, changes)?;
        self.write(batch)
    }

    /// Takes what was overwritten off the disk: out of the tables, and out of the write-ahead log, which holds
    /// all families and so ends only with a flush of each.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn side_scrub(&self, side: Side) -> Result<(), StoreError> {
        self.flush_all()?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        let family = self.family(side.family())?;
        self.db
            .compact_range_cf_opt(family, None::<&[u8]>, None::<&[u8]>, &options);
        Ok(())
    }

    fn side_batch(&self, side: Side, changes: SideChanges) -> Result<WriteBatch, StoreError> {
        let family = self.family(side.family())?;
        let mut batch = WriteBatch::default();
        for (key, value) in changes.0 {
            batch.put_cf(family, key, value);
        }
        Ok(batch)
    }
}
