//! The log for everyone (c2sp.org/tlog-tiles): the checkpoint and hash tiles; entry bundles with an
//! auditor's or regulator's token, since they show trade volumes.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use tonic::metadata::MetadataMap;

use super::Shared;
use super::problem::Problem;
use crate::api::token;
use crate::core::record::Role;
use crate::core::tlog::tile::TilePath;

/// A checkpoint is soon replaced.
const BRIEFLY: &str = "public, max-age=1";
/// A tile never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub(super) async fn checkpoint(State(web): Shared) -> Result<Response, Problem> {
    let head = *web.node.head().borrow();
    let note = crate::api::checkpoint(&web.node, head).await?;
    Ok(answer(note, "text/plain; charset=utf-8", BRIEFLY))
}

pub(super) async fn tile(
    State(web): Shared,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let path: TilePath =
        format!("tile/{path}")
            .parse()
            .map_err(|error: crate::core::tlog::tile::PathError| {
                Problem::not_found(error.to_string())
            })?;
    match path {
        TilePath::Tile(tile) => {
            let hashes = crate::api::log::tile(&web.node, tile)?;
            Ok(answer(hashes, "application/octet-stream", FOR_EVER))
        }
        TilePath::Entries(bundle) => {
            let metadata = MetadataMap::from_headers(headers);
            token::check(&metadata, &web.node, &[Role::Regulator, Role::Auditor])?;
            let entries = crate::api::log::entry_bundle(&web.node, bundle).await?;
            let mut response = answer(
                entries,
                "application/octet-stream",
                "private, max-age=86400",
            );
            response
                .headers_mut()
                .insert(header::VARY, HeaderValue::from_static("authorization"));
            Ok(response)
        }
    }
}

fn answer(body: Vec<u8>, kind: &'static str, caching: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, caching),
        ],
        body,
    )
        .into_response()
}
