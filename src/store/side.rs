//! Rows beside the log: what a node keeps that is no function of the entries. None of it is in the tree,
//! so it may be changed and erased, and none of it is compared between two stores.

use std::collections::BTreeMap;

use rocksdb::{Direction, IteratorMode, ReadOptions, WriteBatch, WriteOptions};
use serde::{Serialize, de::DeserializeOwned};

use super::{Store, StoreError, decode, encode, io};

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What early warning derived (see `signals`): made anew when it is lost.
    Signals,
}

impl Side {
    /// All of them.
    pub(super) const ALL: [Self; 1] = [Self::Signals];

    pub(super) const fn family(self) -> &'static str {
        match self {
            Self::Signals => "signals",
        }
    }
}

/// Changes of rows, written all at once.
#[derive(Debug, Default)]
pub struct SideChanges(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl SideChanges {
    /// A new value.
    ///
    /// # Errors
    /// [`StoreError`] when it doesn't encode.
    pub fn put<V: Serialize>(&mut self, key: Vec<u8>, value: &V) -> Result<(), StoreError> {
        self.0.insert(key, Some(encode(value)?));
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
        mut visit: impl FnMut(&[u8], V) -> bool,
    ) -> Result<(), StoreError> {
        let start = if from > prefix { from } else { prefix };
        let rows = self.db.iterator_cf_opt(
            self.family(side.family())?,
            ReadOptions::default(),
            IteratorMode::From(start, Direction::Forward),
        );
        for row in rows {
            let (key, value) = row.map_err(|error| io(&error))?;
            if !key.starts_with(prefix) || !visit(&key, decode(&value)?) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes changes, all of them or none. Only where `synced`, they are on the disk when this
    /// returns.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn side_write(
        &self,
        side: Side,
        changes: SideChanges,
        synced: bool,
    ) -> Result<(), StoreError> {
        let family = self.family(side.family())?;
        let mut batch = WriteBatch::default();
        for (key, value) in changes.0 {
            match value {
                Some(value) => batch.put_cf(family, key, value),
                None => batch.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(synced && self.sync);
        self.db
            .write_opt(batch, &options)
            .map_err(|error| io(&error))
    }
}
