//! The order of one process: a queue. Its log is RocksDB's own.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{Answer, Group, Sequencer, Submission};
use crate::admit::{Admitted, shutting_down};
use crate::core::record::Millis;
use crate::core::refusal::{Reason, Refusal};

/// Records of a group: once it has so many, it takes no further submission.
const FULL_GROUP_RECORDS: usize = 1024;
/// Units that the records of a group name, likewise: what one group changes stays small enough for
/// the processor's caches, and the next is applied while it is written.
const FULL_GROUP_UNITS: usize = 4096;
/// Bytes of payload of a group, likewise.
const FULL_GROUP_BYTES: usize = 4 << 20;

/// Answers to come, one for each record that was submitted.
pub type Answers = oneshot::Receiver<Vec<Answer>>;

/// Where records enter the order.
#[derive(Clone)]
pub struct Submissions {
    queue: mpsc::UnboundedSender<Submission>,
    /// A place for each record on its way, taken before its signature is checked: it bounds all queues.
    room: Arc<Semaphore>,
}

impl Submissions {
    /// Places for so many records, unless there is no room for them.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] when there is none.
    pub fn try_places(&self, records: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let places = Arc::clone(&self.room).try_acquire_many_owned(count(records));
        places.map_err(|_| {
            Refusal::new(
                Reason::Overloaded,
                "more records are waiting than the server takes; send the same envelope again",
            )
        })
    }

    /// Places for so many records, once there is room: a stream's backpressure.
    ///
    /// # Errors
    /// [`Reason::ShuttingDown`] when the order has ended.
    pub async fn places(&self, records: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let places = Arc::clone(&self.room).acquire_many_owned(count(records));
        places.await.map_err(|_| shutting_down())
    }

    /// Puts records into the order, in their places. When the order has ended, nobody answers.
    pub fn submit(
        &self,
        records: Vec<Admitted>,
        places: OwnedSemaphorePermit,
        reply: oneshot::Sender<Vec<Answer>>,
    ) {
        let _ = self.queue.send(Submission {
            records,
            reply,
            places: Some(places),
        });
    }
}

fn count(records: usize) -> u32 {
    u32::try_from(records).unwrap_or(u32::MAX)
}

/// The two ends of a local order, into which so many records may be on their way. It ends when every clone of the
/// first is dropped.
#[must_use]
pub fn local(capacity: usize) -> (Submissions, impl Sequencer) {
    let (queue, submissions) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(capacity));
    (Submissions { queue, room }, Local { submissions })
}

struct Local {
    submissions: mpsc::UnboundedReceiver<Submission>,
}

impl Sequencer for Local {
    /// A group is what has queued while the last one was written: no timer, so that a lone
    /// record doesn't wait.
    fn next(&mut self) -> Option<Group> {
        let mut submissions = Vec::new();
        let (mut records, mut units, mut bytes) = (0, 0, 0);
        let mut next = Some(self.submissions.blocking_recv()?);
        while let Some(mut submission) = next.take() {
            submission.places = None;
            records += submission.records.len();
            for admitted in &submission.records {
                units += admitted.record.units.len();
                bytes += admitted.envelope.payload.len();
            }
            submissions.push(submission);
            let full = records >= FULL_GROUP_RECORDS
                || units >= FULL_GROUP_UNITS
                || bytes >= FULL_GROUP_BYTES;
            if !full {
                next = self.submissions.try_recv().ok();
            }
        }
        Some(Group {
            time: now(),
            submissions,
        })
    }
}

/// The system's clock. A clock before 1970 counts as 1970.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
