//! DUPLICATE_COMMISSION: the owner of the identifier gives it out again.
//! Only owners get this far (see `not_gtin_owner`), so two of them prove that the chain is broken.

use super::{Break, Case};
use crate::core::apply::state::Life;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if case.creates() && case.owns_identifier && case.state.life != Life::Uncommissioned {
        return Break::by(case.state.commissioned_at);
    }
    None
}
