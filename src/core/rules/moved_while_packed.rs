//! MOVED_WHILE_PACKED: a unit moves on its own while it is in a container.

use super::{Break, Case, Target};
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    let moves = matches!(
        case.kind(),
        Kind::Handover
            | Kind::Void
            | Kind::Accept
            | Kind::Refuse
            | Kind::Deliver
            | Kind::Transform
            | Kind::Destroy
    );
    if moves && case.target == Target::Unit && !case.around.is_empty() {
        return Break::by([case.state.packed_at]);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::MovedWhilePacked;
    use crate::core::tlog::LogIndex;
    use crate::core::wire;

    fn packed() -> (World, LogIndex) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[parcel(1)], say::commission());
        let packed = w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w.ok(MAKER, &[item(1)], say::scan());
        (w, packed)
    }

    #[test]
    fn given_a_packed_unit_when_it_moves_on_its_own_then_it_is_a_break() {
        for body in [
            say::handover(COURIER),
            say::void(),
            say::accept(),
            say::refuse(),
            say::transform(&[item(2)], wire::Attributes::default()),
            say::destroy(),
        ] {
            let (mut w, packed) = packed();
            let found = w.beside(&w.draft(MAKER, &[item(1)], body), MovedWhilePacked);
            assert_eq!(found.evidence, [packed]);
        }
    }

    #[test]
    fn given_a_packed_unit_when_the_holder_of_its_container_sells_it_then_it_is_a_break() {
        let (mut w, packed) = packed();
        w.pass(&[parcel(1)], MAKER, SELLER);
        let sale = w.draft(SELLER, &[item(1)], say::sell_over_the_counter());
        assert_eq!(w.beside(&sale, MovedWhilePacked).evidence, [packed]);
    }

    #[test]
    fn given_a_packed_unit_when_it_is_seen_or_its_container_moves_then_it_is_no_break() {
        let (mut w, _) = packed();
        w.ok(MAKER, &[item(1)], say::scan());
        w.pass(&[parcel(1)], MAKER, COURIER);
        w.ok(COURIER, &[item(1)], say::unpack(parcel(1)));
        w.pass(&[item(1)], COURIER, SELLER);
    }
}
