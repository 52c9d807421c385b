//! Scores of delivery firms: what they are made of, gathered from the views.

use tonic::Status;

use super::errors;
use super::pages::number_after;
use crate::core::apply::state::{
    Claims, Commitments, Conducts, CreditItems, CreditRecords, Findings, KeyScope, Keys, Lapses,
    Objections, PartyFindings, PartyKeys, Read, Tallies,
};
use crate::core::credit::calendar::month_of;
use crate::core::credit::score::{Deduction, FORMULA, Facts, Item, Score};
use crate::core::credit::{CreditItem, calendar};
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::core::search::first_where;
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::store::{StoreError, View};

/// Most rows that one score is made of; a firm with more asks for a shorter period.
const MAX_ROWS: usize = 1_000_000;

/// Months, the first and the last, as [`month_of`] counts them.
#[derive(Clone, Copy)]
pub(super) struct Period {
    pub first: u32,
    pub last: u32,
}

impl Period {
    /// As asked for, with a year up to now where nothing is said.
    pub(super) fn asked(until_month: u32, months: u32, now: Millis) -> Result<Self, Status> {
        let last = match until_month {
            0 => month_of(now),
            number => calendar::month_from(number)
                .ok_or_else(|| errors::invalid("until_month", "a month as YYYYMM"))?,
        };
        let months = match months {
            0 => 12,
            months @ 1..=60 => months,
            _ => return Err(errors::invalid("months", "1 to 60 months")),
        };
        Ok(Self::ending(last, months))
    }

    /// So many months, of which this is the last.
    pub(super) const fn ending(last: u32, months: u32) -> Self {
        Self {
            first: last.saturating_sub(months - 1),
            last,
        }
    }

    fn holds(self, time: Millis) -> bool {
        (self.first..=self.last).contains(&month_of(time))
    }
}

struct Gatherer<'a> {
    view: &'a View<'a>,
    period: Period,
    facts: Facts,
    rows: usize,
}

/// The score of a firm, or of one of its keys, as it goes over the wire.
pub(super) fn answer(
    view: &View<'_>,
    party: PartyId,
    key: Option<KeyId>,
    period: Period,
) -> Result<wire::GetScoreResponse, Status> {
    let score = score(view, party, key, period)?;
    Ok(wire::GetScoreResponse {
        formula: FORMULA,
        points: u32::try_from(score.points).unwrap_or(0),
        tier: format!("{:?}", score.tier()),
        items: score.items.iter().map(item).collect(),
        log_size: view.head().map_err(errors::store)?.size,
        from_month: calendar::yyyymm(period.first),
        until_month: calendar::yyyymm(period.last),
    })
}

/// The score of a firm, or of one of its keys.
pub(super) fn score(
    view: &View<'_>,
    party: PartyId,
    key: Option<KeyId>,
    period: Period,
) -> Result<Score, Status> {
    let mut gatherer = Gatherer {
        view,
        period,
        facts: Facts::default(),
        rows: 0,
    };
    match key {
        Some(key) => gatherer.key(key)?,
        None => {
            for key in keys_of(view, party)? {
                gatherer.key(key)?;
            }
            gatherer.file(party)?;
        }
    }
    gatherer.findings(party, key)?;
    Ok(Score::of(&gatherer.facts))
}

/// Keys of a party, delegated ones included.
fn keys_of(view: &View<'_>, party: PartyId) -> Result<Vec<KeyId>, Status> {
    let prefix = party.to_compact();
    let mut keys = Vec::new();
    view.scan_prefix::<PartyKeys>(&prefix, &[], |bytes, ()| {
        keys.extend(bytes.get(prefix.len()..).and_then(KeyId::from_slice));
        true
    })
    .map_err(errors::store)?;
    Ok(keys)
}

/// Whether a key is an employee's or a device's of the party.
pub(super) fn is_key_of(view: &View<'_>, party: PartyId, key: KeyId) -> Result<bool, Status> {
    let row = view.get::<Keys>(&key).map_err(errors::store)?;
    Ok(row.is_some_and(|row| row.owner.party() == Some(party) && row.scope != KeyScope::Buyer))
}

impl Gatherer<'_> {
    fn count(&mut self, rows: usize) -> Result<(), Status> {
        self.rows += rows;
        if self.rows > MAX_ROWS {
            return Err(Status::resource_exhausted(format!(
                "the score is made of more than {MAX_ROWS} rows; ask for fewer months"
            )));
        }
        Ok(())
    }

    fn struck(&self, deduction: Deduction) -> Result<bool, Status> {
        let row = self.view.get::<Objections>(&deduction);
        let row = row.map_err(errors::store)?;
        Ok(row.is_some_and(|row| row.is_granted()))
    }

    /// What a key did.
    fn key(&mut self, key: KeyId) -> Result<(), Status> {
        let (prefix, period) = (key.0, self.period);
        let first = [&prefix[..], &period.first.to_be_bytes()].concat();
        let mut conduct = self.facts.conduct;
        self.view
            .scan_prefix::<Conducts>(&prefix, &first, |bytes, row| {
                let month = bytes
                    .get(prefix.len()..)
                    .and_then(|rest| rest.try_into().ok());
                let within = month.map(u32::from_be_bytes) <= Some(period.last);
                if within {
                    conduct = conduct.plus(row);
                }
                within
            })
            .map_err(errors::store)?;
        self.facts.conduct = conduct;
        let mut lapses = Vec::new();
        self.view
            .scan_prefix::<Lapses>(&prefix, &[], |bytes, row| {
                let index = number_after(&prefix, bytes).map(LogIndex);
                lapses.extend(index.filter(|_| period.holds(row.time)).map(|at| (at, row)));
                lapses.len() <= MAX_ROWS
            })
            .map_err(errors::store)?;
        self.count(lapses.len())?;
        for (index, lapse) in lapses {
            let struck = self.struck(Deduction::Lapse(key, index))?;
            self.facts.lapses.push((index, lapse, struck));
        }
        Ok(())
    }

    /// Findings that the party's keys, or one of them, gave rise to in the period. Their numbers rise with
    /// the ledger's time, so those of the period lie together.
    fn findings(&mut self, party: PartyId, key: Option<KeyId>) -> Result<(), Status> {
        let last = self.view.get::<Tallies>(&()).map_err(errors::store)?;
        let last = last.map_or(0, |tally| tally.findings);
        let first = self.first_finding(last, |month| month >= self.period.first)?;
        let end = self.first_finding(last, |month| month > self.period.last)?;
        let prefix = party.to_compact();
        let from = [&prefix[..], &first.to_be_bytes()].concat();
        let mut numbers = Vec::new();
        self.view
            .scan_prefix::<PartyFindings>(&prefix, &from, |bytes, by| {
                let number = number_after(&prefix, bytes).filter(|number| *number < end);
                let wanted = key.is_none_or(|key| key == by);
                numbers.extend(number.filter(|_| wanted));
                number.is_some() && numbers.len() <= MAX_ROWS
            })
            .map_err(errors::store)?;
        self.count(numbers.len())?;
        for number in numbers {
            let row = self.view.get::<Findings>(&number).map_err(errors::store)?;
            let Some(row) = row else { continue };
            let struck = self.struck(Deduction::Finding(number))?;
            let status = row.status.counted(row.by_regulator);
            let found = (row.index, row.kind, status, struck);
            self.facts.findings.push(found);
        }
        Ok(())
    }

    /// The first finding in a month that is so, or the number after the last.
    fn first_finding(&self, last: u64, is_so: impl Fn(u32) -> bool) -> Result<u64, Status> {
        first_where(1..last + 1, |number| {
            let row = self.view.get::<Findings>(&number).map_err(errors::store)?;
            Ok(row.is_none_or(|row| is_so(month_of(row.time))))
        })
    }

    /// What the firm's credit file holds.
    fn file(&mut self, party: PartyId) -> Result<(), Status> {
        let prefix = party.to_compact();
        let mut items = Vec::new();
        self.view
            .scan_prefix::<CreditItems>(&prefix, &[], |bytes, item| {
                items.extend(number_after(&prefix, bytes).map(|index| (LogIndex(index), item)));
                items.len() <= MAX_ROWS
            })
            .map_err(errors::store)?;
        self.count(items.len())?;
        for (index, item) in items {
            self.file_item(index, item)?;
        }
        Ok(())
    }

    fn file_item(&mut self, index: LogIndex, item: CreditItem) -> Result<(), Status> {
        let (view, period) = (self.view, self.period);
        let missing = || errors::store(StoreError::no_row(index));
        match item {
            CreditItem::Listing | CreditItem::Measure => {}
            CreditItem::Commitment => {
                let row = view.get::<Commitments>(&index).map_err(errors::store)?;
                let breaches = row.ok_or_else(missing)?;
                let within = breaches.breaches.iter().map(|breach| breach.recorded);
                let within = within.filter(|at| period.holds(at.time));
                self.facts.breaches.extend(within.map(|at| at.index));
            }
            CreditItem::Record => {
                let row = view.get::<CreditRecords>(&index).map_err(errors::store)?;
                let row = row.ok_or_else(missing)?;
                if period.holds(row.added.time) {
                    self.facts.records.push((index, row.severity));
                }
            }
            CreditItem::Claim => {
                let row = view.get::<Claims>(&index).map_err(errors::store)?;
                let row = row.ok_or_else(missing)?;
                let decided = row.decided.as_ref();
                if decided.is_some_and(|decided| period.holds(decided.at.time)) {
                    let struck = self.struck(Deduction::Claim(index))?;
                    self.facts.claims.push((index, struck));
                }
            }
        }
        Ok(())
    }
}

fn item(item: &Item) -> wire::ScoreItem {
    wire::ScoreItem {
        kind: item.kind.number(),
        points: item.points,
        count: item.count,
        of: item.of,
        entries: item.entries.iter().map(|index| index.0).collect(),
    }
}
