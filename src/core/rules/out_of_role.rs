//! OUT_OF_ROLE: the signer's role does not allow this kind of record.
//! The roles are those that a regulator approved; a buyer key has one role, the buyer's.

use super::{Break, Case};
use crate::core::id::UnitId;
use crate::core::record::{Body, Kind, Role};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let allowed = match case.party() {
        None => matches!(case.kind(), Kind::Confirm | Kind::Reject),
        Some(_) => case.roles.iter().any(|role| allows(*role, case)),
    };
    if allowed { None } else { Break::by([]) }
}

fn names_buyer(case: &Case<'_>) -> bool {
    matches!(case.record.body, Body::Deliver { buyer: Some(_) })
}

fn allows(role: Role, case: &Case<'_>) -> bool {
    use Role::{Courier, Distributor, Inspector, Maker, Regulator, Seller};
    let trade = role.is_trade();
    match case.kind() {
        Kind::Commission => match case.unit {
            UnitId::Sgtin(_) | UnitId::DrugCode(_) => role == Maker,
            UnitId::Sscc(_) => trade,
            UnitId::Waybill(_) => role == Courier,
        },
        Kind::Inspect => matches!(role, Inspector | Regulator),
        Kind::Transform => matches!(role, Maker | Distributor),
        // Over the counter sells a shop; a courier delivers to whom the seller named.
        Kind::Deliver => role == Seller || (role == Courier && names_buyer(case)),
        Kind::Hold | Kind::Release | Kind::Recall => matches!(role, Maker | Regulator),
        Kind::Confirm | Kind::Reject => false,
        Kind::Correct => true,
        _ => trade,
    }
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::OutOfRole;
    use crate::core::wire;

    #[test]
    fn given_the_wrong_role_when_a_party_signs_then_it_is_a_break_without_evidence() {
        for (who, unit, body) in [
            (COURIER, item(2), say::commission()),
            (SELLER, item(2), say::commission()),
            (MAKER, waybill(1), say::commission()),
            (INSPECTOR, parcel(1), say::commission()),
            (MAKER, item(1), say::inspect()),
            (INSPECTOR, item(1), say::scan()),
            (BANK, item(1), say::scan()),
            (REGULATOR, item(1), say::accept()),
            (
                COURIER,
                item(1),
                say::transform(&[item(2)], wire::Attributes::default()),
            ),
            (MAKER, item(1), say::sell_over_the_counter()),
            (DISTRIBUTOR, item(1), say::sell_over_the_counter()),
            (COURIER, item(1), say::hold()),
            (SELLER, item(1), say::recall()),
            (MAKER, item(1), say::confirm(&[])),
            (MAKER, item(1), say::reject()),
        ] {
            let mut w = World::new();
            w.ok(MAKER, &[item(1)], say::commission());
            let found = w.beside(&w.draft(who, &[unit], body), OutOfRole);
            assert_eq!(found.evidence, []);
        }
    }

    #[test]
    fn given_a_buyer_key_when_it_does_more_than_confirm_or_reject_then_it_is_a_break() {
        for (body, allowed) in [
            (say::scan(), false),
            (say::sell_over_the_counter(), false),
            (say::take_back(), false),
            (say::confirm(&[]), true),
            (say::reject(), true),
        ] {
            let mut w = World::new();
            w.ok(MAKER, &[item(1)], say::commission());
            w.sold(item(1), BUYER);
            let draft = w.draft(BUYER, &[item(1)], body);
            if allowed {
                w.clean(&draft);
            } else {
                w.beside(&draft, OutOfRole);
            }
        }
    }

    #[test]
    fn given_the_right_role_when_a_party_signs_then_it_is_no_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.ok(COURIER, &[waybill(1)], say::commission());
        w.ok(INSPECTOR, &[item(1)], say::inspect());
        w.ok(REGULATOR, &[item(1)], say::inspect());
        w.pass(&[item(1)], MAKER, COURIER);
        w.pass(&[item(1)], COURIER, SELLER);
        w.ok(SELLER, &[item(1)], say::sell_over_the_counter());
    }

    #[test]
    fn given_a_courier_when_it_delivers_to_nobody_named_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, COURIER);
        let sale = w.draft(COURIER, &[item(1)], say::sell_over_the_counter());
        w.beside(&sale, OutOfRole);
    }
}
