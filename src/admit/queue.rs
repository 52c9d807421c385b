//! What waits for the threads that check signatures.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Admissions, Decoded, MAX_BATCH, Pace};

/// Records that have to wait before one more thread takes part. Until then one thread does it in
/// larger batches, which costs less a record than two in small ones.
const MORE_THREADS: usize = 96;

/// A thread takes so many at least, where there are as many; beyond it, threads share what has piled up, so that none
/// waits for another that took it all.
const FAIR: usize = 128;

/// What is done with the admissions of a job, on the thread that made them. A job of a small batch is on a trip.
pub(super) type Then = Box<dyn FnOnce(Admissions, Option<Trip>) + Send>;

/// Records to check, and what happens then.
pub(super) struct Job {
    pub records: Vec<Decoded>,
    /// Whether they are in the order already.
    pub ordered: bool,
    /// It is small, and may wait until a batch that is under way is back.
    pub gathers: bool,
    pub pace: Pace,
    pub then: Then,
}

/// Jobs, each kind in order. Who puts one in has places for its records in the order, and that bounds it.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    some: Condvar,
    many: Condvar,
    /// Held while the jobs of a small batch go on.
    going_on: Mutex<()>,
    threads: usize,
}

#[derive(Default)]
struct Waiting {
    live: VecDeque<Job>,
    backlog: VecDeque<Job>,
    records: usize,
    /// Jobs that don't gather: they are batches of their own, or follow the order and have waited.
    hurried: usize,
    /// Small batches that are on their way to the disk.
    trips: usize,
    closed: bool,
}

impl Waiting {
    /// Whether a thread that needs so many takes what there is. A small batch of small jobs goes when the last one is
    /// back from the disk: it grows meanwhile, which makes it cheaper for every thread that it passes, and where nothing
    /// is under way nothing waits.
    const fn is_due(&self, least: usize) -> bool {
        let due = self.trips == 0 || self.hurried > 0 || self.records >= MORE_THREADS;
        self.records >= least && due
    }

    const fn of(&mut self, pace: Pace) -> &mut VecDeque<Job> {
        match pace {
            Pace::Live => &mut self.live,
            Pace::Backlog => &mut self.backlog,
        }
    }

    fn push(&mut self, job: Job) {
        self.records += job.records.len();
        self.hurried += usize::from(!job.gathers);
        self.of(job.pace).push_back(job);
    }

    fn pop(&mut self, pace: Pace, taken: &mut Vec<Job>) -> Option<usize> {
        let job = self.of(pace).pop_front()?;
        let count = job.records.len();
        self.records -= count;
        self.hurried -= usize::from(!job.gathers);
        taken.push(job);
        Some(count)
    }

    /// The next jobs, of about so many records: what is live first, but what waits as backlog gets as many as half, however
    /// large the jobs are that come before it.
    fn next(&mut self, records: usize) -> Vec<Job> {
        let half = records / 2;
        let mut taken = Vec::new();
        let (mut count, mut behind) = (0, 0);
        while count < half
            && let Some(more) = self.pop(Pace::Live, &mut taken)
        {
            count += more;
        }
        while (behind < half || count < records)
            && let Some(more) = self.pop(Pace::Backlog, &mut taken)
        {
            behind += more;
            count += more;
        }
        while count < records
            && let Some(more) = self.pop(Pace::Live, &mut taken)
        {
            count += more;
        }
        taken
    }
}

/// A small batch on its way; it has arrived when all clones are dropped.
#[derive(Clone)]
pub struct Trip(Arc<OnTrip>);

struct OnTrip(Arc<Queue>);

impl PartialEq for Trip {
    /// Whether it is the same one.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Trip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trip")
    }
}

impl Trip {
    /// Returns when all of its batch is on the way, so that it stays together.
    pub fn together(&self) {
        drop(self.0.0.going_on());
    }
}

impl Drop for OnTrip {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.trips -= 1;
        if waiting.is_due(1) {
            self.0.some.notify_one();
        }
    }
}

impl Queue {
    /// For so many threads, one at least.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            some: Condvar::new(),
            many: Condvar::new(),
            going_on: Mutex::new(()),
            threads: threads.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A thread that panicked while it held the lock left the queue as it was.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While this is kept, whoever is to take a small batch whole waits.
    pub(super) fn going_on(&self) -> MutexGuard<'_, ()> {
        self.going_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, job: Job) {
        let mut waiting = self.lock();
        if waiting.closed {
            return; // Who waits sees that nobody will answer.
        }
        waiting.push(job);
        if waiting.is_due(1) {
            self.some.notify_one();
        }
        if waiting.records >= MORE_THREADS {
            self.many.notify_all();
        }
    }

    /// The next jobs, of about as many records as go into one equation; none when the queue is closed and empty. The
    /// first thread takes what there is once it is due, the others only what has piled up.
    pub(super) fn pop(&self, thread: usize) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        let (least, wake) = if thread == 0 {
            (1, &self.some)
        } else {
            (MORE_THREADS, &self.many)
        };
        while !waiting.is_due(least) && !waiting.closed {
            waiting = wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let records = (waiting.records / self.threads).clamp(FAIR, MAX_BATCH);
        let taken = waiting.next(records);
        if taken.is_empty() { None } else { Some(taken) }
    }

    /// The trip of a batch of so many records; none when it is large, and more may follow.
    pub(super) fn trip(self: &Arc<Self>, records: usize) -> Option<Trip> {
        if records >= MORE_THREADS {
            return None;
        }
        self.lock().trips += 1;
        Some(Trip(Arc::new(OnTrip(Arc::clone(self)))))
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.some.notify_all();
        self.many.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::core::envelope::Envelope;
    use crate::core::signature::Signer;
    use crate::core::wire;

    fn waiting(records: usize, trips: usize) -> Waiting {
        Waiting {
            records,
            trips,
            ..Waiting::default()
        }
    }

    #[test]
    fn given_a_small_batch_on_its_way_when_few_wait_then_they_gather_and_many_go() {
        assert!(waiting(1, 0).is_due(1), "nothing is under way");
        assert!(!waiting(1, 1).is_due(1));
        assert!(!waiting(MORE_THREADS - 1, 1).is_due(1));
        assert!(waiting(MORE_THREADS, 1).is_due(1));
        assert!(!waiting(0, 0).is_due(1));
        assert!(!waiting(MORE_THREADS - 1, 0).is_due(MORE_THREADS));
        let with_a_stream = Waiting {
            hurried: 1,
            ..waiting(2, 1)
        };
        assert!(with_a_stream.is_due(1));
    }

    fn job(records: usize, pace: Pace) -> Job {
        let signer = Signer::from_seed(&Zeroizing::new([7; 32]));
        let record = wire::Record {
            format: 1,
            origin: "example.org/ledger".into(),
            suite: 1,
            key_id: signer.key_id().0.to_vec(),
            nonce: vec![0; 16],
            claimed_time_ms: 1_780_000_000_000,
            units: vec![wire::UnitRef {
                id: "01/10614141123459/21/1".into(),
                ..wire::UnitRef::default()
            }],
            body: Some(wire::record::Body::Scan(wire::Scan::default())),
            ..wire::Record::default()
        };
        let decoded = || Decoded::from_envelope(Envelope::sign(&record, &signer)).unwrap();
        Job {
            records: (0..records).map(|_| decoded()).collect(),
            ordered: false,
            gathers: records == 1,
            pace,
            then: Box::new(|_, _| ()),
        }
    }

    /// Records of the next batch that are live, and of the backlog.
    fn next(waiting: &mut Waiting, records: usize) -> [usize; 2] {
        let jobs = waiting.next(records);
        [Pace::Live, Pace::Backlog].map(|pace| {
            let jobs = jobs.iter().filter(|job| job.pace == pace);
            jobs.map(|job| job.records.len()).sum()
        })
    }

    #[test]
    fn given_a_backlog_when_live_records_come_then_these_go_first_and_get_half() {
        let mut waiting = Waiting::default();
        let push = |waiting: &mut Waiting, jobs, records, pace| {
            (0..jobs).for_each(|_| waiting.push(job(records, pace)));
        };
        push(&mut waiting, 10, 10, Pace::Backlog);
        push(&mut waiting, 6, 1, Pace::Live);
        assert_eq!((waiting.records, waiting.hurried), (106, 10));
        assert_eq!(next(&mut waiting, 8), [4, 10]);
        assert_eq!(next(&mut waiting, 40), [2, 40]);
        assert_eq!(next(&mut waiting, 40), [0, 40]);
        push(&mut waiting, 30, 1, Pace::Live);
        assert_eq!(next(&mut waiting, 40), [30, 10], "nothing else waits");
        push(&mut waiting, 50, 1, Pace::Live);
        assert_eq!(next(&mut waiting, 40), [40, 0]);
        assert_eq!(next(&mut waiting, 40), [10, 0]);
        push(&mut waiting, 2, 100, Pace::Live);
        push(&mut waiting, 3, 10, Pace::Backlog);
        assert_eq!(
            next(&mut waiting, 40),
            [100, 20],
            "half, also behind one that is large"
        );
        assert_eq!(next(&mut waiting, 40), [100, 10]);
        assert_eq!((waiting.records, waiting.hurried), (0, 0));
    }

    #[test]
    fn given_trips_when_the_last_arrives_then_the_next_batch_may_go() {
        let queue = Arc::new(Queue::new(1));
        let (one, two) = (queue.trip(2).unwrap(), queue.trip(2).unwrap());
        let clone = one.clone();
        assert_ne!(one, two);
        assert_eq!((&one, queue.lock().trips), (&clone, 2));
        drop((one, two));
        assert_eq!(queue.lock().trips, 1);
        drop(clone);
        assert_eq!(queue.lock().trips, 0);
        assert_eq!(queue.trip(MORE_THREADS), None, "a large batch");
        assert_eq!(queue.lock().trips, 0);
    }
}
