//! PACKED_TWICE: a unit is packed while it is in a container.

use super::{Break, Case, Target};
use crate::core::record::Kind;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    if case.kind() == Kind::Pack && case.target == Target::Unit && !case.around.is_empty() {
        return Break::by([case.state.packed_at]);
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::PackedTwice;
    use crate::core::tlog::LogIndex;

    fn packed() -> (World, LogIndex) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1), item(2)], say::commission());
        w.ok(MAKER, &[parcel(1), parcel(2)], say::commission());
        let packed = w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w.ok(MAKER, &[item(1)], say::scan());
        (w, packed)
    }

    #[test]
    fn given_a_packed_unit_when_it_is_packed_again_then_it_is_a_break() {
        for container in [parcel(1), parcel(2)] {
            let (mut w, packed) = packed();
            let found = w.beside(
                &w.draft(MAKER, &[item(1)], say::pack(container)),
                PackedTwice,
            );
            assert_eq!(found.evidence, [packed]);
        }
    }

    #[test]
    fn given_one_packed_and_one_loose_when_both_are_packed_then_the_loose_one_goes_in() {
        let (mut w, _) = packed();
        w.logged(&w.draft(MAKER, &[item(1), item(2)], say::pack(parcel(2))));
        assert_eq!(w.findings(item(1)), [(PackedTwice, false)]);
        assert_eq!(w.unit(item(1)).container, Some(parcel(1)));
        assert_eq!(w.unit(item(2)).container, Some(parcel(2)));
    }

    #[test]
    fn given_it_was_unpacked_when_it_is_packed_again_then_it_is_no_break() {
        let (mut w, _) = packed();
        w.ok(MAKER, &[item(1)], say::unpack(parcel(1)));
        w.ok(MAKER, &[item(1)], say::pack(parcel(2)));
    }

    #[test]
    fn given_a_container_in_a_container_when_a_loose_unit_goes_into_it_then_it_is_no_break() {
        let (mut w, _) = packed();
        w.ok(MAKER, &[parcel(1)], say::pack(parcel(2)));
        w.ok(MAKER, &[item(2)], say::pack(parcel(1)));
        assert_eq!(w.unit(item(2)).container, Some(parcel(1)));
        assert_eq!(w.unit(parcel(2)).height, 2);
    }
}
