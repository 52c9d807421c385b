//! MOVED_WHILE_PACKED: a unit moves on its own while it is in a container.

use super::{Break, Case, Target};
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let moves = matches!(
        case.kind(),
        Kind::Handover
            | Kind::Void
            | Kind::Accept
            | Kind::Refuse
            | Kind::Deliver
            | Kind::Transform
            | Kind::Destroy
    );
    if moves && case.target == Target::Unit && !case.around.is_empty() {
        return Break::by([case.state.packed_at]);
    }
    None
}
