//! Fields of measures, inspections and access, each broken once, and questions about them.

use custody::core::wire;
use custody::core::wire::record::Body;
use tonic::Code;

use crate::common::*;
use crate::credit::{but, long, short};
use crate::world::*;

fn measure() -> wire::AttachMeasure {
    wire::AttachMeasure {
        listing: 1,
        kind: 5,
        legal_basis: "art. 9".into(),
        document: "M-1".into(),
        ..Default::default()
    }
}

fn plan() -> wire::AnnounceInspections {
    wire::AnnounceInspections {
        document: "S-1".into(),
        legal_basis: "art. 3".into(),
        role: wire::Role::Courier.into(),
        region: "CN-FJ".into(),
        rates: Some(wire::InspectionRates {
            a: 1,
            ..Default::default()
        }),
        inspectors: vec![vec![1; 16]],
        secret_commitment: vec![1; 32],
    }
}

fn drawn(party: &str) -> wire::DrawnParty {
    wire::DrawnParty {
        party: party.into(),
        tier: 1,
        rate_per_mille: 1,
        inspector: vec![1; 16],
    }
}

fn draw(drawn: Vec<wire::DrawnParty>) -> wire::DrawInspections {
    wire::DrawInspections {
        plan: 1,
        seed: vec![1; 32],
        secret: vec![1; 32],
        drawn,
    }
}

fn result() -> wire::RecordInspection {
    wire::RecordInspection {
        plan: 1,
        party: COURIER.into(),
        result: 1,
        date: 20_261_120,
        document: "S-9".into(),
        report: digest(),
    }
}

fn opening() -> wire::OpenFile {
    wire::OpenFile {
        subject: COURIER.into(),
        purpose: "a complaint".into(),
        document: "K-1".into(),
    }
}

#[allow(clippy::too_many_lines)] // one table
fn cases() -> Vec<(&'static str, Body)> {
    use Body as B;
    let attach = |change: fn(&mut wire::AttachMeasure)| B::AttachMeasure(but(measure(), change));
    let announce =
        |change: fn(&mut wire::AnnounceInspections)| B::AnnounceInspections(but(plan(), change));
    let record =
        |change: fn(&mut wire::RecordInspection)| B::RecordInspection(but(result(), change));
    let open = |change: fn(&mut wire::OpenFile)| B::OpenFile(but(opening(), change));
    let late = 7_258_118_400_000;
    vec![
        ("attach_measure.kind", attach(|b| b.kind = 0)),
        ("attach_measure.kind", attach(|b| b.kind = 9)),
        (
            "attach_measure.rate_per_mille",
            attach(|b| b.rate_per_mille = 1),
        ),
        (
            "attach_measure.rate_per_mille",
            attach(|b| (b.kind, b.rate_per_mille) = (7, 1_001)),
        ),
        (
            "attach_measure.legal_basis",
            attach(|b| b.legal_basis.clear()),
        ),
        (
            "attach_measure.document",
            attach(|b| b.document = long(129)),
        ),
        (
            "attach_measure.until_ms",
            attach(|b| (b.from_ms, b.until_ms) = (2, 2)),
        ),
        ("attach_measure.from_ms", attach(|b| b.from_ms = u64::MAX)),
        (
            "end_measure.legal_basis",
            B::EndMeasure(wire::EndMeasure::default()),
        ),
        (
            "report_measure_applied.action",
            B::ReportMeasureApplied(wire::ReportMeasureApplied::default()),
        ),
        (
            "report_measure_applied.evidence",
            B::ReportMeasureApplied(wire::ReportMeasureApplied {
                measure: 1,
                action: 1,
                evidence: short(),
            }),
        ),
        (
            "announce_inspections.document",
            announce(|b| b.document.clear()),
        ),
        (
            "announce_inspections.legal_basis",
            announce(|b| b.legal_basis = long(257)),
        ),
        ("announce_inspections.role", announce(|b| b.role = 0)),
        (
            "announce_inspections.role",
            announce(|b| b.role = wire::Role::Regulator.into()),
        ),
        (
            "announce_inspections.region",
            announce(|b| b.region = "福建".into()),
        ),
        (
            "announce_inspections.region",
            announce(|b| b.region = "CN-FJ-1".into()),
        ),
        ("announce_inspections.rates", announce(|b| b.rates = None)),
        (
            "announce_inspections.rates",
            announce(|b| {
                b.rates = Some(wire::InspectionRates {
                    d: 1_001,
                    ..Default::default()
                });
            }),
        ),
        (
            "announce_inspections.inspectors",
            announce(|b| b.inspectors.clear()),
        ),
        (
            "announce_inspections.inspectors",
            announce(|b| b.inspectors = vec![vec![1; 16]; 2]),
        ),
        (
            "announce_inspections.inspectors[0]",
            announce(|b| b.inspectors = vec![vec![1; 15]]),
        ),
        (
            "draw_inspections.seed",
            B::DrawInspections(but(draw(Vec::new()), |b| b.seed = vec![1; 31])),
        ),
        (
            "draw_inspections.secret",
            B::DrawInspections(but(draw(Vec::new()), |b| b.secret.clear())),
        ),
        (
            "announce_inspections.secret_commitment",
            announce(|b| b.secret_commitment.clear()),
        ),
        (
            "draw_inspections.drawn",
            B::DrawInspections(draw(vec![drawn(COURIER); 2])),
        ),
        (
            "draw_inspections.drawn",
            B::DrawInspections(draw(vec![drawn(COURIER); 513])),
        ),
        (
            "draw_inspections.drawn[0].party",
            B::DrawInspections(draw(vec![drawn("x")])),
        ),
        (
            "draw_inspections.drawn[0].tier",
            B::DrawInspections(draw(vec![but(drawn(COURIER), |d| d.tier = 6)])),
        ),
        (
            "draw_inspections.drawn[0].inspector",
            B::DrawInspections(draw(vec![but(drawn(COURIER), |d| d.inspector.clear())])),
        ),
        ("record_inspection.party", record(|b| b.party = "x".into())),
        ("record_inspection.result", record(|b| b.result = 6)),
        ("record_inspection.date", record(|b| b.date = 20_261_131)),
        ("record_inspection.document", record(|b| b.document.clear())),
        ("record_inspection.report", record(|b| b.report = None)),
        ("open_file.subject", open(|b| b.subject.clear())),
        ("open_file.purpose", open(|b| b.purpose.clear())),
        ("open_file.purpose", open(|b| b.purpose = long(257))),
        ("open_file.document", open(|b| b.document.clear())),
        (
            "authorise_view.viewer",
            B::AuthoriseView(wire::AuthoriseView::default()),
        ),
        (
            "authorise_view.until_ms",
            B::AuthoriseView(wire::AuthoriseView {
                viewer: MAKER.into(),
                until_ms: late + 1,
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn given_supervision_with_a_broken_field_when_submitted_then_the_field_is_named() {
    let world = World::start().await;
    world.names_fields(cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_what_nobody_made_when_gone_on_with_then_it_is_not_found() {
    let world = World::start().await;
    let bodies = vec![
        ("attach_measure.listing", Body::AttachMeasure(measure())),
        (
            "end_measure.measure",
            Body::EndMeasure(wire::EndMeasure {
                measure: u64::MAX,
                legal_basis: "art. 10".into(),
                document: "M-2".into(),
            }),
        ),
        (
            "report_measure_applied.measure",
            Body::ReportMeasureApplied(wire::ReportMeasureApplied {
                measure: 1,
                action: 1,
                evidence: None,
            }),
        ),
        (
            "draw_inspections.plan",
            Body::DrawInspections(draw(Vec::new())),
        ),
        ("record_inspection.plan", Body::RecordInspection(result())),
        (
            "open_file.subject",
            Body::OpenFile(but(opening(), |b| b.subject = gln(9))),
        ),
    ];
    world.finds_nothing(bodies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_questions_of_supervision_with_a_broken_field_when_asked_then_the_field_is_named() {
    let world = World::start().await;
    let regulator = world.server.regulator().await;
    let invalid = |given: &str, status: tonic::Status, field: &str| {
        check_status(
            given,
            &status,
            Code::InvalidArgument,
            "INVALID_FIELD",
            field,
        );
    };
    for parties in [vec![], vec![COURIER.to_owned(); 513]] {
        let request = wire::GetMeasuresRequest { parties };
        let status = regulator.measure().get_measures(request).await.unwrap_err();
        invalid("too few or too many", status, "parties");
    }
    let request = wire::GetMeasuresRequest {
        parties: vec![COURIER.into(), "x".into()],
    };
    let status = regulator.measure().get_measures(request).await.unwrap_err();
    invalid("no party", status, "parties[1]");
    for (request, field) in [
        (
            wire::ExportSinceRequest {
                cursor: "00".into(),
                ..Default::default()
            },
            "cursor",
        ),
        (
            wire::ExportSinceRequest {
                page_size: 1_001,
                ..Default::default()
            },
            "page_size",
        ),
    ] {
        let status = regulator.export().export_since(request).await.unwrap_err();
        invalid("export", status, field);
    }
    let put = wire::PutPrivateRequest {
        subject: COURIER.into(),
        class: 1,
        salt: vec![1; 16],
        text: "x".into(),
    };
    for (request, field) in [
        (but(put.clone(), |b| b.subject = "x".into()), "subject"),
        (but(put.clone(), |b| b.class = 4), "class"),
        (but(put.clone(), |b| b.salt = vec![1; 15]), "salt"),
        (but(put.clone(), |b| b.text.clear()), "text"),
        (but(put.clone(), |b| b.text = long(4_097)), "text"),
    ] {
        let status = regulator.private().put_private(request).await.unwrap_err();
        invalid("put", status, field);
    }
    let unknown = but(put, |b| b.subject = gln(9));
    let status = regulator.private().put_private(unknown).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let request = wire::ErasePrivateRequest {
        subject: COURIER.into(),
        commitment: vec![1; 31],
    };
    let status = regulator
        .private()
        .erase_private(request)
        .await
        .unwrap_err();
    invalid("erase", status, "commitment");
    let request = wire::PlanInspectionsRequest {
        plan: u64::MAX,
        ..Default::default()
    };
    let status = regulator.inspection().plan_inspections(request).await;
    assert_eq!(status.unwrap_err().code(), Code::NotFound);
    world.stays_intact().await;
}
