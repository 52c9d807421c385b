//! A unit: its whole history, its findings, and the ledger's own check of it.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use super::alerts::View;
use super::{Desk, Frame, framed};
use crate::api::provenance;
use crate::core::id::UnitId;
use crate::core::wire;
use crate::web::page::{Site, shown, unreadable};
use crate::web::problem::Problem;

/// Steps that are shown; the rest is on the unit's own page.
const STEPS: usize = 500;
/// Findings that are shown.
const FINDINGS: u32 = 100;

#[derive(Template)]
#[template(path = "desk/unit.html")]
struct UnitPage {
    site: Site,
    desk: Frame,
    unit: String,
    page: String,
    answer: wire::GetProvenanceResponse,
    standing: wire::Standing,
    findings: Vec<View>,
    checks: wire::VerifyUnitResponse,
}

framed!(UnitPage);

pub(super) async fn page(desk: Desk, Path(text): Path<String>) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let unit = UnitId::parse_any(&text).map_err(|error| unreadable(lang, &error))?;
    let answer = provenance::provenance(&desk.web.node, unit, STEPS, 0, lang).await?;
    let filter = wire::FindingFilter {
        unit: unit.to_string(),
        ..wire::FindingFilter::default()
    };
    let request = wire::ListFindingsRequest {
        filter: Some(filter),
        page_size: FINDINGS,
        ..wire::ListFindingsRequest::default()
    };
    let mut regulator = desk.ledger.regulator();
    let found = regulator
        .list_findings(request)
        .await?
        .into_inner()
        .findings;
    let findings = desk.found(&found).await?;
    let known = answer
        .standing
        .as_ref()
        .is_some_and(|standing| standing.word() != wire::StandingWord::Unknown);
    let checks = if known {
        let request = wire::VerifyUnitRequest {
            unit: unit.to_string(),
        };
        regulator.verify_unit(request).await?.into_inner()
    } else {
        wire::VerifyUnitResponse::default()
    };
    Ok(shown(&UnitPage {
        site: desk.site,
        desk: desk.frame,
        unit: unit.to_string(),
        page: unit.to_digital_link(""),
        standing: answer.standing.clone().unwrap_or_default(),
        answer,
        findings,
        checks,
    }))
}
