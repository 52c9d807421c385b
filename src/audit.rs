//! The audit: replays the whole log and trusts nothing but the log's key.
//!
//! Every entry is decoded, its signature checked, judged again by `apply`, its verdict and its very
//! bytes compared, and hashed into a tree whose root has to be the checkpoint's. Signatures are
//! checked in batches on all cores while the next entries are judged.

use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::core::apply::state::{Changes, Read, Tallies};
use crate::core::apply::{self, Focus, Placed, encode_entry};
use crate::core::bundle::{decode_entry, signing_key};
use crate::core::envelope::record_id;
use crate::core::record::Millis;
use crate::core::signature::{BatchItem, SIGNATURE_BYTES, verify_batch};
use crate::core::tlog::frontier::Frontier;
use crate::core::tlog::{Hash, LogIndex, leaf_hash};

/// Signatures in one batch equation.
const BATCH: usize = 128;
/// Batches that may wait for a thread.
const WAITING: usize = 64;

/// What the audit found wrong, and where.
#[derive(Debug, thiserror::Error)]
#[error("entry {index}: {what}")]
pub struct AuditError {
    /// The entry.
    pub index: u64,
    /// What is wrong with it.
    pub what: String,
}

/// What a passed audit covered.
#[derive(Clone, Debug)]
pub struct Audited {
    /// Entries.
    pub entries: u64,
    /// Units commissioned.
    pub units: u64,
    /// Findings.
    pub findings: u64,
    /// Root of the tree over the entries.
    pub root: Hash,
}

struct Signed {
    index: u64,
    key: [u8; 32],
    message: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
}

/// An audit under way.
pub struct Auditor {
    state: Changes,
    frontier: Frontier,
    last_time: Millis,
    batch: Vec<Signed>,
    batches: Option<mpsc::SyncSender<Vec<Signed>>>,
    checkers: Vec<JoinHandle<Option<u64>>>,
}

impl Auditor {
    /// Starts the threads that check signatures.
    #[must_use]
    pub fn start() -> Self {
        let (batches, queue) = mpsc::sync_channel::<Vec<Signed>>(WAITING);
        let queue = std::sync::Arc::new(std::sync::Mutex::new(queue));
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        let checkers = (0..threads)
            .map(|_| {
                let queue = std::sync::Arc::clone(&queue);
                std::thread::spawn(move || check_batches(&queue))
            })
            .collect();
        Self {
            state: Changes::default(),
            frontier: Frontier::new(),
            last_time: Millis(0),
            batch: Vec::with_capacity(BATCH),
            batches: Some(batches),
            checkers,
        }
    }

    /// Takes the next entry of the log.
    ///
    /// # Errors
    /// [`AuditError`] when it is not what the rules make of it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), AuditError> {
        let index = self.frontier.size().get();
        let wrong = |what: String| AuditError { index, what };
        let (envelope, record, time, verdict) = decode_entry(bytes).map_err(wrong)?;
        if time < self.last_time {
            return Err(wrong(
                "its time lies before that of the entry before".into(),
            ));
        }
        let key = signing_key(&self.state, &record)
            .ok_or_else(|| wrong("no entry before it registers its key".into()))?;
        let message = envelope.signed_bytes();
        let id = record_id(&message);
        let placed = Placed {
            index: LogIndex(index),
            time,
            id,
            record: &record,
        };
        let applied = apply::apply(&self.state, placed, Focus::All)
            .map_err(|error| wrong(format!("the rules refuse it: {error}")))?;
        if applied.verdict != verdict {
            return Err(wrong(
                "its verdict is not the one that the rules give".into(),
            ));
        }
        if encode_entry(&envelope, time, &applied.verdict) != bytes {
            return Err(wrong("its bytes are not those of its content".into()));
        }
        self.state.merge(applied.changes);
        self.last_time = time;
        self.frontier
            .append(leaf_hash(bytes))
            .map_err(|_| wrong("the log is longer than a log can be".into()))?;
        self.batch.push(Signed {
            index,
            key,
            message,
            signature: envelope.signature,
        });
        if self.batch.len() == BATCH {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        if let Some(batches) = &self.batches
            && batches.send(batch).is_err()
        {
            // All threads found a bad signature and ended; `finish` says which.
            self.batches = None;
        }
    }

    /// Waits for the last signatures and says what was covered.
    ///
    /// # Errors
    /// [`AuditError`] for the first signature that doesn't verify.
    pub fn finish(mut self) -> Result<Audited, AuditError> {
        self.flush();
        self.batches = None;
        let mut bad: Option<u64> = None;
        for checker in self.checkers {
            let found = checker.join().unwrap_or(Some(0));
            bad = bad.into_iter().chain(found).min();
        }
        if let Some(index) = bad {
            return Err(AuditError {
                index,
                what: "its signature doesn't verify".into(),
            });
        }
        let tally = self.state.get::<Tallies>(&()).ok().flatten();
        let tally = tally.unwrap_or_default();
        Ok(Audited {
            entries: self.frontier.size().get(),
            units: tally.units,
            findings: tally.findings,
            root: self.frontier.root(),
        })
    }

    /// Entries taken so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size().get()
    }

    /// Root of the tree over the entries taken so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The views that the entries so far give.
    #[must_use]
    pub const fn state(&self) -> &Changes {
        &self.state
    }
}

fn check_batches(queue: &std::sync::Mutex<mpsc::Receiver<Vec<Signed>>>) -> Option<u64> {
    loop {
        let batch = {
            let queue = queue
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            queue.recv()
        };
        let Ok(batch) = batch else { return None };
        let items: Vec<BatchItem<'_>> = batch
            .iter()
            .map(|s| BatchItem {
                key: &s.key,
                message: &s.message,
                signature: &s.signature,
            })
            .collect();
        let first_bad = verify_batch(&items).iter().position(|valid| !valid);
        if let Some(bad) = first_bad.and_then(|i| batch.get(i)) {
            return Some(bad.index);
        }
    }
}
