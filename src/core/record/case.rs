//! What records of cases say, checked. The proto explains each.

use crate::core::credit::{CaseGrounds, CaseKind, CaseOutcome};
use crate::core::id::PartyId;
use crate::core::record::Kind;
use crate::core::tlog::LogIndex;

/// What an agency does with a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseBody {
    /// What.
    pub act: CaseRecord,
    /// Number of the document.
    pub document: String,
}

/// The kinds of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same words as in the proto, which explains each
pub enum CaseRecord {
    Open {
        kind: CaseKind,
        grounds: CaseGrounds,
    },
    Add {
        case: LogIndex,
        grounds: CaseGrounds,
    },
    Refer {
        case: LogIndex,
        to: PartyId,
        days: u32,
    },
    Close {
        case: LogIndex,
        outcome: CaseOutcome,
        legal_basis: String,
    },
}

impl CaseBody {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.act {
            CaseRecord::Open { .. } => Kind::OpenCase,
            CaseRecord::Add { .. } => Kind::AddToCase,
            CaseRecord::Refer { .. } => Kind::ReferCase,
            CaseRecord::Close { .. } => Kind::CloseCase,
        }
    }
}
