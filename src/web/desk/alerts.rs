//! Early warning: the list, which goes on by itself while somebody looks at it, and one alert with what is
//! known of it and what may be done about it.

use std::convert::Infallible;

use askama::Template;
use axum::extract::{Path, Query};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::entries::{Summary, summaries};
use super::{Desk, Frame, cookie, framed, in_query};
use crate::client::{Ledger, Token};
use crate::core::lang::Lang;
use crate::core::rules::FindingKind;
use crate::core::wire;
use crate::core::wire::alert::About;
use crate::core::wire::alert_id::Alert;
use crate::core::words::{Choice as _, Named as _, choices};
use crate::web::page::{Site, shown};
use crate::web::problem::Problem;
use crate::web::unit::Moment;

/// Alerts of one page.
const PAGE: u32 = 50;
/// Rows that may wait for a browser that reads slowly.
const WAITING: usize = 64;

/// Which alerts are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    level: String,
    kind: String,
    region: String,
    party: String,
    unit: String,
    /// `all`: also what was answered.
    state: String,
    page: String,
    cursor: String,
}

impl Asked {
    fn filter(&self) -> wire::AlertFilter {
        let mut filter = wire::AlertFilter {
            region: self.region.trim().to_owned(),
            party: self.party.trim().to_owned(),
            unit: self.unit.trim().to_owned(),
            open: self.state != "all",
            ..wire::AlertFilter::default()
        };
        if let Some(level) = wire::AlertLevel::from_str_name(&self.level) {
            filter.level = level.into();
        }
        if let Some(kind) = wire::FindingKind::from_str_name(&self.kind) {
            filter.findings.push(kind.into());
        }
        if let Some(kind) = wire::SignalKind::from_str_name(&self.kind) {
            filter.signals.push(kind.into());
        }
        filter
    }

    /// The same question as a query, without page and cursor.
    fn query(&self) -> String {
        let pairs = [
            ("level", &self.level),
            ("kind", &self.kind),
            ("region", &self.region),
            ("party", &self.party),
            ("unit", &self.unit),
            ("state", &self.state),
        ];
        let set = pairs.iter().filter(|(_, value)| !value.is_empty());
        set.map(|(name, value)| format!("&{name}={}", in_query(value)))
            .collect()
    }
}

/// An alert as a page shows it.
pub(super) struct View {
    /// In addresses: `f` and the number of a finding, or `s`, the kind of a signal and its entry.
    pub id: String,
    pub level: wire::AlertLevel,
    pub kind: &'static str,
    /// What it means.
    pub meaning: String,
    pub time_ms: u64,
    pub region: String,
    pub city: String,
    pub parties: Vec<String>,
    pub units: Vec<String>,
    pub unit_count: u64,
    /// What was measured, against which limit.
    pub measured: String,
    pub log_index: u64,
    pub evidence: Vec<u64>,
    /// Nobody dealt with it.
    pub open: bool,
    /// What became of it.
    pub state: &'static str,
    pub finding: Option<wire::FindingRecord>,
    pub signal: Option<wire::Signal>,
    pub alert: wire::Alert,
}

impl View {
    pub(super) fn of(alert: wire::Alert, lang: Lang) -> Option<Self> {
        let level = alert.level();
        let answer = alert.answer();
        Some(match alert.about.clone()? {
            About::Finding(finding) => {
                let kind = FindingKind::from_number(finding.kind)?;
                let open = finding.status() == wire::FindingStatus::Open;
                let answered = answer != wire::AlertAnswer::Unspecified;
                Self {
                    id: format!("f{}", finding.sequence),
                    level,
                    kind: finding.kind().named(lang),
                    meaning: kind.rule().meaning(lang).to_owned(),
                    time_ms: finding.time_ms,
                    region: finding.region.clone(),
                    city: finding.city.clone(),
                    parties: Some(finding.party.clone())
                        .filter(|party| !party.is_empty())
                        .into_iter()
                        .collect(),
                    units: vec![finding.unit.clone()],
                    unit_count: 1,
                    measured: measured_by_rule(kind, finding.measured, finding.limit, lang),
                    log_index: finding.log_index,
                    evidence: finding.evidence.clone(),
                    open: open && !answered,
                    state: if open && answered {
                        answer.named(lang)
                    } else {
                        finding.status().named(lang)
                    },
                    finding: Some(finding),
                    signal: None,
                    alert,
                }
            }
            About::Signal(signal) => {
                let open = answer == wire::AlertAnswer::Unspecified;
                Self {
                    id: format!("s{}-{}", signal.kind, signal.log_index),
                    level,
                    kind: signal.kind().named(lang),
                    meaning: meaning_of_signal(signal.kind(), lang).to_owned(),
                    time_ms: signal.time_ms,
                    region: signal.region.clone(),
                    city: signal.city.clone(),
                    parties: signal.parties.clone(),
                    units: signal.units.clone(),
                    unit_count: signal.unit_count,
                    measured: measured_by_signal(&signal, lang),
                    log_index: signal.log_index,
                    evidence: signal.evidence.clone(),
                    open,
                    state: if open {
                        wire::FindingStatus::Open.named(lang)
                    } else {
                        answer.named(lang)
                    },
                    finding: None,
                    signal: Some(signal),
                    alert,
                }
            }
        })
    }

    /// Class of the level in the style sheet.
    pub(super) const fn class(&self) -> &'static str {
        match self.level {
            wire::AlertLevel::Severe => "severe",
            wire::AlertLevel::Warning => "warning",
            wire::AlertLevel::Notice | wire::AlertLevel::Unspecified => "plain",
        }
    }

    /// Only a person may put it aside, with a reason, or else a case rests on it.
    pub(super) fn needs_case(&self) -> bool {
        let signal = self.signal.as_ref();
        signal.is_some_and(|signal| signal.kind() == wire::SignalKind::ClosedRing)
    }
}

/// What a signal says, in a sentence.
fn meaning_of_signal(kind: wire::SignalKind, lang: Lang) -> &'static str {
    let (zh, en) = match kind {
        wire::SignalKind::HandoverNotAccepted => (
            "交出的商品未在规定时间内被接收、拒收或撤回。",
            "Goods that were handed over were neither accepted, refused nor taken back in time.",
        ),
        wire::SignalKind::AtRest => (
            "商品在同一持有人处停留过久。",
            "Goods rest too long with whoever holds them.",
        ),
        wire::SignalKind::RateOfBreaks => (
            "该企业的记录违反规则的比例明显高于以往。",
            "This firm's records break rules much more often than they did.",
        ),
        wire::SignalKind::CompromisedKey => (
            "一把被作废的密钥在泄露之后签署过记录。",
            "A key that was revoked as compromised had signed records since before.",
        ),
        wire::SignalKind::WeightlessDelivery => (
            "订单已签收，但从未称重。",
            "An order was delivered, and nobody ever weighed it.",
        ),
        wire::SignalKind::HastyDelivery => (
            "订单签收之快，任何路途都做不到。",
            "An order was delivered sooner than any way takes.",
        ),
        wire::SignalKind::ClosedRing => (
            "某快递密钥投递的几乎全是同一卖家、来路不明买家的可疑订单。须由人员排除或立案。",
            "Nearly all that a courier's key delivers are doubtful orders of one seller to buyers that nobody knows. A \
             person has to dismiss it or open a case.",
        ),
        wire::SignalKind::BulkLookUp => (
            "某监管部门一天内查阅了大量企业档案。",
            "A regulator opened the files of many parties in a day.",
        ),
        wire::SignalKind::LookedUpWidely => (
            "同一编码一天内在许多网络被查询，标签可能被复制。",
            "One code was looked up from many networks in a day, as about a label that was copied.",
        ),
        wire::SignalKind::Unspecified => ("", ""),
    };
    lang.pick(zh, en)
}

/// A length of time, for people.
fn duration(ms: i64, lang: Lang) -> String {
    let minutes = ms / 60_000;
    let (days, hours) = (minutes / 1_440, minutes / 60);
    if days >= 3 {
        lang.pick(format!("{days} 天"), format!("{days} days"))
    } else if hours >= 2 {
        lang.pick(format!("{hours} 小时"), format!("{hours} hours"))
    } else {
        lang.pick(format!("{minutes} 分钟"), format!("{minutes} minutes"))
    }
}

fn day(ms: i64) -> String {
    Moment::of(u64::try_from(ms).unwrap_or(0)).day
}

fn against(measured: &str, limit: &str, lang: Lang) -> String {
    lang.pick(
        format!("{measured}（限值 {limit}）"),
        format!("{measured} (limit {limit})"),
    )
}

fn measured_by_rule(kind: FindingKind, measured: i64, limit: i64, lang: Lang) -> String {
    if measured == 0 && limit == 0 {
        return String::new();
    }
    match kind {
        FindingKind::ImpossibleTravel => {
            against(&format!("{measured} km/h"), &format!("{limit} km/h"), lang)
        }
        FindingKind::Expired => against(&day(measured), &day(limit), lang),
        FindingKind::TimeReversed | FindingKind::TimeInFuture | FindingKind::PhantomDelivery => {
            against(&duration(measured, lang), &duration(limit, lang), lang)
        }
        _ => against(&measured.to_string(), &limit.to_string(), lang),
    }
}

fn measured_by_signal(signal: &wire::Signal, lang: Lang) -> String {
    let (measured, limit) = (signal.measured, signal.limit);
    match signal.kind() {
        wire::SignalKind::HandoverNotAccepted
        | wire::SignalKind::AtRest
        | wire::SignalKind::HastyDelivery => {
            against(&duration(measured, lang), &duration(limit, lang), lang)
        }
        wire::SignalKind::RateOfBreaks => lang.pick(
            format!("近 7 天每千条 {measured} 条，此前 28 天 {limit} 条"),
            format!(
                "{measured} of 1,000 records in the last 7 days, {limit} in the 28 days before"
            ),
        ),
        wire::SignalKind::CompromisedKey => {
            lang.pick(format!("{measured} 条记录"), format!("{measured} records"))
        }
        wire::SignalKind::ClosedRing => lang.pick(
            format!("30 天内 {limit} 单中有 {measured} 单"),
            format!("{measured} of {limit} deliveries in 30 days"),
        ),
        wire::SignalKind::BulkLookUp => lang.pick(
            format!("当日 {measured} 份（通常至多 {limit} 份）"),
            format!("{measured} files that day (usual: up to {limit})"),
        ),
        wire::SignalKind::LookedUpWidely => lang.pick(
            format!("当日来自 {measured} 个网络（限值 {limit}）"),
            format!("from {measured} networks that day (limit {limit})"),
        ),
        wire::SignalKind::WeightlessDelivery | wire::SignalKind::Unspecified => String::new(),
    }
}

#[derive(Template)]
#[template(path = "desk/alerts.html")]
struct ListPage {
    site: Site,
    desk: Frame,
    asked: Asked,
    query: String,
    cursor: String,
    alerts: Vec<View>,
    open: usize,
    kinds: Vec<(&'static str, &'static str)>,
    next: String,
}

/// One line of the list.
#[derive(Template)]
#[template(path = "desk/alert_row.html")]
struct Row<'a> {
    site: &'a Site,
    alert: &'a View,
}

framed!(ListPage, OnePage);

/// Every kind of alert, for a choice.
fn kinds(lang: Lang) -> Vec<(&'static str, &'static str)> {
    let mut kinds = choices(wire::FindingKind::all(), lang);
    kinds.extend(choices(wire::SignalKind::all(), lang));
    kinds
}

pub(super) async fn list(desk: Desk, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let request = wire::ListAlertsRequest {
        filter: Some(asked.filter()),
        page_size: PAGE,
        page_token: asked.page.clone(),
        newest_first: true,
    };
    let answer = desk.ledger.alert().list_alerts(request).await?.into_inner();
    let lang = desk.site.lang;
    let query = asked.query();
    let next = match answer.next_page_token.as_str() {
        "" => String::new(),
        token => format!("/desk/alerts?page={token}{query}"),
    };
    let alerts: Vec<View> = answer
        .alerts
        .into_iter()
        .filter_map(|alert| View::of(alert, lang))
        .collect();
    Ok(shown(&ListPage {
        open: alerts.iter().filter(|alert| alert.open).count(),
        alerts,
        kinds: kinds(lang),
        // Older pages stay as they are.
        cursor: if asked.page.is_empty() {
            answer.cursor
        } else {
            String::new()
        },
        site: desk.site,
        desk: desk.frame,
        asked,
        query,
        next,
    }))
}

/// Alerts as they come, as lines of the list. What the browser saw last is its `Last-Event-ID`.
pub(super) async fn stream(desk: Desk, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let cursor = seen.map_or(asked.cursor.clone(), ToOwned::to_owned);
    let (out, rows) = mpsc::channel::<Result<Event, Infallible>>(WAITING);
    tokio::spawn(follow(
        desk,
        asked,
        cookie(&headers).unwrap_or_default(),
        cursor,
        out,
    ));
    let stream = Sse::new(ReceiverStream::new(rows)).keep_alive(KeepAlive::default());
    stream.into_response()
}

/// Goes on for as long as the session does: with each token that it is renewed by.
async fn follow(
    desk: Desk,
    asked: Asked,
    name: String,
    mut cursor: String,
    out: mpsc::Sender<Result<Event, Infallible>>,
) {
    while let Some(session) = desk.web.sessions.get(&name) {
        let Ok(token) = Token::bearer(&session.token) else {
            break;
        };
        let ledger = desk.ledger.with_token(token);
        let passed_on = tokio::select! {
            passed_on = pass_on(&desk.site, &ledger, &asked, &mut cursor, &out) => passed_on,
            // In another tab: nothing more is told in this one.
            () = desk.web.sessions.left(&name) => break,
        };
        match passed_on {
            // The browser is gone.
            Ok(()) => return,
            Err(status) if status.code() == tonic::Code::Unauthenticated => {
                let renewed = desk.web.sessions.get(&name);
                if renewed.is_none_or(|renewed| renewed.token == session.token) {
                    break;
                }
            }
            Err(_) => return, // the browser comes again by itself
        }
    }
    // Whoever is gone needs no farewell.
    let _ = out
        .send(Ok(Event::default().event("ended").data("ended")))
        .await;
}

async fn pass_on(
    site: &Site,
    ledger: &Ledger<axum::Router>,
    asked: &Asked,
    cursor: &mut String,
    out: &mpsc::Sender<Result<Event, Infallible>>,
) -> Result<(), tonic::Status> {
    // What was answered goes on being shown as such, also in a list of what is open.
    let filter = wire::AlertFilter {
        open: false,
        ..asked.filter()
    };
    let request = wire::WatchAlertsRequest {
        filter: Some(filter),
        cursor: cursor.clone(),
    };
    let mut alerts = ledger.alert().watch_alerts(request).await?.into_inner();
    loop {
        let message = tokio::select! {
            message = alerts.message() => message?,
            () = out.closed() => return Ok(()),
        };
        let Some(message) = message else {
            return Ok(());
        };
        let alert = message.alert.and_then(|alert| View::of(alert, site.lang));
        if let Some(alert) = alert {
            let row = Row {
                site,
                alert: &alert,
            }
            .render();
            let row = row.map_err(|error| tonic::Status::internal(error.to_string()))?;
            let event = Event::default()
                .event("alert")
                .id(&message.cursor)
                .data(row.replace('\n', " "));
            if out.send(Ok(event)).await.is_err() {
                return Ok(());
            }
        }
        *cursor = message.cursor;
    }
}

#[derive(Template)]
#[template(path = "desk/alert.html")]
struct OnePage {
    site: Site,
    desk: Frame,
    alert: View,
    next_step: &'static str,
    parties: Vec<(String, String)>,
    evidence: Vec<Summary>,
    cases: Vec<wire::Case>,
    case_kinds: Vec<(&'static str, &'static str)>,
}

/// The alert that an address names.
fn id_of(text: &str) -> Option<Alert> {
    if let Some(number) = text.strip_prefix('f') {
        return Some(Alert::Finding(number.parse().ok()?));
    }
    let (kind, index) = text.strip_prefix('s')?.split_once('-')?;
    Some(Alert::Signal(wire::SignalId {
        kind: kind.parse().ok()?,
        log_index: index.parse().ok()?,
    }))
}

pub(super) async fn one(desk: Desk, Path(id): Path<String>) -> Result<Response, Problem> {
    let lang = desk.site.lang;
    let missing = || Problem::not_found(lang.pick("没有这条预警。", "There is no such alert."));
    let id = id_of(&id).ok_or_else(missing)?;
    let alert = desk.alert(id).await?.ok_or_else(missing)?;
    let mut indexes = vec![alert.log_index];
    indexes.extend(
        alert
            .evidence
            .iter()
            .filter(|index| **index != alert.log_index),
    );
    let rule = alert
        .finding
        .as_ref()
        .and_then(|finding| FindingKind::from_number(finding.kind));
    let own = wire::ListCasesRequest {
        agency: desk.frame.party.to_string(),
        open: true,
        ..wire::ListCasesRequest::default()
    };
    Ok(shown(&OnePage {
        next_step: rule.map_or("", |kind| kind.rule().next_step(lang)),
        parties: desk.names(&alert.parties)?,
        evidence: summaries(&desk, &indexes).await?,
        cases: desk.ledger.case().list_cases(own).await?.into_inner().cases,
        case_kinds: choices(wire::CaseKind::all(), lang),
        site: desk.site,
        desk: desk.frame,
        alert,
    }))
}
