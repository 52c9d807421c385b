//! SEEN_AFTER_DELIVERY: trade goes on with a unit that is in the hands of its buyer.

use super::{Break, Case};
use crate::core::apply::state::Life;
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let buyers_time = matches!(
        case.kind(),
        Kind::Confirm
            | Kind::Reject
            | Kind::Return
            | Kind::Inspect
            | Kind::Hold
            | Kind::Release
            | Kind::Recall
            | Kind::Correct
    );
    if case.life() == Life::Delivered && !buyers_time {
        return Break::by([case.outermost().last_index]);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::SeenAfterDelivery;
    use crate::core::tlog::LogIndex;

    fn delivered() -> (World, LogIndex) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        let delivered = w.sold(item(1), BUYER);
        w.now += HOUR;
        (w, delivered)
    }

    #[test]
    fn given_a_delivered_unit_when_trade_goes_on_with_it_then_it_is_a_break() {
        for (who, body) in [
            (COURIER, say::scan()),
            (COURIER_2, say::accept()),
            (SELLER, say::handover(COURIER)),
            (SELLER, say::sell_over_the_counter()),
            (DISTRIBUTOR, say::destroy()),
        ] {
            let (mut w, delivered) = delivered();
            let found = w.beside(&w.draft(who, &[item(1)], body), SeenAfterDelivery);
            assert_eq!(found.evidence, [delivered]);
        }
    }

    #[test]
    fn given_a_delivered_container_when_what_is_inside_is_traded_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        let delivered = w.sold(parcel(1), BUYER);
        let found = w.beside(
            &w.draft(SELLER, &[item(1)], say::handover(COURIER)),
            SeenAfterDelivery,
        );
        assert_eq!(found.evidence, [delivered]);
    }

    #[test]
    fn given_a_delivered_unit_when_the_buyer_or_an_authority_acts_then_it_is_no_break() {
        for (who, body) in [
            (BUYER, say::confirm(&[])),
            (BUYER, say::reject()),
            (INSPECTOR, say::inspect()),
            (MAKER, say::hold()),
            (REGULATOR, say::recall()),
        ] {
            let (mut w, _) = delivered();
            w.ok(who, &[item(1)], body);
        }
    }
}
