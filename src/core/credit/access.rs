//! Who may read what (个人信息保护), and what a bank may see with a firm's consent.

use serde::{Deserialize, Serialize};

use super::Stamp;
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::core::signature::KeyId;

/// How long a file that was opened stays open, in milliseconds.
pub const FILE_OPEN_MS: u64 = 24 * 3_600_000;
/// Furthest ahead that a firm lets somebody look, in milliseconds.
pub const MAX_VIEW_MS: u64 = 366 * 24 * 3_600_000;

/// Who opened a party's file, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOpened {
    /// Which regulator.
    pub by: PartyId,
    /// With which of its keys.
    pub key: KeyId,
    /// Why.
    pub purpose: String,
    /// Number of the file or case that it is for.
    pub document: String,
    /// When.
    pub time: Millis,
}

/// A firm's consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// When it was given last.
    pub at: Stamp,
    /// First moment after it.
    pub until: Millis,
}

/// Units that a party's records moved in a month, by what was done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Commissioned, or made of others.
    pub made: u64,
    /// Accepted.
    pub taken: u64,
    /// Handed over.
    pub handed_over: u64,
    /// Delivered to buyers.
    pub delivered: u64,
}

impl Volume {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            made: self.made + other.made,
            taken: self.taken + other.taken,
            handed_over: self.handed_over + other.handed_over,
            delivered: self.delivered + other.delivered,
        }
    }
}
