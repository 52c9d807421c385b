//! What is made: the Global Trade Item Number, its serial and lot, and the company prefix
//! that says whose it is.
//!
//! GS1 General Specifications: section 3 for the GTIN (AI 01), the lot (AI 10) and the serial
//! (AI 21), 7.9 for the check digit, figure 7.11-1 for the character set.

use std::fmt;
use std::str::FromStr;

use super::codec::{debug_as_text, serde_as_text, serde_as_text_or_u64};
use super::error::{IdError, IdRule};
use super::gln::Gln;
use super::sscc::Sscc;
use super::text::{CHARSET_82, DIGITS, GS1_82, Inline, TextRule, digit_char, parse_digits};

pub(super) const CHECK_DIGIT: &str = "GS1 General Specifications 7.9";

/// The GS1 check digit of the digits before it: weights 3 and 1 in turn from the right, so
/// that zeros on the left change nothing and one rule serves every GS1 key.
#[must_use]
pub const fn gs1_check_digit(body: u64) -> u8 {
    // Two digits at a time: every unit that a record names is checked.
    let (mut rest, mut sum) = (body, 0);
    while rest > 0 {
        let pair = rest % 100;
        rest /= 100;
        sum += pair % 10 * 3 + pair / 10;
    }
    // The remainder is below 10.
    ((10 - sum % 10) % 10) as u8
}

/// Refuses a key whose last digit is not the check digit of the others.
pub(super) fn verify_check_digit(field: &'static str, number: u64) -> Result<u64, IdError> {
    let (found, expected) = ((number % 10) as u8, gs1_check_digit(number / 10));
    if found == expected {
        return Ok(number);
    }
    let rule = IdRule::CheckDigit {
        found: digit_char(found),
        expected: digit_char(expected),
    };
    Err(IdError::new(field, rule, CHECK_DIGIT))
}

/// Refuses a number that has more than `digits` digits; `limit` is 10 to the power of that.
pub(super) fn verify_digits(
    field: &'static str,
    number: u64,
    digits: usize,
    limit: u64,
) -> Result<(), IdError> {
    if number < limit {
        return Ok(());
    }
    let rule = IdRule::Length {
        min: digits,
        max: digits,
        found: number.to_string().len(),
    };
    Err(IdError::new(field, rule, CHECK_DIGIT))
}

/// A Global Trade Item Number in its 14-digit form, with a right check digit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gtin14(u64);

impl Gtin14 {
    /// Reads a GTIN-8, -12, -13 or -14 and fills it up with zeros on the left.
    ///
    /// # Errors
    /// Another length, a character that is not a digit, or a wrong check digit.
    pub fn parse_any(text: &str) -> Result<Self, IdError> {
        let number = parse_digits("gtin", text, &[8, 12, 13, 14], CHECK_DIGIT)?;
        verify_check_digit("gtin", number).map(Self)
    }

    /// From the number that the 14 digits are.
    ///
    /// # Errors
    /// More than 14 digits, or a wrong check digit.
    pub fn from_u64(number: u64) -> Result<Self, IdError> {
        verify_digits("gtin", number, 14, 100_000_000_000_000)?;
        verify_check_digit("gtin", number).map(Self)
    }

    /// The number that the 14 digits are; below 10^14.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl FromStr for Gtin14 {
    type Err = IdError;

    /// Exactly the 14 digits; [`Gtin14::parse_any`] reads the shorter forms.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let number = parse_digits("gtin", text, &[14], CHECK_DIGIT)?;
        verify_check_digit("gtin", number).map(Self)
    }
}

impl fmt::Display for Gtin14 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Inline::<14>::of_digits(self.0), f)
    }
}

serde_as_text_or_u64!(Gtin14);

/// A type of text of AI encodable character set 82, 1 to 20 characters.
macro_rules! text_82 {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Inline<20>);

        impl $name {
            const RULE: TextRule = TextRule {
                field: $field,
                min: 1,
                max: 20,
                charset: GS1_82,
                standard: CHARSET_82,
            };

            /// Checks the text.
            ///
            /// # Errors
            /// Empty, longer than 20 characters, or a character outside set 82.
            pub fn new(text: &str) -> Result<Self, IdError> {
                Inline::new(&Self::RULE, text).map(Self)
            }

            /// The text, 1 to 20 ASCII characters. Case counts.
            #[must_use]
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

text_82!(
    /// A serial number (AI 21): tells one item of a GTIN from all others.
    Serial,
    "serial"
);
text_82!(
    /// A batch or lot number (AI 10): what a recall names.
    Lot,
    "lot"
);
text_82!(
    /// A consumer product variant (AI 22). Read so that a link that carries one is
    /// understood; it identifies no item.
    Variant,
    "variant"
);
text_82!(
    /// The extension of a location number (AI 254): a dock, a shelf, a counter.
    GlnExtension,
    "location extension"
);

impl Serial {
    /// A number in decimal: at most 20 digits.
    pub(super) fn of_number(number: u64) -> Self {
        Self(Inline::of_number(number))
    }
}

/// One serialised item: GTIN and serial. Copied, never shared: 32 bytes without a heap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sgtin {
    /// What it is.
    pub gtin: Gtin14,
    /// Which one it is.
    pub serial: Serial,
}

impl fmt::Display for Sgtin {
    /// `01/{gtin}/21/{serial}`, the serial raw: it comes last, so nothing is ambiguous.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In one piece: whoever makes a text of it allocates once.
        let gtin = Inline::<14>::of_digits(self.gtin.0);
        let parts = [b"01/", gtin.as_bytes(), b"/21/", self.serial.0.as_bytes()];
        fmt::Display::fmt(&Inline::<41>::of_parts(&parts), f)
    }
}

impl FromStr for Sgtin {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let missing = |what| IdError::new("sgtin", IdRule::Missing(what), "");
        let rest = text
            .strip_prefix("01/")
            .ok_or_else(|| missing("GTIN (01/...)"))?;
        // Where it is in its place it need not be looked for.
        let in_place = rest.split_at_checked(14).and_then(|(gtin, serial)| {
            let serial = serial.strip_prefix("/21/")?;
            Some((gtin, serial))
        });
        let (gtin, serial) = in_place
            .or_else(|| rest.split_once("/21/"))
            .ok_or_else(|| missing("serial (/21/...)"))?;
        Ok(Self {
            gtin: gtin.parse()?,
            serial: serial.parse()?,
        })
    }
}

/// A GS1 company prefix, 4 to 12 digits, not all zero: proof of who may use a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompanyPrefix(Inline<12>);

impl CompanyPrefix {
    const RULE: TextRule = TextRule {
        field: "company prefix",
        min: 4,
        max: 12,
        charset: DIGITS,
        standard: "GS1 General Specifications, GS1 Company Prefix",
    };

    /// Checks the digits.
    ///
    /// # Errors
    /// Fewer than 4 or more than 12 characters, one that is not a digit, or all zeros: that
    /// would claim every GTIN-8 there is.
    pub fn new(text: &str) -> Result<Self, IdError> {
        let digits = Inline::new(&Self::RULE, text)?;
        if text.bytes().all(|digit| digit == b'0') {
            return Err(Self::RULE.error(IdRule::AllZero));
        }
        Ok(Self(digits))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the GTIN is out of this prefix's range. The first of the 14 digits is the
    /// packaging indicator and says nothing about the owner.
    #[must_use]
    pub fn owns(&self, gtin: &Gtin14) -> bool {
        let after_indicator = gtin.as_u64() % 10_000_000_000_000;
        self.starts(after_indicator, 13)
    }

    /// Whether the SSCC is out of this prefix's range; its first digit is an extension.
    #[must_use]
    pub fn owns_sscc(&self, sscc: &Sscc) -> bool {
        let after_extension = sscc.as_u64() % 100_000_000_000_000_000;
        self.starts(after_extension, 17)
    }

    /// Whether the location number is out of this prefix's range.
    #[must_use]
    pub fn owns_gln(&self, gln: &Gln) -> bool {
        self.starts(gln.as_u64(), 13)
    }

    fn starts(&self, number: u64, width: usize) -> bool {
        format!("{number:0width$}").starts_with(self.as_str())
    }
}

impl FromStr for CompanyPrefix {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl fmt::Display for CompanyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

debug_as_text!(
    Gtin14,
    Serial,
    Lot,
    Variant,
    GlnExtension,
    Sgtin,
    CompanyPrefix
);
serde_as_text!(Serial, Lot, Variant, GlnExtension, Sgtin, CompanyPrefix);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn given_published_numbers_when_parsed_then_their_check_digits_hold() {
        for (text, canonical) in [
            ("09521141012345", "09521141012345"),
            ("80614141123458", "80614141123458"),
            ("6901234567892", "06901234567892"),
            ("614141007349", "00614141007349"),
            ("96385074", "00000096385074"),
        ] {
            assert_eq!(Gtin14::parse_any(text).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn given_a_wrong_check_digit_when_parsed_then_the_right_one_is_told() {
        let error = Gtin14::parse_any("6901234567893").unwrap_err();
        assert_eq!(
            error.to_string(),
            "gtin: check digit is 3, expected 2 (GS1 General Specifications 7.9)"
        );
    }

    #[test]
    fn given_other_forms_when_parsed_strictly_then_they_are_refused() {
        for text in ["", "6901234567892", " 06901234567892", "0690123456789A"] {
            assert!(text.parse::<Gtin14>().is_err());
        }
        assert!(Gtin14::from_u64(100_000_000_000_007).is_err());
    }

    #[test]
    fn given_a_prefix_when_asked_then_it_owns_its_own_range_only() {
        let prefix = CompanyPrefix::new("0614141").unwrap();
        assert!(prefix.owns(&"80614141123458".parse().unwrap()));
        assert!(!prefix.owns(&"06901234567892".parse().unwrap()));
        assert!(prefix.owns_sscc(&"106141412345678908".parse().unwrap()));
        assert!(prefix.owns_gln(&"0614141073467".parse().unwrap()));
        for bad in ["061", "0614141012345", "06I4141", "0000"] {
            assert!(CompanyPrefix::new(bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_single_digit_change_of_a_gtin_is_refused(body in 0u64..10_000_000_000_000, at in 0usize..14, by in 1u8..10) {
            let number = body * 10 + u64::from(gs1_check_digit(body));
            let mut text = format!("{number:014}").into_bytes();
            text[at] = b'0' + (text[at] - b'0' + by) % 10;
            let changed = String::from_utf8(text).unwrap();
            prop_assert!(changed.parse::<Gtin14>().is_err());
        }

        #[test]
        fn serials_compare_as_their_text(a in "[!%-?A-Z_a-z]{1,20}", b in "[!%-?A-Z_a-z]{1,20}") {
            let (x, y) = (Serial::new(&a).unwrap(), Serial::new(&b).unwrap());
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x.as_str(), a);
        }
    }
}
