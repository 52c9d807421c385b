//! MOVED_UNDER_RECALL: goods are passed on while they, what is around them, their lot or their product
//! is called back or held. Giving them back to their maker is no break.

use super::{Break, Case};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if case.moves() && !case.goes_back() && !case.stops.is_empty() {
        return Break::by(case.stops.iter().map(|stop| stop.index));
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::MovedUnderRecall;
    use crate::core::wire;

    fn lot_of(lot: &str) -> wire::Attributes {
        wire::Attributes {
            lot: lot.into(),
            ..Default::default()
        }
    }

    /// An item of lot A with the seller.
    fn at_the_seller() -> World {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission_as(lot_of("A")));
        w.pass(&[item(1)], MAKER, SELLER);
        w
    }

    fn recall_of(scope: wire::Scope) -> Body {
        Body::Recall(wire::Recall {
            scope: Some(scope),
            ..Default::default()
        })
    }

    #[test]
    fn given_a_hold_or_recall_when_the_goods_are_passed_on_then_it_is_a_break() {
        for body in [say::hold(), say::recall()] {
            let mut w = at_the_seller();
            let stopped = w.ok(MAKER, &[item(1)], body);
            let sale = w.draft(SELLER, &[item(1)], say::sell_over_the_counter());
            assert_eq!(w.flagged(&sale, MovedUnderRecall).evidence, [stopped]);
        }
    }

    #[test]
    fn given_a_recall_of_the_lot_or_product_when_passed_on_then_every_recall_is_evidence() {
        let mut w = at_the_seller();
        let lot = w.clean(&w.govern(MAKER, recall_of(say::lot("A"))));
        let product = w.clean(&w.govern(REGULATOR, recall_of(say::product())));
        let handover = w.draft(SELLER, &[item(1)], say::handover(COURIER));
        assert_eq!(
            w.flagged(&handover, MovedUnderRecall).evidence,
            [lot, product]
        );
    }

    #[test]
    fn given_a_recall_of_another_lot_when_passed_on_then_it_is_no_break() {
        let mut w = at_the_seller();
        w.clean(&w.govern(MAKER, recall_of(say::lot("B"))));
        w.pass(&[item(1)], SELLER, COURIER);
    }

    #[test]
    fn given_a_recalled_container_when_a_unit_is_packed_with_it_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[parcel(1), parcel(2)], say::commission());
        w.ok(MAKER, &[item(1)], say::commission());
        let stopped = w.ok(MAKER, &[parcel(1)], say::recall());
        w.logged(&w.draft(MAKER, &[item(1)], say::pack(parcel(1))));
        assert_eq!(w.findings(parcel(1)), [(MovedUnderRecall, true)]);
        assert_eq!(w.state.findings[&1].evidence, [stopped]);
        assert_eq!(w.findings(item(1)), []);
    }

    #[test]
    fn given_the_recall_is_over_when_passed_on_then_it_is_no_break() {
        let mut w = at_the_seller();
        w.ok(MAKER, &[item(1)], say::recall());
        w.ok(MAKER, &[item(1)], say::release());
        w.pass(&[item(1)], SELLER, COURIER);
    }

    #[test]
    fn given_a_recall_when_goods_are_seen_or_go_back_to_their_maker_then_it_is_no_break() {
        let mut w = at_the_seller();
        w.ok(MAKER, &[item(1)], say::recall());
        w.ok(SELLER, &[item(1)], say::scan());
        w.pass(&[item(1)], SELLER, MAKER);
        w.ok(MAKER, &[item(1)], say::destroy());
    }
}
