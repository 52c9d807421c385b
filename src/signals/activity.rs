//! How much was recorded on each day at each place, and how much of it broke a rule: for the map of who
//! supervises. Counted as the log is followed, by days of China Standard Time and the places that records name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gist::Gist;
use crate::core::rules::Severity;
use crate::store::{Side, SideChanges, Store, StoreError, View};

/// Letters of a city's name that are kept: the proto's bound.
const MAX_CITY: usize = 64;
/// Letters of a region's code.
const MAX_REGION: usize = 8;

/// A day at a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Days since 1970 in China Standard Time.
    pub day: u32,
    /// ISO 3166, or empty.
    pub region: String,
    /// As records name it; may be empty.
    pub city: String,
}

/// What happened there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Custody records.
    pub records: u64,
    /// Those whose most severe finding asks to look closer.
    pub look_closer: u64,
    /// Those with a finding that says not to sell.
    pub do_not_sell: u64,
    /// Signals raised about entries there.
    pub signals: u64,
}

impl Activity {
    /// Counts a record by its most severe finding.
    pub(super) fn record(&mut self, worst: Option<Severity>) {
        self.records += 1;
        match worst {
            None => {}
            Some(Severity::LookCloser) => self.look_closer += 1,
            Some(Severity::DoNotSell) => self.do_not_sell += 1,
        }
    }

    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.look_closer += other.look_closer;
        self.do_not_sell += other.do_not_sell;
        self.signals += other.signals;
    }
}

/// What buyers got in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// Units, by a Deliver that joined their chains.
    pub delivered: u64,
    /// Those of them that broke no rule there, and were seen on the way or sold in person.
    pub whole: u64,
    /// Confirmations by buyers.
    pub confirmed: u64,
}

impl Spot {
    pub(super) fn new(day: u64, region: &str, city: &str) -> Self {
        Self {
            day: u32::try_from(day).unwrap_or(u32::MAX),
            region: short(region, MAX_REGION),
            city: short(city, MAX_CITY),
        }
    }

    /// Of a record.
    pub(super) fn of(day: u64, gist: &Gist) -> Self {
        let place = gist.place.as_ref();
        place.map_or_else(
            || Self::new(day, "", ""),
            |place| Self::new(day, &place.region, &place.city),
        )
    }

    fn key(&self) -> Vec<u8> {
        let day = self.day.to_be_bytes();
        [
            b"d",
            &day[..],
            self.region.as_bytes(),
            b"\0",
            self.city.as_bytes(),
        ]
        .concat()
    }

    fn from_key(key: &[u8]) -> Option<Self> {
        let (day, rest) = key.get(1..)?.split_first_chunk::<4>()?;
        let (region, city) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
        Some(Self {
            day: u32::from_be_bytes(*day),
            region: region.to_owned(),
            city: city.to_owned(),
        })
    }
}

/// The front of a text; an admitted record is within the bounds.
fn short(text: &str, letters: usize) -> String {
    text.chars()
        .filter(|letter| *letter != '\0')
        .take(letters)
        .collect()
}

/// Counts under change in one step.
#[derive(Default)]
pub(super) struct Counts {
    spots: BTreeMap<Spot, Activity>,
    months: BTreeMap<u32, Deliveries>,
}

impl Counts {
    pub(super) fn at(&mut self, spot: Spot) -> &mut Activity {
        self.spots.entry(spot).or_default()
    }

    /// A month, as [`month_of`](crate::core::credit::calendar::month_of) counts them.
    pub(super) fn in_month(&mut self, month: u32) -> &mut Deliveries {
        self.months.entry(month).or_default()
    }

    /// Adds them to what is written down.
    pub(super) fn put(&self, store: &Store, changes: &mut SideChanges) -> Result<(), StoreError> {
        for (month, more) in &self.months {
            let key = month_key(*month);
            let mut all: Deliveries = store.side_get(Side::Signals, &key)?.unwrap_or_default();
            all.delivered += more.delivered;
            all.whole += more.whole;
            all.confirmed += more.confirmed;
            changes.put(key, &all)?;
        }
        for (spot, more) in &self.spots {
            let key = spot.key();
            let mut all: Activity = store.side_get(Side::Signals, &key)?.unwrap_or_default();
            all.add(*more);
            changes.put(key, &all)?;
        }
        Ok(())
    }
}

fn month_key(month: u32) -> Vec<u8> {
    [b"m".as_slice(), &month.to_be_bytes()].concat()
}

/// What buyers got, by month.
///
/// # Errors
/// [`StoreError`] when a row can't be read.
pub fn deliveries(
    view: &View<'_>,
    months: std::ops::RangeInclusive<u32>,
) -> Result<BTreeMap<u32, Deliveries>, StoreError> {
    let mut found = BTreeMap::new();
    view.side_scan(
        Side::Signals,
        b"m",
        &month_key(*months.start()),
        |key, row| {
            let month = key
                .last_chunk::<4>()
                .map_or(0, |bytes| u32::from_be_bytes(*bytes));
            if months.contains(&month) {
                found.insert(month, row);
            }
            month < *months.end()
        },
    )?;
    Ok(found)
}

/// What happened from a day on to another, by day, region, city, until the visitor says stop.
///
/// # Errors
/// [`StoreError`] when a row can't be read.
pub fn activity(
    view: &View<'_>,
    days: std::ops::RangeInclusive<u32>,
    mut visit: impl FnMut(Spot, Activity) -> bool,
) -> Result<(), StoreError> {
    let from = [b"d".as_slice(), &days.start().to_be_bytes()].concat();
    view.side_scan(
        Side::Signals,
        b"d",
        &from,
        |key, activity| match Spot::from_key(key) {
            Some(spot) => days.contains(&spot.day) && visit(spot, activity),
            None => true,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_which_day_and_place_whatever_the_names() {
        for (region, city) in [("CN-FJ", "福州"), ("", ""), ("CN", "A B"), ("CN-FJ", "")] {
            let spot = Spot::new(20_000, region, city);
            assert_eq!(Spot::from_key(&spot.key()), Some(spot));
        }
        assert!(Spot::new(1, "CN", "z").key() < Spot::new(2, "AA", "").key());
        assert_eq!(Spot::from_key(b"d123"), None);
    }
}
