//! Health of the log: what is signed, how old it is, and how far what is derived from it has come.

use askama::Template;
use axum::response::Response;

use super::entries::{Summary, summaries};
use super::{Desk, Frame, framed};
use crate::core::tlog::note::Note;
use crate::core::wire;
use crate::node;
use crate::signals;
use crate::web::page::{Site, fingerprint, shown};
use crate::web::problem::Problem;

/// Entries behind which early warning is late.
const LATE: u64 = 100_000;

#[derive(Template)]
#[template(path = "desk/log.html")]
struct LogPage {
    site: Site,
    desk: Frame,
    size: u64,
    root: String,
    last: Option<Summary>,
    /// Seconds since the last entry.
    age: u64,
    checkpoint: String,
    /// Names of the keys that signed the checkpoint, but for the log's own.
    witnesses: Vec<String>,
    log_key: String,
    fingerprint: String,
    /// Entries that early warning has not looked at.
    behind: u64,
    late: bool,
    failed: bool,
    stats: wire::StatsResponse,
}

framed!(LogPage);

pub(super) async fn page(desk: Desk) -> Result<Response, Problem> {
    let node = &desk.web.node;
    let head = *node.head().borrow();
    let note = crate::api::checkpoint(node, head).await?;
    let signed = Note::parse(&note).map_err(|error| Problem::internal(&error.to_string()))?;
    let signers = signed.signatures().iter().map(|one| one.name().to_string());
    let seen = signals::seen(&node.store().view())
        .map_err(|error| Problem::internal(&error.to_string()))?;
    let behind = head.size.saturating_sub(seen);
    let stats = desk
        .ledger
        .regulator()
        .stats(wire::StatsRequest {})
        .await?
        .into_inner();
    let last = summaries(&desk, &[head.size.saturating_sub(1)])
        .await?
        .pop();
    let failed = *node.failed().borrow();
    Ok(shown(&LogPage {
        size: head.size,
        root: head.root.to_string(),
        age: node::now().0.saturating_sub(stats.last_time_ms) / 1000,
        last,
        witnesses: signers.filter(|name| name != node.origin()).collect(),
        checkpoint: String::from_utf8_lossy(&note).into_owned(),
        log_key: node.log_key(),
        fingerprint: fingerprint(&node.log_public_key()),
        behind,
        late: behind > LATE,
        failed,
        stats,
        site: desk.site,
        desk: desk.frame,
    }))
}
