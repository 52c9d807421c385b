//! Keys, parties and authority: who may say what, and until when.

use std::sync::Arc;

use custody::core::signature::Signer;
use custody::core::wire;
use custody::core::wire::record::Body;
use prost::Message as _;
use tonic::Code;

use crate::common::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn given_keys_that_ended_or_have_not_begun_when_they_sign_then_their_time_decides() {
    let mut world = World::start().await;
    let maker = Arc::clone(&world.trade.maker);
    let now = now();
    let [later, ended, old, superseded, compromised, rotated, next] =
        [10, 11, 12, 13, 14, 15, 16].map(key);
    let setup = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(
            &maker,
            &[],
            delegate_for(&later, MAKER, now + DAY, now + 2 * DAY),
        ),
        draft(&maker, &[], delegate_for(&ended, MAKER, TIME, now - HOUR)),
        draft(&maker, &[], delegate_for(&old, MAKER, TIME, now - 8 * DAY)),
        draft(&maker, &[], add_key(&superseded, MAKER)),
        draft(&maker, &[], add_key(&compromised, MAKER)),
        draft(&maker, &[], add_key(&rotated, MAKER)),
        draft(
            &maker,
            &[],
            revoke(&superseded, wire::RevocationReason::Superseded, 0),
        ),
        draft(
            &maker,
            &[],
            revoke(&compromised, wire::RevocationReason::Compromised, now),
        ),
        draft(
            &rotated,
            &[],
            Body::RotateKey(wire::RotateKey {
                key: Some(public(&next)),
                possession: possession(&next, MAKER),
            }),
        ),
    ];
    all_accepted(world.session.submit(setup).await.unwrap());

    let scanned = |signer: &Signer, time: u64| {
        let mut record = sound(signer, &[unit(1)], scan());
        record.claimed_time_ms = time;
        seal(signer, &record)
    };
    let denied =
        |given: &str, envelope, reason| case_of(given, envelope, Code::PermissionDenied, reason);
    let scanner = &world.trade.scanner;
    let a_minute_ahead = now + 60_000;
    let cases = [
        denied(
            "a delegation from tomorrow",
            scanned(&later, now),
            "KEY_NOT_YET_VALID",
        ),
        denied(
            "a delegation from tomorrow, a time of then",
            scanned(&later, now + DAY),
            "KEY_NOT_YET_VALID",
        ),
        denied(
            "a time before the delegation",
            scanned(scanner, 1_600_000_000_000),
            "KEY_NOT_YET_VALID",
        ),
        denied(
            "a time after the delegation's end",
            scanned(&ended, now),
            "KEY_EXPIRED",
        ),
        denied(
            "a delegation past its window",
            scanned(&old, TIME + 1),
            "KEY_EXPIRED",
        )
        .says("168 hours"),
        denied(
            "a superseded key, now",
            scanned(&superseded, a_minute_ahead),
            "KEY_REVOKED",
        ),
        denied(
            "a compromised key, now",
            scanned(&compromised, a_minute_ahead),
            "KEY_REVOKED",
        ),
        denied(
            "a compromised key, long ago",
            scanned(&compromised, TIME),
            "KEY_REVOKED",
        )
        .says("compromised"),
        denied(
            "a rotated key, now",
            scanned(&rotated, a_minute_ahead),
            "KEY_EXPIRED",
        ),
        // The window is for custody records.
        denied(
            "governance by a superseded key",
            {
                let mut record = sound(&superseded, &[], delegate(&key(17), MAKER));
                record.claimed_time_ms = TIME;
                seal(&superseded, &record)
            },
            "KEY_EXPIRED",
        )
        .at("key_id"),
    ];
    world.refuses(&cases).await;

    // What they signed before their end may come late; each from the head as it is.
    for (signer, time) in [
        (&ended, TIME + 1),
        (&superseded, TIME),
        (&rotated, TIME),
        (&next, now),
    ] {
        let mut record = world.current(signer, &[unit(1)], scan()).await;
        record.claimed_time_ms = time;
        let receipt = world.submit(seal(signer, &record)).await.unwrap();
        assert!(receipt.verdict.unwrap_or_default().beside.is_empty());
    }
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_party_that_is_not_active_when_it_signs_then_it_is_refused() {
    let mut world = World::start().await;
    let regulator = world.server.regulator_key();
    let (maker, stranger) = (
        Arc::clone(&world.trade.maker),
        Arc::clone(&world.trade.stranger),
    );
    let (pending, lapsed) = (key(20), key(21));
    let lapsed_approval = Body::ApproveParty(wire::ApproveParty {
        party: gln(2),
        roles: vec![wire::Role::Courier.into()],
        valid_until_ms: TIME,
        ..Default::default()
    });
    let setup = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&maker, &[unit(1)], handover(STRANGER)),
        draft(&stranger, &[unit(1)], accept()),
        draft(
            &pending,
            &[],
            register(&pending, &gln(1), &[wire::Role::Courier]),
        ),
        draft(
            &lapsed,
            &[],
            register(&lapsed, &gln(2), &[wire::Role::Courier]),
        ),
        draft(&regulator, &[], lapsed_approval),
        draft(&regulator, &[], suspend(STRANGER)),
    ];
    all_accepted(world.session.submit(setup).await.unwrap());
    let claim = || {
        let (scope, name) = (prefix("0614142"), String::new());
        Body::ClaimProduct(wire::ClaimProduct { scope, name })
    };
    let denied = |given: &str, envelope| {
        case_of(given, envelope, Code::PermissionDenied, "PARTY_NOT_ACTIVE")
    };
    let held = world.current(&stranger, &[unit(1)], scan()).await;
    let cases = [
        denied("custody by a suspended holder", seal(&stranger, &held)).says(STRANGER),
        denied(
            "governance by a suspended party",
            seal(&stranger, &sound(&stranger, &[], claim())),
        ),
        denied(
            "custody before approval",
            seal(&pending, &sound(&pending, &[unit(1)], scan())),
        ),
        denied(
            "governance before approval",
            seal(&pending, &sound(&pending, &[], claim())),
        ),
        denied(
            "after the approval's end",
            seal(&lapsed, &sound(&lapsed, &[unit(1)], accept())),
        )
        .says("has ended"),
    ];
    world.refuses(&cases).await;
    world
        .accepted(&regulator, &[], approve(STRANGER, &[wire::Role::Courier]))
        .await;
    world
        .submit(seal(&stranger, &held))
        .await
        .expect("approved again, the same envelope is good");
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_governance_without_authority_when_submitted_then_it_is_refused() {
    let mut world = World::start().await;
    let regulator = world.server.regulator_key();
    let [maker, courier, scanner] = [
        &world.trade.maker,
        &world.trade.courier,
        &world.trade.scanner,
    ]
    .map(Arc::clone);
    let own = "0614142";
    let claim = Body::ClaimProduct(wire::ClaimProduct {
        scope: prefix(own),
        name: "Own".into(),
    });
    world.accepted(&courier, &[], claim.clone()).await;
    let fresh = key(30);
    let approve_product = |digits: &str, party: &str| {
        let (scope, party) = (prefix(digits), party.into());
        Body::ApproveProduct(wire::ApproveProduct { scope, party })
    };
    let by = |signer: &Signer, given: &str, code, reason, body: Body| {
        case_of(given, seal(signer, &sound(signer, &[], body)), code, reason)
    };
    let unauthorised = |signer: &Signer, given: &str, body: Body| {
        by(signer, given, Code::PermissionDenied, "UNAUTHORISED", body)
    };
    let genesis = |signer: &Signer| {
        Body::Genesis(wire::Genesis {
            regulator_keys: vec![public(signer)],
            regulator: REGULATOR.into(),
            regulator_name: "Me".into(),
            thresholds: Some(wire::Thresholds {
                max_speed_kmh: 1,
                ..Default::default()
            }),
            log_key: "key".into(),
        })
    };
    let thresholds = Some(wire::Thresholds {
        max_speed_kmh: 100_000,
        ..Default::default()
    });
    let not_mine = Body::AddKey(wire::AddKey {
        key: Some(public(&fresh)),
        possession: possession(&courier, MAKER),
        ..Default::default()
    });
    let mut elsewhere = sound(&maker, &[unit(1)], commission());
    elsewhere.origin = "other.example/ledger".into();
    let cases = [
        unauthorised(
            &maker,
            "a maker approves a party",
            approve(STRANGER, &[wire::Role::Seller]),
        ),
        unauthorised(&maker, "a maker suspends a rival", suspend(COURIER)),
        unauthorised(
            &scanner,
            "a delegated key adds a key",
            add_key(&fresh, COURIER),
        ),
        unauthorised(
            &scanner,
            "a delegated key delegates",
            delegate(&fresh, COURIER),
        ),
        unauthorised(
            &courier,
            "a courier approves its own product",
            approve_product(own, COURIER),
        ),
        unauthorised(&maker, "a maker sets thresholds", {
            Body::SetThresholds(wire::SetThresholds { thresholds })
        }),
        unauthorised(&maker, "a maker revokes another's key", {
            revoke(&courier, wire::RevocationReason::Compromised, 1)
        }),
        unauthorised(&maker, "a maker revokes the regulator's key", {
            revoke(&regulator, wire::RevocationReason::Cessation, 0)
        }),
        unauthorised(
            &regulator,
            "the regulator of the genesis is suspended",
            suspend(REGULATOR),
        ),
        by(
            &regulator,
            "genesis again",
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            genesis(&regulator),
        )
        .at("body"),
        by(
            &fresh,
            "genesis by anybody",
            Code::Unauthenticated,
            "UNKNOWN_KEY",
            genesis(&fresh),
        )
        .at("key_id"),
        by(
            &fresh,
            "genesis by a key that it doesn't name",
            Code::InvalidArgument,
            "KEY_MISMATCH",
            genesis(&maker),
        )
        .at("key_id"),
        by(
            &fresh,
            "a registration of another's key",
            Code::InvalidArgument,
            "KEY_MISMATCH",
            register(&maker, &gln(3), &[wire::Role::Maker]),
        )
        .at("key_id"),
        by(
            &fresh,
            "a party that is registered",
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            register(&fresh, MAKER, &[wire::Role::Maker]),
        )
        .at("register_party.party"),
        by(
            &maker,
            "a key that is registered",
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            register(&maker, &gln(3), &[wire::Role::Maker]),
        )
        .at("key"),
        by(
            &maker,
            "a key whose owner did not sign",
            Code::Unauthenticated,
            "BAD_SIGNATURE",
            not_mine,
        )
        .at("possession"),
        by(
            &maker,
            "possession for another party",
            Code::Unauthenticated,
            "BAD_SIGNATURE",
            add_key(&fresh, COURIER),
        )
        .at("possession"),
        by(
            &regulator,
            "a party that nobody registered",
            Code::NotFound,
            "NOT_FOUND",
            approve(&gln(4), &[wire::Role::Maker]),
        )
        .at("approve_party.party"),
        by(
            &regulator,
            "a product that nobody claimed",
            Code::NotFound,
            "NOT_FOUND",
            approve_product("0614143", MAKER),
        )
        .at("approve_product.scope"),
        by(
            &courier,
            "a claim again",
            Code::AlreadyExists,
            "ALREADY_EXISTS",
            claim,
        )
        .at("claim_product.scope"),
        by(
            &maker,
            "a key that nobody registered",
            Code::NotFound,
            "NOT_FOUND",
            revoke(&fresh, wire::RevocationReason::Cessation, 0),
        )
        .at("revoke_key.key_id"),
        by(
            &regulator,
            "a finding that is none",
            Code::NotFound,
            "NOT_FOUND",
            {
                Body::DecideFinding(wire::DecideFinding {
                    log_index: 1,
                    kind: 4,
                    unit: unit(1).to_string(),
                    decision: 1,
                    reason: "seen".into(),
                    ..Default::default()
                })
            },
        )
        .at("decide_finding"),
        case_of(
            "a record for another ledger",
            seal(&maker, &elsewhere),
            Code::InvalidArgument,
            "WRONG_ORIGIN",
        )
        .at("origin")
        .says(ORIGIN),
    ];
    world.refuses(&cases).await;
    world.stays_intact().await;
}

/// Nobody can be stalled, nor accused, with what it did not sign.
#[tokio::test(flavor = "multi_thread")]
async fn given_a_flood_when_it_is_forged_then_the_owner_gets_in_and_when_its_own_then_not() {
    // One a second, ten at once; setting up took a few.
    let world = World::start_with(&["--party-rate", "1"]).await;
    let maker = &world.trade.maker;
    let forged: Vec<_> = (0..100)
        .map(|n| {
            let mut envelope = seal(maker, &sound(maker, &[unit(n)], commission()));
            envelope.signature = vec![7; 64].into();
            Some(envelope)
        })
        .collect();
    for outcome in world.stream(forged).await {
        assert_eq!(outcome.unwrap_err().reason, "BAD_SIGNATURE");
    }
    let good = seal(maker, &sound(maker, &[unit(1)], commission()));
    world.submit(good).await.unwrap();

    let own: Vec<_> = (100..150)
        .map(|n| Some(seal(maker, &sound(maker, &[unit(n)], commission()))))
        .collect();
    let outcomes = world.stream(own.clone()).await;
    let refused: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty(), "a flood is refused");
    for refusal in &refused {
        assert_eq!(
            refusal.code,
            i32::from(Code::ResourceExhausted),
            "{refusal:?}"
        );
        assert_eq!(refusal.reason, "QUOTA_EXCEEDED");
        assert!(
            refusal.message.contains("send the same envelope again"),
            "{refusal:?}"
        );
    }
    let mut status = None;
    for envelope in own.into_iter().rev().flatten() {
        status = world.submit(envelope).await.err();
        if status.is_some() {
            break;
        }
    }
    let status = status.expect("a flood is refused this way too");
    check_status(
        "a flood",
        &status,
        Code::ResourceExhausted,
        "QUOTA_EXCEEDED",
        "",
    );
    // Others are not held up by it.
    let courier = &world.trade.courier;
    let claim = wire::ClaimProduct {
        scope: prefix("0614142"),
        name: String::new(),
    };
    let claim = sound(courier, &[], Body::ClaimProduct(claim));
    world.submit(seal(courier, &claim)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_report_of_double_dealing_that_proves_none_when_submitted_then_it_is_refused() {
    const SECOND: &str = "report_equivocation.second";
    let mut world = World::start().await;
    let [maker, courier] = [&world.trade.maker, &world.trade.courier].map(Arc::clone);
    world.accepted(&maker, &[unit(1)], commission()).await;
    world.accepted(&maker, &[unit(2)], commission()).await;
    let at_one = world.current(&maker, &[unit(1)], scan()).await;
    let at_two = world.current(&maker, &[unit(2)], scan()).await;
    let by_courier = world.current(&courier, &[unit(1)], scan()).await;
    let twin = world.current(&maker, &[unit(1)], handover(COURIER)).await;
    let elsewhere = wire::Record {
        origin: "other.example/ledger".into(),
        ..twin.clone()
    };
    let mut rebased = at_one.clone();
    rebased.units[0].prev = vec![5; 32];
    let seen = |record: &wire::Record| seal(&maker, record).encode_to_vec();
    let mut forged = seal(&maker, &twin);
    forged.signature = vec![7; 64].into();
    let report = |given: &str, code, reason, field, second: Vec<u8>| {
        let body = wire::ReportEquivocation {
            first: seen(&at_one),
            second,
        };
        let record = sound(&courier, &[], Body::ReportEquivocation(body));
        case_of(given, seal(&courier, &record), code, reason).at(field)
    };
    let no_proof = |given: &str, second| {
        report(
            given,
            Code::InvalidArgument,
            "INVALID_FIELD",
            "report_equivocation",
            second,
        )
    };
    let forgery = |given: &str, second| {
        report(
            given,
            Code::Unauthenticated,
            "BAD_SIGNATURE",
            SECOND,
            second,
        )
    };
    let cases = [
        no_proof("the same record twice", seen(&at_one)).says("say the same"),
        no_proof("a rebased record", seen(&rebased)).says("say the same"),
        no_proof("two units", seen(&at_two)).says("in common"),
        no_proof("two keys", seal(&courier, &by_courier).encode_to_vec()).says("two keys"),
        report(
            "noise",
            Code::InvalidArgument,
            "MALFORMED",
            SECOND,
            vec![0xff; 40],
        ),
        forgery("a forgery", forged.encode_to_vec()),
        forgery("a record for another ledger", seen(&elsewhere)),
    ];
    world.refuses(&cases).await;
    let proof = wire::ReportEquivocation {
        first: seen(&at_one),
        second: seen(&twin),
    };
    let proof = sound(&courier, &[], Body::ReportEquivocation(proof));
    let receipt = world
        .submit(seal(&courier, &proof))
        .await
        .expect("this one proves it");
    let findings = receipt.verdict.unwrap().findings;
    assert_eq!(findings[0].kind(), wire::FindingKind::Equivocation);
    world.stays_intact().await;
}
