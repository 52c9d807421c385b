//! What records of inspections say, checked. The proto explains each.

use crate::core::credit::InspectionOutcome;
use crate::core::credit::inspection::{Drawn, Rates, Seed};
use crate::core::id::PartyId;
use crate::core::record::{CalendarDate, Kind, Role};
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;

/// What is done about inspections.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same words as in the proto, which explains each
pub enum InspectionBody {
    Announce(AnnounceInspections),
    Draw {
        plan: LogIndex,
        seed: Seed,
        drawn: Vec<(PartyId, Drawn)>,
    },
    Result {
        plan: LogIndex,
        party: PartyId,
        result: InspectionOutcome,
        date: CalendarDate,
        document: String,
    },
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AnnounceInspections {
    pub document: String,
    pub legal_basis: String,
    pub role: Role,
    pub region: String,
    pub rates: Rates,
    pub inspectors: Vec<KeyId>,
    pub secret_commitment: [u8; 32],
}

impl InspectionBody {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Announce(_) => Kind::AnnounceInspections,
            Self::Draw { .. } => Kind::DrawInspections,
            Self::Result { .. } => Kind::RecordInspection,
        }
    }
}
