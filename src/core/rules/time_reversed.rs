//! TIME_REVERSED: a step happened before the one that it follows. Measured and limit are milliseconds.
//! A device's known offset is already counted in, so what is left is no mere skew.

use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let (last, index) = case.last_event()?;
    let back = last.0.saturating_sub(case.record.event_time.0);
    let limit = case.thresholds.reversal_tolerance_ms;
    if back > limit && !case.creates() {
        Break::measured([index], back, limit)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::TimeReversed;
    use crate::core::tlog::LogIndex;

    /// Commissioned at some moment, and everything else an hour later.
    fn commissioned() -> (World, LogIndex, u64) {
        let mut w = World::new();
        let when = w.now;
        let made = w.ok(MAKER, &[item(1)], say::commission());
        w.now += HOUR;
        (w, made, when)
    }

    #[test]
    fn given_the_tolerance_when_an_event_lies_back_by_it_then_it_is_no_break() {
        let (mut w, _, when) = commissioned();
        w.clean(
            &w.draft(MAKER, &[item(1)], say::scan())
                .on(when - 10 * MINUTE),
        );
    }

    #[test]
    fn given_the_tolerance_when_an_event_lies_back_by_more_then_it_is_a_break() {
        let (mut w, made, when) = commissioned();
        let scan = w
            .draft(MAKER, &[item(1)], say::scan())
            .on(when - 10 * MINUTE - 1);
        let found = w.flagged(&scan, TimeReversed);
        assert_eq!(found.evidence, [made]);
        assert_eq!((found.measured, found.limit), (600_001, 600_000));
        assert_eq!(
            w.unit(item(1)).last_time.0,
            when,
            "time in a chain goes on from the latest"
        );
    }

    #[test]
    fn given_its_container_moved_when_a_packed_unit_was_seen_before_then_it_is_a_break() {
        let (mut w, ..) = commissioned();
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w.now += HOUR;
        let seen = w.ok(MAKER, &[parcel(1)], say::scan());
        let scan = w
            .draft(MAKER, &[item(1)], say::scan())
            .on(w.now - 30 * MINUTE);
        assert_eq!(w.flagged(&scan, TimeReversed).evidence, [seen]);
    }

    #[test]
    fn given_a_late_upload_when_events_are_in_order_then_it_is_no_break() {
        let (mut w, _, when) = commissioned();
        w.now += 3 * DAY;
        w.clean(&w.draft(MAKER, &[item(1)], say::scan()).on(when + MINUTE));
        w.clean(
            &w.draft(MAKER, &[item(1)], say::handover(COURIER))
                .on(when + 2 * MINUTE),
        );
    }
}
