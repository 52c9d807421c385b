//! Named queries, and their events: by the page, or over a WebSocket as they are captured.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::events::{self, Asked, of_json, per_page};
use super::gateway::{Gateway, stopped};
use super::jobs::{FolderError, on, write_whole};
use super::problem::{Exception, Problem};
use super::subscriptions::{Follower, Subscription, start_of};
use super::{Asks, answer, located, may, media_type, negotiated};
use crate::core::wire;
use crate::epcis;
use crate::sequence::now;

/// File of the queries in the gateway's folder.
const FILE: &str = "queries.json";
/// Most named queries.
const MAX_QUERIES: usize = 100;
/// Most letters of a name.
const MAX_NAME: usize = 64;
/// Largest definition, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// Most WebSockets at once.
const MAX_SOCKETS: usize = 100;
/// Longest message that is read from one, in bytes: nothing is asked over it.
const MAX_HEARD: usize = 4_096;
/// How long somebody may take to hear what is told.
const SLOW: Duration = Duration::from_secs(30);
/// How often somebody who hears nothing is asked whether it is still there.
const PING: Duration = Duration::from_secs(30);

/// A named query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Named {
    /// As it was defined.
    pub query: Value,
    #[serde(default)]
    pub subscriptions: BTreeMap<String, Subscription>,
}

/// All of them, on disk.
pub(super) struct Queries {
    path: PathBuf,
    all: Mutex<BTreeMap<String, Named>>,
    /// Changes when one is removed, so that who follows it looks again.
    pub(super) removed: watch::Sender<u64>,
    sockets: Arc<tokio::sync::Semaphore>,
}

impl Queries {
    pub(super) fn open(state: &FilePath) -> Result<Self, FolderError> {
        let path = state.join(FILE);
        let all = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(std::io::Error::other)
                .map_err(on(&path))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(on(&path)(error)),
        };
        Ok(Self {
            path,
            all: Mutex::new(all),
            removed: watch::Sender::new(0),
            sockets: Arc::new(tokio::sync::Semaphore::new(MAX_SOCKETS)),
        })
    }

    /// What they are now.
    pub(super) fn read<T>(&self, see: impl FnOnce(&BTreeMap<String, Named>) -> T) -> T {
        let all = self.all.lock();
        see(&all.unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Changes them; on disk when this returns, or not at all.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Named>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let all = self.all.lock();
        let mut all = all.unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut changed = all.clone();
        let outcome = change(&mut changed)?;
        let bytes = serde_json::to_vec(&changed);
        let bytes = bytes.map_err(|error| Problem::internal("the queries", &error))?;
        write_whole(&self.path, &bytes)
            .map_err(|error| Problem::internal("the queries", &error))?;
        *all = changed;
        Ok(outcome)
    }

    pub(super) fn get(&self, name: &str) -> Result<Named, Problem> {
        self.read(|all| all.get(name).cloned())
            .ok_or_else(|| Problem::not_found(format!("there is no query {name:?}")))
    }
}

pub(super) async fn may_add(headers: HeaderMap) -> Result<Response, Problem> {
    may(&headers, "OPTIONS, GET, POST")
}

pub(super) async fn may_remove(headers: HeaderMap) -> Result<Response, Problem> {
    may(&headers, "OPTIONS, GET, DELETE")
}

/// `GET /queries`.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    negotiated(&headers)?;
    let shown = |(name, named): (&String, &Named)| json!({ "name": name, "query": named.query });
    let list: Vec<Value> = gateway.queries.read(|all| all.iter().map(shown).collect());
    Ok(answer(StatusCode::OK, &list.into()))
}

/// `GET /queries/{queryName}`.
pub(super) async fn one(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    negotiated(&headers)?;
    let named = gateway.queries.get(&name)?;
    let shown = json!({ "name": name, "query": named.query });
    Ok(answer(StatusCode::OK, &shown))
}

/// The JSON of a request.
pub(super) async fn body(headers: &HeaderMap, body: Body) -> Result<Value, Problem> {
    negotiated(headers)?;
    if media_type(headers) != "application/json" {
        return Err(Problem::unsupported_media(
            "the Content-Type is application/json",
        ));
    }
    let bytes = to_bytes(body, MAX_BODY).await;
    let bytes = bytes.map_err(|_| Problem::too_large(format!("at most {MAX_BODY} bytes")))?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::invalid(format!("JSON: {error}")))
}

/// `POST /queries`.
pub(super) async fn add(
    State(gateway): State<Arc<Gateway>>,
    parts: Parts,
    sent: Body,
) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Definition {
        name: String,
        query: Value,
    }
    let sent = body(&parts.headers, sent).await?;
    let definition: Definition =
        serde_json::from_value(sent).map_err(|error| Problem::invalid(error.to_string()))?;
    let name = definition.name;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(1..=MAX_NAME).contains(&name.len()) || !name.bytes().all(is_plain) {
        return Err(Problem::invalid(format!(
            "name: 1 to {MAX_NAME} letters, digits and -._~"
        )));
    }
    understood(&of_json(&definition.query)?)?;
    let base = gateway.base(&parts);
    let (asked, query) = (name.clone(), definition.query);
    changed(&gateway, move |queries| {
        if queries.contains_key(&asked) {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                Exception::DuplicateName,
                format!("there is a query {asked:?} already"),
            ));
        }
        if queries.len() >= MAX_QUERIES {
            let detail = format!("at most {MAX_QUERIES} queries; remove one first");
            return Err(Problem::new(
                StatusCode::CONFLICT,
                Exception::Implementation,
                detail,
            ));
        }
        let subscriptions = BTreeMap::new();
        queries.insert(
            asked,
            Named {
                query,
                subscriptions,
            },
        );
        Ok(())
    })
    .await?;
    let named = gateway.queries.get(&name)?;
    let shown = json!({ "name": name, "query": named.query });
    let response = answer(StatusCode::CREATED, &shown);
    located(response, &format!("{base}/queries/{name}"))
}

/// `DELETE /queries/{queryName}`: whoever subscribed to it hears no more.
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    negotiated(&headers)?;
    changed(&gateway, move |queries| {
        let removed = queries.remove(&name);
        removed.ok_or_else(|| Problem::not_found(format!("there is no query {name:?}")))
    })
    .await?;
    gateway.queries.removed.send_modify(|number| *number += 1);
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn changed<T: Send + 'static>(
    gateway: &Arc<Gateway>,
    change: impl FnOnce(&mut BTreeMap<String, Named>) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let gateway = Arc::clone(gateway);
    let done = tokio::task::spawn_blocking(move || gateway.queries.change(change)).await;
    done.map_err(|error| Problem::internal("a thread", &error))?
}

/// Whether a query can be answered.
fn understood(request: &wire::QueryEventsRequest) -> Result<(), Problem> {
    let parameters: Vec<(String, Vec<String>)> = request
        .parameters
        .iter()
        .map(|one| (one.name.clone(), one.values.clone()))
        .collect();
    let namespaces = request
        .namespaces
        .iter()
        .map(|one| (one.prefix.clone(), one.uri.clone()))
        .collect();
    let query = epcis::Query::new(&parameters, &namespaces);
    query.map(drop).map_err(|error| {
        let (status, exception) = match error {
            epcis::QueryError::Unsupported { .. } => {
                (StatusCode::NOT_IMPLEMENTED, Exception::Implementation)
            }
            epcis::QueryError::TooComplex(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Exception::QueryTooComplex)
            }
            epcis::QueryError::Parameter { .. } => {
                (StatusCode::BAD_REQUEST, Exception::QueryParameter)
            }
        };
        Problem::new(status, exception, error.to_string())
    })
}

/// `GET /queries/{queryName}/events`.
pub(super) async fn events(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    parts: Parts,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    negotiated(&parts.headers)?;
    let named = gateway.queries.get(&name)?;
    let mut request = of_json(&named.query)?;
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
    let Query(pairs) = pairs.map_err(|error| Problem::invalid(error.to_string()))?;
    let (mut stream, mut since) = (false, None);
    for (key, value) in pairs {
        match key.as_str() {
            "perPage" => request.page_size = per_page(&value)?,
            "nextPageToken" => request.page_token = value,
            "stream" => stream = value == "true",
            "initialRecordTime" => since = Some(value),
            "second" | "minute" | "hour" | "dayOfMonth" | "month" | "dayOfWeek" => {
                return Err(no_schedule());
            }
            _ => {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    Exception::QueryParameter,
                    format!("{key}: a named query says itself what it selects"),
                ));
            }
        }
    }
    let Ok(upgrade) = upgrade else {
        let source = gateway.source(&parts.headers).await?;
        let asked = Asked { request };
        return asked
            .page(&source, &gateway.base(&parts), &parts, Some(&name))
            .await;
    };
    if !stream {
        return Err(no_schedule());
    }
    let place = Arc::clone(&gateway.queries.sockets).try_acquire_owned();
    let place =
        place.map_err(|_| Problem::too_much(format!("{MAX_SOCKETS} WebSockets are open")))?;
    let cursor = start_of(&gateway, since.as_deref()).await?;
    let follower = Follower::new(&gateway, request, cursor);
    let upgrade = upgrade
        .max_message_size(MAX_HEARD)
        .max_frame_size(MAX_HEARD);
    Ok(upgrade.on_upgrade(move |socket| async move {
        told(&gateway, &name, follower, socket).await;
        drop(place);
    }))
}

pub(super) fn no_schedule() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        Exception::SubscriptionControls,
        "subscriptions report as events are captured: say stream=true; there are no schedules",
    )
}

/// Tells what a query selects as it is captured, until either side has had enough.
async fn told(gateway: &Arc<Gateway>, name: &str, mut follower: Follower, mut socket: WebSocket) {
    let mut stop = gateway.stop.subscribe();
    let mut removed = gateway.queries.removed.subscribe();
    let mut ping = tokio::time::interval(PING);
    loop {
        let text = tokio::select! {
            batch = follower.next() => match batch.and_then(|(events, _)| events::exported(events)) {
                Ok(events) if events.is_empty() => continue,
                Ok(events) => {
                    epcis::query_document(events, &now().to_string(), Some((name, ""))).to_string()
                }
                Err(problem) => problem.body().to_string(),
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // Nothing is asked over it.
                Some(Ok(_)) => continue,
            },
            _ = ping.tick() => {
                if !heard(&mut socket, Message::Ping(axum::body::Bytes::new())).await {
                    return;
                }
                continue;
            }
            _ = removed.changed() => {
                if gateway.queries.get(name).is_ok() {
                    continue;
                }
                close(&mut socket, close_code::NORMAL, "the query was removed").await;
                return;
            }
            () = stopped(&mut stop) => {
                close(&mut socket, close_code::AWAY, "the gateway is closing").await;
                return;
            }
        };
        if !heard(&mut socket, Message::Text(text.into())).await {
            return;
        }
    }
}

/// Whether the other side took a message in time.
async fn heard(socket: &mut WebSocket, message: Message) -> bool {
    let sent = tokio::time::timeout(SLOW, socket.send(message)).await;
    matches!(sent, Ok(Ok(())))
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // Whoever is gone needs no farewell.
    heard(socket, Message::Close(Some(frame))).await;
}
