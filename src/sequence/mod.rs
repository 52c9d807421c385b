//! The order: admitted records in groups, one after the other.
//!
//! Whatever gives the order implements [`Sequencer`]; what follows it (`commit`) is the same for
//! all. Nothing is judged here. There are two: [`Local`], and the one of a cluster (`cluster`).

mod local;
mod queue;
mod reply;

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

pub use local::Local;
pub use queue::{Answers, Places, Queue, Submissions, queue};
pub use reply::{Progress, Reply};

use crate::admit::{Admitted, Trip};
use crate::core::envelope::RecordId;
use crate::core::order::GroupId;
use crate::core::record::Millis;
use crate::core::refusal::Refusal;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::private::{Change, ChangeError};

/// The answer to a submitted record.
pub type Answer = Result<Receipt, Refusal>;

/// What is promised of a record that is in the log: the same whenever it is asked for (I6).
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Which record.
    pub id: RecordId,
    /// Its place.
    pub index: LogIndex,
    /// Its time in the log.
    pub time: Millis,
    /// What was found.
    pub verdict: wire::Verdict,
}

impl From<Receipt> for wire::Receipt {
    fn from(receipt: Receipt) -> Self {
        Self {
            record_id: receipt.id.0.to_vec(),
            log_index: receipt.index.0,
            time_ms: receipt.time.0,
            verdict: Some(receipt.verdict),
        }
    }
}

/// What is put into the order.
#[derive(Debug)]
pub enum Item {
    /// Records.
    Records(Submission),
    /// A change of a text beside the log: in the order, so that every node makes the same ones.
    Private(PrivateSubmission),
}

/// Records on their way into the order, one after the other, and who waits for them.
#[derive(Debug)]
pub struct Submission {
    /// The records.
    pub records: Vec<Admitted>,
    /// Where the answers go, one a record.
    pub reply: Reply,
    /// The places that they take while they wait.
    pub places: Option<Places>,
    /// Kept until they are answered, if they are on one.
    pub trip: Option<Trip>,
}

/// A change of a text on its way into the order, and who waits for it.
#[derive(Debug)]
pub struct PrivateSubmission {
    /// The change.
    pub change: Change,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<(), ChangeError>>,
}

/// Records that follow each other in the order and share a time.
#[derive(Debug, Default)]
pub struct Group {
    /// What it is called in the order of a cluster; one process alone needs no name for it.
    pub id: Option<GroupId>,
    /// The clock of whoever proposed the group. Entries take the larger of it and the last
    /// entry's.
    pub time: Millis,
    /// In order.
    pub submissions: Vec<Submission>,
    /// Changes beside the log, made before the records are applied.
    pub private: Vec<PrivateSubmission>,
}

/// Gives the one total order.
///
/// Contract: groups come out in the order's order, each exactly once to one process; every node
/// of a ledger gets the same groups. A group that came out is not yet durable here: it is
/// acknowledged only after the store has synced it (I2).
pub trait Sequencer: Send {
    /// Waits for the next group; none when the order has ended and no record is left.
    fn next(&mut self) -> Option<Group>;
}

/// The system's clock. A clock before 1970 counts as 1970.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
