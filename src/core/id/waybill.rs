//! The number on a courier's waybill, with the carrier that issued it.
//!
//! Every carrier has its own numbers, so a number means something only beside its carrier.
//! Where the carrier's formats are public they are enforced (see `carriers`): most misread
//! digits are caught at the scanner, before they become somebody's suspicion.

use std::fmt;
use std::str::FromStr;

use super::carriers;
use super::codec::{debug_as_text, serde_as_text};
use super::error::{IdError, IdRule};
use super::text::{Charset, Inline, TextRule};

const CARRIER: TextRule = TextRule {
    field: "carrier",
    min: 2,
    max: 16,
    charset: Charset {
        allows: |b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'),
        words: "a small letter, a digit or _",
    },
    standard: "",
};

const NUMBER: TextRule = TextRule {
    field: "waybill number",
    min: 4,
    max: 40,
    charset: Charset {
        allows: |b| matches!(b, b'A'..=b'Z' | b'0'..=b'9'),
        words: "a capital letter or a digit",
    },
    standard: "",
};

/// A carrier, by the name that waybills give it: `sf`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Carrier(Inline<16>);

impl Carrier {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Carrier {
    type Err = IdError;

    /// 2 to 16 of `a-z`, `0-9`, `_`.
    fn from_str(text: &str) -> Result<Self, IdError> {
        Inline::new(&CARRIER, text).map(Self)
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

debug_as_text!(Carrier);
serde_as_text!(Carrier);

/// A waybill: carrier and number. Text: `sf:SF1234567890123`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Waybill {
    carrier: Inline<16>,
    number: Inline<40>,
}

impl Waybill {
    /// Checks a carrier (2 to 16 of `a-z`, `0-9`, `_`) and its number (4 to 40 of `0-9`,
    /// `A-Z`).
    ///
    /// # Errors
    /// A length or character outside these, or, for a carrier whose formats are known, a
    /// number of none of them or with a wrong check digit.
    pub fn new(carrier: &str, number: &str) -> Result<Self, IdError> {
        let waybill = Self {
            carrier: Inline::new(&CARRIER, carrier)?,
            number: Inline::new(&NUMBER, number)?,
        };
        carriers::check(carrier, number)?;
        Ok(waybill)
    }

    /// Reads `carrier:number` as people write it: capitals or not, with the blanks and
    /// hyphens that labels print between groups of digits.
    ///
    /// # Errors
    /// No colon, or as for [`Waybill::new`].
    pub fn parse_any(text: &str) -> Result<Self, IdError> {
        let (carrier, number) = split(text)?;
        Self::new_any(carrier, number)
    }

    /// As [`Waybill::parse_any`], where carrier and number come apart.
    ///
    /// # Errors
    /// As for [`Waybill::new`].
    pub fn new_any(carrier: &str, number: &str) -> Result<Self, IdError> {
        let carrier = carrier.trim().to_ascii_lowercase();
        let mut number: String = number
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .collect();
        number.make_ascii_uppercase();
        Self::new(&carrier, &number)
    }

    /// The carrier, such as `sf`.
    #[must_use]
    pub const fn carrier(&self) -> Carrier {
        Carrier(self.carrier)
    }

    /// The number, without blanks.
    #[must_use]
    pub fn number(&self) -> &str {
        self.number.as_str()
    }
}

fn split(text: &str) -> Result<(&str, &str), IdError> {
    text.split_once(':').ok_or(IdError::new(
        "waybill",
        IdRule::Missing("carrier (carrier:number)"),
        "",
    ))
}

impl FromStr for Waybill {
    type Err = IdError;

    /// Exactly `carrier:number`.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (carrier, number) = split(text)?;
        Self::new(carrier, number)
    }
}

impl fmt::Display for Waybill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.carrier, self.number)
    }
}

debug_as_text!(Waybill);
serde_as_text!(Waybill);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_a_number_as_printed_when_read_then_it_is_the_canonical_one() {
        for (text, canonical) in [
            ("SF: sf 1234-5678 90123", "sf:SF1234567890123"),
            ("ups:1z 5R893 903 5756 7127", "ups:1Z5R89390357567127"),
            ("ems:EA123456785CN", "ems:EA123456785CN"),
            ("ems:1012345678901", "ems:1012345678901"),
        ] {
            assert_eq!(Waybill::parse_any(text).unwrap().to_string(), canonical);
        }
        assert!("sf:sf1234567890123".parse::<Waybill>().is_err());
    }

    #[test]
    fn given_a_wrong_check_digit_when_read_then_the_right_one_is_told() {
        for (text, message) in [
            (
                "ups:1Z5R89390357567128",
                "waybill number: check digit is 8, expected 7 (number formats of the carrier)",
            ),
            (
                "ems:EA123456784CN",
                "waybill number: check digit is 4, expected 5 (number formats of the carrier)",
            ),
            (
                "ups:ABCDEFG",
                "waybill number: has none of the formats that carrier ups issues (number formats of the carrier)",
            ),
            ("x:1234", "carrier: has 1 characters, expected 2 to 16"),
            (
                "sf:1_34",
                "waybill number: character 2 is '_', expected a capital letter or a digit",
            ),
        ] {
            let found = Waybill::parse_any(text).unwrap_err().to_string();
            assert_eq!(found, message);
        }
    }

    #[test]
    fn given_a_carrier_without_public_rules_when_read_then_only_the_characters_count() {
        for text in ["yto:YT1234567890123", "new_carrier:ABCD"] {
            assert_eq!(text.parse::<Waybill>().unwrap().to_string(), text);
        }
    }
}
