//! SEEN_AFTER_DELIVERY: trade goes on with a unit that is in the hands of its buyer.

use super::{Break, Case};
use crate::core::apply::state::Life;
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let buyers_time = matches!(
        case.kind(),
        Kind::Confirm
            | Kind::Reject
            | Kind::Return
            | Kind::Inspect
            | Kind::Hold
            | Kind::Release
            | Kind::Recall
            | Kind::Correct
    );
    if case.life() == Life::Delivered && !buyers_time {
        return Break::by([case.outermost().last_index]);
    }
    None
}
