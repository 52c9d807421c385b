//! NOT_HOLDER: a party acts on goods that the chain says are with somebody else. Custody of a packed
//! unit goes by its outermost container.

use super::{Break, Case, Target};
use crate::core::record::Body;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let needs_holder = match &case.record.body {
        Body::Pack { .. }
        | Body::Unpack { .. }
        | Body::Handover(_)
        | Body::Void
        | Body::Scan { .. }
        | Body::Deliver { .. }
        | Body::Transform { .. }
        | Body::Destroy => case.target != Target::Output,
        // Goods that were sold to a buyer key come back only with its consent.
        Body::Return { consent } => {
            return if consent.is_none() && case.outermost().buyer.is_some() {
                Break::by([case.outermost().last_index])
            } else {
                None
            };
        }
        _ => false,
    };
    if needs_holder && !case.signer_holds() {
        return Break::by([case.outermost().last_index]);
    }
    None
}
