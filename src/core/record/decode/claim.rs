//! The bodies of records of consumers.

use super::fields::{digest, key_id, needed_digest, text, unit_id};
use super::{Checked, MAX_NAME, MAX_TEXT};
use crate::core::credit::{Complaint, STARS};
use crate::core::record::claim::ClaimBody;
use crate::core::refusal::Refusal;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::record::Body as WireBody;

/// Greatest amount: a billion yuan.
const MAX_FEN: u64 = 100_000_000_000;

/// None when it is another kind of record.
pub(super) fn claim_body(body: &WireBody) -> Option<Checked<ClaimBody>> {
    Some(match body {
        WireBody::ReportUnit(b) => report(b),
        WireBody::OpenClaim(b) => open(b),
        WireBody::DecideClaim(b) => decide(b),
        WireBody::RecordPayout(b) => payout(b),
        WireBody::RecordRecovery(b) => recovery(b),
        WireBody::AttestBuyerKey(b) => attest(b),
        WireBody::ReviewUnit(b) => review(b),
        _ => return None,
    })
}

fn complaint(number: i32, field: &str) -> Checked<Complaint> {
    Complaint::from_number(number).ok_or_else(|| Refusal::field(field, "say what is wrong"))
}

fn amount(fen: u64, field: &str) -> Checked<u64> {
    if (1..=MAX_FEN).contains(&fen) {
        return Ok(fen);
    }
    Err(Refusal::field(field, format!("1 to {MAX_FEN} fen")))
}

fn report(b: &wire::ReportUnit) -> Checked<ClaimBody> {
    if let Some(evidence) = &b.evidence {
        digest(evidence, "report_unit.evidence")?;
    }
    Ok(ClaimBody::ReportUnit {
        unit: unit_id(&b.unit, "report_unit.unit")?,
        complaint: complaint(b.complaint, "report_unit.complaint")?,
    })
}

fn open(b: &wire::OpenClaim) -> Checked<ClaimBody> {
    needed_digest(b.evidence.as_ref(), "open_claim.evidence")?;
    Ok(ClaimBody::OpenClaim {
        unit: unit_id(&b.unit, "open_claim.unit")?,
        complaint: complaint(b.complaint, "open_claim.complaint")?,
        amount_fen: amount(b.amount_fen, "open_claim.amount_fen")?,
    })
}

fn decide(b: &wire::DecideClaim) -> Checked<ClaimBody> {
    text(&b.legal_basis, "decide_claim.legal_basis", 1, MAX_TEXT)?;
    text(&b.document, "decide_claim.document", 1, MAX_NAME)?;
    let granted_fen = match b.answer() {
        wire::Answer::Granted => Some(amount(b.amount_fen, "decide_claim.amount_fen")?),
        wire::Answer::Refused if b.amount_fen == 0 => None,
        wire::Answer::Refused => {
            return Err(Refusal::field(
                "decide_claim.amount_fen",
                "nothing, where the claim is refused",
            ));
        }
        wire::Answer::Unspecified => {
            return Err(Refusal::field("decide_claim.answer", "GRANTED or REFUSED"));
        }
    };
    Ok(ClaimBody::DecideClaim {
        claim: LogIndex(b.claim),
        granted_fen,
        legal_basis: b.legal_basis.clone(),
        document: b.document.clone(),
    })
}

fn payout(b: &wire::RecordPayout) -> Checked<ClaimBody> {
    text(&b.document, "record_payout.document", 1, MAX_NAME)?;
    Ok(ClaimBody::RecordPayout {
        claim: LogIndex(b.claim),
    })
}

fn recovery(b: &wire::RecordRecovery) -> Checked<ClaimBody> {
    text(&b.document, "record_recovery.document", 1, MAX_NAME)?;
    Ok(ClaimBody::RecordRecovery {
        claim: LogIndex(b.claim),
        amount_fen: amount(b.amount_fen, "record_recovery.amount_fen")?,
    })
}

fn attest(b: &wire::AttestBuyerKey) -> Checked<ClaimBody> {
    Ok(ClaimBody::AttestBuyerKey {
        unit: unit_id(&b.unit, "attest_buyer_key.unit")?,
        key: key_id(&b.key_id, "attest_buyer_key.key_id")?,
    })
}

fn review(b: &wire::ReviewUnit) -> Checked<ClaimBody> {
    if let Some(text) = &b.text {
        digest(text, "review_unit.text")?;
    }
    let rating = u8::try_from(b.rating).unwrap_or(0);
    if !(1..=STARS).contains(&usize::from(rating)) {
        return Err(Refusal::field(
            "review_unit.rating",
            format!("1 to {STARS}"),
        ));
    }
    Ok(ClaimBody::ReviewUnit {
        unit: unit_id(&b.unit, "review_unit.unit")?,
        rating,
    })
}
