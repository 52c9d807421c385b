//! The same again, two at once, and half of a stream.

use std::sync::Arc;

use custody::client::Ledger;
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
