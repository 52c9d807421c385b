//! CONTENT_MISMATCH: a unit is taken out of a container that it is not in, or a buyer confirms
//! other contents than the record shows.

use super::{Break, Case, Target};
use crate::core::record::Body;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    match &case.record.body {
        Body::Unpack { container }
            if case.target == Target::Unit && case.state.container.as_ref() != Some(&container.id) =>
        {
            Break::by([case.state.last_index])
        }
        Body::Confirm { .. } if case.confirm_mismatch => Break::by([case.state.last_index]),
        _ => None,
    }
}
