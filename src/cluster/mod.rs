//! The order of several processes: commit groups in etcd, one key each.
//!
//! ```text
//!  submissions ─► driver ─► etcd: compare head, set head, put group ─► every node: read, check ─► commit
//!                   ▲            (quorum has it on its disks)             signatures, in order
//!                   └── protocol: what an answer means, what is next
//! ```
//!
//! Every node takes submissions and proposes groups; `protocol` says how they agree on one order. A record is
//! acknowledged when etcd has its group and its verdict is known and synced on the node that answers (I2). Beside
//! that, each node says once a second how far it is, and looks whether all agree: see `members` and `signing`.
//! What every node has applied and synced is deleted from etcd.

mod beat;
mod driver;
mod etcd;
mod follow;
mod group;
mod joining;
mod members;
mod memory;
mod ordered;
mod protocol;
mod seal;
mod signing;
pub mod snapshot;
mod turns;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

use crate::admit::Admission;
use crate::commit::Synced;
use crate::core::order::GroupId;
use crate::core::record::Millis;
use crate::core::tlog::note::NoteSigner;
use crate::sequence::{Queue, Sequencer, now};
use crate::store::{LogHead, Store, StoreError};

use beat::Beat;
use driver::{Driver, Ends};
use etcd::{Base, Etcd, Situation};
use memory::Memory;
use ordered::Ordered;
use seal::{SealError, Sealer};
use signing::Signing;

pub use joining::join;
pub use protocol::OrderError;
use snapshot::SnapshotError;

/// How long a node that starts waits for etcd.
const FIRST_ANSWER: Duration = Duration::from_secs(30);
/// Groups on their way to the committing thread.
const READY: usize = 2;
/// News of the head on their way to the driver.
const NEWS: usize = 64;

/// Where etcd is, and how a node shows who it is.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// `http://host:port` or `https://host:port`.
    pub endpoints: Vec<String>,
    /// User and password.
    pub user: Option<(String, Zeroizing<String>)>,
    /// For `https`.
    pub tls: Option<EtcdTls>,
}

/// TLS towards etcd.
#[derive(Clone)]
pub struct EtcdTls {
    /// PEM of the authority that etcd's certificates are from; none is the system's.
    pub ca: Option<Vec<u8>>,
    /// PEM of this node's certificate and its key.
    pub identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl std::fmt::Debug for EtcdTls {
    /// Nothing of the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EtcdTls")
    }
}

/// What a node of a cluster is told.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Where etcd is.
    pub etcd: EtcdOptions,
    /// The node's name, its own in the cluster.
    pub name: String,
    /// Where other nodes reach its gRPC port.
    pub address: String,
    /// PEM of the authority that other nodes' certificates are from; none is the system's.
    pub peer_ca: Option<Vec<u8>>,
    /// Proposals under way at once.
    pub window: usize,
    /// A node that was silent for so many seconds is forgotten: groups are not kept for it any more.
    pub forget_seconds: u32,
}

/// Why a node of a cluster can't start or go on.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum ClusterError {
    #[error("etcd: {0}")]
    Etcd(String),
    #[error("{0} in etcd does not read: it was not written by a node of this version")]
    Unreadable(&'static str),
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error(
        "this ledger is not the one that the cluster began with, nor a copy of one of its nodes; to join, \
         start with a folder that holds nothing but the log's key"
    )]
    Stranger,
    #[error(
        "group {number} is kept no more: this node was away for too long; empty its folder but for the log's \
         key, and it joins anew"
    )]
    Trimmed { number: u64 },
    #[error(
        "etcd is at revision {found}, and was at {seen}: its state was set back; reconcile with `custody \
         cluster reset` before anything is signed"
    )]
    Revision { seen: i64, found: i64 },
    #[error(
        "this node signed a checkpoint of {own} entries, and etcd knows of {found}: its state was set back; \
         reconcile with `custody cluster reset` before anything is signed"
    )]
    SignedMore { own: u64, found: u64 },
    #[error(
        "this node's log differs from {other} at size {size}: it must not be served; keep its folder as \
         evidence, and let the node join anew"
    )]
    Diverged { size: u64, other: String },
    #[error("no other node gave its log: {0}; does one run, and is its address right?")]
    NoPeer(#[source] Box<SnapshotError>),
    #[error("this node is behind what another one signed; try again")]
    Behind,
    #[error("the cluster is halted: {0}; reconcile with `custody cluster reset`")]
    Halted(String),
    #[error(
        "etcd knows of a signed checkpoint of {signed} entries that this folder's {own} do not lead to: choose \
         the node that has them; only if none is left, discard it with --force"
    )]
    SignedElsewhere { signed: u64, own: u64 },
    #[error("the cluster was begun again while this node ran; start it anew")]
    BegunAgain,
    #[error("the order went on meanwhile: a node still runs; stop all of them first")]
    InUse,
    #[error("another node runs under the name {0}")]
    SameName(String),
    #[error("the order has ended")]
    Ended,
}

impl ClusterError {
    /// Whether etcd knows less than this node: then nobody may go on.
    const fn is_set_back(&self) -> bool {
        matches!(
            self,
            Self::Order(OrderError::SetBack { .. })
                | Self::Revision { .. }
                | Self::SignedMore { .. }
        )
    }

    /// Whether it may be gone when it is tried again.
    const fn is_transient(&self) -> bool {
        matches!(self, Self::Etcd(_) | Self::Behind | Self::NoPeer(_))
    }
}

/// What the parts of a node share.
pub(crate) struct Shared {
    name: String,
    window: usize,
    clock: Mutex<Clock>,
    /// Etcd holds so much that nothing may be proposed.
    etcd_full: AtomicBool,
    /// The runtime that outlives the cluster's own.
    outer: Handle,
}

/// Whether this node's clock may give times to groups.
#[derive(Clone, Copy, Debug, Default)]
enum Clock {
    /// It was not compared yet.
    #[default]
    Unknown,
    /// It was with the others' when it showed this, at this moment of a clock that nobody sets.
    Good(Millis, Instant),
    Strays,
}

/// A clock that goes another way than the one that nobody sets by more than this was set.
const STEP_MS: u64 = 5_000;

impl Clock {
    /// Whether it was set since it was compared, when it shows this.
    fn was_set(self, shows: Millis) -> bool {
        match self {
            Self::Good(then, at) => {
                let passed = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
                shows.0.abs_diff(then.plus(passed).0) > STEP_MS
            }
            Self::Unknown | Self::Strays => false,
        }
    }
}

impl Shared {
    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether that is news, and bad.
    fn set_etcd_full(&self, full: bool) -> bool {
        let before = self.etcd_full.swap(full, Ordering::Relaxed);
        full && !before
    }

    /// What the clock shows, when that may be given to a group: it was with the others' at the last beat, and was
    /// not set since.
    fn time(&self) -> Result<Option<Millis>, ()> {
        let (clock, shows) = (*self.clock(), now());
        match clock {
            Clock::Unknown => Ok(None),
            Clock::Strays => Err(()),
            Clock::Good(..) if clock.was_set(shows) => Err(()),
            Clock::Good(..) => Ok(Some(shows)),
        }
    }
}

/// A node's part in a cluster.
pub struct Cluster {
    signing: Signing,
    synced: watch::Receiver<Synced>,
    /// The last group that there was when the node started.
    target: u64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What a node of a cluster works with.
pub struct Parts {
    /// Its store.
    pub store: Arc<Store>,
    /// The ledger's name.
    pub origin: String,
    /// What was submitted here.
    pub queue: Queue,
    /// Checks what others submitted.
    pub admission: Arc<Admission>,
    /// How far the committer is.
    pub synced: watch::Receiver<Synced>,
    /// Says that the node can't go on.
    pub failing: watch::Sender<bool>,
    /// A runtime that lives until all is answered.
    pub outer: Handle,
}

/// The group that a store is at, and whether that has a place in the cluster.
async fn place(
    store: &Store,
    origin: &str,
    etcd: &Etcd,
    memory: &Memory,
) -> Result<(GroupId, Situation), ClusterError> {
    let log = store.head()?;
    let own = GroupId::base(origin, log.size, &log.root);
    let mut situation = etcd.situation(None).await?;
    let known = store.last_group()?;
    if known.is_none() && situation.base.is_none() && situation.head.is_none() {
        if etcd.begin(own, &log).await? {
            tracing::info!(entries = log.size, "a cluster begins with this node's log");
        }
        situation = etcd.situation(None).await?;
    }
    let last = known.unwrap_or(own);
    // New to this cluster, or to its new beginning: then it has to stand where that is. Before all else, since where the
    // head of another cluster is says nothing about this node, and must not halt that one.
    let new_to = |base: &Base| memory.get().epoch != base.epoch;
    if situation
        .base
        .as_ref()
        .is_some_and(|base| new_to(base) && last != base.group)
    {
        return Err(ClusterError::Stranger);
    }
    protocol::Protocol::<()>::new(last, 1).read_head(situation.head, last)?;
    if let Some(why) = &situation.halted {
        return Err(ClusterError::Halted(why.clone()));
    }
    let Some(base) = situation.base else {
        return Err(ClusterError::Unreadable("base"));
    };
    if situation.trimmed > last.number {
        let number = last.number + 1;
        return Err(ClusterError::Trimmed { number });
    }
    // What comes from a snapshot remembers what its node did.
    if new_to(&base) {
        if known.is_none() {
            store.set_last_group(own)?;
        }
        memory.begin(base.epoch)?;
    }
    Ok((last, situation))
}

/// Begins a cluster again with the log of this folder, which no process holds: after etcd lost its state, or was
/// set back. Gives the group and the log that it begins with.
///
/// # Errors
/// [`ClusterError`] when etcd can't be reached, or changed meanwhile.
pub async fn begin_again(
    options: &EtcdOptions,
    origin: &str,
    store: &Arc<Store>,
    node: &str,
    force: bool,
) -> Result<(GroupId, LogHead), ClusterError> {
    let etcd = Etcd::connect(options, origin).await?;
    let log = store.head()?;
    let known = store.last_group()?;
    let last = known.unwrap_or_else(|| GroupId::base(origin, log.size, &log.root));
    let situation = etcd.situation(None).await?;
    let seen = situation.head;
    if let Some(signed) = situation.signed
        && !force
        && (signed.head.size > log.size || store.root_at(signed.head.size)? != signed.head.root)
    {
        return Err(ClusterError::SignedElsewhere {
            signed: signed.head.size,
            own: log.size,
        });
    }
    if !etcd.begin_again(seen, last, &log, node).await? {
        return Err(ClusterError::InUse);
    }
    if known.is_none() {
        store.set_last_group(last)?;
    }
    Ok((last, log))
}

/// Joins the order of a cluster. It ends when nothing can be submitted any more.
///
/// # Errors
/// [`ClusterError`] when it can't be joined.
pub fn start(
    options: &ClusterOptions,
    signer: &NoteSigner,
    parts: Parts,
) -> Result<(Cluster, impl Sequencer + use<>), ClusterError> {
    let sealer = Sealer::new(signer)?;
    let memory = Arc::new(Memory::open(&parts.store)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (give, ready) = mpsc::channel(READY);
    let ordered = Ordered {
        ready,
        admission: Arc::clone(&parts.admission),
        synced: parts.synced.clone(),
        failed: parts.failing.subscribe(),
        runtime: runtime.handle().clone(),
    };
    let synced = parts.synced.clone();
    let (started, outcome) = std_mpsc::channel();
    let options = options.clone();
    let thread = std::thread::Builder::new()
        .name("cluster".into())
        .spawn(move || {
            let failing = parts.failing.clone();
            let result = runtime.block_on(run(options, parts, memory, sealer, give, started));
            if let Err(error) = result {
                tracing::error!(%error, "this node is out of the cluster, and stops");
                failing.send_replace(true);
            }
        })?;
    let (signing, target) = outcome.recv().map_err(|_| ClusterError::Ended)??;
    let cluster = Cluster {
        signing,
        synced,
        target,
        thread: Mutex::new(Some(thread)),
    };
    Ok((cluster, ordered))
}

/// When etcd knows less than this node, says so there: nodes that know no more would go on, and fork the log.
async fn halting(etcd: &Etcd, error: ClusterError) -> ClusterError {
    if error.is_set_back()
        && let Err(unsaid) = etcd.halt(&error.to_string()).await
    {
        tracing::error!(%unsaid, "the other nodes could not be told to stop");
    }
    error
}

type Started = std_mpsc::Sender<Result<(Signing, u64), ClusterError>>;

async fn run(
    options: ClusterOptions,
    parts: Parts,
    memory: Arc<Memory>,
    sealer: Sealer,
    ready: mpsc::Sender<ordered::Ready>,
    started: Started,
) -> Result<(), ClusterError> {
    let (etcd, last, situation) = match connect(&options, &parts, &memory).await {
        Ok(joined) => joined,
        Err(error) => {
            // It is told to whoever starts the node.
            let _ = started.send(Err(error));
            return Ok(());
        }
    };
    let signing = Signing::new(
        Arc::clone(&memory),
        Arc::clone(&parts.store),
        etcd.clone(),
        options.name.clone(),
        parts.synced.clone(),
    );
    let head = situation.head.map_or(0, |head| head.number);
    let _ = started.send(Ok((signing, head)));
    let shared = Arc::new(Shared {
        name: options.name.clone(),
        window: options.window,
        clock: Mutex::default(),
        etcd_full: AtomicBool::new(false),
        outer: parts.outer.clone(),
    });
    let (tell, news) = mpsc::channel(NEWS);
    let follower = follow::follow(etcd.clone(), parts.synced.clone(), last, tell.clone());
    let place = (parts.synced.clone(), last);
    let beat = Beat::new(
        &options,
        &shared,
        &parts.store,
        (&etcd, &memory),
        place,
        tell,
    );
    let ends = Ends {
        shared,
        etcd: etcd.clone(),
        queue: parts.queue,
        admission: parts.admission,
        sealer,
        ready,
        news,
    };
    let ended = tokio::select! {
        ended = Driver::new(ends, last).run() => ended,
        error = beat.run() => Err(error),
        () = follower => Ok(()),
    };
    match ended {
        Ok(()) => Ok(()),
        Err(error) => Err(halting(&etcd, error).await),
    }
}

async fn connect(
    options: &ClusterOptions,
    parts: &Parts,
    memory: &Memory,
) -> Result<(Etcd, GroupId, Situation), ClusterError> {
    let since = Instant::now();
    loop {
        let joined: Result<_, ClusterError> = async {
            let etcd = Etcd::connect(&options.etcd, &parts.origin).await?;
            let placed = place(&parts.store, &parts.origin, &etcd, memory).await;
            let (last, situation) = match placed {
                Ok(placed) => placed,
                Err(error) => return Err(halting(&etcd, error).await),
            };
            Ok((etcd, last, situation))
        }
        .await;
        match joined {
            Err(ClusterError::Etcd(error)) if since.elapsed() < FIRST_ANSWER => {
                tracing::warn!(error, "etcd does not answer; trying again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            outcome => return outcome,
        }
    }
}

impl Cluster {
    /// Returns when a head of this node's log may be signed.
    ///
    /// # Errors
    /// [`ClusterError`] when it may not, or not now.
    pub async fn may_sign(&self, head: LogHead) -> Result<(), ClusterError> {
        self.signing.may_sign(head).await
    }

    /// The size of the last head that was noted before it was signed, by any node; 0 when none was.
    ///
    /// # Errors
    /// [`ClusterError`] when etcd can't be asked.
    pub async fn noted(&self) -> Result<u64, ClusterError> {
        self.signing.noted().await
    }

    /// Returns when this node has all groups that there were when it started.
    ///
    /// # Errors
    /// [`ClusterError::Ended`] when it stopped before.
    pub async fn caught_up(&self) -> Result<(), ClusterError> {
        let mut synced = self.synced.clone();
        let target = self.target;
        let there = |synced: &Synced| synced.group.map_or(0, |group| group.number) >= target;
        let caught_up = synced.wait_for(there).await;
        caught_up.map(drop).map_err(|_| ClusterError::Ended)
    }

    /// The number of the last group that this node has applied and synced.
    #[must_use]
    pub fn group(&self) -> u64 {
        self.synced.borrow().group.map_or(0, |group| group.number)
    }

    /// Waits until the thread has ended, which it does when nothing can be submitted any more.
    pub fn close(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // A panic of the thread is no news here: its records were not answered.
            let _ = thread.join();
        }
    }
}
