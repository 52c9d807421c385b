//! JSON in which every name stands once in its object.
//!
//! RFC 8259 section 4 leaves open what two members of one name mean: one reader takes the first,
//! another the last. A document that says two things at once could show one of them to the
//! partner and have the other one signed, so here it is an error (RFC 7493 section 2.3).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a JSON text. Nesting is bounded by `serde_json`, at 128 levels.
pub(super) fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(bytes).map(|Strict(value)| value)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, boolean: bool) -> Result<Value, E> {
        Ok(boolean.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "{name:?} stands there twice"
                )));
            }
            let Strict(value) = members.next_value()?;
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_json_when_read_then_it_is_what_everybody_reads() {
        for text in [
            r#"{"a":[1,-1,1.5,"x\n",true,null],"b":{"a":{}}}"#,
            r#""text""#,
            "18446744073709551615",
            "1e300",
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            assert_eq!(read(text.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn given_a_name_twice_in_one_object_when_read_then_it_is_refused() {
        for text in [
            r#"{"action":"ADD","action":"DELETE"}"#,
            r#"[{"a":{"b":1,"\u0062":1}}]"#,
        ] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("stands there twice"), "{error}");
        }
    }

    #[test]
    fn given_endless_nesting_when_read_then_it_is_refused_and_not_followed() {
        assert!(read(&[b'['; 100_000]).is_err());
    }
}
