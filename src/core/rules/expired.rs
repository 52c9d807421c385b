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

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::Expired;
    use crate::core::tlog::LogIndex;
    use crate::core::wire;

    /// The last day of use is 20 June 2025; it ends everywhere on Earth at noon UTC of the 21st.
    const ENDS: u64 = 1_750_507_200_000;

    /// An expiring item with the seller, at some moment.
    fn at_the_seller(now: u64) -> (World, LogIndex) {
        let mut w = World::new();
        let attributes = wire::Attributes {
            expiry: 20_250_620,
            ..Default::default()
        };
        let made = w.ok(MAKER, &[item(1)], say::commission_as(attributes));
        w.pass(&[item(1)], MAKER, SELLER);
        w.now = now;
        (w, made)
    }

    #[test]
    fn given_the_last_moment_of_the_day_when_goods_are_passed_on_then_it_is_no_break() {
        for body in [say::handover(COURIER), say::sell_over_the_counter()] {
            let (mut w, _) = at_the_seller(ENDS - 1);
            w.ok(SELLER, &[item(1)], body);
        }
    }

    #[test]
    fn given_the_day_is_over_when_goods_are_passed_on_then_it_is_a_break() {
        for body in [say::handover(COURIER), say::sell_over_the_counter()] {
            let (mut w, made) = at_the_seller(ENDS);
            let found = w.flagged(&w.draft(SELLER, &[item(1)], body), Expired);
            assert_eq!(found.evidence, [made]);
            assert_eq!((found.measured, found.limit), (ENDS as i64, ENDS as i64));
        }
    }

    #[test]
    fn given_an_offer_of_before_when_it_is_accepted_after_the_day_then_it_is_a_break() {
        let (mut w, _) = at_the_seller(ENDS - MINUTE);
        w.ok(SELLER, &[item(1)], say::handover(COURIER));
        w.flagged(&w.draft(COURIER, &[item(1)], say::accept()), Expired);
    }

    #[test]
    fn given_expired_goods_when_they_are_looked_at_or_go_back_to_their_maker_then_it_is_no_break() {
        let (mut w, _) = at_the_seller(ENDS + DAY);
        w.ok(SELLER, &[item(1)], say::scan());
        w.pass(&[item(1)], SELLER, MAKER);
        w.ok(MAKER, &[item(1)], say::destroy());
    }

    #[test]
    fn given_the_event_was_in_time_when_it_is_logged_after_the_day_then_it_is_no_break() {
        let (mut w, _) = at_the_seller(ENDS + HOUR);
        w.clean(
            &w.draft(SELLER, &[item(1)], say::handover(COURIER))
                .on(ENDS - 1),
        );
    }
}
