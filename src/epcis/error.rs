//! What can go wrong, by layer: the document is not EPCIS, an event can't be a record, a record
//! can't be an event.
//!
//! The first is the sender's mistake, and a capture service refuses the whole document: half of
//! a shipment is worse than none. The second is nobody's mistake: valid EPCIS says more
//! than a ledger of units can hold, so it is reported event by event and never dropped.

use std::fmt;

use super::MAX_EVENTS;

/// One rule of the standard that a document breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Number of the event, from 1; none if it is about the document.
    pub event: Option<usize>,
    /// The field, as a path from the event or the document.
    pub field: String,
    /// What is wrong, and by which rule.
    pub rule: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Some(number) => write!(f, "event {number}: {}: {}", self.field, self.rule),
            None => write!(f, "document: {}: {}", self.field, self.rule),
        }
    }
}

/// The document is not EPCIS. Holds every problem that was found, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// In the order in which they were found; at most [`MAX_PROBLEMS`](super::MAX_PROBLEMS).
    pub problems: Vec<Problem>,
    /// It has more events than are read at once.
    pub too_many_events: bool,
}

impl DocumentError {
    /// More events than are read at once.
    pub(super) fn too_many(field: &str, found: usize) -> Self {
        let rule = format!("has {found} events, at most {MAX_EVENTS}; split it");
        Self {
            too_many_events: true,
            ..Self::one(field, rule)
        }
    }

    /// A problem of the document as a whole.
    pub(super) fn one(field: &str, rule: impl Into<String>) -> Self {
        Self {
            problems: vec![Problem {
                event: None,
                field: field.to_owned(),
                rule: rule.into(),
            }],
            too_many_events: false,
        }
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the document is not valid EPCIS")?;
        for (i, problem) in self.problems.iter().enumerate() {
            write!(f, "{} {problem}", if i == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for DocumentError {}

/// The event is valid EPCIS, but the ledger can't hold what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventRefusal {
    /// EPCIS 2.0 section 7.4.
    #[error(
        "an AssociationEvent ties assets to each other or to a place; the ledger traces traded \
         units, and a container of units is an AggregationEvent"
    )]
    Association,
    /// EPCIS 1.2 section 7.4, deprecated there.
    #[error("a QuantityEvent counts a class of goods; the ledger traces single units")]
    QuantityEvent,
    /// An event type of somebody's own (EPCIS 2.0 section 6.3).
    #[error("the event type {0} is not one that the ledger knows")]
    EventType(String),
    /// Quantities of a class, and no unit.
    #[error(
        "it names only quantities of a class (such as {first}), no single unit; the ledger traces \
         units by SGTIN or SSCC"
    )]
    ClassLevelOnly {
        /// The first class.
        first: String,
    },
    /// A transformation that is at class level on one side.
    #[error(
        "the {side} of the transformation are no single units{class}; a transformation must name \
         units on both sides"
    )]
    TransformationSide {
        /// `inputs` or `outputs`.
        side: &'static str,
        /// The class that stands there instead, in words.
        class: String,
    },
    /// No object at all, such as an observation by a sensor of a place.
    #[error("it names no unit: an observation of a place is not about goods")]
    NoUnits,
    /// Packing or unpacking without naming what.
    #[error(
        "it names no children: unpacking `everything` depends on what the reader believes is \
         inside; name each unit"
    )]
    NoChildren,
    /// A valid identifier of something that is not a unit.
    #[error(
        "{identifier} is {kind}, not a trade item with a serial (SGTIN) or logistic unit (SSCC)"
    )]
    NotAUnit {
        /// As in the source.
        identifier: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// An identifier of a unit that its own rules refuse.
    #[error("{identifier} can't be read: {reason}")]
    Identifier {
        /// As in the source.
        identifier: String,
        /// Field, rule and standard.
        reason: String,
    },
    /// The same unit twice, perhaps in both spellings.
    #[error("the unit {0} is named twice")]
    DuplicateUnit(String),
    /// More than a record holds.
    #[error("it names {found} units, and a record holds at most {max}; split it")]
    TooManyUnits {
        /// In the event.
        found: usize,
        /// In a record.
        max: usize,
    },
    /// The event does not fit an entry of the log.
    #[error("as a record it has {bytes} bytes, at most {max} fit an entry of the log")]
    TooLarge {
        /// Of the record.
        bytes: usize,
        /// Of a record.
        max: usize,
    },
    /// A text is longer than the ledger keeps.
    #[error("{field} has {bytes} bytes, at most {max} are kept")]
    TextTooLong {
        /// Path of the field.
        field: String,
        /// Its length.
        bytes: usize,
        /// What is kept.
        max: usize,
    },
    /// A tree is deeper than the ledger keeps.
    #[error("{field} is nested deeper than {max} levels")]
    TooDeep {
        /// The field at the top of the tree.
        field: String,
        /// What is kept.
        max: usize,
    },
    /// The time is before the ledger's first millisecond.
    #[error("{field} is {time}, before 1970: the ledger counts milliseconds from there")]
    BeforeEpoch {
        /// `eventTime` or `errorDeclaration.declarationTime`.
        field: &'static str,
        /// As in the source.
        time: String,
    },
    /// Lot or expiry that the rules of the ledger can't use.
    #[error("ilmd.{field} does not fit: {reason}")]
    Attribute {
        /// `lotNumber` or `itemExpirationDate`.
        field: &'static str,
        /// Why.
        reason: String,
    },
    /// A JSON-LD context that changes what names mean, beyond prefixes.
    #[error("@context has {0}: the ledger fetches nothing, and keeps prefixes of namespaces only")]
    Context(String),
    /// Something that only XML can say.
    #[error("the XML element {element} has {what}, which JSON has no place for")]
    XmlOnly {
        /// Its qualified name.
        element: String,
        /// Attributes, or text beside elements.
        what: &'static str,
    },
}

/// The record can't be an EPCIS event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Registrations, keys, decisions: EPCIS is about goods.
    #[error("record {record}: a governance record ({kind}) is no EPCIS event")]
    Governance {
        /// Number of the record, from 1.
        record: usize,
        /// Which.
        kind: &'static str,
    },
    /// The record does not fit together, or holds what EPCIS can't say.
    #[error("record {record}: {field}: {reason}")]
    Record {
        /// Number of the record, from 1.
        record: usize,
        /// The field.
        field: String,
        /// Why not.
        reason: String,
    },
    /// The options.
    #[error("creation_date: {0:?} is not a time with a zone, as EPCIS 2.0 section 10.1 wants it")]
    CreationDate(String),
}
