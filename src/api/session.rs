//! Read your own writes on any node: every answer says how much of the log it reflects, and a caller may ask for
//! no less than it has seen.
//!
//! | metadata | of | value |
//! |---|---|---|
//! | [`LOG_SIZE`] | an answer | it reflects at least the first so many entries |
//! | [`GROUP`] | an answer of a node of a cluster | it reflects at least the groups up to this number |
//! | [`AT_LEAST`] | a request | wait until the node has so many entries |
//!
//! The size of the log is the token of a session, since it means the same on every node, on a node that joined
//! anew, and on a ledger of one process; the index in a receipt and one is a token as well.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tonic::Status;

use super::leaving::{self, Leaving, Made};
use super::{arriving, errors, granted};
use crate::core::refusal::{Reason, Refusal};
use crate::network::{Limits, Shares};
use crate::node::Node;

/// Entries that an answer reflects.
pub const LOG_SIZE: &str = "custody-log-size";
/// The last group of the cluster's order that an answer reflects.
pub const GROUP: &str = "custody-group";
/// Entries that an answer has to reflect.
pub const AT_LEAST: &str = "custody-at-least";

/// How long a call waits for entries.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls whose answer tells of what they wrote.
const WRITES: &str = "/custody.v1.LedgerService/Submit";

/// Streams of answers without an end, for which nobody needs a token, beside that of reflection.
const OPEN_STREAMS: [&str; 2] = [
    "/custody.v1.ProvenanceService/WatchUnit",
    "/grpc.health.v1.Health/Watch",
];

/// What every call goes through: layers of their own for each of its parts would cost it a piece of memory each.
pub(super) async fn layer(State(node): State<Arc<Node>>, request: Request, next: Next) -> Response {
    match called(&node, request, next).await {
        Ok(response) => response,
        Err(status) => status.into_http::<Body>().into_response(),
    }
}

async fn called(node: &Node, request: Request, next: Next) -> Result<Response, Status> {
    let (from, limits) = (arriving::from(request.extensions()), node.limits());
    // What came over HTTP is counted there.
    let over_grpc = arriving::over_grpc(request.extensions());
    let leaving = over_grpc.map(|from| Leaving::begin(&limits.leaving, from));
    let leaving = leaving.transpose()?;
    let waited = wait(node, request.headers()).await;
    waited.map_err(|refusal| errors::status(&refusal))?;
    let mut request = arriving::taken(&limits.arriving, from, request).await?;
    let path = request.uri().path();
    let writes = path.starts_with(WRITES);
    let place = places(limits, path).map(|places| granted(places.one(from)));
    let place = place.transpose()?.map(Arc::new);
    if let Some(place) = &place {
        request = request.map(|body| leaving::in_place(body, Arc::clone(place)));
    }
    let (size, group) = here(node);
    let mut response = next.run(request).await;
    let (size, group) = if writes { here(node) } else { (size, group) };
    let headers = response.headers_mut();
    headers.insert(LOG_SIZE, HeaderValue::from(size));
    if let Some(group) = group {
        headers.insert(GROUP, HeaderValue::from(group));
    }
    match (place, leaving) {
        (Some(place), _) => Ok(response.map(|body| leaving::in_place(body, place))),
        (None, Some(leaving)) => leaving.counted(response, Made::ForOne).await,
        (None, None) => Ok(response),
    }
}

/// The places of a stream for which nobody needs a token.
fn places<'a>(limits: &'a Limits, path: &str) -> Option<&'a Shares> {
    if path == arriving::SUBMIT_STREAM {
        Some(&limits.submission_streams)
    } else if OPEN_STREAMS.contains(&path) || path.starts_with(arriving::REFLECTION) {
        Some(&limits.open_streams)
    } else {
        None
    }
}

/// The group first: what is committed in between is then not promised.
fn here(node: &Node) -> (u64, Option<u64>) {
    let group = node.group();
    (node.head().borrow().size, group)
}

async fn wait(node: &Node, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(at_least) = headers.get(AT_LEAST) else {
        return Ok(());
    };
    let at_least = at_least.to_str().ok().and_then(|text| text.parse().ok());
    let at_least: u64 =
        at_least.ok_or_else(|| Refusal::field(AT_LEAST, "a number of entries, in decimal"))?;
    let mut head = node.head();
    let there = head.wait_for(|head| head.size >= at_least);
    if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, there).await {
        return Ok(());
    }
    let has = node.head().borrow().size;
    let message =
        format!("this node has {has} entries, not yet {at_least}; try again, or another node");
    Err(Refusal::new(Reason::Behind, message))
}
