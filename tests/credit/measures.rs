//! Measures, and what platforms report of them.

use std::sync::Arc;

use custody::client::Ledger;
use custody::core::wire;
use custody::core::wire::record::Body;
use tonic::Code;

use crate::common::*;
use crate::world::*;

async fn of(ledger: &Ledger, party: &str) -> Result<Vec<u64>, Code> {
    let request = wire::GetMeasuresRequest {
        parties: vec![party.into()],
    };
    let answer = ledger.measure().get_measures(request).await;
    let answer = answer.map_err(|status| status.code())?.into_inner();
    assert!(answer.until_ms > custody::sequence::now().0);
    let measures = answer.measures.into_iter();
    Ok(measures.map(|measure| measure.log_index).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn given_every_step_of_a_measure_when_everybody_tries_it_then_only_who_may_does() {
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let (maker, courier) = (Arc::clone(&w.trade.maker), Arc::clone(&w.trade.courier));
    let device = Arc::clone(&w.trade.scanner);
    let listing = blacklist(&mut w, &courier, COURIER, wire::CreditSeverity::Ordinary).await;
    let firms = [&maker, &courier, &device, &platform];
    let blocked = measure(listing, wire::MeasureKind::ShopBlocked);
    // Another agency than the one that listed may join in.
    let blocked = w.only(&agency, &firms, Body::AttachMeasure(blocked)).await;
    let report = |action: wire::MeasureAction| {
        Body::ReportMeasureApplied(wire::ReportMeasureApplied {
            measure: blocked,
            action: action.into(),
            evidence: digest(),
        })
    };
    let traders = [&maker, &courier, &device];
    let applied = w
        .only(&platform, &traders, report(wire::MeasureAction::Applied))
        .await;

    let market = w.server.as_party(&platform, &gln(2)).await;
    assert_eq!(of(&market, COURIER).await, Ok(vec![blocked]));
    assert_eq!(of(&market, MAKER).await, Ok(vec![]));
    let own = w.server.as_party(&courier, COURIER).await;
    assert_eq!(
        of(&own, COURIER).await,
        Ok(vec![blocked]),
        "its own it may see"
    );
    let rival = w.server.as_party(&maker, MAKER).await;
    assert_eq!(of(&rival, COURIER).await, Err(Code::PermissionDenied));
    let nobody = w.server.ledger().await;
    assert_eq!(of(&nobody, COURIER).await, Err(Code::Unauthenticated));
    for (ledger, sees) in [(&market, true), (&own, true), (&rival, false)] {
        let request = wire::GetMeasureRequest { log_index: blocked };
        let one = ledger.measure().get_measure(request).await;
        assert_eq!(one.is_ok(), sees);
        let request = wire::ListMeasureReportsRequest {
            log_index: blocked,
            ..Default::default()
        };
        let reports = ledger.measure().list_measure_reports(request).await;
        let reports = reports.map(|page| page.into_inner().reports);
        let seen = reports.map_or(0, |reports| reports[0].log_index);
        assert_eq!(seen, if sees { applied } else { 0 });
    }

    // Before its listing is public, a measure is between the authorities.
    let ordinary = wire::CreditSeverity::Ordinary;
    let listed = w.say(&root, proposal(MAKER, ordinary)).await;
    w.say(&root, notice(listed)).await;
    w.say(&maker, statement(listed, "")).await;
    w.say(&root, decision(listed, ordinary, 3)).await;
    let early = measure(listed, wire::MeasureKind::ShopBlocked);
    let early = w.say(&agency, Body::AttachMeasure(early)).await;
    let desk = w.server.as_party(&agency, &gln(1)).await;
    for (ledger, sees) in [(&market, false), (&desk, true)] {
        let request = wire::GetMeasureRequest { log_index: early };
        let one = ledger.measure().get_measure(request).await;
        assert_eq!(one.is_ok(), sees);
    }
    // Another regulator sees a listing that is not public only in a file that it opened.
    let request = wire::GetListingRequest { log_index: listed };
    let hidden = desk.listing().get_listing(request).await.unwrap_err();
    assert_eq!(hidden.code(), Code::NotFound);
    w.say(&agency, open_file(MAKER)).await;
    desk.listing().get_listing(request).await.unwrap();

    let end = Body::EndMeasure(wire::EndMeasure {
        measure: blocked,
        legal_basis: "art. 10".into(),
        document: "M-2".into(),
    });
    let others = [&maker, &courier, &device, &platform];
    w.only(&root, &others, end).await;
    assert_eq!(of(&market, COURIER).await, Ok(vec![]));
    let request = wire::GetMeasureRequest { log_index: blocked };
    let answer = market.measure().get_measure(request).await.unwrap();
    let ended = answer.into_inner().measure.unwrap();
    assert!(
        !ended.in_force && ended.ended_ms > 0,
        "and still to be read"
    );
    w.say(&platform, report(wire::MeasureAction::Lifted)).await;
    w.audited();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_listing_that_is_repaired_when_platforms_ask_then_its_measures_are_gone() {
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let courier = Arc::clone(&w.trade.courier);
    w.say(&root, short_terms()).await;
    let listing = blacklist(&mut w, &courier, COURIER, wire::CreditSeverity::Ordinary).await;
    let limit = measure(listing, wire::MeasureKind::MembershipLimit);
    let limit = w.say(&agency, Body::AttachMeasure(limit)).await;
    let market = w.server.as_party(&platform, &gln(2)).await;
    assert_eq!(of(&market, COURIER).await, Ok(vec![limit]));
    let mended = w
        .say(&courier, commitment(wire::CommitmentKind::Repair))
        .await;
    let request = Body::RequestRepair(wire::RequestRepair {
        listing,
        commitment: mended,
        proof: digest(),
    });
    w.say(&courier, request).await;
    let granted = Body::DecideRepair(wire::DecideRepair {
        listing,
        answer: wire::Answer::Granted.into(),
        document: "R-1".into(),
    });
    w.say(&root, granted).await;
    assert_eq!(of(&market, COURIER).await, Ok(vec![]));
    w.audited();
}
