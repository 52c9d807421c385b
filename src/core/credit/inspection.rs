//! Random inspections (双随机、一公开): which firms are drawn, and which inspector looks at each.
//!
//! ```text
//!  announce ──► seed ──► ticket of each firm ──► below its rate: drawn ──► result, public
//!  抽查计划      root of the log of size plan + 1, and a secret that the announcement commits to
//! ```
//!
//! A firm's ticket is SHA-256 over `custody inspection v1\n`, the root, the secret, the plan's number as eight
//! bytes (big endian) and the party id's text. The first eight bytes of the ticket, as a fraction of 2^64, lie below
//! the rate of the firm's tier, or it is not drawn; the next eight, modulo the number of
//! inspectors, say which one of them, in the order of their key ids.
//!
//! The announcement is in the log before anybody can know the root of a log that holds it, so who
//! announces can't choose the lot. Nobody else knows the secret, so a firm that knows the public root
//! can't tell whether the inspectors will come. Who is drawn doesn't depend on who else there is: everybody can check one
//! firm alone.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{CreditTier, InspectionOutcome, Stamp};
use crate::core::apply::state::Party;
use crate::core::id::PartyId;
use crate::core::record::{CalendarDate, Millis, Role};
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;

/// Most parties that one plan draws.
pub const MAX_DRAWN: usize = 512;
/// Most inspectors of a plan.
pub const MAX_INSPECTORS: usize = 64;

/// Where the lot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Root of the log of size plan + 1.
    pub root: [u8; 32],
    /// What the announcement committed to.
    pub secret: [u8; 32],
}

impl Seed {
    /// The commitment to a secret: its SHA-256.
    #[must_use]
    pub fn commitment(secret: &[u8; 32]) -> [u8; 32] {
        Sha256::digest(secret).into()
    }
}

/// How many firms of each tier are drawn, of a thousand each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates(pub [u32; 5]);

impl Rates {
    /// Of a tier.
    #[must_use]
    pub const fn of(&self, tier: CreditTier) -> u32 {
        self.0[tier as usize]
    }
}

/// A firm that was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// Its tier then.
    pub tier: CreditTier,
    /// The rate that it was drawn at.
    pub rate_per_mille: u32,
    /// Who looks at it.
    pub inspector: KeyId,
}

/// A plan. Its number is the index of its announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The authority that announced it.
    pub authority: PartyId,
    /// Number of the document.
    pub document: String,
    /// The law and the section.
    pub legal_basis: String,
    /// Firms of this role.
    pub role: Role,
    /// Whose region begins like this.
    pub region: String,
    /// How many.
    pub rates: Rates,
    /// Keys of the inspectors, in order.
    pub inspectors: Vec<KeyId>,
    /// When it was announced.
    pub announced: Stamp,
    /// To the secret of the draw.
    pub secret_commitment: [u8; 32],
    /// The draw: when, and from which seed.
    pub draw: Option<(Stamp, Seed)>,
    /// Parties that were drawn.
    pub drawn: u32,
    /// Of those, whose result is in.
    pub done: u32,
}

impl Plan {
    /// Whether a party is among those of whom some are drawn, at a moment.
    #[must_use]
    pub fn covers(&self, party: &Party, now: Millis) -> bool {
        party.is_active(now)
            && party.roles.contains(&self.role)
            && party.region.starts_with(&self.region)
    }
}

/// A firm's lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    chance: u64,
    inspector: u64,
}

impl Ticket {
    /// By the formula above.
    #[must_use]
    pub fn of(seed: &Seed, plan: LogIndex, party: PartyId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"custody inspection v1\n");
        hash.update(seed.root);
        hash.update(seed.secret);
        hash.update(plan.0.to_be_bytes());
        hash.update(party.to_string().as_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let number = |at: usize| {
            let eight = hash.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            eight.map_or(0, u64::from_be_bytes)
        };
        Self {
            chance: number(0),
            inspector: number(8),
        }
    }

    /// Whether it is drawn at a rate.
    #[must_use]
    pub fn is_drawn(self, per_mille: u32) -> bool {
        (u128::from(self.chance) * 1000) >> 64 < u128::from(per_mille)
    }

    /// The inspector, of some in order.
    #[must_use]
    pub fn inspector(self, of: &[KeyId]) -> Option<KeyId> {
        let count = u64::try_from(of.len()).ok()?;
        let place = self.inspector.checked_rem(count)?;
        of.get(usize::try_from(place).ok()?).copied()
    }
}

/// An inspection of one party.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// As it was drawn.
    pub drawn: Drawn,
    /// What was found.
    pub result: Option<Found>,
}

/// The result of an inspection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What.
    pub result: InspectionOutcome,
    /// When it was.
    pub date: CalendarDate,
    /// Number of the report.
    pub document: String,
    /// When it was recorded.
    pub at: Stamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(root: u8) -> Seed {
        let (root, secret) = ([root; 32], [9; 32]);
        Seed { root, secret }
    }

    #[test]
    fn given_the_formula_when_hashed_by_hand_then_the_ticket_is_the_same() {
        let (seed, plan) = (seed(7), LogIndex(258));
        let party = crate::core::apply::testing::MAKER.party();
        let mut bytes = b"custody inspection v1\n".to_vec();
        bytes.extend([7; 32]);
        bytes.extend([9; 32]);
        bytes.extend([0, 0, 0, 0, 0, 0, 1, 2]);
        bytes.extend(party.to_string().bytes());
        let hash = Sha256::digest(&bytes);
        let ticket = Ticket::of(&seed, plan, party);
        assert_eq!(ticket.chance.to_be_bytes(), hash[..8]);
        assert_eq!(ticket.inspector.to_be_bytes(), hash[8..16]);
    }

    #[test]
    fn given_a_rate_when_many_plans_draw_then_about_so_many_are_drawn_and_all_inspectors_work() {
        let inspectors: Vec<KeyId> = (0..7).map(|n| KeyId([n; 16])).collect();
        let party = crate::core::apply::testing::MAKER.party();
        let tickets = (0..4_000).map(|n| Ticket::of(&seed(3), LogIndex(n), party));
        let tickets: Vec<Ticket> = tickets.collect();
        let drawn = |rate| tickets.iter().filter(|t| t.is_drawn(rate)).count();
        assert_eq!((drawn(0), drawn(1000)), (0, 4_000));
        assert!((340..460).contains(&drawn(100)), "{}", drawn(100));
        for inspector in &inspectors {
            let of = tickets.iter();
            let count = of.filter(|t| t.inspector(&inspectors) == Some(*inspector));
            assert!((470..680).contains(&count.count()));
        }
        assert_eq!(tickets[0].inspector(&[]), None);
    }

    #[test]
    fn given_a_higher_rate_when_drawn_then_whoever_was_drawn_at_the_lower_one_still_is() {
        let party = crate::core::apply::testing::MAKER.party();
        for n in 0..500 {
            let ticket = Ticket::of(&seed(9), LogIndex(n), party);
            let at: Vec<bool> = [50, 200, 600].map(|rate| ticket.is_drawn(rate)).into();
            assert!(at.is_sorted(), "{at:?}");
        }
    }
}
