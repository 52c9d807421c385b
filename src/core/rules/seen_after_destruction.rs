//! SEEN_AFTER_DESTRUCTION: a record about a unit that was destroyed or used up.

use super::{Break, Case};
use crate::core::apply::state::Life;
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let after_life = matches!(
        case.kind(),
        Kind::Correct | Kind::Hold | Kind::Release | Kind::Recall | Kind::Confirm | Kind::Reject
    );
    if case.life() == Life::Ended && !after_life {
        return Break::by([case.outermost().last_index]);
    }
    None
}
