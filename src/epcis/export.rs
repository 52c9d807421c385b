//! From records back to an EPCIS 2.0 document.
//!
//! EPCIS 2.0 sections 7.4 (events) and 10 (JSON/JSON-LD). Built from decoded fields alone: one
//! event for each record. An imported record gives back what its source said; a record that a
//! scanner made is told in the words that the CBV has for it. A record whose parts contradict
//! each other (a body that says Accept under the step `shipping`, a place that is not the read
//! point) is refused: an export must never say something else than what was signed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::error::ExportError;
use super::kinds::{self, Situation};
use super::vocabulary::Vocabulary;
use super::{FORMAT, ids, time};
use crate::core::envelope::RecordId;
use crate::core::record::Millis;
use crate::core::wire::record::Body;
use crate::core::wire::{self, EpcisAction, EpcisEventType, EventContext};

mod body;
mod parts;

/// Address of the EPCIS context.
pub const CONTEXT: &str = "https://ref.gs1.org/standards/epcis/epcis-context.jsonld";
/// GS1's own resolver, before the path of a Digital Link.
pub const RESOLVER: &str = "https://id.gs1.org";
/// Prefix and namespace of what the ledger knows and EPCIS has no field for.
const OURS: (&str, &str) = ("custody", "urn:x-custody:v1:");

/// How a document is written.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// `creationDate` of the document: a time with a zone. Given by the caller, since nothing
    /// here reads a clock.
    pub creation_date: String,
    /// Before the path of a GS1 Digital Link, such as `https://id.gs1.org`. Only identifiers
    /// that the source wrote as links are written as links.
    pub resolver: String,
}

impl ExportOptions {
    /// With GS1's own resolver.
    #[must_use]
    pub fn new(creation_date: &str) -> Self {
        Self {
            creation_date: creation_date.to_owned(),
            resolver: RESOLVER.to_owned(),
        }
    }
}

/// Writes an `EPCISDocument` 2.0 with one event for each record, in their order.
///
/// # Errors
/// A governance record, a record that contradicts itself or holds what EPCIS can't say, or a
/// creation date that is none.
pub fn export(records: &[wire::Record], options: &ExportOptions) -> Result<Value, ExportError> {
    if time::parse(&options.creation_date).is_none() {
        return Err(ExportError::CreationDate(options.creation_date.clone()));
    }
    let events = records.iter().zip(1..);
    let events = events.map(|(record, number)| written(record, number, &options.resolver));
    let (list, context) = listed(events.collect::<Result<_, _>>()?);
    Ok(json!({
        "@context": context,
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": options.creation_date,
        "epcisBody": { "eventList": list },
    }))
}

/// The event of one record.
///
/// # Errors
/// As [`export`]; the record is number 1.
pub fn event(record: &wire::Record, resolver: &str) -> Result<ExportedEvent, ExportError> {
    written(record, 1, resolver)
}

fn written(
    record: &wire::Record,
    number: usize,
    resolver: &str,
) -> Result<ExportedEvent, ExportError> {
    let (context, body) = parts_of(record, number)?;
    let writer = Writer::new(record, context, body, resolver);
    writer.event().map_err(|wrong| ExportError::Record {
        record: number,
        field: wrong.field,
        reason: wrong.reason,
    })
}

/// An `EPCISQueryDocument` 2.0 with the events that a query selected, in their order. A subscription is
/// named by its query and its id.
#[must_use]
pub fn query_document(
    events: Vec<ExportedEvent>,
    creation_date: &str,
    subscription: Option<(&str, &str)>,
) -> Value {
    let (list, context) = listed(events);
    let mut results = Map::new();
    if let Some((query, id)) = subscription {
        results.insert("queryName".to_owned(), query.into());
        if !id.is_empty() {
            results.insert("subscriptionID".to_owned(), id.into());
        }
    }
    results.insert("resultsBody".to_owned(), json!({ "eventList": list }));
    json!({
        "@context": context,
        "type": "EPCISQueryDocument",
        "schemaVersion": "2.0",
        "creationDate": creation_date,
        "epcisBody": { "queryResults": results },
    })
}

/// The context and the body of a custody record.
fn parts_of(record: &wire::Record, number: usize) -> Result<(EventContext, &Body), ExportError> {
    if record.format != FORMAT {
        return Err(ExportError::Record {
            record: number,
            field: "format".to_owned(),
            reason: format!("is {}, not {FORMAT}", record.format),
        });
    }
    let body = record.body.as_ref().ok_or_else(|| ExportError::Record {
        record: number,
        field: "body".to_owned(),
        reason: "missing".to_owned(),
    })?;
    let words = kinds::words(body).ok_or_else(|| ExportError::Governance {
        record: number,
        kind: body::governance_name(body),
    })?;
    let mut context = record.context.clone().unwrap_or_default();
    // A context without a type is no event's: it only adds to what the body says.
    if context.event_type() == EpcisEventType::Unspecified {
        let (event_type, action, biz_step, disposition) = words;
        context.set_event_type(event_type);
        context.set_action(action);
        fill(&mut context.biz_step, biz_step);
        fill(&mut context.disposition, disposition);
    }
    Ok((context, body))
}

fn fill(slot: &mut String, word: &str) {
    if slot.is_empty() {
        word.clone_into(slot);
    }
}

/// An event and the namespaces that its names use.
#[derive(Clone, Debug)]
pub struct ExportedEvent {
    members: Map<String, Value>,
    namespaces: BTreeMap<String, String>,
}

impl ExportedEvent {
    /// What it says, by the names of EPCIS.
    #[must_use]
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// What the prefixes of its names mean.
    #[must_use]
    pub const fn namespaces(&self) -> &BTreeMap<String, String> {
        &self.namespaces
    }

    /// Its id; none if it has none.
    #[must_use]
    pub fn event_id(&self) -> Option<&str> {
        self.members.get("eventID").and_then(Value::as_str)
    }

    /// Whether it takes back an event with the same id (EPCIS 2.0 section 7.3.8).
    #[must_use]
    pub fn is_error_declaration(&self) -> bool {
        self.members.contains_key("errorDeclaration")
    }

    /// When it happened, in milliseconds since 1970.
    #[must_use]
    pub fn event_time(&self) -> Option<i64> {
        let text = self.members.get("eventTime").and_then(Value::as_str);
        text.and_then(time::parse)
    }

    /// The event as a repository answers it: with the time at which that took it in, in place of any that
    /// the source had noted (EPCIS 2.0 section 7.4.1), and with an id where it came without.
    #[must_use]
    pub fn captured(mut self, record_id: &RecordId, taken_in: Millis) -> Self {
        // To the millisecond, as it is compared.
        let exact = i64::try_from(taken_in.0).ok();
        let exact = exact.and_then(|ms| time::format(ms, 0));
        self.members
            .insert("recordTime".to_owned(), exact.unwrap_or_default().into());
        if !self.members.contains_key("eventID") {
            let id = record_name(record_id);
            self.members.insert("eventID".to_owned(), id.into());
        }
        self
    }
}

/// One event by itself, with the context that its names need.
#[must_use]
pub fn single(event: ExportedEvent) -> Value {
    let (mut list, context) = listed(vec![event]);
    let mut alone = json!({ "@context": context });
    if let (Some(Value::Object(members)), Some(into)) = (list.pop(), alone.as_object_mut()) {
        into.extend(members);
    }
    alone
}

/// Before the digest in the name of a record: RFC 6920 section 3.
const NAME: &str = "ni:///sha-256;";

/// The name of what was signed: an event's id, where it came without.
#[must_use]
pub fn record_name(id: &RecordId) -> String {
    format!("{NAME}{}", BASE64_URL_SAFE_NO_PAD.encode(id.0))
}

/// The record that such a name is of.
#[must_use]
pub fn named_record(name: &str) -> Option<RecordId> {
    let digest = BASE64_URL_SAFE_NO_PAD.decode(name.strip_prefix(NAME)?);
    RecordId::from_slice(&digest.ok()?)
}

/// Namespaces that hold for all events stand once, the others in their event: then a reader
/// finds in each event the very namespaces that its record has. The list, and the context of the
/// document.
fn listed(events: Vec<ExportedEvent>) -> (Vec<Value>, Vec<Value>) {
    let mut common = events
        .first()
        .map_or_else(BTreeMap::new, |e| e.namespaces.clone());
    for event in &events {
        common.retain(|prefix, uri| event.namespaces.get(prefix) == Some(uri));
    }
    let list: Vec<Value> = events
        .into_iter()
        .map(|mut event| {
            event
                .namespaces
                .retain(|prefix, _| !common.contains_key(prefix));
            let mut members = Map::new();
            if !event.namespaces.is_empty() {
                members.insert("@context".to_owned(), terms(&event.namespaces).into());
            }
            members.append(&mut event.members);
            Value::Object(members)
        })
        .collect();
    let mut context = vec![Value::from(CONTEXT)];
    context.append(&mut terms(&common));
    (list, context)
}

fn terms(namespaces: &BTreeMap<String, String>) -> Vec<Value> {
    namespaces
        .iter()
        .map(|(prefix, uri)| json!({ prefix: uri }))
        .collect()
}

/// What is wrong with a record.
struct Wrong {
    field: String,
    reason: String,
}

type Written<T> = Result<T, Wrong>;

fn wrong<T>(field: &str, reason: impl Into<String>) -> Written<T> {
    Err(Wrong {
        field: field.to_owned(),
        reason: reason.into(),
    })
}

/// Names the field that an error of another module is about.
fn about<T>(field: &str, result: Result<T, String>) -> Written<T> {
    result.or_else(|reason| wrong(field, reason))
}

/// Writes one event.
struct Writer<'a> {
    record: &'a wire::Record,
    context: EventContext,
    body: &'a Body,
    resolver: &'a str,
    members: Map<String, Value>,
}

impl<'a> Writer<'a> {
    fn new(
        record: &'a wire::Record,
        context: EventContext,
        body: &'a Body,
        resolver: &'a str,
    ) -> Self {
        Self {
            record,
            context,
            body,
            resolver,
            members: Map::new(),
        }
    }

    fn event(mut self) -> Written<ExportedEvent> {
        self.check_step()?;
        self.put_head()?;
        self.put_subjects()?;
        self.put_words()?;
        self.put_places()?;
        self.put_lists()?;
        self.put_master_data()?;
        self.put_fields()?;
        let mut namespaces = self.namespaces()?;
        if self.put_ours()? {
            let bound = namespaces.insert(OURS.0.to_owned(), OURS.1.to_owned());
            if bound.is_some_and(|uri| uri != OURS.1) {
                return wrong(
                    "context.namespaces",
                    "binds the ledger's own prefix to another",
                );
            }
        }
        Ok(ExportedEvent {
            members: self.members,
            namespaces,
        })
    }

    /// The words of the event must mean what the body says.
    fn check_step(&self) -> Written<()> {
        let context = &self.context;
        let is_event = self
            .record
            .context
            .as_ref()
            .is_some_and(|c| c.event_type() != EpcisEventType::Unspecified);
        let takes_back =
            context.error_declaration.is_some() && matches!(self.body, Body::Correct(_));
        if !is_event || takes_back {
            return Ok(());
        }
        let situation = Situation {
            event_type: context.event_type(),
            action: context.action(),
            biz_step: &context.biz_step,
            disposition: &context.disposition,
            destinations: &context.destinations,
        };
        if situation.step().agrees(self.body) {
            return Ok(());
        }
        wrong(
            "context",
            "its type, action, step and disposition do not mean what the body says",
        )
    }

    fn insert(&mut self, name: &str, value: impl Into<Value>) -> Written<()> {
        about(
            name,
            super::fields::insert(&mut self.members, name, value.into()),
        )
    }

    fn insert_text(&mut self, name: &str, text: String) -> Written<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.insert(name, text)
    }

    fn put_head(&mut self) -> Written<()> {
        let name = match self.context.event_type() {
            EpcisEventType::Object => "ObjectEvent",
            EpcisEventType::Aggregation => "AggregationEvent",
            EpcisEventType::Transaction => "TransactionEvent",
            EpcisEventType::Transformation => "TransformationEvent",
            EpcisEventType::Unspecified => return wrong("context.event_type", "missing"),
        };
        self.insert("type", name)?;
        self.insert_text("eventID", self.context.event_id.clone())?;
        let minutes = self.context.time_zone_minutes;
        let ms = i64::try_from(self.record.claimed_time_ms)
            .ok()
            .and_then(|ms| ms.checked_add(self.record.clock_offset_ms));
        let text = ms.and_then(|ms| time::format(ms, minutes));
        let Some((text, offset)) = text.zip(time::format_offset(minutes)) else {
            return wrong(
                "claimed_time_ms",
                "with its zone, is no time that can be written",
            );
        };
        self.insert("eventTime", text)?;
        self.insert("eventTimeZoneOffset", offset)?;
        if !self.context.record_time.is_empty() && time::parse(&self.context.record_time).is_none()
        {
            return wrong("context.record_time", "is no time with a zone");
        }
        self.insert_text("recordTime", self.context.record_time.clone())?;
        self.put_error_declaration()
    }

    fn put_words(&mut self) -> Written<()> {
        let is_transformation = self.context.event_type() == EpcisEventType::Transformation;
        match self.context.action() {
            EpcisAction::Add => self.insert("action", "ADD")?,
            EpcisAction::Observe => self.insert("action", "OBSERVE")?,
            EpcisAction::Delete => self.insert("action", "DELETE")?,
            EpcisAction::Unspecified if is_transformation => {}
            EpcisAction::Unspecified => return wrong("context.action", "missing"),
        }
        if is_transformation && self.context.action() != EpcisAction::Unspecified {
            return wrong("context.action", "a TransformationEvent has none");
        }
        let step = word("biz_step", Vocabulary::BizStep, &self.context.biz_step)?;
        self.insert_text("bizStep", step)?;
        let disposition = word(
            "disposition",
            Vocabulary::Disposition,
            &self.context.disposition,
        )?;
        self.insert_text("disposition", disposition)?;
        self.put_persistent_disposition()
    }

    /// Units, container and outputs, each spelled as the source did.
    fn put_subjects(&mut self) -> Written<()> {
        let mut spelled = self.spelled_subjects()?.into_iter();
        let mut units: Vec<String> = spelled.by_ref().take(self.record.units.len()).collect();
        let container = self.container().is_some().then(|| spelled.next()).flatten();
        let outputs: Vec<String> = spelled.collect();
        let (first, second) = match self.context.event_type() {
            EpcisEventType::Aggregation => ("childEPCs", "childQuantityList"),
            EpcisEventType::Transformation => ("inputEPCList", "inputQuantityList"),
            _ => ("epcList", "quantityList"),
        };
        if let Some(parent) = self.parent(container, &mut units)? {
            self.insert("parentID", parent)?;
        }
        if !units.is_empty() {
            self.insert(first, units)?;
        }
        let mut quantities = quantities(&self.context.quantities)?;
        quantities.extend(self.scope_class()?);
        if !quantities.is_empty() {
            self.insert(second, quantities)?;
        }
        if !outputs.is_empty() {
            self.insert("outputEPCList", outputs)?;
        }
        let outputs = self::quantities(&self.context.output_quantities)?;
        if !outputs.is_empty() {
            self.insert("outputQuantityList", outputs)?;
        }
        self.insert_text("transformationID", self.context.transformation_id.clone())
    }

    /// Canonical ids, in the order in which the context keeps their spelling.
    fn subjects(&self) -> Vec<&str> {
        let outputs = match self.body {
            Body::Transform(transform) => transform.outputs.as_slice(),
            _ => &[],
        };
        let units = self.record.units.iter().map(|unit| unit.id.as_str());
        let container = self.container().map(|unit| unit.id.as_str());
        units
            .chain(container)
            .chain(outputs.iter().map(String::as_str))
            .collect()
    }

    fn container(&self) -> Option<&'a wire::UnitRef> {
        match self.body {
            Body::Pack(pack) => pack.container.as_ref(),
            Body::Unpack(unpack) => unpack.container.as_ref(),
            _ => None,
        }
    }

    fn spelled_subjects(&self) -> Written<Vec<String>> {
        let (ids, lengths) = (self.subjects(), &self.context.company_prefix_lengths);
        if !lengths.is_empty() && lengths.len() != ids.len() {
            let reason = format!("{} for {} identifiers", lengths.len(), ids.len());
            return wrong("context.company_prefix_lengths", reason);
        }
        let lengths = lengths
            .iter()
            .copied()
            .chain(std::iter::repeat(ids::DIGITAL_LINK));
        ids.into_iter()
            .zip(lengths)
            .map(|(id, length)| about("units", ids::spell_unit(id, length, self.resolver)))
            .collect()
    }

    /// The parent: the container of the body, or else the first unit, if the source named a
    /// parent; then both must be the same.
    fn parent(
        &self,
        container: Option<String>,
        units: &mut Vec<String>,
    ) -> Written<Option<String>> {
        let parent = &self.context.parent_id;
        if parent.is_empty() {
            return Ok(container);
        }
        let first = self.record.units.first().map(|unit| unit.id.as_str());
        let length = self.context.company_prefix_lengths.first().copied();
        let read = ids::read_unit(parent).ok();
        let is_first = read.is_some_and(|unit| {
            first == Some(unit.id.as_str()) && length.is_none_or(|l| l == unit.prefix_length)
        });
        if container.is_some() || !is_first {
            return wrong("context.parent_id", "is not the first unit of the record");
        }
        units.remove(0);
        Ok(Some(parent.clone()))
    }
}

/// A word as it may stand in a document.
fn word(field: &str, vocabulary: Vocabulary, text: &str) -> Written<String> {
    if text.is_empty() || vocabulary.normalise(text).as_deref() == Some(text) {
        return Ok(text.to_owned());
    }
    let reason = format!("{text:?} is neither a word of the CBV 2.0 nor a URI of its own");
    wrong(&format!("context.{field}"), reason)
}

fn quantities(quantities: &[wire::EpcisQuantity]) -> Written<Vec<Value>> {
    let mut items = Vec::with_capacity(quantities.len());
    for quantity in quantities {
        let mut item = Map::new();
        item.insert("epcClass".to_owned(), quantity.epc_class.clone().into());
        if !quantity.quantity.is_empty() {
            let number = about(
                "context.quantities",
                super::fields::number(&quantity.quantity),
            )?;
            item.insert("quantity".to_owned(), number.into());
        }
        if !quantity.uom.is_empty() {
            item.insert("uom".to_owned(), quantity.uom.clone().into());
        }
        items.push(Value::Object(item));
    }
    Ok(items)
}
