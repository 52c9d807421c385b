//! NOT_GTIN_OWNER: units are commissioned, held or recalled by somebody who does not give out
//! their identifier. A regulator may hold, release and recall anything.

use super::{Break, Case};
use crate::core::record::{Kind, Role};

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let stops = matches!(case.kind(), Kind::Hold | Kind::Release | Kind::Recall);
    let needs_owner = case.creates() || (stops && !case.roles.contains(&Role::Regulator));
    let is_maker = stops && case.state.maker.is_some() && case.state.maker == case.party();
    if needs_owner && !case.owns_identifier && !is_maker {
        return Break::by(case.state.commissioned_at);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::NotGtinOwner;
    use crate::core::wire;

    #[test]
    fn given_a_code_of_another_when_it_is_given_out_then_it_is_a_break() {
        let mut w = World::new();
        let found = w.beside(&w.draft(RIVAL, &[item(1)], say::commission()), NotGtinOwner);
        assert_eq!(found.evidence, []);
        assert_eq!(w.unit(item(1)).maker, None);
        let made = w.ok(MAKER, &[item(1)], say::commission());
        w.now += DAY;
        let found = w.beside(&w.draft(RIVAL, &[item(1)], say::commission()), NotGtinOwner);
        assert_eq!(found.evidence, [made]);
    }

    #[test]
    fn given_goods_of_another_when_they_are_transformed_into_its_code_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, RIVAL);
        let body = say::transform(&[item(2)], wire::Attributes::default());
        w.beside(&w.draft(RIVAL, &[item(1)], body), NotGtinOwner);
    }

    #[test]
    fn given_goods_of_another_when_they_are_held_released_or_recalled_then_it_is_a_break() {
        for body in [say::hold(), say::release(), say::recall()] {
            let mut w = World::new();
            let made = w.ok(MAKER, &[item(1)], say::commission());
            let found = w.beside(&w.draft(RIVAL, &[item(1)], body), NotGtinOwner);
            assert_eq!(found.evidence, [made]);
        }
    }

    #[test]
    fn given_own_goods_or_a_regulator_when_they_are_held_and_released_then_it_is_no_break() {
        for who in [MAKER, REGULATOR] {
            let mut w = World::new();
            w.ok(MAKER, &[item(1)], say::commission());
            w.pass(&[item(1)], MAKER, SELLER);
            w.ok(who, &[item(1)], say::hold());
            w.ok(who, &[item(1)], say::release());
            w.ok(who, &[item(1)], say::recall());
        }
    }

    #[test]
    fn given_a_product_under_a_prefix_when_it_goes_to_another_firm_then_the_longer_scope_counts() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.owns(
            RIVAL,
            wire::product_scope::Scope::Gtin("09521141012345".into()),
        );
        w.ok(RIVAL, &[item(2)], say::commission());
        w.beside(&w.draft(MAKER, &[item(3)], say::commission()), NotGtinOwner);
        w.ok(MAKER, &[other_item(1)], say::commission());
        // Who made a unit may still call it back.
        w.ok(MAKER, &[item(1)], say::recall());
    }
}
