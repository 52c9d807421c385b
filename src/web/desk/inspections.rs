//! Random inspections (双随机、一公开): plans, the draw, and the results.

use askama::Template;
use axum::extract::{Form, Path};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Desk, Frame, framed};
use crate::client::draft;
use crate::core::wire;
use crate::core::words::{Choice as _, choices};
use crate::web::page::{Site, shown};
use crate::web::problem::Problem;

/// Plans, and firms of a plan, that are shown.
const PAGE: u32 = 1_000;
/// Pages of a draw.
const MOST_PAGES: usize = 1_000;

#[derive(Template)]
#[template(path = "desk/inspections.html")]
struct ListPage {
    site: Site,
    desk: Frame,
    plans: Vec<(wire::InspectionPlan, String)>,
    roles: Vec<(&'static str, &'static str)>,
    /// This agency's keys: id as Base64, and as people read it.
    inspectors: Vec<(String, String)>,
}

framed!(ListPage, OnePage);

pub(super) async fn list(desk: Desk) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let request = wire::ListInspectionPlansRequest {
        page_size: PAGE,
        page_token: String::new(),
    };
    let found = desk
        .ledger
        .inspection()
        .list_inspection_plans(request)
        .await?
        .into_inner()
        .plans;
    let mut plans = Vec::with_capacity(found.len());
    for plan in found.into_iter().rev() {
        let name = desk.name(&plan.authority)?;
        plans.push((plan, name));
    }
    let request = wire::ListKeysRequest {
        party: desk.frame.party.to_string(),
        page_size: 64,
        page_token: String::new(),
    };
    let keys = desk
        .ledger
        .registry()
        .list_keys(request)
        .await?
        .into_inner()
        .keys;
    let active = keys
        .into_iter()
        .filter(|key| key.status() == wire::KeyStatus::Active);
    let inspected = [
        wire::Role::Maker,
        wire::Role::Distributor,
        wire::Role::Seller,
        wire::Role::Courier,
    ];
    Ok(shown(&ListPage {
        roles: choices(inspected, lang),
        inspectors: active
            .map(|key| (STANDARD.encode(&key.id), hex::encode(&key.id)))
            .collect(),
        site: desk.site,
        desk: desk.frame,
        plans,
    }))
}

/// A firm of a plan.
struct Firm {
    party: String,
    name: String,
    tier: wire::CreditTier,
    rate: u32,
    inspector: String,
    result: Option<wire::InspectionOutcome>,
    document: String,
    log_index: u64,
}

#[derive(Template)]
#[template(path = "desk/inspection.html")]
struct OnePage {
    site: Site,
    desk: Frame,
    plan: wire::InspectionPlan,
    authority: String,
    own: bool,
    firms: Vec<Firm>,
    outcomes: Vec<(&'static str, &'static str)>,
    /// The draw, to be signed: who was looked at, and the record's body as JSON.
    draw: Option<(usize, String)>,
    commitment: String,
}

async fn shown_plan(
    desk: Desk,
    index: u64,
    draw: Option<Zeroizing<Vec<u8>>>,
) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let mut inspection = desk.ledger.inspection();
    let request = wire::ListInspectionPlansRequest {
        page_size: PAGE,
        page_token: String::new(),
    };
    let plans = inspection
        .list_inspection_plans(request)
        .await?
        .into_inner()
        .plans;
    let plan = plans
        .into_iter()
        .find(|plan| plan.log_index == index)
        .ok_or_else(|| {
            Problem::not_found(lang.pick("没有这个抽查计划。", "There is no such plan."))
        })?;
    let request = wire::ListInspectionsRequest {
        plan: index,
        page_size: PAGE,
        page_token: String::new(),
    };
    let found = inspection
        .list_inspections(request)
        .await?
        .into_inner()
        .inspections;
    let mut firms = Vec::with_capacity(found.len());
    for one in found {
        let party = one.party.clone().unwrap_or_default();
        firms.push(Firm {
            name: desk.name(&party.party)?,
            tier: party.tier(),
            rate: party.rate_per_mille,
            inspector: hex::encode(&party.inspector),
            result: Some(one.result())
                .filter(|result| *result != wire::InspectionOutcome::Unspecified),
            document: one.document,
            log_index: one.log_index,
            party: party.party,
        });
    }
    let draw = match draw {
        Some(secret) => Some(drawn(&desk, index, &secret).await?),
        None => None,
    };
    Ok(shown(&OnePage {
        authority: desk.name(&plan.authority)?,
        own: plan.authority == desk.frame.party.to_string(),
        outcomes: choices(wire::InspectionOutcome::all(), lang),
        commitment: hex::encode(&plan.secret_commitment),
        site: desk.site,
        desk: desk.frame,
        plan,
        firms,
        draw,
    }))
}

pub(super) async fn one(desk: Desk, Path(index): Path<u64>) -> Result<Response, Problem> {
    shown_plan(desk, index, None).await
}

#[derive(Deserialize)]
pub(super) struct Secret {
    secret: String,
}

/// Works the draw out, for the authority to sign. It changes nothing; it is sent as a form so that the secret is
/// in no address.
pub(super) async fn draw(
    desk: Desk,
    Path(index): Path<u64>,
    Form(Secret { secret }): Form<Secret>,
) -> Result<Response, Problem> {
    let secret = Zeroizing::new(secret);
    let bytes = Zeroizing::new(hex::decode(secret.trim()).unwrap_or_default());
    if bytes.len() != 32 {
        let lang = desk.site.lang;
        return Err(Problem::bad_request(lang.pick(
            "抽查密数应为 64 位十六进制数字。",
            "The secret of the draw has 64 hexadecimal digits.",
        )));
    }
    shown_plan(desk, index, Some(bytes)).await
}

/// How many firms the draw chose among, and what the authority signs.
async fn drawn(desk: &Desk, plan: u64, secret: &[u8]) -> Result<(usize, String), Problem> {
    let mut inspection = desk.ledger.inspection();
    let (mut seed, mut drawn, mut count) = (Vec::new(), Vec::new(), 0);
    let mut page_token = String::new();
    for _ in 0..MOST_PAGES {
        let request = wire::PlanInspectionsRequest {
            plan,
            secret: secret.to_vec(),
            page_size: 100,
            page_token,
        };
        let answer = inspection.plan_inspections(request).await?.into_inner();
        count += answer.candidates.len();
        let chosen = answer
            .candidates
            .into_iter()
            .filter(|candidate| candidate.drawn);
        drawn.extend(chosen.filter_map(|candidate| candidate.party));
        seed = answer.seed;
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let body = wire::DrawInspections {
        plan,
        seed,
        secret: secret.to_vec(),
        drawn,
    };
    let json = draft::to_json("DrawInspections", &body);
    let json = json.map_err(|error| Problem::internal(&error.to_string()))?;
    Ok((count, json.to_string()))
}
