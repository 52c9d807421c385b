//! Whose turn it is to propose.
//!
//! A group that comes too late went through etcd for nothing, and a node that is always a little slower than another
//! would never be heard. So a node says when it has something to say and could not, and those that have been heard
//! since hold back: whoever was heard longest ago is next. Who has a turn may use it for a few groups at once, and
//! says so with the first. While nobody else waits, there are no turns.
//!
//! Nothing depends on it but speed: a node may propose at any time, and does so when one whose turn it is stays silent.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::core::wire;

/// How long a node is waited for whose turn it is. One that is busy with the groups of others has to reach the last of
/// them first: given up earlier, it would fall behind for good, and those who wait there be refused.
const GRACE: Duration = Duration::from_secs(2);

/// What a node knows of who was heard, and who waits.
#[derive(Debug)]
pub(super) struct Turns {
    own: String,
    /// Number of the last group of each node.
    heard: HashMap<String, u64>,
    /// Other nodes that wait, and whether they were waited for in vain since.
    waiting: BTreeMap<String, bool>,
    /// The others know that this node waits.
    announced: bool,
    /// Another node has said that its next group follows at once.
    goes_on: bool,
    /// Since when nothing was heard.
    quiet: Instant,
}

/// Whether a node may propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Ours,
    /// Not until another was heard, or this moment came.
    Theirs(Instant),
}

impl Turns {
    pub(super) fn new(own: &str, now: Instant) -> Self {
        Self {
            own: own.to_owned(),
            heard: HashMap::new(),
            waiting: BTreeMap::new(),
            announced: false,
            goes_on: false,
            quiet: now,
        }
    }

    /// A group was committed.
    pub(super) fn heard(&mut self, turn: &wire::OrderTurn, now: Instant) {
        let last = self.heard.entry(turn.node.clone()).or_default();
        if turn.number < *last {
            return; // An old message.
        }
        *last = turn.number;
        if let Some(given_up) = self.waiting.get_mut(&turn.node) {
            *given_up = false;
        }
        self.goes_on = turn.more && turn.node != self.own;
        self.quiet = now;
    }

    /// A group of this node was committed.
    pub(super) fn spoke(&mut self, number: u64, now: Instant) {
        let turn = wire::OrderTurn {
            number,
            node: self.own.clone(),
            more: false,
        };
        self.heard(&turn, now);
    }

    /// A node waits.
    pub(super) fn waits(&mut self, node: &str, now: Instant) {
        if node == self.own {
            self.announced = true;
        } else if self.waiting.insert(node.to_owned(), false).is_none() {
            self.quiet = now;
        }
    }

    /// A node waits no more.
    pub(super) fn waits_no_more(&mut self, node: &str) {
        if node == self.own {
            self.announced = false;
        } else {
            self.waiting.remove(node);
        }
    }

    /// Those who wait, and no others.
    pub(super) fn only(&mut self, nodes: &[String], now: Instant) {
        self.announced = nodes.contains(&self.own);
        self.waiting.retain(|node, _| nodes.contains(node));
        for node in nodes {
            self.waits(node, now);
        }
    }

    /// Whether the others know that this node waits.
    pub(super) const fn is_announced(&self) -> bool {
        self.announced
    }

    /// The others know now that this node waits, or that it doesn't.
    pub(super) const fn announced(&mut self, waits: bool) {
        self.announced = waits;
    }

    /// Whether this node, which has something to say, may propose now; it has or has not proposals under way.
    pub(super) fn whose(&mut self, under_way: bool, now: Instant) -> Turn {
        let until = self.quiet + GRACE;
        if self.goes_on && now < until {
            return Turn::Theirs(until);
        }
        let rank = |node: &str| (self.heard.get(node).copied().unwrap_or(0), node.to_owned());
        let own = rank(&self.own);
        let others = self.waiting.iter().filter(|(_, given_up)| !**given_up);
        let others: Vec<_> = others.map(|(node, _)| rank(node)).collect();
        if others.is_empty() {
            return Turn::Ours;
        }
        if under_way {
            return Turn::Theirs(until.max(now + GRACE));
        }
        let before: Vec<_> = others.into_iter().filter(|other| *other < own).collect();
        if !before.is_empty() && now < until {
            return Turn::Theirs(until);
        }
        for (_, silent) in before {
            self.waiting.insert(silent, true);
        }
        Turn::Ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(node: &str, number: u64, more: bool) -> wire::OrderTurn {
        let node = node.to_owned();
        wire::OrderTurn { number, node, more }
    }

    #[test]
    fn given_nobody_else_who_waits_when_asked_then_every_turn_is_ours() {
        let now = Instant::now();
        let mut turns = Turns::new("a", now);
        for number in 1..10 {
            turns.heard(&turn("a", number, true), now);
            assert_eq!(turns.whose(true, now), Turn::Ours);
        }
        turns.heard(&turn("b", 10, false), now);
        assert_eq!(turns.whose(false, now), Turn::Ours);
        turns.waits("a", now);
        assert_eq!(turns.whose(false, now), Turn::Ours, "it waits for itself");
    }

    #[test]
    fn given_three_who_wait_when_each_is_heard_in_its_turn_then_they_go_round() {
        let now = Instant::now();
        let names = ["a", "b", "c"];
        let mut all = names.map(|name| Turns::new(name, now));
        for turns in &mut all {
            names.iter().for_each(|name| turns.waits(name, now));
        }
        let mut order = Vec::new();
        for number in 1..10 {
            let ours: Vec<usize> = (0..3)
                .filter(|at| all[*at].whose(false, now) == Turn::Ours)
                .collect();
            assert_eq!(ours.len(), 1, "one has the turn");
            order.push(names[ours[0]]);
            for turns in &mut all {
                turns.heard(&turn(names[ours[0]], number, false), now);
            }
        }
        assert_eq!(order.concat(), "abcabcabc");
    }

    #[test]
    fn given_one_whose_turn_it_is_when_it_stays_silent_then_it_is_waited_for_once() {
        let now = Instant::now();
        let mut turns = Turns::new("a", now);
        turns.heard(&turn("a", 5, false), now);
        turns.waits("dead", now);
        let until = now + GRACE;
        assert_eq!(turns.whose(false, now), Turn::Theirs(until));
        assert_eq!(turns.whose(false, until), Turn::Ours);
        turns.heard(&turn("a", 6, false), until);
        assert_eq!(turns.whose(false, until), Turn::Ours, "not again");
        turns.heard(&turn("dead", 7, false), until);
        turns.heard(&turn("a", 8, false), until);
        assert_eq!(
            turns.whose(false, until),
            Turn::Theirs(until + GRACE),
            "it lives"
        );
        turns.waits_no_more("dead");
        assert_eq!(turns.whose(false, until), Turn::Ours);
    }

    #[test]
    fn given_one_that_goes_on_or_is_on_its_way_when_asked_then_others_wait_for_it() {
        let now = Instant::now();
        let mut turns = Turns::new("b", now);
        turns.heard(&turn("a", 1, true), now);
        assert_eq!(turns.whose(false, now), Turn::Theirs(now + GRACE));
        turns.heard(&turn("a", 2, false), now);
        assert_eq!(turns.whose(false, now), Turn::Ours);
        turns.waits("a", now);
        assert!(
            matches!(turns.whose(true, now), Turn::Theirs(_)),
            "one at a time"
        );
        assert_eq!(
            turns.whose(false, now),
            Turn::Ours,
            "it was heard before this one"
        );
        turns.only(&["b".into()], now);
        assert!(turns.is_announced());
        assert_eq!(turns.whose(true, now), Turn::Ours);
    }
}
