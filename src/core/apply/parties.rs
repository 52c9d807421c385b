//! Rows of parties, their keys, and the identifiers that they give out.

use serde::{Deserialize, Serialize};

use crate::core::credit::{Blacklisting, Redlisting};
use crate::core::id::PartyId;
use crate::core::record::{Millis, Role};
use crate::core::signature::{KeyId, PublicKey};
use crate::core::tlog::LogIndex;

/// Where a party's registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto
pub enum PartyStatus {
    Pending,
    Active,
    Suspended,
}

/// A party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Party {
    /// Empty for a sole trader.
    pub name: String,
    /// Approved roles; while pending, those asked for.
    pub roles: Vec<Role>,
    /// ISO 3166.
    pub region: String,
    /// For people.
    pub city: String,
    /// Pending, active or suspended.
    pub status: PartyStatus,
    /// End of the approval.
    pub valid_until: Option<Millis>,
    /// Entries that registered, approved and suspended it.
    pub log: Vec<LogIndex>,
    /// The approval in force.
    pub approved_at: Option<LogIndex>,
    /// The key of its registration.
    pub key: KeyId,
    /// Another registration of the same id came before; the approval has to name this one.
    pub contested: bool,
    /// Commitments that it made.
    pub commitments: u32,
    /// What was in force on the black list when it last changed.
    pub blacklistings: Vec<Blacklisting>,
    /// Its red listing, the last one that took effect and that no entry ended.
    pub redlisting: Option<Redlisting>,
}

impl Party {
    /// Whether its approval has ended by then.
    #[must_use]
    pub fn has_lapsed(&self, now: Millis) -> bool {
        self.valid_until.is_some_and(|end| now > end)
    }

    /// Whether it is approved, not suspended, and its approval has not ended by then.
    #[must_use]
    pub fn is_active(&self, now: Millis) -> bool {
        self.status == PartyStatus::Active && !self.has_lapsed(now)
    }

    /// Its listings that are in force, or were when its row last changed.
    pub fn listings(&self) -> impl Iterator<Item = LogIndex> {
        let black = self.blacklistings.iter().map(|black| black.listing);
        black.chain(self.redlisting.iter().map(|red| red.listing))
    }

    /// Whether the public may know who it is: a natural person gives no name, only a commitment.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        !self.name.is_empty()
    }
}

/// Whose a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Actor {
    /// A party's, its employee's or its device's.
    Party(PartyId),
    /// A buyer's.
    Buyer(KeyId),
}

impl Actor {
    /// The party, unless it is a buyer.
    #[must_use]
    pub const fn party(&self) -> Option<PartyId> {
        match self {
            Self::Party(party) => Some(*party),
            Self::Buyer(_) => None,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Party(party) => {
                let mut bytes = vec![1];
                bytes.extend_from_slice(&party.to_compact());
                bytes
            }
            Self::Buyer(key) => {
                let mut bytes = vec![2];
                bytes.extend(key.0);
                bytes
            }
        }
    }
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyStatus {
    /// In use.
    Active,
    /// Another key took its place, or its use ended, at this time of the ledger.
    Rotated(Millis),
    /// The same by revocation.
    Revoked(Millis),
    /// Somebody else may have had it, since when.
    Compromised(Millis),
}

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyScope {
    /// Named by the genesis record.
    Root,
    /// Everything that its party may.
    Full,
    /// Custody records only.
    Delegated,
    /// What a buyer may, for the units of one order.
    Buyer,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The key itself.
    pub public: PublicKey,
    /// Whose.
    pub owner: Actor,
    /// What for.
    pub scope: KeyScope,
    /// First moment of use.
    pub valid_from: Millis,
    /// Last moment of use.
    pub valid_until: Option<Millis>,
    /// In use or ended.
    pub status: KeyStatus,
    /// The entry that registered it.
    pub registered_at: LogIndex,
    /// The entry that ended it.
    pub ended_at: Option<LogIndex>,
}

impl Key {
    /// Whether nothing has ended it by then.
    #[must_use]
    pub fn is_in_use(&self, now: Millis) -> bool {
        self.status == KeyStatus::Active && self.valid_until.is_none_or(|end| now <= end)
    }
}

/// Who gives out the identifiers of one scope.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Claims, at most [`MAX_CLAIMS`](super::MAX_CLAIMS).
    pub claims: Vec<ProductClaim>,
    /// The claim in force.
    pub owner: Option<Owner>,
    /// Entries that claimed and approved it.
    pub log: Vec<LogIndex>,
}

/// A party says that it gives out these identifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductClaim {
    /// Which party.
    pub party: PartyId,
    /// For people.
    pub name: String,
    /// The entry.
    pub claimed_at: LogIndex,
}

/// An approved claim.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// Which party.
    pub party: PartyId,
    /// The entry that approved it.
    pub approved_at: LogIndex,
}
