//! Rows beside the log: what a node keeps that is no function of the entries. None of it is in the tree,
//! so it may be changed and erased, and none of it is compared between two stores.

use std::collections::BTreeMap;

use rocksdb::{BottommostLevelCompaction, CompactOptions, WriteBatch};
use serde::{Serialize, de::DeserializeOwned};

use super::options::META;
use super::{Store, StoreError, decode, encode, io};

/// How many moments are being read as of.
const NUM_SNAPSHOTS: &str = "rocksdb.num-snapshots";

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

/// The key that says that a scrub is owed.
fn owed(side: Side) -> Vec<u8> {
    [b"scrub ", side.family().as_bytes()].concat()
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

    /// Changes that take something away for good: written, on the disk, and noted as to be scrubbed, so that a
    /// crash before [`Store::side_scrub`] is made up for.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn side_erase(&self, side: Side, changes: SideChanges) -> Result<(), StoreError> {
        let mut batch = self.side_batch(side, changes)?;
        // Another value each time, so that a scrub that is under way doesn't count for what it may not have seen.
        let now = self.db.latest_sequence_number().to_be_bytes();
        batch.put_cf(self.family(META)?, owed(side), now);
        self.write(batch)
    }

    /// Whether something was taken away that may still lie on the disk.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn side_owes_scrub(&self, side: Side) -> Result<bool, StoreError> {
        Ok(self.get_bytes(META, &owed(side))?.is_some())
    }

    /// Takes what was taken away off the disk: out of the tables, and out of the write-ahead log, which holds
    /// all families and so ends only with a flush of each. What a read that is under way still sees stays
    /// until the next scrub, and so may what is erased meanwhile: then this is false. It takes long, and nobody
    /// who changes rows waits for it.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn side_scrub(&self, side: Side) -> Result<bool, StoreError> {
        let owes = self.get_bytes(META, &owed(side))?;
        let snapshots = self.db.property_int_value(NUM_SNAPSHOTS);
        let snapshots = snapshots.map_err(|error| io(&error))?;
        self.flush_all()?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        let family = self.family(side.family())?;
        self.db
            .compact_range_cf_opt(family, None::<&[u8]>, None::<&[u8]>, &options);
        let _alone = self.side_guard();
        let gone = snapshots == Some(0) && self.get_bytes(META, &owed(side))? == owes;
        if gone {
            let mut batch = WriteBatch::default();
            batch.delete_cf(self.family(META)?, owed(side));
            self.write(batch)?;
        }
        Ok(gone)
    }

    /// For whoever reads a row and then writes it.
    pub fn side_guard(&self) -> std::sync::MutexGuard<'_, ()> {
        self.sides
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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
