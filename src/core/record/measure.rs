//! What records of measures say, checked. The proto explains each.

use crate::core::credit::{MeasureAction, MeasureKind};
use crate::core::record::{Kind, Millis};
use crate::core::tlog::LogIndex;

/// What is done with a measure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same words as in the proto, which explains each
pub enum MeasureBody {
    Attach(AttachMeasure),
    End {
        measure: LogIndex,
    },
    Report {
        measure: LogIndex,
        action: MeasureAction,
    },
}

/// A measure that an authority attaches to a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct AttachMeasure {
    pub listing: LogIndex,
    pub kind: MeasureKind,
    pub rate_per_mille: u32,
    pub legal_basis: String,
    pub document: String,
    pub from: Option<Millis>,
    pub until: Option<Millis>,
}

impl MeasureBody {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Attach(_) => Kind::AttachMeasure,
            Self::End { .. } => Kind::EndMeasure,
            Self::Report { .. } => Kind::ReportMeasureApplied,
        }
    }
}
