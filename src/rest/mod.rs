//! EPCIS 2.0 over HTTP: the REST binding of GS1's standard (EPCIS 2.0 section 12, its OpenAPI document).
//!
//! ```text
//!  custody serve    GET /events …                                         asks with the caller's own token
//!  custody gateway  GET /events …, POST /capture, /queries, subscriptions  holds a party's key: asks and signs with it
//! ```
//!
//! The ledger never has a party's key, and a record is worth what its signature is; so events that come without one
//! are captured by a program of the party's own, the gateway. Both answer queries by the same handlers, which ask
//! `EventService` like every client.

mod capture;
mod events;
mod gateway;
mod jobs;
mod problem;
mod queries;
mod subscriptions;
mod worker;

pub use gateway::{Gateway, GatewayError, GatewayOptions};

use axum::Router;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::client::Ledger;
use crate::core::wire;
pub(crate) use problem::Problem;

/// Longest address, in bytes: what proxies let through.
const MAX_ADDRESS: usize = 8_192;
const EPCIS_VERSION: HeaderName = HeaderName::from_static("gs1-epcis-version");
const CBV_VERSION: HeaderName = HeaderName::from_static("gs1-cbv-version");
const EPC_FORMAT: HeaderName = HeaderName::from_static("gs1-epc-format");
const EXTENSIONS: HeaderName = HeaderName::from_static("gs1-extensions");

/// A ledger, asked on behalf of somebody.
#[derive(Clone)]
pub(crate) enum Source {
    /// In this process.
    Here(Box<Ledger<Router>>),
    /// Over the network.
    There(Box<Ledger<Channel>>),
}

impl Source {
    async fn query(
        &self,
        request: wire::QueryEventsRequest,
    ) -> Result<wire::QueryEventsResponse, tonic::Status> {
        let answer = match self {
            Self::Here(ledger) => ledger.event().query_events(request).await,
            Self::There(ledger) => known(ledger.event().query_events(request).await),
        };
        answer.map(tonic::Response::into_inner)
    }

    async fn watch(
        &self,
        request: wire::WatchEventsRequest,
    ) -> Result<Streaming<wire::WatchEventsResponse>, tonic::Status> {
        let answer = match self {
            Self::Here(ledger) => ledger.event().watch_events(request).await,
            Self::There(ledger) => known(ledger.event().watch_events(request).await),
        };
        answer.map(tonic::Response::into_inner)
    }
}

/// Over the network it is a gateway that asks: its caller has shown who it is, and it is the gateway's key that the
/// ledger doesn't take.
fn known<T>(answer: Result<T, tonic::Status>) -> Result<T, tonic::Status> {
    answer.map_err(|status| match status.code() {
        tonic::Code::Unauthenticated => tonic::Status::permission_denied(format!(
            "the ledger doesn't take the gateway's key: {}",
            status.message()
        )),
        _ => status,
    })
}

/// Whoever serves queries.
pub(crate) trait Asks: Clone + Send + Sync + 'static {
    /// What may be done with `/events`.
    const EVENTS: &'static str = "OPTIONS, GET";
    /// The ledger, on behalf of the caller.
    fn source(&self, headers: &HeaderMap) -> impl Future<Output = Result<Source, Problem>> + Send;
    /// Where this is, as seen from outside, without a slash at the end.
    fn base(&self, parts: &Parts) -> String;
}

/// The routes of queries.
pub(crate) fn queries<A: Asks>() -> Router<A> {
    let narrowed = |parameter| {
        get(move |asks, parts, path| events::narrowed::<A>(asks, parts, path, parameter))
            .options(may_get)
    };
    Router::new()
        .route("/events", get(events::all::<A>).options(events_may::<A>))
        .route("/events/{*id}", get(events::one::<A>).options(may_get))
        .route("/eventTypes", get(events::types).options(may_get))
        .route("/eventTypes/{value}/events", narrowed("eventType"))
        .route("/bizSteps/{value}/events", narrowed("EQ_bizStep"))
        .route("/dispositions/{value}/events", narrowed("EQ_disposition"))
        .route("/epcs/{value}/events", narrowed("MATCH_anyEPC"))
        .route("/bizLocations/{value}/events", narrowed("EQ_bizLocation"))
        .route("/readPoints/{value}/events", narrowed("EQ_readPoint"))
}

async fn events_may<A: Asks>(headers: HeaderMap) -> Result<Response, Problem> {
    may(&headers, A::EVENTS)
}

async fn may_get(headers: HeaderMap) -> Result<Response, Problem> {
    may(&headers, "OPTIONS, GET")
}

/// What a resource allows, and which versions of the standards (the answer to OPTIONS).
fn may(headers: &HeaderMap, methods: &'static str) -> Result<Response, Problem> {
    negotiated(headers)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    let into = response.headers_mut();
    into.insert(header::ALLOW, HeaderValue::from_static(methods));
    for (name, value) in [
        ("gs1-epcis-min", "2.0"),
        ("gs1-epcis-max", "2.0"),
        ("gs1-cbv-min", "2.0"),
        ("gs1-cbv-max", "2.0"),
        (
            "gs1-vendor-version",
            concat!("custody ", env!("CARGO_PKG_VERSION")),
        ),
    ] {
        into.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    marked(&mut response);
    Ok(response)
}

/// Says by which standards an answer is made.
fn marked(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(EPCIS_VERSION, HeaderValue::from_static("2.0"));
    headers.insert(CBV_VERSION, HeaderValue::from_static("2.0"));
    // An identifier is given back as its source wrote it: that is what was signed.
    headers.insert(EPC_FORMAT, HeaderValue::from_static("Never_Translates"));
    headers.insert(
        EXTENSIONS,
        HeaderValue::from_static("custody=urn:x-custody:v1:"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// Whether the caller can be answered in the form that it wants.
fn negotiated(headers: &HeaderMap) -> Result<(), Problem> {
    for (name, is_ours) in [
        (&EPCIS_VERSION, is_two as fn(&str) -> bool),
        (&CBV_VERSION, is_two),
        (&EPC_FORMAT, is_as_written),
    ] {
        let Some(value) = headers.get(name) else {
            continue;
        };
        if !value.to_str().is_ok_and(is_ours) {
            return Err(Problem::not_acceptable(format!(
                "{name} is {value:?}: this answers by EPCIS 2.0 and CBV 2.0, identifiers as they came \
                 (Never_Translates)"
            )));
        }
    }
    for (name, fits) in [
        ("gs1-epcis-min", at_most_two as fn(f64) -> bool),
        ("gs1-cbv-min", at_most_two),
        ("gs1-epcis-max", at_least_two),
        ("gs1-cbv-max", at_least_two),
    ] {
        let asked = headers
            .get(name)
            .map(|value| value.to_str().ok()?.trim().parse().ok());
        if asked.is_some_and(|version| !version.is_some_and(fits)) {
            return Err(Problem::not_acceptable(format!(
                "{name} leaves out 2.0, the only version that answers have"
            )));
        }
    }
    let accept = headers.get_all(header::ACCEPT).iter();
    let mut kinds = accept
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .peekable();
    let takes = |kind: &str| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        matches!(
            kind,
            "" | "*/*" | "application/*" | "application/json" | "application/ld+json"
        )
    };
    if kinds.peek().is_some() && !kinds.any(takes) {
        return Err(Problem::not_acceptable(
            "answers are application/json or application/ld+json",
        ));
    }
    Ok(())
}

fn is_two(version: &str) -> bool {
    let version = version.trim();
    version == "2.0" || version == "2" || version.starts_with("2.0.")
}

fn is_as_written(format: &str) -> bool {
    matches!(format.trim(), "No_Preference" | "Never_Translates")
}

fn at_most_two(version: f64) -> bool {
    version <= 2.0
}

fn at_least_two(version: f64) -> bool {
    version >= 2.0
}

/// Marks requests that came over TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tls;

/// Where a server is as seen from outside, without a slash at the end: as it was told, or what the caller asked for.
pub(crate) fn base(public_url: Option<&str>, parts: &Parts) -> String {
    if let Some(url) = public_url {
        return url.trim_end_matches('/').to_owned();
    }
    // HTTP/2 names the host in the address, HTTP/1 in a header.
    let header = parts.headers.get(header::HOST);
    let host = parts
        .uri
        .authority()
        .map(axum::http::uri::Authority::as_str);
    let host = host.or_else(|| header.and_then(|host| host.to_str().ok()));
    let scheme = if parts.extensions.get::<Tls>().is_some() {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

/// A JSON answer.
fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (status, headers, body.to_string()).into_response();
    marked(&mut response);
    response
}

/// Says where what was made is.
fn located(mut response: Response, address: &str) -> Result<Response, Problem> {
    let value = HeaderValue::from_str(address);
    let value = value.map_err(|error| Problem::internal("Location", &error))?;
    response.headers_mut().insert(header::LOCATION, value);
    Ok(response)
}

/// Says where the next page is, if there is one.
fn linked(mut response: Response, next: Option<&str>) -> Result<Response, Problem> {
    if let Some(next) = next {
        let value = HeaderValue::from_str(&format!("<{next}>; rel=\"next\""));
        let value = value.map_err(|error| Problem::internal("Link", &error))?;
        response.headers_mut().insert(header::LINK, value);
    }
    Ok(response)
}

/// What is sent, without its parameters; in small letters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()?.split(';').next());
    kind.unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        all.iter().map(pair).collect()
    }

    #[test]
    fn what_cannot_be_answered_as_asked_is_refused() {
        for good in [
            &[][..],
            &[("gs1-epcis-version", "2.0"), ("gs1-cbv-version", "2.0.0")],
            &[("gs1-epcis-min", "1.2"), ("gs1-epcis-max", "2.0")],
            &[("gs1-epc-format", "No_Preference")],
            &[("accept", "application/ld+json")],
            &[("accept", "text/html, */*;q=0.1")],
        ] {
            assert!(negotiated(&headers(good)).is_ok(), "{good:?}");
        }
        for bad in [
            &[("gs1-epcis-version", "1.2")][..],
            &[("gs1-cbv-version", "3")],
            &[("gs1-epcis-max", "1.2")],
            &[("gs1-cbv-min", "2.1")],
            &[("gs1-epcis-min", "two")],
            &[("gs1-epc-format", "Always_EPC_URN")],
            &[("accept", "application/xml")],
        ] {
            let problem = negotiated(&headers(bad)).unwrap_err();
            assert_eq!(problem.status, StatusCode::NOT_ACCEPTABLE, "{bad:?}");
        }
    }
}
