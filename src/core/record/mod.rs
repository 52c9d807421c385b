//! The record: a signed statement, parsed once and checked whole.
//!
//! Inside the ledger only [`Record`] is used; a value of it can't break the format's rules. The
//! bytes it came from are kept beside it in the [`Envelope`](crate::core::envelope::Envelope).

mod access;
mod body;
mod case;
mod claim;
mod credit;
mod decode;
mod inspection;
mod measure;
mod values;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use smol_str::SmolStr;

pub use access::AccessBody;
pub use body::{
    Attributes, Body, Decision, Handover, Kind, Means, NewKey, ProductScope, Quantity,
    RegisterParty, ReturnConsent, RevocationReason, Role, Scope, Thresholds,
};
pub use case::{CaseBody, CaseRecord};
pub use claim::ClaimBody;
pub use credit::{AddCreditRecord, CreditBody, ListingDecision, ListingStep, ProposeListing};
pub use inspection::{AnnounceInspections, InspectionBody};
pub use measure::{AttachMeasure, MeasureBody};
pub use values::{CalendarDate, GoodsId, Millis, Position, ProductId, Region};

use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::signature::{KeyId, Suite};

/// Version of the record format.
pub const FORMAT: u32 = 1;
/// Most units that a record names, container and outputs included.
pub const MAX_UNITS: usize = 512;
/// Most containers around a unit.
pub const MAX_NESTING: usize = 8;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// A unit and the head of its chain as the signer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRef {
    /// Which unit.
    pub id: UnitId,
    /// The record that the signer saw last; none where there is no chain.
    pub prev: Option<RecordId>,
}

/// A place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// WGS 84.
    pub position: Option<Position>,
    /// Country or subdivision.
    pub region: Option<Region>,
    /// For people; may be empty.
    pub city: SmolStr,
}

/// A record whose form is right. Who signed it and whether they may is not yet said.
///
/// Of a single unit it is one piece of memory: what one thread makes and another frees costs both of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The ledger that it is for.
    pub origin: SmolStr,
    /// The signature suite that it claims.
    pub suite: Suite,
    /// The key that it says signed it.
    pub key_id: KeyId,
    /// Names the statement across rebases.
    pub nonce: [u8; NONCE_BYTES],
    /// When it happened: the device's time with the device's known offset.
    pub event_time: Millis,
    /// Where.
    pub place: Place,
    /// What it is about.
    pub units: SmallVec<[UnitRef; 1]>,
    /// The containers around the units.
    pub containers: Vec<UnitRef>,
    /// What it says.
    pub body: Body,
}

impl Record {
    /// Decodes and checks the payload of an envelope.
    ///
    /// # Errors
    /// A [`Refusal`](crate::core::refusal::Refusal) that names the field and the rule.
    pub fn decode(payload: &[u8]) -> Result<Self, crate::core::refusal::Refusal> {
        decode::record(payload)
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// Everything whose chain the record means to touch, in the order that findings count:
    /// the units, then the container of a Pack or Unpack, then the outputs of a Transform. Those of
    /// a ReportEquivocation are the subjects of the first record that it reports.
    #[must_use]
    pub fn subjects(&self) -> Vec<UnitId> {
        let mut subjects: Vec<UnitId> = self.units.iter().map(|unit| unit.id).collect();
        match &self.body {
            Body::Pack { container } | Body::Unpack { container } => {
                subjects.push(container.id);
            }
            Body::Transform { outputs, .. } => subjects.extend(outputs.iter().copied()),
            Body::ReportEquivocation { first, .. } => subjects.extend(reported_subjects(first)),
            _ => {}
        }
        subjects
    }

    /// The units, the container of a Pack or Unpack and the outputs of a Transform, each with the
    /// `prev` that the record names for it.
    pub fn refs(&self) -> impl Iterator<Item = UnitRef> + '_ {
        let (container, outputs) = match &self.body {
            Body::Pack { container } | Body::Unpack { container } => (Some(container), &[][..]),
            Body::Transform { outputs, .. } => (None, outputs.as_slice()),
            _ => (None, &[][..]),
        };
        let outputs = outputs.iter().map(|id| UnitRef {
            id: *id,
            prev: None,
        });
        self.units.iter().chain(container).copied().chain(outputs)
    }

    /// Whether both are the same statement: all but what a rebase changes (`prev`, and the
    /// containers around the units) is equal.
    #[must_use]
    pub fn same_statement(&self, other: &Self) -> bool {
        self.without_prev() == other.without_prev()
    }

    fn without_prev(&self) -> Self {
        let mut record = self.clone();
        record.containers.clear();
        for unit in &mut record.units {
            unit.prev = None;
        }
        if let Body::Pack { container } | Body::Unpack { container } = &mut record.body {
            container.prev = None;
        }
        record
    }
}

/// Subjects of a reported custody record; none of anything else, so that reports don't nest.
fn reported_subjects(envelope: &[u8]) -> Vec<UnitId> {
    use prost::Message as _;
    crate::core::wire::Envelope::decode(envelope)
        .ok()
        .and_then(|envelope| Record::decode(&envelope.payload).ok())
        .filter(|record| record.kind().is_custody())
        .map(|record| record.subjects())
        .unwrap_or_default()
}
