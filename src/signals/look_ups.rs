//! Consumers' look-ups: how often and since when a code was asked about, and from how many networks in a day. A
//! label that was copied and printed is looked up from all over; one item is not.
//!
//! The counts are written down; networks are kept in memory only, and no address is kept at all: a network is a
//! keyed hash of the first half of an address, and the key is thrown away with the day. Whoever stands in front
//! of the ledger and passes look-ups on is one network.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Mutex;

use super::book::{self, Asked};
use crate::core::credit::alert::LOOK_UP_NETWORKS;
use crate::core::id::UnitId;
use crate::core::record::Millis;
use crate::network::network;
use crate::store::{Store, StoreError};

/// Most units that are counted in a day. When there are more, those that one network asked about go.
const MAX_UNITS: usize = 1 << 16;

/// Most units whose new counts wait to be written down. When there are more, they are not counted.
const MAX_WAITING: usize = 1 << 16;

/// Counts look-ups.
#[derive(Debug, Default)]
pub struct LookUps {
    /// Networks of one day of China Standard Time.
    day: Mutex<Day>,
    /// What is not written down yet.
    waiting: Mutex<HashMap<UnitId, Asked>>,
}

#[derive(Debug, Default)]
struct Day {
    day: u64,
    key: RandomState,
    networks: HashMap<UnitId, Vec<u64>>,
    /// Told already today.
    told: HashSet<UnitId>,
    /// To be told.
    due: Vec<(UnitId, u64)>,
}

impl LookUps {
    /// Somebody asked about a unit that the ledger knows.
    pub fn saw(&self, unit: UnitId, from: IpAddr, now: Millis) {
        self.count(unit, now);
        let mut day = lock(&self.day);
        let today = now.day_in_china();
        if day.day != today {
            let due = std::mem::take(&mut day.due);
            *day = Day {
                day: today,
                due,
                ..Day::default()
            };
        }
        if day.told.contains(&unit) || !day.has_room(unit) {
            return;
        }
        let network = day.key.hash_one(network(from));
        let seen = day.networks.entry(unit).or_default();
        if seen.contains(&network) {
            return;
        }
        seen.push(network);
        let count = seen.len() as u64;
        if count >= LOOK_UP_NETWORKS {
            day.networks.remove(&unit);
            day.told.insert(unit);
            day.due.push((unit, count));
        }
    }

    /// Units that were looked up from too many networks, each once.
    pub(super) fn take(&self) -> Vec<(UnitId, u64)> {
        std::mem::take(&mut lock(&self.day).due)
    }

    fn count(&self, unit: UnitId, now: Millis) {
        let mut waiting = lock(&self.waiting);
        let once = Asked {
            first: now,
            times: 1,
        };
        let full = waiting.len() >= MAX_WAITING;
        match waiting.entry(unit) {
            Entry::Occupied(mut asked) => *asked.get_mut() = asked.get().and(once),
            Entry::Vacant(place) if !full => drop(place.insert(once)),
            Entry::Vacant(_) => {}
        }
    }

    /// How often a unit was asked about.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be read.
    pub fn asked(&self, store: &Store, unit: &UnitId) -> Result<Option<Asked>, StoreError> {
        // Under the lock, so that what is just being written is seen in one of the two places.
        let waiting = lock(&self.waiting);
        let before = book::asked(store, unit)?;
        let both = waiting.get(unit).copied().into_iter().chain(before);
        Ok(both.reduce(Asked::and))
    }

    /// Writes the counts down.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be written.
    pub(super) fn write(&self, store: &Store) -> Result<(), StoreError> {
        let mut waiting = lock(&self.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        book::add_asked(store, waiting.drain())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Day {
    fn has_room(&mut self, unit: UnitId) -> bool {
        let full = |day: &Self| day.networks.len() + day.told.len() >= MAX_UNITS;
        if full(self) && !self.networks.contains_key(&unit) {
            self.networks.retain(|_, seen| seen.len() > 1);
            return !full(self);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::apply::testing::item;

    const DAY: Millis = Millis(1_764_000_000_000);

    fn from(n: u64) -> IpAddr {
        let [a, b] = u16::try_from(n).unwrap().to_be_bytes();
        IpAddr::from([10, a, b, 7])
    }

    #[test]
    fn given_one_code_when_asked_about_from_many_networks_then_it_is_told_once_a_day() {
        let all = LookUps::default();
        for n in 0..LOOK_UP_NETWORKS - 1 {
            all.saw(item(1), from(n), DAY);
            all.saw(item(1), from(n), DAY);
            all.saw(item(2), from(0), DAY);
        }
        assert_eq!(all.take(), [], "the same network counts once");
        all.saw(item(1), from(400), DAY);
        assert_eq!(all.take(), [(item(1), LOOK_UP_NETWORKS)]);
        (0..60).for_each(|n| all.saw(item(1), from(n), DAY));
        assert_eq!(all.take(), [], "once a day");
        let tomorrow = Millis(DAY.0 + 86_400_000);
        (0..LOOK_UP_NETWORKS).for_each(|n| all.saw(item(1), from(n), tomorrow));
        assert_eq!(all.take().len(), 1);
    }

    #[test]
    fn given_two_days_when_each_sees_half_then_nothing_is_told() {
        let all = LookUps::default();
        let tomorrow = Millis(DAY.0 + 86_400_000);
        for n in 0..LOOK_UP_NETWORKS {
            let day = if n.is_multiple_of(2) { DAY } else { tomorrow };
            all.saw(item(1), from(n), day);
        }
        assert_eq!(all.take(), []);
    }

    #[test]
    fn given_more_units_than_fit_when_counted_then_what_stands_out_is_kept() {
        let all = LookUps::default();
        all.saw(item(1), from(1), DAY);
        all.saw(item(1), from(2), DAY);
        let more = u32::try_from(MAX_UNITS).unwrap() + 10;
        (2..more).for_each(|n| all.saw(item(n), from(1), DAY));
        assert!(lock(&all.day).networks.len() <= MAX_UNITS);
        (3..LOOK_UP_NETWORKS + 1).for_each(|n| all.saw(item(1), from(n), DAY));
        assert_eq!(all.take().len(), 1);
    }

    #[test]
    fn given_look_ups_when_written_down_then_the_first_and_the_number_of_all_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let options = crate::store::StoreOptions::default();
        let store = Store::create(folder.path(), &options).unwrap();
        let all = LookUps::default();
        assert_eq!(all.asked(&store, &item(1)).unwrap(), None);
        for hour in 0..3 {
            all.saw(item(1), from(hour), Millis(DAY.0 + hour));
            all.write(&store).unwrap();
        }
        all.saw(item(1), from(1), Millis(DAY.0 + 9));
        let asked = all.asked(&store, &item(1)).unwrap();
        let first = DAY;
        assert_eq!(asked, Some(Asked { first, times: 4 }));
        assert_eq!(all.asked(&store, &item(2)).unwrap(), None);
    }

    #[test]
    fn neighbours_are_one_network() {
        let same = [
            ("10.1.2.3", "10.1.2.200"),
            ("2001:db8:1::5", "2001:db8:1:ff::9"),
        ];
        let other = [("10.1.2.3", "10.1.3.3"), ("2001:db8:1::5", "2001:db8:2::5")];
        let of = |text: &str| network(text.parse().unwrap());
        assert!(same.iter().all(|(one, two)| of(one) == of(two)));
        assert!(other.iter().all(|(one, two)| of(one) != of(two)));
        assert_eq!(of("::ffff:10.1.2.3"), of("10.1.2.9"));
    }
}
