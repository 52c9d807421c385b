//! The way into the order: one queue, with places for the records that are under way, by their size.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};

use super::{Answer, Item, PrivateSubmission, Reply, Submission};
use crate::admit::{Admitted, Pace, Trip, shutting_down};
use crate::core::refusal::{Reason, Refusal};
use crate::private::{Change, ChangeError};

/// The part of the places that what is no backlog has for itself.
const KEPT: usize = 8;

/// Answers to come, one for each record that was submitted.
pub type Answers = oneshot::Receiver<Vec<Answer>>;

/// Places for records on their way; free again when this is dropped.
#[derive(Debug)]
pub struct Places {
    _all: OwnedSemaphorePermit,
    _backlog: Option<OwnedSemaphorePermit>,
}

/// Where records enter the order.
#[derive(Clone, Debug)]
pub struct Submissions {
    queue: mpsc::UnboundedSender<Item>,
    /// Places for the records on their way, taken before their signatures are checked: they bound the queues behind.
    all: Room,
    /// Those of them that a backlog may take: it has one of these before it takes one of all.
    backlog: Room,
}

#[derive(Clone, Debug)]
struct Room {
    places: Arc<Semaphore>,
    capacity: usize,
}

impl Room {
    fn new(capacity: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
        }
    }

    /// What needs more than there are takes all of them: it has to get through.
    fn count(&self, places: usize) -> u32 {
        u32::try_from(places.min(self.capacity)).unwrap_or(u32::MAX)
    }

    async fn take(self, places: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let count = self.count(places);
        let places = self.places.acquire_many_owned(count).await;
        places.map_err(|_| shutting_down())
    }
}

/// The other end, which the order takes from. It ends when every clone of the first is dropped.
pub type Queue = mpsc::UnboundedReceiver<Item>;

/// Both ends, between which there are so many places for records on their way.
#[must_use]
pub fn queue(capacity: usize) -> (Submissions, Queue) {
    let (queue, items) = mpsc::unbounded_channel();
    let submissions = Submissions {
        queue,
        all: Room::new(capacity),
        backlog: Room::new(capacity - capacity / KEPT),
    };
    (submissions, items)
}

impl Submissions {
    /// So many places for a single call, unless there is no room for them.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] when there is none.
    pub fn try_places(&self, places: usize) -> Result<Places, Refusal> {
        let count = self.all.count(places);
        let all = Arc::clone(&self.all.places).try_acquire_many_owned(count);
        let all = all.map_err(|error| {
            if error == TryAcquireError::Closed {
                return shutting_down();
            }
            Refusal::new(
                Reason::Overloaded,
                "more records are waiting than the server takes; send the same envelope again",
            )
        })?;
        Ok(Places {
            _all: all,
            _backlog: None,
        })
    }

    /// So many places, once there is room: a stream's backpressure.
    ///
    /// # Errors
    /// [`Reason::ShuttingDown`] when the order has ended.
    pub fn places(
        &self,
        places: usize,
        pace: Pace,
    ) -> impl Future<Output = Result<Places, Refusal>> + use<> {
        // Not the queue: whoever waits must not keep the order from ending.
        let (all, backlog) = (self.all.clone(), self.backlog.clone());
        async move {
            let (places, backlog) = match pace {
                Pace::Live => (places, None),
                Pace::Backlog => (
                    places.min(backlog.capacity),
                    Some(backlog.take(places).await?),
                ),
            };
            Ok(Places {
                _all: all.take(places).await?,
                _backlog: backlog,
            })
        }
    }

    /// Nobody gets a place any more, and whoever waits for one is told so.
    pub fn close(&self) {
        self.all.places.close();
        self.backlog.places.close();
    }

    /// Puts records into the order, in their places. When the order has ended, nobody answers.
    pub fn submit(
        &self,
        records: Vec<Admitted>,
        (places, trip): (Places, Option<Trip>),
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

    /// All that are free, and those that a backlog may take.
    fn free(submissions: &Submissions) -> [usize; 2] {
        [&submissions.all, &submissions.backlog].map(|room| room.places.available_permits())
    }

    #[tokio::test]
    async fn given_a_backlog_when_it_has_all_that_it_can_then_what_is_live_finds_room() {
        let (submissions, _queue) = queue(64);
        let backlog = submissions.places(56, Pace::Backlog).await.unwrap();
        assert_eq!(free(&submissions), [8, 0]);
        let more_backlog = submissions.places(1, Pace::Backlog);
        let call = submissions.try_places(5).unwrap();
        let live = submissions.places(3, Pace::Live).await.unwrap();
        let refused = submissions.try_places(1).unwrap_err();
        assert_eq!(refused.reason, Reason::Overloaded);
        drop((backlog, call));
        assert_eq!(free(&submissions), [61, 56]);
        let more_backlog = more_backlog.await.unwrap();
        let much = submissions.places(60, Pace::Live).await.unwrap();
        assert_eq!(free(&submissions), [0, 55]);
        drop((more_backlog, live, much));
        assert_eq!(free(&submissions), [64, 56]);
    }

    #[tokio::test]
    async fn given_a_batch_larger_than_all_places_when_it_waits_then_it_gets_what_there_is() {
        let (submissions, _queue) = queue(64);
        let sizes = [(Pace::Live, [0, 56]), (Pace::Backlog, [8, 0])];
        for (pace, left) in sizes {
            let one = submissions.try_places(1).unwrap();
            let all = submissions.places(1_000, pace);
            drop(one);
            let all = all.await.unwrap();
            assert_eq!(free(&submissions), left);
            drop(all);
        }
        submissions.close();
        let call = submissions.try_places(1).unwrap_err();
        assert_eq!(call.reason, Reason::ShuttingDown);
        for pace in [Pace::Live, Pace::Backlog] {
            let refused = submissions.places(1, pace).await.unwrap_err();
            assert_eq!(refused.reason, Reason::ShuttingDown);
        }
    }
}
