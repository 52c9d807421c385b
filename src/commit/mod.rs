//! Commit: applies group after group, writes each with one synced write, then acknowledges.
//!
//! ```text
//!  group ─► apply each record over the views ─► entries, tiles, changes ─► store.commit ─► acks
//! ```
//!
//! One thread does it, so the order of the groups is the order of the log. A record that was
//! acknowledged before gets the same receipt again and takes no index (I6). After a failed write
//! nothing is known of the group, so nothing more is accepted: the process has to open the store
//! anew, which finds it whole (I3).

use std::sync::Arc;

use prost::Message as _;
use prost::bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::admit::Admitted;
use crate::core::apply::state::{Changes, Overlay, Read, Tallies};
use crate::core::apply::{self, ApplyError, Focus, Placed, encode_entry};
use crate::core::envelope::RecordId;
use crate::core::record::Millis;
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::tile::{RightEdge, TileId};
use crate::core::tlog::{Hash, LogIndex, leaf_hash};
use crate::core::wire;
use crate::sequence::{Answer, Group, Sequencer};
use crate::store::{self, Cached, LogHead, Store, StoreError};

/// Applies and writes groups.
pub struct Committer {
    views: Cached,
    edge: RightEdge,
    last_time: Millis,
    published: watch::Sender<LogHead>,
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
}

/// What a group comes to.
struct Applied {
    group: store::Group,
    edge: RightEdge,
    last_time: Millis,
    answers: Vec<(oneshot::Sender<Vec<Answer>>, Vec<Answer>)>,
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
        let (published, head) = watch::channel(store.head()?);
        Ok((
            Self {
                views: Cached::new(store, units),
                edge,
                last_time,
                published,
            },
            head,
        ))
    }

    /// Commits group after group until the order ends or the store fails.
    ///
    /// # Errors
    /// [`CommitError`] when it can't go on; who waits is told that nothing is known.
    pub fn run(mut self, mut sequencer: impl Sequencer) -> Result<(), CommitError> {
        while let Some(group) = sequencer.next() {
            self.commit(group)?;
        }
        Ok(())
    }

    /// Commits one group and acknowledges it.
    ///
    /// # Errors
    /// As [`Committer::run`].
    pub fn commit(&mut self, group: Group) -> Result<(), CommitError> {
        let Applied {
            group,
            edge,
            last_time,
            answers,
        } = self.apply(group)?;
        if !group.entries.is_empty() {
            if let Err(error) = self.views.store().commit(&group) {
                let refusal = Refusal::new(
                    Reason::Storage,
                    "the store failed; whether the record is in the log is not known: send the \
                     same envelope again",
                );
                for (reply, answers) in answers {
                    let unknown = answers.iter().map(|_| Err(refusal.clone()));
                    let _ = reply.send(unknown.collect());
                }
                return Err(error.into());
            }
            self.views.absorb(&group.changes);
            metrics::counter!("custody_groups_total").increment(1);
            metrics::counter!("custody_entries_total").increment(group.entries.len() as u64);
        }
        self.edge = edge;
        self.last_time = last_time;
        self.published.send_replace(group.head);
        for (reply, answer) in answers {
            // A client that went away gets its receipt when it sends the record again.
            let _ = reply.send(answer);
        }
        Ok(())
    }

    fn apply(&self, group: Group) -> Result<Applied, CommitError> {
        let time = group.time.max(self.last_time);
        let first = LogIndex(self.edge.size().get());
        let records = group.submissions.iter().flat_map(|s| &s.records);
        let units = records.flat_map(|admitted| {
            let record = &admitted.record;
            record.refs().chain(record.containers.iter().copied())
        });
        self.views.prefetch(units.map(|unit| unit.id))?;
        let mut builder = Builder {
            store: self.views.store(),
            views: Overlay::new(&self.views),
            edge: self.edge.clone(),
            first,
            entries: Vec::new(),
            tiles: Vec::new(),
        };
        let mut answers = Vec::with_capacity(group.submissions.len());
        for submission in group.submissions {
            let records = submission.records.iter();
            let answered: Result<Vec<Answer>, CommitError> = records
                .map(|admitted| builder.append(admitted, time))
                .collect();
            answers.push((submission.reply, answered?));
        }
        let head = LogHead {
            size: builder.edge.size().get(),
            root: builder.edge.root(),
        };
        let last_time = if builder.entries.is_empty() {
            self.last_time
        } else {
            time
        };
        let changes: Changes = builder.views.into_changes();
        let group = store::Group {
            first,
            entries: builder.entries,
            tiles: builder.tiles,
            changes,
            head,
        };
        Ok(Applied {
            group,
            edge: builder.edge,
            last_time,
            answers,
        })
    }
}

/// A group under way.
struct Builder<'a> {
    store: &'a Store,
    views: Overlay<'a, Cached>,
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
        let applied = match apply::apply(&self.views, placed, Focus::All) {
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
        Ok(Ok(wire::Receipt {
            record_id: admitted.id.0.to_vec(),
            log_index: index.0,
            time_ms: time.0,
            verdict: Some(applied.verdict),
        }))
    }

    /// The receipt of a record that was acknowledged before, or comes earlier in this group.
    fn receipt(&self, id: RecordId, index: LogIndex) -> Result<wire::Receipt, StoreError> {
        let here = index.0.checked_sub(self.first.0);
        let here = here.and_then(|at| self.entries.get(usize::try_from(at).ok()?));
        let entry = match here {
            Some(entry) => Some(entry.clone()),
            None => self.store.entry(index)?,
        };
        receipt(id, index, entry)
    }
}

/// The receipt of a record that is in the log: the same whenever it is asked for (I6).
fn receipt(
    id: RecordId,
    index: LogIndex,
    entry: Option<Bytes>,
) -> Result<wire::Receipt, StoreError> {
    let bytes = entry.ok_or_else(|| StoreError::Corrupt(format!("entry {index} is missing")))?;
    let entry = wire::Entry::decode(bytes)
        .map_err(|error| StoreError::Corrupt(format!("entry {index}: {error}")))?;
    Ok(wire::Receipt {
        record_id: id.0.to_vec(),
        log_index: index.0,
        time_ms: entry.time_ms,
        verdict: Some(entry.verdict.unwrap_or_default()),
    })
}
