//! EPCIS 1.0 to 1.2 XML, brought into the shape of EPCIS 2.0 JSON.
//!
//! GS1 EPCIS Standard 1.2, section 9.5 (schema of the core event types). The trade in medicine
//! exchanges these documents, and its dispensers will for years. Only the shape changes here:
//! the `extension` and `baseExtension` elements, which held later versions inside the first
//! schema, open into their parent, lists lose a level, and elements of other namespaces become
//! fields with a prefix. Whether the result is EPCIS is asked of both formats alike.
//!
//! A document type declaration is refused: no entity of the sender's is ever expanded.

mod tree;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::{DocumentError, EventRefusal};
use super::json::SourceEvent;
use super::{MAX_EVENTS, fields, time};
use tree::Element;

/// Namespaces of the documents.
const CAPTURE: &str = "urn:epcglobal:epcis:xsd:1";
const QUERY: &str = "urn:epcglobal:epcis-query:xsd:1";
/// Namespace of the CBV's master data in XML. The EPCIS context knows it as `cbvmda`.
const MASTER_DATA: &str = "urn:epcglobal:cbv:mda";

/// Reads an XML document.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<SourceEvent>, DocumentError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| DocumentError::one("XML", format!("is not UTF-8: {error}")))?;
    let root = tree::parse(text).map_err(|error| DocumentError::one("XML", error))?;
    check_root(&root)?;
    let path: &[&str] = match root.local.as_str() {
        "EPCISDocument" => &["EPCISBody", "EventList"],
        _ => &["EPCISBody", "QueryResults", "resultsBody", "EventList"],
    };
    let mut list = &root;
    for name in path {
        list = list.child(name).ok_or_else(|| {
            let rule = "missing; EPCIS 1.2 section 9.5 makes it mandatory";
            DocumentError::one(&path.join("/"), rule)
        })?;
    }
    let mut events = Vec::new();
    collect_events(list, &mut events);
    if events.len() > MAX_EVENTS {
        return Err(DocumentError::too_many("EventList", events.len()));
    }
    Ok(events
        .into_iter()
        .enumerate()
        .map(|(i, event)| source(i + 1, event))
        .collect())
}

fn check_root(root: &Element) -> Result<(), DocumentError> {
    let is_known = match root.local.as_str() {
        "EPCISDocument" => root.uri == CAPTURE,
        "EPCISQueryDocument" => root.uri == QUERY,
        _ => false,
    };
    if !is_known {
        let rule = format!(
            "is {} of {:?}; this reads EPCISDocument and EPCISQueryDocument of EPCIS 1.0 to 1.2, \
             and EPCIS 2.0 as JSON",
            root.local, root.uri
        );
        return Err(DocumentError::one("root element", rule));
    }
    let version = root.attribute("schemaVersion").unwrap_or_default();
    if !["1", "1.0", "1.1", "1.2"].contains(&version) {
        let rule = format!("is {version:?}, not 1.0, 1.1 or 1.2 (EPCIS 1.2 section 9.5)");
        return Err(DocumentError::one("schemaVersion", rule));
    }
    if root
        .attribute("creationDate")
        .and_then(time::parse)
        .is_none()
    {
        let rule = "missing, or not a time with a zone (EPCIS 1.2 section 9.5)";
        return Err(DocumentError::one("creationDate", rule));
    }
    Ok(())
}

/// Event types of later versions stand inside `extension` elements, one in another.
fn collect_events<'a>(list: &'a Element, events: &mut Vec<&'a Element>) {
    for child in &list.children {
        if child.is("extension") {
            collect_events(child, events);
        } else {
            events.push(child);
        }
    }
}

fn source(number: usize, event: &Element) -> SourceEvent {
    let mut shape = Shape::default();
    let mut members = Map::new();
    let name = match event.uri.is_empty() {
        true => event.local.clone(),
        // An event type of somebody's own.
        false => shape.name(event),
    };
    members.insert("type".to_owned(), name.into());
    shape.members(event, &mut members);
    SourceEvent {
        number,
        members,
        namespaces: shape.namespaces,
        refusal: shape.refusal,
    }
}

/// Changes the shape of one event, and gathers the namespaces that it uses.
#[derive(Default)]
struct Shape {
    namespaces: BTreeMap<String, String>,
    /// The first thing that JSON can't say.
    refusal: Option<EventRefusal>,
}

impl Shape {
    fn members(&mut self, parent: &Element, members: &mut Map<String, Value>) {
        for child in &parent.children {
            if child.is("extension") || child.is("baseExtension") {
                self.members(child, members);
                continue;
            }
            let (name, value) = self.member(child);
            add(members, name, value);
        }
    }

    fn member(&mut self, element: &Element) -> (String, Value) {
        if !element.uri.is_empty() {
            return (self.name(element), self.value(element));
        }
        let value =
            match element.local.as_str() {
                "epcList" | "childEPCs" | "inputEPCList" | "outputEPCList"
                | "correctiveEventIDs" => self.texts(element),
                "quantityList" | "childQuantityList" | "inputQuantityList"
                | "outputQuantityList" => self.quantities(element),
                "bizTransactionList" | "sourceList" | "destinationList" => self.typed_ids(element),
                "readPoint" | "bizLocation" | "ilmd" | "errorDeclaration" => {
                    let mut inner = Map::new();
                    self.members(element, &mut inner);
                    inner.into()
                }
                _ => self.text(element),
            };
        (element.local.clone(), value)
    }

    /// Text of an element of the standard, which has neither children nor attributes.
    fn text(&mut self, element: &Element) -> Value {
        if !element.children.is_empty() {
            return self.value(element);
        }
        self.check_attributes(element, &[]);
        element.text.trim().into()
    }

    fn texts(&mut self, list: &Element) -> Value {
        let texts: Vec<Value> = list.children.iter().map(|e| self.text(e)).collect();
        texts.into()
    }

    fn quantities(&mut self, list: &Element) -> Value {
        let mut items = Vec::with_capacity(list.children.len());
        for element in &list.children {
            let mut item = Map::new();
            self.members(element, &mut item);
            if let Some(value) = item.get_mut("quantity") {
                // What is no number stays text, and is reported as such.
                if let Some(number) = value.as_str().and_then(fields::parse_number) {
                    *value = Value::Number(number);
                }
            }
            items.push(Value::Object(item));
        }
        items.into()
    }

    fn typed_ids(&mut self, list: &Element) -> Value {
        let mut items = Vec::with_capacity(list.children.len());
        for element in &list.children {
            self.check_attributes(element, &["type"]);
            let mut item = Map::new();
            if let Some(kind) = element.attribute("type") {
                item.insert("type".to_owned(), kind.into());
            }
            item.insert(element.local.clone(), element.text.trim().into());
            items.push(Value::Object(item));
        }
        items.into()
    }

    /// An element of another namespace, or inside one.
    fn value(&mut self, element: &Element) -> Value {
        self.check_attributes(element, &[]);
        if element.children.is_empty() {
            return element.text.clone().into();
        }
        if !element.text.trim().is_empty() {
            self.refuse(element, "text beside its elements");
        }
        let mut members = Map::new();
        for child in &element.children {
            let name = match child.uri.is_empty() {
                true => child.local.clone(),
                false => self.name(child),
            };
            let value = self.value(child);
            add(&mut members, name, value);
        }
        members.into()
    }

    fn check_attributes(&mut self, element: &Element, allowed: &[&str]) {
        let is_more = |(name, _): &(String, String)| !allowed.contains(&name.as_str());
        if element.attributes.iter().any(is_more) {
            self.refuse(element, "attributes");
        }
    }

    fn refuse(&mut self, element: &Element, what: &'static str) {
        self.refusal.get_or_insert_with(|| EventRefusal::XmlOnly {
            element: element.local.clone(),
            what,
        });
    }

    /// The name with a prefix that means its namespace throughout the event. XML may bind one
    /// prefix anew in each element; then a number is added.
    fn name(&mut self, element: &Element) -> String {
        if element.uri == MASTER_DATA {
            return format!("cbvmda:{}", element.local);
        }
        let wanted = match element.prefix.as_str() {
            "" => "ns",
            prefix => prefix,
        };
        let mut prefix = wanted.to_owned();
        let mut n = 1;
        while self
            .namespaces
            .get(&prefix)
            .is_some_and(|uri| *uri != element.uri)
        {
            n += 1;
            prefix = format!("{wanted}{n}");
        }
        self.namespaces.insert(prefix.clone(), element.uri.clone());
        format!("{prefix}:{}", element.local)
    }
}

/// Adds a member; elements that repeat become a list.
fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => {
            members.insert(name, value);
        }
        // The value of one element is never a list, except in the lists of the standard; these
        // may not repeat, and a list in a list is reported as what it is.
        Some(Value::Array(items)) => items.push(value),
        Some(first) => {
            let items = vec![first.take(), value];
            *first = items.into();
        }
    }
}

#[cfg(test)]
mod tests;
