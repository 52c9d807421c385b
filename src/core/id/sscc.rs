//! The Serial Shipping Container Code: one logistic unit, a parcel, case or pallet.
//!
//! GS1 General Specifications, section 3 (AI 00): 18 digits, the last the check digit (7.9).

use std::fmt;
use std::str::FromStr;

use super::codec::{debug_as_text, serde_as_text_or_u64};
use super::error::IdError;
use super::gtin::{CHECK_DIGIT, verify_check_digit, verify_digits};
use super::text::{Inline, parse_digits};

/// An SSCC: 18 digits with a right check digit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sscc(u64);

impl Sscc {
    /// From the number that the 18 digits are.
    ///
    /// # Errors
    /// More than 18 digits, or a wrong check digit.
    pub fn from_u64(number: u64) -> Result<Self, IdError> {
        verify_digits("sscc", number, 18, 1_000_000_000_000_000_000)?;
        verify_check_digit("sscc", number).map(Self)
    }

    /// The number that the 18 digits are; below 10^18.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl FromStr for Sscc {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let number = parse_digits("sscc", text, &[18], CHECK_DIGIT)?;
        verify_check_digit("sscc", number).map(Self)
    }
}

impl fmt::Display for Sscc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Inline::<18>::of_digits(self.0), f)
    }
}

debug_as_text!(Sscc);
serde_as_text_or_u64!(Sscc);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_the_example_of_the_standard_when_parsed_then_it_holds() {
        let sscc: Sscc = "106141412345678908".parse().unwrap();
        assert_eq!(sscc.to_string(), "106141412345678908");
        assert_eq!(Sscc::from_u64(sscc.as_u64()), Ok(sscc));
    }

    #[test]
    fn given_a_misread_digit_when_parsed_then_the_check_digit_tells() {
        let error = "106141412345678909".parse::<Sscc>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "sscc: check digit is 9, expected 8 (GS1 General Specifications 7.9)"
        );
        assert!("10614141234567890".parse::<Sscc>().is_err());
        assert!(Sscc::from_u64(u64::MAX).is_err());
    }
}
