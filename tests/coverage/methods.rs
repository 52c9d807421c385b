//! Every gRPC method, as the server lists them by reflection.

use std::future::Future;
use std::pin::Pin;

use custody::client::{Draft, Ledger, Session};
use custody::cluster::snapshot;
use custody::core::id::UnitId;
use custody::core::record::Millis;
use custody::core::tlog::checkpoint::Checkpoint;
use custody::core::tlog::note::NoteSigner;
use custody::core::tlog::proof::{verify_consistency, verify_inclusion};
use custody::core::tlog::{Hash, LogIndex, TreeSize, leaf_hash};
use custody::core::wire;
use prost::Message as _;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::common::*;

mod credit;
mod supervision;

/// A ledger on which a unit went from maker to courier, and a stranger scanned another.
pub(super) struct World {
    pub(super) server: Server,
    session: Session,
    pub(super) trade: Trade,
    ledger: Ledger,
    regulator: Ledger,
}

type Case = for<'a> fn(&'a mut World) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

macro_rules! cases {
    ($($method:literal => $case:path,)*) => {
        vec![$({
            let case: Case = |world| Box::pin($case(world));
            ($method, case)
        }),*]
    };
}

/// Each method, and the case that calls it.
fn method_cases() -> Vec<(&'static str, Case)> {
    cases! {
        "custody.v1.LedgerService/Submit" => submit,
        "custody.v1.LedgerService/SubmitStream" => submit_stream,
        "custody.v1.LedgerService/GetHeads" => get_heads,
        "custody.v1.ProvenanceService/GetProvenance" => get_provenance,
        "custody.v1.ProvenanceService/BatchGetStandings" => batch_get_standings,
        "custody.v1.ProvenanceService/GetBundle" => get_bundle,
        "custody.v1.ProvenanceService/WatchUnit" => watch_unit,
        "custody.v1.RegistryService/GetParty" => get_party,
        "custody.v1.RegistryService/ListParties" => list_parties,
        "custody.v1.RegistryService/GetKey" => get_key,
        "custody.v1.RegistryService/ListKeys" => list_keys,
        "custody.v1.RegistryService/GetProduct" => get_product,
        "custody.v1.RegistryService/ListProducts" => list_products,
        "custody.v1.CreditService/GetCreditFile" => credit::get_credit_file,
        "custody.v1.CreditService/GetCommitment" => credit::get_commitment,
        "custody.v1.CreditService/GetScore" => credit::get_score,
        "custody.v1.CreditService/GetCreditPolicy" => credit::get_credit_policy,
        "custody.v1.ListingService/ListListings" => credit::list_listings,
        "custody.v1.ListingService/GetListing" => credit::get_listing,
        "custody.v1.ListingService/CheckParties" => credit::check_parties,
        "custody.v1.RegulatorService/ListFindings" => list_findings,
        "custody.v1.RegulatorService/WatchFindings" => watch_findings,
        "custody.v1.RegulatorService/VerifyUnit" => verify_unit,
        "custody.v1.RegulatorService/ListEntries" => list_entries,
        "custody.v1.RegulatorService/Stats" => stats,
        "custody.v1.RegulatorService/GetActivity" => get_activity,
        "custody.v1.LogService/GetCheckpoint" => get_checkpoint,
        "custody.v1.LogService/GetInclusionProof" => get_inclusion_proof,
        "custody.v1.LogService/GetConsistencyProof" => get_consistency_proof,
        "custody.v1.LogService/ReadTile" => read_tile,
        "custody.v1.LogService/StreamEntries" => stream_entries,
        "custody.v1.ClaimService/GetClaim" => credit::get_claim,
        "custody.v1.ClaimService/ListClaims" => credit::list_claims,
        "custody.v1.ClaimService/ListReports" => credit::list_reports,
        "custody.v1.ClaimService/GetFund" => credit::get_fund,
        "custody.v1.ClaimService/GetReviews" => credit::get_reviews,
        "custody.v1.AlertService/ListAlerts" => credit::list_alerts,
        "custody.v1.AlertService/WatchAlerts" => credit::watch_alerts,
        "custody.v1.AlertService/GetAlert" => credit::get_alert,
        "custody.v1.CaseService/GetCase" => credit::get_case,
        "custody.v1.CaseService/ListCases" => credit::list_cases,
        "custody.v1.MeasureService/GetMeasures" => supervision::get_measures,
        "custody.v1.MeasureService/GetMeasure" => supervision::get_measure,
        "custody.v1.MeasureService/ListMeasureReports" => supervision::list_measure_reports,
        "custody.v1.CreditService/GetFinancialView" => supervision::get_financial_view,
        "custody.v1.CreditService/ListFileReads" => supervision::list_file_reads,
        "custody.v1.InspectionService/PlanInspections" => supervision::plan_inspections,
        "custody.v1.InspectionService/ListInspectionPlans" => supervision::list_inspection_plans,
        "custody.v1.InspectionService/ListInspections" => supervision::list_inspections,
        "custody.v1.ReplicaService/FetchSnapshot" => fetch_snapshot,
        "custody.v1.ExportService/ExportSince" => supervision::export_since,
        "custody.v1.PrivateService/PutPrivate" => supervision::put_private,
        "custody.v1.PrivateService/GetPrivate" => supervision::get_private,
        "custody.v1.PrivateService/ListPrivate" => supervision::list_private,
        "custody.v1.PrivateService/ErasePrivate" => supervision::erase_private,
        "custody.v1.ReportService/MakeReport" => supervision::make_report,
        "custody.v1.CreditService/ListObjections" => supervision::list_objections,
        "custody.v1.EventService/QueryEvents" => query_events,
        "custody.v1.EventService/WatchEvents" => watch_events,
        "grpc.health.v1.Health/Check" => health_check,
        "grpc.health.v1.Health/Watch" => health_watch,
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => reflection,
    }
}

impl World {
    /// The regulator submits a record; its entry.
    async fn governed(&mut self, body: wire::record::Body) -> u64 {
        let regulator = self.server.regulator_key();
        self.submitted(&regulator, body).await
    }

    /// Somebody submits a record; its entry.
    pub(super) async fn submitted(
        &mut self,
        by: &std::sync::Arc<custody::core::signature::Signer>,
        body: wire::record::Body,
    ) -> u64 {
        let record = draft(by, &[], body);
        all_accepted(self.session.submit(vec![record]).await.unwrap())[0].log_index
    }

    /// The regulator opens a party's file; the entry.
    async fn open_file(&mut self, party: &str) -> u64 {
        let open = wire::OpenFile {
            subject: party.into(),
            purpose: "a complaint is looked into".into(),
            document: "K-7".into(),
        };
        self.governed(wire::record::Body::OpenFile(open)).await
    }

    pub(super) async fn start() -> Self {
        let server = Server::start();
        let mut session = server.session().await;
        let trade = Trade::set_up(&server, &mut session).await;
        let drafts = vec![
            draft(&trade.maker, &[unit(1), unit(2)], commission()),
            draft(&trade.maker, &[unit(1)], handover(COURIER)),
            draft(&trade.scanner, &[unit(1)], accept()),
        ];
        all_accepted(session.submit(drafts).await.unwrap());
        let (ledger, regulator) = (server.ledger().await, server.regulator().await);
        let mut world = Self {
            server,
            session,
            trade,
            ledger,
            regulator,
        };
        world.theft(unit(2)).await;
        world
    }

    /// A stranger scans what it doesn't hold: a finding.
    async fn theft(&mut self, unit: UnitId) {
        let scan = draft(&self.trade.stranger, &[unit], scan());
        let theft = Draft {
            advances: false,
            ..scan
        };
        all_accepted(self.session.submit(vec![theft]).await.unwrap());
    }

    async fn scan(&mut self, unit: UnitId) {
        let scan = draft(&self.trade.scanner, &[unit], scan());
        all_accepted(self.session.submit(vec![scan]).await.unwrap());
    }

    /// An envelope that begins a unit's chain.
    fn made(&self, serial: u64) -> wire::Envelope {
        let maker = &self.trade.maker;
        let record = record(&[unit(serial)], commission());
        crate::common::sign(record, maker, serial.into()).to_wire()
    }

    async fn checkpoint(&self) -> Checkpoint {
        let (note, _) = self.ledger.checkpoint().await.unwrap();
        let key = self.server.log_key().parse().unwrap();
        Checkpoint::verify(&note, &[key], ORIGIN).unwrap()
    }

    async fn channel(&self) -> tonic::transport::Channel {
        let address = self.server.address.clone();
        tonic::transport::Endpoint::from_shared(address)
            .unwrap()
            .connect()
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_every_method_that_the_server_lists_when_called_then_its_case_passes() {
    let mut world = World::start().await;
    let listed = reflected(&world).await;
    let cases = method_cases();
    let tested: Vec<String> = cases
        .iter()
        .map(|(method, _)| (*method).to_owned())
        .collect();
    let missing: Vec<_> = listed
        .iter()
        .filter(|method| !tested.contains(method))
        .collect();
    assert!(missing.is_empty(), "methods without a case: {missing:?}");
    let gone: Vec<_> = tested
        .iter()
        .filter(|method| !listed.contains(method))
        .collect();
    assert!(gone.is_empty(), "cases without a method: {gone:?}");
    for (method, case) in cases {
        println!("{method}");
        case(&mut world).await;
    }
}

/// All methods, as `service/method`, from what the server says about itself.
pub(super) async fn reflected(world: &World) -> Vec<String> {
    let mut client = ServerReflectionClient::new(world.channel().await);
    let mut ask = async |message| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message),
        };
        let stream = client
            .server_reflection_info(tokio_stream::iter([request]))
            .await
            .unwrap();
        stream
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap()
            .message_response
            .unwrap()
    };
    let services = match ask(MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => list.service,
        other => panic!("{other:?}"),
    };
    let mut methods = Vec::new();
    for service in services {
        let files = match ask(MessageRequest::FileContainingSymbol(service.name.clone())).await {
            MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto,
            other => panic!("{}: {other:?}", service.name),
        };
        for file in files {
            let file = prost_types::FileDescriptorProto::decode(file.as_slice()).unwrap();
            for described in &file.service {
                if format!("{}.{}", file.package(), described.name()) == service.name {
                    let names = described.method.iter();
                    methods.extend(names.map(|m| format!("{}/{}", service.name, m.name())));
                }
            }
        }
    }
    methods
}

async fn submit(world: &mut World) {
    let request = wire::SubmitRequest {
        envelope: Some(world.made(101)),
    };
    let receipt = world
        .ledger
        .ledger()
        .submit(request)
        .await
        .unwrap()
        .into_inner()
        .receipt
        .unwrap();
    let size = world.checkpoint().await.size().get();
    assert_eq!(receipt.log_index, size - 1);
    assert_eq!(receipt.record_id.len(), 32);
    assert!(receipt.verdict.unwrap_or_default().findings.is_empty());
}

async fn submit_stream(world: &mut World) {
    let requests: Vec<_> = (102..112)
        .map(|serial| wire::SubmitStreamRequest {
            envelope: Some(world.made(serial)),
        })
        .collect();
    let requests = tokio_stream::iter(requests);
    let mut stream = world
        .ledger
        .ledger()
        .submit_stream(requests)
        .await
        .unwrap()
        .into_inner();
    let mut indexes = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        assert_eq!(answer.sequence, indexes.len() as u64);
        match answer.result.unwrap() {
            wire::submit_stream_response::Result::Receipt(receipt) => {
                indexes.push(receipt.log_index)
            }
            wire::submit_stream_response::Result::Refusal(refusal) => panic!("{refusal:?}"),
        }
    }
    assert_eq!(
        indexes,
        (indexes[0]..indexes[0] + 10).collect::<Vec<_>>(),
        "in the order sent"
    );
}

async fn get_heads(world: &mut World) {
    let units = vec![
        unit(1).to_string(),
        "urn:epc:id:sgtin:0614141.112345.404".into(),
    ];
    let request = wire::GetHeadsRequest { units };
    let heads = world
        .ledger
        .ledger()
        .get_heads(request)
        .await
        .unwrap()
        .into_inner()
        .heads;
    assert_eq!(
        (heads[0].unit.as_str(), heads[0].length),
        (&*unit(1).to_string(), 3)
    );
    assert_eq!(heads[0].head.len(), 32);
    assert_eq!(
        (heads[1].length, heads[1].head.len()),
        (0, 0),
        "it has no chain"
    );
}

async fn get_provenance(world: &mut World) {
    let mut ask = wire::GetProvenanceRequest {
        unit: unit(1).to_string(),
        page_size: 2,
        page_token: String::new(),
    };
    let mut kinds = Vec::new();
    let answer = loop {
        let answer = world
            .ledger
            .provenance()
            .get_provenance(ask.clone())
            .await
            .unwrap();
        let answer = answer.into_inner();
        kinds.extend(answer.steps.iter().map(|step| step.kind.clone()));
        ask.page_token.clone_from(&answer.next_page_token);
        if ask.page_token.is_empty() {
            break answer;
        }
    };
    assert_eq!(kinds, ["commission", "handover", "accept"]);
    assert_eq!(
        (answer.holder.as_str(), answer.maker.as_str()),
        (COURIER, MAKER)
    );
    assert_eq!(
        answer.standing.unwrap().word(),
        wire::StandingWord::InTransit
    );
}

async fn batch_get_standings(world: &mut World) {
    let units = vec![unit(2).to_string(), unit(404).to_string()];
    let request = wire::BatchGetStandingsRequest {
        units: units.clone(),
    };
    let answer = world
        .ledger
        .provenance()
        .batch_get_standings(request)
        .await
        .unwrap();
    let standings = answer.into_inner().standings;
    let asked: Vec<_> = standings
        .iter()
        .map(|standing| standing.unit.clone())
        .collect();
    assert_eq!(asked, units);
    assert_eq!(standings[0].word(), wire::StandingWord::Suspect);
    assert!(!standings[0].reasons.is_empty());
    assert_eq!(standings[1].word(), wire::StandingWord::Unknown);
}

async fn get_bundle(world: &mut World) {
    let request = wire::GetBundleRequest {
        unit: unit(1).to_string(),
    };
    let answer = world.ledger.provenance().get_bundle(request).await.unwrap();
    let bytes = answer.into_inner().bundle.unwrap().encode_to_vec();
    let report = custody::core::bundle::verify(&bytes, &[world.server.log_key().parse().unwrap()]);
    assert!(report.passed(), "{report:?}");
}

async fn watch_unit(world: &mut World) {
    let request = wire::WatchUnitRequest {
        unit: unit(1).to_string(),
    };
    let mut stream = world
        .ledger
        .provenance()
        .watch_unit(request)
        .await
        .unwrap()
        .into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(
        first.standing.unwrap().word(),
        wire::StandingWord::InTransit
    );
    world.scan(unit(1)).await;
    let second = stream.message().await.unwrap().unwrap();
    assert_eq!(second.log_size, first.log_size + 1);
    // What doesn't touch it says nothing; the next scan does.
    world.theft(unit(101)).await;
    world.scan(unit(1)).await;
    let third = stream.message().await.unwrap().unwrap();
    assert_eq!(third.log_size, second.log_size + 2);
}

async fn get_party(world: &mut World) {
    let request = wire::GetPartyRequest { id: COURIER.into() };
    let party = world
        .ledger
        .registry()
        .get_party(request)
        .await
        .unwrap()
        .into_inner();
    let party = party.party.unwrap();
    assert_eq!(
        (party.id.as_str(), party.status()),
        (COURIER, wire::PartyStatus::Active)
    );
    assert!(party.approved_at > party.registered_at);
}

async fn list_parties(world: &mut World) {
    let mut request = wire::ListPartiesRequest {
        page_size: 3,
        page_token: String::new(),
    };
    let mut parties = Vec::new();
    loop {
        let page = world
            .ledger
            .registry()
            .list_parties(request.clone())
            .await
            .unwrap()
            .into_inner();
        parties.extend(page.parties.into_iter().map(|party| party.id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    parties.sort();
    let mut expected = [MAKER, COURIER, STRANGER, REGULATOR];
    expected.sort_unstable();
    assert_eq!(parties, expected);
}

async fn get_key(world: &mut World) {
    let (own, device) = (
        world.trade.courier.key_id().0,
        world.trade.scanner.key_id().0,
    );
    let get = async |ledger: &Ledger, id: [u8; 16]| {
        let request = wire::GetKeyRequest { id: id.to_vec() };
        ledger
            .registry()
            .get_key(request)
            .await
            .map(|answer| answer.into_inner().key.unwrap())
    };
    let key = get(&world.ledger, own).await.unwrap();
    assert_eq!((key.party.as_str(), key.delegated), (COURIER, false));
    assert_eq!(key.status(), wire::KeyStatus::Active);
    assert_eq!(
        get(&world.ledger, device).await.unwrap_err().code(),
        tonic::Code::NotFound
    );
    let key = get(&world.regulator, device).await.unwrap();
    assert_eq!((key.party.as_str(), key.delegated), (COURIER, true));
}

async fn list_keys(world: &mut World) {
    let list = async |ledger: &Ledger| {
        let request = wire::ListKeysRequest {
            party: COURIER.into(),
            ..Default::default()
        };
        ledger
            .registry()
            .list_keys(request)
            .await
            .unwrap()
            .into_inner()
            .keys
    };
    let open = list(&world.ledger).await;
    assert_eq!(open.len(), 1, "an employee's key is nobody's business");
    assert!(!open[0].delegated);
    assert_eq!(list(&world.regulator).await.len(), 2);
}

fn prefix(digits: &str) -> Option<wire::ProductScope> {
    let scope = wire::product_scope::Scope::CompanyPrefix(digits.into());
    Some(wire::ProductScope { scope: Some(scope) })
}

async fn get_product(world: &mut World) {
    let request = wire::GetProductRequest {
        scope: prefix(PREFIX),
    };
    let answer = world
        .ledger
        .registry()
        .get_product(request)
        .await
        .unwrap()
        .into_inner();
    let product = answer.product.unwrap();
    assert_eq!(
        (product.party.as_str(), product.name.as_str()),
        (MAKER, "Tea")
    );
    assert!(product.approved_at > product.claimed_at);
}

async fn list_products(world: &mut World) {
    let request = wire::ListProductsRequest::default();
    let answer = world
        .ledger
        .registry()
        .list_products(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.products.len(), 1);
    assert_eq!(answer.products[0].scope, prefix(PREFIX));
}

async fn list_findings(world: &mut World) {
    let list = async |filter: wire::FindingFilter| {
        let request = wire::ListFindingsRequest {
            filter: Some(filter),
            ..Default::default()
        };
        world
            .regulator
            .regulator()
            .list_findings(request)
            .await
            .unwrap()
            .into_inner()
            .findings
    };
    let at = wire::FindingFilter {
        unit: unit(2).to_string(),
        ..Default::default()
    };
    let findings = list(at).await;
    assert_eq!(
        (findings[0].sequence, findings[0].kind()),
        (1, wire::FindingKind::NotHolder)
    );
    assert_eq!(findings[0].party, STRANGER);
    assert!(!findings[0].text.is_empty() && !findings[0].next_step.is_empty());
    let by_maker = wire::FindingFilter {
        party: MAKER.into(),
        ..Default::default()
    };
    assert_eq!(list(by_maker).await, []);
    let kinds = vec![wire::FindingKind::Expired.into()];
    assert_eq!(
        list(wire::FindingFilter {
            kinds,
            ..Default::default()
        })
        .await,
        []
    );
}

async fn watch_findings(world: &mut World) {
    let mut stream = watch(&world.regulator, 1).await;
    let first = next(&mut stream).await;
    assert_eq!(
        (first.sequence, first.unit.as_str()),
        (1, &*unit(2).to_string())
    );
    // Catch up with what the other cases did, then live.
    let known = world
        .regulator
        .regulator()
        .stats(wire::StatsRequest {})
        .await
        .unwrap();
    let known = known.into_inner().findings;
    for sequence in 2..=known {
        assert_eq!(next(&mut stream).await.sequence, sequence);
    }
    let mut live = watch(&world.regulator, 0).await;
    world.theft(unit(102)).await;
    for stream in [&mut stream, &mut live] {
        let finding = next(stream).await;
        assert_eq!(
            (finding.sequence, finding.unit),
            (known + 1, unit(102).to_string())
        );
    }
}

async fn watch(ledger: &Ledger, from: u64) -> tonic::Streaming<wire::WatchFindingsResponse> {
    let request = wire::WatchFindingsRequest {
        filter: None,
        from_sequence: from,
    };
    ledger
        .regulator()
        .watch_findings(request)
        .await
        .unwrap()
        .into_inner()
}

async fn next(stream: &mut tonic::Streaming<wire::WatchFindingsResponse>) -> wire::FindingRecord {
    stream.message().await.unwrap().unwrap().finding.unwrap()
}

async fn verify_unit(world: &mut World) {
    let request = wire::VerifyUnitRequest {
        unit: unit(2).to_string(),
    };
    let answer = world
        .regulator
        .regulator()
        .verify_unit(request)
        .await
        .unwrap()
        .into_inner();
    assert!(
        answer.passed && answer.checks.iter().all(|check| check.passed),
        "{answer:?}"
    );
    assert!(answer.checks.len() >= 5, "{answer:?}");
    assert_eq!(answer.standing.unwrap().word(), wire::StandingWord::Suspect);
}

async fn list_entries(world: &mut World) {
    let size = world.checkpoint().await.size().get();
    let (mut first, mut count) = (0, 0);
    loop {
        let request = wire::ListEntriesRequest {
            first,
            page_size: 4,
        };
        let page = world
            .regulator
            .regulator()
            .list_entries(request)
            .await
            .unwrap()
            .into_inner();
        for entry in &page.entries {
            assert_eq!(entry.index, count);
            wire::Entry::decode(entry.entry.clone())
                .unwrap()
                .envelope
                .unwrap();
            count += 1;
        }
        first = page.next;
        if first == 0 {
            break;
        }
    }
    assert_eq!(count, size);
}

/// The parameter of a query.
fn asks(name: &str, values: &[&str]) -> wire::QueryParameter {
    wire::QueryParameter {
        name: name.into(),
        values: values.iter().map(ToString::to_string).collect(),
    }
}

async fn query_events(world: &mut World) {
    let request = wire::QueryEventsRequest {
        parameters: vec![asks("EQ_bizStep", &["commissioning"])],
        page_size: 1,
        ..wire::QueryEventsRequest::default()
    };
    let maker = world.server.as_party(&world.trade.maker, MAKER).await;
    let own = maker.event().query_events(request.clone()).await.unwrap();
    let own = own.into_inner();
    assert_eq!(own.events.len(), 1);
    assert_eq!(own.events[0].party, MAKER);
    let record = wire::Record::decode(own.events[0].record.clone()).unwrap();
    assert!(matches!(
        record.body,
        Some(wire::record::Body::Commission(_))
    ));
    // Another party's are not told, unless the unit is named.
    let courier = world.server.as_party(&world.trade.courier, COURIER).await;
    let none = courier.event().query_events(request.clone()).await.unwrap();
    assert!(none.into_inner().events.is_empty());
    let mut named = request.clone();
    named
        .parameters
        .push(asks("MATCH_anyEPC", &[&unit(1).to_string()]));
    let found = courier
        .event()
        .query_events(named)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.events, own.events);
    let wrong = wire::QueryEventsRequest {
        parameters: vec![asks("EQ_bizStep", &["dancing"])],
        ..wire::QueryEventsRequest::default()
    };
    let status = maker.event().query_events(wrong).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let nobody = world.ledger.event().query_events(request).await;
    assert_eq!(nobody.unwrap_err().code(), tonic::Code::Unauthenticated);
}

async fn watch_events(world: &mut World) {
    let courier = world.server.as_party(&world.trade.courier, COURIER).await;
    let request = wire::WatchEventsRequest {
        since_ms: 1,
        ..wire::WatchEventsRequest::default()
    };
    let answer = courier.event().watch_events(request).await.unwrap();
    let mut messages = answer.into_inner();
    let mut cursor = String::new();
    let first = loop {
        let message = messages.message().await.unwrap().unwrap();
        cursor.clone_from(&message.cursor);
        if let Some(event) = message.event {
            break event;
        }
    };
    assert_eq!(first.party, COURIER);
    // On from there: nothing comes twice.
    let on = wire::WatchEventsRequest {
        cursor,
        ..wire::WatchEventsRequest::default()
    };
    let mut messages = courier.event().watch_events(on).await.unwrap().into_inner();
    let message = messages.message().await.unwrap().unwrap();
    let index = message.event.map(|event| event.log_index);
    assert!(index.is_none_or(|index| index > first.log_index));
    let ordered = wire::WatchEventsRequest {
        parameters: vec![asks("orderBy", &["eventTime"])],
        ..wire::WatchEventsRequest::default()
    };
    let status = courier.event().watch_events(ordered).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}

async fn stats(world: &mut World) {
    let answer = world
        .regulator
        .regulator()
        .stats(wire::StatsRequest {})
        .await
        .unwrap();
    let stats = answer.into_inner();
    assert_eq!(stats.log_size, world.checkpoint().await.size().get());
    assert_eq!((stats.parties, stats.units), (4, 13));
    let not_holder = stats
        .findings_by_kind
        .iter()
        .find(|row| row.kind == 4)
        .unwrap();
    assert_eq!(not_holder.count, stats.findings);
    assert!(stats.last_time_ms > TIME);
}

async fn get_activity(world: &mut World) {
    let mut regulator = world.regulator.regulator();
    // A node counts after it has answered: until it has, it says so.
    let size = world.checkpoint().await.size().get();
    let answer = loop {
        let request = wire::GetActivityRequest::default();
        let answer = regulator.get_activity(request).await.unwrap().into_inner();
        if answer.log_size >= size {
            break answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let sum = |of: fn(&wire::Activity) -> u64| answer.activity.iter().map(of).sum::<u64>();
    let stats = regulator.stats(wire::StatsRequest {}).await.unwrap();
    assert_eq!(
        sum(|one| one.look_closer + one.do_not_sell),
        stats.into_inner().findings,
        "here each record breaks one rule at one unit"
    );
    assert!(sum(|one| one.records) > 3);
    let elsewhere = wire::GetActivityRequest {
        region: "JP".into(),
        ..wire::GetActivityRequest::default()
    };
    let answer = regulator.get_activity(elsewhere).await.unwrap();
    assert!(answer.into_inner().activity.is_empty());
    let backwards = wire::GetActivityRequest {
        from_day: 20_260_102,
        until_day: 20_260_101,
        ..wire::GetActivityRequest::default()
    };
    let refused = regulator.get_activity(backwards).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

async fn get_checkpoint(world: &mut World) {
    let checkpoint = world.checkpoint().await;
    assert_eq!(checkpoint.origin(), ORIGIN);
    world.scan(unit(1)).await;
    let later = world.checkpoint().await;
    assert_eq!(later.size().get(), checkpoint.size().get() + 1);
    assert_ne!(later.root(), checkpoint.root());
}

fn hashes(list: &[Vec<u8>]) -> Vec<Hash> {
    list.iter()
        .map(|hash| Hash::new(hash.as_slice().try_into().unwrap()))
        .collect()
}

async fn get_inclusion_proof(world: &mut World) {
    let checkpoint = world.checkpoint().await;
    for index in 0..checkpoint.size().get() {
        let leaf = Some(wire::get_inclusion_proof_request::Leaf::Index(index));
        let request = wire::GetInclusionProofRequest { leaf, size: 0 };
        let proof = world
            .ledger
            .log()
            .get_inclusion_proof(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!((proof.index, proof.size), (index, checkpoint.size().get()));
        let leaf = hashes(&[proof.leaf_hash])[0];
        let (at, size, root) = (LogIndex(index), checkpoint.size(), checkpoint.root());
        verify_inclusion(at, size, &leaf, &hashes(&proof.proof), &root).unwrap();
    }
    let head = world
        .session
        .heads(&[unit(1)])
        .await
        .unwrap()
        .remove(0)
        .head;
    let leaf = Some(wire::get_inclusion_proof_request::Leaf::RecordId(head));
    let request = wire::GetInclusionProofRequest { leaf, size: 0 };
    world
        .ledger
        .log()
        .get_inclusion_proof(request)
        .await
        .expect("by record id");
}

async fn get_consistency_proof(world: &mut World) {
    let first = world.checkpoint().await;
    for _ in 0..3 {
        world.scan(unit(1)).await;
    }
    let second = world.checkpoint().await;
    let request = wire::GetConsistencyProofRequest {
        first_size: first.size().get(),
        second_size: 0,
    };
    let proof = world
        .ledger
        .log()
        .get_consistency_proof(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(proof.second_size, second.size().get());
    let (from, to): (TreeSize, TreeSize) = (first.size(), second.size());
    verify_consistency(
        from,
        to,
        &hashes(&proof.proof),
        &first.root(),
        &second.root(),
    )
    .unwrap();
}

async fn read_tile(world: &mut World) {
    let width = u32::try_from(world.checkpoint().await.size().get()).unwrap();
    let request = wire::ReadTileRequest {
        level: 0,
        index: 0,
        width,
    };
    let tile = world
        .ledger
        .log()
        .read_tile(request)
        .await
        .unwrap()
        .into_inner()
        .hashes;
    let request = wire::ListEntriesRequest {
        first: 0,
        page_size: width,
    };
    let page = world
        .regulator
        .regulator()
        .list_entries(request)
        .await
        .unwrap()
        .into_inner();
    let leaves: Vec<u8> = page
        .entries
        .iter()
        .flat_map(|entry| *leaf_hash(&entry.entry).as_bytes())
        .collect();
    assert_eq!(tile, leaves);
}

async fn stream_entries(world: &mut World) {
    let request = wire::StreamEntriesRequest { first: 3, end: 7 };
    let mut stream = world
        .regulator
        .log()
        .stream_entries(request)
        .await
        .unwrap()
        .into_inner();
    let mut indexes = Vec::new();
    while let Some(page) = stream.message().await.unwrap() {
        indexes.extend(page.entries.iter().map(|entry| entry.index));
    }
    assert_eq!(indexes, [3, 4, 5, 6]);
}

async fn fetch_snapshot(world: &mut World) {
    let text = std::fs::read_to_string(world.server.data.join("log.key")).unwrap();
    let signer = NoteSigner::from_secret_text(text.trim()).unwrap();
    let now = custody::sequence::now();
    let mut replica = world.ledger.replica();
    let mut ask = async |note| {
        let request = wire::FetchSnapshotRequest { note };
        replica.fetch_snapshot(request).await
    };
    let late = Millis(now.0 - 3_600_000);
    let stale = snapshot::request(&signer, late).unwrap();
    // Any other note of the log's: a checkpoint is for everybody.
    let (checkpoint, _) = world.ledger.checkpoint().await.unwrap();
    for note in [stale, checkpoint, b"no note".to_vec()] {
        let status = ask(note).await.expect_err("no request from now");
        assert_eq!(status.code(), tonic::Code::Unauthenticated, "{status}");
    }
    let note = snapshot::request(&signer, now).unwrap();
    let mut parts = ask(note).await.unwrap().into_inner();
    let (mut files, mut told) = (Vec::new(), 0);
    while let Some(part) = parts.message().await.unwrap() {
        if !part.sha256.is_empty() {
            files.push(part.file);
        }
        told = part.files;
    }
    assert!(files.contains(&"CURRENT".to_owned()), "{files:?}");
    assert_eq!(files.len(), usize::try_from(told).unwrap());
}

async fn health_check(world: &mut World) {
    let mut health = HealthClient::new(world.channel().await);
    let request = tonic_health::pb::HealthCheckRequest {
        service: String::new(),
    };
    let answer = health.check(request).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let request = tonic_health::pb::HealthCheckRequest {
        service: "nothing".into(),
    };
    assert_eq!(
        health.check(request).await.unwrap_err().code(),
        tonic::Code::NotFound
    );
}

async fn health_watch(world: &mut World) {
    let mut health = HealthClient::new(world.channel().await);
    let request = tonic_health::pb::HealthCheckRequest {
        service: String::new(),
    };
    let mut stream = health.watch(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
}

async fn reflection(world: &mut World) {
    let methods = reflected(world).await;
    assert!(methods.len() >= 26, "{methods:?}");
    assert!(methods.contains(&"custody.v1.LedgerService/Submit".to_owned()));
}
