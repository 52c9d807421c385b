//! EXPIRED: goods are passed on after their last day of use. Measured and limit are milliseconds since
//! 1970; the day counts until it has ended everywhere on Earth. Giving goods back to their maker is
//! no break.

use super::{Break, Case};
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let ends = case.state.attributes.expiry?.ends();
    let passes_on = matches!(case.kind(), Kind::Handover | Kind::Accept | Kind::Deliver);
    if passes_on && !case.goes_back() && case.record.event_time >= ends {
        return Break::measured(case.state.commissioned_at, case.record.event_time.0, ends.0);
    }
    None
}
