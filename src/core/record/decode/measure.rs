//! The bodies of records of measures.

use super::fields::{digest, text, until};
use super::{Checked, MAX_NAME, MAX_TEXT};
use crate::core::credit::{MeasureAction, MeasureKind};
use crate::core::record::measure::{AttachMeasure, MeasureBody};
use crate::core::refusal::Refusal;
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::record::Body as WireBody;

/// None when it is another kind of record.
pub(super) fn measure_body(body: &WireBody) -> Option<Checked<MeasureBody>> {
    Some(match body {
        WireBody::AttachMeasure(b) => attach(b),
        WireBody::EndMeasure(b) => end(b),
        WireBody::ReportMeasureApplied(b) => report(b),
        _ => return None,
    })
}

fn attach(b: &wire::AttachMeasure) -> Checked<MeasureBody> {
    text(&b.legal_basis, "attach_measure.legal_basis", 1, MAX_TEXT)?;
    text(&b.document, "attach_measure.document", 1, MAX_NAME)?;
    let kind = MeasureKind::from_number(b.kind)
        .ok_or_else(|| Refusal::field("attach_measure.kind", "say what is to be done"))?;
    let most = match kind {
        MeasureKind::InspectionRate => 1_000,
        _ => 0,
    };
    if b.rate_per_mille > most {
        return Err(Refusal::field(
            "attach_measure.rate_per_mille",
            "0 to 1000 of an inspection rate; unset for other measures",
        ));
    }
    let from = until(b.from_ms, "attach_measure.from_ms")?;
    let end = until(b.until_ms, "attach_measure.until_ms")?;
    if end.is_some() && end <= from {
        return Err(Refusal::field(
            "attach_measure.until_ms",
            "the measure ends before it begins",
        ));
    }
    Ok(MeasureBody::Attach(AttachMeasure {
        listing: LogIndex(b.listing),
        kind,
        rate_per_mille: b.rate_per_mille,
        legal_basis: b.legal_basis.clone(),
        document: b.document.clone(),
        from,
        until: end,
    }))
}

fn end(b: &wire::EndMeasure) -> Checked<MeasureBody> {
    text(&b.legal_basis, "end_measure.legal_basis", 1, MAX_TEXT)?;
    text(&b.document, "end_measure.document", 1, MAX_NAME)?;
    Ok(MeasureBody::End {
        measure: LogIndex(b.measure),
    })
}

fn report(b: &wire::ReportMeasureApplied) -> Checked<MeasureBody> {
    let evidence = b.evidence.as_ref();
    evidence.map_or(Ok(()), |d| digest(d, "report_measure_applied.evidence"))?;
    let action = MeasureAction::from_number(b.action)
        .ok_or_else(|| Refusal::field("report_measure_applied.action", "APPLIED or LIFTED"))?;
    Ok(MeasureBody::Report {
        measure: LogIndex(b.measure),
        action,
    })
}
