//! What waits for the threads that check signatures.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::{Admissions, Decoded, MAX_BATCH};

/// Records that have to wait before one more thread takes part. Until then one thread does it in
/// larger batches, which costs less a record than two in small ones.
const MORE_THREADS: usize = 96;

/// A thread takes so many at least, where there are as many; beyond it, threads share what has piled up, so that none
/// waits for another that took it all.
const FAIR: usize = 128;

/// What is done with the admissions of a job, on the thread that made them.
pub(super) type Then = Box<dyn FnOnce(Admissions) + Send>;

/// Records to check, and what happens then.
pub(super) struct Job {
    pub records: Vec<Decoded>,
    /// Whether they are in the order already.
    pub ordered: bool,
    pub then: Then,
}

/// Jobs in order. Who puts one in has places for its records in the order, and that bounds it.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    some: Condvar,
    many: Condvar,
    threads: usize,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    records: usize,
    closed: bool,
}

impl Queue {
    /// For so many threads, one at least.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            some: Condvar::new(),
            many: Condvar::new(),
            threads: threads.max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A thread that panicked while it held the lock left the queue as it was.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, job: Job) {
        let mut waiting = self.lock();
        if waiting.closed {
            return; // Who waits sees that nobody will answer.
        }
        waiting.records += job.records.len();
        waiting.jobs.push_back(job);
        self.some.notify_one();
        if waiting.records >= MORE_THREADS {
            self.many.notify_all();
        }
    }

    /// The next jobs, of about as many records as go into one equation; none when the queue is closed and empty. The
    /// first thread takes what there is, the others only what has piled up.
    pub(super) fn pop(&self, thread: usize) -> Option<Vec<Job>> {
        let mut waiting = self.lock();
        let (least, wake) = if thread == 0 {
            (1, &self.some)
        } else {
            (MORE_THREADS, &self.many)
        };
        while waiting.records < least && !waiting.closed {
            waiting = wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let records = (waiting.records / self.threads).clamp(FAIR, MAX_BATCH);
        let mut taken = Vec::new();
        let mut count = 0;
        while count < records {
            let Some(job) = waiting.jobs.pop_front() else {
                break;
            };
            waiting.records -= job.records.len();
            count += job.records.len();
            taken.push(job);
        }
        if taken.is_empty() { None } else { Some(taken) }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.some.notify_all();
        self.many.notify_all();
    }
}
