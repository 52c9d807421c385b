//! `CaseService`: cases, and each agency's queue. Every call needs a regulator's token.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::alert::signal_id;
use super::listing::Sight;
use super::pages::{list, number_after};
use super::{errors, token};
use crate::core::apply::state::{CaseQueue, Cases, Read};
use crate::core::credit::{Case, CaseAct, CaseStep};
use crate::core::id::PartyId;
use crate::core::record::{Millis, Role};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use crate::core::wire::case_service_server::CaseService;
use crate::node::Node;

pub(super) struct CaseDesk {
    node: Arc<Node>,
}

impl CaseDesk {
    pub(super) fn new(node: &Arc<Node>) -> Self {
        Self {
            node: Arc::clone(node),
        }
    }
}

#[tonic::async_trait]
impl CaseService for CaseDesk {
    async fn get_case(
        &self,
        request: Request<wire::GetCaseRequest>,
    ) -> Result<Response<wire::GetCaseResponse>, Status> {
        let caller = token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let index = LogIndex(request.get_ref().log_index);
        let sight = Sight::new(&self.node, Some(caller))?;
        let row = sight.view.get::<Cases>(&index).map_err(errors::store)?;
        let row = row.ok_or_else(|| errors::not_found(format!("entry {index} opens no case")))?;
        Ok(Response::new(wire::GetCaseResponse {
            case: Some(case(index, &row, sight.now)),
        }))
    }

    async fn list_cases(
        &self,
        request: Request<wire::ListCasesRequest>,
    ) -> Result<Response<wire::ListCasesResponse>, Status> {
        let caller = token::check(request.metadata(), &self.node, &[Role::Regulator])?;
        let request = request.into_inner();
        let agency: Option<PartyId> = match request.agency.as_str() {
            "" => None,
            agency => Some(agency.parse().map_err(errors::bad_id("agency"))?),
        };
        let answer = super::off_thread(&self.node, move |node| {
            let sight = Sight::new(node, Some(caller))?;
            page(&sight, agency, &request)
        });
        answer.await.map(Response::new)
    }
}

fn page(
    sight: &Sight<'_>,
    agency: Option<PartyId>,
    request: &wire::ListCasesRequest,
) -> Result<wire::ListCasesResponse, Status> {
    let (size, token) = (request.page_size, &request.page_token);
    let wanted = |row: &Case| !request.open || row.outcome.is_none();
    let (cases, next_page_token) = if let Some(agency) = agency {
        let prefix = agency.to_compact();
        let show = |key: &[u8], open: bool| {
            let Some(index) = number_after(&prefix, key).map(LogIndex).filter(|_| open) else {
                return Ok(None);
            };
            let row = sight.view.get::<Cases>(&index).map_err(errors::store)?;
            Ok(row.map(|row| case(index, &row, sight.now)))
        };
        list::<CaseQueue, _>(&sight.view, &prefix, size, token, show)?
    } else {
        let show = |key: &[u8], row: Arc<Case>| {
            let index = number_after(&[], key)
                .map(LogIndex)
                .filter(|_| wanted(&row));
            Ok(index.map(|index| case(index, &row, sight.now)))
        };
        list::<Cases, _>(&sight.view, &[], size, token, show)?
    };
    Ok(wire::ListCasesResponse {
        cases,
        next_page_token,
    })
}

fn case(index: LogIndex, row: &Case, now: Millis) -> wire::Case {
    let numbers = |indexes: &[LogIndex]| indexes.iter().map(|index| index.0).collect();
    let (outcome, legal_basis) = row
        .outcome
        .as_ref()
        .map_or((0, String::new()), |(outcome, law)| {
            (outcome.number(), law.clone())
        });
    wire::Case {
        log_index: index.0,
        kind: row.kind.number(),
        grounds: Some(wire::CaseGrounds {
            findings: row.grounds.findings.clone(),
            reports: numbers(&row.grounds.reports),
            claims: numbers(&row.grounds.claims),
            subjects: row
                .grounds
                .subjects
                .iter()
                .map(ToString::to_string)
                .collect(),
            signals: row
                .grounds
                .signals
                .iter()
                .map(|(kind, index)| signal_id(*kind, *index))
                .collect(),
        }),
        agency: row.agency.to_string(),
        due_ms: row.due.map_or(0, |due| due.0),
        overdue: row.is_overdue(now),
        outcome,
        legal_basis,
        steps: row.steps.iter().map(step).collect(),
    }
}

fn step(step: &CaseStep) -> wire::CaseStep {
    let (kind, to) = match step.act {
        CaseAct::Opened => (wire::CaseStepKind::Opened, String::new()),
        CaseAct::Added => (wire::CaseStepKind::Added, String::new()),
        CaseAct::Referred(to) => (wire::CaseStepKind::Referred, to.to_string()),
        CaseAct::Closed => (wire::CaseStepKind::Closed, String::new()),
    };
    wire::CaseStep {
        log_index: step.at.index.0,
        time_ms: step.at.time.0,
        agency: step.by.to_string(),
        kind: kind.into(),
        document: step.document.clone(),
        to,
    }
}
