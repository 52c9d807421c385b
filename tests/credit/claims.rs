//! Claims and reports.

use std::sync::Arc;

use custody::client::Ledger;
use custody::core::signature::Signer;
use custody::core::wire;
use custody::core::wire::record::Body;

use crate::common::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn given_every_step_of_a_claim_when_everybody_tries_it_then_only_who_may_does() {
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let arc = |signer: &Arc<Signer>| Arc::clone(signer);
    let (maker, courier) = (arc(&w.trade.maker), arc(&w.trade.courier));
    let (device, stranger) = (arc(&w.trade.scanner), arc(&w.trade.stranger));
    let (buyer, fund, bank) = (key(70), key(71), key(72));
    for (who, number, role) in [(&fund, 5, wire::Role::Fund), (&bank, 6, wire::Role::Bank)] {
        w.say(who, register(who, &gln(number), &[role])).await;
        w.say(&root, approve(&gln(number), &[role])).await;
    }
    let roles = [wire::Role::Maker, wire::Role::Seller];
    w.say(&root, approve(MAKER, &roles)).await;
    let ship = ship_to(COURIER, &buyer);
    let deliver = Body::Deliver(wire::Deliver {
        buyer_key_id: buyer.key_id().0.to_vec(),
    });
    let drafts = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&maker, &[unit(1)], ship),
        draft(&courier, &[unit(1)], accept()),
        draft(&device, &[unit(1)], scan()),
        draft(&device, &[unit(1)], deliver),
    ];
    all_accepted(w.session.submit(drafts).await.unwrap());
    let unit = unit(1).to_string();
    let complaint = wire::Complaint::Counterfeit.into();

    let report = Body::ReportUnit(wire::ReportUnit {
        unit: unit.clone(),
        complaint,
        evidence: None,
    });
    w.only(&stranger, &[&device], report.clone()).await;
    w.say(&buyer, report).await;
    let not_the_buyer = [&root, &agency, &platform, &fund, &maker, &courier, &device];
    let claim = Body::OpenClaim(wire::OpenClaim {
        unit: unit.clone(),
        complaint,
        amount_fen: 10_000,
        evidence: digest(),
    });
    let at = w.only(&buyer, &not_the_buyer, claim).await;
    let attestation = Body::AttestBuyerKey(wire::AttestBuyerKey {
        unit: unit.clone(),
        key_id: buyer.key_id().0.to_vec(),
    });
    w.only(
        &bank,
        &[&buyer, &maker, &courier, &device, &stranger],
        attestation,
    )
    .await;
    let review = Body::ReviewUnit(wire::ReviewUnit {
        unit,
        rating: 1,
        text: None,
    });
    w.only(&buyer, &not_the_buyer, review).await;
    let decision = Body::DecideClaim(wire::DecideClaim {
        claim: at,
        answer: wire::Answer::Granted.into(),
        amount_fen: 9_000,
        legal_basis: "Consumer Rights Law, art. 44".into(),
        document: "C-1".into(),
    });
    w.only(
        &agency,
        &[&buyer, &maker, &courier, &device, &bank],
        decision,
    )
    .await;
    let payout = Body::RecordPayout(wire::RecordPayout {
        claim: at,
        document: "pay-1".into(),
    });
    w.only(
        &fund,
        &[&buyer, &maker, &root, &agency, &device, &bank],
        payout,
    )
    .await;
    let recovery = Body::RecordRecovery(wire::RecordRecovery {
        claim: at,
        amount_fen: 4_000,
        document: "back-1".into(),
    });
    w.only(
        &fund,
        &[&buyer, &maker, &root, &platform, &device, &bank],
        recovery,
    )
    .await;

    let open = w.server.ledger().await;
    let request = wire::GetClaimRequest { log_index: at };
    let found = open.claim().get_claim(request).await.unwrap().into_inner();
    let found = found.claim.unwrap();
    assert_eq!((found.granted_fen, found.recovered_fen), (9_000, 4_000));
    assert_eq!((found.recourse.as_str(), found.broken_at), (MAKER, 0));
    let seller = MAKER.into();
    let mut desk = open.claim();
    let reviews = desk.get_reviews(wire::GetReviewsRequest { seller }).await;
    assert_eq!(reviews.unwrap().into_inner().verified, [1, 0, 0, 0, 0]);
    // Who may read what.
    for (signer, party, claims, reports) in [
        (&root, REGULATOR, true, true),
        (&agency, &*gln(1), true, true),
        (&platform, &*gln(2), true, false),
        (&fund, &*gln(5), true, false),
        (&bank, &*gln(6), false, false),
        (&maker, MAKER, false, false),
    ] {
        let mut desk = w.server.as_party(signer, party).await.claim();
        let listed = desk.list_claims(wire::ListClaimsRequest::default()).await;
        assert_eq!(listed.is_ok(), claims, "claims for {party}");
        let listed = desk.list_reports(wire::ListReportsRequest::default()).await;
        assert_eq!(listed.is_ok(), reports, "reports for {party}");
    }
    w.audited();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_claim_against_a_natural_person_when_a_stranger_reads_it_then_nobody_is_named() {
    let mut w = World::start().await;
    let (maker, trader, root) = (
        Arc::clone(&w.trade.maker),
        Arc::clone(&w.trader),
        Arc::clone(&w.root),
    );
    let buyer = key(73);
    let ship = ship_to(COURIER, &buyer);
    let drafts = vec![
        draft(&maker, &[unit(1)], commission()),
        draft(&maker, &[unit(1)], handover(&gln(3))),
        draft(&trader, &[unit(1)], accept()),
        draft(&trader, &[unit(1)], ship),
    ];
    all_accepted(w.session.submit(drafts).await.unwrap());
    let claim = Body::OpenClaim(wire::OpenClaim {
        unit: unit(1).to_string(),
        complaint: wire::Complaint::NotReceived.into(),
        amount_fen: 100,
        evidence: digest(),
    });
    let log_index = w.say(&buyer, claim).await;
    let decision = Body::DecideClaim(wire::DecideClaim {
        claim: log_index,
        answer: wire::Answer::Granted.into(),
        amount_fen: 100,
        legal_basis: "Consumer Rights Law, art. 44".into(),
        document: "C-1".into(),
    });
    w.say(&root, decision).await;
    let named = async |ledger: &Ledger| {
        let request = wire::GetClaimRequest { log_index };
        let answer = ledger.claim().get_claim(request).await.unwrap();
        let claim = answer.into_inner().claim.unwrap();
        (claim.seller, claim.recourse)
    };
    let nobody = (String::new(), String::new());
    let stranger = w.server.as_party(&w.trade.courier, COURIER).await;
    assert_eq!(named(&w.server.ledger().await).await, nobody);
    assert_eq!(named(&stranger).await, nobody);
    let itself = (gln(3), gln(3));
    assert_eq!(
        named(&w.server.as_party(&trader, &gln(3)).await).await,
        itself
    );
    assert_eq!(named(&w.server.regulator().await).await, itself);
}
