//! XML as a tree of elements with resolved namespaces (XML 1.0, Namespaces in XML 1.0).
//!
//! Built without recursion, and within limits, so that no document can exhaust the stack.

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;

/// Deepest nesting of elements.
const MAX_DEPTH: usize = 64;
/// Most elements in a document: a hundred for each event.
const MAX_ELEMENTS: usize = 1_000_000;

/// An element.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Of the name, empty where there is none.
    pub(super) prefix: String,
    pub(super) local: String,
    /// The namespace, empty where there is none.
    pub(super) uri: String,
    /// Without the declarations of namespaces; names as they are written.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
    /// All text directly in it.
    pub(super) text: String,
}

impl Element {
    /// Whether it is this element of the standard, which has no namespace.
    pub(super) fn is(&self, local: &str) -> bool {
        self.uri.is_empty() && self.local == local
    }

    /// The first child of the name; the query schema qualifies some.
    pub(super) fn child(&self, local: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.local == local)
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Parses a document and returns its root element.
pub(super) fn parse(text: &str) -> Result<Element, String> {
    let mut reader = NsReader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut count = 0;
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(start) => {
                count += 1;
                check_limits(open.len(), count)?;
                open.push(element(&reader, &start)?);
            }
            Event::Empty(start) => {
                count += 1;
                check_limits(open.len(), count)?;
                let element = element(&reader, &start)?;
                close(element, &mut open, &mut root)?;
            }
            Event::End(_) => {
                let element = open.pop().ok_or("an element is closed that is not open")?;
                close(element, &mut open, &mut root)?;
            }
            Event::Text(text) => add_text(&text.xml10_content(), &mut open)?,
            Event::CData(data) => add_text(&data.xml10_content(), &mut open)?,
            Event::GeneralRef(reference) => add_text(&resolve(&reference)?, &mut open)?,
            Event::DocType(_) => return Err("has a document type declaration".to_owned()),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    match (open.last(), root) {
        (Some(element), _) => Err(format!("ends inside of the element {}", element.local)),
        (None, Some(root)) => Ok(root),
        (None, None) => Err("has no element".to_owned()),
    }
}

fn check_limits(depth: usize, count: usize) -> Result<(), String> {
    if depth >= MAX_DEPTH {
        return Err(format!("is nested deeper than {MAX_DEPTH} elements"));
    }
    if count > MAX_ELEMENTS {
        return Err(format!("has more than {MAX_ELEMENTS} elements"));
    }
    Ok(())
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Element, String> {
    let name = start.name();
    let (namespace, local) = reader.resolver().resolve_element(name);
    let uri = match namespace {
        ResolveResult::Unbound => String::new(),
        ResolveResult::Bound(namespace) => namespace.into_inner().to_owned(),
        ResolveResult::Unknown(prefix) => {
            return Err(format!("the prefix {prefix:?} is bound to no namespace"));
        }
    };
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| error.to_string())?;
        attributes.push((attribute.key.into_inner().to_owned(), value.into_owned()));
    }
    Ok(Element {
        prefix: name
            .prefix()
            .map(|prefix| prefix.into_inner().to_owned())
            .unwrap_or_default(),
        local: local.into_inner().to_owned(),
        uri,
        attributes,
        ..Element::default()
    })
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<(), String> {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None if root.is_none() => *root = Some(element),
        None => return Err("has two root elements".to_owned()),
    }
    Ok(())
}

fn add_text(text: &str, open: &mut [Element]) -> Result<(), String> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err("has text outside of its root element".to_owned()),
    }
    Ok(())
}

/// Characters by number, and the five entities that XML itself defines.
fn resolve(reference: &BytesRef<'_>) -> Result<String, String> {
    let by_number = reference.resolve_char_ref().map_err(|e| e.to_string())?;
    if let Some(character) = by_number {
        return Ok(character.to_string());
    }
    let name = reference.xml10_content();
    quick_xml::escape::resolve_predefined_entity(&name)
        .map(str::to_owned)
        .ok_or_else(|| format!("uses the entity {name:?}, which XML does not define"))
}
