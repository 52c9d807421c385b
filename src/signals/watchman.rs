//! One step of early warning: what is new in the log. What a delivery shows is in `orders`, which deadlines
//! passed in `due`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::activity::Spot;
use super::book::{Book, Search, Subject};
use super::gist::Gist;
use super::{Event, MAX_EVIDENCE, MAX_UNITS, Signal};
use crate::core::apply::ranges_cover;
use crate::core::apply::state::{
    HistoryFront, HistoryRow, Keys, Ledger, Ledgers, Read as _, Units,
};
use crate::core::credit::alert::{
    FILES_A_DAY, LOOK_UP_NETWORKS, RATE_DAYS, RATE_RESTS, rate_rises,
};
use crate::core::credit::calendar::month_of;
use crate::core::credit::{AlertId, SignalKind};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{AccessBody, Body, CaseRecord, Kind, Millis, Record, RevocationReason};
use crate::core::rules::{FindingKind, Severity};
use crate::core::search::first_where;
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::store::{self, EntryReader, Store, StoreError};

/// Entries that one step looks at, for each cursor.
pub(super) const STEP: u64 = 4_096;

/// Where early warning is after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Number of the last event.
    pub last_event: u64,
    /// There is more to look at now.
    pub behind: bool,
}

/// Takes one step at a moment, over at most so many entries for each cursor.
///
/// # Errors
/// [`StoreError`] when the store can't be read or written.
pub fn step(store: &Store, now: Millis, most: u64) -> Result<Progress, StoreError> {
    let mut book = Book::open(store)?;
    let Some(ledger) = store.get::<Ledgers>(&())? else {
        return Ok(Progress {
            last_event: 0,
            behind: false,
        });
    };
    let size = store.head()?.size;
    let before = book.cursors.seen;
    let end = size.min(before.saturating_add(most));
    let mut watchman = Watchman {
        store,
        ledger,
        reader: store.reader()?,
        now,
        moved: end > before,
        behind: end < size,
        left: most,
    };
    watchman.note_old(&mut book, before, most)?;
    // What is new is noted once all before it is, so that each entry is noted once and in order.
    let notes = book.captures.looked_at == before;
    for index in before..end {
        watchman.look_at(&mut book, LogIndex(index), notes)?;
    }
    book.cursors.seen = end;
    if notes {
        book.captures.looked_at = end;
    }
    watchman.deadlines(&mut book)?;
    watchman.search(&mut book)?;
    let progress = Progress {
        last_event: book.cursors.last_event,
        behind: watchman.behind,
    };
    if watchman.moved {
        book.write()?;
    }
    Ok(progress)
}

/// Raises what consumers' look-ups show: units, and from how many networks each was asked about.
///
/// # Errors
/// [`StoreError`] when the store can't be read or written.
pub(super) fn look_ups(
    store: &Store,
    now: Millis,
    looked_up: &[(UnitId, u64)],
) -> Result<(), StoreError> {
    if looked_up.is_empty() {
        return Ok(());
    }
    let mut book = Book::open(store)?;
    for (id, networks) in looked_up {
        let Some(unit) = store.get::<Units>(id)? else {
            continue;
        };
        let signal = Signal {
            kind: SignalKind::LookedUpWidely,
            entry: unit.last_index,
            time: now,
            parties: unit
                .maker
                .into_iter()
                .chain(unit.holder.filter(|holder| Some(*holder) != unit.maker))
                .collect(),
            key: None,
            units: Vec::new(),
            unit_count: 0,
            evidence: vec![unit.last_index],
            measured: *networks,
            limit: LOOK_UP_NETWORKS,
            region: String::new(),
            city: String::new(),
        };
        book.raise(naming(signal, &[*id]))?;
    }
    book.write()
}

pub(super) struct Watchman<'a> {
    pub(super) store: &'a Store,
    pub(super) ledger: Arc<Ledger>,
    pub(super) reader: EntryReader<'a>,
    pub(super) now: Millis,
    /// A cursor went forward, so there is something to write.
    pub(super) moved: bool,
    pub(super) behind: bool,
    /// Entries that may still be looked at a second time in this step.
    pub(super) left: u64,
}

/// An entry as it lies in the store.
pub(super) struct Found {
    pub(super) index: LogIndex,
    pub(super) frame: wire::Entry,
    /// Of what it did to the first unit.
    front: Option<HistoryFront>,
    /// What it did to units, if it was asked for.
    pub(super) rows: Vec<(UnitId, HistoryRow)>,
}

impl Found {
    pub(super) const fn time(&self) -> Millis {
        Millis(self.frame.time_ms)
    }

    pub(super) fn key(&self) -> KeyId {
        let envelope = self.frame.envelope.as_ref();
        let key = envelope.and_then(|envelope| KeyId::from_slice(&envelope.key_id));
        key.unwrap_or(KeyId([0; 16])) // an admitted envelope has one
    }

    /// The record as it was signed.
    pub(super) fn payload(&self) -> &[u8] {
        let envelope = self.frame.envelope.as_ref();
        envelope.map_or(&[], |envelope| &envelope.payload)
    }

    pub(super) fn record(&self) -> Result<Record, StoreError> {
        let record = Record::decode(self.payload());
        record.map_err(|error| StoreError::Corrupt(format!("entry {}: {error}", self.index)))
    }

    pub(super) fn broke_rules(&self) -> bool {
        self.worst().is_some()
    }

    /// How severe its most severe finding is.
    fn worst(&self) -> Option<Severity> {
        let findings = self
            .frame
            .verdict
            .iter()
            .flat_map(|verdict| &verdict.findings);
        let kinds = findings.filter_map(|finding| FindingKind::from_number(finding.kind));
        kinds.map(|kind| kind.rule().severity).max()
    }

    /// The units at which the record broke a rule.
    pub(super) fn broken_at(&self, record: &Record) -> BTreeSet<UnitId> {
        let findings = self
            .frame
            .verdict
            .iter()
            .flat_map(|verdict| &verdict.findings);
        let findings: Vec<_> = findings.collect();
        if findings.is_empty() {
            return BTreeSet::new();
        }
        let broken = |number: &u32| {
            let mut all = findings.iter();
            all.any(|finding| ranges_cover(&finding.subjects, *number))
        };
        let subjects = (0..).zip(record.subjects());
        subjects
            .filter(|(number, _)| broken(number))
            .map(|(_, unit)| unit)
            .collect()
    }

    /// A signal about this entry, its place taken from the record.
    pub(super) fn signal(&self, kind: SignalKind, record: &Record) -> Signal {
        let region = record.place.region.as_ref();
        Signal {
            kind,
            entry: self.index,
            time: self.time(),
            parties: Vec::new(),
            key: None,
            units: Vec::new(),
            unit_count: 0,
            evidence: vec![self.index],
            measured: 0,
            limit: 0,
            region: region.map(ToString::to_string).unwrap_or_default(),
            city: record.place.city.to_string(),
        }
    }
}

impl Watchman<'_> {
    pub(super) fn found(&mut self, index: LogIndex, all_rows: bool) -> Result<Found, StoreError> {
        let parts = self.reader.entry_and_rows(index)?;
        let (bytes, rows) = parts.ok_or_else(|| StoreError::no_entry(index))?;
        let front = rows.front()?;
        let most = if all_rows { usize::MAX } else { 0 };
        let rows = rows.take(most).collect::<Result<_, _>>()?;
        Ok(Found {
            index,
            frame: store::entry_frame(index, bytes)?,
            front,
            rows,
        })
    }

    /// What was looked at before it was noted who signed what.
    fn note_old(&mut self, book: &mut Book<'_>, before: u64, most: u64) -> Result<(), StoreError> {
        let from = book.captures.looked_at;
        let end = before.min(from.saturating_add(most));
        for index in from..end {
            let found = self.found(LogIndex(index), false)?;
            let signer = found.front.filter(|front| front.kind.is_custody());
            if let Some(party) = signer.and_then(|front| front.signer.party()) {
                let gist = Gist::of(found.payload());
                book.captures.note(party, found.index, &gist);
            }
        }
        book.captures.looked_at = end;
        self.moved |= end > from;
        self.behind |= end < before;
        Ok(())
    }

    /// A new entry.
    fn look_at(
        &mut self,
        book: &mut Book<'_>,
        index: LogIndex,
        notes: bool,
    ) -> Result<(), StoreError> {
        let found = self.found(index, false)?;
        // Who decides or reports a finding broke nothing.
        let Some(front) = found.front.filter(|front| front.kind.is_custody()) else {
            return self.govern(book, &found);
        };
        let gist = Gist::of(found.payload());
        let spot = Spot::of(found.time().day_in_china(), &gist);
        book.counts.at(spot).record(found.worst());
        if let Some(party) = front.signer.party() {
            if notes {
                book.captures.note(party, index, &gist);
            }
            self.count(book, &found, party)?;
        }
        if front.kind == Kind::Deliver {
            let found = self.found(index, true)?;
            self.deliver(book, &found)?;
        }
        if front.kind == Kind::Confirm {
            book.counts.in_month(month_of(found.time())).confirmed += 1;
        }
        Ok(())
    }

    /// Records of each party, and those that broke a rule.
    fn count(&self, book: &mut Book<'_>, found: &Found, party: PartyId) -> Result<(), StoreError> {
        let broke = found.broke_rules();
        let watched = book.watched(Subject::Party(party))?;
        let day = found.time().day();
        watched.days.count(day, 1, u64::from(broke), RATE_DAYS);
        if !broke {
            return Ok(());
        }
        watched.remember(found.index);
        let Some((now, before)) = rate_rises(&watched.days) else {
            return Ok(());
        };
        if watched.days.raise(RATE_RESTS) {
            let evidence = watched.stood_out.iter().copied().collect();
            let signal = Signal {
                parties: vec![party],
                evidence,
                measured: now,
                limit: before,
                ..found.signal(SignalKind::RateOfBreaks, &found.record()?)
            };
            book.raise(signal)?;
        }
        Ok(())
    }

    /// A governance record, or one about lots and products.
    fn govern(&mut self, book: &mut Book<'_>, found: &Found) -> Result<(), StoreError> {
        let mut answered = |alert| book.add(Event::Answered(alert, found.time()));
        match found.record()?.body {
            Body::AnswerAlert { alert, .. } => answered(alert),
            Body::DecideFinding {
                index, kind, unit, ..
            } => {
                let unit = self.store.get::<Units>(&unit)?.unwrap_or_default();
                let mut findings = unit.findings.iter();
                if let Some(finding) = findings.find(|f| f.index == index && f.kind == kind) {
                    answered(AlertId::Finding(finding.number));
                }
            }
            Body::Access(AccessBody::OpenFile { subject, .. }) => {
                self.bulk_look_up(book, found, subject)?;
            }
            Body::Case(body) => {
                if let CaseRecord::Open { grounds, .. } | CaseRecord::Add { grounds, .. } = body.act
                {
                    grounds.alerts().for_each(answered);
                }
            }
            Body::RevokeKey {
                key_id,
                reason: RevocationReason::Compromised(since),
            } => {
                // It signed nothing before it was registered.
                let key = self.store.get::<Keys>(&key_id)?;
                let registered = key.map_or(0, |key| key.registered_at.0);
                let search = Search {
                    key: key_id,
                    revoked_at: found.index,
                    next: self.first_since(since, found.index.0)?.max(registered),
                    found: Vec::new(),
                    count: 0,
                };
                book.cursors.searches.push_back(search);
            }
            _ => {}
        }
        Ok(())
    }

    /// A regulator opened a file, of a party whose file it hadn't opened that day.
    fn bulk_look_up(
        &self,
        book: &mut Book<'_>,
        found: &Found,
        subject: PartyId,
    ) -> Result<(), StoreError> {
        let Some(key) = self.store.get::<Keys>(&found.key())? else {
            return Ok(());
        };
        let Some(reader) = key.owner.party() else {
            return Ok(());
        };
        let day = found.time().day_in_china();
        let of_subject = book.watched(Subject::ReaderOf(reader, subject))?;
        of_subject.days.count(day, 1, 0, 1);
        if of_subject.days.sum(0, 1).0 > 1 {
            return Ok(());
        }
        let watched = book.watched(Subject::Reader(reader))?;
        watched.days.count(day, 1, 0, 1);
        watched.remember(found.index);
        let (opened, _) = watched.days.sum(0, 1);
        if opened <= FILES_A_DAY || !watched.days.raise(1) {
            return Ok(());
        }
        let evidence = watched.stood_out.iter().copied().collect();
        let signal = Signal {
            parties: vec![reader],
            key: Some(found.key()),
            evidence,
            measured: opened,
            limit: FILES_A_DAY,
            ..found.signal(SignalKind::BulkLookUp, &found.record()?)
        };
        book.raise(signal)
    }

    /// The first entry of a time or later, below an index. Times of entries never run back.
    fn first_since(&mut self, since: Millis, end: u64) -> Result<u64, StoreError> {
        first_where(0..end, |index| {
            Ok(self.found(LogIndex(index), false)?.time() >= since)
        })
    }

    /// Goes on looking for what a compromised key had signed.
    fn search(&mut self, book: &mut Book<'_>) -> Result<(), StoreError> {
        let Some(mut search) = book.cursors.searches.pop_front() else {
            return Ok(());
        };
        self.moved = true;
        let end = search.revoked_at.0;
        let until = end.min(search.next.saturating_add(self.left.max(1)));
        for index in (search.next..until).map(LogIndex) {
            if self.found(index, false)?.key() == search.key {
                search.count += 1;
                if search.found.len() < MAX_EVIDENCE {
                    search.found.push(index);
                }
            }
        }
        search.next = until;
        if until < end {
            book.cursors.searches.push_front(search);
            self.behind = true;
            return Ok(());
        }
        self.behind |= !book.cursors.searches.is_empty();
        if search.count == 0 {
            return Ok(());
        }
        let revocation = self.found(search.revoked_at, false)?;
        let owner = self.store.get::<Keys>(&search.key)?;
        let signal = Signal {
            parties: owner
                .and_then(|key| key.owner.party())
                .into_iter()
                .collect(),
            key: Some(search.key),
            evidence: search.found,
            measured: search.count,
            ..revocation.signal(SignalKind::CompromisedKey, &revocation.record()?)
        };
        book.raise(signal)
    }
}

/// The signal, with units.
pub(super) fn naming(signal: Signal, units: &[UnitId]) -> Signal {
    Signal {
        units: units.iter().copied().take(MAX_UNITS).collect(),
        unit_count: units.len() as u64,
        ..signal
    }
}
