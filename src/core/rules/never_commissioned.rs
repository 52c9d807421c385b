//! NEVER_COMMISSIONED: a record about a unit that no maker has registered.

use super::{Break, Case};
use crate::core::apply::state::Life;
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if !case.creates() && case.state.life == Life::Uncommissioned && case.kind() != Kind::Correct {
        return Break::by([]);
    }
    None
}
