//! CONTENT_MISMATCH: a unit is taken out of a container that it is not in, or a buyer confirms
//! other contents than the record shows.

use super::{Break, Case, Target};
use crate::core::record::Body;

pub(super) fn check(case: &Case<'_>) -> Option<Break> {
    match &case.record.body {
        Body::Unpack { container }
            if case.target == Target::Unit
                && case.state.container.as_ref() != Some(&container.id) =>
        {
            Break::by([case.state.last_index])
        }
        Body::Confirm { .. } if case.confirm_mismatch => Break::by([case.state.last_index]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind::ContentMismatch;
    use crate::core::tlog::LogIndex;

    /// A parcel with two items, delivered to the buyer.
    fn delivered_parcel() -> (World, LogIndex) {
        let mut w = World::new();
        w.ok(MAKER, &[item(1), item(2), item(3)], say::commission());
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.ok(MAKER, &[item(1), item(2)], say::pack(parcel(1)));
        let delivered = w.sold(parcel(1), BUYER);
        (w, delivered)
    }

    #[test]
    fn given_a_unit_in_another_container_when_it_is_unpacked_then_it_is_a_break() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.ok(MAKER, &[parcel(1), parcel(2)], say::commission());
        let packed = w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        let found = w.beside(
            &w.draft(MAKER, &[item(1)], say::unpack(parcel(2))),
            ContentMismatch,
        );
        assert_eq!(found.evidence, [packed]);
    }

    #[test]
    fn given_one_of_two_inside_when_both_are_unpacked_then_that_one_alone_leaves() {
        let mut w = World::new();
        w.ok(MAKER, &[item(1), item(2)], say::commission());
        w.ok(MAKER, &[parcel(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w.logged(&w.draft(MAKER, &[item(1), item(2)], say::unpack(parcel(1))));
        assert_eq!(w.findings(item(1)), []);
        assert_eq!(w.findings(item(2)), [(ContentMismatch, false)]);
        assert_eq!(
            (w.unit(item(1)).container, w.unit(parcel(1)).contents),
            (None, 0)
        );
    }

    #[test]
    fn given_other_contents_on_record_when_the_buyer_confirms_a_list_then_it_is_a_break() {
        for listed in [
            vec![item(1)],
            vec![item(1), item(3)],
            vec![item(1), item(2), item(3)],
        ] {
            let (mut w, delivered) = delivered_parcel();
            let draft = w.draft(BUYER, &[parcel(1)], say::confirm(&listed));
            let found = w.beside(&draft, ContentMismatch);
            assert_eq!(found.evidence, [delivered], "{listed:?}");
        }
    }

    #[test]
    fn given_the_contents_on_record_when_the_buyer_confirms_all_or_lists_none_then_it_joins() {
        for listed in [vec![], vec![item(2), item(1)]] {
            let (mut w, _) = delivered_parcel();
            w.ok(BUYER, &[parcel(1)], say::confirm(&listed));
        }
    }
}
