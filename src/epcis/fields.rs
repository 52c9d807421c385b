//! Trees of named values: what EPCIS allows in places that the standard leaves open.
//!
//! Extensions of other namespaces, ILMD, sensor data and certificates (EPCIS 2.0 sections 6.3
//! and 7.3) come as JSON and are kept as [`wire::Field`]s. Numbers are kept as decimal text, so
//! that no digit is lost between a partner's system and a court. Nothing here judges.

use serde_json::{Map, Number, Value};

use super::error::EventRefusal;
use super::{MAX_DEPTH, MAX_TEXT_BYTES};
use crate::core::wire::{self, value::Value as Kind};

/// Names under which the ledger keeps trees that are EPCIS's own, in the order of the standard.
pub(super) const WRAPPERS: [&str; 5] = [
    "certificationInfo",
    "readPoint",
    "bizLocation",
    "ilmd",
    "sensorElementList",
];

/// Refuses an event that the ledger could not keep whole: too long a text, too deep a tree.
/// Walks with its own stack, so depth costs no call.
pub(super) fn check_limits(event: &Map<String, Value>) -> Result<(), EventRefusal> {
    let mut open: Vec<(&str, &Value, usize)> = Vec::new();
    for (name, value) in event {
        check_text(name, name)?;
        open.push((name, value, 1));
    }
    while let Some((field, value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(EventRefusal::TooDeep {
                field: field.to_owned(),
                max: MAX_DEPTH,
            });
        }
        match value {
            Value::String(text) => check_text(field, text)?,
            Value::Array(items) => open.extend(items.iter().map(|item| (field, item, depth + 1))),
            Value::Object(map) => {
                for (name, value) in map {
                    check_text(field, name)?;
                    open.push((field, value, depth + 1));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    Ok(())
}

fn check_text(field: &str, text: &str) -> Result<(), EventRefusal> {
    if text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    let shown = field.chars().take(64).collect();
    Err(EventRefusal::TextTooLong {
        field: shown,
        bytes: text.len(),
        max: MAX_TEXT_BYTES,
    })
}

/// A field from JSON. The limits were checked before.
pub(super) fn field(name: &str, value: &Value) -> wire::Field {
    wire::Field {
        name: name.to_owned(),
        value: Some(from_json(value)),
    }
}

/// The fields of an object, in their order.
pub(super) fn fields(map: &Map<String, Value>) -> Vec<wire::Field> {
    map.iter().map(|(name, value)| field(name, value)).collect()
}

fn from_json(value: &Value) -> wire::Value {
    let kind = match value {
        // JSON-LD 1.1: null is a value that is not there. A wire value without a
        // kind says the same.
        Value::Null => None,
        Value::Bool(boolean) => Some(Kind::Boolean(*boolean)),
        Value::Number(number) => Some(Kind::Number(number.to_string())),
        Value::String(text) => Some(Kind::Text(text.clone())),
        Value::Array(items) => Some(Kind::List(wire::ValueList {
            values: items.iter().map(from_json).collect(),
        })),
        Value::Object(map) => Some(Kind::Object(wire::FieldList {
            fields: fields(map),
        })),
    };
    wire::Value { value: kind }
}

/// JSON from a value.
pub(super) fn to_json(value: Option<&wire::Value>) -> Result<Value, String> {
    to_json_within(value, MAX_DEPTH)
}

fn to_json_within(value: Option<&wire::Value>, left: usize) -> Result<Value, String> {
    let Some(left) = left.checked_sub(1) else {
        return Err(format!("is nested deeper than {MAX_DEPTH} levels"));
    };
    Ok(match value.and_then(|value| value.value.as_ref()) {
        None => Value::Null,
        Some(Kind::Text(text)) => Value::String(text.clone()),
        Some(Kind::Number(text)) => Value::Number(number(text)?),
        Some(Kind::Boolean(boolean)) => Value::Bool(*boolean),
        Some(Kind::List(list)) => list
            .values
            .iter()
            .map(|item| to_json_within(Some(item), left))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        Some(Kind::Object(object)) => {
            let mut map = Map::new();
            for field in &object.fields {
                let value = to_json_within(field.value.as_ref(), left)?;
                insert(&mut map, &field.name, value)?;
            }
            Value::Object(map)
        }
    })
}

/// A JSON number from its decimal text: only if it would be written by the same digits again,
/// so that what is exported is what was signed.
pub(super) fn number(text: &str) -> Result<Number, String> {
    let number = parse_number(text).ok_or_else(|| format!("{text:?} is not a JSON number"))?;
    if number.to_string() == text {
        return Ok(number);
    }
    Err(format!("{text:?} would be written as {number}"))
}

/// The number that is nearest to the decimal text. Not by `serde_json`, whose own reading of a
/// long fraction may be off in the last place.
pub(super) fn parse_number(text: &str) -> Option<Number> {
    if let Ok(natural) = text.parse::<u64>() {
        return Some(natural.into());
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(integer.into());
    }
    text.parse().ok().and_then(Number::from_f64)
}

/// Adds a member; a second one of the same name would hide the first from most readers.
pub(super) fn insert(map: &mut Map<String, Value>, name: &str, value: Value) -> Result<(), String> {
    if map.contains_key(name) {
        return Err(format!("{name:?} would stand there twice"));
    }
    map.insert(name.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn round(value: &Value) -> Result<Value, String> {
        to_json(Some(&from_json(value)))
    }

    #[test]
    fn given_numbers_and_texts_that_look_alike_when_kept_then_they_stay_what_they_are() {
        let value = json!({"a": "23.0", "b": 23.0, "c": 23, "d": -477979.89, "e": [true, null]});
        assert_eq!(round(&value).unwrap().to_string(), value.to_string());
    }

    #[test]
    fn given_a_number_that_json_would_rewrite_when_exported_then_it_is_refused() {
        for text in ["1.50", "01", "", "NaN", "1e999", "0x1", " 1"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn given_a_tree_at_the_limit_when_checked_then_one_level_more_is_refused() {
        let nested = |levels| (1..levels).fold(json!("leaf"), |inner, _| json!({ "ext:a": inner }));
        let event = |value: Value| Map::from_iter([("ext:a".to_owned(), value)]);
        assert_eq!(check_limits(&event(nested(MAX_DEPTH))), Ok(()));
        assert!(round(&nested(MAX_DEPTH)).is_ok());
        assert!(check_limits(&event(nested(MAX_DEPTH + 1))).is_err());
        assert!(round(&nested(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn given_a_text_at_the_limit_when_checked_then_one_byte_more_is_refused() {
        let event = |bytes| Map::from_iter([("ext:a".to_owned(), json!(["x".repeat(bytes)]))]);
        assert_eq!(check_limits(&event(MAX_TEXT_BYTES)), Ok(()));
        assert!(check_limits(&event(MAX_TEXT_BYTES + 1)).is_err());
    }

    fn any_tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,8}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn given_any_tree_when_kept_and_given_back_then_it_is_the_same(tree in any_tree()) {
            prop_assert_eq!(round(&tree), Ok(tree));
        }
    }
}
