//! One step of early warning: what is new in the log, and which deadlines passed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::book::{Book, Search, Subject};
use super::{Event, MAX_EVIDENCE, MAX_UNITS, Signal};
use crate::core::apply::state::{
    Attestations, HistoryRow, Keys, Ledger, Ledgers, Life, Parties, Read as _, Units,
};
use crate::core::credit::alert::{
    FILES_A_DAY, LOOK_UP_NETWORKS, RATE_DAYS, RATE_RESTS, RING_DAYS, rate_rises, ring_closes,
};
use crate::core::credit::{AlertId, SignalKind};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{
    AccessBody, Body, CaseRecord, Kind, Millis, Record, RevocationReason, Role,
};
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
    for index in before..end {
        watchman.look_at(&mut book, LogIndex(index))?;
    }
    book.cursors.seen = end;
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

struct Watchman<'a> {
    store: &'a Store,
    ledger: Arc<Ledger>,
    reader: EntryReader<'a>,
    now: Millis,
    /// A cursor went forward, so there is something to write.
    moved: bool,
    behind: bool,
    /// Entries that may still be looked at a second time in this step.
    left: u64,
}

/// An entry as it lies in the store.
struct Found {
    index: LogIndex,
    frame: wire::Entry,
    /// What it did to units, if it was asked for.
    rows: Vec<(UnitId, HistoryRow)>,
}

impl Found {
    const fn time(&self) -> Millis {
        Millis(self.frame.time_ms)
    }

    fn key(&self) -> KeyId {
        let envelope = self.frame.envelope.as_ref();
        let key = envelope.and_then(|envelope| KeyId::from_slice(&envelope.key_id));
        key.unwrap_or(KeyId([0; 16])) // an admitted envelope has one
    }

    fn record(&self) -> Result<Record, StoreError> {
        let payload = self
            .frame
            .envelope
            .as_ref()
            .map(|envelope| &envelope.payload);
        let record = Record::decode(payload.map_or(&[], |payload| payload));
        record.map_err(|error| StoreError::Corrupt(format!("entry {}: {error}", self.index)))
    }

    fn broke_rules(&self) -> bool {
        let verdict = self.frame.verdict.as_ref();
        verdict.is_some_and(|verdict| !verdict.findings.is_empty())
    }

    /// A signal about this entry, its place taken from the record.
    fn signal(&self, kind: SignalKind, record: &Record) -> Signal {
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
            city: record.place.city.clone(),
        }
    }
}

impl Watchman<'_> {
    fn found(&mut self, index: LogIndex, all_rows: bool) -> Result<Found, StoreError> {
        let parts = self.reader.entry_and_rows(index)?;
        let (bytes, rows) = parts.ok_or_else(|| StoreError::no_entry(index))?;
        let most = if all_rows { usize::MAX } else { 1 };
        let rows = rows.take(most).collect::<Result<_, _>>()?;
        Ok(Found {
            index,
            frame: store::entry_frame(index, bytes)?,
            rows,
        })
    }

    /// A new entry.
    fn look_at(&mut self, book: &mut Book<'_>, index: LogIndex) -> Result<(), StoreError> {
        let found = self.found(index, false)?;
        let Some((_, row)) = found.rows.first() else {
            return self.govern(book, &found);
        };
        // Who decides or reports a finding broke nothing.
        if !row.kind.is_custody() {
            return self.govern(book, &found);
        }
        if let Some(party) = row.signer.party() {
            self.count(book, &found, party)?;
        }
        if row.kind == Kind::Deliver {
            let found = self.found(index, true)?;
            self.deliver(book, &found)?;
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
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.found(LogIndex(middle), false)?.time() < since {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Orders that were delivered.
    fn deliver(&self, book: &mut Book<'_>, found: &Found) -> Result<(), StoreError> {
        let record = found.record()?;
        let limit = self.ledger.thresholds.min_delivery_ms;
        let (mut weightless, mut hasty) = (Vec::new(), Vec::new());
        let (mut evidence, mut sellers) = (BTreeSet::from([found.index]), BTreeSet::new());
        let mut least = u64::MAX;
        let courier = found.rows.first().and_then(|(_, row)| row.signer.party());
        let day = found.time().day();
        for (id, row) in found.rows.iter().filter(|(_, row)| row.joined) {
            let Some(way) = row.delivered else {
                continue;
            };
            if way.in_person && way.seller == courier {
                continue;
            }
            let no_way = way.took_ms < limit;
            // With no scan on the way it is a finding already: PHANTOM_DELIVERY.
            if way.weightless && way.seen {
                weightless.push(*id);
            }
            if no_way && way.seen {
                hasty.push(*id);
                least = least.min(way.took_ms);
            }
            if way.weightless || no_way {
                evidence.insert(way.shipped);
            }
            let Some(seller) = way.seller else {
                continue;
            };
            sellers.insert(seller);
            let of_key = book.watched(Subject::Key(record.key_id))?;
            of_key.days.count(day, 1, 0, RING_DAYS);
            let of_both = book.watched(Subject::KeyAndSeller(record.key_id, seller))?;
            let stood_out = u64::from(way.weightless || no_way);
            of_both.days.count(day, 1, stood_out, RING_DAYS);
            if stood_out > 0 {
                of_both.remember(found.index);
            }
        }
        let parties: Vec<PartyId> = sellers.iter().copied().chain(courier).collect();
        for (kind, units, measured, limit) in [
            (SignalKind::WeightlessDelivery, weightless, 0, 0),
            (SignalKind::HastyDelivery, hasty, least, limit),
        ] {
            if !units.is_empty() {
                let signal = Signal {
                    parties: parties.clone(),
                    key: Some(record.key_id),
                    evidence: evidence.iter().copied().take(MAX_EVIDENCE).collect(),
                    measured,
                    limit,
                    ..found.signal(kind, &record)
                };
                book.raise(naming(signal, &units))?;
            }
        }
        for seller in sellers {
            self.close_ring(book, found, &record, seller, courier)?;
        }
        Ok(())
    }

    /// A seller, a courier's key, and buyers that nobody knows.
    fn close_ring(
        &self,
        book: &mut Book<'_>,
        found: &Found,
        record: &Record,
        seller: PartyId,
        courier: Option<PartyId>,
    ) -> Result<(), StoreError> {
        let of_key = book.watched(Subject::Key(record.key_id))?.days.clone();
        let of_both = book.watched(Subject::KeyAndSeller(record.key_id, seller))?;
        if of_both.days.rests(RING_DAYS as u64) || ring_closes(&of_both.days, &of_key, 0).is_none()
        {
            return Ok(());
        }
        let evidence: Vec<LogIndex> = of_both.stood_out.iter().copied().collect();
        let known = self.known_buyers(&evidence, seller)?;
        let Some((fake, all)) = ring_closes(&of_both.days, &of_key, known) else {
            return Ok(());
        };
        of_both.days.raise(RING_DAYS as u64);
        let signal = Signal {
            parties: std::iter::once(seller).chain(courier).collect(),
            key: Some(record.key_id),
            evidence,
            measured: fake,
            limit: all,
            ..found.signal(SignalKind::ClosedRing, record)
        };
        book.raise(signal)
    }

    /// Orders of a seller among these deliveries whose buyer's key an independent party attested.
    fn known_buyers(&self, deliveries: &[LogIndex], seller: PartyId) -> Result<u64, StoreError> {
        let mut reader = self.store.reader()?;
        let mut known = 0;
        for index in deliveries {
            let Some((_, rows)) = reader.entry_and_rows(*index)? else {
                continue;
            };
            for row in rows {
                let (_, row) = row?;
                let of_seller = row.delivered.is_some_and(|way| way.seller == Some(seller));
                if let Some(buyer) = row.buyer.filter(|_| of_seller)
                    && self.store.get::<Attestations>(&buyer)?.is_some()
                {
                    known += 1;
                }
            }
        }
        Ok(known)
    }

    /// What earlier entries began, and what should have gone on by now.
    fn deadlines(&mut self, book: &mut Book<'_>) -> Result<(), StoreError> {
        const HOUR: u64 = 3_600_000;
        let policy = self.ledger.credit_policy;
        let accept = u64::from(policy.accept_hours) * HOUR;
        let transit = u64::from(policy.transit_hours) * HOUR;
        let stock = u64::from(policy.rest_days) * 24 * HOUR;
        let seen = book.cursors.seen;
        let mut cursor = book.cursors.offered;
        while let Some(found) = self.due(&mut cursor, seen, accept)? {
            self.not_accepted(book, &found, accept)?;
        }
        book.cursors.offered = cursor;
        let mut cursor = book.cursors.in_transit;
        while let Some(found) = self.due(&mut cursor, seen, transit)? {
            self.at_rest(book, &found, transit, true)?;
        }
        book.cursors.in_transit = cursor;
        let mut cursor = book.cursors.in_stock;
        while let Some(found) = self.due(&mut cursor, seen, stock)? {
            self.at_rest(book, &found, stock, false)?;
        }
        book.cursors.in_stock = cursor;
        Ok(())
    }

    /// The entry at a cursor, if its deadline has passed; the cursor moves past it.
    fn due(
        &mut self,
        cursor: &mut u64,
        seen: u64,
        after: u64,
    ) -> Result<Option<Found>, StoreError> {
        if *cursor >= seen {
            return Ok(None);
        }
        let index = LogIndex(*cursor);
        let found = self.found(index, true)?;
        if found.time().plus(after) > self.now {
            return Ok(None);
        }
        if self.left == 0 {
            self.behind = true;
            return Ok(None);
        }
        (self.left, self.moved) = (self.left - 1, true);
        *cursor += 1;
        Ok(Some(found))
    }

    fn not_accepted(
        &self,
        book: &mut Book<'_>,
        found: &Found,
        after: u64,
    ) -> Result<(), StoreError> {
        let mut waiting = Vec::new();
        let mut parties = None;
        for (id, row) in &found.rows {
            if row.kind != Kind::Handover || !row.joined {
                continue;
            }
            let unit = self.store.get::<Units>(id)?.unwrap_or_default();
            let offer = unit.offer.as_ref();
            if offer.is_some_and(|offer| offer.index == found.index) {
                waiting.push(*id);
                parties = parties.or(Some((row.offered, row.holder)));
            }
        }
        let Some((to, from)) = parties else {
            return Ok(());
        };
        let signal = Signal {
            time: found.time().plus(after),
            parties: to.into_iter().chain(from).collect(),
            measured: self.now.0.saturating_sub(found.time().0),
            limit: after,
            ..found.signal(SignalKind::HandoverNotAccepted, &found.record()?)
        };
        book.raise(naming(signal, &waiting))
    }

    /// What nobody touched since the entry. What is packed rests with its container; what is offered,
    /// held or called back has a reason to rest.
    fn at_rest(
        &self,
        book: &mut Book<'_>,
        found: &Found,
        after: u64,
        in_transit: bool,
    ) -> Result<(), StoreError> {
        let mut couriers: BTreeMap<PartyId, bool> = BTreeMap::new();
        let mut resting: BTreeMap<PartyId, Vec<UnitId>> = BTreeMap::new();
        for (id, _) in found.rows.iter().filter(|(_, row)| row.joined) {
            let unit = self.store.get::<Units>(id)?.unwrap_or_default();
            let stays = unit.last_index == found.index
                && unit.life == Life::Active
                && unit.container.is_none()
                && unit.offer.is_none()
                && unit.hold.is_none()
                && unit.recall.is_none();
            let Some(holder) = unit.holder.filter(|_| stays) else {
                continue;
            };
            let courier = match couriers.get(&holder) {
                Some(courier) => *courier,
                None => {
                    let party = self.store.get::<Parties>(&holder)?;
                    let is = party.is_some_and(|party| party.roles.contains(&Role::Courier));
                    couriers.insert(holder, is);
                    is
                }
            };
            if courier == in_transit {
                resting.entry(holder).or_default().push(*id);
            }
        }
        // One entry leaves its units with one holder, but for rare returns; the larger part is named.
        let most = resting.into_iter().max_by_key(|(_, units)| units.len());
        let Some((holder, units)) = most else {
            return Ok(());
        };
        let signal = Signal {
            time: found.time().plus(after),
            parties: vec![holder],
            measured: self.now.0.saturating_sub(found.time().0),
            limit: after,
            ..found.signal(SignalKind::AtRest, &found.record()?)
        };
        book.raise(naming(signal, &units))
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
fn naming(signal: Signal, units: &[UnitId]) -> Signal {
    Signal {
        units: units.iter().copied().take(MAX_UNITS).collect(),
        unit_count: units.len() as u64,
        ..signal
    }
}
