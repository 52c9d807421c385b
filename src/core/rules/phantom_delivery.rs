//! PHANTOM_DELIVERY: an order is delivered with no physical way in between. Measured and limit are
//! milliseconds between the seller's handover and the delivery.
//!
//! No scan on the way, and either no declared weight or less time than any way takes. A buyer key
//! that the seller could know proves nothing against it. What is given from hand to hand has no way.

use super::{Break, Case};
use crate::core::record::{Kind, Means};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let journey = case.journey()?;
    if case.kind() != Kind::Deliver || journey.means == Means::InPerson {
        return None;
    }
    let scans = case.scans().saturating_sub(journey.scans);
    let elapsed = case.record.event_time.0.saturating_sub(journey.start.0);
    let limit = case.thresholds.min_delivery_ms;
    if scans == 0 && (journey.weight_grams == 0 || elapsed < limit) {
        return Break::measured([journey.index], elapsed, limit);
    }
    None
}
