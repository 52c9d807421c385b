//! The order of one process: a queue. Its log is RocksDB's own.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{self, error::TrySendError};

use super::{Group, Sequencer, Submission};
use crate::admit::shutting_down;
use crate::core::record::Millis;
use crate::core::refusal::{Reason, Refusal};

/// Most records in a group.
const MAX_GROUP_RECORDS: usize = 1024;
/// Most bytes of payload in a group, as in an etcd value.
const MAX_GROUP_BYTES: usize = 4 << 20;

/// Where records enter the order.
#[derive(Clone)]
pub struct Submissions {
    queue: mpsc::Sender<Submission>,
}

impl Submissions {
    /// Puts a record into the order, unless the queue is full.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] when it is.
    pub fn try_submit(&self, submission: Submission) -> Result<(), Refusal> {
        self.queue
            .try_send(submission)
            .map_err(|error| match error {
                TrySendError::Full(_) => Refusal::new(
                    Reason::Overloaded,
                    "more records are waiting than the server takes; send the same envelope again",
                ),
                TrySendError::Closed(_) => shutting_down(),
            })
    }

    /// Puts a record into the order, waiting for room: a stream's backpressure.
    ///
    /// # Errors
    /// [`Reason::ShuttingDown`] when the order has ended.
    pub async fn submit(&self, submission: Submission) -> Result<(), Refusal> {
        self.queue
            .send(submission)
            .await
            .map_err(|_| shutting_down())
    }
}

/// The two ends of a local order. It ends when every clone of the first is dropped.
#[must_use]
pub fn local(capacity: usize) -> (Submissions, impl Sequencer) {
    let (queue, submissions) = mpsc::channel(capacity);
    (Submissions { queue }, Local { submissions })
}

struct Local {
    submissions: mpsc::Receiver<Submission>,
}

impl Sequencer for Local {
    /// A group is what has queued while the last one was written: no timer, so that a lone
    /// record doesn't wait.
    fn next(&mut self) -> Option<Group> {
        let first = self.submissions.blocking_recv()?;
        let mut bytes = first.admitted.envelope.payload.len();
        let mut records = vec![first];
        while records.len() < MAX_GROUP_RECORDS && bytes < MAX_GROUP_BYTES {
            let Ok(next) = self.submissions.try_recv() else {
                break;
            };
            bytes += next.admitted.envelope.payload.len();
            records.push(next);
        }
        Some(Group {
            time: now(),
            records,
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
