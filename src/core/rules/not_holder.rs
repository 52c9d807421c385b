//! NOT_HOLDER: a party acts on goods that the chain says are with somebody else. Custody of a packed
//! unit goes by its outermost container.

use super::{Break, Case, Target};
use crate::core::apply::state::Life;
use crate::core::record::Body;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let needs_holder = match &case.record.body {
        Body::Pack { .. }
        | Body::Unpack { .. }
        | Body::Handover(_)
        | Body::Void
        | Body::Scan { .. }
        | Body::Deliver { .. }
        | Body::Transform { .. }
        | Body::Destroy => case.target != Target::Output,
        // Goods that were sold to a buyer key come back only with its consent; others only to whom
        // they were bought from.
        Body::Return { consent } => {
            let sold_by = case.outermost().tenures.last().map(|tenure| tenure.party);
            let allowed = match case.buyer() {
                Some(_) => consent.is_some(),
                None => sold_by.is_some() && sold_by == case.party(),
            };
            return if allowed || case.life() != Life::Delivered {
                None
            } else {
                Break::by([case.outermost().last_index])
            };
        }
        _ => false,
    };
    if needs_holder && !case.signer_holds() {
        return Break::by([case.outermost().last_index]);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::NotHolder;
    use crate::core::wire;

    #[test]
    fn given_a_counter_sale_when_a_rival_takes_it_back_then_it_is_a_break_and_the_shop_may() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, SELLER);
        w.ok(SELLER, &[item(1)], say::sell_over_the_counter());
        let theft = w.draft(RIVAL, &[item(1)], say::take_back());
        w.beside(&theft, NotHolder);
        w.ok(SELLER, &[item(1)], say::take_back());
    }

    #[test]
    fn given_goods_of_another_when_a_party_acts_on_them_then_it_is_a_break() {
        for (who, body) in [
            (DISTRIBUTOR, say::handover(SELLER)),
            (DISTRIBUTOR, say::void()),
            (DISTRIBUTOR, say::scan()),
            (
                DISTRIBUTOR,
                say::transform(&[other_item(1)], wire::Attributes::default()),
            ),
            (DISTRIBUTOR, say::destroy()),
            (SELLER, say::sell_over_the_counter()),
        ] {
            let mut w = World::new();
            w.owns(
                DISTRIBUTOR,
                wire::product_scope::Scope::Gtin(other_item(1).to_string()[3..17].into()),
            );
            w.ok(MAKER, &[item(1)], say::commission());
            let (_, accepted) = w.pass(&[item(1)], MAKER, COURIER);
            let found = w.beside(&w.draft(who, &[item(1)], body), NotHolder);
            assert_eq!(found.evidence, [accepted]);
        }
    }

    #[test]
    fn given_a_container_of_another_when_units_go_in_or_out_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[parcel(1), item(2)], say::commission());
        w.ok(MAKER, &[item(1)], say::commission());
        let packed = w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        let out = w.draft(COURIER, &[item(1)], say::unpack(parcel(1)));
        assert_eq!(w.beside(&out, NotHolder).evidence, [packed]);
        w.pass(&[item(2)], MAKER, COURIER);
        w.now += DAY;
        w.beside(
            &w.draft(COURIER, &[item(2)], say::pack(parcel(1))),
            NotHolder,
        );
        assert_eq!(w.findings(item(2)), [], "its own holder packed it, in vain");
        assert_eq!(w.unit(parcel(1)).contents, 1);
    }

    #[test]
    fn given_a_packed_unit_when_the_outermost_container_moved_then_its_holder_may_act() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[parcel(1), parcel(2)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w.ok(MAKER, &[parcel(1)], say::pack(parcel(2)));
        let (_, accepted) = w.pass(&[parcel(2)], MAKER, COURIER);
        w.ok(COURIER, &[item(1)], say::scan());
        w.now += HOUR;
        let found = w.beside(&w.draft(MAKER, &[item(1)], say::scan()), NotHolder);
        assert_eq!(found.evidence, [accepted]);
    }

    #[test]
    fn given_goods_sold_to_a_buyer_key_when_taken_back_without_consent_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        let delivered = w.sold(item(1), BUYER);
        let found = w.beside(&w.draft(SELLER, &[item(1)], say::take_back()), NotHolder);
        assert_eq!(found.evidence, [delivered]);
    }

    #[test]
    fn given_goods_sold_over_the_counter_when_taken_back_then_it_is_no_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, SELLER);
        w.ok(SELLER, &[item(1)], say::sell_over_the_counter());
        w.ok(SELLER, &[item(1)], say::take_back());
        assert_eq!(w.holder(item(1)), Some(SELLER.party()));
    }
}
