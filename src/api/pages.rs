//! Lists, a page at a time.

use tonic::Status;

use super::errors;
use crate::core::apply::state::Table;
use crate::store::View;

/// Most rows of a page.
pub(super) const MAX_PAGE: usize = 1000;
/// Rows of a page when the caller doesn't say.
pub(super) const DEFAULT_PAGE: usize = 100;
/// Most rows that are looked at for one page: where few are wanted, a page may hold fewer than asked,
/// or none, and still name the next.
pub(super) const MAX_LOOKED_AT: usize = 10_000;

/// A page's size as asked for, or the default; more than the most is refused.
pub(super) fn page_size(asked: u32, default: usize, most: usize) -> Result<usize, Status> {
    match asked as usize {
        0 => Ok(default),
        size if size <= most => Ok(size),
        _ => Err(errors::invalid("page_size", format!("at most {most}"))),
    }
}

/// Where a page begins. Tokens are numbers; nothing else is accepted.
pub(super) fn page_token(token: &str) -> Result<u64, Status> {
    if token.is_empty() {
        return Ok(0);
    }
    token
        .parse()
        .map_err(|_| errors::invalid("page_token", "use the token of the page before"))
}

/// The number at the end of a row's key, after a prefix.
pub(super) fn number_after(prefix: &[u8], key: &[u8]) -> Option<u64> {
    let rest = key.get(prefix.len()..)?;
    rest.try_into().ok().map(u64::from_be_bytes)
}

/// What a caller may see of the rows of a table whose keys' bytes begin with a prefix. The token of the
/// next page is its first key in hex.
pub(super) fn list<T: Table, U>(
    view: &View<'_>,
    prefix: &[u8],
    size: u32,
    page_token: &str,
    mut show: impl FnMut(&[u8], T::Value) -> Result<Option<U>, Status>,
) -> Result<(Vec<U>, String), Status> {
    let size = page_size(size, DEFAULT_PAGE, MAX_PAGE)?;
    let from = hex::decode(page_token)
        .map_err(|_| errors::invalid("page_token", "use the token of the page before"))?;
    let mut shown = Vec::new();
    let mut looked_at = 0;
    let mut next = String::new();
    let mut failed = None;
    view.scan_prefix::<T>(prefix, &from, |key, row| {
        if shown.len() == size || looked_at == MAX_LOOKED_AT {
            next = hex::encode(key);
            return false;
        }
        looked_at += 1;
        match show(key, row) {
            Ok(row) => shown.extend(row),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })
    .map_err(errors::store)?;
    match failed {
        Some(error) => Err(error),
        None => Ok((shown, next)),
    }
}
