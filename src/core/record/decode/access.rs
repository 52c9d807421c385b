//! The bodies of records of access.

use super::fields::{id, text, until};
use super::{Checked, MAX_NAME, MAX_TEXT};
use crate::core::record::access::AccessBody;
use crate::core::wire;
use crate::core::wire::record::Body as WireBody;

/// None when it is another kind of record.
pub(super) fn access_body(body: &WireBody) -> Option<Checked<AccessBody>> {
    Some(match body {
        WireBody::OpenFile(b) => open_file(b),
        WireBody::AuthoriseView(b) => authorise_view(b),
        _ => return None,
    })
}

fn open_file(b: &wire::OpenFile) -> Checked<AccessBody> {
    text(&b.purpose, "open_file.purpose", 1, MAX_TEXT)?;
    text(&b.document, "open_file.document", 1, MAX_NAME)?;
    Ok(AccessBody::OpenFile {
        subject: id(&b.subject, "open_file.subject")?,
        purpose: b.purpose.clone(),
        document: b.document.clone(),
    })
}

fn authorise_view(b: &wire::AuthoriseView) -> Checked<AccessBody> {
    Ok(AccessBody::AuthoriseView {
        viewer: id(&b.viewer, "authorise_view.viewer")?,
        until: until(b.until_ms, "authorise_view.until_ms")?,
    })
}
