//! The nodes of a cluster, as each sees the others: who lives, how far they are, and whether they agree.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::core::wire;

/// A node that was silent for so long holds nothing up any more.
pub(super) const SILENT: Duration = Duration::from_secs(10);
/// A clock that is off by more than this from the middle of all does not give times. Members say their time
/// once a second, so that much is never known exactly.
const STRAY_MS: u64 = 5_000;

/// What a node knows of the others.
#[derive(Debug, Default)]
pub(super) struct Members {
    heard: HashMap<String, Heard>,
}

#[derive(Debug)]
struct Heard {
    last: wire::ClusterMember,
    at: Instant,
}

impl Heard {
    /// Milliseconds that a clock is ahead of this member's, which has gone on since it was heard: this node's own may
    /// have been set meanwhile.
    fn behind(&self, now: Instant, clock_ms: u64) -> i64 {
        let since = now.saturating_duration_since(self.at).as_millis();
        let theirs = i128::from(self.last.clock_ms) + i128::try_from(since).unwrap_or(i128::MAX);
        let ahead = i128::from(clock_ms).saturating_sub(theirs);
        // In bounds now.
        ahead.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

/// What follows from what was heard.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Nodes that were heard of lately, this one included.
    pub alive: usize,
    /// How far the slowest of the nodes is whose lease lasts.
    pub slowest: u64,
    /// How far more than half of those that live are, without those that are about to join.
    pub slowest_of_most: u64,
    /// Milliseconds that this node's clock is ahead of the middle of those that live.
    pub ahead_ms: i64,
    /// Of two that live, neither knows whose clock is wrong; but this one may know that its own was set. Milliseconds
    /// that it is ahead of the other.
    pub of_two_ms: i64,
}

impl View {
    pub(super) const fn strays(&self) -> bool {
        self.ahead_ms.unsigned_abs() > STRAY_MS
    }

    pub(super) const fn two_differ(&self) -> bool {
        self.of_two_ms.unsigned_abs() > STRAY_MS
    }
}

impl Members {
    /// Takes what the members say now; how many of them said something new.
    pub(super) fn hear(&mut self, members: Vec<wire::ClusterMember>, now: Instant) -> usize {
        self.heard
            .retain(|name, _| members.iter().any(|member| member.name == *name));
        let mut news = 0;
        for member in members {
            let known = self.heard.get(&member.name);
            let same = |known: &Heard| {
                (known.last.beat, known.last.clock_ms) == (member.beat, member.clock_ms)
            };
            if known.is_some_and(same) {
                continue;
            }
            news += 1;
            let heard = Heard {
                at: now,
                last: member,
            };
            self.heard.insert(heard.last.name.clone(), heard);
        }
        news
    }

    /// What follows for a node that is so far, and whose clock shows this.
    pub(super) fn view(&self, own: &str, group: u64, now: Instant, clock_ms: u64) -> View {
        let others = || self.heard.values().filter(|heard| heard.last.name != own);
        let alive = || others().filter(|heard| now.duration_since(heard.at) < SILENT);
        let mut clocks: Vec<i64> = alive().map(|heard| heard.behind(now, clock_ms)).collect();
        let of_two_ms = match clocks.as_slice() {
            [other] => *other,
            _ => 0,
        };
        clocks.push(0);
        clocks.sort_unstable();
        // Of two, the smaller one in absolute terms: neither knows which of them is wrong.
        let middle = match clocks.as_slice() {
            [_, _] => 0,
            clocks => clocks[clocks.len() / 2],
        };
        let slowest = others().map(|heard| heard.last.group).min();
        let served = alive().filter(|heard| heard.last.size > 0);
        let mut groups: Vec<u64> = served.map(|heard| heard.last.group).collect();
        groups.push(group);
        groups.sort_unstable_by_key(|group| std::cmp::Reverse(*group));
        View {
            alive: clocks.len(),
            slowest: slowest.map_or(group, |slowest| slowest.min(group)),
            slowest_of_most: groups[groups.len() / 2],
            ahead_ms: middle,
            of_two_ms,
        }
    }

    /// Those who live, but this node.
    pub(super) fn others(&self, own: &str, now: Instant) -> Vec<&wire::ClusterMember> {
        let alive = |heard: &&Heard| now.duration_since(heard.at) < SILENT;
        let others = self.heard.values().filter(alive).map(|heard| &heard.last);
        others.filter(|member| member.name != own).collect()
    }
}

/// How much etcd holds. At 2 GiB, as it is set up, it takes nothing any more, not even what would make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Groups are kept for every node whose lease lasts.
    Roomy,
    /// They are kept until more than half of those that live have them.
    Much,
    /// Nothing is proposed.
    Full,
}

impl Fill {
    pub(super) const fn of(used: i64) -> Self {
        const GIB: i64 = 1 << 30;
        match used {
            ..=GIB => Self::Roomy,
            used if used <= GIB + GIB / 2 => Self::Much,
            _ => Self::Full,
        }
    }
}

/// How a member's log is compared with that of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    /// Not now: it is further, or about to join.
    Later,
    /// After the same group they have not as many entries.
    Differs,
    /// By the root at the member's size.
    Root,
}

impl wire::ClusterMember {
    /// With one that is so far, and has so many entries.
    pub(super) const fn compare(&self, group: u64, size: u64) -> Compare {
        if self.size == 0 {
            return Compare::Later;
        }
        if self.group == group && self.size != size {
            return Compare::Differs;
        }
        if self.size > size {
            return Compare::Later;
        }
        Compare::Root
    }
}

/// Who has which root at one size, seen from one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Votes {
    pub agree: usize,
    pub differ: usize,
}

impl Votes {
    /// Whether this node is the one that is wrong: unless more agree with it than not, it can't be known.
    pub(super) const fn lost(self) -> bool {
        self.differ > self.agree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, group: u64, clock_ms: u64, beat: u64) -> wire::ClusterMember {
        wire::ClusterMember {
            name: name.into(),
            group,
            clock_ms,
            beat,
            size: group + 1,
            ..wire::ClusterMember::default()
        }
    }

    #[test]
    fn given_a_slow_node_and_one_that_joins_when_etcd_fills_then_groups_are_kept_for_most_and_not_for_them()
     {
        let (mut members, now) = (Members::default(), Instant::now());
        let joins = wire::ClusterMember {
            size: 0,
            ..member("d", 0, 1_000, 1)
        };
        members.hear(
            vec![member("b", 90, 1_000, 1), member("c", 7, 1_000, 1), joins],
            now,
        );
        let view = members.view("a", 100, now, 1_000);
        assert_eq!((view.slowest, view.slowest_of_most), (0, 90));
        let (mut two, now) = (Members::default(), Instant::now());
        two.hear(vec![member("b", 7, 1_000, 1)], now);
        assert_eq!(
            two.view("a", 100, now, 1_000).slowest_of_most,
            7,
            "half are not most"
        );
        let gib = 1 << 30;
        assert_eq!(
            [0, gib, gib + 1].map(Fill::of),
            [Fill::Roomy, Fill::Roomy, Fill::Much]
        );
        assert_eq!(
            [gib * 3 / 2, gib * 3 / 2 + 1].map(Fill::of),
            [Fill::Much, Fill::Full]
        );
    }

    #[test]
    fn given_nodes_after_one_group_when_one_has_fewer_entries_then_both_see_that_they_differ() {
        let of = |group, size| wire::ClusterMember {
            size,
            ..member("b", group, 0, 1)
        };
        assert_eq!(of(5, 1_000).compare(5, 999), Compare::Differs);
        assert_eq!(of(5, 999).compare(5, 1_000), Compare::Differs);
        assert_eq!(of(5, 1_000).compare(5, 1_000), Compare::Root);
        assert_eq!(of(6, 1_001).compare(5, 1_000), Compare::Later);
        assert_eq!(of(4, 990).compare(5, 1_000), Compare::Root);
        assert_eq!(of(0, 0).compare(5, 1_000), Compare::Later, "it joins");
    }

    #[test]
    fn given_members_when_one_falls_silent_then_it_counts_for_its_lease_only() {
        let (mut members, start) = (Members::default(), Instant::now());
        let said = |a, b| vec![member("a", a, 1_000, a), member("b", b, 1_000, b)];
        members.hear(said(5, 3), start);
        let view = members.view("a", 5, start, 1_000);
        assert_eq!((view.alive, view.slowest, view.slowest_of_most), (2, 3, 3));
        let later = start + SILENT;
        assert_eq!(members.hear(said(9, 3), later), 1, "b said nothing new");
        let view = members.view("a", 9, later, 1_000);
        assert_eq!((view.alive, view.slowest, view.slowest_of_most), (1, 3, 9));
        members.hear(vec![member("a", 9, 1_000, 9)], later);
        assert_eq!(
            members.view("a", 9, later, 1_000).slowest,
            9,
            "its lease has ended"
        );
    }

    #[test]
    fn given_clocks_when_one_of_three_strays_then_only_that_one_sees_itself_off() {
        let clocks = [("a", 100_000), ("b", 100_200), ("c", 160_000)];
        for (own, now_ms) in clocks {
            let (mut members, now) = (Members::default(), Instant::now());
            let said = clocks.map(|(name, clock)| member(name, 1, clock, 1));
            members.hear(said.into(), now);
            let view = members.view(own, 1, now, now_ms);
            assert_eq!(view.strays(), own == "c", "{own}");
        }
    }

    #[test]
    fn given_a_clock_that_is_set_when_another_node_is_not_heard_any_more_then_it_strays_all_the_same()
     {
        let (mut members, start) = (Members::default(), Instant::now());
        let said = [member("b", 1, 100_000, 1), member("c", 1, 100_000, 1)];
        members.hear(said.into(), start);
        assert!(!members.view("a", 1, start, 100_100).strays());
        // Two seconds later it shows an hour more; only b has said something since.
        let later = start + Duration::from_secs(2);
        let said = vec![member("b", 1, 102_000, 3), member("c", 1, 100_000, 1)];
        assert_eq!(members.hear(said, later), 1);
        assert!(members.view("a", 1, later, 3_702_000).strays());
        assert!(!members.view("a", 1, later, 102_100).strays());
    }

    #[test]
    fn given_two_clocks_that_differ_when_asked_then_neither_is_said_to_stray() {
        let (mut members, now) = (Members::default(), Instant::now());
        members.hear(vec![member("b", 1, 900_000, 1)], now);
        let view = members.view("a", 1, now, 100_000);
        assert!(!view.strays() && view.two_differ());
    }

    #[test]
    fn given_roots_that_differ_when_counted_then_whoever_has_no_majority_stops() {
        let lost = |agree, differ| Votes { agree, differ }.lost();
        assert!(!lost(2, 0) && !lost(0, 0));
        assert!(lost(0, 1), "of two, both");
        assert!(lost(0, 2) && !lost(1, 1), "of three, the one");
    }
}
