//! Answers to alerts.

use super::fields::text;
use super::{Checked, MAX_TEXT};
use crate::core::credit::{AlertAnswer, AlertId, SignalKind};
use crate::core::record::Body;
use crate::core::refusal::Refusal;
use crate::core::tlog::LogIndex;
use crate::core::wire;

pub(super) fn answer(b: &wire::AnswerAlert) -> Checked<Body> {
    let alert = alert(b.alert.as_ref(), "answer_alert.alert")?;
    let answer = AlertAnswer::from_number(b.answer)
        .filter(|answer| *answer != AlertAnswer::InCase)
        .ok_or_else(|| {
            Refusal::field(
                "answer_alert.answer",
                "acknowledge or dismiss it; to look into it together, open a case on it",
            )
        })?;
    let least = usize::from(answer == AlertAnswer::Dismissed);
    text(&b.reason, "answer_alert.reason", least, MAX_TEXT)?;
    Ok(Body::AnswerAlert {
        alert,
        answer,
        reason: b.reason.clone(),
    })
}

fn alert(id: Option<&wire::AlertId>, field: &str) -> Checked<AlertId> {
    match id.and_then(|id| id.alert.as_ref()) {
        Some(wire::alert_id::Alert::Finding(number)) => Ok(AlertId::Finding(*number)),
        Some(wire::alert_id::Alert::Signal(id)) => {
            let (kind, index) = signal(id, &format!("{field}.signal"))?;
            Ok(AlertId::Signal(kind, index))
        }
        None => Err(Refusal::field(field, "say which alert")),
    }
}

pub(super) fn signal(id: &wire::SignalId, field: &str) -> Checked<(SignalKind, LogIndex)> {
    let kind = SignalKind::from_number(id.kind)
        .ok_or_else(|| Refusal::field(format!("{field}.kind"), "say which kind of signal"))?;
    Ok((kind, LogIndex(id.log_index)))
}
