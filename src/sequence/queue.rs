//! The way into the order: one queue, with a place for each record that is under way.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};

use super::{Answer, Item, PrivateSubmission, Reply, Submission};
use crate::admit::{Admitted, Trip, shutting_down};
use crate::core::refusal::{Reason, Refusal};
use crate::private::{Change, ChangeError};

/// Answers to come, one for each record that was submitted.
pub type Answers = oneshot::Receiver<Vec<Answer>>;

/// Where records enter the order.
#[derive(Clone, Debug)]
pub struct Submissions {
    queue: mpsc::UnboundedSender<Item>,
    /// A place for each record on its way, taken before its signature is checked: it bounds all queues.
    room: Arc<Semaphore>,
}

/// The other end, which the order takes from. It ends when every clone of the first is dropped.
pub type Queue = mpsc::UnboundedReceiver<Item>;

/// Both ends, between which so many records may be on their way.
#[must_use]
pub fn queue(capacity: usize) -> (Submissions, Queue) {
    let (queue, items) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(capacity));
    (Submissions { queue, room }, items)
}

impl Submissions {
    /// Places for so many records, unless there is no room for them.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] when there is none.
    pub fn try_places(&self, records: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let places = Arc::clone(&self.room).try_acquire_many_owned(count(records));
        places.map_err(|error| {
            if error == TryAcquireError::Closed {
                return shutting_down();
            }
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
    pub fn places(
        &self,
        records: usize,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, Refusal>> + use<> {
        // Not the queue: whoever waits must not keep the order from ending.
        let room = Arc::clone(&self.room);
        async move {
            let places = room.acquire_many_owned(count(records)).await;
            places.map_err(|_| shutting_down())
        }
    }

    /// Nobody gets a place any more, and whoever waits for one is told so.
    pub fn close(&self) {
        self.room.close();
    }

    /// Puts records into the order, in their places. When the order has ended, nobody answers.
    pub fn submit(
        &self,
        records: Vec<Admitted>,
        (places, trip): (OwnedSemaphorePermit, Option<Trip>),
        reply: Reply,
    ) {
        let _ = self.queue.send(Item::Records(Submission {
            records,
            reply,
            places: Some(places),
            trip,
        }));
    }

    /// Puts a change of a text beside the log into the order; the answer comes when it is made here.
    pub fn change(&self, change: Change) -> oneshot::Receiver<Result<(), ChangeError>> {
        let (reply, answer) = oneshot::channel();
        let _ = self
            .queue
            .send(Item::Private(PrivateSubmission { change, reply }));
        answer
    }
}

fn count(records: usize) -> u32 {
    u32::try_from(records).unwrap_or(u32::MAX)
}
