//! `POST /capture`: events by the document, as jobs; `POST /events`: one event, at once.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::events::{self, per_page};
use super::gateway::{Gateway, unreachable_ledger};
use super::jobs::{Behaviour, FolderError, Job, Outcome};
use super::problem::Problem;
use super::{Asks, answer, linked, located, may, media_type, negotiated};
use crate::core::id::escaped;
use crate::epcis::{self, DocumentError, MAX_DOCUMENT_BYTES, MAX_EVENTS};
use crate::sequence::now;

const BEHAVIOUR: HeaderName = HeaderName::from_static("gs1-capture-error-behaviour");
/// Jobs on a page when the caller doesn't say: the standard's default.
const DEFAULT_PAGE: u32 = 30;
/// Most jobs on a page.
const MAX_PAGE: u32 = 100;
/// How long the capture of one event is waited for; then its job is told instead.
const AT_ONCE: Duration = Duration::from_secs(30);

/// `GET /`.
pub(super) async fn resources(headers: HeaderMap) -> Result<Response, Problem> {
    negotiated(&headers)?;
    let list = json!(["capture", "events", "eventTypes", "queries"]);
    Ok(answer(StatusCode::OK, &list))
}

pub(super) async fn root_may(headers: HeaderMap) -> Result<Response, Problem> {
    may(&headers, "OPTIONS, GET").map(with_limits)
}

pub(super) async fn may_capture(headers: HeaderMap) -> Result<Response, Problem> {
    let mut response = with_limits(may(&headers, "OPTIONS, POST, GET")?);
    // Documents of older versions are taken, in XML.
    for name in ["gs1-epcis-min", "gs1-cbv-min"] {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static("1.0"));
    }
    Ok(response)
}

fn with_limits(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("gs1-epcis-capture-limit", MAX_EVENTS.to_string()),
        (
            "gs1-epcis-capture-file-size-limit",
            MAX_DOCUMENT_BYTES.to_string(),
        ),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers.insert(BEHAVIOUR, HeaderValue::from_static("rollback"));
    response
}

/// `POST /capture`.
pub(super) async fn post(
    State(gateway): State<Arc<Gateway>>,
    parts: Parts,
    body: Body,
) -> Result<Response, Problem> {
    let behaviour = behaviour(&parts.headers)?;
    let document = posted(&parts.headers, body, true).await?;
    let job = taken_in(&gateway, document, behaviour).await?;
    let mut response = answer(StatusCode::ACCEPTED, &job.body(false));
    let headers = response.headers_mut();
    let shown = match behaviour {
        Behaviour::Rollback => "rollback",
        Behaviour::Proceed => "proceed",
    };
    headers.insert(BEHAVIOUR, HeaderValue::from_static(shown));
    located(
        response,
        &format!("{}/capture/{}", gateway.base(&parts), job.id),
    )
}

/// `POST /events`.
pub(super) async fn event(
    State(gateway): State<Arc<Gateway>>,
    parts: Parts,
    body: Body,
) -> Result<Response, Problem> {
    let document = posted(&parts.headers, body, false).await?;
    let base = gateway.base(&parts);
    let mut finished = gateway.finished.subscribe();
    let waiting = taken_in(&gateway, document, Behaviour::Rollback).await?;
    let done = tokio::time::timeout(AT_ONCE, async {
        loop {
            let job = read(&gateway, &waiting.id).await?;
            if job.finished.is_some() || finished.changed().await.is_err() {
                return Ok::<Job, Problem>(job);
            }
        }
    });
    let job = match done.await {
        Ok(job) => job?,
        // The ledger can't be reached, or others are before it: it will be captured, and not now.
        Err(_) => waiting,
    };
    if job.finished.is_none() {
        let response = answer(StatusCode::ACCEPTED, &job.body(false));
        return located(response, &format!("{base}/capture/{}", job.id));
    }
    if let Some(error) = job.errors.first() {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            error.exception,
            error.detail.as_str(),
        ));
    }
    let Some(event) = job.events.first() else {
        return Err(Problem::invalid("the document has no event"));
    };
    let source = gateway.as_itself().await.map_err(unreachable_ledger)?;
    let found = events::of_id(&source, &event.event_id).await?;
    let index = match event.outcome {
        Outcome::Captured(index, _) | Outcome::Duplicate(index) => index,
        Outcome::Refused | Outcome::NotSent => 0,
    };
    let found = found.iter().find(|one| one.log_index == index);
    let body = match found {
        Some(found) => epcis::single(events::one_exported(found)?),
        None => Value::Null,
    };
    let address = format!("{base}/events/{}", escaped(&event.event_id));
    located(answer(StatusCode::CREATED, &body), &address)
}

/// `GET /capture`: the latest first.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    parts: Parts,
) -> Result<Response, Problem> {
    negotiated(&parts.headers)?;
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(pairs) = pairs.map_err(|error| Problem::invalid(error.to_string()))?;
    let (mut size, mut before) = (DEFAULT_PAGE, None);
    for (name, value) in pairs {
        match name.as_str() {
            "perPage" => size = per_page(&value)?.min(MAX_PAGE),
            "nextPageToken" => before = Some(value),
            _ => return Err(Problem::invalid(format!("{name}: jobs are not filtered"))),
        }
    }
    let base = gateway.base(&parts);
    let listed = off_thread(&gateway, move |gateway| {
        gateway.jobs.list(before.as_deref(), size as usize)
    });
    let (jobs, more) = listed.await?;
    let bodies: Vec<Value> = jobs.iter().map(|job| job.body(false)).collect();
    let response = answer(StatusCode::OK, &bodies.into());
    let last = jobs.last().filter(|_| more);
    let next = last.map(|last| format!("{base}/capture?perPage={size}&nextPageToken={}", last.id));
    linked(response, next.as_deref())
}

/// `GET /capture/{captureID}`.
pub(super) async fn one(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    negotiated(&headers)?;
    let job = read(&gateway, &id).await?;
    let mut body = job.body(true);
    let trouble = gateway.trouble();
    if job.finished.is_none() && !trouble.is_empty() {
        body["custody:waitsFor"] = trouble.into();
    }
    Ok(answer(StatusCode::OK, &body))
}

async fn read(gateway: &Arc<Gateway>, id: &str) -> Result<Job, Problem> {
    let id = id.to_owned();
    let job = off_thread(gateway, move |gateway| gateway.jobs.get(&id)).await?;
    job.ok_or_else(|| Problem::not_found("there is no such capture job"))
}

async fn off_thread<T: Send + 'static>(
    gateway: &Arc<Gateway>,
    work: impl FnOnce(&Gateway) -> Result<T, FolderError> + Send + 'static,
) -> Result<T, Problem> {
    let gateway = Arc::clone(gateway);
    let done = tokio::task::spawn_blocking(move || work(&gateway)).await;
    let done = done.map_err(|error| Problem::internal("a thread", &error))?;
    done.map_err(|error| Problem::internal("the folder", &error))
}

async fn taken_in(
    gateway: &Arc<Gateway>,
    document: Vec<u8>,
    behaviour: Behaviour,
) -> Result<Job, Problem> {
    if !gateway.jobs.has_room() {
        return Err(Problem::too_much(
            "too many capture jobs wait already; is the ledger within reach?",
        ));
    }
    let job = off_thread(gateway, move |gateway| {
        gateway.jobs.add(&document, behaviour, now())
    });
    let job = job.await?;
    gateway.added.notify_one();
    Ok(job)
}

/// What was posted, if it is EPCIS.
async fn posted(headers: &HeaderMap, body: Body, xml: bool) -> Result<Vec<u8>, Problem> {
    negotiated(headers)?;
    match media_type(headers).as_str() {
        "application/json" | "application/ld+json" => {}
        "application/xml" | "text/xml" if xml => {}
        other => {
            return Err(Problem::unsupported_media(format!(
                "the Content-Type is {other:?}; this takes application/json and application/ld+json{}",
                if xml {
                    ", and EPCIS 1.0 to 1.2 as application/xml"
                } else {
                    ""
                }
            )));
        }
    }
    let too_large = || {
        let most = MAX_DOCUMENT_BYTES;
        Problem::too_large(format!(
            "at most {MAX_EVENTS} events in {most} bytes; send several documents"
        ))
    };
    let bytes = to_bytes(body, MAX_DOCUMENT_BYTES).await;
    let bytes = bytes.map_err(|_| too_large())?.to_vec();
    let checked = tokio::task::spawn_blocking(move || {
        let read = epcis::import(&bytes);
        read.map(|import| (bytes, import.events.len()))
    });
    let checked = checked
        .await
        .map_err(|error| Problem::internal("a thread", &error))?;
    match checked {
        Ok((_, 0)) => Err(Problem::invalid("the document has no event")),
        Ok((_, events)) if !xml && events > 1 => {
            Err(Problem::invalid("one event; several go to /capture"))
        }
        Ok((bytes, _)) => Ok(bytes),
        Err(error) if error.too_many_events => Err(too_large()),
        Err(error) => Err(not_epcis(&error)),
    }
}

fn not_epcis(error: &DocumentError) -> Problem {
    Problem::invalid(error.to_string())
}

fn behaviour(headers: &HeaderMap) -> Result<Behaviour, Problem> {
    let Some(value) = headers.get(BEHAVIOUR) else {
        return Ok(Behaviour::default());
    };
    match value.to_str().map(str::trim) {
        Ok("rollback") => Ok(Behaviour::Rollback),
        Ok("proceed") => Ok(Behaviour::Proceed),
        _ => Err(Problem::invalid(format!(
            "{BEHAVIOUR} is rollback or proceed"
        ))),
    }
}
