//! ACCEPT_WITHOUT_HANDOVER: a party takes goods that nobody offered.

use super::{Break, Case};
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if matches!(case.kind(), Kind::Accept | Kind::Refuse) && case.state.offer.is_none() {
        return Break::by([case.state.last_index]);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::AcceptWithoutHandover;

    #[test]
    fn given_no_offer_when_a_party_accepts_or_refuses_then_it_is_a_break() {
        for body in [say::accept(), say::refuse()] {
            let mut w = World::new();
            let made = w.ok(MAKER, &[item(1)], say::commission());
            let found = w.beside(&w.draft(COURIER, &[item(1)], body), AcceptWithoutHandover);
            assert_eq!(found.evidence, [made]);
            assert_eq!(w.holder(item(1)), Some(MAKER.party()));
        }
    }

    #[test]
    fn given_an_offer_that_was_refused_when_it_is_accepted_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::handover(COURIER));
        let refused = w.ok(COURIER, &[item(1)], say::refuse());
        let found = w.beside(
            &w.draft(COURIER, &[item(1)], say::accept()),
            AcceptWithoutHandover,
        );
        assert_eq!(found.evidence, [refused]);
    }

    #[test]
    fn given_an_offer_when_the_named_party_accepts_then_it_holds_the_unit() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, COURIER);
        assert_eq!(w.holder(item(1)), Some(COURIER.party()));
    }
}
