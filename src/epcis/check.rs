//! One event, checked against the standard and taken apart: from JSON to named values.
//!
//! EPCIS 2.0 section 7.4 says which field each type of event must have, section 7.3 how each is
//! formed, and the JSON schema of section 10 that no other may stand there without a namespace.
//! Everything that is wrong is noted, so that a sender repairs a document in one go. Whether
//! the ledger can use the event is not asked here.

use serde_json::{Map, Value};

use super::json::{Problems, SourceEvent};
use super::time;
use super::vocabulary::{Vocabulary, is_uri};
use crate::core::wire::{EpcisAction, EpcisQuantity, TypedId};

/// The types of events of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventType {
    Object,
    Aggregation,
    Transaction,
    Transformation,
    Association,
    /// Of EPCIS 1.2, deprecated there.
    Quantity,
    /// Somebody's own.
    Extended,
}

/// What an event says, in the words of the standard.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) event_type: EventType,
    /// As it stands in the document.
    pub(super) type_name: String,
    pub(super) time_ms: i64,
    pub(super) time: String,
    pub(super) offset_minutes: i32,
    pub(super) record_time: String,
    pub(super) event_id: String,
    pub(super) error: Option<ErrorDeclaration>,
    pub(super) action: EpcisAction,
    pub(super) parent: String,
    /// `epcList`, `childEPCs` or `inputEPCList`.
    pub(super) epcs: Vec<String>,
    pub(super) quantities: Vec<EpcisQuantity>,
    pub(super) output_epcs: Vec<String>,
    pub(super) output_quantities: Vec<EpcisQuantity>,
    pub(super) transformation_id: String,
    pub(super) biz_step: String,
    pub(super) disposition: String,
    pub(super) persistent_set: Vec<String>,
    pub(super) persistent_unset: Vec<String>,
    pub(super) read_point: String,
    pub(super) biz_location: String,
    pub(super) transactions: Vec<TypedId>,
    pub(super) sources: Vec<TypedId>,
    pub(super) destinations: Vec<TypedId>,
    pub(super) ilmd: Map<String, Value>,
    /// Sensor data, certificates, extensions of places, and fields of other namespaces.
    pub(super) rest: Map<String, Value>,
}

#[derive(Debug)]
pub(super) struct ErrorDeclaration {
    pub(super) time: String,
    pub(super) time_ms: i64,
    pub(super) reason: String,
    pub(super) corrective_ids: Vec<String>,
    pub(super) rest: Map<String, Value>,
}

const MANDATORY: &str = "missing; EPCIS 2.0 section 7.4 makes it mandatory";
const NOT_A_URI: &str = "is not a URI (EPCIS 2.0 section 6.4)";
const NOT_A_TIME: &str =
    "is not a time with a zone such as 2026-07-22T06:45:00+02:00 (EPCIS 2.0 section 7.3)";

/// Name of the type as it stands in the document.
pub(super) fn type_name(source: &SourceEvent) -> String {
    let name = source.members.get("type").and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}

fn event_type(name: &str) -> Option<EventType> {
    Some(match name {
        "ObjectEvent" => EventType::Object,
        "AggregationEvent" => EventType::Aggregation,
        "TransactionEvent" => EventType::Transaction,
        "TransformationEvent" => EventType::Transformation,
        "AssociationEvent" => EventType::Association,
        "QuantityEvent" => EventType::Quantity,
        other if is_uri(other) => EventType::Extended,
        _ => return None,
    })
}

/// Checks and takes apart one event. What is returned for an event with problems is of no use.
pub(super) fn event(number: usize, members: Map<String, Value>, problems: &mut Problems) -> Event {
    let mut reader = Reader::new(number, members, problems);
    let name = reader.text("type");
    let event_type = event_type(&name).unwrap_or(EventType::Extended);
    if event_type == EventType::Extended && !is_uri(&name) {
        reader.problem(
            "type",
            format!("{name:?} is no type of event (EPCIS 2.0 section 7.4)"),
        );
    }
    let event = reader.event(event_type, name);
    reader.check_required(&event);
    reader.check_rest(&event);
    event
}

/// Takes members out of an object, and notes what is wrong with them.
struct Reader<'p> {
    number: usize,
    /// Before the names of fields, in the path of a problem.
    path: String,
    members: Map<String, Value>,
    problems: &'p mut Problems,
}

impl<'p> Reader<'p> {
    fn new(number: usize, members: Map<String, Value>, problems: &'p mut Problems) -> Self {
        Self {
            number,
            path: String::new(),
            members,
            problems,
        }
    }

    fn inside(&mut self, path: String, members: Map<String, Value>) -> Reader<'_> {
        Reader {
            number: self.number,
            path: format!("{path}."),
            members,
            problems: self.problems,
        }
    }

    fn problem(&mut self, field: &str, rule: impl Into<String>) {
        let field = format!("{}{field}", self.path);
        self.problems.add(Some(self.number), &field, rule);
    }

    fn event(&mut self, event_type: EventType, type_name: String) -> Event {
        let (time, time_ms) = self.time("eventTime");
        let offset_minutes = self.offset();
        let record_time = self.optional_time("recordTime");
        let (persistent_set, persistent_unset) = self.persistent_disposition();
        let (epcs, quantities) = match event_type {
            EventType::Aggregation | EventType::Association => ("childEPCs", "childQuantityList"),
            EventType::Transformation => ("inputEPCList", "inputQuantityList"),
            _ => ("epcList", "quantityList"),
        };
        let has_parent = matches!(
            event_type,
            EventType::Aggregation | EventType::Association | EventType::Transaction
        );
        let is_transformation = event_type == EventType::Transformation;
        Event {
            event_type,
            type_name,
            time_ms,
            time,
            offset_minutes,
            record_time,
            event_id: self.uri("eventID"),
            error: self.error_declaration(),
            action: self.action(),
            parent: self.only_if(has_parent, |r| r.uri("parentID")),
            epcs: self.uris(epcs),
            quantities: self.quantities(quantities),
            output_epcs: self.only_if(is_transformation, |r| r.uris("outputEPCList")),
            output_quantities: self
                .only_if(is_transformation, |r| r.quantities("outputQuantityList")),
            transformation_id: self.only_if(is_transformation, |r| r.uri("transformationID")),
            biz_step: self.word("bizStep", Vocabulary::BizStep),
            disposition: self.word("disposition", Vocabulary::Disposition),
            persistent_set,
            persistent_unset,
            transactions: self.typed_ids(
                "bizTransactionList",
                "bizTransaction",
                Vocabulary::BusinessTransactionType,
            ),
            sources: self.typed_ids("sourceList", "source", Vocabulary::SourceDestinationType),
            destinations: self.typed_ids(
                "destinationList",
                "destination",
                Vocabulary::SourceDestinationType,
            ),
            ilmd: self.ilmd(event_type),
            // The identifiers go, the extensions beside them stay in the rest.
            read_point: self.place("readPoint"),
            biz_location: self.place("bizLocation"),
            rest: self.rest(event_type),
        }
    }

    /// A field of some types only stays where it is in the others, and is unknown there.
    fn only_if<T: Default>(&mut self, known: bool, read: impl FnOnce(&mut Self) -> T) -> T {
        if known { read(self) } else { T::default() }
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.members.shift_remove(field)
    }

    /// A text, or nothing where there is none.
    fn text(&mut self, field: &str) -> String {
        match self.take(field) {
            None => String::new(),
            Some(Value::String(text)) if !text.is_empty() => text,
            Some(_) => {
                self.problem(field, "is not a text, or empty");
                String::new()
            }
        }
    }

    fn uri(&mut self, field: &str) -> String {
        let text = self.text(field);
        if !text.is_empty() && !is_uri(&text) {
            self.problem(field, NOT_A_URI);
        }
        text
    }

    fn time(&mut self, field: &str) -> (String, i64) {
        if !self.members.contains_key(field) {
            self.problem(field, MANDATORY);
            return (String::new(), 0);
        }
        let text = self.text(field);
        match time::parse(&text) {
            Some(ms) => (text, ms),
            None => {
                self.problem(field, NOT_A_TIME);
                (text, 0)
            }
        }
    }

    fn optional_time(&mut self, field: &str) -> String {
        if !self.members.contains_key(field) {
            return String::new();
        }
        self.time(field).0
    }

    fn offset(&mut self) -> i32 {
        const FIELD: &str = "eventTimeZoneOffset";
        if !self.members.contains_key(FIELD) {
            self.problem(FIELD, MANDATORY);
            return 0;
        }
        time::parse_offset(&self.text(FIELD)).unwrap_or_else(|| {
            self.problem(
                FIELD,
                "is not an offset such as +02:00 (EPCIS 2.0 section 7.4)",
            );
            0
        })
    }

    fn action(&mut self) -> EpcisAction {
        let text = self.text("action");
        match text.as_str() {
            "" => EpcisAction::Unspecified,
            "ADD" => EpcisAction::Add,
            "OBSERVE" => EpcisAction::Observe,
            "DELETE" => EpcisAction::Delete,
            other => {
                let rule =
                    format!("{other:?} is not ADD, OBSERVE or DELETE (EPCIS 2.0 section 7.3)");
                self.problem("action", rule);
                // Something was said, so that it isn't reported as missing as well.
                EpcisAction::Observe
            }
        }
    }

    fn word(&mut self, field: &str, vocabulary: Vocabulary) -> String {
        let text = self.text(field);
        self.checked_word(field, text, vocabulary)
    }

    fn checked_word(&mut self, field: &str, text: String, vocabulary: Vocabulary) -> String {
        if text.is_empty() {
            return text;
        }
        vocabulary.normalise(&text).unwrap_or_else(|| {
            let rule = format!(
                "{text:?} is neither a word of the CBV 2.0 (section 7) nor a URI of its own"
            );
            self.problem(field, rule);
            text
        })
    }

    fn list(&mut self, field: &str) -> Vec<Value> {
        match self.take(field) {
            None => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.problem(field, "is not a list");
                Vec::new()
            }
        }
    }

    fn objects(&mut self, field: &str) -> Vec<Map<String, Value>> {
        let mut objects = Vec::new();
        for (i, item) in self.list(field).into_iter().enumerate() {
            match item {
                Value::Object(map) => objects.push(map),
                _ => self.problem(&format!("{field}[{i}]"), "is not an object"),
            }
        }
        objects
    }

    fn texts(&mut self, field: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for (i, item) in self.list(field).into_iter().enumerate() {
            match item {
                Value::String(text) if !text.is_empty() => texts.push(text),
                _ => self.problem(&format!("{field}[{i}]"), "is not a text, or empty"),
            }
        }
        texts
    }

    fn uris(&mut self, field: &str) -> Vec<String> {
        let uris = self.texts(field);
        for (i, uri) in uris.iter().enumerate() {
            if !is_uri(uri) {
                self.problem(&format!("{field}[{i}]"), NOT_A_URI);
            }
        }
        uris
    }

    fn words(&mut self, field: &str, vocabulary: Vocabulary) -> Vec<String> {
        let texts = self.texts(field);
        texts
            .into_iter()
            .map(|text| self.checked_word(field, text, vocabulary))
            .collect()
    }

    /// Whatever was not taken and has no namespace.
    fn check_no_more(&mut self, standard: &str) {
        let names: Vec<String> = self.members.keys().cloned().collect();
        for name in names {
            self.problem(
                &name,
                format!("is not a field that stands here ({standard})"),
            );
        }
    }
}

mod parts;
mod rules;
