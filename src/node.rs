//! A running ledger: the steps of the flow wired to each other.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

use crate::admit::{
    Admission, Admissions, Admitted, Decoded, Pace, Quota, QuotaConfig, Trip, shutting_down,
};
use crate::cluster::snapshot::Linked;
use crate::cluster::{self, Cluster, ClusterError, ClusterOptions};
use crate::commit::{CommitError, Committer};
use crate::core::apply::state::{Ledgers, Read};
use crate::core::id::UnitId;
use crate::core::record::Millis;
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::TreeSize;
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::tlog::note::{NoteSigner, NoteVerifier};
use crate::network::{Limits, Part};
use crate::private::{self, Change, ChangeError, Retention};
use crate::sequence::{self, Answer, Answers, Places, Reply, Sequencer, Submissions};
use crate::signals::{Asked, LookUps, Watching};
use crate::store::{LogHead, Store, StoreError, StoreOptions};

/// Reads off the serving threads that go on at once, for each core: enough to hide that a thread
/// takes a while to wake, few enough that cold ones don't pile up.
const READS_PER_CORE: usize = 32;
/// The same of look-ups that wait for the disk: they have places of their own, so that none waits behind a report.
const LOOK_UPS_PER_CORE: usize = 8;
/// So many places for records on their way there are at least, so that most batches of a stream find room.
const MIN_ON_THEIR_WAY: usize = 256;
/// And so many at most: at up to a kilobyte each, and what is made of it, they would be all the memory there is.
const MAX_ON_THEIR_WAY: usize = 1 << 22;
/// Most streams of callers who show a token that are open at once.
const MAX_STREAMS: usize = 4_096;

/// What a node is told.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Of the store.
    pub store: StoreOptions,
    /// How fast parties may fill the log.
    pub quota: QuotaConfig,
    /// Threads that check signatures.
    pub admit_threads: usize,
    /// Places for records on their way to the order, most of which take one; more is backpressure.
    pub on_their_way: usize,
    /// How much of what callers share one network may have.
    pub network_part: Part,
    /// How long personal data is kept.
    pub retention: Retention,
    /// Font of reports; none is the first one that is found.
    pub report_font: Option<PathBuf>,
    /// The cluster that the node is part of; none is a ledger of one process.
    pub cluster: Option<ClusterOptions>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            store: StoreOptions::default(),
            quota: QuotaConfig::default(),
            admit_threads: std::thread::available_parallelism().map_or(1, Into::into),
            on_their_way: 16_384,
            network_part: Part::default(),
            retention: Retention::default(),
            report_font: None,
            cluster: None,
        }
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum NodeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the store has no genesis record; make the ledger anew with `custody init`")]
    NoGenesis,
    #[error("the log's key is {key}, but the ledger's origin is {origin}")]
    WrongKey { key: String, origin: String },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(
        "the ledger here is part of a cluster: alone it would go another way than the others; start it with \
         --cluster"
    )]
    OfCluster,
}

/// A running ledger.
pub struct Node {
    store: Arc<Store>,
    origin: String,
    signer: NoteSigner,
    admission: Arc<Admission>,
    cluster: Option<Cluster>,
    submissions: std::sync::RwLock<Option<Submissions>>,
    head: watch::Receiver<LogHead>,
    closing: AtomicBool,
    failed: watch::Receiver<bool>,
    streams: Arc<Semaphore>,
    limits: Limits,
    reads: Arc<Semaphore>,
    look_ups_off: Arc<Semaphore>,
    committer: std::sync::Mutex<Option<JoinHandle<()>>>,
    watching: std::sync::Mutex<Option<Watching>>,
    events: watch::Receiver<u64>,
    look_ups: Arc<LookUps>,
    retention: Retention,
    erased: Arc<Notify>,
    report_font: Option<PathBuf>,
}

/// What came of records that were to go into the order together.
#[derive(Debug)]
pub enum Entered {
    /// All are in the order.
    InOrder,
    /// Some are not admitted, and none is in the order.
    Not {
        /// What came of each.
        admissions: Admissions,
        /// Where their answers go.
        reply: Reply,
    },
}

impl Node {
    /// Opens the store and starts the threads of the flow, within a Tokio runtime that gives out the answers.
    ///
    /// # Panics
    /// Outside of a runtime.
    ///
    /// # Errors
    /// [`NodeError`] says what is in the way.
    pub fn start(
        path: &Path,
        signer: NoteSigner,
        options: &NodeOptions,
    ) -> Result<Arc<Self>, NodeError> {
        Linked::clean(path);
        let store = Arc::new(Store::open(path, &options.store)?);
        let ledger = store.get::<Ledgers>(&()).map_err(StoreError::from)?;
        let origin = ledger.ok_or(NodeError::NoGenesis)?.origin.clone();
        let name = signer.verifier().name().as_str().to_owned();
        if name != origin {
            return Err(NodeError::WrongKey { key: name, origin });
        }
        let admission = Admission::start(&store, Quota::new(options.quota), options.admit_threads)?;
        let admission = Arc::new(admission);
        let on_their_way = options.on_their_way;
        let (submissions, queue) =
            sequence::queue(on_their_way.clamp(MIN_ON_THEIR_WAY, MAX_ON_THEIR_WAY));
        let (committer, head) = Committer::new(Arc::clone(&store), options.store.remembered_units)?;
        let erased = committer.erased();
        let (failing, failed) = watch::channel(false);
        let (cluster, thread) = match &options.cluster {
            None if store.last_group()?.is_some() => return Err(NodeError::OfCluster),
            None => (
                None,
                apply(committer, sequence::Local::new(queue), failing)?,
            ),
            Some(options) => {
                let parts = cluster::Parts {
                    store: Arc::clone(&store),
                    origin: origin.clone(),
                    queue,
                    admission: Arc::clone(&admission),
                    synced: committer.synced(),
                    failing: failing.clone(),
                    outer: tokio::runtime::Handle::current(),
                };
                let (cluster, ordered) = cluster::start(options, &signer, parts)?;
                (Some(cluster), apply(committer, ordered, failing)?)
            }
        };
        let look_ups = Arc::new(LookUps::default());
        let (watching, events) =
            Watching::start(Arc::clone(&store), Arc::clone(&look_ups), sequence::now)?;
        Ok(Arc::new(Self {
            store,
            origin,
            signer,
            admission,
            cluster,
            submissions: std::sync::RwLock::new(Some(submissions)),
            head,
            closing: AtomicBool::new(false),
            failed,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            limits: Limits::new(options.network_part),
            reads: Arc::new(Semaphore::new(
                options.admit_threads.max(1) * READS_PER_CORE,
            )),
            look_ups_off: Arc::new(Semaphore::new(
                options.admit_threads.max(1) * LOOK_UPS_PER_CORE,
            )),
            committer: std::sync::Mutex::new(Some(thread)),
            watching: std::sync::Mutex::new(Some(watching)),
            events,
            look_ups,
            retention: options.retention,
            erased,
            report_font: options.report_font.clone(),
        }))
    }

    /// The font that was named for reports.
    pub(crate) fn report_font(&self) -> Option<&Path> {
        self.report_font.as_deref()
    }

    /// The ledger's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The store.
    #[must_use]
    pub const fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Size and root of the log after each commit.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<LogHead> {
        self.head.clone()
    }

    /// Number of the last event of early warning.
    #[must_use]
    pub fn events(&self) -> watch::Receiver<u64> {
        self.events.clone()
    }

    /// A consumer asked about a unit that the ledger knows, from somewhere.
    pub fn looked_up(&self, unit: UnitId, from: IpAddr) {
        self.look_ups.saw(unit, from, sequence::now());
    }

    /// How often consumers asked about a unit, and since when.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub fn asked(&self, unit: &UnitId) -> Result<Option<Asked>, StoreError> {
        self.look_ups.asked(&self.store, unit)
    }

    /// How long personal data is kept.
    #[must_use]
    pub const fn retention(&self) -> &Retention {
        &self.retention
    }

    /// Erases personal data that was kept long enough, and says how many texts that were.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn sweep(&self) -> Result<usize, StoreError> {
        private::sweep(&self.store, sequence::now(), &self.retention)
    }

    /// Waits until a text was erased: then it is time to [`sweep`](Self::sweep).
    pub async fn erased(&self) {
        self.erased.notified().await;
    }

    /// Becomes true when the store failed and the process has to open it anew.
    #[must_use]
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.failed.clone()
    }

    /// A place for one more stream of a caller who shows a token; none when there are too many.
    #[must_use]
    pub fn stream_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    /// What its callers share.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A place for a read that may take long, so that such reads don't take all threads.
    pub async fn read_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.reads).acquire_owned().await.ok()
    }

    /// A place for a look-up that has to ask the disk.
    pub async fn look_up_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.look_ups_off).acquire_owned().await.ok()
    }

    /// The verifier key of the log's checkpoints.
    #[must_use]
    pub fn log_key(&self) -> String {
        self.signer.verifier().to_string()
    }

    /// The same, to verify with.
    #[must_use]
    pub fn log_verifier(&self) -> NoteVerifier {
        self.signer.verifier().clone()
    }

    /// The public key of the log's checkpoints, without its name.
    #[must_use]
    pub fn log_public_key(&self) -> [u8; 32] {
        self.signer.verifier().public_key()
    }

    /// Returns when this node has all that its cluster had when it started; alone, it has.
    ///
    /// # Errors
    /// [`ClusterError`] when it stopped before.
    pub async fn caught_up(&self) -> Result<(), ClusterError> {
        match &self.cluster {
            Some(cluster) => cluster.caught_up().await,
            None => Ok(()),
        }
    }

    /// The last group of the cluster's order that answers of this node reflect; none when it is alone.
    #[must_use]
    pub fn group(&self) -> Option<u64> {
        self.cluster.as_ref().map(Cluster::group)
    }

    /// A signed checkpoint of a committed head. In a cluster, the head is noted there first.
    ///
    /// # Errors
    /// [`Reason::OrderUnavailable`] when it may not be signed, or not now.
    pub async fn checkpoint(&self, head: LogHead) -> Result<Vec<u8>, Refusal> {
        if let Some(cluster) = &self.cluster {
            let may = cluster.may_sign(head).await;
            may.map_err(|error| Refusal::new(Reason::OrderUnavailable, error.to_string()))?;
        }
        let signed = self.signed_checkpoint(head);
        signed.map_err(|error| Refusal::new(Reason::Storage, error))
    }

    /// The largest size whose head was noted before it was signed, by any node; none when this one is alone.
    ///
    /// # Errors
    /// [`ClusterError`] when it can't be asked now.
    pub async fn noted(&self) -> Result<Option<u64>, ClusterError> {
        match &self.cluster {
            Some(cluster) => cluster.noted().await.map(Some),
            None => Ok(None),
        }
    }

    fn signed_checkpoint(&self, head: LogHead) -> Result<Vec<u8>, String> {
        let size = TreeSize::new(head.size);
        let checkpoint = Checkpoint::new(self.origin.clone(), size, head.root, Vec::new());
        let checkpoint = checkpoint.map_err(|error| error.to_string())?;
        let note = checkpoint
            .sign(&self.signer)
            .map_err(|error| error.to_string())?;
        Ok(note.to_string().into_bytes())
    }

    /// A text with the log's signature: a signed note.
    ///
    /// # Errors
    /// Says in words what the note library refuses.
    pub fn sign(&self, text: &str) -> Result<Vec<u8>, String> {
        let note = self.signer.sign_note(text);
        let note = note.map_err(|error| error.to_string())?;
        Ok(note.to_string().into_bytes())
    }

    /// Checks form and signature of records, in order.
    pub async fn admit(&self, records: Vec<Decoded>) -> Admissions {
        self.admission.admit(records).await
    }

    /// Checks records and goes on with them on the thread that did. Through a cluster the way is long, and several batches
    /// are under way at a time: there none is on a trip.
    fn admit_then(
        &self,
        records: Vec<Decoded>,
        pace: Pace,
        then: impl FnOnce(Admissions, Option<Trip>) + Send + 'static,
    ) {
        let alone = self.cluster.is_none();
        let then = move |admissions, trip: Option<Trip>| then(admissions, trip.filter(|_| alone));
        self.admission.admit_then(records, pace, then);
    }

    /// Submits one record and waits for its answer; refused when too much is waiting.
    pub async fn submit(&self, decoded: Decoded) -> Answer {
        let order = self.submissions()?;
        let places = order.try_places(decoded.places())?;
        let (reply, answers) = Reply::new();
        // Straight from the thread that checks it into the order: who waits is woken once.
        self.admit_then(
            vec![decoded],
            Pace::Live,
            move |mut admissions, trip| match admissions.pop() {
                Some(Ok(admitted)) => {
                    order.submit(vec![admitted], (places, trip), reply);
                }
                Some(Err(rejected)) => reply.send(vec![Err(rejected.refusal)]),
                None => {}
            },
        );
        let mut answers = answers.await.unwrap_or_default();
        answers.pop().unwrap_or_else(|| Err(lost()))
    }

    /// Waits for so many places.
    ///
    /// # Errors
    /// [`Reason::ShuttingDown`] when the order has ended.
    pub async fn places(&self, places: usize, pace: Pace) -> Result<Places, Refusal> {
        let places = self.submissions()?.places(places, pace);
        places.await
    }

    /// Checks records of a stream and, if all of them are admitted, puts them into the order, in their places, right from
    /// the thread that checked them; what came of it is told there. Their answers come later.
    ///
    /// # Errors
    /// [`Reason::ShuttingDown`] when the order has ended.
    pub fn enter(
        &self,
        records: Vec<Decoded>,
        (places, pace): (Places, Pace),
        reply: Reply,
        tell: impl FnOnce(Entered) + Send + 'static,
    ) -> Result<(), Refusal> {
        let order = self.submissions()?;
        let count = records.len();
        self.admit_then(records, pace, move |admissions, trip| {
            tell(
                if admissions.len() == count && admissions.iter().all(Result::is_ok) {
                    let admitted = admissions.into_iter().flatten().collect();
                    order.submit(admitted, (places, trip), reply);
                    Entered::InOrder
                } else {
                    Entered::Not { admissions, reply }
                },
            );
        });
        Ok(())
    }

    /// Puts admitted records into the order, in their places. Their answers come later.
    ///
    /// # Errors
    /// [`Reason::ShuttingDown`] when the order has ended.
    pub fn enqueue(&self, admitted: Vec<Admitted>, places: Places) -> Result<Answers, Refusal> {
        let (reply, answers) = Reply::new();
        self.submissions()?.submit(admitted, (places, None), reply);
        Ok(answers)
    }

    /// Makes a change of the texts beside the log, in the order; the outer error is the order's.
    ///
    /// # Errors
    /// [`Reason::ShuttingDown`] or [`Reason::Storage`].
    pub async fn change(&self, change: Change) -> Result<Result<(), ChangeError>, Refusal> {
        let answer = self.submissions()?.change(change);
        answer.await.map_err(|_| lost())
    }

    fn submissions(&self) -> Result<Submissions, Refusal> {
        let submissions = self
            .submissions
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        submissions.clone().ok_or_else(shutting_down)
    }

    /// Takes nothing new, commits what is in the order, and ends the threads. Safe to call twice.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        let submissions = self
            .submissions
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(submissions) = submissions {
            submissions.close();
        }
        let thread = self
            .committer
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A panic of the thread is no news to whoever waits here: its records were not answered.
            let _ = thread.join();
        }
        if let Some(cluster) = &self.cluster {
            cluster.close();
        }
        let watching = self
            .watching
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(watching) = watching {
            watching.end();
        }
    }
}

/// The ledger's clock.
#[must_use]
pub fn now() -> Millis {
    sequence::now()
}

/// The answer when the order or the committing thread ended with the record in its hands.
#[must_use]
pub fn lost() -> Refusal {
    Refusal::new(
        Reason::Storage,
        "this server stopped before it could answer; whether the record is in the log is not known: send the same \
         envelope again",
    )
}

/// Starts the thread that applies the groups of an order.
fn apply(
    committer: Committer,
    sequencer: impl Sequencer + 'static,
    failing: watch::Sender<bool>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Handle::current();
    let thread = std::thread::Builder::new().name("apply".into());
    thread.spawn(move || {
        if let Err(error) = committer.run(sequencer, &failing, &runtime) {
            report_failure(&error);
        }
    })
}

fn report_failure(error: &CommitError) {
    tracing::error!(%error, "the store failed; nothing more is accepted until a restart");
}
