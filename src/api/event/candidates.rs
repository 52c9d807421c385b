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
    /// These, in order. `true`: each has to do with a unit that the query names.
    Listed(Vec<u64>, bool),
    /// Those of a party: by its rows before an entry, one by one from it on.
    Party(PartyId, u64),
    /// All.
    Log,
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
                found.extend(rows.1.into_iter().map(|(index, ..)| index.0));
            }
            return Ok(Source::Listed(found.into_iter().collect(), true));
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
            // What came a moment ago has no row yet.
            let size = view.head().map_err(errors::store)?.size;
            found.extend(noted..size);
            return Ok(Source::Listed(found.into_iter().collect(), false));
        }
        Ok(match sight {
            Sight::Own(party) => Source::Party(party, noted),
            Sight::All => Source::Log,
        })
    }

    /// Whether everybody may see them, as on the pages of the units.
    pub(super) const fn of_named_units(&self) -> bool {
        matches!(self.source, Source::Listed(_, true))
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
        let found: Vec<LogIndex> = match &self.source {
            Source::Listed(all, _) => {
                let from = all.partition_point(|index| *index < entries.start);
                let until = all.partition_point(|index| *index < entries.end);
                taken(all[from..until].iter().copied(), back)
            }
            Source::Log => taken(entries, back),
            Source::Party(party, noted) => {
                let (rows, late) = (
                    entries.start..entries.end.min(*noted),
                    entries.start.max(*noted)..entries.end,
                );
                let mut found = Vec::new();
                if back {
                    found = taken(late.clone(), back);
                }
                if found.len() < BATCH && !rows.is_empty() {
                    let from = LogIndex(if back { rows.end } else { rows.start });
                    signals::captured_by(view, party, from, back, |index| {
                        let inside = rows.contains(&index.0);
                        if inside {
                            found.push(index);
                        }
                        inside && found.len() < BATCH
                    })
                    .map_err(errors::store)?;
                }
                if !back && found.len() < BATCH {
                    let more = BATCH - found.len();
                    found.extend(late.take(more).map(LogIndex));
                }
                found
            }
        };
        Ok(found)
    }
}

fn taken(indexes: impl DoubleEndedIterator<Item = u64>, back: bool) -> Vec<LogIndex> {
    if back {
        indexes.rev().take(BATCH).map(LogIndex).collect()
    } else {
        indexes.take(BATCH).map(LogIndex).collect()
    }
}
