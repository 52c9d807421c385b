//! The way into the order: one queue, with places for the records that are under way, by their size.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};

use super::{Answer, Item, PrivateSubmission, Reply, Submission};
use crate::admit::{Admitted, Pace, Trip, shutting_down};
use crate::core::refusal::{Reason, Refusal};
use crate::private::{Change, ChangeError};

/// The part of the places that is kept for what is live.
const KEPT: usize = 8;

/// Answers to come, one for each record that was submitted.
pub type Answers = oneshot::Receiver<Vec<Answer>>;

/// Where records enter the order.
#[derive(Clone, Debug)]
pub struct Submissions {
    queue: mpsc::UnboundedSender<Item>,
    /// Places for the records on their way, taken before their signatures are checked: they bound all queues.
    room: Arc<Semaphore>,
    /// How many these are.
    capacity: usize,
    /// More of them, for what is live and finds none of the others free.
    kept: Arc<Semaphore>,
}

/// The other end, which the order takes from. It ends when every clone of the first is dropped.
pub type Queue = mpsc::UnboundedReceiver<Item>;

/// Both ends, between which there are so many places for records on their way.
#[must_use]
pub fn queue(capacity: usize) -> (Submissions, Queue) {
    let (queue, items) = mpsc::unbounded_channel();
    let kept = capacity / KEPT;
    let submissions = Submissions {
        queue,
        room: Arc::new(Semaphore::new(capacity - kept)),
        capacity: capacity - kept,
        kept: Arc::new(Semaphore::new(kept)),
    };
    (submissions, items)
}

impl Submissions {
    /// So many places, unless there is no room for them.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] when there is none.
    pub fn try_places(&self, places: usize, pace: Pace) -> Result<OwnedSemaphorePermit, Refusal> {
        let free = self.free(places, pace);
        free.map_err(|error| {
            if error == TryAcquireError::Closed {
                return shutting_down();
            }
            Refusal::new(
                Reason::Overloaded,
                "more records are waiting than the server takes; send the same envelope again",
            )
        })
    }

    fn free(&self, places: usize, pace: Pace) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let count = self.count(places);
        let free = Arc::clone(&self.room).try_acquire_many_owned(count);
        match (pace, free) {
            (Pace::Live, Err(TryAcquireError::NoPermits)) => {
                Arc::clone(&self.kept).try_acquire_many_owned(count)
            }
            (_, free) => free,
        }
    }

    /// So many places, once there is room: a stream's backpressure.
    ///
    /// # Errors
    /// [`Reason::ShuttingDown`] when the order has ended.
    pub fn places(
        &self,
        places: usize,
        pace: Pace,
    ) -> impl Future<Output = Result<OwnedSemaphorePermit, Refusal>> + use<> {
        // Not the queue: whoever waits must not keep the order from ending.
        let free = self.free(places, pace);
        // What is too large for the places that are kept waits for the others.
        let count = self.count(places);
        let room = match pace {
            Pace::Live if places <= self.capacity / KEPT => &self.kept,
            _ => &self.room,
        };
        let room = Arc::clone(room);
        async move {
            match free {
                Ok(places) => Ok(places),
                Err(_) => room
                    .acquire_many_owned(count)
                    .await
                    .map_err(|_| shutting_down()),
            }
        }
    }

    /// What needs more than there are takes all of them: it has to get through.
    fn count(&self, places: usize) -> u32 {
        u32::try_from(places.min(self.capacity)).unwrap_or(u32::MAX)
    }

    /// Nobody gets a place any more, and whoever waits for one is told so.
    pub fn close(&self) {
        self.room.close();
        self.kept.close();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn given_a_backlog_when_it_has_all_that_it_can_then_what_is_live_finds_room() {
        let (submissions, _queue) = queue(64);
        let refused = |places, pace| {
            let refused = submissions.try_places(places, pace).unwrap_err();
            assert_eq!(refused.reason, Reason::Overloaded);
        };
        let backlog = submissions.try_places(56, Pace::Backlog).unwrap();
        refused(1, Pace::Backlog);
        let live = submissions.try_places(5, Pace::Live).unwrap();
        let more = submissions.places(3, Pace::Live).await.unwrap();
        refused(1, Pace::Live);
        let waits = submissions.places(2, Pace::Live);
        let waits_long = submissions.places(9, Pace::Live);
        drop(live);
        assert_eq!(waits.await.unwrap().num_permits(), 2);
        drop(backlog);
        assert_eq!(waits_long.await.unwrap().num_permits(), 9);
        assert!(submissions.try_places(56, Pace::Live).is_ok());
        drop(more);
        assert_eq!(submissions.kept.available_permits(), 8);
    }

    #[tokio::test]
    async fn given_a_batch_larger_than_all_places_when_it_waits_then_it_gets_what_there_is_for_all()
    {
        let (submissions, _queue) = queue(64);
        for pace in [Pace::Live, Pace::Backlog] {
            let one = submissions.try_places(1, pace).unwrap();
            let all = submissions.places(1_000, pace);
            drop(one);
            assert_eq!(all.await.unwrap().num_permits(), 56);
        }
        submissions.close();
        for (places, pace) in [(1, Pace::Live), (9, Pace::Live), (1, Pace::Backlog)] {
            let now = submissions.try_places(places, pace).unwrap_err();
            let later = submissions.places(places, pace).await.unwrap_err();
            assert_eq!([now.reason, later.reason], [Reason::ShuttingDown; 2]);
        }
    }
}
