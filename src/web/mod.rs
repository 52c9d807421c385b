//! What people see: web pages, the public log over HTTP, and gRPC for browsers, on one port.
//!
//! ```text
//!  /                                     find a code
//!  /01/{gtin}/21/{serial}, /00/{sscc}, …  a unit: page, verdict, bundle, EPCIS, linkset (`unit`)
//!  /01/{gtin}[/10/{lot}]                 a product or a lot (`goods`)
//!  /scan                                 the courier's scanner, and where phones are enrolled (`scan`)
//!  /desk                                 the regulator's desk (`desk`)
//!  /checkpoint, /tile/…                  the log, as c2sp.org/tlog-tiles lays it out (`log`)
//!  /custody.v1.…Service/…                gRPC-Web, the same services as on the gRPC port; and in JSON (`json`)
//!  /events, /eventTypes/…                EPCIS 2.0 queries, with a token (`crate::rest`)
//!  /api, /openapi.json                   what can be asked in JSON
//!  /assets/…                             scripts, styles, the map, what browsers decode messages by
//! ```
//!
//! Pages are made on the server and work without scripts. Nothing is loaded from other hosts, and the
//! Content-Security-Policy allows nothing else. Nothing is decided here: what a page says comes from
//! the same reads as the gRPC answers.

mod asset;
mod desk;
mod goods;
mod hot;
mod json;
mod language;
mod limit;
mod log;
mod map;
mod page;
mod problem;
mod scan;
mod unit;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::api::leaving::{Leaving, Made};
use crate::client::{Ledger, Token};
use crate::node::Node;
use crate::rest::{self, Asks, Source};
use limit::Limit;
pub(crate) use page::fingerprint;
use problem::Problem;

/// What the web side is told.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// Look-ups a second that one network may make; none is without limit.
    pub look_up_rate: Option<NonZeroU32>,
    /// Proxies in front, each of which adds the address of its caller to `X-Forwarded-For`.
    pub proxies: usize,
    /// Where the pages are, as seen from outside, such as `https://trace.example`; if it isn't told,
    /// what the caller asked for.
    pub public_url: Option<String>,
}

/// What the handlers share.
pub(crate) struct Web {
    node: Arc<Node>,
    limit: Option<Limit>,
    rooms: scan::Rooms,
    sessions: desk::Sessions,
    shelf: desk::Shelf,
    /// The services, for pages that ask them as every other client does.
    grpc: Router,
    hot: hot::Hot,
    options: WebOptions,
}

type Shared = axum::extract::State<Arc<Web>>;

/// No script, style, picture or connection but from this very host; no frames, no plug-ins.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// All routes. `grpc` are the services, for browsers.
pub fn router(node: &Arc<Node>, grpc: Router, options: WebOptions) -> Router {
    let limit = options.look_up_rate.map(Limit::new);
    let web = Arc::new(Web {
        node: Arc::clone(node),
        limit,
        rooms: scan::Rooms::default(),
        sessions: desk::Sessions::default(),
        shelf: desk::Shelf::default(),
        grpc: grpc.clone(),
        hot: hot::Hot::default(),
        options,
    });
    let looked_up = Router::new()
        .route("/01/{*rest}", get(unit::item))
        .route("/00/{*rest}", get(unit::unit))
        .route("/waybill/{*rest}", get(unit::unit))
        .route("/drug/{*rest}", get(unit::unit))
        .merge(for_browsers(&web, grpc))
        .route_layer(from_fn_with_state(Arc::clone(&web), limit::limited));
    let for_all = Router::new()
        .route("/scan/manifest.webmanifest", get(scan::manifest))
        .route("/scan/worker.js", get(scan::worker))
        .route("/openapi.json", get(json::document))
        .route("/assets/{version}/{*path}", get(asset::get));
    let counting = |made| from_fn_with_state((Arc::clone(&web), made), counted);
    Router::new()
        .route("/", get(page::start))
        .route("/find", get(page::find))
        .merge(looked_up)
        .route(
            "/scan/enrol/{room}",
            get(scan::firm)
                .put(scan::open)
                .post(scan::device)
                .layer(DefaultBodyLimit::max(scan::MAX_BODY)),
        )
        .route("/scan/enrol/{room}/device", get(scan::came))
        .merge(desk::routes(&web))
        .route("/checkpoint", get(log::checkpoint))
        .route("/tile/{*path}", get(log::tile))
        .merge(rest::queries::<Arc<Web>>())
        .route("/scan", get(scan::page))
        .route("/scan/files.json", get(scan::files))
        .route("/api", get(json::page))
        .route("/.well-known/gs1resolver", get(unit::resolver))
        .fallback(problem::no_such_page)
        .layer(counting(Made::ForOne))
        .merge(for_all.layer(counting(Made::ForAll)))
        .route("/healthz", get(healthz))
        .layer(from_fn(headers))
        .with_state(web)
}

/// The services with gRPC-Web's framing, or in JSON; what is none of them is for the pages to answer.
fn for_browsers(web: &Arc<Web>, grpc: Router) -> Router<Arc<Web>> {
    grpc.reset_fallback()
        .layer(tonic_web::GrpcWebLayer::new())
        .layer(from_fn_with_state(Arc::clone(web), json::translated))
        .with_state(())
}

/// Is told whatever there is room for: the word is left out where there is none.
async fn healthz(State(web): Shared, Asker(from): Asker) -> Response {
    let failed = web.node.failed();
    let (status, word) = if *failed.borrow() || failed.has_changed().is_err() {
        (StatusCode::SERVICE_UNAVAILABLE, "the store failed\n")
    } else {
        (StatusCode::OK, "ok\n")
    };
    let Ok(leaving) = Leaving::begin(&web.node.limits().leaving_pages, from) else {
        return status.into_response();
    };
    let answer = (status, word).into_response();
    let told = leaving.counted(answer, Made::ForAll).await;
    told.unwrap_or_else(|_| status.into_response())
}

/// Counts answers until they have gone. Where there is no room, nothing is said but that: it would be kept as well.
async fn counted(
    State((web, made)): State<(Arc<Web>, Made)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let from = match Asker::from_request_parts(&mut parts, &web).await {
        Ok(Asker(from)) => from,
        Err(problem) => return problem.into_response(),
    };
    let called = async {
        let leaving = Leaving::begin(&web.node.limits().leaving_pages, from)?;
        let answer = next.run(Request::from_parts(parts, body)).await;
        leaving.counted(answer, made).await
    };
    let no_room = |_| {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "5")],
        )
            .into_response()
    };
    called.await.unwrap_or_else(no_room)
}

/// What every answer says to browsers.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The address of who asks, seen through the proxies in front.
pub(crate) struct Asker(IpAddr);

impl FromRequestParts<Arc<Web>> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        web: &Arc<Web>,
    ) -> Result<Self, Self::Rejection> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, web)
            .await
            .map_err(|_| Problem::internal("the peer has no address"))?;
        Ok(Self(
            client(parts, web.options.proxies).unwrap_or(peer.ip()),
        ))
    }
}

/// Each proxy writes the address that it saw at the end, so the last ones are believed and no others.
fn client(parts: &Parts, proxies: usize) -> Option<IpAddr> {
    let lines = parts.headers.get_all("x-forwarded-for").iter();
    // What the caller wrote before them need not be text.
    let hops: Vec<&[u8]> = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .collect();
    let place = hops.len().checked_sub(proxies)?;
    let hop = std::str::from_utf8(hops.get(place)?).ok()?.trim();
    let with_port = || hop.parse().ok().map(|hop: SocketAddr| hop.ip());
    hop.parse().ok().or_else(with_port)
}

/// Where the pages are, as seen from outside.
fn base(web: &Web, parts: &Parts) -> String {
    rest::base(web.options.public_url.as_deref(), parts)
}

/// Queries by EPCIS, with the caller's own token.
impl Asks for Arc<Web> {
    async fn source(&self, headers: &HeaderMap) -> Result<Source, rest::Problem> {
        let token = headers.get(header::AUTHORIZATION);
        let token = token.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = token.and_then(|token| Token::bearer(token).ok()).ok_or_else(|| {
            rest::Problem::unauthorized(
                "send a token as `Authorization: Bearer …`; `custody token` makes one, and `custody gateway` asks \
                 with the key that it holds",
            )
        })?;
        let ledger = Ledger::over(self.grpc.clone()).with_token(token);
        Ok(Source::Here(Box::new(ledger)))
    }

    fn base(&self, parts: &Parts) -> String {
        base(self, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_what_the_outermost_proxy_saw_whatever_the_caller_wrote_before() {
        for (lines, proxies, seen) in [
            (&[b"10.0.0.1".as_slice()][..], 0, None),
            (&[], 1, None),
            (&[b"10.0.0.1"], 1, Some("10.0.0.1")),
            (&[b"10.0.0.1, 10.0.0.2"], 1, Some("10.0.0.2")),
            (&[b"10.0.0.1, 10.0.0.2"], 2, Some("10.0.0.1")),
            (&[b"10.0.0.1", b"10.0.0.2"], 1, Some("10.0.0.2")),
            (&[b"10.0.0.1", b"\xff, 10.0.0.2:4711"], 1, Some("10.0.0.2")),
            (&[b"\xff,[2001:db8::1]:4711"], 1, Some("2001:db8::1")),
            (&[b"10.0.0.1, \xff"], 1, None),
        ] {
            let mut request = axum::http::Request::new(());
            for line in lines {
                let line = HeaderValue::from_bytes(line).unwrap();
                request.headers_mut().append("x-forwarded-for", line);
            }
            let (parts, ()) = request.into_parts();
            let seen = seen.map(|seen| seen.parse().unwrap());
            assert_eq!(client(&parts, proxies), seen, "{lines:?}, {proxies}");
        }
    }
}
