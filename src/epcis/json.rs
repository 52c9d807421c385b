//! The envelope of an EPCIS 2.0 JSON document: what stands around the events.
//!
//! EPCIS 2.0 section 10 (JSON/JSON-LD binding). Three shapes are read: an `EPCISDocument`, an
//! `EPCISQueryDocument`, and one bare event. A JSON-LD context may rename anything; the ledger
//! fetches nothing, so it reads prefixes of namespaces, trusts the name of GS1's own context,
//! and says so where a context does more than that.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::{DocumentError, EventRefusal, Problem};
use super::{MAX_EVENTS, MAX_PROBLEMS, strict, time};
use crate::core::wire;

/// The EPCIS context ends like this wherever GS1 serves it from.
const CONTEXT_FILE: &str = "epcis-context.jsonld";
/// Types of documents; any other type is that of an event.
const DOCUMENT: &str = "EPCISDocument";
const QUERY_DOCUMENT: &str = "EPCISQueryDocument";

/// Room for prefixes and namespaces, in bytes.
const MAX_NAMESPACE_BYTES: usize = 8192;

/// Problems of a document, as they are found.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a problem. A document that is broken throughout needs no longer list.
    pub(super) fn add(&mut self, event: Option<usize>, field: &str, rule: impl Into<String>) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(Problem {
                event,
                field: field.to_owned(),
                rule: rule.into(),
            });
        }
    }

    /// An error if anything was found.
    pub(super) fn finish(self) -> Result<(), DocumentError> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(DocumentError {
            problems: self.0,
            too_many_events: false,
        })
    }
}

/// An event as it stands in the document, with the namespaces that hold there.
pub(super) struct SourceEvent {
    /// From 1.
    pub(super) number: usize,
    /// Its members, without the context.
    pub(super) members: Map<String, Value>,
    /// Prefixes and namespaces, in the order of the prefixes.
    pub(super) namespaces: BTreeMap<String, String>,
    /// What only the source's own format can say.
    pub(super) refusal: Option<EventRefusal>,
}

impl SourceEvent {
    /// The namespaces as the ledger keeps them.
    pub(super) fn wire_namespaces(&self) -> Vec<wire::Namespace> {
        self.namespaces
            .iter()
            .map(|(prefix, uri)| wire::Namespace {
                prefix: prefix.clone(),
                uri: uri.clone(),
            })
            .collect()
    }
}

/// Reads a JSON document.
pub(super) fn read(
    bytes: &[u8],
    problems: &mut Problems,
) -> Result<Vec<SourceEvent>, DocumentError> {
    let document = strict::read(bytes)
        .map_err(|error| DocumentError::one("JSON", format!("can't be read: {error}")))?;
    let Value::Object(document) = document else {
        return Err(DocumentError::one("JSON", "is not an object"));
    };
    let mut context = Context::default();
    match document.get("@context") {
        None => problems.add(
            None,
            "@context",
            "missing; EPCIS 2.0 section 10 makes it mandatory",
        ),
        Some(value) => context.read(value, None, problems),
    }
    if document.contains_key("@context") && !context.is_epcis {
        let rule = format!("does not name the EPCIS context (.../{CONTEXT_FILE})");
        problems.add(None, "@context", rule);
    }
    let events = events(document, problems)?;
    if events.len() > MAX_EVENTS {
        return Err(DocumentError::too_many("eventList", events.len()));
    }
    let mut sources = Vec::with_capacity(events.len());
    for (i, event) in events.into_iter().enumerate() {
        let number = i + 1;
        match event {
            Value::Object(members) => sources.push(source(number, members, &context, problems)),
            _ => problems.add(Some(number), "eventList", "is not an object"),
        }
    }
    Ok(sources)
}

fn source(
    number: usize,
    mut members: Map<String, Value>,
    outer: &Context,
    problems: &mut Problems,
) -> SourceEvent {
    let mut context = outer.clone();
    if let Some(value) = members.shift_remove("@context") {
        context.read(&value, Some(number), problems);
    }
    SourceEvent {
        number,
        members,
        namespaces: context.namespaces,
        refusal: context.beyond.map(EventRefusal::Context),
    }
}

/// The list of events, or the document itself as the only one.
fn events(
    mut document: Map<String, Value>,
    problems: &mut Problems,
) -> Result<Vec<Value>, DocumentError> {
    let path: &[&str] = match document.get("type").and_then(Value::as_str) {
        Some(DOCUMENT) => &["epcisBody", "eventList"],
        Some(QUERY_DOCUMENT) => &["epcisBody", "queryResults", "resultsBody", "eventList"],
        Some(_) => {
            document.shift_remove("@context");
            return Ok(vec![Value::Object(document)]);
        }
        None => return Err(DocumentError::one("type", "missing, or not a text")),
    };
    check_header(&document, problems);
    let mut value = Value::Object(document);
    for name in path {
        let Some(inner) = value.get_mut(*name) else {
            return Err(DocumentError::one(
                &path.join("."),
                "missing; EPCIS 2.0 section 10 makes it mandatory",
            ));
        };
        value = inner.take();
    }
    match value {
        Value::Array(events) => Ok(events),
        _ => Err(DocumentError::one(&path.join("."), "is not a list")),
    }
}

fn check_header(document: &Map<String, Value>, problems: &mut Problems) {
    match document.get("schemaVersion").and_then(Value::as_str) {
        Some(version) if version == "2.0" || version.starts_with("2.0.") => {}
        Some(other) => {
            let rule = format!("is {other:?}; this reads \"2.0\" in JSON, 1.0 to 1.2 in XML");
            problems.add(None, "schemaVersion", rule);
        }
        None => problems.add(None, "schemaVersion", "missing, or not a text"),
    }
    let date = document.get("creationDate").and_then(Value::as_str);
    if date.and_then(time::parse).is_none() {
        problems.add(
            None,
            "creationDate",
            "missing, or not a time with a zone (EPCIS 2.0 section 10)",
        );
    }
}

/// What the JSON-LD contexts read so far say.
#[derive(Clone, Default)]
struct Context {
    namespaces: BTreeMap<String, String>,
    /// The first thing that is more than a prefix.
    beyond: Option<String>,
    is_epcis: bool,
}

impl Context {
    fn read(&mut self, value: &Value, event: Option<usize>, problems: &mut Problems) {
        match value {
            Value::String(url) if url.ends_with(CONTEXT_FILE) => self.is_epcis = true,
            Value::String(url) => self.beyond(format!("the remote context {url:?}")),
            Value::Object(terms) => self.read_terms(terms),
            Value::Array(items) if items.iter().all(|i| i.is_string() || i.is_object()) => {
                for item in items {
                    self.read(item, event, problems);
                }
            }
            _ => problems.add(
                event,
                "@context",
                "is neither an address, nor an object, nor a list of these (JSON-LD 1.1 section 3.1)",
            ),
        }
    }

    fn read_terms(&mut self, terms: &Map<String, Value>) {
        for (term, value) in terms {
            match value {
                Value::String(uri) if is_prefix(term) && !uri.is_empty() => self.bind(term, uri),
                _ => self.beyond(format!("the term {term:?}")),
            }
        }
    }

    /// Every event keeps the namespaces that hold for it, so there may not be too many.
    fn bind(&mut self, prefix: &str, uri: &str) {
        let others = self.namespaces.iter().filter(|(bound, _)| *bound != prefix);
        let bytes: usize = others.map(|(prefix, uri)| prefix.len() + uri.len()).sum();
        if bytes + prefix.len() + uri.len() > MAX_NAMESPACE_BYTES {
            return self.beyond(format!(
                "more than {MAX_NAMESPACE_BYTES} bytes of namespaces"
            ));
        }
        self.namespaces.insert(prefix.to_owned(), uri.to_owned());
    }

    fn beyond(&mut self, what: String) {
        self.beyond.get_or_insert(what);
    }
}

/// A name that can stand before the colon of a compact IRI.
pub(super) fn is_prefix(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('@') && !text.contains([':', '/', ' '])
}
