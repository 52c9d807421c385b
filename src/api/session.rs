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
use http_body_util::BodyExt as _;

use super::arriving::{self, Arriving};
use super::{errors, granted};
use crate::core::refusal::{Reason, Refusal};
use crate::network::Share;
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

/// A stream that has no end, of a service that is not ours.
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Takes the request whole as well: a layer of its own would cost each call a piece of memory.
pub(super) async fn layer(
    State((node, arriving)): State<(Arc<Node>, Arriving)>,
    request: Request,
    next: Next,
) -> Response {
    if let Err(refusal) = wait(&node, request.headers()).await {
        return errors::status(&refusal).into_http::<Body>().into_response();
    }
    let request = match arriving.taken(request).await {
        Ok(request) => request,
        Err(status) => return status.into_http::<Body>().into_response(),
    };
    let place = if request.uri().path() == HEALTH_WATCH {
        match granted(node.open_stream_place(arriving::from(request.extensions()))) {
            Ok(place) => Some(place),
            Err(status) => return status.into_http::<Body>().into_response(),
        }
    } else {
        None
    };
    let writes = request.uri().path().starts_with(WRITES);
    let (size, group) = here(&node);
    let mut response = next.run(request).await;
    let (size, group) = if writes { here(&node) } else { (size, group) };
    let headers = response.headers_mut();
    headers.insert(LOG_SIZE, HeaderValue::from(size));
    if let Some(group) = group {
        headers.insert(GROUP, HeaderValue::from(group));
    }
    match place {
        Some(place) => response.map(|body| holding(body, place)),
        None => response,
    }
}

/// An answer that has its place until it is read to its end, or given up.
fn holding(answer: Body, place: Share) -> Body {
    Body::new(answer.map_frame(move |frame| {
        let _held = &place;
        frame
    }))
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
