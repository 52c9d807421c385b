//! Admission: from what a peer sent to a record whose form and signature are right.
//!
//! It runs in parallel and before the order. A pool of threads, one a core, checks signatures in
//! batches that are as large as what has queued, so that nothing waits for a batch to fill. It
//! reads only public keys, which never change once registered; whether a key *may* sign is for
//! `apply` to say, at the record's place in the order.

mod queue;
mod quota;

use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use foldhash::{HashMap, HashMapExt as _};
use tokio::sync::oneshot;

pub use queue::Trip;
use queue::{Job, Queue};
pub use quota::{Quota, QuotaConfig};

use crate::core::apply::state::{Actor, Keys, Read};
use crate::core::bundle::signing_key;
use crate::core::envelope::{Envelope, EnvelopeError, RecordId, SignedHead};
use crate::core::record::{Kind, Record};
use crate::core::refusal::{Reason, Refusal};
use crate::core::signature::{BatchItem, DecodedKey, KeyId, KeyRef, verify_batch};
use crate::core::wire;
use crate::store::Store;

/// Most signatures in one batch equation: a tenth cheaper each than in one of 128, and larger ones are no cheaper.
pub const MAX_BATCH: usize = 512;
/// A job of so many records may wait for others to join it; a larger one is a batch of its own.
const FEW: usize = 8;
/// Keys that the cache holds; at some 280 bytes each, decoded.
const MAX_CACHED_KEYS: usize = 1 << 18;

/// Whether more waits behind what was sent, as far as the server sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Nothing more of the same stream was there: scanners as they scan, and single calls.
    Live,
    /// A batch was full before the stream was empty: who sends what was kept for hours. It takes its turn behind what is
    /// live, and yet gets half of everything.
    Backlog,
}

/// Bytes of a payload that a place in the order's queue is for. Most records need one; a pallet's takes as many more as
/// it is larger, so that what has places is bounded in bytes as well.
const PLACE_BYTES: usize = 1_024;

fn places(envelope: &Envelope) -> usize {
    envelope.payload.len().div_ceil(PLACE_BYTES).max(1)
}

/// A record whose form is right; its signature isn't checked yet.
#[derive(Debug)]
pub struct Decoded {
    envelope: Envelope,
    record: Box<Record>,
}

impl Decoded {
    /// Checks frame and form.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field and the rule.
    pub fn from_wire(envelope: Option<wire::Envelope>) -> Result<Self, Refusal> {
        let envelope =
            envelope.ok_or_else(|| Refusal::field("envelope", "the request has no envelope"))?;
        let envelope = Envelope::from_wire(&envelope).map_err(|error| {
            let field = match error {
                EnvelopeError::TooLarge(_) => "envelope",
                EnvelopeError::Empty => "envelope.payload",
                EnvelopeError::KeyIdLength(_) => "envelope.key_id",
                EnvelopeError::SignatureLength(_) => "envelope.signature",
            };
            Refusal::field(field, error.to_string())
        })?;
        Self::from_envelope(envelope)
    }

    /// Places that it takes on its way.
    #[must_use]
    pub fn places(&self) -> usize {
        places(&self.envelope)
    }

    /// Checks the form of what is in a frame.
    ///
    /// # Errors
    /// A [`Refusal`] that names the field and the rule.
    pub fn from_envelope(envelope: Envelope) -> Result<Self, Refusal> {
        let record = Record::decode(&envelope.payload)?;
        if record.key_id != envelope.key_id {
            return Err(Refusal::new(
                Reason::KeyMismatch,
                "the envelope and the record name two keys",
            )
            .at("envelope.key_id"));
        }
        Ok(Self {
            envelope,
            record: Box::new(record),
        })
    }
}

/// A record whose form and signature are right.
#[derive(Debug)]
pub struct Admitted {
    /// As it was sent.
    pub envelope: Envelope,
    /// What it says; in a box, since it goes through many hands.
    pub record: Box<Record>,
    /// Its id.
    pub id: RecordId,
}

impl Admitted {
    /// Places that it takes on its way.
    #[must_use]
    pub fn places(&self) -> usize {
        places(&self.envelope)
    }
}

/// A record that is not admitted.
#[derive(Debug)]
pub struct Rejected {
    /// As it was sent.
    pub envelope: Envelope,
    /// Why.
    pub refusal: Refusal,
}

/// What came of each record of a job, in the order given; fewer when the server is ending.
pub type Admissions = Vec<Result<Admitted, Box<Rejected>>>;

/// The pool. When it is dropped its threads have ended and let go of the store, so that the store
/// is never closed while the process exits: RocksDB would then free twice what it shares.
pub struct Admission {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic of the thread is no news here: its records were not answered.
            let _ = thread.join();
        }
    }
}

impl Admission {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// The system's, when a thread can't be started.
    pub fn start(store: &Arc<Store>, quota: Quota, threads: usize) -> std::io::Result<Self> {
        let worker = Arc::new(Worker {
            store: Arc::clone(store),
            keys: RwLock::new(HashMap::new()),
            quota,
        });
        let mut pool = Self {
            queue: Arc::new(Queue::new(threads)),
            threads: Vec::new(),
        };
        for i in 0..threads.max(1) {
            let (queue, worker) = (Arc::clone(&pool.queue), Arc::clone(&worker));
            let thread = std::thread::Builder::new()
                .name(format!("admit-{i}"))
                .spawn(move || worker.run(&queue, i))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Checks records; the answer has one result for each, in order.
    pub async fn admit(&self, records: Vec<Decoded>) -> Admissions {
        if records.is_empty() {
            return Vec::new(); // Threads wake for records, not for jobs.
        }
        self.push(records, false).await.unwrap_or_default()
    }

    /// Checks records, of which there is at least one, and goes on with them on the thread that did. If they are few and
    /// whoever keeps the [`Trip`] does so until they are answered, the next few gather meanwhile.
    pub fn admit_then(
        &self,
        records: Vec<Decoded>,
        pace: Pace,
        then: impl FnOnce(Admissions, Option<Trip>) + Send + 'static,
    ) {
        self.queue.push(Job {
            gathers: pace == Pace::Live && records.len() <= FEW,
            pace,
            records,
            ordered: false,
            then: Box::new(then),
        });
    }

    /// Checks records that are in the order already: nobody's quota counts any more.
    #[must_use]
    pub fn check_ordered(&self, records: Vec<Decoded>) -> oneshot::Receiver<Admissions> {
        self.push(records, true)
    }

    fn push(&self, records: Vec<Decoded>, ordered: bool) -> oneshot::Receiver<Admissions> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Job {
            records,
            ordered,
            gathers: false,
            pace: Pace::Live,
            // Whoever asked may be gone: then nobody wants the answer.
            then: Box::new(|admissions, _| drop(reply.send(admissions))),
        });
        answer
    }
}

/// The refusal of a server that is ending.
#[must_use]
pub fn shutting_down() -> Refusal {
    Refusal::new(
        Reason::ShuttingDown,
        "the server is shutting down; send the same envelope again",
    )
}

/// A registered public key, and whose it is.
struct Signer {
    key: DecodedKey,
    owner: Actor,
}

/// The key that has to have signed.
enum Known {
    Registered(Arc<Signer>),
    /// Of whoever registers: nobody's quota counts.
    Own([u8; 32]),
}

impl Known {
    fn key(&self) -> KeyRef<'_> {
        match self {
            Self::Registered(signer) => KeyRef::Decoded(&signer.key),
            Self::Own(key) => KeyRef::Bytes(key),
        }
    }

    /// Whose quota its records take.
    fn owner(&self) -> Option<Actor> {
        match self {
            Self::Registered(signer) => Some(signer.owner),
            Self::Own(_) => None,
        }
    }
}

struct Worker {
    store: Arc<Store>,
    keys: RwLock<HashMap<KeyId, Arc<Signer>>>,
    quota: Quota,
}

impl Worker {
    fn run(&self, queue: &Arc<Queue>, thread: usize) {
        while let Some(jobs) = queue.pop(thread) {
            self.check(queue, jobs);
        }
    }

    fn check(&self, queue: &Arc<Queue>, jobs: Vec<Job>) {
        let mut nexts = Vec::with_capacity(jobs.len());
        let mut records = Vec::new();
        for job in jobs {
            nexts.push((job.then, job.records.len()));
            let ordered = job.ordered;
            records.extend(job.records.into_iter().map(|record| (record, ordered)));
        }
        let trip = queue.trip(records.len());
        let mut results = self.check_all(records).into_iter();
        let going_on = trip.is_some().then(|| queue.going_on());
        for (then, count) in nexts {
            then(results.by_ref().take(count).collect(), trip.clone());
        }
        drop(going_on);
    }

    /// Checks records; of those that are in the order already, nobody's quota is taken.
    fn check_all(&self, records: Vec<(Decoded, bool)>) -> Admissions {
        let keys: Vec<Result<Known, Refusal>> = records
            .iter()
            .zip(self.cached(&records))
            .map(|((decoded, _), cached)| self.key(&decoded.record, cached))
            .collect();
        let mut valid = Vec::with_capacity(records.len());
        let heads = records.iter();
        let heads = heads.map(|(decoded, _)| SignedHead::of(&decoded.envelope.payload));
        let heads: Vec<SignedHead> = heads.collect();
        let known: Vec<BatchItem<'_>> = records
            .iter()
            .zip(&heads)
            .zip(&keys)
            .filter_map(|(((decoded, _), head), key)| {
                let envelope = &decoded.envelope;
                Some(BatchItem {
                    key: key.as_ref().ok()?.key(),
                    message: [head.as_slice(), &envelope.payload],
                    signature: &envelope.signature,
                })
            })
            .collect();
        for batch in known.chunks(MAX_BATCH) {
            valid.extend(verify_batch(batch));
        }
        let mut valid = valid.into_iter();
        let mut takings = self.quota.takings();
        let mut admit = |(decoded, ordered): (Decoded, bool), key: Result<Known, Refusal>| {
            let checked = key.and_then(|key| {
                if !valid.next().unwrap_or(false) {
                    let message = format!(
                        "the signature is not that of key {} over these bytes",
                        decoded.record.key_id
                    );
                    return Err(
                        Refusal::new(Reason::BadSignature, message).at("envelope.signature")
                    );
                }
                // Only now: else forgeries in its name would use up a holder's quota.
                if ordered {
                    Ok(())
                } else {
                    takings.take(key.owner())
                }
            });
            let Decoded { envelope, record } = decoded;
            match checked {
                Ok(()) => Ok(Admitted {
                    id: envelope.record_id(),
                    envelope,
                    record,
                }),
                Err(refusal) => Err(Box::new(Rejected { envelope, refusal })),
            }
        };
        let records = records.into_iter().zip(keys);
        records.map(|(decoded, key)| admit(decoded, key)).collect()
    }

    /// The key that has to have signed.
    fn key(&self, record: &Record, cached: Option<Arc<Signer>>) -> Result<Known, Refusal> {
        if matches!(record.kind(), Kind::Genesis | Kind::RegisterParty) {
            let key = signing_key(&*self.store, record).ok_or_else(|| {
                Refusal::new(
                    Reason::KeyMismatch,
                    "a registration is signed by the key that it registers",
                )
                .at("key_id")
            })?;
            return Ok(Known::Own(key));
        }
        let signer = match cached {
            Some(known) => known,
            None => self.load_key(record.key_id)?,
        };
        Ok(Known::Registered(signer))
    }

    /// What is known already of the keys that the records name.
    fn cached(&self, records: &[(Decoded, bool)]) -> Vec<Option<Arc<Signer>>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let known = |(decoded, _): &(Decoded, bool)| keys.get(&decoded.record.key_id).cloned();
        records.iter().map(known).collect()
    }

    fn load_key(&self, id: KeyId) -> Result<Arc<Signer>, Refusal> {
        let key = self
            .store
            .get::<Keys>(&id)
            .map_err(|error| Refusal::new(Reason::Storage, error.to_string()))?;
        let key = key.ok_or_else(|| {
            Refusal::new(
                Reason::UnknownKey,
                format!(
                    "key {id} is not registered; register the party, add or delegate the key first"
                ),
            )
            .at("key_id")
        })?;
        let decoded = DecodedKey::new(*key.public.as_bytes()).ok_or_else(|| {
            let message = format!("key {id} is registered, and no point of the curve");
            Refusal::new(Reason::Storage, message)
        })?;
        let known = Arc::new(Signer {
            key: decoded,
            owner: key.owner,
        });
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_CACHED_KEYS {
            keys.clear();
        }
        keys.insert(id, Arc::clone(&known));
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_payloads_when_they_take_places_then_one_for_each_kibibyte_that_was_begun() {
        let places = |bytes| {
            places(&Envelope {
                payload: vec![0; bytes].into(),
                key_id: KeyId([0; 16]),
                signature: [0; 64],
            })
        };
        assert_eq!([0, 1, 1_024, 1_025, 49_152].map(places), [1, 1, 1, 2, 48]);
    }
}
