//! The bodies of records of credit supervision.

use super::fields::{digest, id, key_id, needed_digest, text};
use super::{Checked, MAX_NAME, MAX_TEXT};
use crate::core::credit::score::Deduction;
use crate::core::credit::{
    CommitmentKind, CreditPolicy, CreditRecordKind, CreditSeverity, ListKind,
};
use crate::core::record::CalendarDate;
use crate::core::record::credit::{
    AddCreditRecord, CreditBody, ListingDecision, ListingStep, ProposeListing,
};
use crate::core::refusal::Refusal;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::record::Body as WireBody;

/// Most bytes of a commitment or a statement.
const MAX_STATEMENT: usize = 1_024;
/// Most entries that a record of credit supervision names as evidence.
const MAX_EVIDENCE: usize = 16;
/// Longest term: a hundred years.
const MAX_MONTHS: u32 = 1_200;
/// Longest deadline.
const MAX_DAYS: u32 = 366;

/// None when it is another kind of record.
pub(super) fn credit_body(body: &WireBody) -> Option<Checked<CreditBody>> {
    Some(match body {
        WireBody::MakeCommitment(b) => make_commitment(b),
        WireBody::RecordBreach(b) => record_breach(b),
        WireBody::AddCreditRecord(b) => add_credit_record(b),
        WireBody::SetCreditPolicy(b) => policy(b),
        WireBody::ProposeListing(b) => propose(b),
        WireBody::NotifyListing(b) => notify(b),
        WireBody::SubmitStatement(b) => statement(b),
        WireBody::DecideListing(b) => decide(b),
        WireBody::PublishListing(b) => Ok(step(b.listing, ListingStep::Publish)),
        WireBody::ObjectToListing(b) => object(b),
        WireBody::AnswerObjection(b) => answer(
            "answer_objection",
            b.listing,
            b.answer(),
            &b.document,
            |granted| ListingStep::AnswerObjection { granted },
        ),
        WireBody::RequestRepair(b) => request_repair(b),
        WireBody::DecideRepair(b) => answer(
            "decide_repair",
            b.listing,
            b.answer(),
            &b.document,
            |granted| ListingStep::DecideRepair { granted },
        ),
        WireBody::EndListing(b) => end(b),
        WireBody::ObjectToDeduction(b) => object_to_deduction(b),
        WireBody::AnswerDeduction(b) => answer_deduction(b),
        _ => return None,
    })
}

const fn step(listing: u64, step: ListingStep) -> CreditBody {
    CreditBody::Listing {
        listing: LogIndex(listing),
        step,
    }
}

fn make_commitment(b: &wire::MakeCommitment) -> Checked<CreditBody> {
    text(&b.text, "make_commitment.text", 0, MAX_STATEMENT)?;
    match &b.document {
        Some(document) => digest(document, "make_commitment.document")?,
        None if b.text.is_empty() => {
            return Err(Refusal::field(
                "make_commitment.text",
                "give the commitment's text, or the digest of a document that holds it",
            ));
        }
        None => {}
    }
    let kind = CommitmentKind::from_number(b.kind)
        .ok_or_else(|| Refusal::field("make_commitment.kind", "say what the commitment is for"))?;
    Ok(CreditBody::MakeCommitment {
        kind,
        text: b.text.clone(),
    })
}

fn record_breach(b: &wire::RecordBreach) -> Checked<CreditBody> {
    text(&b.reason, "record_breach.reason", 1, MAX_TEXT)?;
    text(&b.document, "record_breach.document", 1, MAX_NAME)?;
    Ok(CreditBody::RecordBreach {
        commitment: LogIndex(b.commitment),
        reason: b.reason.clone(),
        document: b.document.clone(),
        evidence: evidence(&b.evidence, "record_breach.evidence")?,
    })
}

fn add_credit_record(b: &wire::AddCreditRecord) -> Checked<CreditBody> {
    text(&b.legal_basis, "add_credit_record.legal_basis", 1, MAX_TEXT)?;
    text(&b.document, "add_credit_record.document", 1, MAX_NAME)?;
    text_or_commitment(
        &b.text,
        b.text_commitment.as_ref(),
        "add_credit_record.text",
    )?;
    let kind = CreditRecordKind::from_number(b.kind)
        .ok_or_else(|| Refusal::field("add_credit_record.kind", "say what kind of record it is"))?;
    let severity = CreditSeverity::from_number(b.severity);
    if severity.is_some() == (kind == CreditRecordKind::Award) {
        return Err(Refusal::field(
            "add_credit_record.severity",
            "MINOR, ORDINARY or SERIOUS; unset for an award",
        ));
    }
    Ok(CreditBody::AddCreditRecord(AddCreditRecord {
        subject: id(&b.subject, "add_credit_record.subject")?,
        kind,
        severity,
        legal_basis: b.legal_basis.clone(),
        document: b.document.clone(),
        date: CalendarDate::parse(b.date, "add_credit_record.date")?,
        text: b.text.clone(),
    }))
}

fn policy(b: &wire::SetCreditPolicy) -> Checked<CreditBody> {
    text(&b.legal_basis, "set_credit_policy.legal_basis", 1, MAX_TEXT)?;
    let months = [
        b.minor_max_months,
        b.ordinary_max_months,
        b.serious_max_months,
        b.red_max_months,
    ];
    let days = [
        b.statement_days,
        b.objection_days,
        b.answer_days,
        b.rest_days,
    ];
    let in_bounds = months
        .iter()
        .all(|months| (1..=MAX_MONTHS).contains(months))
        && days.iter().all(|days| (1..=MAX_DAYS).contains(days))
        && b.ordinary_min_months <= b.ordinary_max_months
        && b.serious_min_months <= b.serious_max_months
        && [b.transit_hours, b.accept_hours]
            .iter()
            .all(|hours| (1..=MAX_DAYS * 24).contains(hours));
    if !in_bounds {
        return Err(Refusal::field(
            "set_credit_policy",
            format!(
                "most months 1 to {MAX_MONTHS}, least months not above them, days 1 to \
                 {MAX_DAYS}, hours likewise"
            ),
        ));
    }
    Ok(CreditBody::SetCreditPolicy(CreditPolicy {
        minor_max_months: b.minor_max_months,
        ordinary_min_months: b.ordinary_min_months,
        ordinary_max_months: b.ordinary_max_months,
        serious_min_months: b.serious_min_months,
        serious_max_months: b.serious_max_months,
        red_max_months: b.red_max_months,
        statement_days: b.statement_days,
        objection_days: b.objection_days,
        answer_days: b.answer_days,
        transit_hours: b.transit_hours,
        accept_hours: b.accept_hours,
        rest_days: b.rest_days,
    }))
}

fn propose(b: &wire::ProposeListing) -> Checked<CreditBody> {
    text(&b.legal_basis, "propose_listing.legal_basis", 1, MAX_TEXT)?;
    text(&b.document, "propose_listing.document", 1, MAX_NAME)?;
    text_or_commitment(
        &b.reason,
        b.reason_commitment.as_ref(),
        "propose_listing.reason",
    )?;
    let list = ListKind::from_number(b.list)
        .ok_or_else(|| Refusal::field("propose_listing.list", "RED or BLACK"))?;
    let severity = severity_on(list, b.severity, "propose_listing.severity")?;
    if severity == Some(CreditSeverity::Minor) && !b.reason.is_empty() {
        return Err(Refusal::field(
            "propose_listing.reason",
            "a minor listing is never published: give the commitment to its text",
        ));
    }
    Ok(CreditBody::ProposeListing(ProposeListing {
        list,
        subject: id(&b.subject, "propose_listing.subject")?,
        severity,
        reason: b.reason.clone(),
        legal_basis: b.legal_basis.clone(),
        document: b.document.clone(),
        evidence: evidence(&b.evidence, "propose_listing.evidence")?,
    }))
}

fn notify(b: &wire::NotifyListing) -> Checked<CreditBody> {
    text(&b.document, "notify_listing.document", 1, MAX_NAME)?;
    needed_digest(b.notice.as_ref(), "notify_listing.notice")?;
    Ok(step(b.listing, ListingStep::Notify))
}

fn statement(b: &wire::SubmitStatement) -> Checked<CreditBody> {
    text(&b.text, "submit_statement.text", 0, MAX_STATEMENT)?;
    needed_digest(b.document.as_ref(), "submit_statement.document")?;
    let public = !b.text.is_empty();
    Ok(step(b.listing, ListingStep::Statement { public }))
}

fn decide(b: &wire::DecideListing) -> Checked<CreditBody> {
    text(&b.legal_basis, "decide_listing.legal_basis", 1, MAX_TEXT)?;
    text(&b.document, "decide_listing.document", 1, MAX_NAME)?;
    let decision = match b.decision() {
        wire::ListingDecision::List => ListingDecision::List {
            severity: CreditSeverity::from_number(b.severity),
            months: b.months,
            legal_basis: b.legal_basis.clone(),
            document: b.document.clone(),
        },
        wire::ListingDecision::Drop => ListingDecision::Drop,
        wire::ListingDecision::Unspecified => {
            return Err(Refusal::field("decide_listing.decision", "LIST or DROP"));
        }
    };
    Ok(step(b.listing, ListingStep::Decide(decision)))
}

fn object(b: &wire::ObjectToListing) -> Checked<CreditBody> {
    text(&b.reason, "object_to_listing.reason", 0, MAX_TEXT)?;
    needed_digest(b.document.as_ref(), "object_to_listing.document")?;
    let public = !b.reason.is_empty();
    Ok(step(b.listing, ListingStep::Object { public }))
}

fn answer(
    field: &str,
    listing: u64,
    answer: wire::Answer,
    document: &str,
    to_step: impl FnOnce(bool) -> ListingStep,
) -> Checked<CreditBody> {
    Ok(step(listing, to_step(granted(field, answer, document)?)))
}

fn granted(field: &str, answer: wire::Answer, document: &str) -> Checked<bool> {
    text(document, &format!("{field}.document"), 1, MAX_NAME)?;
    match answer {
        wire::Answer::Granted => Ok(true),
        wire::Answer::Refused => Ok(false),
        wire::Answer::Unspecified => Err(Refusal::field(
            format!("{field}.answer"),
            "GRANTED or REFUSED",
        )),
    }
}

fn object_to_deduction(b: &wire::ObjectToDeduction) -> Checked<CreditBody> {
    use wire::deduction_ref::Deduction as D;
    needed_digest(b.document.as_ref(), "object_to_deduction.document")?;
    let field = "object_to_deduction.deduction";
    let named = b
        .deduction
        .as_ref()
        .and_then(|named| named.deduction.as_ref());
    let deduction = match named {
        Some(D::Finding(number)) => Deduction::Finding(*number),
        Some(D::Lapse(lapse)) => Deduction::Lapse(
            key_id(&lapse.key_id, "object_to_deduction.deduction.lapse.key_id")?,
            LogIndex(lapse.log_index),
        ),
        Some(D::Claim(index)) => Deduction::Claim(LogIndex(*index)),
        None => return Err(Refusal::field(field, "name a finding, a lapse or a claim")),
    };
    Ok(CreditBody::ObjectToDeduction { deduction })
}

fn answer_deduction(b: &wire::AnswerDeduction) -> Checked<CreditBody> {
    Ok(CreditBody::AnswerDeduction {
        objection: LogIndex(b.objection),
        granted: granted("answer_deduction", b.answer(), &b.document)?,
    })
}

fn request_repair(b: &wire::RequestRepair) -> Checked<CreditBody> {
    needed_digest(b.proof.as_ref(), "request_repair.proof")?;
    let commitment = LogIndex(b.commitment);
    Ok(step(b.listing, ListingStep::RequestRepair { commitment }))
}

fn end(b: &wire::EndListing) -> Checked<CreditBody> {
    text(&b.legal_basis, "end_listing.legal_basis", 1, MAX_TEXT)?;
    text(&b.document, "end_listing.document", 1, MAX_NAME)?;
    Ok(step(b.listing, ListingStep::End))
}

/// A black listing has a severity, a red one has none.
fn severity_on(list: ListKind, number: i32, field: &str) -> Checked<Option<CreditSeverity>> {
    let severity = CreditSeverity::from_number(number);
    if severity.is_some() != (list == ListKind::Black) {
        return Err(Refusal::field(
            field,
            "MINOR, ORDINARY or SERIOUS on the black list, unset on the red list",
        ));
    }
    Ok(severity)
}

fn evidence(indexes: &[u64], field: &str) -> Checked<Vec<LogIndex>> {
    if indexes.len() > MAX_EVIDENCE {
        return Err(Refusal::field(field, format!("at most {MAX_EVIDENCE}")));
    }
    Ok(indexes.iter().copied().map(LogIndex).collect())
}

/// A text for everybody, or a commitment to one that can be erased.
fn text_or_commitment(value: &str, commitment: Option<&wire::Digest>, field: &str) -> Checked<()> {
    text(value, field, 0, MAX_TEXT)?;
    match (commitment, value.is_empty()) {
        (Some(commitment), true) => digest(commitment, &format!("{field}_commitment")),
        (None, false) => Ok(()),
        _ => Err(Refusal::field(
            field,
            "give the text, or the commitment to one that must stay erasable, not both",
        )),
    }
}
