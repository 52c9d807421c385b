//! What an EPCIS event does to custody: from type, action, step and disposition to a kind of
//! record, and back.
//!
//! EPCIS tells what was seen, the ledger who holds the goods; the business step (CBV 2.0 section
//! 7.1) is what joins them. The same table serves import and export, so that an imported record
//! is exported only if the words in its context still mean what its body says.
//!
//! | event | record |
//! |---|---|
//! | `ObjectEvent`, ADD | Commission |
//! | DELETE, or destroying, decommissioning | Destroy |
//! | shipping, departing, to a party that is named | Handover |
//! | `void_shipping` | Void |
//! | receiving, arriving, accepting | Accept; Return, if the disposition is returned |
//! | inspecting | Inspect |
//! | `retail_selling` | Deliver |
//! | holding | Hold |
//! | any with the disposition recalled that moves nothing | Recall |
//! | any other, and every `TransactionEvent` | Scan |
//! | `AggregationEvent`, ADD, DELETE, OBSERVE | Pack, Unpack, Scan |
//! | `TransformationEvent` | Transform |
//!
//! The CBV has no `delivering` and no `returning`: a sale is `retail_selling`, and goods that
//! come back are `receiving` with the disposition `returned` (CBV 2.0 section 7.2).

use super::ids;
use crate::core::wire::record::Body;
use crate::core::wire::{Condition, EpcisAction, EpcisEventType, InspectionResult, TypedId};

/// What an event means to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Commission,
    Inspect(InspectionResult),
    Pack,
    Unpack,
    /// To the party.
    Handover(String),
    Void,
    Accept(Condition),
    Scan,
    Deliver,
    Return,
    Transform,
    Hold,
    Recall,
    Destroy,
}

/// The fields of an event that decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    pub(super) event_type: EpcisEventType,
    pub(super) action: EpcisAction,
    /// Bare word or foreign URI.
    pub(super) biz_step: &'a str,
    pub(super) disposition: &'a str,
    pub(super) destinations: &'a [TypedId],
}

/// Dispositions that no inspection passes with (CBV 2.0 section 7.2).
const FAILED: [&str; 11] = [
    "damaged",
    "expired",
    "mismatch_class",
    "mismatch_instance",
    "mismatch_quantity",
    "needs_replacement",
    "no_pedigree_match",
    "non_conformant",
    "non_sellable_other",
    "recalled",
    "stolen",
];

impl Situation<'_> {
    /// The table.
    pub(super) fn step(&self) -> Step {
        match (self.event_type, self.action) {
            (EpcisEventType::Transformation, _) => Step::Transform,
            (EpcisEventType::Aggregation, EpcisAction::Add) => Step::Pack,
            (EpcisEventType::Aggregation, EpcisAction::Delete) => Step::Unpack,
            (EpcisEventType::Aggregation | EpcisEventType::Transaction, _) => Step::Scan,
            (_, EpcisAction::Add) => Step::Commission,
            (_, EpcisAction::Delete) => Step::Destroy,
            _ => self.observed(),
        }
    }

    fn observed(&self) -> Step {
        match self.biz_step {
            "destroying" | "decommissioning" => Step::Destroy,
            "shipping" | "departing" => self.receiver().map_or(Step::Scan, Step::Handover),
            "void_shipping" => Step::Void,
            "receiving" | "arriving" | "accepting" => self.received(),
            "inspecting" => Step::Inspect(self.result()),
            "retail_selling" => Step::Deliver,
            _ if self.disposition == "recalled" => Step::Recall,
            "holding" => Step::Hold,
            _ => Step::Scan,
        }
    }

    fn received(&self) -> Step {
        match self.disposition {
            "returned" => Step::Return,
            "damaged" => Step::Accept(Condition::Damaged),
            "container_open" => Step::Accept(Condition::Opened),
            _ => Step::Accept(Condition::Good),
        }
    }

    fn result(&self) -> InspectionResult {
        if FAILED.contains(&self.disposition) {
            return InspectionResult::Fail;
        }
        InspectionResult::Pass
    }

    /// The receiver, in the most binding sense that is given: who will own the goods, else who
    /// will hold them, else whose place they go to (CBV 2.0 section 7.4).
    fn receiver(&self) -> Option<String> {
        ["owning_party", "possessing_party", "location"]
            .iter()
            .find_map(|sense| {
                self.destinations
                    .iter()
                    .filter(|destination| destination.r#type == *sense)
                    .find_map(|destination| ids::read_party(&destination.id))
            })
    }
}

impl Step {
    /// Whether the body says the same.
    pub(super) fn agrees(&self, body: &Body) -> bool {
        match (self, body) {
            (Self::Inspect(result), Body::Inspect(b)) => b.result == i32::from(*result),
            (Self::Handover(to), Body::Handover(b)) => b.to == *to,
            (Self::Accept(condition), Body::Accept(b)) => b.condition == i32::from(*condition),
            (Self::Commission, Body::Commission(_))
            | (Self::Pack, Body::Pack(_))
            | (Self::Unpack, Body::Unpack(_))
            | (Self::Void, Body::Void(_))
            | (Self::Scan, Body::Scan(_))
            | (Self::Deliver, Body::Deliver(_))
            | (Self::Return, Body::Return(_))
            | (Self::Transform, Body::Transform(_))
            | (Self::Hold, Body::Hold(_))
            | (Self::Recall, Body::Recall(_))
            | (Self::Destroy, Body::Destroy(_)) => true,
            _ => false,
        }
    }
}

/// The words for a custody record that no event stands behind: type, action, step, disposition.
pub(super) type Words = (EpcisEventType, EpcisAction, &'static str, &'static str);

/// How the CBV says what the body does; none for a governance record. Where it has no word, the
/// step is `other`, and the export adds the kind as an extension.
pub(super) fn words(body: &Body) -> Option<Words> {
    use EpcisAction::{Add, Delete, Observe, Unspecified};
    use EpcisEventType::{Aggregation, Object, Transformation};
    Some(match body {
        Body::Commission(_) => (Object, Add, "commissioning", "active"),
        Body::Inspect(b) => (Object, Observe, "inspecting", inspected(b.result())),
        Body::Pack(_) => (Aggregation, Add, "packing", "in_progress"),
        Body::Unpack(_) => (Aggregation, Delete, "unpacking", "in_progress"),
        Body::Handover(_) => (Object, Observe, "shipping", "in_transit"),
        Body::Void(_) => (Object, Observe, "void_shipping", "in_progress"),
        Body::Accept(b) => (Object, Observe, "receiving", accepted(b.condition())),
        Body::Scan(_) => (Object, Observe, "transporting", "in_transit"),
        Body::Deliver(_) => (Object, Observe, "retail_selling", "retail_sold"),
        Body::Confirm(_) => (Object, Observe, "accepting", "retail_sold"),
        Body::Return(_) => (Object, Observe, "receiving", "returned"),
        Body::Transform(_) => (Transformation, Unspecified, "repackaging", "active"),
        Body::Hold(_) => (Object, Observe, "holding", "non_sellable_other"),
        Body::Recall(_) => (Object, Observe, "holding", "recalled"),
        Body::Destroy(_) => (Object, Delete, "destroying", "destroyed"),
        Body::Refuse(_) | Body::Reject(_) | Body::Release(_) | Body::Correct(_) => {
            (Object, Observe, "other", "unknown")
        }
        _ => return None,
    })
}

const fn inspected(result: InspectionResult) -> &'static str {
    match result {
        InspectionResult::Pass => "conformant",
        InspectionResult::Fail => "non_conformant",
        InspectionResult::Unspecified => "unknown",
    }
}

const fn accepted(condition: Condition) -> &'static str {
    match condition {
        Condition::Damaged => "damaged",
        Condition::Opened => "container_open",
        Condition::Good => "in_progress",
        Condition::Unspecified => "unknown",
    }
}
