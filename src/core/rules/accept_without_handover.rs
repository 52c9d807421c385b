//! ACCEPT_WITHOUT_HANDOVER: a party takes goods that nobody offered.

use super::{Break, Case};
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if matches!(case.kind(), Kind::Accept | Kind::Refuse) && case.state.offer.is_none() {
        return Break::by([case.state.last_index]);
    }
    None
}
