//! The regulator's desk: what a supervising agency sees and does, in a browser.
//!
//! ```text
//!  /desk                 overview: province by province, over time      (`overview`)
//!  /desk/alerts, …/{id}  early warning, live; one alert and its evidence (`alerts`)
//!  /desk/search          by unit, party, waybill, place, time           (`search`)
//!  /desk/units/…         a unit's history, findings and checks          (`units`)
//!  /desk/parties/…       the register and credit files                  (`parties`)
//!  /desk/cases/…         cases and referrals                            (`cases`)
//!  /desk/lists/…         red and black list, objections, repairs        (`lists`)
//!  /desk/inspections/…   plans, the draw, results                       (`inspections`)
//!  /desk/entries/…       an entry with its proof                        (`entries`)
//!  /desk/log             health of the log                              (`log`)
//!  /desk/reports/…       signed reports                                 (`reports`)
//!  /desk/key             the key by which this browser signs
//! ```
//!
//! Pages read by the same calls as every other client, with the session's token (`session`). What an agency
//! does is a record that the browser signs and submits (`assets/js/desk`): the server holds no agency's
//! key, and no request to the desk changes anything but the session.

mod alerts;
mod cases;
mod entries;
mod inspections;
mod lists;
mod log;
mod overview;
mod parties;
mod reports;
mod search;
mod session;
mod units;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::language::Spoken;
use super::page::{Site, shown};
use super::problem::{self, Problem};
use super::{Shared, Web, base};
use crate::api;
use crate::client::{Ledger, Token};
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::core::signature::KeyId;
use crate::core::wire;
use crate::node;
use crate::rest::Tls;
pub(super) use reports::Shelf;
use session::COOKIE;
pub(super) use session::Sessions;

/// Most bytes of what a browser sends: a token.
const MAX_BODY: usize = 8_192;
/// Pages of a thousand parties that are looked through.
const MOST_PAGES: usize = 100;

/// All of the desk.
pub(super) fn routes(web: &Arc<Web>) -> Router<Arc<Web>> {
    Router::new()
        .route("/desk", get(overview::page))
        .route("/desk/login", get(login_page).post(login))
        .route("/desk/logout", post(logout))
        .route("/desk/session", post(renew))
        .route("/desk/key", get(key))
        .route("/desk/search", get(search::page))
        .route("/desk/alerts", get(alerts::list))
        .route("/desk/alerts/stream", get(alerts::stream))
        .route("/desk/alerts/{id}", get(alerts::one))
        .route("/desk/entries", get(entries::list))
        .route("/desk/entries/{index}", get(entries::one))
        .route("/desk/units/{*unit}", get(units::page))
        .route("/desk/parties", get(parties::list))
        .route("/desk/parties/{party}", get(parties::one))
        .route("/desk/cases", get(cases::list))
        .route("/desk/cases/{index}", get(cases::one))
        .route("/desk/lists", get(lists::list))
        .route("/desk/lists/propose", get(lists::propose))
        .route("/desk/lists/{index}", get(lists::one))
        .route("/desk/objections", get(lists::objections))
        .route("/desk/inspections", get(inspections::list))
        .route(
            "/desk/inspections/{index}",
            get(inspections::one).post(inspections::draw),
        )
        .route("/desk/log", get(log::page))
        .route("/desk/reports", get(reports::list).post(reports::make))
        .route("/desk/reports/{id}", get(reports::one))
        .route("/desk/reports/{id}/{name}", get(reports::file))
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(Arc::clone(web), guarded))
}

/// Refuses what another site has a browser send, and shows problems as pages. Nothing of the desk is kept
/// by a browser or by anybody on the way.
async fn guarded(State(web): Shared, spoken: Spoken, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let site = Site::new(&web, spoken, &uri);
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = if safe || is_own(&uri, request.headers()) {
        next.run(request).await
    } else {
        let detail = spoken.lang.pick(
            "此请求来自其他网站。",
            "This request comes from another site.",
        );
        Problem::forbidden(detail).into_response()
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem::page(site, problem);
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Pages with the frame.
macro_rules! framed {
    ($($page:ident),*) => {$(
        impl $crate::web::page::Framed for $page {
            fn site(&self) -> &$crate::web::page::Site {
                &self.site
            }
        }
    )*};
}
use framed;

impl Desk {
    /// Parties with their names.
    fn names(&self, parties: &[String]) -> Result<Vec<(String, String)>, Problem> {
        let name = |party: &String| Ok((party.clone(), self.name(party)?));
        parties.iter().map(name).collect()
    }

    /// All agencies that a case may be referred to.
    async fn regulators(&self) -> Result<Vec<(String, String)>, Problem> {
        let active = |party: &wire::Party| {
            party.status() == wire::PartyStatus::Active
                && party.roles().any(|role| role == wire::Role::Regulator)
        };
        let found = self.parties(usize::MAX, active).await?;
        Ok(found
            .into_iter()
            .map(|party| (party.id, party.name))
            .collect())
    }

    /// The first parties of the register that fit.
    async fn parties(
        &self,
        most: usize,
        fits: impl Fn(&wire::Party) -> bool,
    ) -> Result<Vec<wire::Party>, Problem> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        for _ in 0..MOST_PAGES {
            let request = wire::ListPartiesRequest {
                page_size: 1_000,
                page_token,
            };
            let answer = self
                .ledger
                .registry()
                .list_parties(request)
                .await?
                .into_inner();
            found.extend(answer.parties.into_iter().filter(&fits));
            page_token = answer.next_page_token;
            if page_token.is_empty() || found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    /// One alert, as pages show it.
    async fn alert(&self, id: wire::alert_id::Alert) -> Result<Option<alerts::View>, Problem> {
        let id = Some(wire::AlertId { alert: Some(id) });
        let answer = self
            .ledger
            .alert()
            .get_alert(wire::GetAlertRequest { id })
            .await?;
        let alert = answer.into_inner().alert;
        Ok(alert.and_then(|alert| alerts::View::of(alert, self.site.lang)))
    }

    /// Findings as alerts.
    async fn found(&self, findings: &[wire::FindingRecord]) -> Result<Vec<alerts::View>, Problem> {
        let mut views = Vec::with_capacity(findings.len());
        for finding in findings {
            views.extend(
                self.alert(wire::alert_id::Alert::Finding(finding.sequence))
                    .await?,
            );
        }
        Ok(views)
    }

    /// Terms and deadlines in force.
    async fn policy(&self) -> Result<wire::SetCreditPolicy, Problem> {
        let request = wire::GetCreditPolicyRequest {};
        let answer = self.ledger.credit().get_credit_policy(request).await?;
        Ok(answer.into_inner().policy.unwrap_or_default())
    }

    /// Measures about a party that are in force, of one listing or of all.
    async fn measures(
        &self,
        party: &str,
        listing: Option<u64>,
    ) -> Result<Vec<wire::Measure>, Problem> {
        let request = wire::GetMeasuresRequest {
            parties: vec![party.to_owned()],
        };
        let mut measures = self
            .ledger
            .measure()
            .get_measures(request)
            .await?
            .into_inner()
            .measures;
        measures.retain(|measure| listing.is_none_or(|listing| measure.listing == listing));
        Ok(measures)
    }

    /// The party that a key belongs to; empty for a buyer's.
    async fn owner(&self, key: KeyId) -> Result<String, Problem> {
        let request = wire::GetKeyRequest { id: key.0.to_vec() };
        match self.ledger.registry().get_key(request).await {
            Ok(answer) => Ok(answer.into_inner().key.unwrap_or_default().party),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(String::new()),
            Err(status) => Err(status.into()),
        }
    }

    /// Name of a party for people.
    fn name(&self, party: &str) -> Result<String, Problem> {
        match party.parse() {
            Ok(id) => Ok(api::party_name(&self.web.node, id)?),
            Err(_) => Ok(party.to_owned()),
        }
    }
}

/// Whether a request was made by a page of this very host. A browser says so by one of two headers; who says
/// nothing is refused.
fn is_own(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    // HTTP/2 names the host in the address, HTTP/1 in a header.
    let host = uri.authority().map(axum::http::uri::Authority::as_str);
    let host = host.or_else(|| text(header::HOST));
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, origin)| Some(origin) == host)
}

/// Who sits at the desk, and what every page of it needs.
pub(super) struct Desk {
    pub web: Arc<Web>,
    pub site: Site,
    pub frame: Frame,
    /// The ledger, asked with the session's token.
    pub ledger: Ledger<Router>,
}

/// What the frame around the pages shows.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Path of the part that the page belongs to.
    pub here: String,
    pub party: PartyId,
    pub name: String,
    pub ends_ms: u64,
}

impl FromRequestParts<Arc<Web>> for Desk {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Response> {
        let Ok(spoken) = Spoken::from_request_parts(parts, web).await;
        let session = cookie(&parts.headers).and_then(|name| web.sessions.get(&name));
        let Some(session) = session else {
            return Err(to_login(&parts.uri));
        };
        let token = Token::bearer(&session.token);
        let token = token.map_err(|error| Problem::internal(&error.to_string()).into_response())?;
        let ledger = Ledger::over(web.grpc.clone()).with_token(token);
        // A key may have been revoked, or a party suspended, since the page before.
        if session.check(&web.node).is_err() {
            return Err(to_login(&parts.uri));
        }
        let name = api::party_name(&web.node, session.party);
        let frame = Frame {
            here: parts
                .uri
                .path()
                .split('/')
                .take(3)
                .collect::<Vec<_>>()
                .join("/"),
            party: session.party,
            name: name.map_err(|status| Problem::from(status).into_response())?,
            ends_ms: session.ends.0,
        };
        Ok(Self {
            web: Arc::clone(web),
            site: Site::new(web, spoken, &parts.uri),
            frame,
            ledger,
        })
    }
}

/// The name of the session that the browser has.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then(|| value.to_owned())
    })
}

/// Leads to the login, and from there back.
fn to_login(uri: &Uri) -> Response {
    let path = uri.path_and_query().map_or("/desk", |path| path.as_str());
    Redirect::to(&format!("/desk/login?to={}", in_query(path))).into_response()
}

/// A text as a value in a query.
fn in_query(text: &str) -> String {
    askama::filters::urlencode_strict(text).map_or_else(|_| String::new(), |text| text.to_string())
}

#[derive(askama::Template)]
#[template(path = "desk/login.html")]
struct LoginPage {
    site: Site,
    to: String,
    problem: Option<Problem>,
}

#[derive(Deserialize)]
struct To {
    #[serde(default)]
    to: String,
}

/// Where to go after the login: only to the desk.
fn desk_path(to: String) -> String {
    let within = to == "/desk" || to.starts_with("/desk/") || to.starts_with("/desk?");
    if within && !to.contains(['\\', '\r', '\n']) {
        to
    } else {
        "/desk".into()
    }
}

async fn login_page(
    State(web): Shared,
    spoken: Spoken,
    uri: Uri,
    axum::extract::Query(To { to }): axum::extract::Query<To>,
) -> Response {
    let site = Site::new(&web, spoken, &uri);
    shown(&LoginPage {
        site,
        to: desk_path(to),
        problem: None,
    })
}

#[derive(Deserialize)]
struct Login {
    token: String,
    #[serde(default)]
    to: String,
}

async fn login(
    State(web): Shared,
    spoken: Spoken,
    parts: Parts,
    Form(Login { token, to }): Form<Login>,
) -> Response {
    let to = desk_path(to);
    let token = zeroize::Zeroizing::new(token);
    match web.sessions.open(&web.node, token.trim()) {
        Ok((name, session)) => {
            let mut response = Redirect::to(&to).into_response();
            set_cookie(&mut response, &web, &parts, &name, session.ends);
            response
        }
        Err(problem) => {
            let status = problem.status;
            let site = Site::new(&web, spoken, &parts.uri);
            let mut response = shown(&LoginPage {
                site,
                to,
                problem: Some(problem),
            });
            *response.status_mut() = status;
            response
        }
    }
}

/// Scripts can't read it, other sites can't have it sent, and over TLS it never goes in the clear.
fn set_cookie(response: &mut Response, web: &Web, parts: &Parts, name: &str, ends: Millis) {
    let life = ends.0.saturating_sub(node::now().0) / 1000;
    let secure =
        parts.extensions.get::<Tls>().is_some() || base(web, parts).starts_with("https://");
    let secure = if secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={name}; Path=/desk; Max-Age={life}; HttpOnly; SameSite=Strict{secure}");
    if let Ok(mut value) = HeaderValue::try_from(cookie) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

async fn logout(State(web): Shared, parts: Parts) -> Response {
    if let Some(name) = cookie(&parts.headers) {
        web.sessions.end(&name);
    }
    let mut response = Redirect::to("/desk/login").into_response();
    set_cookie(&mut response, &web, &parts, "", Millis(0));
    response
}

#[derive(Deserialize)]
struct Renewal {
    token: String,
}

/// Goes on with a new token, made by the key in the browser.
async fn renew(
    State(web): Shared,
    parts: Parts,
    Form(Renewal { token }): Form<Renewal>,
) -> Response {
    let token = zeroize::Zeroizing::new(token);
    let Some(name) = cookie(&parts.headers) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    match web.sessions.renew(&web.node, &name, token.trim()) {
        Ok(session) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            set_cookie(&mut response, &web, &parts, &name, session.ends);
            let ends = HeaderValue::from(session.ends.0);
            response.headers_mut().insert("x-session-ends", ends);
            response
        }
        Err(problem) => problem.status.into_response(),
    }
}

#[derive(askama::Template)]
#[template(path = "desk/key.html")]
struct KeyPage {
    site: Site,
}

framed!(LoginPage, KeyPage);

/// The key of this browser: it may be enrolled before there is a session.
async fn key(State(web): Shared, spoken: Spoken, uri: Uri) -> Response {
    let site = Site::new(&web, spoken, &uri);
    shown(&KeyPage { site })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_the_desk_and_nowhere_else() {
        for (to, path) in [
            ("/desk", "/desk"),
            ("/desk/alerts?level=x", "/desk/alerts?level=x"),
            ("/desk?days=7", "/desk?days=7"),
            ("", "/desk"),
            ("/deskevil", "/desk"),
            ("//evil.example/desk/", "/desk"),
            ("https://evil.example", "/desk"),
            ("/desk/\\evil", "/desk"),
            ("/desk/\r\nset-cookie: a", "/desk"),
        ] {
            assert_eq!(desk_path(to.to_owned()), path, "{to}");
        }
    }

    #[test]
    fn only_a_page_of_this_host_may_post() {
        let own = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            is_own(&Uri::from_static("/desk/login"), &headers)
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ORIGIN,
            HeaderValue::from_static("https://a.example"),
        );
        let second = Uri::from_static("https://a.example/desk/login");
        assert!(is_own(&second, &headers));
        assert!(!is_own(
            &Uri::from_static("https://b.example/desk/login"),
            &headers
        ));
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(own(&[
            ("host", "a.example:7071"),
            ("origin", "https://a.example:7071")
        ]));
        for headers in [
            &[][..],
            &[("host", "a.example")],
            &[("host", "a.example"), ("origin", "null")],
            &[("host", "a.example"), ("origin", "https://b.example")],
            &[("host", "a.example"), ("origin", "https://a.example:8443")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            // What the browser says of itself counts more.
            &[
                ("sec-fetch-site", "cross-site"),
                ("host", "a.example"),
                ("origin", "https://a.example"),
            ],
        ] {
            assert!(!own(headers), "{headers:?}");
        }
    }

    #[test]
    fn the_name_of_a_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            "lang=zh; desk=abc; desks=no".parse().unwrap(),
        );
        assert_eq!(cookie(&headers).as_deref(), Some("abc"));
        headers.insert(header::COOKIE, "xdesk=abc".parse().unwrap());
        assert_eq!(cookie(&headers), None);
    }
}
