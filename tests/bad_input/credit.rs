//! Fields of credit supervision and of claims, each broken once.

use custody::core::wire;
use custody::core::wire::record::Body;

use crate::common::*;
use crate::world::*;

pub fn short() -> Option<wire::Digest> {
    Some(wire::Digest {
        algorithm: wire::DigestAlgorithm::Sha256.into(),
        value: vec![1; 31],
    })
}

fn commitment() -> wire::MakeCommitment {
    wire::MakeCommitment {
        kind: 2,
        text: "We keep our word.".into(),
        document: None,
    }
}

fn record() -> wire::AddCreditRecord {
    wire::AddCreditRecord {
        subject: MAKER.into(),
        kind: 1,
        severity: 2,
        legal_basis: "art. 50".into(),
        document: "P-1".into(),
        date: 20_260_601,
        text: "fined".into(),
        text_commitment: None,
    }
}

fn proposal() -> wire::ProposeListing {
    wire::ProposeListing {
        list: 2,
        subject: MAKER.into(),
        severity: 2,
        reason: "sold copies".into(),
        reason_commitment: None,
        legal_basis: "art. 84".into(),
        document: "1".into(),
        evidence: Vec::new(),
    }
}

fn terms() -> wire::SetCreditPolicy {
    wire::SetCreditPolicy {
        minor_max_months: 3,
        ordinary_min_months: 3,
        ordinary_max_months: 12,
        serious_min_months: 12,
        serious_max_months: 36,
        red_max_months: 24,
        statement_days: 5,
        objection_days: 10,
        answer_days: 10,
        transit_hours: 72,
        accept_hours: 48,
        rest_days: 180,
        legal_basis: "art. 1".into(),
    }
}

fn decision() -> wire::DecideListing {
    wire::DecideListing {
        listing: 1,
        decision: 1,
        severity: 2,
        months: 6,
        legal_basis: "art. 84".into(),
        document: "2".into(),
    }
}

fn claim() -> wire::OpenClaim {
    wire::OpenClaim {
        unit: unit(1).to_string(),
        complaint: 1,
        amount_fen: 100,
        evidence: digest(),
    }
}

fn decided() -> wire::DecideClaim {
    wire::DecideClaim {
        claim: 1,
        answer: 1,
        amount_fen: 100,
        legal_basis: "art. 44".into(),
        document: "C-1".into(),
    }
}

/// A sound body, broken by a change.
pub fn but<B>(mut body: B, change: impl FnOnce(&mut B)) -> B {
    change(&mut body);
    body
}

pub fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[allow(clippy::too_many_lines)] // one table
fn signal(kind: i32) -> Option<wire::AlertId> {
    let id = wire::SignalId { kind, log_index: 0 };
    Some(wire::AlertId {
        alert: Some(wire::alert_id::Alert::Signal(id)),
    })
}

fn cases() -> Vec<(&'static str, Body)> {
    use Body as B;
    let commit =
        |change: fn(&mut wire::MakeCommitment)| B::MakeCommitment(but(commitment(), change));
    let add = |change: fn(&mut wire::AddCreditRecord)| B::AddCreditRecord(but(record(), change));
    let propose =
        |change: fn(&mut wire::ProposeListing)| B::ProposeListing(but(proposal(), change));
    let set = |change: fn(&mut wire::SetCreditPolicy)| B::SetCreditPolicy(but(terms(), change));
    let decide = |change: fn(&mut wire::DecideListing)| B::DecideListing(but(decision(), change));
    let open = |change: fn(&mut wire::OpenClaim)| B::OpenClaim(but(claim(), change));
    let settle = |change: fn(&mut wire::DecideClaim)| B::DecideClaim(but(decided(), change));
    vec![
        ("make_commitment.kind", commit(|b| b.kind = 0)),
        ("make_commitment.kind", commit(|b| b.kind = 5)),
        ("make_commitment.text", commit(|b| b.text.clear())),
        ("make_commitment.text", commit(|b| b.text = long(1_025))),
        ("make_commitment.text", commit(|b| b.text = "a\nb".into())),
        ("make_commitment.document", commit(|b| b.document = short())),
        (
            "record_breach.reason",
            B::RecordBreach(wire::RecordBreach {
                document: "1".into(),
                ..Default::default()
            }),
        ),
        (
            "record_breach.document",
            B::RecordBreach(wire::RecordBreach {
                reason: "x".into(),
                document: long(129),
                ..Default::default()
            }),
        ),
        (
            "record_breach.evidence",
            B::RecordBreach(wire::RecordBreach {
                reason: "x".into(),
                document: "1".into(),
                evidence: vec![1; 17],
                ..Default::default()
            }),
        ),
        (
            "add_credit_record.subject",
            add(|b| b.subject = "us".into()),
        ),
        ("add_credit_record.kind", add(|b| b.kind = 7)),
        ("add_credit_record.severity", add(|b| b.severity = 0)),
        ("add_credit_record.severity", add(|b| b.kind = 2)),
        (
            "add_credit_record.legal_basis",
            add(|b| b.legal_basis.clear()),
        ),
        ("add_credit_record.document", add(|b| b.document.clear())),
        ("add_credit_record.date", add(|b| b.date = 20_260_231)),
        ("add_credit_record.text", add(|b| b.text.clear())),
        (
            "add_credit_record.text",
            add(|b| b.text_commitment = digest()),
        ),
        (
            "add_credit_record.text_commitment",
            add(|b| {
                b.text.clear();
                b.text_commitment = short();
            }),
        ),
        ("set_credit_policy", set(|b| b.ordinary_min_months = 13)),
        ("set_credit_policy", set(|b| b.serious_max_months = 1_201)),
        ("set_credit_policy", set(|b| b.minor_max_months = 0)),
        ("set_credit_policy", set(|b| b.statement_days = 0)),
        ("set_credit_policy", set(|b| b.answer_days = 367)),
        (
            "set_credit_policy.legal_basis",
            set(|b| b.legal_basis.clear()),
        ),
        ("propose_listing.list", propose(|b| b.list = 3)),
        ("propose_listing.subject", propose(|b| b.subject.clear())),
        ("propose_listing.severity", propose(|b| b.severity = 0)),
        ("propose_listing.severity", propose(|b| b.list = 1)),
        ("propose_listing.reason", propose(|b| b.reason.clear())),
        ("propose_listing.reason", propose(|b| b.reason = long(257))),
        ("propose_listing.reason", propose(|b| b.severity = 1)),
        (
            "propose_listing.legal_basis",
            propose(|b| b.legal_basis.clear()),
        ),
        ("propose_listing.document", propose(|b| b.document.clear())),
        (
            "propose_listing.evidence",
            propose(|b| b.evidence = vec![1; 17]),
        ),
        (
            "notify_listing.notice",
            B::NotifyListing(wire::NotifyListing {
                document: "1".into(),
                ..Default::default()
            }),
        ),
        (
            "notify_listing.document",
            B::NotifyListing(wire::NotifyListing {
                notice: digest(),
                ..Default::default()
            }),
        ),
        (
            "submit_statement.document",
            B::SubmitStatement(wire::SubmitStatement::default()),
        ),
        ("decide_listing.decision", decide(|b| b.decision = 0)),
        (
            "decide_listing.legal_basis",
            decide(|b| b.legal_basis.clear()),
        ),
        (
            "decide_listing.document",
            decide(|b| b.document = long(129)),
        ),
        (
            "object_to_listing.document",
            B::ObjectToListing(wire::ObjectToListing::default()),
        ),
        (
            "answer_objection.answer",
            B::AnswerObjection(wire::AnswerObjection {
                document: "1".into(),
                ..Default::default()
            }),
        ),
        (
            "answer_objection.document",
            B::AnswerObjection(wire::AnswerObjection {
                answer: 1,
                ..Default::default()
            }),
        ),
        (
            "request_repair.proof",
            B::RequestRepair(wire::RequestRepair::default()),
        ),
        (
            "decide_repair.answer",
            B::DecideRepair(wire::DecideRepair {
                document: "1".into(),
                answer: 3,
                ..Default::default()
            }),
        ),
        (
            "end_listing.legal_basis",
            B::EndListing(wire::EndListing::default()),
        ),
        (
            "report_unit.unit",
            B::ReportUnit(wire::ReportUnit {
                complaint: 1,
                ..Default::default()
            }),
        ),
        (
            "report_unit.complaint",
            B::ReportUnit(wire::ReportUnit {
                unit: unit(1).to_string(),
                ..Default::default()
            }),
        ),
        (
            "open_claim.unit",
            open(|b| b.unit = "01/0614141123458".into()),
        ),
        ("open_claim.complaint", open(|b| b.complaint = 6)),
        ("open_claim.amount_fen", open(|b| b.amount_fen = 0)),
        (
            "open_claim.amount_fen",
            open(|b| b.amount_fen = 100_000_000_001),
        ),
        ("open_claim.evidence", open(|b| b.evidence = None)),
        ("decide_claim.answer", settle(|b| b.answer = 0)),
        ("decide_claim.amount_fen", settle(|b| b.amount_fen = 0)),
        ("decide_claim.amount_fen", settle(|b| b.answer = 2)),
        (
            "decide_claim.legal_basis",
            settle(|b| b.legal_basis.clear()),
        ),
        (
            "record_payout.document",
            B::RecordPayout(wire::RecordPayout::default()),
        ),
        (
            "record_recovery.amount_fen",
            B::RecordRecovery(wire::RecordRecovery {
                document: "1".into(),
                ..Default::default()
            }),
        ),
        (
            "attest_buyer_key.key_id",
            B::AttestBuyerKey(wire::AttestBuyerKey {
                unit: unit(1).to_string(),
                key_id: vec![1; 15],
            }),
        ),
        (
            "review_unit.rating",
            B::ReviewUnit(wire::ReviewUnit {
                unit: unit(1).to_string(),
                rating: 6,
                text: None,
            }),
        ),
        (
            "answer_alert.alert",
            B::AnswerAlert(wire::AnswerAlert::default()),
        ),
        (
            "answer_alert.alert.signal.kind",
            B::AnswerAlert(wire::AnswerAlert {
                alert: signal(10),
                ..Default::default()
            }),
        ),
        (
            "answer_alert.answer",
            B::AnswerAlert(wire::AnswerAlert {
                alert: signal(2),
                answer: wire::AlertAnswer::InCase.into(),
                reason: "x".into(),
            }),
        ),
        (
            "answer_alert.reason",
            B::AnswerAlert(wire::AnswerAlert {
                alert: signal(2),
                answer: wire::AlertAnswer::Dismissed.into(),
                reason: String::new(),
            }),
        ),
        ("open_case.kind", B::OpenCase(wire::OpenCase::default())),
        (
            "open_case.grounds",
            B::OpenCase(wire::OpenCase {
                kind: 1,
                grounds: Some(wire::CaseGrounds::default()),
                document: "1".into(),
            }),
        ),
        (
            "add_to_case.grounds",
            B::AddToCase(wire::AddToCase {
                grounds: Some(wire::CaseGrounds {
                    findings: vec![1; 17],
                    ..Default::default()
                }),
                ..Default::default()
            }),
        ),
        ("refer_case.days", B::ReferCase(wire::ReferCase::default())),
        (
            "close_case.outcome",
            B::CloseCase(wire::CloseCase {
                legal_basis: "x".into(),
                document: "1".into(),
                ..Default::default()
            }),
        ),
        (
            "object_to_deduction.deduction",
            B::ObjectToDeduction(wire::ObjectToDeduction {
                deduction: None,
                document: digest(),
            }),
        ),
        (
            "answer_deduction.answer",
            B::AnswerDeduction(wire::AnswerDeduction {
                document: "1".into(),
                ..Default::default()
            }),
        ),
        ("set_credit_policy", set(|b| b.transit_hours = 0)),
        ("set_credit_policy", set(|b| b.accept_hours = 0)),
        ("set_credit_policy", set(|b| b.rest_days = 400)),
        (
            "review_unit.text",
            B::ReviewUnit(wire::ReviewUnit {
                unit: unit(1).to_string(),
                rating: 5,
                text: short(),
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn given_fields_of_credit_supervision_that_break_a_rule_when_submitted_then_each_is_named() {
    let world = World::start().await;
    world.names_fields(cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn given_listings_and_claims_that_nobody_made_when_gone_on_with_then_they_are_not_found() {
    let world = World::start().await;
    let bodies = vec![
        ("decide_listing.listing", Body::DecideListing(decision())),
        (
            "publish_listing.listing",
            Body::PublishListing(wire::PublishListing { listing: u64::MAX }),
        ),
        ("decide_claim.claim", Body::DecideClaim(decided())),
        (
            "record_breach.commitment",
            Body::RecordBreach(wire::RecordBreach {
                commitment: 3,
                reason: "x".into(),
                document: "1".into(),
                evidence: Vec::new(),
            }),
        ),
    ];
    world.finds_nothing(bodies).await;
}
