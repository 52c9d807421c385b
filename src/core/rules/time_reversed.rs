//! TIME_REVERSED: a step happened before the one that it follows. Measured and limit are milliseconds.
//! A device's known offset is already counted in, so what is left is no mere skew.

use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let (last, index) = case.last_event()?;
    let back = last.0.saturating_sub(case.record.event_time.0);
    let limit = case.thresholds.reversal_tolerance_ms;
    if back > limit && !case.creates() { Break::measured([index], back, limit) } else { None }
}
