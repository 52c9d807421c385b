//! Callers by network, and what all of them share.
//!
//! Whoever has one address mostly has all of its network, so limits are by network. Of what all callers share, such as
//! connections, those of one network have a part at most: nobody keeps all others out.
//!
//! | what all share | bound | why |
//! |---|---|---|
//! | submission streams | 4,096 | each has read some records, and keeps answers |
//! | other streams without a token | 1,024 | the same; they must not keep scanners out |
//! | requests that have not come whole | 256 MiB | nobody has shown a token yet |
//! | answers that have not gone whole | 512 MiB | whoever asks need not read |
//! | connections of a port | as configured | each takes a file |

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A network: what is given to one customer or site.
pub type Network = [u8; 7];

/// The network of an address: its first 24 bits for IPv4, the first 48 for IPv6.
#[must_use]
pub fn network(address: IpAddr) -> Network {
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

/// How much of what all callers share those of one network may have, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(u8);

impl Part {
    /// What one network has unless the configuration says something else.
    pub const QUARTER: Self = Self(25);
    /// No less than all others together: where callers can't be told apart.
    pub const ALL: Self = Self(100);

    /// So many percent, 1 to 100.
    #[must_use]
    pub const fn percent(percent: u8) -> Option<Self> {
        match percent {
            1..=100 => Some(Self(percent)),
            _ => None,
        }
    }

    /// At least one of a whole that is not nothing.
    fn of(self, whole: usize) -> usize {
        let (hundreds, rest) = (whole / 100, whole % 100);
        let percent = usize::from(self.0);
        hundreds * percent + (rest * percent).div_ceil(100)
    }
}

impl Default for Part {
    fn default() -> Self {
        Self::QUARTER
    }
}

/// What the callers of one ledger share, beside connections.
#[derive(Debug)]
pub struct Limits {
    /// Submission streams, for which nobody needs a token.
    pub submission_streams: Shares,
    /// All other streams without a token.
    pub open_streams: Shares,
    /// Bytes of requests that have not come whole.
    pub arriving: Shares,
    /// Bytes of answers that have not gone whole.
    pub leaving: Shares,
}

impl Limits {
    /// Of which one network has a part at most.
    #[must_use]
    pub fn new(part: Part) -> Self {
        Self {
            submission_streams: Shares::new(4_096, part),
            open_streams: Shares::new(1_024, part),
            arriving: Shares::new(256 << 20, part),
            leaving: Shares::new(512 << 20, part),
        }
    }
}

/// Something that all callers share, of which those of one network have a part at most.
#[derive(Clone, Debug)]
pub struct Shares(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_network: HashMap<Network, usize>,
}

impl Shares {
    /// So much in all, of which one network has a part at most.
    #[must_use]
    pub fn new(most: usize, part: Part) -> Self {
        Self(Arc::new(Shared {
            most,
            most_of_one: part.of(most),
            taken: Mutex::default(),
        }))
    }

    /// A share of one for who calls from there, if there is room.
    #[must_use]
    pub fn one(&self, from: IpAddr) -> Option<Share> {
        let mut share = self.of(from);
        share.set(1).then_some(share)
    }

    /// The share of who calls from there: nothing yet.
    #[must_use]
    pub fn of(&self, from: IpAddr) -> Share {
        Share {
            shares: self.clone(),
            network: network(from),
            amount: 0,
        }
    }

    /// How much is taken, and by how many networks.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> (usize, usize) {
        let taken = self.lock();
        (taken.all, taken.by_network.len())
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much one call or connection has, until this is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Shares,
    network: Network,
    amount: usize,
}

impl Share {
    /// It is so much from here on, if there is room. Less is never refused.
    #[must_use = "it is as much as before where there is no room"]
    pub fn set(&mut self, amount: usize) -> bool {
        if amount == self.amount {
            return true;
        }
        let mut taken = self.shares.lock();
        let of_one = taken.by_network.get(&self.network).copied().unwrap_or(0);
        let (all, of_one) = (
            taken.all - self.amount + amount,
            of_one - self.amount + amount,
        );
        let Shared {
            most, most_of_one, ..
        } = *self.shares.0;
        if amount > self.amount && (all > most || of_one > most_of_one) {
            return false;
        }
        taken.all = all;
        if of_one == 0 {
            taken.by_network.remove(&self.network);
        } else {
            taken.by_network.insert(self.network, of_one);
        }
        drop(taken);
        self.amount = amount;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_something_is_something_and_all_is_all() {
        for (percent, whole, part) in [(25, 8, 2), (25, 9, 3), (1, 1, 1), (1, 250, 3)] {
            assert_eq!(Part::percent(percent).unwrap().of(whole), part);
        }
        for whole in [0, 1, 250, usize::MAX] {
            assert_eq!(Part::ALL.of(whole), whole);
        }
        assert_eq!(Part::percent(0), None);
        assert_eq!(Part::percent(101), None);
    }

    #[test]
    fn given_a_network_with_its_part_when_it_takes_more_then_it_is_refused_and_others_are_not() {
        let shares = Shares::new(400, Part::QUARTER);
        let of = |network: u8| shares.of([192, 0, network, 7].into());
        let (mut one, mut other) = (of(1), of(1));
        assert!(one.set(95));
        assert!(other.set(5));
        assert!(!other.set(6), "a quarter");
        let mut elsewhere: Vec<Share> = (2..5).map(of).collect();
        for share in &mut elsewhere {
            assert!(share.set(100));
        }
        assert!(!of(9).set(1), "all is taken");
        drop(one);
        assert!(other.set(6));
        assert!(of(9).set(1));
        assert!(other.set(0));
        elsewhere.clear();
        assert_eq!(shares.taken(), (0, 0));
    }
}
