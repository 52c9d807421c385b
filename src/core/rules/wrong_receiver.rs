//! WRONG_RECEIVER: goods go to somebody else than the one whom the holder named, be it a party or
//! a buyer key.

use super::{Break, Case};
use crate::core::apply::state::Actor;
use crate::core::record::Body;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    match &case.record.body {
        Body::Accept { .. } | Body::Refuse => {
            let offer = case.state.offer.as_ref()?;
            if Some(offer.to) == case.party() {
                None
            } else {
                Break::by([offer.index])
            }
        }
        Body::Deliver { buyer } if case.signer_holds() && *buyer != case.state.buyer => {
            Break::by(case.state.journey.as_ref().map(|journey| journey.index))
        }
        // Whoever carries the goods may not give them another buyer than the seller did.
        Body::Handover(handover) if case.signer_holds() && case.state.buyer.is_some() => {
            let named = handover.buyer.as_ref().map(crate::core::signature::PublicKey::id);
            if named.is_none() || named == case.state.buyer {
                None
            } else {
                Break::by(case.state.journey.as_ref().map(|journey| journey.index))
            }
        }
        Body::Confirm { .. } | Body::Reject => {
            let buyer = case.buyer().map(Actor::Buyer);
            if buyer == Some(case.signer) {
                None
            } else {
                Break::by([case.outermost().last_index])
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::WrongReceiver;
    use crate::core::tlog::LogIndex;
    use crate::core::wire;

    fn offered() -> (World, LogIndex) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        let offered = w.ok(MAKER, &[item(1)], say::handover(COURIER));
        (w, offered)
    }

    #[test]
    fn given_an_offer_when_somebody_else_accepts_or_refuses_then_it_is_a_break() {
        for body in [say::accept(), say::refuse()] {
            let (mut w, offered) = offered();
            let found = w.beside(&w.draft(COURIER_2, &[item(1)], body), WrongReceiver);
            assert_eq!(found.evidence, [offered]);
            w.ok(COURIER, &[item(1)], say::accept());
        }
    }

    /// For one buyer, in the hands of the courier.
    fn on_its_way() -> (World, LogIndex) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, SELLER);
        let shipped = w.ok(
            SELLER,
            &[item(1)],
            say::ship(COURIER, BUYER, 9, wire::Means::Road),
        );
        w.ok(COURIER, &[item(1)], say::accept());
        w.ok(COURIER, &[item(1)], say::scan());
        (w, shipped)
    }

    #[test]
    fn given_a_named_buyer_when_delivered_to_another_or_to_nobody_named_then_it_is_a_break() {
        let (mut w, shipped) = on_its_way();
        let draft = w.draft(COURIER, &[item(1)], say::deliver(BUYER_2));
        assert_eq!(w.beside(&draft, WrongReceiver).evidence, [shipped]);
        w.ok(COURIER, &[item(1)], say::deliver(BUYER));

        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, SELLER);
        let offer = say::ship(COURIER, BUYER, 9, wire::Means::Road);
        let shipped = w.ok(SELLER, &[item(1)], offer);
        let draft = w.draft(SELLER, &[item(1)], say::sell_over_the_counter());
        assert_eq!(w.beside(&draft, WrongReceiver).evidence, [shipped]);
    }

    #[test]
    fn given_goods_on_their_way_when_another_buyer_is_named_then_it_is_a_break() {
        let (mut w, shipped) = on_its_way();
        let swap = say::ship(DISTRIBUTOR, BUYER_2, 9, wire::Means::Road);
        let draft = w.draft(COURIER, &[item(1)], swap);
        assert_eq!(w.beside(&draft, WrongReceiver).evidence, [shipped]);
    }

    #[test]
    fn given_it_came_back_undelivered_when_sold_to_another_buyer_then_it_is_no_break() {
        let (mut w, _) = on_its_way();
        w.pass(&[item(1)], COURIER, SELLER);
        let again = say::ship(COURIER, BUYER_2, 9, wire::Means::Road);
        w.ok(SELLER, &[item(1)], again);
    }

    #[test]
    fn given_no_named_buyer_when_delivered_to_a_key_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, SELLER);
        let found = w.beside(
            &w.draft(SELLER, &[item(1)], say::deliver(BUYER)),
            WrongReceiver,
        );
        assert_eq!(found.evidence, []);
    }

    #[test]
    fn given_a_delivery_when_the_buyer_of_another_order_confirms_or_rejects_then_it_is_a_break() {
        for body in [say::confirm(&[]), say::reject()] {
            let mut w = World::new();
            w.ok(MAKER, &[item(1), item(2)], say::commission());
            let delivered = w.sold(item(1), BUYER);
            w.sold(item(2), BUYER_2);
            let found = w.beside(&w.draft(BUYER_2, &[item(1)], body.clone()), WrongReceiver);
            assert_eq!(found.evidence, [delivered]);
            w.ok(BUYER, &[item(1)], body);
        }
    }
}
