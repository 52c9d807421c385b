//! Answers to alerts. A signal is derived outside of the log (see `credit::alert`), so what is checked
//! here is only that the entry it is about is there.

use super::authority::Authority;
use super::governance::needs_regulator;
use super::state::{AlertAnswers, Findings, Read};
use super::{Result, Step};
use crate::core::credit::{AlertAnswer, AlertId, Answered, CaseGrounds};
use crate::core::id::PartyId;
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::LogIndex;

/// Applies an answer that `by` signed with a full key.
pub(super) fn apply<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    by: PartyId,
    (alert, answer, reason): (AlertId, AlertAnswer, &str),
) -> Result<()> {
    needs_regulator(authority)?;
    match alert {
        AlertId::Finding(number) => {
            if step.views.get::<Findings>(&number)?.is_none() {
                let message = format!("there is no finding {number}");
                let refusal = Refusal::new(Reason::NotFound, message);
                return Err(refusal.at("answer_alert.alert.finding").into());
            }
            if answer == AlertAnswer::Dismissed {
                return Err(Refusal::field(
                    "answer_alert.answer",
                    "a finding is dismissed by a DecideFinding",
                )
                .into());
            }
        }
        AlertId::Signal(kind, index) => {
            known_signal(step, index, "answer_alert.alert.signal.log_index")?;
            if answer == AlertAnswer::Acknowledged && kind.needs_case() {
                return Err(Refusal::field(
                    "answer_alert.answer",
                    "what looks like fake orders is dismissed with a reason, or a case is opened \
                     on it",
                )
                .into());
            }
        }
    }
    put(step, by, alert, answer, reason.to_owned(), None);
    Ok(())
}

/// A case rests on these.
pub(super) fn put_in_case<R: Read>(
    step: &mut Step<'_, R>,
    by: PartyId,
    grounds: &CaseGrounds,
    case: LogIndex,
) {
    for alert in grounds.alerts() {
        let answer = AlertAnswer::InCase;
        put(step, by, alert, answer, String::new(), Some(case));
    }
}

/// A signal is about an entry that is in the log.
pub(super) fn known_signal<R: Read>(
    step: &Step<'_, R>,
    index: LogIndex,
    field: &str,
) -> Result<()> {
    if index < step.placed.index {
        return Ok(());
    }
    let message = format!("there is no entry {index}");
    Err(Refusal::new(Reason::NotFound, message).at(field).into())
}

fn put<R: Read>(
    step: &mut Step<'_, R>,
    by: PartyId,
    alert: AlertId,
    answer: AlertAnswer,
    reason: String,
    case: Option<LogIndex>,
) {
    let answered = Answered {
        answer,
        at: step.stamp(),
        by,
        reason,
        case,
    };
    step.views.put::<AlertAnswers>(alert, answered);
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::core::credit::SignalKind;
    use crate::core::record::Role;
    use crate::core::rules::FindingKind;
    use crate::core::wire;

    fn with_a_finding() -> (World, LogIndex) {
        let mut w = World::new();
        let made = w.ok(MAKER, &[item(1)], say::commission());
        let theft = w.draft(COURIER, &[item(1)], say::scan());
        w.beside(&theft, FindingKind::NotHolder);
        (w, made)
    }

    fn finding(number: u64) -> wire::AlertId {
        wire::AlertId {
            alert: Some(wire::alert_id::Alert::Finding(number)),
        }
    }

    fn signal(kind: wire::SignalKind, at: LogIndex) -> wire::AlertId {
        let id = wire::SignalId {
            kind: kind.into(),
            log_index: at.0,
        };
        wire::AlertId {
            alert: Some(wire::alert_id::Alert::Signal(id)),
        }
    }

    fn say(w: &World, by: Who, alert: wire::AlertId, answer: wire::AlertAnswer) -> Draft {
        let body = wire::AnswerAlert {
            alert: Some(alert),
            answer: answer.into(),
            reason: "looked at".into(),
        };
        w.govern(by, Body::AnswerAlert(body))
    }

    fn answer(w: &World, alert: AlertId) -> Option<AlertAnswer> {
        let row = w.state.get::<AlertAnswers>(&alert).unwrap();
        row.map(|row| row.answer)
    }

    use wire::AlertAnswer::{Acknowledged, Dismissed};
    use wire::SignalKind::{AtRest, ClosedRing};

    #[test]
    fn given_alerts_when_a_regulator_answers_then_the_last_answer_stands_and_nobody_elses_does() {
        let (mut w, made) = with_a_finding();
        let rests = AlertId::Signal(SignalKind::AtRest, made);
        for stranger in [MAKER, COURIER, INSPECTOR] {
            let draft = say(&w, stranger, signal(AtRest, made), Acknowledged);
            assert_eq!(w.refused(&draft), Reason::Unauthorised);
        }
        w.clean(&say(&w, REGULATOR, signal(AtRest, made), Acknowledged));
        assert_eq!(answer(&w, rests), Some(AlertAnswer::Acknowledged));
        w.clean(&say(&w, REGULATOR, signal(AtRest, made), Dismissed));
        assert_eq!(answer(&w, rests), Some(AlertAnswer::Dismissed));
        w.clean(&say(&w, REGULATOR, finding(1), Acknowledged));
        let seen = answer(&w, AlertId::Finding(1));
        assert_eq!(seen, Some(AlertAnswer::Acknowledged));
        assert_eq!(w.findings(item(1)).len(), 1, "the finding is as it was");
    }

    #[test]
    fn given_no_such_alert_or_no_such_answer_when_answered_then_it_is_refused() {
        let (mut w, made) = with_a_finding();
        let next = LogIndex(w.log.len() as u64);
        let unknown = say(&w, REGULATOR, signal(AtRest, next), Acknowledged);
        assert_eq!(w.refused(&unknown), Reason::NotFound);
        let unknown = say(&w, REGULATOR, finding(2), Acknowledged);
        assert_eq!(w.refused(&unknown), Reason::NotFound);
        let decided = say(&w, REGULATOR, finding(1), Dismissed);
        assert_eq!(w.refused(&decided), Reason::InvalidField);
        let waved_by = say(&w, REGULATOR, signal(ClosedRing, made), Acknowledged);
        assert_eq!(w.refused(&waved_by), Reason::InvalidField);
    }

    #[test]
    fn given_a_case_when_it_rests_on_alerts_then_they_count_as_answered() {
        let (mut w, made) = with_a_finding();
        let grounds = |kind: wire::SignalKind, at: LogIndex| wire::CaseGrounds {
            findings: vec![1],
            signals: vec![wire::SignalId {
                kind: kind.into(),
                log_index: at.0,
            }],
            ..Default::default()
        };
        let open = |at| wire::OpenCase {
            kind: wire::CaseKind::FakeOrders.into(),
            grounds: Some(grounds(ClosedRing, at)),
            document: "K-1".into(),
        };
        let later = LogIndex(w.log.len() as u64);
        let unknown = w.govern(REGULATOR, Body::OpenCase(open(later)));
        assert_eq!(w.refused(&unknown), Reason::NotFound);
        let case = w.clean(&w.govern(REGULATOR, Body::OpenCase(open(made))));
        for alert in [
            AlertId::Finding(1),
            AlertId::Signal(SignalKind::ClosedRing, made),
        ] {
            let row = w.state.get::<AlertAnswers>(&alert).unwrap().unwrap();
            assert_eq!((row.answer, row.case), (AlertAnswer::InCase, Some(case)));
        }
        let more = wire::AddToCase {
            case: case.0,
            grounds: Some(grounds(AtRest, made)),
            document: "K-2".into(),
        };
        w.clean(&w.govern(REGULATOR, Body::AddToCase(more)));
        let added = answer(&w, AlertId::Signal(SignalKind::AtRest, made));
        assert_eq!(added, Some(AlertAnswer::InCase));
        assert_eq!(w.approve(REGULATOR, MAKER, &[Role::Maker]).by, REGULATOR);
    }
}
