//! The order of one process: its queue. Its log is RocksDB's own.

use super::{Group, Item, Queue, Sequencer, now};

/// Records of a group: once it has so many, it takes no further submission.
const FULL_GROUP_RECORDS: usize = 1024;
/// Units that the records of a group name, likewise: what one group changes stays small enough for
/// the processor's caches, and the next is applied while it is written.
const FULL_GROUP_UNITS: usize = 4096;
/// Bytes of payload of a group, likewise.
const FULL_GROUP_BYTES: usize = 4 << 20;

/// The order of one process.
#[derive(Debug)]
pub struct Local(Queue);

impl Local {
    /// In the order of the queue.
    #[must_use]
    pub const fn new(queue: Queue) -> Self {
        Self(queue)
    }
}

impl Sequencer for Local {
    /// A group is what has queued while the last one was written: no timer, so that a lone
    /// record doesn't wait. Single calls that were checked together stay together.
    fn next(&mut self) -> Option<Group> {
        let mut group = Group::default();
        let (mut records, mut units, mut bytes) = (0, 0, 0);
        let mut next = Some(self.0.blocking_recv()?);
        while let Some(item) = next.take() {
            match item {
                Item::Records(mut submission) => {
                    submission.places = None;
                    if let Some(trip) = &submission.trip {
                        trip.together();
                    }
                    records += submission.records.len();
                    for admitted in &submission.records {
                        units += admitted.record.units.len();
                        bytes += admitted.envelope.payload.len();
                    }
                    group.submissions.push(submission);
                }
                Item::Private(change) => group.private.push(change),
            }
            let full = records + group.private.len() >= FULL_GROUP_RECORDS
                || units >= FULL_GROUP_UNITS
                || bytes >= FULL_GROUP_BYTES;
            if !full {
                next = self.0.try_recv().ok();
            }
        }
        group.time = now();
        Some(group)
    }
}
