//! The red and the black list: from a proposal over notification, statement, decision and publication to
//! the end of a term, and what parties ask of it on the way.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;

use super::entries::{Summary, summaries};
use super::{Desk, Frame, framed, in_query};
use crate::core::wire;
use crate::core::wire::{ListKind, ListingPhase};
use crate::core::words::{Choice as _, choices};
use crate::node;
use crate::web::page::{Site, shown};
use crate::web::problem::Problem;

/// Listings, and objections, of one page.
const PAGE: u32 = 200;
/// Pages that are looked through for what waits for an answer.
const MOST_PAGES: usize = 50;

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    list: String,
    /// `open`: only what has not ended.
    show: String,
    subject: String,
    page: String,
}

#[derive(Template)]
#[template(path = "desk/lists.html")]
struct ListPage {
    site: Site,
    desk: Frame,
    asked: Asked,
    listings: Vec<wire::Listing>,
    next: String,
}

framed!(ListPage, OnePage, ProposePage, ObjectionsPage);

const fn has_ended(listing: &wire::Listing) -> bool {
    listing.phase > ListingPhase::InForce as i32
}

pub(super) async fn list(desk: Desk, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let kind = ListKind::from_str_name(&asked.list).unwrap_or_default();
    let request = wire::ListListingsRequest {
        list: kind.into(),
        subject: asked.subject.trim().to_owned(),
        page_size: PAGE,
        page_token: asked.page.clone(),
    };
    let answer = desk
        .ledger
        .listing()
        .list_listings(request)
        .await?
        .into_inner();
    let next = match answer.next_page_token.as_str() {
        "" => String::new(),
        token => format!(
            "/desk/lists?list={}&show={}&subject={}&page={token}",
            in_query(&asked.list),
            in_query(&asked.show),
            in_query(&asked.subject)
        ),
    };
    let mut listings = answer.listings;
    listings.retain(|listing| asked.show != "open" || !has_ended(listing));
    listings.reverse();
    Ok(shown(&ListPage {
        site: desk.site,
        desk: desk.frame,
        asked,
        listings,
        next,
    }))
}

#[derive(Template)]
#[template(path = "desk/propose.html")]
struct ProposePage {
    site: Site,
    desk: Frame,
    subject: String,
    name: String,
    severities: Vec<(&'static str, &'static str)>,
    policy: wire::SetCreditPolicy,
}

pub(super) async fn propose(desk: Desk, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let subject = asked.subject.trim().to_owned();
    let name = if subject.is_empty() {
        String::new()
    } else {
        desk.name(&subject)?
    };
    Ok(shown(&ProposePage {
        name,
        policy: desk.policy().await?,
        severities: choices(wire::CreditSeverity::all(), lang),
        site: desk.site,
        desk: desk.frame,
        subject,
    }))
}

#[derive(Template)]
#[template(path = "desk/listing.html")]
struct OnePage {
    site: Site,
    desk: Frame,
    listing: wire::Listing,
    authority: String,
    /// Proposed by this agency.
    own: bool,
    /// The party was heard, or its days have passed.
    may_decide: bool,
    /// Least and most months that the policy allows.
    months: (u32, u32),
    severities: Vec<(&'static str, &'static str)>,
    evidence: Vec<Summary>,
    entries: Vec<Summary>,
    measures: Vec<wire::Measure>,
    measure_kinds: Vec<(&'static str, &'static str)>,
    minor: bool,
    ended: bool,
}

impl OnePage {
    fn waits(request: Option<&wire::ListingRequest>) -> bool {
        request.is_some_and(|request| request.answered_ms == 0)
    }
}

pub(super) async fn one(desk: Desk, Path(index): Path<u64>) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let request = wire::GetListingRequest { log_index: index };
    let listing = desk
        .ledger
        .listing()
        .get_listing(request)
        .await?
        .into_inner()
        .listing;
    let listing = listing.unwrap_or_default();
    let policy = desk.policy().await?;
    let months = match (listing.list(), listing.severity()) {
        (ListKind::Red, _) => (1, policy.red_max_months),
        (_, wire::CreditSeverity::Minor) => (1, policy.minor_max_months),
        (_, wire::CreditSeverity::Serious) => {
            (policy.serious_min_months, policy.serious_max_months)
        }
        _ => (policy.ordinary_min_months, policy.ordinary_max_months),
    };
    let heard = listing.statement_ms > 0 || node::now().0 >= listing.statement_until_ms;
    let may_decide = match listing.phase() {
        ListingPhase::Proposed => listing.list() == ListKind::Red,
        ListingPhase::Notified => heard,
        _ => false,
    };
    let red = listing.list() == ListKind::Red;
    let fits = |kind: &wire::MeasureKind| match kind {
        wire::MeasureKind::RankingPriority | wire::MeasureKind::MarketingPriority => red,
        wire::MeasureKind::InspectionRate | wire::MeasureKind::Financing => true,
        _ => !red,
    };
    let told = listing.severity();
    Ok(shown(&OnePage {
        authority: desk.name(&listing.authority)?,
        own: listing.authority == desk.frame.party.to_string(),
        may_decide,
        months,
        severities: choices(
            wire::CreditSeverity::all().filter(|severity| *severity <= told),
            lang,
        ),
        evidence: summaries(&desk, &listing.evidence).await?,
        entries: summaries(&desk, &listing.entries).await?,
        measures: desk
            .measures(&listing.subject, Some(listing.log_index))
            .await?,
        measure_kinds: choices(wire::MeasureKind::all().filter(fits), lang),
        minor: told == wire::CreditSeverity::Minor,
        ended: has_ended(&listing),
        site: desk.site,
        desk: desk.frame,
        listing,
    }))
}

#[derive(Template)]
#[template(path = "desk/objections.html")]
struct ObjectionsPage {
    site: Site,
    desk: Frame,
    /// Listings with what waits: an objection, or else a request for repair.
    listings: Vec<Waiting>,
    deductions: Vec<(wire::ListingRequest, String, String)>,
}

/// What a listed party asked, and nobody answered.
pub(super) struct Waiting {
    pub listing: wire::Listing,
    pub repair: bool,
    pub request: wire::ListingRequest,
    pub overdue: bool,
}

/// What waits for an answer in the agency's hands, the next deadline first.
pub(super) async fn waiting(desk: &Desk) -> Result<Vec<Waiting>, Problem> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    let now = node::now().0;
    for _ in 0..MOST_PAGES {
        let request = wire::ListListingsRequest {
            page_size: 1_000,
            page_token,
            ..wire::ListListingsRequest::default()
        };
        let answer = desk
            .ledger
            .listing()
            .list_listings(request)
            .await?
            .into_inner();
        for listing in answer
            .listings
            .into_iter()
            .filter(|listing| !has_ended(listing))
        {
            for (repair, request) in [(false, listing.objection), (true, listing.repair)] {
                let request = request.filter(|request| request.answered_ms == 0);
                found.extend(request.map(|request| Waiting {
                    overdue: now >= request.answer_until_ms,
                    listing: listing.clone(),
                    repair,
                    request,
                }));
            }
        }
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    found.sort_by_key(|waiting| waiting.request.answer_until_ms);
    Ok(found)
}

pub(super) async fn objections(desk: Desk) -> Result<Response, Problem> {
    let request = wire::ListObjectionsRequest {
        open: true,
        page_size: PAGE,
        page_token: String::new(),
    };
    let found = desk
        .ledger
        .credit()
        .list_objections(request)
        .await?
        .into_inner()
        .objections;
    let mut deductions = Vec::with_capacity(found.len());
    for objection in found {
        use wire::deduction_ref::Deduction;
        let lang = desk.site.lang;
        let (what, link) = match objection
            .deduction
            .and_then(|deduction| deduction.deduction)
        {
            Some(Deduction::Finding(number)) => (
                lang.pick(format!("异常 {number}"), format!("finding {number}")),
                format!("/desk/alerts/f{number}"),
            ),
            Some(Deduction::Lapse(lapse)) => (
                lang.pick(
                    format!("第 {} 条记录的疏失", lapse.log_index),
                    format!("lapse at entry {}", lapse.log_index),
                ),
                format!("/desk/entries/{}", lapse.log_index),
            ),
            Some(Deduction::Claim(index)) => (
                lang.pick(format!("索赔 {index}"), format!("claim {index}")),
                format!("/desk/entries/{index}"),
            ),
            None => continue,
        };
        deductions.push((objection.request.unwrap_or_default(), what, link));
    }
    let listings = waiting(&desk).await?;
    Ok(shown(&ObjectionsPage {
        site: desk.site,
        desk: desk.frame,
        listings,
        deductions,
    }))
}
