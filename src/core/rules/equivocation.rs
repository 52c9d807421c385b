//! EQUIVOCATION: two envelopes of one key name one `prev` for one unit and say different things.
//!
//! No single record shows it: it is proven by a ReportEquivocation that carries both envelopes, so
//! `apply` raises it itself and there is nothing to ask of a case.

use super::{Break, Case};

pub(super) fn check(_: &Case<'_>) -> Option<Break> {
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::refusal::Reason;
    use crate::core::rules::FindingKind::Equivocation;
    use crate::core::wire;

    /// The courier holds the item and signs two stories about what comes next.
    fn two_stories(by: Who) -> (World, Draft, Draft) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, COURIER);
        let first = w.draft(by, &[item(1)], say::handover(SELLER));
        let second = w.draft(by, &[item(1)], say::handover(COURIER_2));
        (w, first, second)
    }

    #[test]
    fn given_two_stories_by_an_entitled_key_when_reported_then_the_chain_is_broken() {
        let (mut w, first, second) = two_stories(COURIER);
        let logged = w.clean(&first);
        w.logged(&w.report(BANK, &first, &second));
        assert_eq!(w.findings(item(1)), [(Equivocation, false)]);
        assert_eq!(w.state.findings[&1].evidence, [logged]);
        assert_eq!(w.state.findings[&1].signer.party(), Some(COURIER.party()));
        assert_eq!(w.word(item(1)), wire::StandingWord::Broken);
        assert_eq!(w.head(item(1)), Some(first.id()), "a report moves nothing");
    }

    #[test]
    fn given_two_stories_when_reported_twice_then_the_second_report_is_refused() {
        let (mut w, first, second) = two_stories(COURIER);
        w.logged(&w.report(BANK, &first, &second));
        assert_eq!(
            w.refused(&w.report(SELLER, &second, &first)),
            Reason::AlreadyExists
        );
    }

    #[test]
    fn given_two_stories_by_a_stranger_when_reported_then_they_count_against_the_stranger_alone() {
        let (mut w, first, second) = two_stories(RIVAL);
        w.logged(&w.report(BANK, &first, &second));
        assert_eq!(w.findings(item(1)), []);
        let row = &w.state.findings[&1];
        assert_eq!((row.kind, row.unit), (Equivocation, None));
        assert_eq!(row.signer.party(), Some(RIVAL.party()));
        assert_eq!(w.word(item(1)), wire::StandingWord::InTransit);
    }

    #[test]
    fn given_one_statement_that_was_rebased_when_reported_then_it_is_refused() {
        let (mut w, first, _) = two_stories(COURIER);
        let rebased = first.clone().prev(item(1), None);
        assert_eq!(
            w.refused(&w.report(BANK, &first, &rebased)),
            Reason::InvalidField
        );
        assert_eq!(
            w.refused(&w.report(BANK, &first, &first)),
            Reason::InvalidField
        );
    }

    #[test]
    fn given_stories_by_two_keys_or_about_two_moments_when_reported_then_it_is_refused() {
        let (mut w, first, mut second) = two_stories(COURIER);
        let by_another = w.draft(COURIER_2, &[item(1)], say::handover(SELLER));
        assert_eq!(
            w.refused(&w.report(BANK, &first, &by_another)),
            Reason::InvalidField
        );
        w.clean(&first);
        second = w.draft(COURIER, &[item(1)], second.record.body.unwrap());
        assert_eq!(
            w.refused(&w.report(BANK, &first, &second)),
            Reason::InvalidField
        );
    }

    #[test]
    fn given_a_forged_story_when_reported_then_it_is_refused() {
        let (mut w, first, second) = two_stories(COURIER);
        let forged = Draft {
            by: RIVAL,
            ..second
        };
        assert_eq!(
            w.refused(&w.report(RIVAL, &first, &forged)),
            Reason::BadSignature
        );
        let mut elsewhere = forged.record.clone();
        elsewhere.origin = "another.test".into();
        let elsewhere = Draft {
            by: COURIER,
            record: elsewhere,
        };
        assert_eq!(
            w.refused(&w.report(RIVAL, &first, &elsewhere)),
            Reason::BadSignature
        );
    }
}
