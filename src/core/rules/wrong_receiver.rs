//! WRONG_RECEIVER: goods go to somebody else than the one whom the holder named, be it a party or
//! a buyer key.

use super::{Break, Case};
use crate::core::apply::state::Actor;
use crate::core::record::Body;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    match &case.record.body {
        Body::Accept { .. } | Body::Refuse => {
            let offer = case.state.offer.as_ref()?;
            if Some(offer.to) == case.party() { None } else { Break::by([offer.index]) }
        }
        Body::Deliver { buyer } if case.signer_holds() && *buyer != case.state.buyer => {
            Break::by(case.state.journey.as_ref().map(|journey| journey.index))
        }
        Body::Confirm { .. } | Body::Reject => {
            let buyer = case.outermost().buyer.map(Actor::Buyer);
            if buyer == Some(case.signer) { None } else { Break::by([case.outermost().last_index]) }
        }
        _ => None,
    }
}
