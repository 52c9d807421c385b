use super::*;
use crate::core::apply::testing::*;
use crate::core::rules::FindingKind::*;
use crate::core::wire::StandingWord;

fn three_items() -> World {
    let mut w = World::new();
    w.ok(MAKER, &[item(1), item(2), item(3)], say::commission());
    w
}

#[test]
fn given_stale_units_when_their_holder_acts_then_the_conflict_lists_every_one() {
    let mut w = three_items();
    let late = w.draft(MAKER, &[item(1), item(2), item(3)], say::scan());
    w.ok(MAKER, &[item(1)], say::scan());
    w.ok(MAKER, &[item(3)], say::scan());
    let refusal = w.submit(&late).unwrap_err();
    assert_eq!(refusal.reason, Reason::Conflict);
    let heads = [(item(1), w.head(item(1))), (item(3), w.head(item(3)))];
    assert_eq!(refusal.heads, heads);
    w.ok(MAKER, &[item(1), item(2), item(3)], say::scan());
}

#[test]
fn given_two_records_race_for_one_head_when_both_arrive_then_the_second_conflicts() {
    let mut w = three_items();
    let first = w.draft(MAKER, &[item(1)], say::handover(COURIER));
    let second = w.draft(MAKER, &[item(1)], say::handover(SELLER));
    w.clean(&first);
    assert_eq!(w.refused(&second), Reason::Conflict);
    let forgot_prev = w.draft(MAKER, &[item(1)], say::scan()).prev(item(1), None);
    assert_eq!(w.refused(&forgot_prev), Reason::Conflict);
}

#[test]
fn given_a_stale_record_when_its_signer_was_never_entitled_then_it_is_evidence_not_a_conflict() {
    let mut w = three_items();
    let stranger = w.draft(DISTRIBUTOR, &[item(1)], say::scan());
    w.ok(MAKER, &[item(1)], say::scan());
    w.beside(&stranger, NotHolder);
    let nowhere = Some(RecordId([7; 32]));
    let invented = w
        .draft(RIVAL, &[item(1)], say::scan())
        .prev(item(1), nowhere);
    w.beside(&invented, NotHolder);
}

#[test]
fn given_a_stale_record_when_its_signer_held_the_unit_then_it_conflicts() {
    let mut w = three_items();
    let sale = w.draft(MAKER, &[item(1)], say::handover(SELLER));
    w.pass(&[item(1)], MAKER, COURIER);
    assert_eq!(w.refused(&sale), Reason::Conflict);
    // Signed again at the new head, it is what it looks like.
    w.beside(
        &w.draft(MAKER, &[item(1)], say::handover(SELLER)),
        NotHolder,
    );
}

#[test]
fn given_the_handover_has_not_arrived_when_it_is_accepted_then_prev_is_unknown_and_a_retry_joins() {
    let mut w = three_items();
    let handover = w.draft(MAKER, &[item(1)], say::handover(COURIER));
    let accept = w
        .draft(COURIER, &[item(1)], say::accept())
        .prev(item(1), Some(handover.id()));
    let refusal = w.submit(&accept).unwrap_err();
    assert_eq!(refusal.reason, Reason::PrevUnknown);
    assert!(refusal.reason.is_transient());
    assert_eq!(refusal.field, "units[0].prev");
    assert_eq!(w.findings(item(1)), []);
    w.clean(&handover);
    w.clean(&accept);
}

#[test]
fn given_the_holder_was_offline_when_its_second_record_comes_first_then_prev_is_unknown() {
    let mut w = three_items();
    let first = w.draft(MAKER, &[item(1)], say::scan());
    let second = w.draft(MAKER, &[item(1)], say::handover(COURIER));
    let second = second.prev(item(1), Some(first.id()));
    assert_eq!(w.refused(&second), Reason::PrevUnknown);
    w.clean(&first);
    w.clean(&second);
}

#[test]
fn given_the_prev_of_another_unit_when_the_holder_acts_then_the_field_is_wrong() {
    let mut w = three_items();
    w.ok(MAKER, &[item(2)], say::scan());
    let mixed_up = w
        .draft(MAKER, &[item(1)], say::scan())
        .prev(item(1), w.head(item(2)));
    let refusal = w.submit(&mixed_up).unwrap_err();
    assert_eq!(
        (refusal.reason, refusal.field.as_str()),
        (Reason::PrevNotInChain, "units[0].prev")
    );
}

/// The courier held the item from minute 10 to minute 70 after some moment.
fn passed_through_the_courier() -> (World, u64) {
    let mut w = three_items();
    w.now += DAY;
    let start = w.now;
    w.ok(MAKER, &[item(1)], say::handover(COURIER));
    w.clean(
        &w.draft(COURIER, &[item(1)], say::accept())
            .on(start + 10 * MINUTE),
    );
    w.now = start + 65 * MINUTE;
    w.ok(COURIER, &[item(1)], say::handover(SELLER));
    w.clean(
        &w.draft(SELLER, &[item(1)], say::accept())
            .on(start + 70 * MINUTE),
    );
    w.now = start + DAY;
    (w, start)
}

#[test]
fn given_a_former_holder_when_its_scans_come_late_then_they_are_beside_without_a_finding() {
    // Its tenure, and the tolerance of ten minutes on both sides.
    for minute in [0, 10, 40, 70, 80] {
        let (mut w, start) = passed_through_the_courier();
        let head = w.head(item(1));
        let scan = w
            .draft(COURIER, &[item(1)], say::scan())
            .on(start + minute * MINUTE);
        let applied = w.submit(&scan).unwrap();
        assert_eq!(
            (applied.verdict.findings, applied.verdict.beside),
            (vec![], vec![0, 1])
        );
        assert_eq!(w.head(item(1)), head);
        assert_eq!(w.word(item(1)), StandingWord::Consistent);
    }
}

#[test]
fn given_a_former_holder_when_it_scans_outside_of_its_tenure_then_it_is_a_break() {
    for off_by_one in [-1, 80 * MINUTE as i64 + 1] {
        let (mut w, start) = passed_through_the_courier();
        let scan = w.draft(COURIER, &[item(1)], say::scan());
        w.beside(&scan.on(start.saturating_add_signed(off_by_one)), NotHolder);
    }
}

#[test]
fn given_a_former_holder_when_it_does_more_than_scan_then_lateness_is_no_excuse() {
    let (mut w, start) = passed_through_the_courier();
    let handover = w.draft(COURIER, &[item(1)], say::handover(COURIER_2));
    w.beside(&handover.on(start + 40 * MINUTE), NotHolder);
}

/// An item in a parcel that the maker gave to the courier.
fn packed_with_the_courier() -> World {
    let mut w = three_items();
    w.ok(MAKER, &[parcel(1)], say::commission());
    w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
    w.now += HOUR;
    w.pass(&[parcel(1)], MAKER, COURIER);
    w
}

#[test]
fn given_a_packed_unit_when_it_went_away_in_its_container_then_the_packers_tenure_has_ended() {
    let mut w = packed_with_the_courier();
    let left = w.now - MINUTE;
    w.now += HOUR;
    w.logged(
        &w.draft(MAKER, &[item(1)], say::scan())
            .on(left + 10 * MINUTE),
    );
    assert_eq!(w.findings(item(1)), []);
    w.beside(
        &w.draft(MAKER, &[item(1)], say::scan())
            .on(left + 10 * MINUTE + 1),
        NotHolder,
    );
}

#[test]
fn given_a_packed_unit_when_its_container_is_left_out_or_old_then_it_conflicts_with_both_heads() {
    let mut w = packed_with_the_courier();
    let old_container = w.draft(COURIER, &[item(1)], say::scan());
    w.ok(COURIER, &[parcel(1)], say::scan());
    let heads = vec![(item(1), w.head(item(1))), (parcel(1), w.head(parcel(1)))];
    let no_container = w
        .draft(COURIER, &[item(1)], say::scan())
        .without_containers();
    for stale in [old_container, no_container] {
        let refusal = w.submit(&stale).unwrap_err();
        assert_eq!((refusal.reason, &refusal.heads), (Reason::Conflict, &heads));
    }
    w.ok(COURIER, &[item(1)], say::scan());
}

#[test]
fn given_a_container_that_moved_on_when_its_last_holder_acts_on_what_is_inside_then_it_conflicts() {
    let mut w = packed_with_the_courier();
    let unpack = w.draft(COURIER, &[item(1)], say::unpack(parcel(1)));
    w.pass(&[parcel(1)], COURIER, SELLER);
    assert_eq!(w.refused(&unpack), Reason::Conflict);
    w.ok(SELLER, &[item(1)], say::unpack(parcel(1)));
}

#[test]
fn given_a_packed_unit_when_a_stranger_leaves_out_the_container_then_it_is_evidence() {
    let mut w = packed_with_the_courier();
    let scan = w
        .draft(DISTRIBUTOR, &[item(1)], say::scan())
        .without_containers();
    w.beside(&scan, NotHolder);
}

#[test]
fn given_a_state_that_does_not_allow_it_when_the_holder_errs_then_it_is_refused_without_a_finding()
{
    let mut w = three_items();
    w.ok(MAKER, &[parcel(1)], say::commission());
    w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
    w.ok(MAKER, &[item(2)], say::handover(COURIER));
    for (unit, body) in [
        (item(2), say::handover(SELLER)),
        (item(2), say::pack(parcel(1))),
        (item(3), say::handover(MAKER)),
        (item(3), say::void()),
        (item(3), say::release()),
        (item(3), say::take_back()),
        (parcel(1), say::destroy()),
        (
            parcel(1),
            say::transform(&[item(9)], crate::core::wire::Attributes::default()),
        ),
    ] {
        let draft = w.draft(
            if body == say::take_back() {
                SELLER
            } else {
                MAKER
            },
            &[unit],
            body,
        );
        assert_eq!(
            w.refused(&draft),
            Reason::FailedPrecondition,
            "{:?}",
            draft.record.body
        );
    }
    assert_eq!(w.state.findings.len(), 0);
}

#[test]
fn given_goods_on_their_way_when_the_buyer_confirms_too_early_then_it_is_refused() {
    let mut w = three_items();
    w.pass(&[item(1)], MAKER, SELLER);
    let means = crate::core::wire::Means::Road;
    w.ok(SELLER, &[item(1)], say::ship(COURIER, BUYER, 1, means));
    let early = w.draft(BUYER, &[item(1)], say::confirm(&[]));
    assert_eq!(w.refused(&early), Reason::FailedPrecondition);
}
