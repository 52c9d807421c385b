//! What early warning keeps beside the log, and how it lies there.
//!
//! | key | value |
//! |---|---|
//! | `c` | [`Cursors`] |
//! | `e`, number | [`Event`] |
//! | `i`, kind, entry | number of the event that raised the signal |
//! | `r`, party | its records and breaks of the last days, [`Watched`] |
//! | `k`, key | what it delivered, [`Watched`] |
//! | `s`, key, seller | what it delivered of that seller's, [`Watched`] |
//! | `f`, regulator | parties whose files it opened, [`Watched`] |
//! | `g`, regulator, party | when it opened that one, [`Watched`] |
//! | `l`, unit | how often it was looked up, [`Asked`] |
//! | `d`, day, region, city | what happened there, [`Activity`](super::Activity) |
//! | `m`, month | what buyers got, [`Deliveries`](super::Deliveries) |
//! | `N`, `n`, `q` | who signed what, `captured` |
//!
//! A step changes all of it at once, cursors included: after a crash it is taken again from where the
//! last whole one ended.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::activity::{Counts, Spot};
use super::captured::Captures;
use super::{Event, MAX_EVIDENCE, Signal};
use crate::core::credit::SignalKind;
use crate::core::credit::alert::Days;
use crate::core::id::{PartyId, UnitId};
use crate::core::record::Millis;
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;
use crate::store::{Side, SideChanges, Store, StoreError, View};

/// How far each rule has looked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Cursors {
    /// What is new.
    pub seen: u64,
    /// Handovers that may not have been accepted in time.
    pub offered: u64,
    /// Goods that may rest with a delivery firm.
    pub in_transit: u64,
    /// Goods that may rest with anybody else.
    pub in_stock: u64,
    /// Number of the last event.
    pub last_event: u64,
    /// Keys whose records are looked for.
    pub searches: VecDeque<Search>,
}

/// A search for what a compromised key had signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Search {
    pub key: KeyId,
    /// The entry that revoked it.
    pub revoked_at: LogIndex,
    /// Where to go on.
    pub next: u64,
    /// What was found.
    pub found: Vec<LogIndex>,
    pub count: u64,
}

/// Counts of days, and the last entries that stood out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Watched {
    pub days: Days,
    pub stood_out: VecDeque<LogIndex>,
}

impl Watched {
    pub(super) fn remember(&mut self, entry: LogIndex) {
        if self.stood_out.back() == Some(&entry) {
            return;
        }
        if self.stood_out.len() >= MAX_EVIDENCE {
            self.stood_out.pop_front();
        }
        self.stood_out.push_back(entry);
    }
}

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Party(PartyId),
    Key(KeyId),
    KeyAndSeller(KeyId, PartyId),
    Reader(PartyId),
    ReaderOf(PartyId, PartyId),
}

impl Subject {
    fn key(&self) -> Vec<u8> {
        match self {
            Self::Party(party) => [b"r", party.to_compact().as_slice()].concat(),
            Self::Reader(party) => [b"f", party.to_compact().as_slice()].concat(),
            Self::ReaderOf(reader, party) => {
                [b"g", reader.to_compact().as_slice(), &party.to_compact()].concat()
            }
            Self::Key(key) => [b"k", key.0.as_slice()].concat(),
            Self::KeyAndSeller(key, seller) => {
                [b"s", key.0.as_slice(), seller.to_compact().as_slice()].concat()
            }
        }
    }
}

const CURSORS: &[u8] = b"c";

/// The rows under change in one step.
pub(super) struct Book<'a> {
    store: &'a Store,
    pub cursors: Cursors,
    watched: BTreeMap<Subject, Watched>,
    raised: BTreeMap<(SignalKind, LogIndex), u64>,
    events: Vec<Event>,
    pub counts: Counts,
    pub captures: Captures,
}

impl<'a> Book<'a> {
    pub(super) fn open(store: &'a Store) -> Result<Self, StoreError> {
        Ok(Self {
            store,
            cursors: cursors(store)?,
            watched: BTreeMap::new(),
            raised: BTreeMap::new(),
            events: Vec::new(),
            counts: Counts::default(),
            captures: Captures::open(store)?,
        })
    }

    pub(super) fn watched(&mut self, subject: Subject) -> Result<&mut Watched, StoreError> {
        use std::collections::btree_map::Entry;
        match self.watched.entry(subject) {
            Entry::Occupied(row) => Ok(row.into_mut()),
            Entry::Vacant(place) => {
                let row = self.store.side_get(Side::Signals, &subject.key())?;
                Ok(place.insert(row.unwrap_or_default()))
            }
        }
    }

    pub(super) fn add(&mut self, event: Event) {
        self.cursors.last_event += 1;
        self.events.push(event);
    }

    /// Raises a signal, once.
    pub(super) fn raise(&mut self, signal: Signal) -> Result<(), StoreError> {
        let id = (signal.kind, signal.entry);
        let known = self.raised.contains_key(&id) || number_of(self.store, id)?.is_some();
        if !known {
            metrics::counter!("custody_signals_total", "kind" => format!("{:?}", signal.kind))
                .increment(1);
            let day = signal.time.day_in_china();
            let spot = Spot::new(day, &signal.region, &signal.city);
            self.counts.at(spot).signals += 1;
            self.add(Event::Raised(Box::new(signal)));
            self.raised.insert(id, self.cursors.last_event);
        }
        Ok(())
    }

    /// Writes it down. What was told to nobody yet may be lost with the machine's power and derived again.
    pub(super) fn write(self) -> Result<(), StoreError> {
        let mut changes = SideChanges::default();
        changes.put(CURSORS.to_vec(), &self.cursors)?;
        for (subject, row) in &self.watched {
            changes.put(subject.key(), row)?;
        }
        let first = self.cursors.last_event + 1 - self.events.len() as u64;
        for (number, event) in (first..).zip(&self.events) {
            changes.put(event_key(number), event)?;
        }
        for (id, number) in &self.raised {
            changes.put(id_key(*id), number)?;
        }
        self.counts.put(self.store, &mut changes)?;
        self.captures.put(&mut changes)?;
        if self.events.is_empty() {
            return self.store.side_write(Side::Signals, changes);
        }
        // The number of an event is told as a cursor, so it must not be given to another after a crash.
        self.store.side_write_synced(Side::Signals, changes)
    }
}

fn cursors(store: &Store) -> Result<Cursors, StoreError> {
    let cursors = store.side_get(Side::Signals, CURSORS)?;
    Ok(cursors.unwrap_or_default())
}

/// Entries that were looked at.
///
/// # Errors
/// [`StoreError`] when it can't be read.
pub fn seen(view: &View<'_>) -> Result<u64, StoreError> {
    let mut seen = 0;
    view.side_scan(Side::Signals, CURSORS, CURSORS, |key, cursors: Cursors| {
        if key == CURSORS {
            seen = cursors.seen;
        }
        false
    })?;
    Ok(seen)
}

pub(super) fn last_event(store: &Store) -> Result<u64, StoreError> {
    Ok(cursors(store)?.last_event)
}

fn event_key(number: u64) -> Vec<u8> {
    [b"e".as_slice(), &number.to_be_bytes()].concat()
}

fn id_key((kind, entry): (SignalKind, LogIndex)) -> Vec<u8> {
    [&[b'i', kind as u8][..], &entry.0.to_be_bytes()].concat()
}

/// How often consumers asked about a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// When for the first time.
    pub first: Millis,
    /// How often.
    pub times: u64,
}

impl Asked {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            times: self.times.saturating_add(other.times),
        }
    }
}

fn asked_key(unit: &UnitId) -> Vec<u8> {
    [b"l", unit.to_string().as_bytes()].concat()
}

/// How often a unit was asked about, as it is written down.
pub(super) fn asked(store: &Store, unit: &UnitId) -> Result<Option<Asked>, StoreError> {
    store.side_get(Side::Signals, &asked_key(unit))
}

/// Adds to it.
pub(super) fn add_asked(
    store: &Store,
    more: impl IntoIterator<Item = (UnitId, Asked)>,
) -> Result<(), StoreError> {
    let mut changes = SideChanges::default();
    for (unit, more) in more {
        let all = asked(store, &unit)?.map_or(more, |before| before.and(more));
        changes.put(asked_key(&unit), &all)?;
    }
    store.side_write(Side::Signals, changes)
}

fn number_of(store: &Store, id: (SignalKind, LogIndex)) -> Result<Option<u64>, StoreError> {
    store.side_get(Side::Signals, &id_key(id))
}

/// Events from a number on, until the visitor says stop.
///
/// # Errors
/// [`StoreError`] when one can't be read.
pub fn events(
    view: &View<'_>,
    from: u64,
    mut visit: impl FnMut(u64, Event) -> bool,
) -> Result<(), StoreError> {
    view.side_scan(Side::Signals, b"e", &event_key(from), |key, event| {
        let number = key.get(1..).and_then(|bytes| bytes.try_into().ok());
        visit(number.map_or(0, u64::from_be_bytes), event)
    })
}

/// An event.
///
/// # Errors
/// [`StoreError`] when it can't be read.
pub fn event(store: &Store, number: u64) -> Result<Option<Event>, StoreError> {
    store.side_get(Side::Signals, &event_key(number))
}

/// A signal that was raised here.
///
/// # Errors
/// [`StoreError`] when it can't be read.
pub fn signal(
    store: &Store,
    kind: SignalKind,
    entry: LogIndex,
) -> Result<Option<Signal>, StoreError> {
    let Some(number) = number_of(store, (kind, entry))? else {
        return Ok(None);
    };
    Ok(match event(store, number)? {
        Some(Event::Raised(signal)) => Some(*signal),
        _ => None,
    })
}
