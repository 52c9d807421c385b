//! The same again, two at once, and half of a stream.

use std::sync::Arc;

use custody::client::{Ledger, Outcome};
use custody::core::envelope::Envelope;
use custody::core::signature::Signer;
use custody::core::wire;
use prost::Message as _;
use tonic::Code;

use crate::common::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn given_the_same_envelope_when_sent_again_then_the_receipt_is_the_same() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let envelope = seal(maker, &sound(maker, &[unit(1)], commission()));
    let first = world.submit(envelope.clone()).await.unwrap();
    let size = world.size().await;
    assert_eq!(world.submit(envelope.clone()).await.unwrap(), first);
    for outcome in world.stream(vec![Some(envelope); 3]).await {
        assert_eq!(outcome.unwrap(), first);
    }
    assert_eq!(world.size().await, size);

    // Three times within one group.
    let twin = seal(maker, &sound(maker, &[unit(2)], commission()));
    let outcomes = world.stream(vec![Some(twin); 3]).await;
    let receipts = all_accepted(outcomes);
    assert_eq!(receipts, vec![receipts[0].clone(); 3]);
    assert_eq!(world.size().await, size + 1);

    // Whatever has changed since.
    let regulator = world.server.regulator_key();
    world
        .submit(seal(&regulator, &sound(&regulator, &[], suspend(MAKER))))
        .await
        .unwrap();
    let again = seal(maker, &sound(maker, &[unit(3)], commission()));
    assert_eq!(
        world.submit(again).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let roles = [wire::Role::Maker];
    world
        .submit(seal(
            &regulator,
            &sound(&regulator, &[], approve(MAKER, &roles)),
        ))
        .await
        .unwrap();
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_client_that_goes_away_mid_stream_when_asked_then_what_it_was_told_is_there() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let envelopes: Vec<wire::Envelope> = (0..200)
        .map(|n| seal(maker, &sound(maker, &[unit(n)], commission())))
        .collect();
    let (send, requests) = tokio::sync::mpsc::channel(4);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    // Its own connection, which goes away with it.
    let client = world.server.ledger().await;
    let mut stream = client
        .ledger()
        .submit_stream(requests)
        .await
        .unwrap()
        .into_inner();
    let feed = envelopes.clone();
    let feeding = tokio::spawn(async move {
        for envelope in feed {
            let envelope = Some(envelope);
            if send
                .send(wire::SubmitStreamRequest { envelope })
                .await
                .is_err()
            {
                return;
            }
        }
    });
    let mut receipts = Vec::new();
    while receipts.len() < 50 {
        receipts.push(outcome(stream.message().await.unwrap().unwrap()).unwrap());
    }
    feeding.abort();
    drop((stream, client));

    for receipt in &receipts {
        let leaf = wire::get_inclusion_proof_request::Leaf::RecordId(receipt.record_id.clone());
        let request = wire::GetInclusionProofRequest {
            leaf: Some(leaf),
            size: 0,
        };
        let proof = world
            .ledger
            .log()
            .get_inclusion_proof(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(proof.index, receipt.log_index);
    }
    // It comes back, sends everything, and learns the same about what it knew.
    let outcomes = world
        .stream(envelopes.into_iter().map(Some).collect())
        .await;
    let again = all_accepted(outcomes);
    assert_eq!(again[..50], receipts[..]);
    let known = again.iter().map(|receipt| receipt.log_index);
    assert_eq!(known.collect::<std::collections::BTreeSet<_>>().len(), 200);
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_long_chain_on_one_stream_when_read_then_no_record_overtakes_another() {
    let world = World::start().await;
    let maker = &world.trade.maker;
    let mut envelopes = vec![seal(maker, &sound(maker, &[unit(1)], commission()))];
    for _ in 0..3_000 {
        let last = Envelope::from_wire(envelopes.last().unwrap()).unwrap();
        let mut next = sound(maker, &[unit(1)], scan());
        next.units[0].prev = last.record_id().0.to_vec();
        envelopes.push(seal(maker, &next));
    }
    let outcomes = world.stream(envelopes.into_iter().map(Some).collect());
    all_accepted(outcomes.await);
    world.stays_intact().await;
}

/// A key, something that it signs at once, and a forgery, and so on.
fn keys_and_forgeries(maker: &Signer, from: u64) -> Vec<wire::Envelope> {
    let three = |n: u64| {
        let device = key(u8::try_from(n).unwrap());
        let mut forged = seal(maker, &sound(maker, &[unit(1_000 + n)], commission()));
        forged.signature = vec![7; 64].into();
        [
            seal(maker, &sound(maker, &[], delegate(&device, MAKER))),
            seal(&device, &sound(&device, &[unit(n)], commission())),
            forged,
        ]
    };
    (from..from + 50).flat_map(three).collect()
}

fn check_keys_and_forgeries(outcomes: Vec<Outcome>) {
    let mut last = 0;
    for (at, outcome) in outcomes.into_iter().enumerate() {
        match (at % 3, outcome) {
            (0 | 1, Ok(receipt)) => {
                assert!(receipt.log_index > last, "record {at}: the stream's order");
                last = receipt.log_index;
            }
            (2, Err(refusal)) => assert_eq!(refusal.reason, "BAD_SIGNATURE", "record {at}"),
            (_, outcome) => panic!("record {at}: {outcome:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_stream_that_registers_the_keys_of_what_follows_when_read_then_all_is_in_its_order()
{
    let world = World::start().await;
    let maker = Arc::clone(&world.trade.maker);
    let at_once = keys_and_forgeries(&maker, 50);
    let outcomes = world.stream(at_once.into_iter().map(Some).collect());
    check_keys_and_forgeries(outcomes.await);

    // The same by one who waits for each answer before the next record.
    let (send, requests) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let stream = world.ledger.ledger().submit_stream(requests).await;
    let mut stream = stream.unwrap().into_inner();
    let mut outcomes = Vec::new();
    for envelope in keys_and_forgeries(&maker, 100) {
        let envelope = Some(envelope);
        let request = wire::SubmitStreamRequest { envelope };
        send.send(request).await.unwrap();
        outcomes.push(outcome(stream.message().await.unwrap().unwrap()));
    }
    drop(send);
    assert_eq!(stream.message().await.unwrap(), None);
    check_keys_and_forgeries(outcomes);
    world.stays_intact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_two_clients_at_one_head_when_they_race_then_one_wins_and_the_other_rebases() {
    let mut world = World::start().await;
    let maker = Arc::clone(&world.trade.maker);
    let device = key(50);
    world.accepted(&maker, &[], delegate(&device, MAKER)).await;
    world.accepted(&maker, &[unit(1)], commission()).await;
    let other = world.server.ledger().await;
    let submit = async |ledger: &Ledger, envelope: &wire::Envelope| {
        let request = wire::SubmitRequest {
            envelope: Some(envelope.clone()),
        };
        ledger.ledger().submit(request).await
    };
    for _ in 0..20 {
        let records = [
            world.current(&maker, &[unit(1)], scan()).await,
            world.current(&device, &[unit(1)], scan()).await,
        ];
        let signers = [&maker, &device];
        let envelopes = [seal(&maker, &records[0]), seal(&device, &records[1])];
        let (a, b) = tokio::join!(
            submit(&world.ledger, &envelopes[0]),
            submit(&other, &envelopes[1])
        );
        let lost = usize::from(a.is_ok());
        let (won, status) = match (a, b) {
            (Ok(receipt), Err(status)) | (Err(status), Ok(receipt)) => (receipt, status),
            both => panic!("exactly one wins: {both:?}"),
        };
        let winner = won.into_inner().receipt.unwrap().record_id;
        check_status("the slower", &status, Code::Aborted, "CONFLICT", "");
        let bytes = status
            .metadata()
            .get_bin("custody-refusal-bin")
            .unwrap()
            .to_bytes()
            .unwrap();
        let refusal = wire::Refusal::decode(bytes).unwrap();
        let head = wire::UnitRef {
            id: unit(1).to_string(),
            prev: winner,
        };
        assert_eq!(refusal.heads, std::slice::from_ref(&head));
        let outcome = world
            .stream(vec![Some(envelopes[lost].clone())])
            .await
            .remove(0);
        assert_eq!(outcome.unwrap_err(), refusal, "the stream says the same");

        let mut rebased = records[lost].clone();
        rebased.units = vec![head];
        let receipt = world.submit(seal(signers[lost], &rebased)).await.unwrap();
        assert!(receipt.verdict.unwrap_or_default().findings.is_empty());
    }
    world.stays_intact().await;
}
