//! Who may call what: every method by every role, allowed or refused, over real gRPC.

use std::future::Future;
use std::pin::Pin;

use custody::client::Ledger;
use custody::core::wire;
use tonic::{Code, Status};
use wire::Role::{Auditor, Bank, Courier, Fund, Platform, Regulator};

use super::methods::{World, reflected};
use crate::common::*;

/// Calls a method about the maker, or about nothing in particular.
type Call = for<'a> fn(&'a Ledger) -> Pin<Box<dyn Future<Output = Result<(), Status>> + 'a>>;

/// Methods that everybody may call, without a token; what they tell may still depend on who asks.
const OPEN: [&str; 29] = [
    "custody.v1.LedgerService/Submit",
    "custody.v1.LedgerService/SubmitStream",
    "custody.v1.LedgerService/GetHeads",
    "custody.v1.ProvenanceService/GetProvenance",
    "custody.v1.ProvenanceService/BatchGetStandings",
    "custody.v1.ProvenanceService/GetBundle",
    "custody.v1.ProvenanceService/WatchUnit",
    "custody.v1.RegistryService/GetParty",
    "custody.v1.RegistryService/ListParties",
    "custody.v1.RegistryService/GetKey",
    "custody.v1.RegistryService/ListKeys",
    "custody.v1.RegistryService/GetProduct",
    "custody.v1.RegistryService/ListProducts",
    "custody.v1.CreditService/GetCommitment",
    "custody.v1.CreditService/GetCreditPolicy",
    "custody.v1.ListingService/ListListings",
    "custody.v1.ListingService/GetListing",
    "custody.v1.InspectionService/ListInspectionPlans",
    "custody.v1.InspectionService/ListInspections",
    "custody.v1.LogService/GetCheckpoint",
    "custody.v1.LogService/GetInclusionProof",
    "custody.v1.LogService/GetConsistencyProof",
    "custody.v1.LogService/ReadTile",
    "custody.v1.ClaimService/GetClaim",
    "custody.v1.ClaimService/GetFund",
    "custody.v1.ClaimService/GetReviews",
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

/// Who a method is for, and how to call it. A credit file is open, but a regulator opens it first.
fn guarded() -> Vec<(&'static str, Vec<wire::Role>, Call)> {
    macro_rules! guarded {
        ($($service:literal, $method:literal: $roles:expr => $client:ident.$call:ident($request:expr);)*) => {
            vec![$({
                let call: Call = |ledger| {
                    Box::pin(async move {
                        let answer = ledger.$client().$call($request).await;
                        answer.map(drop)
                    })
                };
                (concat!("custody.v1.", $service, "/", $method), $roles.to_vec(), call)
            }),*]
        };
    }
    guarded! {
        "RegulatorService", "ListFindings": [Regulator] => regulator.list_findings(wire::ListFindingsRequest::default());
        "RegulatorService", "WatchFindings": [Regulator] => regulator.watch_findings(wire::WatchFindingsRequest::default());
        "RegulatorService", "VerifyUnit": [Regulator] => regulator.verify_unit(wire::VerifyUnitRequest { unit: unit(1).to_string() });
        "RegulatorService", "ListEntries": [Regulator] => regulator.list_entries(wire::ListEntriesRequest::default());
        "RegulatorService", "Stats": [Regulator] => regulator.stats(wire::StatsRequest {});
        "RegulatorService", "GetActivity": [Regulator] => regulator.get_activity(wire::GetActivityRequest::default());
        "LogService", "StreamEntries": [Regulator, Auditor] => log.stream_entries(wire::StreamEntriesRequest::default());
        "AlertService", "ListAlerts": [Regulator] => alert.list_alerts(wire::ListAlertsRequest::default());
        "AlertService", "WatchAlerts": [Regulator] => alert.watch_alerts(wire::WatchAlertsRequest::default());
        "AlertService", "GetAlert": [Regulator] => alert.get_alert(wire::GetAlertRequest::default());
        "CaseService", "GetCase": [Regulator] => case.get_case(wire::GetCaseRequest::default());
        "CaseService", "ListCases": [Regulator] => case.list_cases(wire::ListCasesRequest::default());
        "ClaimService", "ListClaims": [Fund, Platform, Regulator] => claim.list_claims(wire::ListClaimsRequest::default());
        "ClaimService", "ListReports": [Regulator] => claim.list_reports(wire::ListReportsRequest::default());
        "CreditService", "GetScore": [Platform, Regulator] => credit.get_score(wire::GetScoreRequest { party: MAKER.into(), ..Default::default() });
        "CreditService", "GetFinancialView": [Bank, Fund] => credit.get_financial_view(wire::GetFinancialViewRequest { party: MAKER.into(), ..Default::default() });
        "CreditService", "ListFileReads": [Regulator, Auditor] => credit.list_file_reads(wire::ListFileReadsRequest { party: MAKER.into(), ..Default::default() });
        "ReportService", "MakeReport": [Regulator] => report.make_report(wire::MakeReportRequest { kind: wire::ReportKind::Couriers.into(), ..Default::default() });
        "CreditService", "ListObjections": [Regulator] => credit.list_objections(wire::ListObjectionsRequest::default());
        "ListingService", "CheckParties": [Platform, Regulator] => listing.check_parties(wire::CheckPartiesRequest { parties: vec![MAKER.into()] });
        "MeasureService", "GetMeasures": [Platform, Bank, Fund, Regulator] => measure.get_measures(wire::GetMeasuresRequest { parties: vec![MAKER.into()] });
        "InspectionService", "PlanInspections": [Regulator] => inspection.plan_inspections(wire::PlanInspectionsRequest::default());
        "ReplicaService", "FetchSnapshot": [] => replica.fetch_snapshot(wire::FetchSnapshotRequest::default());
        "ExportService", "ExportSince": [Platform, Bank, Regulator] => export.export_since(wire::ExportSinceRequest::default());
        "PrivateService", "PutPrivate": [Regulator] => private.put_private(wire::PutPrivateRequest { subject: MAKER.into(), ..Default::default() });
        "PrivateService", "GetPrivate": [Regulator] => private.get_private(wire::GetPrivateRequest { subject: MAKER.into(), commitment: vec![1; 32] });
        "PrivateService", "ListPrivate": [Regulator] => private.list_private(wire::ListPrivateRequest { subject: MAKER.into(), ..Default::default() });
        "PrivateService", "ErasePrivate": [Regulator] => private.erase_private(wire::ErasePrivateRequest { subject: MAKER.into(), commitment: vec![1; 32] });
    }
}

/// Methods that only ask for some token: to whom they tell nothing, there is nothing.
const ANY_TOKEN: [&str; 4] = [
    "custody.v1.EventService/QueryEvents",
    "custody.v1.EventService/WatchEvents",
    "custody.v1.MeasureService/GetMeasure",
    "custody.v1.MeasureService/ListMeasureReports",
];

/// A credit file is open to everybody; what a token shows more is tested where files are.
const FILE: &str = "custody.v1.CreditService/GetCreditFile";

fn id(role: wire::Role) -> String {
    let body = 61_414_100_100 + i32::from(role) as u64;
    let check = custody::core::id::gs1_check_digit(body);
    format!("gln:0{body}{check}")
}

#[tokio::test(flavor = "multi_thread")]
async fn given_every_method_when_every_role_calls_it_then_only_those_it_is_for_are_answered() {
    let mut world = World::start().await;
    let calls = guarded();
    let mut known: Vec<String> = OPEN
        .iter()
        .chain(&ANY_TOKEN)
        .map(ToString::to_string)
        .collect();
    known.push(FILE.to_owned());
    known.extend(calls.iter().map(|(method, ..)| (*method).to_owned()));
    let mut listed = reflected(&world).await;
    known.sort();
    listed.sort();
    assert_eq!(known, listed, "each method is here once");

    let roles = [
        wire::Role::Maker,
        wire::Role::Distributor,
        wire::Role::Seller,
        Courier,
        wire::Role::Inspector,
        Regulator,
        Platform,
        Bank,
        Fund,
        Auditor,
    ];
    let root = world.server.regulator_key();
    let mut callers = Vec::new();
    for (n, role) in (100..).zip(roles) {
        let (signer, id) = (key(n), id(role));
        world
            .submitted(&signer, register(&signer, &id, &[role]))
            .await;
        world.submitted(&root, approve(&id, &[role])).await;
        if role == Regulator {
            let open = wire::OpenFile {
                subject: MAKER.into(),
                purpose: "roles are tried".into(),
                document: "T-1".into(),
            };
            world
                .submitted(&signer, wire::record::Body::OpenFile(open))
                .await;
        }
        if [Bank, Fund].contains(&role) {
            let consent = wire::AuthoriseView {
                viewer: id.clone(),
                until_ms: custody::sequence::now().0 + 3_600_000,
            };
            let maker = std::sync::Arc::clone(&world.trade.maker);
            let consent = wire::record::Body::AuthoriseView(consent);
            world.submitted(&maker, consent).await;
        }
        callers.push((role, world.server.as_party(&signer, &id).await));
    }
    let nobody = world.server.ledger().await;
    for (method, allowed, call) in calls {
        let status = call(&nobody).await.unwrap_err();
        assert_eq!(
            status.code(),
            Code::Unauthenticated,
            "{method} without a token"
        );
        for (role, ledger) in &callers {
            let code = call(ledger)
                .await
                .map_or_else(|status| status.code(), |()| Code::Ok);
            let refused = [Code::PermissionDenied, Code::Unauthenticated].contains(&code);
            let expected = !allowed.contains(role);
            assert_eq!(refused, expected, "{method} by {role:?}: {code:?}");
        }
    }
}
