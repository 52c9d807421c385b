//! MOVED_AFTER_VOID: the receiver of an offer accepts it after it was withdrawn.

use super::{Break, Case};
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let voided = case.state.voided.as_ref()?;
    if case.kind() == Kind::Accept
        && case.state.offer.is_none()
        && Some(voided.to) == case.party()
        && !case.signer_holds()
    {
        return Break::by([voided.index, case.state.last_index]);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::refusal::Reason;
    use crate::core::rules::FindingKind::{AcceptWithoutHandover, MovedAfterVoid};
    use crate::core::tlog::LogIndex;

    fn voided() -> (World, LogIndex, LogIndex) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        let offered = w.ok(MAKER, &[item(1)], say::handover(COURIER));
        let voided = w.ok(MAKER, &[item(1)], say::void());
        (w, offered, voided)
    }

    #[test]
    fn given_a_withdrawn_offer_when_its_receiver_accepts_then_it_is_a_break() {
        let (mut w, offered, voided) = voided();
        let found = w.beside(&w.draft(COURIER, &[item(1)], say::accept()), MovedAfterVoid);
        assert_eq!(found.evidence, [offered, voided]);
    }

    #[test]
    fn given_a_withdrawn_offer_when_somebody_else_accepts_then_it_is_another_break() {
        let (mut w, ..) = voided();
        w.beside(
            &w.draft(COURIER_2, &[item(1)], say::accept()),
            AcceptWithoutHandover,
        );
    }

    #[test]
    fn given_the_offer_is_made_again_when_its_receiver_accepts_then_it_is_no_break() {
        let (mut w, ..) = voided();
        w.pass(&[item(1)], MAKER, COURIER);
    }

    #[test]
    fn given_the_accept_was_signed_before_the_withdrawal_when_it_arrives_then_it_conflicts() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::handover(COURIER));
        let accept = w.draft(COURIER, &[item(1)], say::accept());
        w.ok(MAKER, &[item(1)], say::void());
        assert_eq!(w.refused(&accept), Reason::Conflict);
    }
}
