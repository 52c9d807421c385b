//! Records of cases: who may make them, and what they change.

use std::sync::Arc;

use super::alert::{known_signal, put_in_case};
use super::authority::Authority;
use super::governance::{known_party, needs_regulator, needs_root};
use super::state::{CaseQueue, Cases, Claims, Findings, Read, Reports};
use super::{Result, Step};
use crate::core::credit::{Case, CaseGrounds};
use crate::core::id::PartyId;
use crate::core::record::{CaseBody, CaseRecord, Role};
use crate::core::refusal::{Reason, Refusal};

/// Applies a record that `by` signed with a full key.
pub(super) fn apply<R: Read>(
    step: &mut Step<'_, R>,
    authority: &Authority,
    by: PartyId,
    body: &CaseBody,
) -> Result<()> {
    needs_regulator(authority)?;
    let at = step.stamp();
    let document = body.document.clone();
    let (number, before, case) = match &body.act {
        CaseRecord::Open { kind, grounds } => {
            known_grounds(step, grounds)?;
            put_in_case(step, by, grounds, at.index);
            let case = Case::open(*kind, grounds.clone(), at, by, document);
            (at.index, None, case)
        }
        CaseRecord::Add { case, grounds } => {
            known_grounds(step, grounds)?;
            let mut row = in_hand(step, by, *case)?;
            row.add(grounds.clone(), at, by, document)?;
            put_in_case(step, by, grounds, *case);
            (*case, Some(row.agency), row)
        }
        CaseRecord::Refer { case, to, days } => {
            let agency = known_party(step, *to, "refer_case.to")?;
            if !agency.is_active(at.time) || !agency.roles.contains(&Role::Regulator) {
                let message = format!("{to} is no approved regulator");
                return Err(Refusal::field("refer_case.to", message).into());
            }
            let mut row = in_hand(step, by, *case)?;
            let before = row.agency;
            row.refer(*to, *days, at, by, document)?;
            (*case, Some(before), row)
        }
        CaseRecord::Close {
            case,
            outcome,
            legal_basis,
        } => {
            let mut row = in_hand(step, by, *case)?;
            row.close(*outcome, legal_basis.clone(), at, by, document)?;
            (*case, Some(row.agency), row)
        }
    };
    // Values are only ever put: who has a case no more has it marked so.
    if let Some(before) = before {
        step.views.put::<CaseQueue>((before, number), false);
    }
    let open = case.outcome.is_none();
    step.views.put::<CaseQueue>((case.agency, number), open);
    step.views.put::<Cases>(number, Arc::new(case));
    Ok(())
}

/// The case, if it is in the signer's hands, or the signer is a root key.
fn in_hand<R: Read>(
    step: &Step<'_, R>,
    by: PartyId,
    number: crate::core::tlog::LogIndex,
) -> Result<Case> {
    let row = step.views.get::<Cases>(&number)?.ok_or_else(|| {
        let field = format!("{}.case", step.placed.record.kind().name());
        Refusal::new(Reason::NotFound, format!("entry {number} opens no case")).at(field)
    })?;
    if row.agency != by {
        needs_root(
            step,
            "a case is in the hands of one agency: it, or a root key, goes on with it",
        )?;
    }
    Ok(Case::clone(&row))
}

fn known_grounds<R: Read>(step: &Step<'_, R>, grounds: &CaseGrounds) -> Result<()> {
    let name = step.placed.record.kind().name();
    let unknown = |what: &str, number: u64, path: String| -> super::ApplyError {
        Refusal::new(Reason::NotFound, format!("there is no {what} {number}"))
            .at(format!("{name}.grounds.{path}"))
            .into()
    };
    for (i, number) in grounds.findings.iter().enumerate() {
        if step.views.get::<Findings>(number)?.is_none() {
            return Err(unknown("finding", *number, format!("findings[{i}]")));
        }
    }
    for (i, index) in grounds.reports.iter().enumerate() {
        if step.views.get::<Reports>(index)?.is_none() {
            return Err(unknown("report", index.0, format!("reports[{i}]")));
        }
    }
    for (i, index) in grounds.claims.iter().enumerate() {
        if step.views.get::<Claims>(index)?.is_none() {
            return Err(unknown("claim", index.0, format!("claims[{i}]")));
        }
    }
    for (i, (_, index)) in grounds.signals.iter().enumerate() {
        let field = format!("{name}.grounds.signals[{i}].log_index");
        known_signal(step, *index, &field)?;
    }
    for (i, party) in grounds.subjects.iter().enumerate() {
        known_party(step, *party, &format!("{name}.grounds.subjects[{i}]"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::core::record::Millis;
    use crate::core::rules::FindingKind;
    use crate::core::tlog::LogIndex;
    use crate::core::wire;

    const AGENCY: Who = NEWCOMER;

    fn with_a_finding() -> World {
        let mut w = World::new();
        w.clean(&w.register(AGENCY, &[Role::Regulator]));
        w.clean(&w.approve(REGULATOR, AGENCY, &[Role::Regulator]));
        w.ok(MAKER, &[item(1)], say::commission());
        let theft = w.draft(COURIER, &[item(1)], say::scan());
        w.beside(&theft, FindingKind::NotHolder);
        w
    }

    fn grounds(findings: &[u64], subjects: &[Who]) -> Option<wire::CaseGrounds> {
        Some(wire::CaseGrounds {
            findings: findings.to_vec(),
            subjects: subjects.iter().map(|who| who.party().to_string()).collect(),
            ..Default::default()
        })
    }

    fn open(w: &World, by: Who, findings: &[u64]) -> Draft {
        let body = wire::OpenCase {
            kind: wire::CaseKind::Counterfeit.into(),
            grounds: grounds(findings, &[COURIER]),
            document: "K-1".into(),
        };
        w.govern(by, Body::OpenCase(body))
    }

    fn refer(w: &World, by: Who, case: LogIndex, to: Who, days: u32) -> Draft {
        let body = wire::ReferCase {
            case: case.0,
            to: to.party().to_string(),
            days,
            document: "K-2".into(),
        };
        w.govern(by, Body::ReferCase(body))
    }

    fn close(w: &World, by: Who, case: LogIndex) -> Draft {
        let body = wire::CloseCase {
            case: case.0,
            outcome: wire::CaseOutcome::Penalty.into(),
            legal_basis: "Product Quality Law, art. 50".into(),
            document: "K-3".into(),
        };
        w.govern(by, Body::CloseCase(body))
    }

    fn row(w: &World, case: LogIndex) -> Case {
        Case::clone(&w.state.get::<Cases>(&case).unwrap().unwrap())
    }

    fn queue(w: &World, who: Who) -> Vec<LogIndex> {
        let rows = w.state.case_queue.in_order();
        let of = rows.filter(|((agency, _), open)| *agency == who.party() && **open);
        of.map(|((_, case), _)| *case).collect()
    }

    #[test]
    fn given_a_case_when_referred_and_closed_then_each_agency_has_it_while_it_is_in_its_hands() {
        let mut w = with_a_finding();
        for stranger in [MAKER, INSPECTOR] {
            let draft = open(&w, stranger, &[1]);
            assert_eq!(w.refused(&draft), Reason::Unauthorised);
        }
        let unknown = open(&w, REGULATOR, &[2]);
        assert_eq!(w.refused(&unknown), Reason::NotFound);
        let case = w.clean(&open(&w, AGENCY, &[1]));
        assert_eq!(queue(&w, AGENCY), [case]);
        let to_a_firm = refer(&w, AGENCY, case, MAKER, 30);
        assert_eq!(w.refused(&to_a_firm), Reason::InvalidField);
        let told = w.now;
        w.clean(&refer(&w, AGENCY, case, REGULATOR, 30));
        assert_eq!(
            (queue(&w, AGENCY), queue(&w, REGULATOR)),
            (vec![], vec![case])
        );
        let not_theirs = close(&w, AGENCY, case);
        assert_eq!(w.refused(&not_theirs), Reason::Unauthorised);
        let more = wire::AddToCase {
            case: case.0,
            grounds: grounds(&[1], &[SELLER]),
            document: "K-4".into(),
        };
        w.clean(&w.govern(REGULATOR, Body::AddToCase(more)));
        assert_eq!(row(&w, case).grounds.findings, [1], "each once");
        assert_eq!(row(&w, case).grounds.subjects.len(), 2);
        let due = row(&w, case).due.unwrap();
        assert!(due.0 > told + 30 * DAY && due.0 <= told + 31 * DAY);
        assert!(!row(&w, case).is_overdue(Millis(due.0 - 1)) && row(&w, case).is_overdue(due));
        w.clean(&close(&w, REGULATOR, case));
        assert_eq!(queue(&w, REGULATOR), []);
        assert!(!row(&w, case).is_overdue(due), "it is closed");
        assert_eq!(row(&w, case).steps.len(), 4, "the joint history");
        let again = close(&w, REGULATOR, case);
        assert_eq!(w.refused(&again), Reason::FailedPrecondition);
    }

    #[test]
    fn given_a_case_of_another_agency_when_a_root_key_goes_on_with_it_then_it_may() {
        let mut w = with_a_finding();
        let case = w.clean(&open(&w, AGENCY, &[1]));
        w.clean(&close(&w, REGULATOR, case));
        let by_itself = with_a_finding();
        assert_eq!(queue(&by_itself, AGENCY), []);
    }
}
