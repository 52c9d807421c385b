//! Random inspections: announced, drawn by the log's root, done, and the draw repeated by another.

use std::sync::Arc;

use custody::client::Ledger;
use custody::core::credit::inspection::{Seed, Ticket};
use custody::core::tlog::LogIndex;
use custody::core::wire;
use custody::core::wire::record::Body;
use tonic::Code;

use crate::common::*;
use crate::world::*;

const SECRET: [u8; 32] = [8; 32];

fn plan(inspectors: &[&custody::core::signature::Signer]) -> Body {
    Body::AnnounceInspections(wire::AnnounceInspections {
        document: "S-1".into(),
        legal_basis: "measures on inspections, art. 3".into(),
        role: wire::Role::Courier.into(),
        region: String::new(),
        rates: Some(wire::InspectionRates {
            a: 500,
            b: 500,
            c: 500,
            d: 1_000,
            unrated: 0,
        }),
        secret_commitment: Seed::commitment(&SECRET).to_vec(),
        inspectors: inspectors
            .iter()
            .map(|key| key.key_id().0.to_vec())
            .collect(),
    })
}

async fn sample(ledger: &Ledger, plan: u64) -> Result<wire::PlanInspectionsResponse, Code> {
    let request = wire::PlanInspectionsRequest {
        plan,
        secret: SECRET.to_vec(),
        ..Default::default()
    };
    let answer = ledger.inspection().plan_inspections(request).await;
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| status.code())
}

async fn inspections(ledger: &Ledger, plan: u64) -> Vec<wire::Inspection> {
    let request = wire::ListInspectionsRequest {
        plan,
        ..Default::default()
    };
    let page = ledger.inspection().list_inspections(request).await.unwrap();
    page.into_inner().inspections
}

#[tokio::test(flavor = "multi_thread")]
async fn given_forty_firms_when_inspections_are_drawn_then_the_roots_lot_finds_them_and_nobody_else()
 {
    let mut w = World::start().await;
    let (root, agency, platform) = w.offices();
    let (maker, courier) = (Arc::clone(&w.trade.maker), Arc::clone(&w.trade.courier));
    let firms: Vec<_> = (0..40)
        .map(|n| (key(100 + n), gln(100 + u64::from(n))))
        .collect();
    let mut drafts = Vec::new();
    for (signer, id) in &firms {
        drafts.push(draft(
            signer,
            &[],
            register(signer, id, &[wire::Role::Courier]),
        ));
        drafts.push(draft(&root, &[], approve(id, &[wire::Role::Courier])));
    }
    all_accepted(w.session.submit(drafts).await.unwrap());
    let officers = [key(90), key(91)];
    for officer in &officers {
        w.say(&agency, delegate(officer, &gln(1))).await;
    }
    let officers = [&*officers[0], &*officers[1]];
    let others = [&maker, &courier, &platform];
    let number = w.only(&agency, &others, plan(&officers)).await;

    let desk = w.server.as_party(&agency, &gln(1)).await;
    for (signer, id) in [(&maker, MAKER), (&platform, &*gln(2))] {
        let ledger = w.server.as_party(signer, id).await;
        assert_eq!(sample(&ledger, number).await, Err(Code::PermissionDenied));
    }
    let answer = sample(&desk, number).await.unwrap();
    // 40 firms, and the two couriers of the trade.
    assert_eq!(answer.candidates.len(), 42);
    let seed = Seed {
        root: answer.seed.as_slice().try_into().unwrap(),
        secret: SECRET,
    };
    for candidate in &answer.candidates {
        let party = candidate.party.as_ref().unwrap();
        let id = party.party.parse().unwrap();
        let ticket = Ticket::of(&seed, LogIndex(number), id);
        assert_eq!(candidate.drawn, ticket.is_drawn(500), "{id}");
        assert_eq!(
            party.tier(),
            wire::CreditTier::A,
            "nothing is held against it"
        );
    }
    let again = sample(&desk, number).await.unwrap();
    assert_eq!(again, answer, "whoever repeats it gets the same");
    let drawn = answer.candidates.iter().filter(|candidate| candidate.drawn);
    let drawn: Vec<_> = drawn
        .filter_map(|candidate| candidate.party.clone())
        .collect();
    assert!((8..33).contains(&drawn.len()), "{}", drawn.len());
    let draw = Body::DrawInspections(wire::DrawInspections {
        plan: number,
        seed: answer.seed.clone(),
        secret: SECRET.to_vec(),
        drawn: drawn.clone(),
    });
    w.only(&agency, &others, draw).await;

    let open = w.server.ledger().await;
    assert_eq!(inspections(&desk, number).await.len(), drawn.len());
    assert_eq!(inspections(&open, number).await, [], "nobody is warned");
    let result = Body::RecordInspection(wire::RecordInspection {
        plan: number,
        party: drawn[0].party.clone(),
        result: wire::InspectionOutcome::ToRectify.into(),
        date: 20_261_120,
        document: "S-9".into(),
        report: digest(),
    });
    w.only(&agency, &others, result).await;
    let public = inspections(&open, number).await;
    assert_eq!(public.len(), 1);
    let firm = public[0].party.as_ref().unwrap();
    assert_eq!(
        (firm.tier, firm.rate_per_mille),
        (0, 0),
        "between the firm and the office"
    );
    let request = wire::ListInspectionPlansRequest::default();
    let page = open.inspection().list_inspection_plans(request).await;
    let shown = &page.unwrap().into_inner().plans[0];
    assert!(shown.seed.is_empty() && shown.secret.is_empty() && shown.inspectors.is_empty());
    assert_eq!(public[0].result(), wire::InspectionOutcome::ToRectify);

    let data = &w.server.data;
    let trust = data.join("log.vkey");
    let key_file = data.join("regulator.key");
    let (number, key_file) = (number.to_string(), key_file.to_str().unwrap());
    let verify = ["inspect", "verify", &number, "--key", key_file, "--trust"];
    let said = w
        .server
        .run_ok(&[&verify[..], &[trust.to_str().unwrap()]].concat());
    assert!(said.contains("draws exactly these"), "{said}");
    w.audited();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_a_seed_that_is_not_the_logs_root_when_the_draw_is_repeated_then_it_is_found_out() {
    let mut w = World::start().await;
    let root = Arc::clone(&w.root);
    let officer = key(90);
    w.say(&root, delegate(&officer, REGULATOR)).await;
    let number = w.say(&root, plan(&[&officer])).await;
    let chosen = Body::DrawInspections(wire::DrawInspections {
        plan: number,
        seed: vec![7; 32],
        secret: SECRET.to_vec(),
        drawn: Vec::new(),
    });
    w.say(&root, chosen).await;
    let data = &w.server.data;
    let (key_file, trust) = (data.join("regulator.key"), data.join("log.vkey"));
    let [key_file, trust] = [&key_file, &trust].map(|path| path.to_str().unwrap());
    let number = number.to_string();
    let verify = [
        "inspect", "verify", &number, "--key", key_file, "--trust", trust,
    ];
    let output = w.server.run(&verify);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("not the log's root"), "{said}");
}
