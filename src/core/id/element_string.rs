//! GS1 element strings in their human-readable form: `(01)09521141012345(21)2017`.
//!
//! GS1 General Specifications 4.14 (human readable interpretation). A bracket that belongs
//! to a value and could be taken for an application identifier is written `\(`, as in the
//! GS1 barcode syntax. Application identifiers that identify nothing here (expiry, weight)
//! are skipped: a medicine pack always carries some.

use super::UnitId;
use super::error::{IdError, IdRule};
use super::gln::LocationId;
use super::gtin::{Serial, Sgtin};

const FIELD: &str = "element string";
const STANDARD: &str = "GS1 General Specifications 4.14";

/// Reads the unit that an element string names.
pub(super) fn parse_unit(text: &str) -> Result<UnitId, IdError> {
    let elements = parse(text)?;
    match (find(&elements, "00"), find(&elements, "01")) {
        (Some(sscc), None) => Ok(UnitId::Sscc(sscc.parse()?)),
        (None, Some(gtin)) => {
            let gtin = gtin.parse()?;
            let serial =
                find(&elements, "21").ok_or_else(|| refuse(IdRule::Missing("serial, AI (21)")))?;
            let serial = Serial::new(serial)?;
            Ok(UnitId::Sgtin(Sgtin { gtin, serial }))
        }
        (Some(_), Some(_)) => Err(refuse(IdRule::unexpected("(00) beside (01)"))),
        (None, None) => Err(refuse(IdRule::Missing("key, AI (01) or (00)"))),
    }
}

/// Reads the place that an element string names.
pub(super) fn parse_location(text: &str) -> Result<LocationId, IdError> {
    let elements = parse(text)?;
    let gln = find(&elements, "414")
        .ok_or_else(|| refuse(IdRule::Missing("location, AI (414)")))?
        .parse()?;
    LocationId::new(gln, find(&elements, "254"))
}

fn refuse(rule: IdRule) -> IdError {
    IdError::new(FIELD, rule, STANDARD)
}

fn find<'e>(elements: &'e [(&str, String)], ai: &str) -> Option<&'e str> {
    elements
        .iter()
        .find(|(name, _)| *name == ai)
        .map(|(_, value)| value.as_str())
}

/// Cuts the text into application identifiers and values; none may come twice.
fn parse(text: &str) -> Result<Vec<(&str, String)>, IdError> {
    let mut elements: Vec<(&str, String)> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((ai, after)) = split_ai(rest) {
            if find(&elements, ai).is_some() {
                return Err(refuse(IdRule::unexpected(&format!("a second ({ai})"))));
            }
            elements.push((ai, String::new()));
            rest = after;
            continue;
        }
        let Some((_, value)) = elements.last_mut() else {
            return Err(refuse(IdRule::StartsWith("an AI such as (01)")));
        };
        let unescaped = rest.strip_prefix('\\').filter(|r| r.starts_with('('));
        let mut chars = unescaped.unwrap_or(rest).chars();
        value.extend(chars.next());
        rest = chars.as_str();
    }
    Ok(elements)
}

/// `(21)...` as `21` and what follows: an application identifier has 2 to 4 digits.
fn split_ai(text: &str) -> Option<(&str, &str)> {
    let (ai, rest) = text.strip_prefix('(')?.split_once(')')?;
    let is_ai = (2..=4).contains(&ai.len()) && ai.bytes().all(|b| b.is_ascii_digit());
    is_ai.then_some((ai, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_element_strings_when_read_then_they_name_the_unit() {
        for (text, canonical) in [
            ("(01)09521141012345(21)2017", "01/09521141012345/21/2017"),
            (
                "(01)09521141012345(17)261231(10)L1(21)A(b)",
                "01/09521141012345/21/A(b)",
            ),
            (
                "(01)09521141012345(21)a\\(10)b",
                "01/09521141012345/21/a(10)b",
            ),
            ("(00)106141412345678908", "00/106141412345678908"),
        ] {
            assert_eq!(parse_unit(text).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn given_strings_that_name_no_unit_when_read_then_they_are_refused() {
        for text in [
            "(01)09521141012345",
            "(01)6901234567892(21)1",
            "(01)09521141012345(21)",
            "(01)09521141012345(21)1(21)2",
            "(00)106141412345678908(01)09521141012345(21)1",
            "(21)1",
            "()",
            "(",
            "(\u{e9}1)x",
        ] {
            assert!(parse_unit(text).is_err(), "{text}");
        }
    }
}
