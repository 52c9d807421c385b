//! Chains, containers and time: records that read well and don't fit.

use std::sync::Arc;

use custody::core::id::UnitId;
use custody::core::wire;
use custody::core::wire::record::Body;
use prost::Message as _;
use tonic::Code;

use crate::common::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn given_a_prev_that_is_not_the_head_when_submitted_then_the_refusal_says_why() {
    let mut world = World::start().await;
    let (maker, stranger) = (
        Arc::clone(&world.trade.maker),
        Arc::clone(&world.trade.stranger),
    );
    world
        .accepted(&maker, &[unit(1), unit(2)], commission())
        .await;
    let first = world.head(unit(1)).await;
    world.accepted(&maker, &[unit(1)], scan()).await;
    let (head, other) = (world.head(unit(1)).await, world.head(unit(2)).await);
    let naming = |prev: &[u8]| {
        let mut record = sound(&maker, &[unit(1)], scan());
        record.units[0].prev = prev.to_vec();
        seal(&maker, &record)
    };
    let precondition = |given: &str, prev: &[u8], reason| {
        case_of(given, naming(prev), Code::FailedPrecondition, reason)
    };
    let conflict =
        |given: &str, prev: &[u8]| case_of(given, naming(prev), Code::Aborted, "CONFLICT");
    world.accepted(&maker, &[unit(2)], scan()).await;
    let of_other = world.head(unit(2)).await;
    assert_eq!(other, first, "one record made both");
    let cases = [
        precondition("the head of another unit", &of_other, "PREV_NOT_IN_CHAIN")
            .at("units[0].prev"),
        precondition("a record that has not come", &[9; 32], "PREV_UNKNOWN").at("units[0].prev"),
        conflict("the head of before", &first),
        conflict("no prev", &[]),
    ];
    world.refuses(&cases).await;

    // The answer to a conflict has the heads.
    let status = world.submit(naming(&first)).await.unwrap_err();
    let bytes = status
        .metadata()
        .get_bin("custody-refusal-bin")
        .unwrap()
        .to_bytes()
        .unwrap();
    let refusal = wire::Refusal::decode(bytes).unwrap();
    let expected = wire::UnitRef {
        id: unit(1).to_string(),
        prev: head.clone(),
    };
    assert_eq!(refusal.heads, [expected]);
    let outcome = world.stream(vec![Some(naming(&first))]).await.remove(0);
    assert_eq!(outcome.unwrap_err(), refusal, "both ways in say the same");

    // A stranger's record is evidence, found once a day and kept a few times.
    let mut theft = sound(&stranger, &[unit(1)], scan());
    theft.units[0].prev.clone_from(&head);
    let receipt = world.submit(seal(&stranger, &theft)).await.unwrap();
    assert_eq!(receipt.verdict.unwrap().beside, [0, 1]);
    assert_eq!(world.head(unit(1)).await, head, "and moves nothing");
    for again in 0..16 {
        theft.nonce = vec![again; 16];
        let receipt = world.submit(seal(&stranger, &theft)).await.unwrap();
        assert_eq!(receipt.verdict.unwrap().findings, []);
    }
    theft.nonce = vec![99; 16];
    let again = case_of(
        "the same theft again",
        seal(&stranger, &theft),
        Code::AlreadyExists,
        "ALREADY_REPORTED",
    );
    world.refuses(&[again]).await;
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_containers_in_containers_when_packed_in_a_circle_or_too_deep_then_refused() {
    let mut world = World::start().await;
    let maker = Arc::clone(&world.trade.maker);
    let cases: Vec<UnitId> = (0..10).map(case).collect();
    world.accepted(&maker, &cases, commission()).await;
    // The ninth is the outermost: eight levels around the first.
    for i in 0..8 {
        world
            .accepted(&maker, &[cases[i]], pack(cases[i + 1]))
            .await;
    }
    let packing = |record: &mut wire::Record, container: &wire::UnitHead| {
        let id = container.unit.clone();
        let container_ref = wire::UnitRef {
            id,
            prev: container.head.clone(),
        };
        record.body = Some(Body::Pack(wire::Pack {
            container: Some(container_ref),
        }));
        record.containers.clone_from(&container.containers);
        record
            .containers
            .retain(|around| around.id != record.units[0].id);
    };
    let heads = world.session.heads(&cases).await.unwrap();
    let mut circle = world.current(&maker, &[cases[8]], pack(cases[0])).await;
    packing(&mut circle, &heads[0]);
    let mut deep = world.current(&maker, &[cases[8]], pack(cases[9])).await;
    packing(&mut deep, &heads[9]);
    let refused = |given: &str, record: &wire::Record| {
        let envelope = seal(&maker, record);
        case_of(
            given,
            envelope,
            Code::FailedPrecondition,
            "FAILED_PRECONDITION",
        )
        .at("units[0]")
    };
    let refusals = [
        refused("the outermost into the innermost", &circle).says("inside itself"),
        refused("a ninth level", &deep).says("deeper than 8"),
    ];
    world.refuses(&refusals).await;
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_time_two_days_ahead_when_submitted_then_it_is_accepted_and_flagged() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let ahead = |serial: u64, time: u64, offset: i64| {
        let mut record = sound(maker, &[unit(serial)], commission());
        (record.claimed_time_ms, record.clock_offset_ms) = (time, offset);
        seal(maker, &record)
    };
    let flagged = |receipt: wire::Receipt| {
        let findings = receipt.verdict.unwrap_or_default().findings;
        findings.iter().map(wire::Finding::kind).collect::<Vec<_>>()
    };
    let future = [wire::FindingKind::TimeInFuture];
    let now = now();
    assert_eq!(
        flagged(world.submit(ahead(1, now + 2 * DAY, 0)).await.unwrap()),
        future
    );
    assert_eq!(
        flagged(world.submit(ahead(2, LAST_MS, 0)).await.unwrap()),
        future
    );
    let outcome = world
        .stream(vec![Some(ahead(3, now + 2 * DAY, 0))])
        .await
        .remove(0);
    assert_eq!(flagged(outcome.unwrap()), future);
    // A clock that is wrong and known to be is never by itself a finding.
    let skewed = ahead(4, now + 2 * DAY, -2 * DAY as i64);
    assert_eq!(flagged(world.submit(skewed).await.unwrap()), []);
    let unset = ahead(5, now - 366 * DAY, 366 * DAY as i64);
    assert_eq!(flagged(world.submit(unset).await.unwrap()), []);
    world.stays_intact().await;
}
