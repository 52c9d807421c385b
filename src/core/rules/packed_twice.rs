//! PACKED_TWICE: a unit is packed while it is in a container.

use super::{Break, Case};
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if case.kind() == Kind::Pack && !case.around.is_empty() {
        return Break::by([case.state.packed_at]);
    }
    None
}
