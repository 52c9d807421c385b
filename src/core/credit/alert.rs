//! Early warning (风险预警): what is an alert, and the pure part of the derived signals. A signal is no
//! verdict: it depends on the time as well as on the entries, so no `apply` reads it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{AlertAnswer, SignalKind, Stamp};
use crate::core::id::PartyId;
use crate::core::rules::{FindingKind, Severity};
use crate::core::tlog::LogIndex;

/// An alert, the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AlertId {
    /// A finding, by its number.
    Finding(u64),
    /// A signal, by its kind and the entry that it is about.
    Signal(SignalKind, LogIndex),
}

/// What a regulator answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// What.
    pub answer: AlertAnswer,
    /// The entry.
    pub at: Stamp,
    /// Which regulator.
    pub by: PartyId,
    /// Why; may be empty.
    pub reason: String,
    /// The case that rests on it.
    pub case: Option<LogIndex>,
}

/// How much an alert presses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the words of the proto
pub enum AlertLevel {
    Notice,
    Warning,
    Severe,
}

impl AlertLevel {
    /// The number in the proto.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32 + 1
    }

    /// Of a finding: what is not to be sold presses most.
    #[must_use]
    pub fn of_finding(kind: FindingKind) -> Self {
        match kind.rule().severity {
            Severity::LookCloser => Self::Warning,
            Severity::DoNotSell => Self::Severe,
        }
    }

    /// Of a signal. What has innocent reasons as often as not only asks for a look.
    #[must_use]
    pub const fn of_signal(kind: SignalKind) -> Self {
        match kind {
            SignalKind::AtRest | SignalKind::WeightlessDelivery | SignalKind::HastyDelivery => {
                Self::Notice
            }
            SignalKind::HandoverNotAccepted
            | SignalKind::RateOfBreaks
            | SignalKind::LookedUpWidely => Self::Warning,
            SignalKind::CompromisedKey | SignalKind::ClosedRing | SignalKind::BulkLookUp => {
                Self::Severe
            }
        }
    }
}

impl SignalKind {
    /// Whether only a person may put it aside, with a reason, or else a case rests on it.
    #[must_use]
    pub const fn needs_case(self) -> bool {
        matches!(self, Self::ClosedRing)
    }
}

/// Counts of the last days: how many there were, and how many of them stood out. A day is one of UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// The day of the last pair.
    last: u64,
    /// (all, those that stood out), oldest first.
    counts: VecDeque<(u64, u64)>,
    /// The day on which it was last raised.
    raised: Option<u64>,
}

impl Days {
    /// Counts on a day, and forgets those that are longer ago than `keep` days. A day before the last
    /// counts as the last: the ledger's time never runs back.
    pub fn count(&mut self, day: u64, all: u64, stood_out: u64, keep: usize) {
        let gap = day.saturating_sub(self.last);
        if self.counts.is_empty() || gap >= keep as u64 {
            self.counts = VecDeque::from([(0, 0)]);
        } else {
            for _ in 0..gap {
                self.counts.push_back((0, 0));
            }
        }
        self.last = self.last.max(day);
        while self.counts.len() > keep {
            self.counts.pop_front();
        }
        if let Some((a, s)) = self.counts.back_mut() {
            *a += all;
            *s += stood_out;
        }
    }

    /// Sums over `days` days, the last `skip` ones left out.
    #[must_use]
    pub fn sum(&self, skip: usize, days: usize) -> (u64, u64) {
        let rows = self.counts.iter().rev().skip(skip).take(days);
        rows.fold((0, 0), |(all, out), (a, s)| (all + a, out + s))
    }

    /// Whether it was raised in the last `every` days.
    #[must_use]
    pub fn rests(&self, every: u64) -> bool {
        self.raised.is_some_and(|day| self.last < day + every)
    }

    /// Whether it may be raised on the last day, not having been in `every` days; then it was.
    pub fn raise(&mut self, every: u64) -> bool {
        let rests = self.rests(every);
        if !rests {
            self.raised = Some(self.last);
        }
        !rests
    }
}

/// Days that [`rate_rises`] looks at: a week, and the four before.
pub const RATE_DAYS: usize = RECENT_DAYS + BEFORE_DAYS;
/// Days for which a rate that rose isn't raised again.
pub const RATE_RESTS: u64 = RECENT_DAYS as u64;
const RECENT_DAYS: usize = 7;
const BEFORE_DAYS: usize = 28;
/// Fewer breaks in a week are chance.
const LEAST_BREAKS: u64 = 5;
/// So many times the rate of before.
const RATE_FACTOR: u64 = 3;

/// Whether a party's records break rules much more often than they did: at least five in the last seven
/// days, one in a thousand of its records, and three times the share of the 28 days before. The shares
/// per mille, now and before, if so.
#[must_use]
pub fn rate_rises(days: &Days) -> Option<(u64, u64)> {
    let (records, breaks) = days.sum(0, RECENT_DAYS);
    let (records_before, breaks_before) = days.sum(RECENT_DAYS, BEFORE_DAYS);
    let per_mille = |breaks: u64, records: u64| breaks.saturating_mul(1_000) / records.max(1);
    let rises = u128::from(breaks) * u128::from(records_before)
        >= u128::from(RATE_FACTOR) * u128::from(breaks_before) * u128::from(records);
    let now = per_mille(breaks, records);
    (breaks >= LEAST_BREAKS && now >= 1 && rises)
        .then(|| (now, per_mille(breaks_before, records_before)))
}

/// From so many networks in a day (of China Standard Time) nobody looks up one item.
pub const LOOK_UP_NETWORKS: u64 = 20;
/// More files, of so many parties, that one regulator opens in a day (of China Standard Time) are a bulk
/// look-up.
pub const FILES_A_DAY: u64 = 50;

/// Days that [`ring_closes`] looks at, and for which a ring isn't raised again.
pub const RING_DAYS: usize = 30;
/// Fewer orders are no ring.
const RING_ORDERS: u64 = 10;

/// Whether a seller and a courier's key look like a ring of fake orders: in 30 days the key delivered at
/// least ten orders of the seller, four fifths of them without weight or within minutes, and four fifths
/// of all that it delivered were this seller's. Orders whose buyers somebody independent knows don't count
/// as such. What stood out, and all that the key delivered, if so.
#[must_use]
pub fn ring_closes(of_seller: &Days, of_key: &Days, known: u64) -> Option<(u64, u64)> {
    let (orders, fake) = of_seller.sum(0, RING_DAYS);
    let fake = fake.saturating_sub(known);
    let (all, _) = of_key.sum(0, RING_DAYS);
    let four_fifths = |part: u64, whole: u64| part.saturating_mul(5) >= whole.saturating_mul(4);
    (orders >= RING_ORDERS && four_fifths(fake, orders) && four_fifths(orders, all))
        .then_some((fake, all))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn days(counts: &[(u64, u64, u64)], keep: usize) -> Days {
        let mut days = Days::default();
        for (day, all, out) in counts {
            days.count(*day, *all, *out, keep);
        }
        days
    }

    #[test]
    fn a_rate_rises_from_five_breaks_on_at_three_times_the_share_of_before() {
        let before = (100, 1_000, 10);
        let rises = |all, breaks| rate_rises(&days(&[before, (110, all, breaks)], RATE_DAYS));
        assert_eq!(rises(1_000, 29), None);
        assert_eq!(rises(1_000, 30), Some((30, 10)));
        assert_eq!(rises(2_000, 30), None, "it is the share that counts");
        assert_eq!(rises(10, 4), None, "chance");
        assert_eq!(rises(10, 5), Some((500, 10)));
        let new = |all, breaks| rate_rises(&days(&[(110, all, breaks)], RATE_DAYS));
        assert_eq!(new(5_000, 5), Some((1, 0)));
        assert_eq!(new(5_001, 5), None, "below one in a thousand");
    }

    #[test]
    fn a_ring_closes_at_four_fifths_of_ten() {
        let closes_but = |orders, fake, all, known| {
            let seller = days(&[(50, orders, fake)], RING_DAYS);
            ring_closes(&seller, &days(&[(50, all, 0)], RING_DAYS), known)
        };
        let closes = |orders, fake, all| closes_but(orders, fake, all, 0);
        assert_eq!(
            closes_but(10, 9, 12, 1),
            Some((8, 12)),
            "one buyer is known"
        );
        assert_eq!(closes_but(10, 8, 12, 1), None);
        assert_eq!(closes(10, 8, 12), Some((8, 12)));
        assert_eq!(closes(9, 9, 9), None);
        assert_eq!(closes(10, 7, 10), None);
        assert_eq!(closes(10, 8, 13), None, "it works for others too");
    }

    #[test]
    fn what_was_raised_rests() {
        let mut all = days(&[(10, 1, 1)], 30);
        assert!(all.raise(7) && !all.raise(7));
        all.count(16, 1, 1, 30);
        assert!(!all.raise(7));
        all.count(17, 1, 1, 30);
        assert!(all.raise(7));
    }

    proptest! {
        #[test]
        fn sums_are_those_of_a_plain_list(
            steps in proptest::collection::vec((0u64..9, 0u64..5, 0u64..5), 0..60),
            keep in 1usize..40,
            skip in 0usize..10,
            of in 0usize..40,
        ) {
            let (mut days, mut all, mut day) = (Days::default(), Vec::new(), 1_000);
            for (gap, a, s) in steps {
                day += gap;
                days.count(day, a, s, keep);
                all.push((day, a, s));
            }
            let oldest = day.saturating_sub((skip + of).min(keep) as u64);
            let wanted = |d: u64| d > oldest && d + (skip as u64) <= day;
            let plain = all.iter().filter(|(d, _, _)| wanted(*d));
            let plain = plain.fold((0, 0), |(x, y), (_, a, s)| (x + a, y + s));
            prop_assert_eq!(days.sum(skip, of), plain);
            prop_assert!(days.counts.len() <= keep.max(1));
        }
    }
}
