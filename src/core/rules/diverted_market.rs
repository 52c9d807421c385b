//! DIVERTED_MARKET: goods are sold, or sent to be sold, outside the markets they were made for. Passing
//! through is no break: only the place of a delivery, of a seller's acceptance, and the declared
//! destination count.

use super::{Break, Case};
use crate::core::record::{Body, Role};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let markets = &case.state.attributes.markets;
    let region = match &case.record.body {
        Body::Deliver { .. } => case.record.place.region.as_ref(),
        Body::Accept { .. } if case.roles.contains(&Role::Seller) => {
            case.record.place.region.as_ref()
        }
        Body::Handover(handover) => handover.destination.as_ref(),
        _ => None,
    }?;
    if markets.is_empty() || markets.iter().any(|market| market.contains(region)) {
        return None;
    }
    Break::by(case.state.commissioned_at)
}
