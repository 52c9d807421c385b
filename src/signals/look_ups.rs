//! Consumers' look-ups: from how many networks one code was asked about in a day. A label that was copied and
//! printed is looked up from all over; one item is not.
//!
//! It is kept in memory only, and no address is kept at all: a network is a keyed hash of the first half of an
//! address, and the key is thrown away with the day. Whoever stands in front of the ledger and passes look-ups on
//! is one network.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Mutex;

use crate::core::credit::alert::LOOK_UP_NETWORKS;
use crate::core::id::UnitId;
use crate::core::record::Millis;

/// Most units that are counted in a day. When there are more, those that one network asked about go.
const MAX_UNITS: usize = 1 << 16;

/// Counts look-ups of one day of China Standard Time.
#[derive(Debug, Default)]
pub struct LookUps(Mutex<Day>);

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
        let mut day = self.lock();
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
        std::mem::take(&mut self.lock().due)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Day> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
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

/// What networks are given to one customer or site: the first 24 bits of IPv4, the first 48 of IPv6.
fn network(address: IpAddr) -> [u8; 7] {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            [4, a, b, c, 0, 0, 0]
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, ..] = address.octets();
            [6, a, b, c, d, e, f]
        }
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
        assert!(all.lock().networks.len() <= MAX_UNITS);
        (3..LOOK_UP_NETWORKS + 1).for_each(|n| all.saw(item(1), from(n), DAY));
        assert_eq!(all.take().len(), 1);
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
