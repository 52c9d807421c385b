//! SEEN_AFTER_DESTRUCTION: a record about a unit that was destroyed or used up.

use super::{Break, Case};
use crate::core::apply::state::Life;
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let after_life = matches!(
        case.kind(),
        Kind::Correct | Kind::Hold | Kind::Release | Kind::Recall | Kind::Confirm | Kind::Reject
    );
    if case.life() == Life::Ended && !after_life {
        return Break::by([case.outermost().last_index]);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::SeenAfterDestruction;
    use crate::core::tlog::LogIndex;
    use crate::core::wire;

    fn destroyed() -> (World, LogIndex) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        let destroyed = w.ok(MAKER, &[item(1)], say::destroy());
        w.now += HOUR;
        (w, destroyed)
    }

    #[test]
    fn given_a_destroyed_unit_when_it_is_seen_again_then_it_is_a_break() {
        for (who, body) in [
            (MAKER, say::scan()),
            (COURIER, say::accept()),
            (MAKER, say::handover(COURIER)),
            (INSPECTOR, say::inspect()),
            (SELLER, say::take_back()),
        ] {
            let (mut w, destroyed) = destroyed();
            let found = w.beside(&w.draft(who, &[item(1)], body), SeenAfterDestruction);
            assert_eq!(found.evidence, [destroyed]);
        }
    }

    #[test]
    fn given_a_unit_that_was_used_up_when_it_is_seen_again_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        let body = say::transform(&[item(2)], wire::Attributes::default());
        let used_up = w.ok(MAKER, &[item(1)], body);
        let found = w.beside(
            &w.draft(COURIER, &[item(1)], say::scan()),
            SeenAfterDestruction,
        );
        assert_eq!(found.evidence, [used_up]);
    }

    #[test]
    fn given_a_destroyed_unit_when_it_is_recalled_or_a_scan_of_before_comes_late_then_it_is_no_break()
     {
        let (mut w, _) = destroyed();
        w.ok(MAKER, &[item(1)], say::recall());
        let before = BEGIN + 30 * MINUTE;
        w.logged(&w.draft(MAKER, &[item(1)], say::scan()).on(before));
        assert_eq!(w.findings(item(1)), []);
    }
}
