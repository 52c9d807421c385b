//! The methods of measures, inspections, exports, files and personal data.

use tonic::Code;

use super::*;
use custody::core::credit::inspection::Seed;

const SECRET: [u8; 32] = [8; 32];

/// A measure of the red listing in force; its number.
async fn attached(world: &mut World) -> u64 {
    let request = wire::ListListingsRequest {
        list: wire::ListKind::Red.into(),
        ..Default::default()
    };
    let page = world.ledger.listing().list_listings(request).await;
    let listing = page.unwrap().into_inner().listings[0].log_index;
    let measure = wire::AttachMeasure {
        listing,
        kind: wire::MeasureKind::RankingPriority.into(),
        legal_basis: "measures on rewards, art. 3".into(),
        document: "M-1".into(),
        ..Default::default()
    };
    let body = wire::record::Body::AttachMeasure(measure);
    world.governed(body).await
}

pub(super) async fn get_measures(world: &mut World) {
    let measure = attached(world).await;
    let request = wire::GetMeasuresRequest {
        parties: vec![MAKER.into(), COURIER.into()],
    };
    let status = world.ledger.measure().get_measures(request.clone()).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let answer = world.regulator.measure().get_measures(request).await;
    let measures = answer.unwrap().into_inner().measures;
    assert_eq!((measures.len(), measures[0].log_index), (1, measure));
    assert!(measures[0].in_force);
}

pub(super) async fn get_measure(world: &mut World) {
    let request = wire::GetMeasureRequest { log_index: 0 };
    let status = world.regulator.measure().get_measure(request).await;
    assert_eq!(status.unwrap_err().code(), Code::NotFound);
}

pub(super) async fn list_measure_reports(world: &mut World) {
    let request = wire::GetMeasuresRequest {
        parties: vec![MAKER.into()],
    };
    let answer = world.regulator.measure().get_measures(request).await;
    let measure = answer.unwrap().into_inner().measures[0].log_index;
    let report = wire::ReportMeasureApplied {
        measure,
        action: wire::MeasureAction::Applied.into(),
        evidence: None,
    };
    let report = wire::record::Body::ReportMeasureApplied(report);
    let report = world.governed(report).await;
    let request = wire::ListMeasureReportsRequest {
        log_index: measure,
        ..Default::default()
    };
    let page = world
        .regulator
        .measure()
        .list_measure_reports(request)
        .await;
    let reports = page.unwrap().into_inner().reports;
    assert_eq!(
        (reports[0].log_index, reports[0].party.as_str()),
        (report, REGULATOR)
    );
}

/// A plan; its number.
async fn announced(world: &mut World) -> u64 {
    let plan = wire::AnnounceInspections {
        document: "S-1".into(),
        legal_basis: "measures on inspections, art. 3".into(),
        role: wire::Role::Courier.into(),
        region: String::new(),
        rates: Some(wire::InspectionRates {
            a: 1_000,
            b: 1_000,
            c: 1_000,
            d: 1_000,
            unrated: 0,
        }),
        secret_commitment: Seed::commitment(&SECRET).to_vec(),
        inspectors: vec![world.server.regulator_key().key_id().0.to_vec()],
    };
    world
        .governed(wire::record::Body::AnnounceInspections(plan))
        .await
}

pub(super) async fn plan_inspections(world: &mut World) {
    let plan = announced(world).await;
    let request = wire::PlanInspectionsRequest {
        plan,
        secret: SECRET.to_vec(),
        ..Default::default()
    };
    let answer = world.regulator.inspection().plan_inspections(request).await;
    let answer = answer.unwrap().into_inner();
    let drawn = answer.candidates.iter().filter(|candidate| candidate.drawn);
    assert_eq!(drawn.count(), 2, "all couriers");
    let request = wire::GetConsistencyProofRequest {
        first_size: plan + 1,
        second_size: plan + 1,
    };
    assert!(
        world
            .ledger
            .log()
            .get_consistency_proof(request)
            .await
            .is_ok()
    );
    assert_eq!(answer.seed.len(), 32);
}

pub(super) async fn list_inspection_plans(world: &mut World) {
    let plan = announced(world).await;
    let request = wire::ListInspectionPlansRequest::default();
    let page = world
        .ledger
        .inspection()
        .list_inspection_plans(request)
        .await;
    let plans = page.unwrap().into_inner().plans;
    let last = plans.last().unwrap();
    assert_eq!((last.log_index, last.drawn_at), (plan, 0));
}

pub(super) async fn list_inspections(world: &mut World) {
    let plan = announced(world).await;
    let request = wire::PlanInspectionsRequest {
        plan,
        secret: SECRET.to_vec(),
        ..Default::default()
    };
    let answer = world.regulator.inspection().plan_inspections(request).await;
    let answer = answer.unwrap().into_inner();
    let drawn = answer
        .candidates
        .into_iter()
        .filter_map(|candidate| candidate.party);
    let draw = wire::DrawInspections {
        plan,
        seed: answer.seed,
        secret: SECRET.to_vec(),
        drawn: drawn.collect(),
    };
    world
        .governed(wire::record::Body::DrawInspections(draw))
        .await;
    let request = wire::ListInspectionsRequest {
        plan,
        ..Default::default()
    };
    let page = world
        .regulator
        .inspection()
        .list_inspections(request.clone())
        .await;
    assert_eq!(page.unwrap().into_inner().inspections.len(), 2);
    let page = world.ledger.inspection().list_inspections(request).await;
    assert_eq!(page.unwrap().into_inner().inspections, [], "no results yet");
}

pub(super) async fn export_since(world: &mut World) {
    let request = wire::ExportSinceRequest::default();
    let status = world.ledger.export().export_since(request.clone()).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let answer = world.regulator.export().export_since(request).await;
    let answer = answer.unwrap().into_inner();
    let batch: serde_json::Value = serde_json::from_slice(&answer.batch).unwrap();
    let items = batch["items"].as_array().unwrap();
    assert!(items.iter().any(|item| item["list"] == "RED"), "{batch}");
    assert_eq!(batch["next"], answer.next_cursor.as_str());
}

pub(super) async fn get_financial_view(world: &mut World) {
    let request = wire::GetFinancialViewRequest {
        party: MAKER.into(),
        ..Default::default()
    };
    let status = world.regulator.credit().get_financial_view(request).await;
    assert_eq!(
        status.unwrap_err().code(),
        Code::PermissionDenied,
        "no bank"
    );
}

pub(super) async fn list_file_reads(world: &mut World) {
    let opened = world.open_file(COURIER).await;
    let request = wire::ListFileReadsRequest {
        party: COURIER.into(),
        ..Default::default()
    };
    let page = world.regulator.credit().list_file_reads(request).await;
    let reads = page.unwrap().into_inner().reads;
    assert_eq!(reads.last().map(|read| read.log_index), Some(opened));
}

async fn put(world: &World) -> Vec<u8> {
    let request = wire::PutPrivateRequest {
        subject: MAKER.into(),
        class: wire::RetentionClass::Credit.into(),
        salt: vec![1; 16],
        text: "why".into(),
    };
    let answer = world.regulator.private().put_private(request).await;
    answer.unwrap().into_inner().text.unwrap().commitment
}

pub(super) async fn put_private(world: &mut World) {
    let commitment = custody::core::credit::salted_commitment(&[1; 16], "why");
    assert_eq!(put(world).await, commitment);
    let request = wire::PutPrivateRequest {
        subject: MAKER.into(),
        text: "why".into(),
        ..Default::default()
    };
    let status = world.ledger.private().put_private(request.clone()).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    let status = world.regulator.private().put_private(request).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
}

pub(super) async fn get_private(world: &mut World) {
    let commitment = put(world).await;
    world.open_file(MAKER).await;
    let request = wire::GetPrivateRequest {
        subject: MAKER.into(),
        commitment,
    };
    let answer = world.regulator.private().get_private(request).await;
    assert_eq!(answer.unwrap().into_inner().text, "why");
}

pub(super) async fn list_private(world: &mut World) {
    let commitment = put(world).await;
    world.open_file(MAKER).await;
    let request = wire::ListPrivateRequest {
        subject: MAKER.into(),
        ..Default::default()
    };
    let page = world.regulator.private().list_private(request).await;
    let texts = page.unwrap().into_inner().texts;
    assert_eq!((texts.len(), &texts[0].commitment), (1, &commitment));
}

pub(super) async fn erase_private(world: &mut World) {
    let commitment = put(world).await;
    world.open_file(MAKER).await;
    let request = wire::ErasePrivateRequest {
        subject: MAKER.into(),
        commitment: commitment.clone(),
    };
    world
        .regulator
        .private()
        .erase_private(request)
        .await
        .unwrap();
    let request = wire::GetPrivateRequest {
        subject: MAKER.into(),
        commitment,
    };
    let status = world.regulator.private().get_private(request).await;
    assert_eq!(status.unwrap_err().code(), Code::NotFound);
}

pub(super) async fn list_objections(world: &mut World) {
    // Goods that the courier collected without all checks, which its score deducts for.
    let scanner = world.trade.scanner.clone();
    let made = draft(&world.trade.maker, &[unit(90)], commission());
    let offered = draft(&world.trade.maker, &[unit(90)], handover(COURIER));
    let taken = draft(&scanner, &[unit(90)], accept());
    let receipts = all_accepted(
        world
            .session
            .submit(vec![made, offered, taken])
            .await
            .unwrap(),
    );
    let lapse = wire::LapseRef {
        key_id: scanner.key_id().0.to_vec(),
        log_index: receipts[2].log_index,
    };
    let deduction = wire::DeductionRef {
        deduction: Some(wire::deduction_ref::Deduction::Lapse(lapse)),
    };
    let objection = wire::record::Body::ObjectToDeduction(wire::ObjectToDeduction {
        deduction: Some(deduction.clone()),
        document: digest(),
    });
    let courier = world.trade.courier.clone();
    let index = world.submitted(&courier, objection).await;
    let open = async |world: &World| {
        let request = wire::ListObjectionsRequest {
            open: true,
            ..wire::ListObjectionsRequest::default()
        };
        let mut credit = world.regulator.credit();
        let answer = credit.list_objections(request).await.unwrap();
        answer.into_inner().objections
    };
    let [found] = &open(world).await[..] else {
        panic!("one objection waits");
    };
    assert_eq!(found.deduction, Some(deduction));
    let request = found.request.unwrap();
    assert_eq!((request.log_index, request.answered_ms), (index, 0));
    assert!(request.answer_until_ms > request.made_ms);
    let answer = wire::record::Body::AnswerDeduction(wire::AnswerDeduction {
        objection: index,
        answer: wire::Answer::Granted.into(),
        document: "A-1".into(),
    });
    world.governed(answer).await;
    assert!(open(world).await.is_empty());
    let refused = world.ledger.credit();
    let refused = { refused }
        .list_objections(wire::ListObjectionsRequest::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

pub(super) async fn make_report(world: &mut World) {
    use custody::core::report::{Manifest, ReportError};
    let key = world.server.log_key().parse().unwrap();
    let made = async |world: &World, kind: wire::ReportKind, format: wire::ReportFormat| {
        let request = wire::MakeReportRequest {
            kind: kind.into(),
            format: format.into(),
            goods: "01/10614141123459".into(),
            language: "en".into(),
            ..Default::default()
        };
        let answer = world.regulator.report().make_report(request).await;
        answer.map(tonic::Response::into_inner)
    };
    let (csv, pdf) = (wire::ReportFormat::Csv, wire::ReportFormat::Pdf);
    let answer = made(world, wire::ReportKind::Recalled, csv).await.unwrap();
    let text = String::from_utf8(answer.report.clone()).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with(&unit(2).to_string()));
    assert!(line.unwrap().contains(MAKER), "its maker has it: {text}");
    let manifest = Manifest::verify(&answer.note, &key, &answer.report).unwrap();
    assert_eq!(
        (manifest.kind.as_str(), manifest.form.as_str()),
        ("recalled", "csv")
    );
    assert_eq!(manifest.origin, ORIGIN);
    assert_eq!(manifest.log_size, world.checkpoint().await.size().get());
    let other = Manifest::verify(&answer.note, &key, b"another");
    assert!(matches!(other, Err(ReportError::Digest(_))));
    let alerts = made(world, wire::ReportKind::Alerts, csv).await.unwrap();
    let alerts = String::from_utf8(alerts.report).unwrap();
    assert!(alerts.contains("Not the holder,Severe,"), "{alerts}");
    match made(world, wire::ReportKind::Alerts, pdf).await {
        Ok(answer) => {
            assert!(answer.report.starts_with(b"%PDF-"));
            let manifest = Manifest::verify(&answer.note, &key, &answer.report).unwrap();
            assert_eq!(manifest.form, "pdf");
        }
        Err(status) => assert_eq!(status.code(), Code::FailedPrecondition, "no font here"),
    }
    let unset = made(world, wire::ReportKind::Unspecified, csv).await;
    assert_eq!(unset.unwrap_err().code(), Code::InvalidArgument);
}
