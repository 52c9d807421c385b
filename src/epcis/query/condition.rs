//! Whether a condition holds for an event.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::export::ExportedEvent;
use super::super::time;
use super::ids;
use crate::core::id::{UnitId, epc};

/// One parameter.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// A text, or one of a list of texts, is one of these.
    Text {
        path: &'static [&'static str],
        values: Vec<String>,
    },
    Time {
        path: &'static [&'static str],
        comparison: Comparison,
        ms: i64,
    },
    /// One of the identifiers in one of the lists fits one of the patterns.
    Epc {
        lists: &'static [&'static str],
        patterns: Vec<Pattern>,
    },
    Class {
        lists: &'static [&'static str],
        values: Vec<String>,
    },
    Typed {
        list: &'static str,
        member: &'static str,
        kind: String,
        values: Vec<String>,
    },
    Exists(&'static str),
    Extension {
        part: Part,
        /// At any depth below the part's own fields.
        inner: bool,
        name: Name,
        test: Test,
    },
}

impl Condition {
    pub(super) fn holds(&self, event: &ExportedEvent) -> bool {
        let members = event.members();
        match self {
            Self::Text { path, values } => any_text(at(members, path), values),
            Self::Time {
                path,
                comparison,
                ms,
            } => {
                let found = at(members, path).and_then(Value::as_str);
                found
                    .and_then(time::parse)
                    .is_some_and(|found| comparison.holds(found.cmp(ms)))
            }
            Self::Epc { lists, patterns } => lists
                .iter()
                .filter_map(|list| members.get(*list))
                .flat_map(texts)
                .any(|epc| patterns.iter().any(|pattern| pattern.fits(epc))),
            Self::Class { lists, values } => lists
                .iter()
                .filter_map(|list| members.get(*list).and_then(Value::as_array))
                .flatten()
                .any(|item| any_text(item.get("epcClass"), values)),
            Self::Typed {
                list,
                member,
                kind,
                values,
            } => {
                let items = members.get(*list).and_then(Value::as_array);
                items.into_iter().flatten().any(|item| {
                    item.get("type").and_then(Value::as_str) == Some(kind)
                        && any_text(item.get(*member), values)
                })
            }
            Self::Exists(member) => members.contains_key(*member),
            Self::Extension {
                part,
                inner,
                name,
                test,
            } => {
                let Some(fields) = part.fields(members) else {
                    return false;
                };
                let found = |fields: &Map<String, Value>| {
                    name.find(fields, event.namespaces())
                        .any(|value| test.holds(value))
                };
                if *inner {
                    fields.values().any(|value| anywhere(value, &found))
                } else {
                    found(fields)
                }
            }
        }
    }
}

fn at<'a>(members: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(members.get(*first)?, |value, name| value.get(*name))
}

/// The text, or the texts of the list.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let list = value.as_array().map(Vec::as_slice);
    list.unwrap_or(std::slice::from_ref(value))
        .iter()
        .filter_map(Value::as_str)
}

fn any_text(value: Option<&Value>, wanted: &[String]) -> bool {
    value
        .into_iter()
        .flat_map(texts)
        .any(|text| wanted.iter().any(|one| one == text))
}

/// Whether something holds for an object somewhere inside a value. An export is no deeper than the
/// ledger keeps.
fn anywhere(value: &Value, holds: &impl Fn(&Map<String, Value>) -> bool) -> bool {
    match value {
        Value::Object(object) => {
            holds(object) || object.values().any(|inner| anywhere(inner, holds))
        }
        Value::Array(items) => items.iter().any(|item| anywhere(item, holds)),
        _ => false,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Greater,
    AtLeast,
    Less,
    AtMost,
}

impl Comparison {
    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
        }
    }
}

/// What an identifier must be: EPCIS 2.0 section 8.2.7.1.1, patterns of the EPC Tag Data Standard
/// section 8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// A unit, however it is spelled.
    Unit(UnitId),
    /// Every serial of a trade item.
    Gtin(String),
    /// Every trade item, or every logistic unit, whose number has this company prefix.
    Company { logistic: bool, prefix: String },
    /// Anything that is no unit, as it is spelled.
    Text(String),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let Some(pattern) = text.strip_prefix("urn:epc:idpat:") else {
            if let Ok(unit) = UnitId::parse_any(text) {
                return Ok(Self::Unit(unit));
            }
            return match ids::read_unit(text) {
                Err(super::super::EventRefusal::Identifier { reason, .. }) => {
                    Err(format!("{text:?}: {reason}"))
                }
                _ => Ok(Self::Text(text.to_owned())),
            };
        };
        let broken =
            || format!("{text:?} is no pattern such as urn:epc:idpat:sgtin:0614141.107346.*");
        let (scheme, parts) = pattern.split_once(':').ok_or_else(broken)?;
        let parts: Vec<&str> = parts.split('.').collect();
        let is_prefix = |text: &str| {
            (6..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        match (scheme, parts.as_slice()) {
            ("sgtin", [company, "*", "*"]) if is_prefix(company) => Ok(Self::Company {
                logistic: false,
                prefix: (*company).to_owned(),
            }),
            ("sscc", [company, "*"]) if is_prefix(company) => Ok(Self::Company {
                logistic: true,
                prefix: (*company).to_owned(),
            }),
            ("sgtin", [company, item, "*"]) => {
                let urn = format!("urn:epc:id:sgtin:{company}.{item}.0");
                let (sgtin, _) = epc::parse_sgtin_urn(&urn).map_err(|error| error.to_string())?;
                Ok(Self::Gtin(sgtin.gtin.to_string()))
            }
            ("sgtin" | "sscc", _) if !pattern.contains('*') => {
                Self::new(&format!("urn:epc:id:{pattern}"))
            }
            _ => Err(broken()),
        }
    }

    /// The unit, if it is a single one.
    pub(super) const fn unit(&self) -> Option<UnitId> {
        match self {
            Self::Unit(unit) => Some(*unit),
            _ => None,
        }
    }

    fn fits(&self, epc: &str) -> bool {
        if let Self::Text(text) = self {
            return text == epc;
        }
        let Ok(unit) = UnitId::parse_any(epc) else {
            return false;
        };
        match (self, unit) {
            (Self::Unit(wanted), unit) => *wanted == unit,
            (Self::Gtin(gtin), UnitId::Sgtin(item)) => item.gtin.to_string() == *gtin,
            // The first digit is the indicator of the item, or the extension of the logistic unit; the
            // company's prefix comes after it.
            (
                Self::Company {
                    logistic: false,
                    prefix,
                },
                UnitId::Sgtin(item),
            ) => item.gtin.to_string()[1..].starts_with(prefix.as_str()),
            (
                Self::Company {
                    logistic: true,
                    prefix,
                },
                UnitId::Sscc(sscc),
            ) => sscc.to_string()[1..].starts_with(prefix.as_str()),
            _ => false,
        }
    }
}

/// The part of an event in which a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Event,
    Under(&'static str),
}

impl Part {
    /// The part that a parameter's name speaks of, and the name of the field.
    pub(super) fn of(rest: &str) -> (Self, &str) {
        for (marker, member) in [
            ("ILMD_", "ilmd"),
            ("ERROR_DECLARATION_", "errorDeclaration"),
            ("readPoint_", "readPoint"),
            ("bizLocation_", "bizLocation"),
        ] {
            if let Some(field) = rest.strip_prefix(marker) {
                return (Self::Under(member), field);
            }
        }
        (Self::Event, rest)
    }

    fn fields<'a>(&self, members: &'a Map<String, Value>) -> Option<&'a Map<String, Value>> {
        match self {
            Self::Event => Some(members),
            Self::Under(member) => members.get(*member).and_then(Value::as_object),
        }
    }
}

/// Name of a field in a namespace: what counts is the namespace, not the prefix that somebody gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// As it stands in the query.
    spelled: String,
    /// Namespace and local name, where the query says what its prefix means.
    whole: Option<String>,
}

impl Name {
    pub(super) fn new(spelled: &str, namespaces: &BTreeMap<String, String>) -> Self {
        Self {
            spelled: spelled.to_owned(),
            whole: whole(spelled, namespaces),
        }
    }

    fn find<'a>(
        &'a self,
        fields: &'a Map<String, Value>,
        namespaces: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a Value> {
        fields
            .iter()
            .filter(|(name, _)| match &self.whole {
                Some(wanted) => whole(name, namespaces).as_ref().unwrap_or(name) == wanted,
                // The name itself, or the whole of it in one: `http://ns.example.com/epcis/myField`.
                None => {
                    **name == self.spelled
                        || whole(name, namespaces).as_ref() == Some(&self.spelled)
                        || with_pound_sign(name, namespaces).as_ref() == Some(&self.spelled)
                }
            })
            .map(|(_, value)| value)
    }
}

fn whole(name: &str, namespaces: &BTreeMap<String, String>) -> Option<String> {
    let (prefix, local) = name.split_once(':')?;
    Some(format!("{}{local}", namespaces.get(prefix)?))
}

/// As EPCIS 1.2 writes it in queries (section 8.2.7.1): the namespace, a pound sign, the local name.
fn with_pound_sign(name: &str, namespaces: &BTreeMap<String, String>) -> Option<String> {
    let (prefix, local) = name.split_once(':')?;
    Some(format!("{}#{local}", namespaces.get(prefix)?))
}

/// What a field's value must be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Exists,
    Equals(Vec<String>),
    Number(Comparison, f64),
    Time(Comparison, i64),
}

impl Test {
    /// A comparison with a number or a time.
    pub(super) fn against(comparison: Comparison, value: &str) -> Option<Self> {
        if let Some(ms) = time::parse(value) {
            return Some(Self::Time(comparison, ms));
        }
        let number: f64 = value.parse().ok()?;
        number
            .is_finite()
            .then_some(Self::Number(comparison, number))
    }

    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Exists, _) => true,
            (_, Value::Array(items)) => items.iter().any(|item| self.holds(item)),
            (Self::Equals(wanted), Value::String(text)) => wanted.contains(text),
            (Self::Equals(wanted), Value::Number(number)) => wanted.iter().any(|one| {
                one.parse::<f64>()
                    .is_ok_and(|one| Some(one) == number.as_f64())
            }),
            (Self::Equals(wanted), Value::Bool(truth)) => {
                wanted.iter().any(|one| *one == truth.to_string())
            }
            (Self::Number(comparison, wanted), value) => {
                let number = match value {
                    Value::Number(number) => number.as_f64(),
                    Value::String(text) => text.parse().ok(),
                    _ => None,
                };
                number
                    .and_then(|number| number.partial_cmp(wanted))
                    .is_some_and(|order| comparison.holds(order))
            }
            (Self::Time(comparison, wanted), Value::String(text)) => {
                time::parse(text).is_some_and(|found| comparison.holds(found.cmp(wanted)))
            }
            _ => false,
        }
    }
}
