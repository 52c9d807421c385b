//! TIME_IN_FUTURE: a step is said to have happened after the ledger logged it. Measured and limit are
//! milliseconds.

use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let ahead = case.record.event_time.0.saturating_sub(case.time.0);
    let limit = case.thresholds.future_tolerance_ms;
    if ahead > limit { Break::measured([], ahead, limit) } else { None }
}
