//! The audit: replays the whole log and trusts nothing but the log's key.
//!
//! ```text
//!  entries ─► decode, hash (all cores) ─► judge again, compare (in order) ─► signatures (all cores)
//! ```
//!
//! Every entry is decoded, judged again by `apply`, its verdict and its very bytes compared, its
//! signature checked, and hashed into a tree whose root has to be the checkpoint's. What it keeps
//! meanwhile is in memory, or in a new store, which is then a ledger rebuilt from its log.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use prost::bytes::Bytes;

use crate::core::apply::state::{Changes, Ledgers, Read, Tallies};
use crate::core::apply::{self, Focus, Placed, put_entry};
use crate::core::bundle::{DecodedEntry, decode_entry, signing_key};
use crate::core::envelope::{RecordId, SignedHead};
use crate::core::record::Millis;
use crate::core::signature::{BatchItem, DecodedKey, KeyRef, SIGNATURE_BYTES, verify_batch};
use crate::core::tlog::frontier::Frontier;
use crate::core::tlog::{Hash, LogIndex, leaf_hash};
use crate::store::InMemory;

/// Entries that are decoded in one go.
const BATCH: usize = 128;
/// Signatures in one batch equation. Nobody waits for an answer, so it has more than an equation of the server: the
/// sums of its columns are shared by more, and so are the terms of keys that signed more than once.
const SIGNATURES: usize = 4_096;
/// Bytes of payloads in one batch equation, but for the last one.
const SIGNED_BYTES: usize = 8 << 20;
/// Keys that each thread keeps decoded; some 200 bytes each.
const MAX_KEYS: usize = 65_536;
/// Batches of signatures that may wait for a thread.
const WAITING: usize = 8;
/// Batches of entries that are being decoded ahead.
const AHEAD: usize = 8;

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
    /// The name that the genesis record gives the ledger; none where there is no entry.
    pub origin: Option<String>,
    /// Entries.
    pub entries: u64,
    /// Units commissioned.
    pub units: u64,
    /// Findings.
    pub findings: u64,
    /// Root of the tree over the entries.
    pub root: Hash,
}

/// An entry that is well-formed; nothing else is known of it yet.
struct WellFormed {
    bytes: Bytes,
    entry: DecodedEntry,
    id: RecordId,
    leaf: Hash,
}

struct Signed {
    index: u64,
    key: [u8; 32],
    payload: Bytes,
    signature: [u8; SIGNATURE_BYTES],
}

/// Decoded entries in order, or what is wrong with one.
type Batch = Vec<Result<WellFormed, String>>;

/// Bytes of entries, and who waits for them.
type ToDecode = (Vec<Bytes>, mpsc::Sender<Batch>);

/// An entry that is what the rules make of it.
#[derive(Debug)]
pub struct Replayed {
    /// Its bytes.
    pub bytes: Bytes,
    /// Their hash in the tree.
    pub leaf: Hash,
    /// What it does to the views.
    pub changes: Changes,
}

/// Where an audit keeps the views while it replays.
pub trait Views: Read {
    /// Takes the next entry: from here on the views count it in.
    ///
    /// # Errors
    /// Says in words why it can't be kept.
    fn take(&mut self, entry: Replayed) -> Result<(), String>;
}

impl Views for InMemory {
    fn take(&mut self, entry: Replayed) -> Result<(), String> {
        self.merge(entry.changes).map_err(|error| error.to_string())
    }
}

/// An audit under way.
pub struct Auditor<V = InMemory> {
    state: V,
    frontier: Frontier,
    last_time: Millis,
    /// Entries that were given.
    taken: u64,
    raw: Vec<Bytes>,
    ahead: VecDeque<mpsc::Receiver<Batch>>,
    signed: Vec<Signed>,
    signed_bytes: usize,
    to_decode: mpsc::Sender<ToDecode>,
    to_check: mpsc::SyncSender<Vec<Signed>>,
    workers: Vec<JoinHandle<()>>,
    /// The first entry whose signature doesn't verify.
    bad: Arc<AtomicU64>,
}

impl Auditor {
    /// Starts the threads; the views are kept in memory.
    #[must_use]
    pub fn start() -> Self {
        Self::over(InMemory::default())
    }
}

impl<V: Views> Auditor<V> {
    /// Starts the threads, with views that have nothing in them.
    #[must_use]
    pub fn over(state: V) -> Self {
        // What is judged next never waits behind signatures, which nobody waits for.
        let (to_decode, raw) = mpsc::channel();
        let (to_check, signed) = mpsc::sync_channel(WAITING);
        let (raw, signed) = (Arc::new(Mutex::new(raw)), Arc::new(Mutex::new(signed)));
        let bad = Arc::new(AtomicU64::new(u64::MAX));
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        let decoders = (0..threads).map(|_| {
            let raw = Arc::clone(&raw);
            std::thread::spawn(move || decode_all(&raw))
        });
        let checkers = (0..threads).map(|_| {
            let (signed, bad) = (Arc::clone(&signed), Arc::clone(&bad));
            std::thread::spawn(move || check_all(&signed, &bad))
        });
        let workers = decoders.chain(checkers).collect();
        Self {
            state,
            frontier: Frontier::new(),
            last_time: Millis(0),
            taken: 0,
            raw: Vec::with_capacity(BATCH),
            ahead: VecDeque::new(),
            signed: Vec::with_capacity(SIGNATURES),
            signed_bytes: 0,
            to_decode,
            to_check,
            workers,
            bad,
        }
    }

    /// Takes the next entry of the log. It is judged a little later, so an error may be about an
    /// entry that was taken before.
    ///
    /// # Errors
    /// [`AuditError`] when an entry is not what the rules make of it.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), AuditError> {
        self.taken += 1;
        self.raw.push(bytes);
        if self.raw.len() == BATCH {
            self.decode();
        }
        while self.ahead.len() > AHEAD {
            self.judge_next()?;
        }
        Ok(())
    }

    fn decode(&mut self) {
        let raw = std::mem::replace(&mut self.raw, Vec::with_capacity(BATCH));
        let (reply, decoded) = mpsc::channel();
        self.ahead.push_back(decoded);
        // The threads end only after the sender is dropped.
        let _ = self.to_decode.send((raw, reply));
    }

    fn judge_next(&mut self) -> Result<(), AuditError> {
        let Some(batch) = self.ahead.pop_front() else {
            return Ok(());
        };
        let batch = batch.recv().map_err(|_| AuditError {
            index: self.frontier.size().get(),
            what: "the thread that decodes it ended".into(),
        })?;
        for decoded in batch {
            let index = self.frontier.size().get();
            let judged = decoded.and_then(|given| self.judge(index, given));
            judged.map_err(|what| AuditError { index, what })?;
        }
        Ok(())
    }

    fn judge(&mut self, index: u64, given: WellFormed) -> Result<(), String> {
        let DecodedEntry {
            envelope,
            record,
            time,
            verdict,
        } = given.entry;
        if time < self.last_time {
            return Err("its time lies before that of the entry before".into());
        }
        let key =
            signing_key(&self.state, &record).ok_or("no entry before it registers its key")?;
        let placed = Placed {
            index: LogIndex(index),
            time,
            id: given.id,
            record: &record,
        };
        let applied = apply::apply(&self.state, placed, Focus::All)
            .map_err(|error| format!("the rules refuse it: {error}"))?;
        if applied.verdict != verdict {
            return Err("its verdict is not the one that the rules give".into());
        }
        self.state.take(Replayed {
            bytes: given.bytes,
            leaf: given.leaf,
            changes: applied.changes,
        })?;
        self.last_time = time;
        self.frontier
            .append(given.leaf)
            .map_err(|_| "the log is longer than a log can be")?;
        self.signed_bytes += envelope.payload.len();
        self.signed.push(Signed {
            index,
            key,
            payload: envelope.payload,
            signature: envelope.signature,
        });
        if self.signed.len() == SIGNATURES || self.signed_bytes >= SIGNED_BYTES {
            self.check();
        }
        Ok(())
    }

    fn check(&mut self) {
        let signed = std::mem::replace(&mut self.signed, Vec::with_capacity(SIGNATURES));
        self.signed_bytes = 0;
        let _ = self.to_check.send(signed);
    }

    /// Waits for the last entries and signatures and says what was covered; and gives the views back.
    ///
    /// # Errors
    /// [`AuditError`] for the first entry that is wrong.
    pub fn finish(mut self) -> Result<(Audited, V), AuditError> {
        self.decode();
        while !self.ahead.is_empty() {
            self.judge_next()?;
        }
        self.check();
        drop((self.to_decode, self.to_check));
        for worker in self.workers {
            worker.join().map_err(|_| AuditError {
                index: self.frontier.size().get(),
                what: "a thread that decodes or checks signatures panicked".into(),
            })?;
        }
        let bad = self.bad.load(Ordering::Acquire);
        if bad != u64::MAX {
            return Err(AuditError {
                index: bad,
                what: "its signature doesn't verify".into(),
            });
        }
        let ledger = self.state.get::<Ledgers>(&()).ok().flatten();
        let tally = self.state.get::<Tallies>(&()).ok().flatten();
        let tally = tally.unwrap_or_default();
        let audited = Audited {
            origin: ledger.map(|ledger| ledger.origin.clone()),
            entries: self.frontier.size().get(),
            units: tally.units,
            findings: tally.findings,
            root: self.frontier.root(),
        };
        Ok((audited, self.state))
    }

    /// Entries taken so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.taken
    }
}

/// The next one, or none when there will be no more.
fn next<T>(queue: &Mutex<mpsc::Receiver<T>>) -> Option<T> {
    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.recv().ok()
}

fn decode_all(queue: &Mutex<mpsc::Receiver<ToDecode>>) {
    while let Some((raw, reply)) = next(queue) {
        // Who asked may have given up on the audit.
        let mut again = Vec::new();
        let decoded = raw.into_iter().map(|bytes| decode(bytes, &mut again));
        let _ = reply.send(decoded.collect());
    }
}

fn check_all(queue: &Mutex<mpsc::Receiver<Vec<Signed>>>, bad: &AtomicU64) {
    let mut keys = HashMap::new();
    while let Some(signed) = next(queue) {
        check(&signed, &mut keys, bad);
    }
}

/// Decodes an entry, which is encoded anew into a buffer.
fn decode(bytes: Bytes, again: &mut Vec<u8>) -> Result<WellFormed, String> {
    let entry = decode_entry(&bytes)?;
    again.clear();
    // With the verdict that it states, which is compared with that of the rules.
    put_entry(&entry.envelope, entry.time, &entry.verdict, again);
    if *again != bytes {
        return Err("its bytes are not those of its content".into());
    }
    Ok(WellFormed {
        id: entry.envelope.record_id(),
        leaf: leaf_hash(&bytes),
        bytes,
        entry,
    })
}

fn check(signed: &[Signed], keys: &mut HashMap<[u8; 32], DecodedKey>, bad: &AtomicU64) {
    for one in signed {
        if keys.contains_key(&one.key) {
            continue;
        }
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        if let Some(key) = DecodedKey::new(one.key) {
            keys.insert(one.key, key);
        }
    }
    let key = |one| keys.get(one).map_or(KeyRef::Bytes(one), KeyRef::Decoded);
    let heads = signed.iter().map(|one| SignedHead::of(&one.payload));
    let heads: Vec<SignedHead> = heads.collect();
    let items: Vec<BatchItem<'_>> = signed
        .iter()
        .zip(&heads)
        .map(|(one, head)| BatchItem {
            key: key(&one.key),
            message: [head.as_slice(), &one.payload],
            signature: &one.signature,
        })
        .collect();
    for (one, valid) in signed.iter().zip(verify_batch(&items)) {
        if !valid {
            bad.fetch_min(one.index, Ordering::AcqRel);
        }
    }
}
