use super::*;
use crate::core::apply::state::Life;
use crate::core::apply::testing::{Body as Says, *};
use crate::core::rules::FindingKind::*;

fn two_items() -> World {
    let mut w = World::new();
    w.ok(MAKER, &[item(1), item(2)], say::commission());
    w
}

/// Says it until the day has enough: evidence is kept, and not found again.
fn repeat(w: &mut World, who: Who, unit: UnitId) {
    for _ in 0..MAX_SILENT_BESIDES {
        let applied = w.submit(&w.draft(who, &[unit], say::scan())).unwrap();
        assert_eq!(applied.verdict.findings, []);
        assert_eq!(applied.verdict.beside, [0, 1]);
    }
    let enough = w.draft(who, &[unit], say::scan());
    assert_eq!(w.refused(&enough), Reason::AlreadyReported);
}

#[test]
fn given_a_beside_record_when_the_same_is_said_again_that_day_then_it_is_not_found_again() {
    let mut w = two_items();
    let scan = |w: &World, who, unit| w.draft(who, &[unit], say::scan());
    w.beside(&scan(&w, DISTRIBUTOR, item(1)), NotHolder);
    repeat(&mut w, DISTRIBUTOR, item(1));
    // Another kind of finding, another unit, another party, another day.
    w.beside(
        &w.draft(DISTRIBUTOR, &[item(1)], say::accept()),
        AcceptWithoutHandover,
    );
    w.beside(&scan(&w, DISTRIBUTOR, item(2)), NotHolder);
    w.beside(&scan(&w, RIVAL, item(1)), NotHolder);
    w.now = (w.now / DAY + 1) * DAY - 1;
    let same_day = scan(&w, DISTRIBUTOR, item(1));
    assert_eq!(w.refused(&same_day), Reason::AlreadyReported);
    w.now += 1;
    w.beside(&scan(&w, DISTRIBUTOR, item(1)), NotHolder);
}

#[test]
fn given_a_beside_record_when_a_device_of_the_same_party_repeats_it_then_it_is_not_found_again() {
    let mut w = two_items();
    let device = DISTRIBUTOR.key(60);
    w.clean(&w.delegate(DISTRIBUTOR, device, 0, w.now + DAY));
    w.beside(&w.draft(DISTRIBUTOR, &[item(1)], say::scan()), NotHolder);
    repeat(&mut w, device, item(1));
}

#[test]
fn given_a_beside_record_when_it_is_repeated_among_own_units_then_it_is_not_found_again() {
    let mut w = two_items();
    w.pass(&[item(2)], MAKER, RIVAL);
    for _ in 0..3 {
        w.logged(&w.draft(RIVAL, &[item(1), item(2)], say::scan()));
    }
    assert_eq!(w.findings(item(1)), [(NotHolder, false)]);
    assert_eq!(w.findings(item(2)), []);
    assert_eq!(
        w.unit(item(2)).scans,
        3,
        "the record joins at the rival's own unit"
    );
}

#[test]
fn given_one_bad_unit_among_many_when_judged_then_it_does_not_taint_the_others() {
    let mut w = World::new();
    let units: Vec<UnitId> = (1..=50).map(item).collect();
    w.ok(MAKER, &units, say::commission());
    w.pass(&units[20..21], MAKER, COURIER);
    let applied = w
        .submit(&w.draft(MAKER, &units, say::handover(SELLER)))
        .unwrap();
    assert_eq!(applied.verdict.beside, [20, 1]);
    assert_eq!(applied.verdict.findings.len(), 1);
    assert_eq!(applied.verdict.findings[0].subjects, [20, 1]);
    assert!(w.unit(units[20]).offer.is_none());
    assert!(w.unit(units[21]).offer.is_some());
}

#[test]
fn given_eight_containers_around_when_a_ninth_would_be_then_it_is_refused() {
    let mut w = two_items();
    let parcels: Vec<UnitId> = (1..=9).map(parcel).collect();
    w.ok(MAKER, &parcels, say::commission());
    w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
    for n in 1..8 {
        w.ok(MAKER, &[parcel(n)], say::pack(parcel(n + 1)));
    }
    let ninth = w.draft(MAKER, &[parcel(8)], say::pack(parcel(9)));
    assert_eq!(w.refused(&ninth), Reason::FailedPrecondition);
    w.pass(&[parcel(8)], MAKER, COURIER);
    assert_eq!(w.holder(item(1)), Some(COURIER.party()));
    w.ok(COURIER, &[item(1)], say::scan());
}

#[test]
fn given_a_tower_of_empty_containers_when_one_more_would_go_inside_then_depth_counts_from_there() {
    let mut w = two_items();
    let parcels: Vec<UnitId> = (1..=10).map(parcel).collect();
    w.ok(MAKER, &parcels, say::commission());
    for n in 1..9 {
        w.ok(MAKER, &[parcel(n)], say::pack(parcel(n + 1)));
    }
    // Parcel 1 has eight around it: what went into it would have nine.
    let inside = w.draft(MAKER, &[item(1)], say::pack(parcel(1)));
    assert_eq!(w.refused(&inside), Reason::FailedPrecondition);
    w.ok(MAKER, &[item(1)], say::pack(parcel(2)));
}

#[test]
fn given_a_container_when_what_is_around_it_would_go_inside_then_it_is_refused() {
    let mut w = World::new();
    w.ok(MAKER, &[parcel(1), parcel(2), parcel(3)], say::commission());
    w.ok(MAKER, &[parcel(1)], say::pack(parcel(2)));
    w.ok(MAKER, &[parcel(2)], say::pack(parcel(3)));
    for inner in [parcel(1), parcel(2)] {
        let cycle = w.draft(MAKER, &[parcel(3)], say::pack(inner));
        assert_eq!(w.refused(&cycle), Reason::FailedPrecondition);
    }
    let itself = w.draft(MAKER, &[parcel(3)], say::pack(parcel(3)));
    assert_eq!(w.refused(&itself), Reason::InvalidField);
}

#[test]
fn given_a_pack_without_a_lawful_unit_when_judged_then_the_container_does_not_advance() {
    let mut w = two_items();
    w.ok(MAKER, &[parcel(1)], say::commission());
    w.pass(&[item(1)], MAKER, COURIER);
    let found = w.beside(&w.draft(MAKER, &[item(1)], say::pack(parcel(1))), NotHolder);
    assert_eq!(found.evidence, [w.unit(item(1)).last_index]);
}

#[test]
fn given_one_input_of_another_when_transformed_then_nothing_happens_at_all() {
    let mut w = two_items();
    w.pass(&[item(2)], MAKER, COURIER);
    let body = say::transform(&[item(3)], wire::Attributes::default());
    let applied = w
        .submit(&w.draft(MAKER, &[item(1), item(2)], body))
        .unwrap();
    assert_eq!(applied.verdict.beside, [0, 3]);
    assert_eq!(w.findings(item(2)), [(NotHolder, false)]);
    assert_eq!(
        (w.unit(item(1)).life, w.findings(item(1))),
        (Life::Active, vec![])
    );
    assert_eq!(
        (w.unit(item(3)).life, w.head(item(3))),
        (Life::Uncommissioned, None)
    );
}

#[test]
fn given_own_inputs_when_transformed_then_they_end_and_the_outputs_begin() {
    let mut w = two_items();
    let attributes = wire::Attributes {
        lot: "B".into(),
        ..Default::default()
    };
    w.ok(
        MAKER,
        &[item(1), item(2)],
        say::transform(&[item(3)], attributes),
    );
    assert_eq!(w.unit(item(1)).life, Life::Ended);
    assert_eq!(w.holder(item(3)), Some(MAKER.party()));
    assert_eq!(w.unit(item(3)).attributes.lot.unwrap().to_string(), "B");
}

#[test]
fn given_an_offer_when_it_is_withdrawn_or_refused_then_the_giver_keeps_the_unit() {
    let mut w = two_items();
    w.ok(MAKER, &[item(1), item(2)], say::handover(COURIER));
    w.ok(MAKER, &[item(1)], say::void());
    w.ok(COURIER, &[item(2)], say::refuse());
    for unit in [item(1), item(2)] {
        assert_eq!(
            (w.holder(unit), w.unit(unit).offer),
            (Some(MAKER.party()), None)
        );
        w.pass(&[unit], MAKER, SELLER);
    }
}

#[test]
fn given_an_offer_when_somebody_else_withdraws_it_then_it_stays() {
    let mut w = two_items();
    w.ok(MAKER, &[item(1)], say::handover(COURIER));
    w.beside(&w.draft(SELLER, &[item(1)], say::void()), NotHolder);
    w.ok(COURIER, &[item(1)], say::accept());
}

fn sold_item() -> World {
    let mut w = two_items();
    w.sold(item(1), BUYER);
    w
}

const CONSENT: Consent = Consent {
    origin: ORIGIN,
    to: SELLER,
    signed_by: BUYER,
};

#[test]
fn given_the_buyers_consent_when_the_named_taker_returns_it_then_it_holds_the_unit() {
    let mut w = sold_item();
    w.clean(&w.return_with_consent(SELLER, &[item(1)], &CONSENT));
    assert_eq!(w.holder(item(1)), Some(SELLER.party()));
    assert_eq!(
        (w.unit(item(1)).life, w.unit(item(1)).buyer),
        (Life::Active, None)
    );
    w.ok(SELLER, &[item(1)], say::handover(MAKER));
}

#[test]
fn given_a_consent_that_is_forged_or_for_others_when_returned_then_it_is_refused() {
    for (consent, by, reason) in [
        (
            Consent {
                signed_by: SELLER,
                ..CONSENT
            },
            SELLER,
            Reason::BadSignature,
        ),
        (
            Consent {
                origin: "another.test",
                ..CONSENT
            },
            SELLER,
            Reason::InvalidField,
        ),
        (CONSENT, COURIER, Reason::InvalidField),
        (
            Consent {
                to: COURIER,
                ..CONSENT
            },
            SELLER,
            Reason::InvalidField,
        ),
    ] {
        let mut w = sold_item();
        let draft = w.return_with_consent(by, &[item(1)], &consent);
        assert_eq!(w.refused(&draft), reason);
    }
}

#[test]
fn given_a_consent_for_one_unit_when_two_are_returned_then_it_is_refused() {
    let mut w = sold_item();
    let one = w.return_with_consent(SELLER, &[item(1)], &CONSENT);
    let mut two = w.return_with_consent(SELLER, &[item(1), item(2)], &CONSENT);
    two.record.body = one.record.body;
    assert_eq!(w.refused(&two), Reason::InvalidField);
}

#[test]
fn given_a_consent_that_was_used_when_it_is_used_again_then_it_is_worth_nothing() {
    let mut w = sold_item();
    let first = w.return_with_consent(SELLER, &[item(1)], &CONSENT);
    let mut at_the_old_head = first.clone();
    at_the_old_head.record.nonce = vec![9; 16];
    w.clean(&first);
    assert_eq!(w.refused(&at_the_old_head), Reason::Conflict);
    let mut at_the_new_head = w.draft(SELLER, &[item(1)], say::take_back());
    at_the_new_head.record.body = first.record.body;
    assert_eq!(w.refused(&at_the_new_head), Reason::InvalidField);
}

#[test]
fn given_a_delivered_parcel_when_one_unit_inside_is_returned_then_it_leaves_the_parcel() {
    let mut w = two_items();
    w.ok(MAKER, &[parcel(1)], say::commission());
    w.ok(MAKER, &[item(1), item(2)], say::pack(parcel(1)));
    w.sold(parcel(1), BUYER);
    w.clean(&w.return_with_consent(SELLER, &[item(1)], &CONSENT));
    assert_eq!(w.holder(item(1)), Some(SELLER.party()));
    assert_eq!(
        (w.unit(item(1)).container, w.unit(parcel(1)).contents),
        (None, 1)
    );
    assert_eq!(w.holder(item(2)), None, "the other one is with the buyer");
}

#[test]
fn given_a_mistake_when_its_signer_corrects_it_then_its_finding_is_explained() {
    let mut w = two_items();
    let mistake = w.draft(DISTRIBUTOR, &[item(1)], say::scan());
    w.beside(&mistake, NotHolder);
    assert_eq!(w.word(item(1)), wire::StandingWord::Suspect);
    let head = w.head(item(1));
    let correction = w.logged(&w.draft(DISTRIBUTOR, &[item(1)], say::correct(mistake.id())));
    let row = &w.state.findings[&1];
    assert_eq!(
        (row.status, row.closed.map(|at| at.index)),
        (FindingStatus::Explained, Some(correction))
    );
    assert_eq!(
        (w.word(item(1)), w.head(item(1))),
        (wire::StandingWord::Consistent, head)
    );
}

#[test]
fn given_a_mistake_of_the_holder_when_it_corrects_it_then_the_correction_joins_the_chain() {
    let mut w = two_items();
    let ahead = w.draft(MAKER, &[item(1)], say::scan()).on(w.now + DAY);
    w.flagged(&ahead, TimeInFuture);
    let correction = w.draft(MAKER, &[item(1)], say::correct(ahead.id()));
    w.clean(&correction);
    assert_eq!(w.head(item(1)), Some(correction.id()));
    assert_eq!(w.word(item(1)), wire::StandingWord::Consistent);
}

#[test]
fn given_a_finding_that_only_a_decision_closes_when_corrected_then_it_stays_open() {
    let mut w = two_items();
    let duplicate = w.draft(MAKER, &[item(1)], say::commission());
    w.beside(&duplicate, DuplicateCommission);
    w.logged(&w.draft(MAKER, &[item(1)], say::correct(duplicate.id())));
    assert_eq!(w.state.findings[&1].status, FindingStatus::Open);
    assert_eq!(w.word(item(1)), wire::StandingWord::Broken);
}

#[test]
fn given_a_record_when_another_corrects_it_or_it_is_not_there_then_it_is_refused() {
    let mut w = two_items();
    let mistake = w.draft(DISTRIBUTOR, &[item(1)], say::scan());
    let correct = |w: &World, who, unit| w.draft(who, &[unit], say::correct(mistake.id()));
    let early = correct(&w, DISTRIBUTOR, item(1));
    assert_eq!(w.refused(&early), Reason::NotFound);
    w.beside(&mistake, NotHolder);
    let by_the_holder = correct(&w, MAKER, item(1));
    assert_eq!(w.refused(&by_the_holder), Reason::Unauthorised);
    let elsewhere = correct(&w, DISTRIBUTOR, item(2));
    assert_eq!(w.refused(&elsewhere), Reason::InvalidField);
}

#[test]
fn given_two_early_scans_when_a_late_commission_names_one_then_that_one_alone_is_explained() {
    let mut w = World::new();
    let first = w.beside(
        &w.draft(COURIER, &[item(1)], say::scan()),
        NeverCommissioned,
    );
    w.beside(&w.draft(SELLER, &[item(1)], say::scan()), NeverCommissioned);
    let body = wire::Commission {
        attributes: None,
        explains: vec![first.index.0],
    };
    w.ok(MAKER, &[item(1)], Says::Commission(body));
    let status = |n: u64| w.state.findings[&n].status;
    assert_eq!(
        (status(1), status(2)),
        (FindingStatus::Explained, FindingStatus::Open)
    );
}

fn stop(kind: &str, scope: wire::Scope) -> Says {
    let (scope, reason) = (Some(scope), String::new());
    match kind {
        "hold" => Says::Hold(wire::Hold { scope, reason }),
        "release" => Says::Release(wire::Release { scope, reason }),
        _ => Says::Recall(wire::Recall {
            scope,
            reason,
            notice: String::new(),
        }),
    }
}

#[test]
fn given_a_product_or_lot_when_its_owner_or_a_regulator_stops_it_then_it_is_stopped() {
    for who in [MAKER, REGULATOR] {
        for scope in [say::lot("A"), say::product()] {
            let mut w = World::new();
            let early = w.govern(who, stop("release", scope.clone()));
            assert_eq!(w.refused(&early), Reason::FailedPrecondition);
            w.clean(&w.govern(who, stop("hold", scope.clone())));
            w.clean(&w.govern(who, stop("recall", scope.clone())));
            w.clean(&w.govern(who, stop("release", scope)));
            let row = w.state.goods.values().next().unwrap();
            assert_eq!((row.hold, row.recall, row.log.len()), (None, None, 3));
        }
    }
}

#[test]
fn given_a_product_when_a_stranger_or_a_mere_device_stops_it_then_it_is_refused() {
    let mut w = World::new();
    let device = MAKER.key(60);
    w.clean(&w.delegate(MAKER, device, 0, w.now + DAY));
    for who in [RIVAL, SELLER, device] {
        let draft = w.govern(who, stop("recall", say::product()));
        assert_eq!(w.refused(&draft), Reason::Unauthorised);
    }
}

#[test]
fn given_a_logged_record_when_it_comes_again_or_is_for_another_ledger_then_it_is_refused() {
    let mut w = two_items();
    let scan = w.draft(MAKER, &[item(1)], say::scan());
    w.clean(&scan);
    assert_eq!(w.refused(&scan), Reason::AlreadyExists);
    let mut elsewhere = w.draft(MAKER, &[item(1)], say::scan());
    elsewhere.record.origin = "another.test".into();
    assert_eq!(w.refused(&elsewhere), Reason::WrongOrigin);
}
