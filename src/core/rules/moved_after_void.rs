//! MOVED_AFTER_VOID: the receiver of an offer accepts it after it was withdrawn.

use super::{Break, Case};
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let voided = case.state.voided.as_ref()?;
    if case.kind() == Kind::Accept
        && case.state.offer.is_none()
        && Some(voided.to) == case.party()
        && !case.signer_holds()
    {
        return Break::by([voided.index, case.state.last_index]);
    }
    None
}
