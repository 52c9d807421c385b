//! Where the events of a query may be: never more of the log than has to be.

use std::collections::BTreeSet;

use tonic::Status;

use super::{Sight, too_complex};
use crate::api::{errors, log, read};
use crate::core::apply::state::Read as _;
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::core::tlog::LogIndex;
use crate::epcis::{self, Query};
use crate::signals;
use crate::store::View;

/// Candidates that are taken at once.
const BATCH: usize = 512;
/// Steps in the histories of the units that a query names.
const MAX_STEPS: usize = 20_000;

pub(super) struct Candidates {
    /// Entries, from the first on and before the last.
    entries: std::ops::Range<u64>,
    source: Source,
}

enum Source {
    /// These, in order.
    Listed(Vec<u64>),
    /// Those that are noted, and after the last entry that was looked at for that, all.
    Noted(Noted, u64),
    /// All.
    Log,
}

enum Noted {
    /// What a party signed.
    Party(PartyId),
    /// What has the ids that are asked for.
    Found(Vec<u64>),
}

impl Candidates {
    pub(super) fn new(view: &View<'_>, query: &Query, sight: Sight) -> Result<Self, Status> {
        let size = view.head().map_err(errors::store)?.size;
        let since = |ms: Option<i64>, otherwise: u64| match ms.map(u64::try_from) {
            // Before 1970 there is nothing.
            None | Some(Err(_)) => Ok(otherwise),
            Some(Ok(ms)) => log::entry_since(view.store(), Millis(ms))
                .map(|found| found.map_or(size, |index| index.0)),
        };
        let first = since(query.recorded_from, 0)?;
        let end = match query.recorded_before {
            Some(ms) if ms <= 0 => 0,
            before => since(before, size)?,
        };
        let source = Self::source(view, query, sight)?;
        Ok(Self {
            entries: first..end.min(size),
            source,
        })
    }

    /// All entries from one on.
    pub(super) fn onward(view: &View<'_>, next: u64) -> Result<Self, Status> {
        let size = view.head().map_err(errors::store)?.size;
        Ok(Self {
            entries: next..size,
            source: Source::Log,
        })
    }

    fn source(view: &View<'_>, query: &Query, sight: Sight) -> Result<Source, Status> {
        if let Some(units) = query.units.iter().min_by_key(|units| units.len()) {
            let mut found = BTreeSet::new();
            for unit in units {
                let limit = MAX_STEPS.saturating_sub(found.len());
                let rows = read::history(view, *unit, LogIndex(0), limit).map_err(|status| {
                    if status.code() == tonic::Code::ResourceExhausted {
                        return too_complex(format!(
                            "the units that it names have more than {MAX_STEPS} steps"
                        ));
                    }
                    status
                })?;
                found.extend(rows.1.into_iter().map(|row| row.index.0));
            }
            return Ok(Source::Listed(found.into_iter().collect()));
        }
        let noted = signals::captured_to(view).map_err(errors::store)?;
        if let Some(ids) = &query.event_ids {
            let party = match &sight {
                Sight::Own(party) => Some(party),
                Sight::All => None,
            };
            let mut found = BTreeSet::new();
            for id in ids {
                if let Some(record) = epcis::named_record(id) {
                    let index = view.entry_of(&record).map_err(errors::store)?;
                    found.extend(index.map(|index| index.0));
                }
                signals::captured_as(view, id, party, |index, _| {
                    found.insert(index.0);
                    found.len() < MAX_STEPS
                })
                .map_err(errors::store)?;
            }
            let found = found.into_iter().collect();
            return Ok(Source::Noted(Noted::Found(found), noted));
        }
        Ok(match sight {
            Sight::Own(party) => Source::Noted(Noted::Party(party), noted),
            Sight::All => Source::Log,
        })
    }

    /// The place before the first; going back, after the last.
    pub(super) const fn begin(&self, back: bool) -> u64 {
        if back {
            self.entries.end
        } else {
            self.entries.start
        }
    }

    /// The entry after the last.
    pub(super) const fn end(&self) -> u64 {
        self.entries.end
    }

    /// The next ones from a place on, or back from before it. None: that was all.
    pub(super) fn batch(
        &self,
        view: &View<'_>,
        place: u64,
        back: bool,
    ) -> Result<Vec<LogIndex>, Status> {
        let entries = if back {
            self.entries.start..place.min(self.entries.end)
        } else {
            place.max(self.entries.start)..self.entries.end
        };
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let Source::Noted(rows, noted) = &self.source else {
            return Ok(match &self.source {
                Source::Listed(all) => listed(all, &entries, back),
                _ => taken(entries, back),
            });
        };
        let before = entries.start..entries.end.min(*noted);
        // What came a moment ago has no row yet.
        let late = entries.start.max(*noted)..entries.end;
        let mut found = Vec::new();
        if back {
            found = taken(late.clone(), back);
        }
        if found.len() < BATCH && !before.is_empty() {
            match rows {
                Noted::Found(all) => found.extend(listed(all, &before, back)),
                Noted::Party(party) => {
                    let from = LogIndex(if back { before.end } else { before.start });
                    signals::captured_by(view, party, from, back, |index| {
                        let inside = before.contains(&index.0);
                        if inside {
                            found.push(index);
                        }
                        inside && found.len() < BATCH
                    })
                    .map_err(errors::store)?;
                }
            }
        }
        if !back && found.len() < BATCH {
            let more = BATCH - found.len();
            found.extend(late.take(more).map(LogIndex));
        }
        Ok(found)
    }
}

fn listed(all: &[u64], entries: &std::ops::Range<u64>, back: bool) -> Vec<LogIndex> {
    let from = all.partition_point(|index| *index < entries.start);
    let until = all.partition_point(|index| *index < entries.end);
    taken(all[from..until].iter().copied(), back)
}

fn taken(indexes: impl DoubleEndedIterator<Item = u64>, back: bool) -> Vec<LogIndex> {
    if back {
        indexes.rev().take(BATCH).map(LogIndex).collect()
    } else {
        indexes.take(BATCH).map(LogIndex).collect()
    }
}
