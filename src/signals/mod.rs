//! Early warning (实时跟踪, 智能识别, 风险预警): signals that a node derives from the log and the time.
//!
//! A signal depends on the moment as well as on the entries, so it is no verdict, no `apply` reads it,
//! and it lies beside the log. Its id, kind and entry, is the same on every node.
//!
//! ```text
//!  log ─► watchman ─► book: cursors, counts, signals, what was answered ─► api ─► regulators
//! ```
//!
//! Consumers' look-ups are no entries: each node counts its own (`look_ups`), and so that one kind of signal is
//! the node's own as well.
//!
//! Nothing is scanned twice. Each rule has a cursor over the log that only goes forward: one follows
//! what is new (deliveries, rates, rings, revocations, answers, files opened); one for each deadline follows as far
//! behind as the deadline is long, and looks whether what an entry began is still open. So goods that
//! move in time cost no row and no timer, only the second look. The rules themselves are pure and in
//! `core::credit::alert`.

mod activity;
mod book;
mod captured;
mod due;
mod gist;
mod look_ups;
mod orders;
mod watchman;

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::core::credit::{AlertId, SignalKind};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::Millis;
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;
use crate::store::{Store, StoreError};

pub use activity::{Activity, Deliveries, Spot, activity, deliveries};
pub use book::{Asked, event, events, seen, signal};
pub use captured::{captured_as, captured_by, looked_at as captured_to};
pub use look_ups::LookUps;
pub use watchman::{Progress, step};

/// Units that a signal names; how many there are is told beside.
pub const MAX_UNITS: usize = 16;
/// Entries that a signal names as evidence.
pub const MAX_EVIDENCE: usize = 64;

/// A signal. The proto says what is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// What it says.
    pub kind: SignalKind,
    /// The entry that it is about.
    pub entry: LogIndex,
    /// The deadline that passed, or the time of the entry.
    pub time: Millis,
    /// Whom it concerns, those concerned most first.
    pub parties: Vec<PartyId>,
    /// The key whose records it is about.
    pub key: Option<KeyId>,
    /// The first [`MAX_UNITS`] units.
    pub units: Vec<UnitId>,
    /// How many units there are.
    pub unit_count: u64,
    /// Entries that show it, at most [`MAX_EVIDENCE`].
    pub evidence: Vec<LogIndex>,
    /// What was measured.
    pub measured: u64,
    /// What the limit was.
    pub limit: u64,
    /// Where the record of the entry says that it happened.
    pub region: String,
    /// The same, for people.
    pub city: String,
}

impl Signal {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> AlertId {
        AlertId::Signal(self.kind, self.entry)
    }
}

/// What happened to alerts, numbered from 1 on without gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A signal was raised.
    Raised(Box<Signal>),
    /// An entry answered an alert, or decided a finding, at this time.
    Answered(AlertId, Millis),
}

/// How long new entries may wait to be looked at. Larger steps cost less.
const EVERY: Duration = Duration::from_millis(200);

/// The thread that derives signals.
pub struct Watching {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Watching {
    /// Starts it. The number of the last event is published.
    ///
    /// # Errors
    /// When the store can't be read, or no thread can be started.
    pub fn start(
        store: Arc<Store>,
        look_ups: Arc<LookUps>,
        now: fn() -> Millis,
    ) -> Result<(Self, watch::Receiver<u64>), StoreError> {
        let (published, events) = watch::channel(book::last_event(&store)?);
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            loop {
                let looked_up = watchman::look_ups(&store, now(), &look_ups.take())
                    .and_then(|()| look_ups.write(&store));
                match looked_up.and_then(|()| step(&store, now(), watchman::STEP)) {
                    Ok(progress) => {
                        published.send_if_modified(|last| {
                            std::mem::replace(last, progress.last_event) != progress.last_event
                        });
                        let pause = if progress.behind {
                            Duration::ZERO
                        } else {
                            EVERY
                        };
                        match stopped.recv_timeout(pause) {
                            Err(mpsc::RecvTimeoutError::Timeout) => {}
                            _ => {
                                if let Err(error) = look_ups.write(&store) {
                                    tracing::error!(%error, "the last look-ups were not counted");
                                }
                                return;
                            }
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "early warning ended; restart to go on with it");
                        return;
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("signals".into())
            .spawn(run)
            .map_err(|error| StoreError::Io(error.to_string()))?;
        Ok((Self { stop, thread }, events))
    }

    /// Ends it.
    pub fn end(self) {
        // It may have ended by itself; then nobody listens.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}
