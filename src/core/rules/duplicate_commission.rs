//! DUPLICATE_COMMISSION: the owner of the identifier gives it out again.
//! Only owners get this far (see `not_gtin_owner`), so two of them prove that the chain is broken.

use super::{Break, Case};
use crate::core::apply::state::Life;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if case.creates() && case.owns_identifier && case.state.life != Life::Uncommissioned {
        return Break::by(case.state.commissioned_at);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::DuplicateCommission;
    use crate::core::wire;

    #[test]
    fn given_a_unit_when_its_owner_commissions_it_again_then_it_is_a_break() {
        let mut w = World::new();
        let made = w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, COURIER);
        let found = w.beside(
            &w.draft(MAKER, &[item(1)], say::commission()),
            DuplicateCommission,
        );
        assert_eq!(found.evidence, [made]);
        assert_eq!(w.holder(item(1)), Some(COURIER.party()));
    }

    #[test]
    fn given_a_destroyed_unit_when_its_code_is_given_out_again_then_it_is_a_break() {
        let mut w = World::new();
        let made = w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::destroy());
        let found = w.beside(
            &w.draft(MAKER, &[item(1)], say::commission()),
            DuplicateCommission,
        );
        assert_eq!(found.evidence, [made]);
    }

    #[test]
    fn given_a_unit_when_a_transform_puts_it_out_again_then_nothing_is_transformed() {
        let mut w = World::new();
        let made = w.ok(MAKER, &[item(1), item(2)], say::commission());
        let body = say::transform(&[item(3), item(1)], wire::Attributes::default());
        let found = w.beside(&w.draft(MAKER, &[item(2)], body), DuplicateCommission);
        assert_eq!(found.evidence, [made]);
        assert_eq!(w.head(item(3)), None);
    }

    #[test]
    fn given_one_old_and_one_new_code_when_commissioned_then_the_new_one_begins() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.logged(&w.draft(MAKER, &[item(1), item(2)], say::commission()));
        assert_eq!(w.findings(item(1)), [(DuplicateCommission, false)]);
        assert_eq!(w.findings(item(2)), []);
        assert_eq!(w.holder(item(2)), Some(MAKER.party()));
    }
}
