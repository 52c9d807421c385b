//! OUT_OF_ROLE: the signer's role does not allow this kind of record.
//! The roles are those that a regulator approved; a buyer key has one role, the buyer's.

use super::{Break, Case};
use crate::core::id::UnitId;
use crate::core::record::{Kind, Role};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let allowed = match case.party() {
        None => matches!(case.kind(), Kind::Confirm | Kind::Reject),
        Some(_) => case.roles.iter().any(|role| allows(*role, case)),
    };
    if allowed { None } else { Break::by([]) }
}

fn allows(role: Role, case: &Case<'_>) -> bool {
    use Role::{Courier, Distributor, Inspector, Maker, Regulator, Seller};
    let trade = matches!(role, Maker | Distributor | Seller | Courier);
    match case.kind() {
        Kind::Commission => match case.unit {
            UnitId::Sgtin(_) | UnitId::DrugCode(_) => role == Maker,
            UnitId::Sscc(_) => trade,
            UnitId::Waybill(_) => role == Courier,
        },
        Kind::Inspect => matches!(role, Inspector | Regulator),
        Kind::Transform => matches!(role, Maker | Distributor),
        Kind::Deliver => matches!(role, Courier | Seller),
        Kind::Hold | Kind::Release | Kind::Recall => matches!(role, Maker | Regulator),
        Kind::Confirm | Kind::Reject => false,
        Kind::Correct => true,
        _ => trade,
    }
}
