//! TIME_IN_FUTURE: a step is said to have happened after the ledger logged it. Measured and limit are
//! milliseconds.

use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let ahead = case.record.event_time.0.saturating_sub(case.time.0);
    let limit = case.thresholds.future_tolerance_ms;
    if ahead > limit {
        Break::measured([], ahead, limit)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::TimeInFuture;

    #[test]
    fn given_the_tolerance_when_an_event_lies_ahead_by_it_then_it_is_no_break_and_by_more_it_is() {
        let mut w = World::new();
        let ahead = |w: &World, ms| w.draft(MAKER, &[item(1)], say::scan()).on(w.now + ms);
        w.ok(MAKER, &[item(1)], say::commission());
        w.clean(&ahead(&w, 10 * MINUTE));
        let found = w.flagged(&ahead(&w, 10 * MINUTE + 1), TimeInFuture);
        assert_eq!(found.evidence, []);
        assert_eq!((found.measured, found.limit), (600_001, 600_000));
    }

    #[test]
    fn given_a_fast_clock_with_a_known_offset_when_it_signs_then_it_is_no_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        let mut scan = w.draft(MAKER, &[item(1)], say::scan()).on(w.now + DAY);
        scan.record.clock_offset_ms = -(DAY as i64);
        w.clean(&scan);
    }
}
