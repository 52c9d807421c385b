//! What a store knows of the cluster that it is part of.

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use super::options::META;
use super::{LogHead, Store, StoreError, decode, encode};
use crate::core::order::GroupId;

/// Key of the last group of a cluster's order.
pub(super) const GROUP: &[u8] = b"group";
/// Key of what a node of a cluster remembers.
pub(super) const MEMORY: &[u8] = b"cluster";

/// What a node of a cluster remembers of it, so that it notices when the store of the order was set back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterMemory {
    /// Which beginning of the cluster it is about; 0 is none.
    pub epoch: u64,
    /// The largest revision of etcd that it saw.
    pub revision: i64,
    /// The largest head that it signed.
    pub signed: Option<LogHead>,
}

impl Store {
    /// The last group of a cluster's order that was committed here; none when this is no cluster's store.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn last_group(&self) -> Result<Option<GroupId>, StoreError> {
        let bytes = self.get_bytes(META, GROUP)?;
        bytes.map(|bytes| decode(&bytes)).transpose()
    }

    /// Notes the group that this store's log stands for: where a cluster begins.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn set_last_group(&self, id: GroupId) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(META)?, GROUP, encode(&id)?);
        self.write(batch)
    }

    /// What this node of a cluster remembers of it.
    ///
    /// # Errors
    /// [`StoreError`] when it can't be read.
    pub fn cluster_memory(&self) -> Result<ClusterMemory, StoreError> {
        let bytes = self.get_bytes(META, MEMORY)?;
        bytes.map_or_else(|| Ok(ClusterMemory::default()), |bytes| decode(&bytes))
    }

    /// Remembers it, on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn remember_cluster(&self, memory: &ClusterMemory) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(META)?, MEMORY, encode(memory)?);
        self.write(batch)
    }
}
