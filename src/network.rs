//! Callers by network, and what all of them share.
//!
//! Whoever has one address mostly has all of its network, so limits are by network. Of what all callers share, such as
//! connections, those of one network have a part at most, and the last eighth is for networks that have little: whoever has
//! some networks doesn't keep all others out.
//!
//! | what all share | bound | why |
//! |---|---|---|
//! | connections of a port | as configured | each takes a file |
//! | submission streams | 4,096 | each has read some records, and keeps answers |
//! | other streams without a token | 1,024 | the same; they must not keep scanners out |
//! | requests that have not come whole | 256 MiB | nobody has shown a token yet |
//! | answers over gRPC that have not gone whole | 512 MiB | whoever asks need not read |
//! | answers over HTTP, likewise | 512 MiB | the same; they must not keep scanners out |

use std::collections::HashMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct Part(u8);

/// It is no part that one network may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one network has 20 to 100 percent")]
pub struct NoPart;

impl TryFrom<u8> for Part {
    type Error = NoPart;

    /// With less, an answer that is as long as it may be would have no room: a bundle has up to 64 MiB, and a third more in
    /// JSON.
    fn try_from(percent: u8) -> Result<Self, NoPart> {
        match percent {
            20..=100 => Ok(Self(percent)),
            _ => Err(NoPart),
        }
    }
}

impl FromStr for Part {
    type Err = NoPart;

    fn from_str(percent: &str) -> Result<Self, NoPart> {
        let percent: u8 = percent.parse().map_err(|_| NoPart)?;
        percent.try_into()
    }
}

impl Part {
    /// What one network has unless the configuration says something else.
    pub const QUARTER: Self = Self(25);
    /// No less than all others together: where callers can't be told apart.
    pub const ALL: Self = Self(100);

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
    /// Bytes of answers over gRPC that have not gone whole.
    pub leaving: Shares,
    /// The same over HTTP.
    pub leaving_pages: Shares,
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
            leaving_pages: Shares::new(512 << 20, part),
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
    /// From here on there is only room for networks that have few.
    nearly_all: usize,
    few: usize,
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
        let nearly_all = match part {
            Part::ALL => most,
            _ => most - most / 8,
        };
        Self(Arc::new(Shared {
            most,
            most_of_one: part.of(most),
            nearly_all,
            few: (most / 512).max(1),
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
        let shared = &self.shares.0;
        let has_room = all <= shared.most
            && of_one <= shared.most_of_one
            && (all <= shared.nearly_all || of_one <= shared.few);
        if amount > self.amount && !has_room {
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
        for (percent, whole, part) in [(25, 8, 2), (25, 9, 3), (20, 1, 1), (30, 250, 75)] {
            assert_eq!(Part(percent).of(whole), part);
        }
        for whole in [0, 1, 250, usize::MAX] {
            assert_eq!(Part::ALL.of(whole), whole);
        }
        assert_eq!("25".parse(), Ok(Part::QUARTER));
        for none in ["19", "101", "-1", "a quarter"] {
            assert_eq!(none.parse::<Part>(), Err(NoPart));
        }
    }

    #[test]
    fn given_a_network_with_its_part_when_it_takes_more_then_it_is_refused_and_others_are_not() {
        let shares = Shares::new(1_024, Part::QUARTER);
        let of = |network: u8| shares.of([192, 0, network, 7].into());
        let (mut one, mut other) = (of(1), of(1));
        assert!(one.set(250));
        assert!(other.set(6));
        assert!(!other.set(7), "a quarter");
        let mut elsewhere: Vec<Share> = (2..5).map(of).collect();
        for (share, amount) in elsewhere.iter_mut().zip([256, 256, 128]) {
            assert!(share.set(amount));
        }
        assert!(!elsewhere[2].set(129), "the last eighth");
        for network in 5..69 {
            let mut few = of(network);
            assert!(!few.set(3));
            assert!(few.set(2), "it is for those that have few");
            elsewhere.push(few);
        }
        assert!(!of(99).set(1), "all is taken");
        drop(one);
        assert!(other.set(7));
        assert!(of(99).set(3));
        assert!(other.set(0));
        elsewhere.clear();
        assert_eq!(shares.taken(), (0, 0));
    }
}
