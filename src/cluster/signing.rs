//! Who may sign a head of the log: a node that proved that it follows the last one that was signed.
//!
//! Equal groups give equal logs, so any node may sign a head, and the same head has the same text and the same
//! signature on all of them (Ed25519 is deterministic). No two nodes sign different roots of one size, because
//! each head is noted in etcd before its signature leaves a node, by a write that fails when another was faster;
//! and a node notes one only when the head that was noted last lies on its own tree. What it signed it also
//! remembers on its own disk: when etcd knows less, its state was set back, and nothing more is signed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};

use super::ClusterError;
use super::etcd::{Etcd, Signed};
use super::memory::Memory;
use crate::commit::Synced;
use crate::store::{LogHead, Store};

/// After a failure, it is tried again after so long.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a node waits until it has what another one signed.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The right to sign heads.
pub(super) struct Signing {
    store: Arc<Store>,
    memory: Arc<Memory>,
    etcd: Etcd,
    node: String,
    synced: watch::Receiver<Synced>,
    /// The last head that was signed, as this node knows it; nobody else signs here meanwhile.
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    signed: Option<Signed>,
    /// Why it was not known just now: whoever waited for that needs no try of its own.
    failed: Option<(Instant, String)>,
}

impl Signing {
    pub(super) fn new(
        memory: Arc<Memory>,
        store: Arc<Store>,
        etcd: Etcd,
        node: String,
        synced: watch::Receiver<Synced>,
    ) -> Self {
        Self {
            store,
            memory,
            etcd,
            node,
            synced,
            last: Mutex::default(),
        }
    }

    /// Returns when a head of this node's log may be signed.
    pub(super) async fn may_sign(&self, head: LogHead) -> Result<(), ClusterError> {
        let mut last = self.last.lock().await;
        if let Some((at, why)) = &last.failed
            && at.elapsed() < AGAIN
        {
            return Err(ClusterError::Etcd(why.clone()));
        }
        let outcome = self.prove(head, &mut last.signed).await;
        last.failed = match &outcome {
            Err(error) => Some((Instant::now(), error.to_string())),
            Ok(()) => None,
        };
        outcome
    }

    /// The size of the last head that was noted; 0 when none was.
    pub(super) async fn noted(&self) -> Result<u64, ClusterError> {
        let situation = self.etcd.situation(None).await?;
        Ok(situation.signed.map_or(0, |signed| signed.head.size))
    }

    async fn prove(&self, head: LogHead, last: &mut Option<Signed>) -> Result<(), ClusterError> {
        loop {
            if last.is_some_and(|last| last.head.size >= head.size) {
                return Ok(()); // It lies on the way to what was proven.
            }
            let known = last.map(|last| last.revision);
            if let Some(revision) = self.note(known, head).await? {
                *last = Some(Signed { head, revision });
                return Ok(());
            }
            // Another node was faster, this is the first time here, or nobody may sign.
            let situation = self.etcd.situation(None).await?;
            if let Some(why) = situation.halted {
                return Err(ClusterError::Halted(why));
            }
            self.check(situation.signed).await?;
            *last = situation.signed;
        }
    }

    /// Notes a head after one that is known to lie on this node's log.
    async fn note(&self, known: Option<i64>, head: LogHead) -> Result<Option<i64>, ClusterError> {
        if known.is_none() && self.memory.get().signed.is_some() {
            return Ok(None); // Whoever signed before has to look first.
        }
        let Some(revision) = self.etcd.sign(known, &head, &self.node).await? else {
            return Ok(None);
        };
        self.memory.signed(head)?;
        Ok(Some(revision))
    }

    /// Proves that what was signed last lies on this node's log.
    async fn check(&self, signed: Option<Signed>) -> Result<(), ClusterError> {
        let found = signed.map_or(0, |signed| signed.head.size);
        if let Some(own) = self.memory.get().signed
            && own.size > found
        {
            return Err(ClusterError::SignedMore {
                own: own.size,
                found,
            });
        }
        let Some(signed) = signed else { return Ok(()) };
        let mut synced = self.synced.clone();
        let has = synced.wait_for(|synced| synced.head.size >= signed.head.size);
        match tokio::time::timeout(CATCH_UP, has).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(ClusterError::Ended),
            Err(_) => return Err(ClusterError::Behind),
        }
        lies_on(&self.store, &signed.head)
    }
}

/// Whether a head that was signed lies on a store's log, which is at least as long.
pub(super) fn lies_on(store: &Store, signed: &LogHead) -> Result<(), ClusterError> {
    if store.root_at(signed.size)? == signed.root {
        return Ok(());
    }
    Err(ClusterError::Diverged {
        size: signed.size,
        other: "a signed checkpoint".into(),
    })
}
