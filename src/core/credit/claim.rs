//! Consumers' claims, reports and reviews.

use serde::{Deserialize, Serialize};

use super::{Stamp, not_now};
use crate::core::apply::state::Actor;
use crate::core::id::{PartyId, UnitId};
use crate::core::refusal::{Reason, Refusal};
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;

/// Stars of a review.
pub const STARS: usize = 5;

/// A claim for compensation. Its number is the index of the entry that opened it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// For which unit.
    pub unit: UnitId,
    /// Whose.
    pub buyer: KeyId,
    /// What is wrong.
    pub complaint: super::Complaint,
    /// What is asked for, in fen.
    pub amount_fen: u64,
    /// When.
    pub opened: Stamp,
    /// Who named the buyer.
    pub seller: Option<PartyId>,
    /// What became of it.
    pub decided: Option<ClaimDecision>,
    /// Who paid the buyer, and when.
    pub paid: Option<(Stamp, PartyId)>,
    /// What who paid got back, in fen.
    pub recovered_fen: u64,
    /// All its entries.
    pub log: Vec<LogIndex>,
}

/// What was decided of a claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimDecision {
    /// When.
    pub at: Stamp,
    /// By whom.
    pub by: PartyId,
    /// What was granted, in fen; none where it was refused.
    pub granted_fen: Option<u64>,
    /// The law and the section.
    pub legal_basis: String,
    /// Number of the decision.
    pub document: String,
    /// Who owes it back.
    pub recourse: Option<PartyId>,
    /// The break that says so.
    pub broken_at: Option<LogIndex>,
}

impl Claim {
    /// Decides it, once; what somebody else refused, a regulator may decide anew.
    ///
    /// # Errors
    /// A refusal that says what is in the way.
    pub fn decide(&mut self, decision: ClaimDecision, by_regulator: bool) -> Result<(), Refusal> {
        let refused = self
            .decided
            .as_ref()
            .map(|before| before.granted_fen.is_none());
        if refused.is_some_and(|refused| !(refused && by_regulator)) {
            return Err(not_now("the claim is decided"));
        }
        if decision
            .granted_fen
            .is_some_and(|fen| fen == 0 || fen > self.amount_fen)
        {
            return Err(Refusal::field(
                "decide_claim.amount_fen",
                format!("1 to {} fen, which is what was asked for", self.amount_fen),
            ));
        }
        self.log.push(decision.at.index);
        self.decided = Some(decision);
        Ok(())
    }

    /// The buyer was paid; how much.
    ///
    /// # Errors
    /// As [`Claim::decide`].
    pub fn pay(&mut self, at: Stamp, by: PartyId) -> Result<u64, Refusal> {
        let granted = self.decided.as_ref().and_then(|d| d.granted_fen);
        let granted = granted.ok_or_else(|| not_now("the claim was not granted"))?;
        if self.paid.is_some() {
            return Err(not_now("the buyer was paid already"));
        }
        self.paid = Some((at, by));
        self.log.push(at.index);
        Ok(granted)
    }

    /// Who paid got something back.
    ///
    /// # Errors
    /// As [`Claim::decide`].
    pub fn recover(&mut self, at: Stamp, by: PartyId, fen: u64) -> Result<(), Refusal> {
        match self.paid {
            Some((_, payer)) if payer == by => {}
            Some((_, payer)) => {
                return Err(Refusal::new(
                    Reason::Unauthorised,
                    format!("{payer} paid, and nobody else gets it back"),
                ));
            }
            None => return Err(not_now("nobody has paid the buyer")),
        }
        let granted = self.decided.as_ref().and_then(|d| d.granted_fen);
        let left = granted.unwrap_or(0).saturating_sub(self.recovered_fen);
        if fen == 0 || fen > left {
            return Err(Refusal::field(
                "record_recovery.amount_fen",
                format!("1 to {left} fen are left to get back"),
            ));
        }
        self.recovered_fen += fen;
        self.log.push(at.index);
        Ok(())
    }
}

/// Somebody says that a unit is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which unit.
    pub unit: UnitId,
    /// Who says so.
    pub by: Actor,
    /// What is wrong.
    pub complaint: super::Complaint,
    /// When.
    pub made: Stamp,
}

/// What somebody may say about a unit once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto
pub enum Voice {
    Report,
    Claim,
    Review,
    /// Of a container: that something in it is claimed.
    ClaimInside,
}

/// What a fund or platform paid and got back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fund {
    /// Claims that it paid.
    pub claims_paid: u64,
    /// In fen.
    pub paid_fen: u64,
    /// In fen.
    pub recovered_fen: u64,
}

/// How a seller's goods were reviewed: how many gave one star to five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviews {
    /// By keys that an independent party attested.
    pub verified: [u64; STARS],
    /// By keys that only the seller knows.
    pub unattested: [u64; STARS],
}
