//! The bodies of records of cases.

use super::alert::signal;
use super::fields::{id, text};
use super::{Checked, MAX_NAME, MAX_TEXT};
use crate::core::credit::{CaseGrounds, CaseKind, CaseOutcome};
use crate::core::record::case::{CaseBody, CaseRecord};
use crate::core::refusal::Refusal;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::record::Body as WireBody;

/// Most of each kind of ground in one record.
const MAX_GROUNDS: usize = 16;
/// Longest deadline.
const MAX_DAYS: u32 = 366;

/// None when it is another kind of record.
pub(super) fn case_body(body: &WireBody) -> Option<Checked<CaseBody>> {
    Some(match body {
        WireBody::OpenCase(b) => open(b),
        WireBody::AddToCase(b) => add(b),
        WireBody::ReferCase(b) => refer(b),
        WireBody::CloseCase(b) => close(b),
        _ => return None,
    })
}

fn body(act: CaseRecord, document: &str, field: &str) -> Checked<CaseBody> {
    text(document, field, 1, MAX_NAME)?;
    Ok(CaseBody {
        act,
        document: document.to_owned(),
    })
}

fn open(b: &wire::OpenCase) -> Checked<CaseBody> {
    let kind = CaseKind::from_number(b.kind)
        .ok_or_else(|| Refusal::field("open_case.kind", "say what the case is about"))?;
    let grounds = grounds(b.grounds.as_ref(), "open_case.grounds")?;
    let act = CaseRecord::Open { kind, grounds };
    body(act, &b.document, "open_case.document")
}

fn add(b: &wire::AddToCase) -> Checked<CaseBody> {
    let act = CaseRecord::Add {
        case: LogIndex(b.case),
        grounds: grounds(b.grounds.as_ref(), "add_to_case.grounds")?,
    };
    body(act, &b.document, "add_to_case.document")
}

fn refer(b: &wire::ReferCase) -> Checked<CaseBody> {
    if !(1..=MAX_DAYS).contains(&b.days) {
        return Err(Refusal::field(
            "refer_case.days",
            format!("1 to {MAX_DAYS}"),
        ));
    }
    let act = CaseRecord::Refer {
        case: LogIndex(b.case),
        to: id(&b.to, "refer_case.to")?,
        days: b.days,
    };
    body(act, &b.document, "refer_case.document")
}

fn close(b: &wire::CloseCase) -> Checked<CaseBody> {
    text(&b.legal_basis, "close_case.legal_basis", 1, MAX_TEXT)?;
    let outcome = CaseOutcome::from_number(b.outcome)
        .ok_or_else(|| Refusal::field("close_case.outcome", "say how the case ends"))?;
    let act = CaseRecord::Close {
        case: LogIndex(b.case),
        outcome,
        legal_basis: b.legal_basis.clone(),
    };
    body(act, &b.document, "close_case.document")
}

fn grounds(b: Option<&wire::CaseGrounds>, field: &str) -> Checked<CaseGrounds> {
    let b = b.ok_or_else(|| Refusal::field(field, "say what the case rests on"))?;
    let counts = [
        b.findings.len(),
        b.reports.len(),
        b.claims.len(),
        b.subjects.len(),
        b.signals.len(),
    ];
    if counts.iter().any(|count| *count > MAX_GROUNDS) {
        return Err(Refusal::field(
            field,
            format!("at most {MAX_GROUNDS} of each kind"),
        ));
    }
    let indexes = |indexes: &[u64]| indexes.iter().copied().map(LogIndex).collect();
    let parse = |(i, text): (usize, &String)| id(text, &format!("{field}.subjects[{i}]"));
    let grounds = CaseGrounds {
        findings: b.findings.clone(),
        reports: indexes(&b.reports),
        claims: indexes(&b.claims),
        subjects: b
            .subjects
            .iter()
            .enumerate()
            .map(parse)
            .collect::<Checked<_>>()?,
        signals: b
            .signals
            .iter()
            .enumerate()
            .map(|(i, id)| signal(id, &format!("{field}.signals[{i}]")))
            .collect::<Checked<_>>()?,
    };
    if grounds.is_empty() {
        return Err(Refusal::field(field, "say what the case rests on"));
    }
    Ok(grounds)
}
