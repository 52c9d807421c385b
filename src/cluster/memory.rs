//! What a node remembers on its own disk, so that it notices when etcd knows less than before.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ClusterError;
use crate::store::{ClusterMemory, LogHead, Store, StoreError};

/// A revision is written down when it is so much larger than the last that was: the writes are few, and a store
/// that was set back by less than that is found out by its head.
const REVISIONS: i64 = 64;

/// The memory of a node.
pub(super) struct Memory {
    store: Arc<Store>,
    now: Mutex<ClusterMemory>,
    /// The revision that was written down.
    written: AtomicI64,
}

impl Memory {
    pub(super) fn open(store: &Arc<Store>) -> Result<Self, StoreError> {
        let now = store.cluster_memory()?;
        Ok(Self {
            written: AtomicI64::new(now.revision),
            now: Mutex::new(now),
            store: Arc::clone(store),
        })
    }

    fn lock(&self) -> MutexGuard<'_, ClusterMemory> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self) -> ClusterMemory {
        *self.lock()
    }

    /// The cluster began anew, and this node stands where it began.
    pub(super) fn begin(&self, epoch: u64) -> Result<(), StoreError> {
        let mut now = self.lock();
        let next = ClusterMemory {
            epoch,
            revision: 0,
            ..*now
        };
        self.store.remember_cluster(&next)?;
        self.written.store(0, Ordering::Relaxed);
        *now = next;
        Ok(())
    }

    /// This node signs a head.
    pub(super) fn signed(&self, head: LogHead) -> Result<(), StoreError> {
        let mut now = self.lock();
        let next = ClusterMemory {
            signed: Some(head),
            ..*now
        };
        self.store.remember_cluster(&next)?;
        *now = next;
        Ok(())
    }

    /// Etcd is at a revision.
    pub(super) fn saw(&self, revision: i64) -> Result<(), ClusterError> {
        let mut now = self.lock();
        if revision < now.revision {
            return Err(ClusterError::Revision {
                seen: now.revision,
                found: revision,
            });
        }
        now.revision = revision;
        let written = &self.written;
        if revision >= written.load(Ordering::Relaxed) + REVISIONS {
            self.store.remember_cluster(&now)?;
            written.store(revision, Ordering::Relaxed);
        }
        Ok(())
    }
}
