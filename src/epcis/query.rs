//! Which events a query asks for: the parameters of the SimpleEventQuery.
//!
//! EPCIS 2.0 section 8.2.7.1. An event is selected when every parameter holds for it; a
//! parameter holds when one of its values does. What the ledger doesn't know how to judge is
//! refused by name: a filter that is silently left out would answer another question.

mod condition;

use std::collections::BTreeMap;

use super::export::ExportedEvent;
use super::ids;
use super::time;
use super::vocabulary::Vocabulary;
use crate::core::id::UnitId;
use condition::{Comparison, Condition, Name, Part, Pattern, Test};

/// Most parameters of one query.
pub const MAX_PARAMETERS: usize = 64;
/// Most values of all parameters together.
pub const MAX_VALUES: usize = 1_000;
/// Longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 2_048;

/// What can be wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// EPCIS 2.0 section 8.2.6: QueryParameterException.
    #[error("{name}: {reason}")]
    Parameter {
        /// Which parameter.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A parameter of the standard that this ledger has no answer to.
    #[error("{name} is not supported: {reason}")]
    Unsupported {
        /// Which parameter.
        name: String,
        /// Why not, and what to use instead.
        reason: &'static str,
    },
    /// QueryTooComplexException.
    #[error("the query is too large: {0}")]
    TooComplex(String),
}

/// In which order events are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// As the ledger took them in.
    #[default]
    RecordTime,
    /// As they happened.
    EventTime,
}

/// A query, understood.
#[derive(Clone, Debug, Default)]
pub struct Query {
    conditions: Vec<Condition>,
    /// In which order.
    pub order_by: OrderBy,
    /// The latest first. The standard's own default; it speaks only when an order is asked for.
    pub descending: bool,
    /// `eventCountLimit`: no more than so many.
    pub limit: Option<u64>,
    /// `maxEventCount`: if there are more, none at all.
    pub most: Option<u64>,
    /// The earliest record time, in milliseconds since 1970.
    pub recorded_from: Option<i64>,
    /// Before this record time.
    pub recorded_before: Option<i64>,
    /// `EQ_eventID`, where it stands.
    pub event_ids: Option<Vec<String>>,
    /// Units of which every event must name one: each parameter's, if all of its values are single
    /// units.
    pub units: Vec<Vec<UnitId>>,
}

/// Where the units of events stand, by what a parameter calls them.
const EPC_LISTS: [(&str, &[&str]); 5] = [
    ("MATCH_epc", &["epcList", "childEPCs"]),
    ("MATCH_parentID", &["parentID"]),
    ("MATCH_inputEPC", &["inputEPCList"]),
    ("MATCH_outputEPC", &["outputEPCList"]),
    (
        "MATCH_anyEPC",
        &[
            "epcList",
            "childEPCs",
            "parentID",
            "inputEPCList",
            "outputEPCList",
        ],
    ),
];

const CLASS_LISTS: [(&str, &[&str]); 4] = [
    ("MATCH_epcClass", &["quantityList", "childQuantityList"]),
    ("MATCH_inputEPCClass", &["inputQuantityList"]),
    ("MATCH_outputEPCClass", &["outputQuantityList"]),
    (
        "MATCH_anyEPCClass",
        &[
            "quantityList",
            "childQuantityList",
            "inputQuantityList",
            "outputQuantityList",
        ],
    ),
];

/// Parameters that compare a text with a list, by where it stands in the event. A place's descendants
/// come from master data, of which the ledger has none: a place is its only descendant. Where the text of the
/// standard and GS1's schema of queries have two names for one, both are known.
const TEXTS: [(&str, &[&str], Option<Vocabulary>); 16] = [
    ("eventType", &["type"], None),
    ("EQ_action", &["action"], None),
    ("EQ_bizStep", &["bizStep"], Some(Vocabulary::BizStep)),
    (
        "EQ_disposition",
        &["disposition"],
        Some(Vocabulary::Disposition),
    ),
    (
        "EQ_persistentDisposition_set",
        &["persistentDisposition", "set"],
        Some(Vocabulary::Disposition),
    ),
    (
        "EQ_persistentDisposition_unset",
        &["persistentDisposition", "unset"],
        Some(Vocabulary::Disposition),
    ),
    (
        "EQ_setPersistentDisposition",
        &["persistentDisposition", "set"],
        Some(Vocabulary::Disposition),
    ),
    (
        "EQ_unsetPersistentDisposition",
        &["persistentDisposition", "unset"],
        Some(Vocabulary::Disposition),
    ),
    ("EQ_readPoint", &["readPoint", "id"], None),
    ("WD_readPoint", &["readPoint", "id"], None),
    ("EQ_bizLocation", &["bizLocation", "id"], None),
    ("WD_bizLocation", &["bizLocation", "id"], None),
    ("EQ_transformationID", &["transformationID"], None),
    ("EQ_eventID", &["eventID"], None),
    (
        "EQ_errorReason",
        &["errorDeclaration", "reason"],
        Some(Vocabulary::ErrorReason),
    ),
    (
        "EQ_correctiveEventID",
        &["errorDeclaration", "correctiveEventIDs"],
        None,
    ),
];

const TIMES: [(&str, &[&str], Comparison); 8] = [
    ("GE_eventTime", &["eventTime"], Comparison::AtLeast),
    ("LT_eventTime", &["eventTime"], Comparison::Less),
    ("GE_recordTime", &["recordTime"], Comparison::AtLeast),
    ("LT_recordTime", &["recordTime"], Comparison::Less),
    (
        "GE_errorDeclarationTime",
        &["errorDeclaration", "declarationTime"],
        Comparison::AtLeast,
    ),
    (
        "LT_errorDeclarationTime",
        &["errorDeclaration", "declarationTime"],
        Comparison::Less,
    ),
    (
        "GE_errorDeclaration_Time",
        &["errorDeclaration", "declarationTime"],
        Comparison::AtLeast,
    ),
    (
        "LT_errorDeclaration_Time",
        &["errorDeclaration", "declarationTime"],
        Comparison::Less,
    ),
];

/// Lists of an id with its type: before the type in the parameter, the list, the id's member, the words
/// of the type.
const TYPED: [(&str, &str, &str, Vocabulary); 3] = [
    (
        "EQ_bizTransaction_",
        "bizTransactionList",
        "bizTransaction",
        Vocabulary::BusinessTransactionType,
    ),
    (
        "EQ_source_",
        "sourceList",
        "source",
        Vocabulary::SourceDestinationType,
    ),
    (
        "EQ_destination_",
        "destinationList",
        "destination",
        Vocabulary::SourceDestinationType,
    ),
];

/// What begins the names of parameters about sensors, and why there is no answer to them.
const SENSORS: [&str; 17] = [
    "GE_time",
    "LT_time",
    "GE_startTime",
    "LT_startTime",
    "GE_endTime",
    "LT_endTime",
    "EQ_type",
    "EQ_deviceID",
    "EQ_dataProcessingMethod",
    "EQ_microorganism",
    "EQ_chemicalSubstance",
    "EQ_bizRules",
    "EQ_stringValue",
    "EQ_booleanValue",
    "EQ_hexBinaryValue",
    "EQ_uriValue",
    "EQ_SENSOR",
];

impl Query {
    /// Understands parameters: names with their values. `namespaces` are the prefixes that names of
    /// extensions use (`@context` of the query, or the header `GS1-Extensions`).
    ///
    /// # Errors
    /// The first parameter that can't be answered.
    pub fn new(
        parameters: &[(String, Vec<String>)],
        namespaces: &BTreeMap<String, String>,
    ) -> Result<Self, QueryError> {
        if parameters.len() > MAX_PARAMETERS {
            let what = format!("{} parameters, at most {MAX_PARAMETERS}", parameters.len());
            return Err(QueryError::TooComplex(what));
        }
        let values: usize = parameters.iter().map(|(_, values)| values.len()).sum();
        if values > MAX_VALUES {
            let what = format!("{values} values, at most {MAX_VALUES}");
            return Err(QueryError::TooComplex(what));
        }
        let mut query = Self {
            descending: true,
            ..Self::default()
        };
        let (mut is_ordered, mut is_directed) = (false, false);
        for (i, (name, values)) in parameters.iter().enumerate() {
            if parameters[..i].iter().any(|(other, _)| other == name) {
                return Err(wrong(name, "stands twice; give its values together"));
            }
            if let Some(long) = values.iter().find(|value| value.len() > MAX_VALUE_BYTES) {
                let reason = format!(
                    "a value has {} bytes, at most {MAX_VALUE_BYTES}",
                    long.len()
                );
                return Err(wrong(name, reason));
            }
            is_ordered |= name == "orderBy";
            is_directed |= name == "orderDirection";
            query.add(name, values, namespaces)?;
        }
        if !is_ordered && !is_directed {
            query.descending = false;
        }
        if query.limit.is_some() && !is_ordered {
            let reason =
                "needs orderBy, which says which events are the first (EPCIS 2.0 section 8.2.7.1)";
            return Err(wrong("eventCountLimit", reason));
        }
        if query.limit.is_some() && query.most.is_some() {
            let reason = "stands beside eventCountLimit, which means the contrary (EPCIS 2.0 \
                          section 8.2.7.1)";
            return Err(wrong("maxEventCount", reason));
        }
        Ok(query)
    }

    fn add(
        &mut self,
        name: &str,
        values: &[String],
        namespaces: &BTreeMap<String, String>,
    ) -> Result<(), QueryError> {
        match name {
            "orderBy" => {
                self.order_by = match one(name, values)? {
                    "recordTime" => OrderBy::RecordTime,
                    "eventTime" => OrderBy::EventTime,
                    _ => {
                        let reason = "order by recordTime or eventTime";
                        return Err(unsupported(name, reason));
                    }
                };
                return Ok(());
            }
            "orderDirection" => {
                self.descending = match one(name, values)? {
                    "ASC" => false,
                    "DESC" => true,
                    _ => return Err(wrong(name, "is ASC or DESC")),
                };
                return Ok(());
            }
            "eventCountLimit" => {
                self.limit = Some(count(name, values)?);
                return Ok(());
            }
            "maxEventCount" => {
                self.most = Some(count(name, values)?);
                return Ok(());
            }
            _ => {}
        }
        if values.is_empty() && !name.starts_with("EXISTS_") {
            return Err(wrong(name, "has no value"));
        }
        let condition = self.condition(name, values, namespaces)?;
        self.conditions.push(condition);
        Ok(())
    }

    fn condition(
        &mut self,
        name: &str,
        values: &[String],
        namespaces: &BTreeMap<String, String>,
    ) -> Result<Condition, QueryError> {
        if let Some((_, path, vocabulary)) = TEXTS.iter().find(|(known, ..)| *known == name) {
            if name == "EQ_eventID" {
                self.event_ids = Some(values.to_vec());
            }
            let is_action = |value: &String| ["ADD", "OBSERVE", "DELETE"].contains(&value.as_str());
            if name == "EQ_action" && !values.iter().all(is_action) {
                return Err(wrong(name, "is ADD, OBSERVE or DELETE"));
            }
            let bare = |value: &String| match vocabulary {
                None => Ok(value.clone()),
                Some(words) => words.normalise(value).ok_or_else(|| {
                    wrong(
                        name,
                        format!("{value:?} is neither a word of the CBV 2.0 nor a URI"),
                    )
                }),
            };
            let values = values.iter().map(bare).collect::<Result<_, _>>()?;
            return Ok(Condition::Text { path, values });
        }
        if let Some((_, path, comparison)) = TIMES.iter().find(|(known, ..)| *known == name) {
            let ms = moment(name, one(name, values)?)?;
            match name {
                "GE_recordTime" => self.recorded_from = Some(ms),
                "LT_recordTime" => self.recorded_before = Some(ms),
                _ => {}
            }
            let comparison = *comparison;
            return Ok(Condition::Time {
                path,
                comparison,
                ms,
            });
        }
        if let Some((_, lists)) = EPC_LISTS.iter().find(|(known, _)| *known == name) {
            let patterns: Vec<Pattern> = values
                .iter()
                .map(|value| Pattern::new(value).map_err(|reason| wrong(name, reason)))
                .collect::<Result<_, _>>()?;
            let units: Option<Vec<UnitId>> = patterns.iter().map(Pattern::unit).collect();
            self.units.extend(units);
            return Ok(Condition::Epc { lists, patterns });
        }
        if let Some((_, lists)) = CLASS_LISTS.iter().find(|(known, _)| *known == name) {
            let values = values.to_vec();
            return Ok(Condition::Class { lists, values });
        }
        for (prefix, list, member, vocabulary) in TYPED {
            if let Some(kind) = name.strip_prefix(prefix) {
                let kind = vocabulary.normalise(kind).ok_or_else(|| {
                    wrong(
                        name,
                        format!("{kind:?} is neither a word of the CBV 2.0 nor a URI"),
                    )
                })?;
                let values = values.to_vec();
                return Ok(Condition::Typed {
                    list,
                    member,
                    kind,
                    values,
                });
            }
        }
        match name {
            "EXISTS_errorDeclaration" => Ok(Condition::Exists("errorDeclaration")),
            "EXISTS_sensorElement" | "EXISTS_sensorElementList" => {
                Ok(Condition::Exists("sensorElementList"))
            }
            _ => extension(name, values, namespaces),
        }
    }

    /// Whether an event is selected. Its `recordTime` must be the ledger's.
    #[must_use]
    pub fn selects(&self, event: &ExportedEvent) -> bool {
        self.conditions.iter().all(|one| one.holds(event))
    }
}

/// A parameter about a field of somebody's own namespace.
fn extension(
    name: &str,
    values: &[String],
    namespaces: &BTreeMap<String, String>,
) -> Result<Condition, QueryError> {
    let is_sensor = SENSORS.iter().any(|sensor| name.starts_with(sensor))
        || name.contains("alue_")
        || name.contains("percRank")
        || name.contains("sDev_");
    if !name.contains(':') && is_sensor {
        let reason = "what sensors measured is kept and given back, and not searched; ask for \
                      EXISTS_sensorElementList";
        return Err(unsupported(name, reason));
    }
    if name.contains("quantity") && !name.contains(':') {
        let reason = "the ledger traces single units; amounts of a class are kept and given back, \
                      and not searched";
        return Err(unsupported(name, reason));
    }
    if name.starts_with("HASATTR_") || name.starts_with("EQATTR_") || name.starts_with("EQ_ATTR_") {
        return Err(unsupported(
            name,
            "attributes and names of master data are not searched: the ledger keeps none",
        ));
    }
    let (operator, rest) = name
        .split_once('_')
        .ok_or_else(|| wrong(name, "is no parameter of the SimpleEventQuery"))?;
    let inner = rest.strip_prefix("INNER_");
    let rest = inner.unwrap_or(rest);
    let (part, field) = Part::of(rest);
    if !field.contains(':') {
        return Err(wrong(name, "is no parameter of the SimpleEventQuery"));
    }
    let comparison = match operator {
        "EQ" => None,
        "GT" => Some(Comparison::Greater),
        "GE" => Some(Comparison::AtLeast),
        "LT" => Some(Comparison::Less),
        "LE" => Some(Comparison::AtMost),
        "EXISTS" => {
            return Ok(Condition::Extension {
                part,
                inner: inner.is_some(),
                name: Name::new(field, namespaces),
                test: Test::Exists,
            });
        }
        _ => {
            return Err(wrong(
                name,
                "begins with EQ_, GT_, GE_, LT_, LE_ or EXISTS_",
            ));
        }
    };
    let test = match comparison {
        None => Test::Equals(values.to_vec()),
        Some(comparison) => {
            let value = one(name, values)?;
            Test::against(comparison, value)
                .ok_or_else(|| wrong(name, format!("{value:?} is neither a number nor a time")))?
        }
    };
    Ok(Condition::Extension {
        part,
        inner: inner.is_some(),
        name: Name::new(field, namespaces),
        test,
    })
}

fn wrong(name: &str, reason: impl Into<String>) -> QueryError {
    QueryError::Parameter {
        name: name.to_owned(),
        reason: reason.into(),
    }
}

fn unsupported(name: &str, reason: &'static str) -> QueryError {
    QueryError::Unsupported {
        name: name.to_owned(),
        reason,
    }
}

fn one<'a>(name: &str, values: &'a [String]) -> Result<&'a str, QueryError> {
    match values {
        [value] => Ok(value),
        _ => Err(wrong(name, "has exactly one value")),
    }
}

fn count(name: &str, values: &[String]) -> Result<u64, QueryError> {
    let number = one(name, values)?.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| wrong(name, "is a whole number from 1 on"))
}

fn moment(name: &str, text: &str) -> Result<i64, QueryError> {
    // A plus sign that was not escaped arrives as a blank.
    time::parse(text)
        .or_else(|| time::parse(&text.replace(' ', "+")))
        .ok_or_else(|| {
            wrong(
                name,
                format!("{text:?} is not a time with a zone such as 2026-07-22T06:45:00+08:00"),
            )
        })
}
