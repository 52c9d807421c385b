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
use axum::http::{HeaderMap, HeaderValue, header};
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
        .route("/assets/{version}/{*path}", get(asset::get))
        .route("/healthz", get(healthz));
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

async fn healthz(axum::extract::State(web): Shared) -> (axum::http::StatusCode, &'static str) {
    let failed = web.node.failed();
    if *failed.borrow() || failed.has_changed().is_err() {
        (
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "the store failed\n",
        )
    } else {
        (axum::http::StatusCode::OK, "ok\n")
    }
}

/// Counts answers until they have gone.
async fn counted(
    State((web, made)): State<(Arc<Web>, Made)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let called = async {
        let Asker(from) = Asker::from_request_parts(&mut parts, &web).await?;
        let leaving = Leaving::begin(&web.node.limits().leaving_pages, from)?;
        let answer = next.run(Request::from_parts(parts, body)).await;
        Ok::<_, Problem>(leaving.counted(answer, made).await?)
    };
    called.await.unwrap_or_else(Problem::into_response)
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
    let hops = parts.headers.get_all("x-forwarded-for").iter();
    let hops: Vec<&str> = hops
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let place = hops.len().checked_sub(proxies)?;
    hops.get(place)?.trim().parse().ok()
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
