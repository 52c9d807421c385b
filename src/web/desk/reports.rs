//! Signed reports: which there are, and one that was made, to be fetched with its signature.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::extract::{Form, Path};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::{Desk, Frame, framed};
use crate::core::id::PartyId;
use crate::core::lang::Lang;
use crate::core::record::Millis;
use crate::core::wire;
use crate::core::words::{Choice as _, choices};
use crate::node;
use crate::web::page::{Site, shown};
use crate::web::problem::Problem;

/// How long a report can be fetched.
const KEPT_MS: u64 = 15 * 60_000;
/// Most reports that are kept at once, and most bytes of all of them.
const MOST: usize = 64;
const MOST_BYTES: usize = 64 << 20;

/// A report that was made.
pub(super) struct Made {
    id: String,
    /// Whose session made it.
    party: PartyId,
    kind: wire::ReportKind,
    /// Of the file, with its ending.
    name: String,
    media_type: &'static str,
    report: Vec<u8>,
    note: Vec<u8>,
    until: Millis,
}

/// Those that can be fetched. A report and its signature belong together: made again, it would be another.
#[derive(Default)]
pub(in crate::web) struct Shelf(Mutex<VecDeque<Arc<Made>>>);

impl Shelf {
    fn put(&self, made: Made) -> Arc<Made> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = node::now();
        let made = Arc::new(made);
        all.retain(|made| made.until > now);
        all.push_back(Arc::clone(&made));
        // The oldest make room; the newest is there in any case.
        let size =
            |all: &VecDeque<Arc<Made>>| all.iter().map(|made| made.report.len()).sum::<usize>();
        while all.len() > 1 && (all.len() > MOST || size(&all) > MOST_BYTES) {
            all.pop_front();
        }
        made
    }

    fn get(&self, id: &str, party: PartyId) -> Option<Arc<Made>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = node::now();
        let mut found = all.iter();
        let found = found.find(|made| made.id == id && made.party == party && made.until > now);
        found.map(Arc::clone)
    }
}

#[derive(Template)]
#[template(path = "desk/reports.html")]
struct ListPage {
    site: Site,
    desk: Frame,
    kinds: Vec<(&'static str, &'static str)>,
    made: Option<Arc<Made>>,
}

framed!(ListPage);

fn page(desk: Desk, made: Option<Arc<Made>>) -> Response {
    let lang = desk.site.lang;
    shown(&ListPage {
        kinds: choices(wire::ReportKind::all(), lang),
        site: desk.site,
        desk: desk.frame,
        made,
    })
}

pub(super) async fn list(desk: Desk) -> Response {
    page(desk, None)
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    kind: String,
    format: String,
    /// The last month, as browsers give it: YYYY-MM.
    #[serde(default)]
    until: String,
    months: u32,
    #[serde(default)]
    goods: String,
}

pub(super) async fn make(desk: Desk, Form(wanted): Form<Wanted>) -> Result<Response, Problem> {
    let kind = wire::ReportKind::from_str_name(&wanted.kind).unwrap_or_default();
    let format = wire::ReportFormat::from_str_name(&wanted.format).unwrap_or_default();
    let request = wire::MakeReportRequest {
        kind: kind.into(),
        format: format.into(),
        until_month: wanted.until.replace('-', "").parse().unwrap_or(0),
        months: wanted.months,
        goods: wanted.goods.trim().to_owned(),
        language: match desk.site.lang {
            Lang::Zh => "zh".into(),
            Lang::En => "en".into(),
        },
    };
    let answer = desk
        .ledger
        .report()
        .make_report(request)
        .await?
        .into_inner();
    let (ending, media_type) = match format {
        wire::ReportFormat::Pdf => ("pdf", "application/pdf"),
        _ => ("csv", "text/csv; charset=utf-8"),
    };
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| Problem::internal(&error.to_string()))?;
    let made = desk.web.shelf.put(Made {
        id: hex::encode(id),
        party: desk.frame.party,
        kind,
        name: format!("{}.{ending}", answer.name),
        media_type,
        report: answer.report,
        note: answer.note,
        until: node::now().plus(KEPT_MS),
    });
    Ok(Redirect::to(&format!("/desk/reports/{}", made.id)).into_response())
}

fn kept(desk: &Desk, id: &str) -> Result<Arc<Made>, Problem> {
    let made = desk.web.shelf.get(id, desk.frame.party);
    made.ok_or_else(|| {
        Problem::not_found(desk.site.lang.pick(
            "没有这份报告，或已过 15 分钟：请重新生成。",
            "There is no such report, or it is older than 15 minutes: make it again.",
        ))
    })
}

pub(super) async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Problem> {
    let made = kept(&desk, &id)?;
    Ok(page(desk, Some(made)))
}

/// The report, or with `.note` after its name the signature.
pub(super) async fn file(
    desk: Desk,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let made = kept(&desk, &id)?;
    let (bytes, media_type) = if name == made.name {
        (made.report.clone(), made.media_type)
    } else if name.strip_suffix(".note") == Some(&made.name) {
        (made.note.clone(), "text/plain; charset=utf-8")
    } else {
        return Err(Problem::not_found("there is no such file of the report"));
    };
    let mut response = ([(header::CONTENT_TYPE, media_type)], bytes).into_response();
    // The name is one that the ledger made: letters, digits and dashes.
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
