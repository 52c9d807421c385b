//! Subscriptions: what a query selects is posted to an address as it is captured.
//!
//! Each has a cursor on disk, which goes forward only after the receiver has said that it took what was sent; so
//! every event arrives, and after an interruption the last ones may arrive again. A body is signed with the secret
//! that the subscriber chose: `GS1-Signature` is the HMAC-SHA256 of it, in base64.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::TryRng as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use tonic::Streaming;

use super::events::{exported, of_json};
use super::gateway::{Gateway, stopped, unreachable_ledger};
use super::jobs::{on, write_whole};
use super::problem::{Exception, Problem};
use super::queries::{body, changed, no_schedule};
use super::{Asks, answer, located, negotiated};
use crate::client::ClientError;
use crate::core::record::Millis;
use crate::core::wire;
use crate::epcis;
use crate::sequence::now;

/// Most subscriptions of one query.
const MAX_SUBSCRIPTIONS: usize = 10;
/// Events that are sent together.
const BATCH: usize = 100;
/// How long more is waited for, once there is something.
const TOGETHER: Duration = Duration::from_millis(20);
/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// After a failure; the last one again and again.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];

/// A subscription.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Subscription {
    dest: String,
    #[serde(default)]
    signature_token: Option<String>,
    created: Millis,
    /// Where it began.
    cursor: String,
    #[serde(default)]
    initial_record_time: Option<String>,
}

impl Subscription {
    /// As the standard has it, without the secret.
    fn body(&self, query: &str, id: &str) -> Value {
        let mut body = json!({
            "subscriptionID": id,
            "queryName": query,
            "dest": self.dest,
            "stream": true,
            "createdAt": self.created.to_string(),
        });
        if let Some(time) = &self.initial_record_time {
            body["initialRecordTime"] = time.as_str().into();
        }
        body
    }
}

/// `GET /queries/{queryName}/subscriptions`.
pub(super) async fn list(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    negotiated(&headers)?;
    let named = gateway.queries.get(&name)?;
    let all = named.subscriptions.iter();
    let list: Vec<Value> = all.map(|(id, one)| one.body(&name, id)).collect();
    Ok(answer(StatusCode::OK, &list.into()))
}

/// `GET /queries/{queryName}/subscriptions/{subscriptionID}`.
pub(super) async fn one(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    negotiated(&headers)?;
    let named = gateway.queries.get(&name)?;
    let one = named.subscriptions.get(&id);
    let one = one.ok_or_else(|| Problem::not_found("there is no such subscription"))?;
    Ok(answer(StatusCode::OK, &one.body(&name, &id)))
}

/// `POST /queries/{queryName}/subscriptions`.
pub(super) async fn add(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    parts: Parts,
    sent: Body,
) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Asked {
        dest: String,
        signature_token: Option<String>,
        initial_record_time: Option<String>,
        stream: Option<bool>,
        schedule: Option<Value>,
        #[serde(default)]
        report_if_empty: bool,
    }
    let sent = body(&parts.headers, sent).await?;
    let asked: Asked =
        serde_json::from_value(sent).map_err(|error| Problem::invalid(error.to_string()))?;
    if asked.stream != Some(true) || asked.schedule.is_some() {
        return Err(no_schedule());
    }
    if asked.report_if_empty {
        let detail = "reportIfEmpty goes with a schedule: a stream reports when there is something";
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            Exception::SubscriptionControls,
            detail,
        ));
    }
    check_address(&asked.dest)?;
    let query = gateway.queries.get(&name)?;
    let request = of_json(&query.query)?;
    let cursor = start_of(&gateway, asked.initial_record_time.as_deref()).await?;
    // The ledger says whether the query can be followed; better now than never.
    let mut follower = Follower::new(&gateway, request, cursor.clone());
    follower.open().await?;
    let mut random = [0; 16];
    getrandom::SysRng
        .try_fill_bytes(&mut random)
        .map_err(|error| Problem::internal("random numbers", &error))?;
    let id = hex::encode(random);
    let subscription = Subscription {
        dest: asked.dest,
        signature_token: asked.signature_token,
        created: now(),
        cursor,
        initial_record_time: asked.initial_record_time,
    };
    let shown = subscription.body(&name, &id);
    let (into, key, kept) = (name.clone(), id.clone(), subscription.clone());
    changed(&gateway, move |queries| {
        let named = queries.get_mut(&into);
        let named = named.ok_or_else(|| Problem::not_found("the query was removed"))?;
        if named.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                Exception::Implementation,
                format!("at most {MAX_SUBSCRIPTIONS} subscriptions of a query; remove one first"),
            ));
        }
        named.subscriptions.insert(key, kept);
        Ok(())
    })
    .await?;
    let address = format!("{}/queries/{name}/subscriptions/{id}", gateway.base(&parts));
    begin(&gateway, name, id, subscription);
    located(answer(StatusCode::CREATED, &shown), &address)
}

/// `DELETE /queries/{queryName}/subscriptions/{subscriptionID}`.
pub(super) async fn remove(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    negotiated(&headers)?;
    changed(&gateway, move |queries| {
        let named = queries.get_mut(&name);
        let removed = named.and_then(|named| named.subscriptions.remove(&id));
        removed.ok_or_else(|| Problem::not_found("there is no such subscription"))
    })
    .await?;
    gateway.queries.removed.send_modify(|number| *number += 1);
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn check_address(dest: &str) -> Result<(), Problem> {
    let uri: Option<Uri> = dest.parse().ok();
    let good = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    if good && dest.len() <= 2_048 {
        return Ok(());
    }
    Err(Problem::invalid(
        "dest: an address that begins with https:// or http://",
    ))
}

/// The cursor at which somebody begins who wants what comes from now on, or from a time on.
pub(super) async fn start_of(gateway: &Gateway, since: Option<&str>) -> Result<String, Problem> {
    if let Some(text) = since {
        let parameter = vec![("GE_recordTime".to_owned(), vec![text.to_owned()])];
        let query = epcis::Query::new(&parameter, &std::collections::BTreeMap::new());
        let query =
            query.map_err(|error| Problem::invalid(format!("initialRecordTime: {error}")))?;
        let ms = query.recorded_from.unwrap_or_default().max(1);
        return Ok(format!("since {ms}"));
    }
    let size = async {
        let (note, _) = gateway.ledger().await?.checkpoint().await?;
        let text = std::str::from_utf8(&note).ok();
        // The second line of a checkpoint (c2sp.org/tlog-checkpoint).
        let size = text.and_then(|text| text.lines().nth(1)).map(str::to_owned);
        size.ok_or(ClientError::Checkpoint)
    };
    size.await.map_err(unreachable_ledger)
}

/// Follows what a query selects, over interruptions.
pub(super) struct Follower {
    gateway: Arc<Gateway>,
    request: wire::QueryEventsRequest,
    cursor: String,
    stream: Option<Streaming<wire::WatchEventsResponse>>,
    /// What has come and was not handed on: [`Follower::next`] may be given up at any point.
    held: Vec<wire::CapturedEvent>,
    failures: usize,
}

impl Follower {
    pub(super) fn new(
        gateway: &Arc<Gateway>,
        request: wire::QueryEventsRequest,
        cursor: String,
    ) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            request,
            cursor,
            stream: None,
            held: Vec::new(),
            failures: 0,
        }
    }

    /// Begins to follow, if it isn't done already.
    async fn open(&mut self) -> Result<(), Problem> {
        if self.stream.is_some() {
            return Ok(());
        }
        let (cursor, since_ms) = match self.cursor.strip_prefix("since ") {
            Some(ms) => (String::new(), ms.parse().unwrap_or(1)),
            None => (self.cursor.clone(), 0),
        };
        let request = wire::WatchEventsRequest {
            parameters: self.request.parameters.clone(),
            namespaces: self.request.namespaces.clone(),
            cursor,
            since_ms,
        };
        let source = self.gateway.as_itself().await.map_err(unreachable_ledger)?;
        self.stream = Some(source.watch(request).await?);
        Ok(())
    }

    /// What comes next, and the cursor after it. There may be no event in it. An error is one that trying again does
    /// not mend.
    pub(super) async fn next(&mut self) -> Result<(Vec<wire::CapturedEvent>, String), Problem> {
        loop {
            match self.attempt().await {
                Ok(batch) => {
                    self.failures = 0;
                    return Ok(batch);
                }
                Err(problem) if problem.status.is_client_error() && self.failures > 0 => {
                    // Once may have been a token that ran out; a second time it is meant.
                    tokio::time::sleep(PAUSES[self.failures.min(PAUSES.len() - 1)]).await;
                    self.failures += 1;
                    return Err(problem);
                }
                Err(problem) => {
                    tracing::debug!(detail = problem.detail, "following again");
                    tokio::time::sleep(PAUSES[self.failures.min(PAUSES.len() - 1)]).await;
                    self.failures += 1;
                }
            }
        }
    }

    async fn attempt(&mut self) -> Result<(Vec<wire::CapturedEvent>, String), Problem> {
        self.open().await?;
        let Some(stream) = &mut self.stream else {
            return Err(Problem::too_much("no stream"));
        };
        if self.held.is_empty() {
            let first = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => {
                    self.stream = None;
                    return Err(Problem::too_much("the ledger ended the stream"));
                }
                Err(status) => {
                    self.stream = None;
                    return Err(status.into());
                }
            };
            self.cursor = first.cursor;
            self.held.extend(first.event);
        }
        while !self.held.is_empty() && self.held.len() < BATCH {
            // What fails here fails again the next time.
            let Ok(Ok(Some(more))) = tokio::time::timeout(TOGETHER, stream.message()).await else {
                break;
            };
            self.cursor = more.cursor;
            self.held.extend(more.event);
        }
        Ok((std::mem::take(&mut self.held), self.cursor.clone()))
    }
}

/// Goes on with the subscriptions that there are.
pub(super) fn resume(gateway: &Arc<Gateway>) {
    let all: Vec<(String, String, Subscription)> = gateway.queries.read(|queries| {
        let of_query = queries.iter().flat_map(|(name, named)| {
            let all = named.subscriptions.iter();
            all.map(|(id, one)| (name.clone(), id.clone(), one.clone()))
        });
        of_query.collect()
    });
    for (name, id, subscription) in all {
        begin(gateway, name, id, subscription);
    }
}

fn begin(gateway: &Arc<Gateway>, name: String, id: String, subscription: Subscription) {
    let gateway = Arc::clone(gateway);
    tokio::spawn(async move {
        let mut stop = gateway.stop.subscribe();
        let mut removed = gateway.queries.removed.subscribe();
        let is_there = || {
            let named = gateway.queries.get(&name);
            named.is_ok_and(|named| named.subscriptions.contains_key(&id))
        };
        let work = deliver(&gateway, &name, &id, subscription);
        tokio::pin!(work);
        loop {
            tokio::select! {
                () = &mut work => return,
                () = stopped(&mut stop) => return,
                changed = removed.changed() => if changed.is_err() || !is_there() { break },
            }
        }
        // Without its row the cursor is nobody's.
        let _ = std::fs::remove_file(cursor_file(&gateway, &id));
    });
}

fn cursor_file(gateway: &Gateway, id: &str) -> PathBuf {
    gateway.state().join("cursors").join(id)
}

/// Sends everything from the cursor on, as it comes.
async fn deliver(gateway: &Arc<Gateway>, name: &str, id: &str, subscription: Subscription) {
    let file = cursor_file(gateway, id);
    let cursor = std::fs::read_to_string(&file).unwrap_or(subscription.cursor.clone());
    let request = gateway
        .queries
        .get(name)
        .and_then(|named| of_json(&named.query));
    let Ok(request) = request else { return };
    let mut follower = Follower::new(gateway, request, cursor);
    let sender = Arc::new(Sender::new(&subscription));
    let mut written = String::new();
    loop {
        let (body, cursor) = match follower.next().await {
            Ok((events, cursor)) if events.is_empty() => (None, Some(cursor)),
            Ok((events, cursor)) => match exported(events) {
                Ok(events) => {
                    let named = Some((name, id));
                    let document = epcis::query_document(events, &now().to_string(), named);
                    (Some(document.to_string()), Some(cursor))
                }
                Err(problem) => (Some(problem.body().to_string()), None),
            },
            // What is wrong with the query is told as a query would be answered.
            Err(problem) => (Some(problem.body().to_string()), None),
        };
        if let Some(body) = body {
            sender.until_taken(&body).await;
        }
        if let Some(cursor) = cursor.filter(|cursor| *cursor != written) {
            let (path, bytes) = (file.clone(), cursor.clone());
            let kept = tokio::task::spawn_blocking(move || {
                let folder = path.parent().unwrap_or(&path);
                std::fs::create_dir_all(folder).map_err(on(folder))?;
                write_whole(&path, bytes.as_bytes())
            });
            if let Ok(Err(error)) = kept.await {
                tracing::error!(%error, "the cursor of a subscription was not kept; events may come twice");
            }
            written = cursor;
        }
    }
}

/// Posts to one address.
struct Sender {
    agent: ureq::Agent,
    dest: String,
    secret: Option<String>,
}

impl Sender {
    fn new(subscription: &Subscription) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // Another address was not what the subscriber gave.
            .max_redirects(0)
            .build();
        Self {
            agent: config.into(),
            dest: subscription.dest.clone(),
            secret: subscription.signature_token.clone(),
        }
    }

    /// Sends until the receiver says that it took it.
    async fn until_taken(self: &Arc<Self>, body: &str) {
        let mut failures = 0;
        loop {
            let (sender, sent) = (Arc::clone(self), body.to_owned());
            let outcome = tokio::task::spawn_blocking(move || sender.post(&sent)).await;
            let failed = match outcome {
                Ok(Ok(status)) if (200..300).contains(&status) => return,
                Ok(Ok(status)) => format!("status {status}"),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            let pause = PAUSES[failures.min(PAUSES.len() - 1)];
            failures += 1;
            tracing::warn!(
                dest = self.dest,
                failed,
                "a subscriber took nothing; again in {} s",
                pause.as_secs()
            );
            tokio::time::sleep(pause).await;
        }
    }

    fn post(&self, body: &str) -> Result<u16, ureq::Error> {
        let mut request = self
            .agent
            .post(&self.dest)
            .header("content-type", "application/json")
            .header("gs1-epcis-version", "2.0")
            .header("gs1-cbv-version", "2.0");
        if let Some(secret) = &self.secret {
            request = request.header("gs1-signature", signature(secret, body));
        }
        Ok(request.send(body)?.status().as_u16())
    }
}

/// The HMAC-SHA256 of a body, in base64.
fn signature(secret: &str, body: &str) -> String {
    // HMAC takes keys of any length (RFC 2104 section 2).
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(body.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_rfc_4231() {
        // RFC 4231 section 4.3, test case 2.
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let wanted = BASE64_STANDARD.encode(hex::decode(hex).unwrap());
        assert_eq!(signature("Jefe", "what do ya want for nothing?"), wanted);
    }

    #[test]
    fn only_web_addresses_are_posted_to() {
        for good in ["https://erp.example/hook", "http://127.0.0.1:9/x"] {
            assert!(check_address(good).is_ok(), "{good}");
        }
        for bad in [
            "file:///etc/passwd",
            "erp.example",
            "",
            "ftp://x/y",
            "https://",
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
