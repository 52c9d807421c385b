//! What records of consumers say, checked. The proto explains each.

use crate::core::credit::Complaint;
use crate::core::id::UnitId;
use crate::core::record::Kind;
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;

/// A report, a claim, a review, or what becomes of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same words as in the proto, which explains each
pub enum ClaimBody {
    ReportUnit {
        unit: UnitId,
        complaint: Complaint,
    },
    OpenClaim {
        unit: UnitId,
        complaint: Complaint,
        amount_fen: u64,
    },
    DecideClaim {
        claim: LogIndex,
        /// None where it is refused.
        granted_fen: Option<u64>,
        legal_basis: String,
        document: String,
    },
    RecordPayout {
        claim: LogIndex,
    },
    RecordRecovery {
        claim: LogIndex,
        amount_fen: u64,
    },
    AttestBuyerKey {
        unit: UnitId,
        key: KeyId,
    },
    ReviewUnit {
        unit: UnitId,
        /// 1 to 5.
        rating: u8,
    },
}

impl ClaimBody {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::ReportUnit { .. } => Kind::ReportUnit,
            Self::OpenClaim { .. } => Kind::OpenClaim,
            Self::DecideClaim { .. } => Kind::DecideClaim,
            Self::RecordPayout { .. } => Kind::RecordPayout,
            Self::RecordRecovery { .. } => Kind::RecordRecovery,
            Self::AttestBuyerKey { .. } => Kind::AttestBuyerKey,
            Self::ReviewUnit { .. } => Kind::ReviewUnit,
        }
    }
}
