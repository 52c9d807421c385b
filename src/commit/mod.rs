//! Commit: applies group after group, writes each with one synced write, then acknowledges.
//!
//! ```text
//!  group ─► apply each record over the views ─► entries, tiles, changes ─► store.commit ─► acks
//!          └────────── applying thread ─────────┘                      └─ writing thread ─┘
//! ```
//!
//! While one group is on its way to the disk the next is applied, over views that count it in
//! already; it is acknowledged after it, so nobody is told what may yet be lost (I2). The order of
//! the groups is the order of the log. A record that was acknowledged before gets the same receipt
//! again and takes no index (I6). After a failed write nothing is known of the group, so nothing more
//! is accepted: the process has to open the store anew, which finds it whole (I3).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};

use prost::bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::admit::{Admitted, Trip};
use crate::core::apply::state::{Read, Tallies};
use crate::core::apply::{self, ApplyError, Focus, Placed, encode_entry};
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::order::GroupId;
use crate::core::record::Millis;
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::tile::{RightEdge, TileId};
use crate::core::tlog::{Hash, LogIndex, leaf_hash};
use crate::private::{self, Change, ChangeError};
use crate::sequence::{Answer, Group, PrivateSubmission, Receipt, Reply, Sequencer};
use crate::store::{self, Cached, LogHead, Store, StoreError};

/// Units that are read at once: enough for a batch to pay, and few enough to be in the processor's cache when the records
/// that they are read for are judged.
const READ_AT_ONCE: usize = 512;

/// Applies and writes groups.
pub struct Committer {
    views: Cached,
    edge: RightEdge,
    last_time: Millis,
    writer: Writer,
    erased: Arc<Notify>,
}

/// Why committing ended.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The store failed; the process has to open it anew.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log has as many entries as numbers allow.
    #[error("the log is full")]
    Full,
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// A thread panicked: a mistake in this program.
    #[error("a thread of the commit path panicked")]
    Panicked,
}

/// What a group comes to.
struct Applied {
    group: Arc<store::Group>,
    answers: Vec<Answered>,
    /// Kept until it is written: what has gathered meanwhile comes next.
    trips: Vec<Trip>,
}

/// The answers to one submission.
struct Answered {
    answers: Vec<Answer>,
    reply: Reply,
}

impl Answered {
    fn send(self) {
        self.reply.send(self.answers);
    }

    /// Nothing is known of the records.
    fn fail(mut self, refusal: &Refusal) {
        self.answers.fill(Err(refusal.clone()));
        self.send();
    }
}

/// How far a node of a cluster is, on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The last group; none when it is no node of a cluster, or new to it.
    pub group: Option<GroupId>,
    /// The log after it.
    pub head: LogHead,
}

impl Committer {
    /// Picks up where the store is, and remembers so many units.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read or its tree doesn't lead to its root.
    pub fn new(
        store: Arc<Store>,
        units: usize,
    ) -> Result<(Self, watch::Receiver<LogHead>), StoreError> {
        let edge = store.right_edge()?;
        let tally = store.get::<Tallies>(&())?.unwrap_or_default();
        let last_time = tally.last_time;
        let head = store.head()?;
        let (synced, _) = watch::channel(Synced {
            group: store.last_group()?,
            head,
        });
        let (published, head) = watch::channel(head);
        Ok((
            Self {
                views: Cached::new(Arc::clone(&store), units),
                edge,
                last_time,
                writer: Writer {
                    store,
                    published,
                    synced,
                },
                erased: Arc::default(),
            },
            head,
        ))
    }

    /// How far it is, after each group.
    #[must_use]
    pub fn synced(&self) -> watch::Receiver<Synced> {
        self.writer.synced.subscribe()
    }

    /// Is told when a text was erased, which is then to be taken off the disk ([`private::scrub`]).
    #[must_use]
    pub fn erased(&self) -> Arc<Notify> {
        Arc::clone(&self.erased)
    }

    /// Commits group after group until the order ends or the store fails; that is said at once by
    /// `failed`, since the order may be silent for long. Who waits is answered by `runtime`.
    ///
    /// # Errors
    /// [`CommitError`] when it can't go on; who waits is told that nothing is known.
    pub fn run(
        mut self,
        mut sequencer: impl Sequencer,
        failed: &watch::Sender<bool>,
        runtime: &Handle,
    ) -> Result<(), CommitError> {
        let written = AtomicUsize::new(0);
        let writer = self.writer.clone();
        let store = Arc::clone(&self.writer.store);
        std::thread::scope(|scope| {
            let (tend, tending) = mpsc::sync_channel::<()>(1);
            // No room in between: while a group waits to be written, the next one grows.
            let (to_writer, applied) = mpsc::sync_channel::<Applied>(0);
            let index = std::thread::Builder::new().name("index".into());
            let index = index.spawn_scoped(scope, move || {
                tending.into_iter().try_for_each(|()| store.tend_ids())
            })?;
            let writing = std::thread::Builder::new().name("write".into());
            let written_so_far = &written;
            let writing = writing.spawn_scoped(scope, move || {
                let result = applied.into_iter().try_for_each(|applied| {
                    let wrote = applied.group.changes_something();
                    let answers = writer.write(applied)?;
                    // In one piece: each answer alone would wake a thread, and leave on a packet of its own.
                    runtime.spawn(async move { answers.into_iter().for_each(Answered::send) });
                    written_so_far.fetch_add(usize::from(wrote), Ordering::Release);
                    writer.tend(&tend)
                });
                if result.is_err() {
                    failed.send_replace(true);
                }
                result
            })?;
            let mut applied = Ok(());
            while let Some(group) = sequencer.next() {
                self.views.written(written.swap(0, Ordering::Acquire));
                match self.apply(group) {
                    Ok(group) => {
                        if to_writer.send(group).is_err() {
                            break; // The writer has ended, and says why below.
                        }
                    }
                    Err(error) => {
                        applied = Err(error);
                        break;
                    }
                }
            }
            drop(to_writer);
            let wrote = writing.join().unwrap_or(Err(CommitError::Panicked));
            let indexed = index.join().unwrap_or_else(|_| {
                let what = "the thread that tends the index panicked";
                Err(StoreError::Io(what.into()))
            });
            let result = applied.and(indexed.map_err(CommitError::from)).and(wrote);
            if result.is_err() {
                failed.send_replace(true);
            }
            result
        })
    }

    /// Commits one group and acknowledges it. After an error it is of no use any more: what it remembers is not in the
    /// store.
    ///
    /// # Errors
    /// As [`Committer::run`].
    pub fn commit(&mut self, group: Group) -> Result<(), CommitError> {
        let applied = self.apply(group)?;
        let answers = self.writer.write(applied)?;
        answers.into_iter().for_each(Answered::send);
        self.views.written(self.views.pending());
        Ok(())
    }

    /// Applies a group; from here on the views count it in.
    fn apply(&mut self, group: Group) -> Result<Applied, CommitError> {
        self.change_texts(group.private)?;
        let time = group.time.max(self.last_time);
        let first = LogIndex(self.edge.size().get());
        let records = group.submissions.iter().flat_map(|s| &s.records);
        let records: Vec<&Admitted> = records.collect();
        let mut builder = Builder {
            views: &mut self.views,
            edge: self.edge.clone(),
            first,
            entries: Vec::new(),
            tiles: Vec::new(),
        };
        let mut appended = Vec::with_capacity(records.len());
        for records in read_at_once(&records) {
            builder
                .views
                .prefetch(records.iter().flat_map(|admitted| touched(admitted)))?;
            for admitted in records {
                appended.push(builder.append(admitted, time)?);
            }
        }
        let mut appended = appended.into_iter();
        let mut trips: Vec<Trip> = Vec::new();
        let answers = group.submissions.into_iter().map(|submission| {
            trips.extend(submission.trip.filter(|trip| trips.last() != Some(trip)));
            Answered {
                answers: appended.by_ref().take(submission.records.len()).collect(),
                reply: submission.reply,
            }
        });
        let answers = answers.collect();
        let head = LogHead {
            size: builder.edge.size().get(),
            root: builder.edge.root(),
        };
        let Builder {
            edge,
            entries,
            tiles,
            ..
        } = builder;
        let group = Arc::new(store::Group {
            id: group.id,
            first,
            entries,
            tiles,
            changes: self.views.take_changes(),
            head,
        });
        if !group.entries.is_empty() {
            (self.edge, self.last_time) = (edge, time);
        }
        if group.changes_something() {
            self.views.absorb(&group);
        }
        Ok(Applied {
            group,
            answers,
            trips,
        })
    }

    /// Makes the changes beside the log, each on the disk before it is answered.
    fn change_texts(&self, changes: Vec<PrivateSubmission>) -> Result<(), CommitError> {
        for PrivateSubmission { change, reply } in changes {
            let made = private::change(&self.writer.store, &change);
            if matches!(change, Change::Erase { .. }) {
                self.erased.notify_one();
            }
            let failed = made.as_ref().is_err_and(ChangeError::is_of_store);
            // Whoever asked may be gone, and sees what became of it when it asks again.
            let _ = reply.send(made);
            if failed {
                return Err(StoreError::Io("a text was not written".into()).into());
            }
        }
        Ok(())
    }
}

/// The units that a record is about, and those around them.
fn touched(admitted: &Admitted) -> impl Iterator<Item = UnitId> {
    let record = &admitted.record;
    let units = record.refs().chain(record.containers.iter().copied());
    units.map(|unit| unit.id)
}

/// Records in parts that touch some [`READ_AT_ONCE`] units each.
fn read_at_once<'a>(records: &'a [&'a Admitted]) -> impl Iterator<Item = &'a [&'a Admitted]> {
    let mut units = 0;
    records.chunk_by(move |record, _| {
        units += record.record.units.len();
        let more = units < READ_AT_ONCE;
        if !more {
            units = 0;
        }
        more
    })
}

/// Writes groups.
#[derive(Clone)]
struct Writer {
    store: Arc<Store>,
    published: watch::Sender<LogHead>,
    synced: watch::Sender<Synced>,
}

impl Writer {
    /// Writes a group, and says whom to answer what; after an error they are answered.
    fn write(&self, applied: Applied) -> Result<Vec<Answered>, CommitError> {
        let Applied {
            group,
            answers,
            trips,
        } = applied;
        if group.changes_something() {
            if let Err(error) = self.store.commit(&group) {
                let refusal = Refusal::new(
                    Reason::Storage,
                    "the store failed; whether the record is in the log is not known: send the \
                     same envelope again",
                );
                answers
                    .into_iter()
                    .for_each(|answered| answered.fail(&refusal));
                return Err(error.into());
            }
            metrics::counter!("custody_groups_total").increment(1);
            metrics::counter!("custody_entries_total").increment(group.entries.len() as u64);
            self.published.send_replace(group.head);
            self.synced.send_replace(Synced {
                group: group.id,
                head: group.head,
            });
        }
        drop(trips);
        Ok(answers)
    }

    /// Wakes who tends the index, if there is something to do.
    fn tend(&self, tend: &SyncSender<()>) -> Result<(), CommitError> {
        if !self.store.ids_are_due() {
            return Ok(());
        }
        match tend.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
            Err(TrySendError::Disconnected(())) => {
                Err(StoreError::Io("the index of ids is not tended".into()).into())
            }
        }
    }
}

/// A group under way.
struct Builder<'a> {
    views: &'a mut Cached,
    edge: RightEdge,
    first: LogIndex,
    entries: Vec<Bytes>,
    tiles: Vec<(TileId, Vec<Hash>)>,
}

impl Builder<'_> {
    /// Judges a record and appends its entry, or says why not.
    fn append(&mut self, admitted: &Admitted, time: Millis) -> Result<Answer, CommitError> {
        let index = LogIndex(self.edge.size().get());
        let placed = Placed {
            index,
            time,
            id: admitted.id,
            record: &admitted.record,
        };
        let applied = match apply::apply(&*self.views, placed, Focus::All) {
            Ok(applied) => applied,
            Err(ApplyError::Known(index)) => return Ok(Ok(self.receipt(admitted.id, index)?)),
            Err(ApplyError::Drop(refusal)) => {
                metrics::counter!("custody_refused_total", "reason" => refusal.reason.name())
                    .increment(1);
                return Ok(Err(*refusal));
            }
            Err(ApplyError::Read(error)) => return Err(StoreError::from(error).into()),
        };
        let entry = encode_entry(&admitted.envelope, time, &applied.verdict);
        let tiles = &mut self.tiles;
        self.edge
            .append(leaf_hash(&entry), &mut |tile, hashes| {
                tiles.push((tile, hashes.to_vec()))
            })
            .map_err(|_| CommitError::Full)?;
        for finding in &applied.verdict.findings {
            let kind = crate::core::rules::FindingKind::from_number(finding.kind);
            let kind = kind.map_or("UNKNOWN", crate::core::rules::FindingKind::name);
            metrics::counter!("custody_findings_total", "kind" => kind).increment(1);
        }
        self.entries.push(entry);
        self.views.merge(applied.changes);
        Ok(Ok(Receipt {
            id: admitted.id,
            index,
            time,
            verdict: applied.verdict,
        }))
    }

    /// The receipt of a record that was acknowledged before, or comes earlier in this group.
    fn receipt(&self, id: RecordId, index: LogIndex) -> Result<Receipt, StoreError> {
        let here = index.0.checked_sub(self.first.0);
        let here = here.and_then(|at| self.entries.get(usize::try_from(at).ok()?));
        let entry = match here {
            Some(entry) => Some(entry.clone()),
            None => self.views.entry(index)?,
        };
        receipt(id, index, entry)
    }
}

/// The receipt of a record that is in the log: the same whenever it is asked for (I6).
fn receipt(id: RecordId, index: LogIndex, entry: Option<Bytes>) -> Result<Receipt, StoreError> {
    let bytes = entry.ok_or_else(|| StoreError::no_entry(index))?;
    let entry = store::entry_frame(index, bytes)?;
    Ok(Receipt {
        id,
        index,
        time: Millis(entry.time_ms),
        verdict: entry.verdict.unwrap_or_default(),
    })
}
