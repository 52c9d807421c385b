//! NEVER_COMMISSIONED: a record about a unit that no maker has registered.

use super::{Break, Case};
use crate::core::apply::state::Life;
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if !case.creates() && case.state.life == Life::Uncommissioned && case.kind() != Kind::Correct {
        return Break::by([]);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::state::FindingStatus;
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::{NeverCommissioned, NotGtinOwner};
    use crate::core::wire;

    #[test]
    fn given_an_unknown_code_when_somebody_acts_on_it_then_it_is_a_break_without_evidence() {
        let mut w = World::new();
        let found = w.beside(
            &w.draft(COURIER, &[item(1)], say::scan()),
            NeverCommissioned,
        );
        assert_eq!(found.evidence, []);
        assert_eq!(w.head(item(1)), None);
        w.beside(&w.draft(MAKER, &[item(2)], say::hold()), NeverCommissioned);
        w.beside(
            &w.draft(SELLER, &[item(3)], say::sell_over_the_counter()),
            NeverCommissioned,
        );
    }

    #[test]
    fn given_a_code_of_a_stranger_when_it_is_used_then_it_is_still_unknown() {
        let mut w = World::new();
        w.beside(&w.draft(RIVAL, &[item(1)], say::commission()), NotGtinOwner);
        w.beside(
            &w.draft(RIVAL, &[item(1)], say::handover(COURIER)),
            NeverCommissioned,
        );
    }

    #[test]
    fn given_the_maker_registered_it_when_it_is_used_then_it_is_no_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::scan());
    }

    #[test]
    fn given_a_scan_before_the_late_commission_when_that_names_it_then_it_is_explained() {
        let mut w = World::new();
        let scan = w.beside(
            &w.draft(COURIER, &[item(1)], say::scan()),
            NeverCommissioned,
        );
        let body = wire::Commission {
            attributes: None,
            explains: vec![scan.index.0],
        };
        let late = w.ok(MAKER, &[item(1)], Body::Commission(body));
        let row = &w.state.findings[&1];
        assert_eq!(
            (row.status, row.closed.map(|at| at.index)),
            (FindingStatus::Explained, Some(late))
        );
        assert_eq!(w.word(item(1)), wire::StandingWord::Consistent);
    }

    #[test]
    fn given_a_scan_of_a_fake_when_a_stranger_commissions_it_then_nothing_is_explained() {
        let mut w = World::new();
        let scan = w.beside(
            &w.draft(COURIER, &[item(1)], say::scan()),
            NeverCommissioned,
        );
        let body = wire::Commission {
            attributes: None,
            explains: vec![scan.index.0],
        };
        let draft = w.draft(RIVAL, &[item(1)], Body::Commission(body));
        w.beside(&draft, NotGtinOwner);
        assert_eq!(w.state.findings[&1].status, FindingStatus::Open);
    }
}
