//! EPCIS 2.0 in and out: events of trading partners become records that wait for a signature,
//! and records become events again.
//!
//! ```text
//!  JSON ─► json ─┐                                                   ┌─► export ─► JSON
//!                ├─► check (the standard) ─► import (the ledger) ─► record
//!  XML  ─► xml  ─┘        │                      │
//!                  DocumentError           EventRefusal, per event
//! ```
//!
//! GS1 EPCIS Standard 2.0 and Core Business Vocabulary 2.0; XML of EPCIS 1.0 to 1.2, since the
//! trade in medicine still runs on it. Two questions are kept apart: whether the document is
//! EPCIS at all (else it is refused whole, as every capture service does), and whether the
//! ledger can hold what an event says (else that event is reported with its reason, and the
//! others go in). No source document is stored: an export is built from decoded fields.
//!
//! Nothing here reads a clock, fetches a context, or signs. An imported record is the claim of
//! whoever signs it afterwards, not of the partner who wrote the document.

mod check;
mod error;
mod export;
mod fields;
mod ids;
mod import;
mod json;
mod kinds;
mod query;
mod strict;
mod time;
pub mod vocabulary;
mod xml;

pub use error::{DocumentError, EventRefusal, ExportError, Problem};
pub use export::{
    CONTEXT, ExportOptions, ExportedEvent, RESOLVER, event, export, named_record, query_document,
    record_name, single,
};
pub use query::{OrderBy, Query, QueryError};

use crate::core::wire;

/// Largest document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
/// Most events in a document.
pub const MAX_EVENTS: usize = 10_000;
/// Longest text in an event, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// Longest `eventID`, in bytes.
pub const MAX_EVENT_ID_BYTES: usize = 256;
/// Deepest tree in an event, in levels.
pub const MAX_DEPTH: usize = 16;
/// Most units in a record, container and outputs included.
pub const MAX_UNITS: usize = 512;
/// Largest record, in bytes, as large as an envelope may be. Signature, key and the `prev` of
/// each unit come on top; the ledger checks the envelope itself.
pub const MAX_RECORD_BYTES: usize = 48 * 1024;
/// Version of the record format.
const FORMAT: u32 = 1;
/// Most problems that are listed for one document.
pub const MAX_PROBLEMS: usize = 100;

/// What came out of a document.
#[derive(Clone, Debug)]
pub struct Import {
    /// In the order of the document.
    pub events: Vec<ImportedEvent>,
}

/// One event, as a record or with the reason why it can't be one.
#[derive(Clone, Debug)]
pub struct ImportedEvent {
    /// Place in the document, from 1.
    pub number: usize,
    /// `eventID`, where the source gives one.
    pub event_id: Option<String>,
    /// Such as `ObjectEvent`.
    pub event_type: String,
    /// The record lacks what its signer knows: origin, suite, key, nonce, and `prev` and
    /// containers of its units.
    pub outcome: Result<wire::Record, EventRefusal>,
}

/// Reads one document: EPCIS 2.0 JSON (`EPCISDocument`, `EPCISQueryDocument`, or one bare
/// event) or EPCIS 1.0 to 1.2 XML, told apart by the first byte that is no blank.
///
/// # Errors
/// The document is not EPCIS; every problem that was found, up to [`MAX_PROBLEMS`].
pub fn import(document: &[u8]) -> Result<Import, DocumentError> {
    if document.len() > MAX_DOCUMENT_BYTES {
        let rule = format!("has {} bytes, at most {MAX_DOCUMENT_BYTES}", document.len());
        return Err(DocumentError::one("document", rule));
    }
    // Editors on Windows put a byte order mark before the text; RFC 8259 section 8.1 lets it be
    // ignored.
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let mut problems = json::Problems::default();
    let sources = match document.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'<') => xml::read(document)?,
        Some(b'{') => json::read(document, &mut problems)?,
        _ => return Err(DocumentError::one("document", "is neither JSON nor XML")),
    };
    let events = sources
        .into_iter()
        .map(|source| import_event(source, &mut problems))
        .collect();
    problems.finish()?;
    Ok(Import { events })
}

fn import_event(source: json::SourceEvent, problems: &mut json::Problems) -> ImportedEvent {
    let number = source.number;
    let event_type = check::type_name(&source);
    let limits = fields::check_limits(&source.members);
    let namespaces = source.wire_namespaces();
    let event = check::event(number, source.members, problems);
    let event_id = (!event.event_id.is_empty()).then(|| event.event_id.clone());
    let refusal = source.refusal.map_or(limits, Err);
    ImportedEvent {
        number,
        event_id,
        event_type,
        outcome: refusal.and_then(|()| import::record(event, namespaces)),
    }
}
