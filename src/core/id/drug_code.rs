//! The drug traceability code that stands on every pack of medicine sold in China.
//!
//! NMPA standard NMPAB/T 1002-2019: 20 digits that begin with 8. The first 7 are the drug
//! identification code (medicine, strength and pack), 9 more are the serial, and the last 4
//! are a check that is encrypted: only the code's issuer can verify it, so nothing here does.

use std::fmt;
use std::str::FromStr;

use super::codec::{debug_as_text, serde_as_text, serde_as_text_or_compact};
use super::error::{IdError, IdRule};
use super::text::{DIGITS, TextRule, parse_digits};

const STANDARD: &str = "NMPAB/T 1002-2019";
/// Ten to the power of the digits that follow the drug identification code.
const TAIL: u64 = 10_000_000_000_000;
/// Bytes of the compact form: 10^20 is below 2^72.
pub(super) const DRUG_CODE_BYTES: usize = 9;

/// A drug identification code: 7 digits, the first of a drug traceability code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrugId(u32);

impl FromStr for DrugId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        const FIELD: &str = "drug identification code";
        let number = parse_digits(FIELD, text, &[7], STANDARD)?;
        if !text.starts_with('8') {
            return Err(IdError::new(FIELD, IdRule::StartsWith("8"), STANDARD));
        }
        // Seven digits fit 32 bits.
        Ok(Self(number as u32))
    }
}

impl fmt::Display for DrugId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:07}", self.0)
    }
}

/// A drug traceability code: 20 digits that begin with 8.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrugCode {
    drug_id: DrugId,
    /// Serial and encrypted check, 13 digits: kept together, since neither means anything
    /// without the other.
    tail: u64,
}

impl DrugCode {
    /// Which medicine, strength and pack it is.
    #[must_use]
    pub const fn drug_id(&self) -> DrugId {
        self.drug_id
    }

    /// Nine bytes: the number that the 20 digits are, big-endian.
    #[must_use]
    pub fn to_compact(&self) -> [u8; DRUG_CODE_BYTES] {
        let number = u128::from(self.drug_id.0) * u128::from(TAIL) + u128::from(self.tail);
        let [_, _, _, _, _, _, _, bytes @ ..] = number.to_be_bytes();
        bytes
    }

    /// Reads what [`DrugCode::to_compact`] writes, and nothing else.
    ///
    /// # Errors
    /// Not nine bytes, or a number that is not 20 digits beginning with 8.
    pub fn from_compact(bytes: &[u8]) -> Result<Self, IdError> {
        let refuse = |rule| Err(IdError::new("drug code", rule, STANDARD));
        if bytes.len() != DRUG_CODE_BYTES {
            return refuse(IdRule::NotCanonical);
        }
        let number = bytes
            .iter()
            .fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
        number.to_string().parse()
    }
}

impl FromStr for DrugCode {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        const RULE: TextRule = TextRule {
            field: "drug code",
            min: 20,
            max: 20,
            charset: DIGITS,
            standard: STANDARD,
        };
        RULE.check(text)?;
        if !text.starts_with('8') {
            return Err(RULE.error(IdRule::StartsWith("8")));
        }
        // 20 ASCII digits were checked, so the cut falls between characters.
        let (drug_id, tail) = text.split_at(7);
        Ok(Self {
            drug_id: drug_id.parse()?,
            tail: parse_digits("drug code", tail, &[13], STANDARD)?,
        })
    }
}

impl fmt::Display for DrugCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:013}", self.drug_id, self.tail)
    }
}

debug_as_text!(DrugId, DrugCode);
serde_as_text!(DrugId);
serde_as_text_or_compact!(DrugCode);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn given_a_drug_code_when_parsed_then_its_first_seven_digits_are_the_drug() {
        let code: DrugCode = "81234567890123456789".parse().unwrap();
        assert_eq!(code.drug_id().to_string(), "8123456");
        assert_eq!(code.to_string(), "81234567890123456789");
    }

    #[test]
    fn given_other_digits_when_parsed_then_the_rule_is_named() {
        for (text, message) in [
            (
                "71234567890123456789",
                "drug code: must start with 8 (NMPAB/T 1002-2019)",
            ),
            (
                "8123456789012345678",
                "drug code: has 19 characters, expected 20 (NMPAB/T 1002-2019)",
            ),
            (
                "8123456789012345678X",
                "drug code: character 20 is 'X', expected a digit (NMPAB/T 1002-2019)",
            ),
        ] {
            assert_eq!(text.parse::<DrugCode>().unwrap_err().to_string(), message);
        }
        assert!(DrugCode::from_compact(&[0; 9]).is_err());
        assert!(DrugCode::from_compact(&[255; 9]).is_err());
        assert!(DrugCode::from_compact(&[4; 8]).is_err());
    }

    proptest! {
        #[test]
        fn text_and_compact_forms_read_back(text in "8[0-9]{19}") {
            let code: DrugCode = text.parse().unwrap();
            prop_assert_eq!(code.to_string(), text);
            prop_assert_eq!(DrugCode::from_compact(&code.to_compact()), Ok(code));
        }
    }
}
