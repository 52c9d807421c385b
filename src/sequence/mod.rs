//! The order: admitted records in groups, one after the other.
//!
//! Whatever gives the order implements [`Sequencer`]; what follows it (`commit`) is the same for
//! all. Nothing is judged here.

mod local;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub use local::{Answers, Submissions, local, now};

use crate::admit::Admitted;
use crate::core::record::Millis;
use crate::core::refusal::Refusal;
use crate::core::wire;

/// The answer to a submitted record.
pub type Answer = Result<wire::Receipt, Refusal>;

/// Records on their way into the order, one after the other, and who waits for them.
#[derive(Debug)]
pub struct Submission {
    /// The records.
    pub records: Vec<Admitted>,
    /// Where the answers go, one a record.
    pub reply: oneshot::Sender<Vec<Answer>>,
    /// The places that they take while they wait.
    pub places: Option<OwnedSemaphorePermit>,
}

/// Records that follow each other in the order and share a time.
#[derive(Debug)]
pub struct Group {
    /// The clock of whoever proposed the group. Entries take the larger of it and the last
    /// entry's.
    pub time: Millis,
    /// In order.
    pub submissions: Vec<Submission>,
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
