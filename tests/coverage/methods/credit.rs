//! The methods of credit supervision, claims and cases.

use super::*;

/// The courier commits itself; where.
async fn commitment(world: &mut World) -> u64 {
    let body = wire::MakeCommitment {
        kind: wire::CommitmentKind::Voluntary.into(),
        text: "We hand over only what we hold.".into(),
        document: None,
    };
    let body = wire::record::Body::MakeCommitment(body);
    let made = draft(&world.trade.courier, &[], body);
    all_accepted(world.session.submit(vec![made]).await.unwrap())[0].log_index
}

pub(super) async fn get_credit_file(world: &mut World) {
    let made = commitment(world).await;
    let mut request = wire::GetCreditFileRequest {
        party: COURIER.into(),
        page_size: 1,
        page_token: String::new(),
    };
    let mut found = Vec::new();
    loop {
        let answer = world.ledger.credit().get_credit_file(request.clone()).await;
        let page = answer.unwrap().into_inner();
        found.extend(page.items);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let last = found.pop().unwrap().item.unwrap();
    let wire::credit_item::Item::Commitment(last) = last else {
        panic!("{last:?}");
    };
    assert_eq!((last.log_index, last.party.as_str()), (made, COURIER));
}

pub(super) async fn get_commitment(world: &mut World) {
    let log_index = commitment(world).await;
    let request = wire::GetCommitmentRequest { log_index };
    let answer = world.ledger.credit().get_commitment(request).await.unwrap();
    let found = answer.into_inner().commitment.unwrap();
    assert_eq!(found.kind(), wire::CommitmentKind::Voluntary);
    let request = wire::GetCommitmentRequest { log_index: 0 };
    let status = world.ledger.credit().get_commitment(request).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::NotFound);
}

pub(super) async fn get_credit_policy(world: &mut World) {
    let request = wire::GetCreditPolicyRequest {};
    let answer = world.ledger.credit().get_credit_policy(request).await;
    let answer = answer.unwrap().into_inner();
    let policy = answer.policy.unwrap();
    assert_eq!((answer.log_index, policy.serious_max_months), (0, 36));
}

/// A firm on the red list; its listing.
async fn listed(world: &mut World) -> u64 {
    let regulator = world.server.regulator_key();
    let proposal = wire::ProposeListing {
        list: wire::ListKind::Red.into(),
        subject: MAKER.into(),
        reason: "ten years without a complaint".into(),
        legal_basis: "measures on the red list, art. 3".into(),
        document: "R-1".into(),
        ..Default::default()
    };
    let proposal = wire::record::Body::ProposeListing(proposal);
    let proposal = draft(&regulator, &[], proposal);
    let listing = all_accepted(world.session.submit(vec![proposal]).await.unwrap())[0].log_index;
    let decision = wire::DecideListing {
        listing,
        decision: wire::ListingDecision::List.into(),
        months: 12,
        legal_basis: "measures on the red list, art. 3".into(),
        document: "R-2".into(),
        ..Default::default()
    };
    let publication = wire::PublishListing { listing };
    let drafts = vec![
        draft(&regulator, &[], wire::record::Body::DecideListing(decision)),
        draft(
            &regulator,
            &[],
            wire::record::Body::PublishListing(publication),
        ),
    ];
    all_accepted(world.session.submit(drafts).await.unwrap());
    listing
}

pub(super) async fn list_listings(world: &mut World) {
    let listing = listed(world).await;
    let list = async |ledger: &Ledger, list: wire::ListKind, subject: &str| {
        let request = wire::ListListingsRequest {
            list: list.into(),
            subject: subject.into(),
            ..Default::default()
        };
        let answer = ledger.listing().list_listings(request).await.unwrap();
        let listings = answer.into_inner().listings.into_iter();
        listings.map(|found| found.log_index).collect::<Vec<_>>()
    };
    let ledger = &world.ledger;
    assert_eq!(list(ledger, wire::ListKind::Red, "").await, [listing]);
    assert_eq!(list(ledger, wire::ListKind::Red, MAKER).await, [listing]);
    assert_eq!(list(ledger, wire::ListKind::Red, COURIER).await, [0; 0]);
    assert_eq!(list(ledger, wire::ListKind::Black, "").await, [0; 0]);
    let end = wire::EndListing {
        listing,
        legal_basis: "measures on the red list, art. 9".into(),
        document: "R-3".into(),
    };
    let end = draft(
        &world.server.regulator_key(),
        &[],
        wire::record::Body::EndListing(end),
    );
    all_accepted(world.session.submit(vec![end]).await.unwrap());
    assert_eq!(list(&world.ledger, wire::ListKind::Red, "").await, [0; 0]);
    let all = list(&world.regulator, wire::ListKind::Red, "").await;
    assert_eq!(all, [listing], "nothing is deleted");
}

pub(super) async fn get_listing(world: &mut World) {
    let log_index = listed(world).await;
    let request = wire::GetListingRequest { log_index };
    let answer = world.ledger.listing().get_listing(request).await.unwrap();
    let found = answer.into_inner().listing.unwrap();
    assert_eq!(found.phase(), wire::ListingPhase::InForce);
    assert_eq!(found.entries, [log_index, log_index + 1, log_index + 2]);
}

pub(super) async fn check_parties(world: &mut World) {
    use custody::core::credit::admission::{Admission, Admissions};
    let request = wire::CheckPartiesRequest {
        parties: vec![COURIER.into()],
    };
    let status = world.ledger.listing().check_parties(request.clone()).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unauthenticated);
    let answer = world.regulator.listing().check_parties(request).await;
    let key = world.server.log_key().parse().unwrap();
    let note = answer.unwrap().into_inner().note;
    let answer = Admissions::verify(&note, &key, custody::sequence::now()).unwrap();
    let courier = (COURIER.parse().unwrap(), Admission::Allowed);
    assert_eq!(answer.parties, [courier]);
}

/// A unit on its way to a buyer; the buyer's key.
async fn bought(
    world: &mut World,
    unit: UnitId,
) -> std::sync::Arc<custody::core::signature::Signer> {
    let buyer = key(100);
    let ship = ship_to(COURIER, &buyer);
    let maker = &world.trade.maker;
    let drafts = vec![
        draft(maker, &[unit], commission()),
        draft(maker, &[unit], ship),
    ];
    all_accepted(world.session.submit(drafts).await.unwrap());
    buyer
}

/// A claim for a unit; its number.
async fn claimed(world: &mut World, unit: UnitId) -> u64 {
    let buyer = bought(world, unit).await;
    let claim = wire::OpenClaim {
        unit: unit.to_string(),
        complaint: wire::Complaint::NotReceived.into(),
        amount_fen: 5_000,
        evidence: digest(),
    };
    let claim = draft(&buyer, &[], wire::record::Body::OpenClaim(claim));
    all_accepted(world.session.submit(vec![claim]).await.unwrap())[0].log_index
}

pub(super) async fn get_claim(world: &mut World) {
    let log_index = claimed(world, unit(700)).await;
    let request = wire::GetClaimRequest { log_index };
    let answer = world.ledger.claim().get_claim(request).await.unwrap();
    let claim = answer.into_inner().claim.unwrap();
    assert_eq!((claim.seller.as_str(), claim.amount_fen), (MAKER, 5_000));
    assert_eq!(claim.answer(), wire::Answer::Unspecified);
}

pub(super) async fn list_claims(world: &mut World) {
    let request = wire::ListClaimsRequest {
        open: true,
        ..Default::default()
    };
    let status = world.ledger.claim().list_claims(request.clone()).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unauthenticated);
    let answer = world.regulator.claim().list_claims(request).await.unwrap();
    assert_eq!(answer.into_inner().claims.len(), 1);
}

pub(super) async fn list_reports(world: &mut World) {
    let report = wire::ReportUnit {
        unit: unit(1).to_string(),
        complaint: wire::Complaint::Tampered.into(),
        evidence: None,
    };
    let report = draft(
        &world.trade.courier,
        &[],
        wire::record::Body::ReportUnit(report),
    );
    all_accepted(world.session.submit(vec![report]).await.unwrap());
    let request = wire::ListReportsRequest::default();
    let answer = world.regulator.claim().list_reports(request).await.unwrap();
    let reports = answer.into_inner().reports;
    assert_eq!(reports.len(), 1);
    assert_eq!(
        (reports[0].party.as_str(), reports[0].unit.as_str()),
        (COURIER, &*unit(1).to_string())
    );
}

pub(super) async fn get_fund(world: &mut World) {
    let request = wire::GetFundRequest {
        party: COURIER.into(),
    };
    let status = world.ledger.claim().get_fund(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound, "it never paid");
}

pub(super) async fn get_reviews(world: &mut World) {
    let request = wire::GetReviewsRequest {
        seller: MAKER.into(),
    };
    let answer = world.ledger.claim().get_reviews(request).await.unwrap();
    let reviews = answer.into_inner();
    assert_eq!(
        (reviews.verified, reviews.unattested),
        (vec![0; 5], vec![0; 5])
    );
}

pub(super) async fn get_score(world: &mut World) {
    let request = wire::GetScoreRequest {
        party: COURIER.into(),
        ..Default::default()
    };
    let status = world.ledger.credit().get_score(request.clone()).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unauthenticated);
    world.open_file(COURIER).await;
    let answer = world.regulator.credit().get_score(request.clone()).await;
    let score = answer.unwrap().into_inner();
    // One unit collected, without a record of the checks.
    assert_eq!(
        (score.points, score.tier.as_str(), score.formula),
        (700, "C", 1)
    );
    let bad = wire::GetScoreRequest {
        until_month: 202_613,
        ..request
    };
    let status = world.regulator.credit().get_score(bad).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
}

/// A case on the first finding; its number.
async fn opened(world: &mut World) -> u64 {
    let case = wire::OpenCase {
        kind: wire::CaseKind::Counterfeit.into(),
        grounds: Some(wire::CaseGrounds {
            findings: vec![1],
            ..Default::default()
        }),
        document: "K-1".into(),
    };
    let regulator = world.server.regulator_key();
    let case = draft(&regulator, &[], wire::record::Body::OpenCase(case));
    all_accepted(world.session.submit(vec![case]).await.unwrap())[0].log_index
}

pub(super) async fn get_case(world: &mut World) {
    let log_index = opened(world).await;
    let request = wire::GetCaseRequest { log_index };
    let status = world.ledger.case().get_case(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    let request = wire::GetCaseRequest { log_index };
    let answer = world.regulator.case().get_case(request).await.unwrap();
    let case = answer.into_inner().case.unwrap();
    assert_eq!((case.agency.as_str(), case.steps.len()), (REGULATOR, 1));
}

pub(super) async fn list_cases(world: &mut World) {
    let case = opened(world).await;
    let list = async |agency: &str| {
        let request = wire::ListCasesRequest {
            agency: agency.into(),
            open: true,
            ..Default::default()
        };
        let answer = world.regulator.case().list_cases(request).await.unwrap();
        let cases = answer.into_inner().cases.into_iter();
        cases.map(|case| case.log_index).collect::<Vec<_>>()
    };
    assert_eq!(list("").await.last(), Some(&case));
    assert_eq!(list(REGULATOR).await.last(), Some(&case));
    assert_eq!(list(COURIER).await, [0; 0]);
}

pub(super) async fn list_alerts(world: &mut World) {
    let request = wire::ListAlertsRequest {
        filter: Some(wire::AlertFilter {
            unit: unit(2).to_string(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = world.regulator.alert().list_alerts(request).await.unwrap();
    let alerts = answer.into_inner().alerts;
    let finding = wire::alert_id::Alert::Finding(1);
    assert_eq!(alerts[0].id.unwrap().alert, Some(finding));
    assert_eq!(alerts[0].level(), wire::AlertLevel::Severe);
}

pub(super) async fn watch_alerts(world: &mut World) {
    let watch = async |cursor: &str| {
        let request = wire::WatchAlertsRequest {
            filter: None,
            cursor: cursor.into(),
        };
        let answer = world.regulator.alert().watch_alerts(request).await;
        answer.unwrap().into_inner()
    };
    let (mut all, mut live) = (watch("start").await, watch("").await);
    let first = all.message().await.unwrap().unwrap();
    let finding = wire::alert_id::Alert::Finding(1);
    assert_eq!(first.alert.unwrap().id.unwrap().alert, Some(finding));
    world.theft(unit(103)).await;
    loop {
        let alert = live.message().await.unwrap().unwrap().alert.unwrap();
        if let Some(wire::alert::About::Finding(finding)) = alert.about
            && finding.unit == unit(103).to_string()
        {
            return;
        }
    }
}

pub(super) async fn get_alert(world: &mut World) {
    let id = Some(wire::AlertId {
        alert: Some(wire::alert_id::Alert::Finding(1)),
    });
    let body = wire::AnswerAlert {
        alert: id,
        answer: wire::AlertAnswer::Acknowledged.into(),
        reason: "a patrol is on its way".into(),
    };
    let body = wire::record::Body::AnswerAlert(body);
    let answer = draft(&world.server.regulator_key(), &[], body);
    let at = all_accepted(world.session.submit(vec![answer]).await.unwrap())[0].log_index;
    let request = wire::GetAlertRequest { id };
    let answer = world.regulator.alert().get_alert(request).await.unwrap();
    let alert = answer.into_inner().alert.unwrap();
    assert_eq!(alert.answer(), wire::AlertAnswer::Acknowledged);
    assert_eq!(
        (alert.answered_at, alert.answered_by.as_str()),
        (at, REGULATOR)
    );
}
