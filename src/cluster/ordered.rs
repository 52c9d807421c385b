//! The groups of a cluster as they come out of its order, for this node to apply.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::seal::Sealer;
use crate::admit::{Admission, Admissions, Admitted, Decoded, MAX_BATCH};
use crate::commit::Synced;
use crate::core::envelope::Envelope;
use crate::core::order::GroupId;
use crate::core::record::Millis;
use crate::core::refusal::Reason;
use crate::core::wire;
use crate::private::Change;
use crate::sequence::{Group, Item, PrivateSubmission, Reply, Sequencer, Submission};

/// A group that came out.
#[derive(Debug)]
pub(super) struct Ready {
    pub id: GroupId,
    pub time: Millis,
    pub body: Body,
}

/// What is in it.
#[derive(Debug)]
pub(super) enum Body {
    /// What this node put into the order, and who waits for it.
    Own(Vec<Item>),
    /// What another node did: its records are being checked here.
    Foreign {
        records: Vec<oneshot::Receiver<Admissions>>,
        private: Vec<Change>,
    },
}

impl Ready {
    /// What this node put into the order.
    pub(super) fn into_own(self) -> Vec<Item> {
        match self.body {
            Body::Own(items) => items,
            Body::Foreign { .. } => Vec::new(),
        }
    }

    /// Begins to check the records of another node's group. A record that does not even decode is left out, by
    /// every node alike; no node that works as it should proposes one.
    pub(super) fn foreign(
        id: GroupId,
        group: wire::CommitGroup,
        admission: &Admission,
        sealer: &Sealer,
    ) -> Self {
        let mut decoded = Vec::with_capacity(group.records.len());
        for envelope in group.records {
            match Decoded::from_wire(Some(envelope)) {
                Ok(record) => decoded.push(record),
                Err(refusal) => {
                    tracing::error!(%id, proposer = group.proposer, %refusal, "a record in the order is no record");
                }
            }
        }
        let mut records = Vec::with_capacity(decoded.len() / MAX_BATCH + 1);
        while !decoded.is_empty() {
            let rest = decoded.split_off(decoded.len().min(MAX_BATCH));
            records.push(admission.check_ordered(std::mem::replace(&mut decoded, rest)));
        }
        let changes = group.private_changes.iter();
        let private = changes.filter_map(|sealed| {
            let opened = sealer.open(sealed);
            opened
                .inspect_err(|error| tracing::error!(%id, %error, "left out"))
                .ok()
        });
        Self {
            id,
            time: Millis(group.time_ms),
            body: Body::Foreign {
                records,
                private: private.collect(),
            },
        }
    }
}

/// The order of a cluster, as the committing thread takes from it.
pub(super) struct Ordered {
    pub ready: mpsc::Receiver<Ready>,
    pub admission: Arc<Admission>,
    pub synced: watch::Receiver<Synced>,
    pub failed: watch::Receiver<bool>,
    pub runtime: Handle,
}

impl Sequencer for Ordered {
    fn next(&mut self) -> Option<Group> {
        let ready = self.ready.blocking_recv()?;
        let mut group = Group {
            id: Some(ready.id),
            time: ready.time,
            ..Group::default()
        };
        match ready.body {
            Body::Own(items) => {
                for item in items {
                    match item {
                        Item::Records(submission) => group.submissions.push(submission),
                        Item::Private(change) => group.private.push(change),
                    }
                }
            }
            Body::Foreign { records, private } => {
                let mut admitted = Vec::new();
                for records in records {
                    for record in records.blocking_recv().ok()? {
                        match record {
                            Ok(record) => admitted.push(record),
                            Err(rejected) => {
                                let again = self.again(ready.id, rejected.envelope)?;
                                admitted.extend(again);
                            }
                        }
                    }
                }
                group.submissions.push(Submission {
                    records: admitted,
                    reply: Reply::nobody(), // Whoever waits does so at another node.
                    places: None,
                    trip: None,
                });
                let changes = private.into_iter().map(|change| PrivateSubmission {
                    change,
                    reply: oneshot::channel().0,
                });
                group.private.extend(changes);
            }
        }
        Some(group)
    }
}

impl Ordered {
    /// A record that was refused may only have come before its key was on this node's disk. Once all groups
    /// before its own are, the answer is the same on every node. The outer option is none when this node has to
    /// stop, since it can't know.
    fn again(&mut self, id: GroupId, envelope: Envelope) -> Option<Option<Admitted>> {
        // Where a cluster begins, no group is there yet.
        let number = |synced: &Synced| synced.group.map_or(0, |at| at.number);
        let before = |synced: &Synced| number(synced) + 1 >= id.number;
        let caught_up = async {
            tokio::select! {
                synced = self.synced.wait_for(before) => synced.is_ok(),
                _ = self.failed.wait_for(|failed| *failed) => false,
            }
        };
        if !self.runtime.block_on(caught_up) {
            return None;
        }
        let decoded = Decoded::from_envelope(envelope).ok()?;
        let answer = self.admission.check_ordered(vec![decoded]);
        match answer.blocking_recv().ok()?.pop()? {
            Ok(admitted) => Some(Some(admitted)),
            // The store failed, and other nodes' stores did not.
            Err(rejected) if rejected.refusal.reason == Reason::Storage => {
                tracing::error!(%id, refusal = %rejected.refusal, "this node can't judge a record in the order");
                None
            }
            Err(rejected) => {
                tracing::error!(%id, refusal = %rejected.refusal, "a record in the order is left out");
                Some(None)
            }
        }
    }
}
