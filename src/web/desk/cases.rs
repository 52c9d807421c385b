//! Cases: an agency's queue, and one case with its joint history.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;

use super::alerts::View;
use super::{Desk, Frame, framed};
use crate::core::wire;
use crate::core::wire::alert_id::Alert;
use crate::core::words::{Choice as _, choices};
use crate::web::page::{Site, shown};
use crate::web::problem::Problem;

/// Cases of one page.
const PAGE: u32 = 100;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// `all` or `open`; else the agency's own queue.
    show: String,
    page: String,
}

/// A case in a line.
struct Line {
    case: wire::Case,
    agency: String,
    opened_ms: u64,
    document: String,
    subjects: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "desk/cases.html")]
struct ListPage {
    site: Site,
    desk: Frame,
    asked: Asked,
    cases: Vec<Line>,
    next: String,
    kinds: Vec<(&'static str, &'static str)>,
}

framed!(ListPage, OnePage);

fn line(desk: &Desk, case: wire::Case) -> Result<Line, Problem> {
    let opened = case.steps.first().cloned().unwrap_or_default();
    let subjects = case
        .grounds
        .as_ref()
        .map_or(&[][..], |grounds| &grounds.subjects);
    Ok(Line {
        agency: desk.name(&case.agency)?,
        opened_ms: opened.time_ms,
        document: opened.document,
        subjects: desk.names(subjects)?,
        case,
    })
}

pub(super) async fn list(desk: Desk, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let request = wire::ListCasesRequest {
        agency: match asked.show.as_str() {
            "all" | "open" => String::new(),
            _ => desk.frame.party.to_string(),
        },
        open: asked.show == "open",
        page_size: PAGE,
        page_token: asked.page.clone(),
    };
    let answer = desk.ledger.case().list_cases(request).await?.into_inner();
    let next = match answer.next_page_token.as_str() {
        "" => String::new(),
        token => format!(
            "/desk/cases?show={}&page={token}",
            super::in_query(&asked.show)
        ),
    };
    let lang = desk.site.lang;
    let cases = answer.cases.into_iter().map(|case| line(&desk, case));
    Ok(shown(&ListPage {
        cases: cases.collect::<Result<_, _>>()?,
        kinds: choices(wire::CaseKind::all(), lang),
        site: desk.site,
        desk: desk.frame,
        asked,
        next,
    }))
}

#[derive(Template)]
#[template(path = "desk/case.html")]
struct OnePage {
    site: Site,
    desk: Frame,
    line: Line,
    alerts: Vec<View>,
    steps: Vec<(wire::CaseStep, String, String)>,
    agencies: Vec<(String, String)>,
    outcomes: Vec<(&'static str, &'static str)>,
    /// It is in this agency's hands.
    own: bool,
}

pub(super) async fn one(desk: Desk, Path(index): Path<u64>) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let request = wire::GetCaseRequest { log_index: index };
    let case = desk
        .ledger
        .case()
        .get_case(request)
        .await?
        .into_inner()
        .case;
    let case = case.unwrap_or_default();
    let mut alerts = Vec::new();
    for id in alerts_of(&case) {
        alerts.extend(desk.alert(id).await?);
    }
    let mut steps = Vec::with_capacity(case.steps.len());
    for step in &case.steps {
        steps.push((step.clone(), desk.name(&step.agency)?, desk.name(&step.to)?));
    }
    let agencies = desk.regulators().await?;
    Ok(shown(&OnePage {
        own: case.agency == desk.frame.party.to_string(),
        outcomes: choices(wire::CaseOutcome::all(), lang),
        line: line(&desk, case)?,
        site: desk.site,
        desk: desk.frame,
        alerts,
        steps,
        agencies,
    }))
}

/// The findings and signals that a case rests on.
fn alerts_of(case: &wire::Case) -> Vec<Alert> {
    let grounds = case.grounds.clone().unwrap_or_default();
    let findings = grounds.findings.into_iter().map(Alert::Finding);
    let signals = grounds.signals.into_iter().map(Alert::Signal);
    findings.chain(signals).collect()
}
