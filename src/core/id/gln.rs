//! Where something happens, and who a party is to GS1: the Global Location Number, with or
//! without an extension for a place inside it.
//!
//! GS1 General Specifications, section 3: AI (414), location, and AI (254), its extension;
//! check digit in 7.9. The canonical text is the path of the GS1 Digital Link.

use std::fmt;
use std::str::FromStr;

use super::codec::{debug_as_text, serde_as_text_or_compact, serde_as_text_or_u64};
use super::error::{IdError, IdRule};
use super::gtin::{CHECK_DIGIT, GlnExtension, verify_check_digit, verify_digits};
use super::text::{Inline, be_u64, parse_digits};
use super::{MAX_INPUT_BYTES, digital_link, element_string, epc};

/// Bytes of a location number in a compact form: 10^13 is below 2^48.
pub(super) const GLN_BYTES: usize = 6;

/// A GLN: 13 digits with a right check digit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gln(u64);

impl Gln {
    /// From the number that the 13 digits are.
    ///
    /// # Errors
    /// More than 13 digits, or a wrong check digit.
    pub fn from_u64(number: u64) -> Result<Self, IdError> {
        verify_digits("gln", number, 13, 10_000_000_000_000)?;
        verify_check_digit("gln", number).map(Self)
    }

    /// The number that the 13 digits are; below 10^13.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Six bytes, big-endian.
    pub(super) fn to_be_bytes(self) -> [u8; GLN_BYTES] {
        let [_, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    /// From six bytes, big-endian.
    pub(super) fn from_be_bytes(bytes: &[u8; GLN_BYTES]) -> Result<Self, IdError> {
        Self::from_u64(be_u64(bytes))
    }
}

impl FromStr for Gln {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let number = parse_digits("gln", text, &[13], CHECK_DIGIT)?;
        verify_check_digit("gln", number).map(Self)
    }
}

impl fmt::Display for Gln {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Inline::<13>::of_digits(self.0), f)
    }
}

/// A place: a location number, and perhaps a part of that location.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocationId {
    gln: Gln,
    extension: Option<GlnExtension>,
}

impl LocationId {
    /// The whole location.
    #[must_use]
    pub const fn whole(gln: Gln) -> Self {
        Self {
            gln,
            extension: None,
        }
    }

    /// A part of the location. The extension `0` means none (EPC Tag Data Standard 6.3.3),
    /// so it gives the whole location: one place has one name.
    ///
    /// # Errors
    /// An extension that is empty, longer than 20 characters, or not of GS1 set 82.
    pub fn new(gln: Gln, extension: Option<&str>) -> Result<Self, IdError> {
        let extension = match extension {
            None | Some("0") => None,
            Some(text) => Some(GlnExtension::new(text)?),
        };
        Ok(Self { gln, extension })
    }

    /// The location number.
    #[must_use]
    pub const fn gln(&self) -> Gln {
        self.gln
    }

    /// The part of the location, where one is named; never `0`.
    #[must_use]
    pub fn extension(&self) -> Option<&str> {
        self.extension.as_ref().map(GlnExtension::as_str)
    }

    /// Reads canonical text, `urn:epc:id:sgln:`, a GS1 Digital Link with AI 414, a bracketed
    /// element string, or the 13 digits alone. Blanks around it are ignored.
    ///
    /// # Errors
    /// None of these forms, or a part of it that is wrong.
    pub fn parse_any(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        if text.len() > MAX_INPUT_BYTES {
            return Err(IdError::new("location", IdRule::Unrecognised, ""));
        }
        if epc::is_urn(text) {
            return epc::parse_sgln_urn(text).map(|(location, _)| location);
        }
        if digital_link::is_link(text) {
            return digital_link::parse_location(text);
        }
        if text.starts_with('(') {
            return element_string::parse_location(text);
        }
        if text.starts_with("414/") {
            return text.parse();
        }
        text.parse().map(Self::whole)
    }

    /// The EPC pure identity URN, by the length of the company prefix.
    ///
    /// # Errors
    /// A prefix length outside 6 to 12.
    pub fn to_sgln_urn(&self, company_prefix_len: u8) -> Result<String, IdError> {
        epc::sgln_urn(self, company_prefix_len)
    }

    /// The GS1 Digital Link at `resolver` (`https://id.example.org`).
    #[must_use]
    pub fn to_digital_link(&self, resolver: &str) -> String {
        digital_link::of_location(self, resolver)
    }

    /// At most 26 bytes: the location number in six, then the extension as it is.
    #[must_use]
    pub fn to_compact(&self) -> Vec<u8> {
        let mut bytes = self.gln.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.extension().unwrap_or_default().as_bytes());
        bytes
    }

    /// Reads what [`LocationId::to_compact`] writes, and nothing else.
    ///
    /// # Errors
    /// Too short, a wrong number or extension, or another form of a right one.
    pub fn from_compact(bytes: &[u8]) -> Result<Self, IdError> {
        let refuse = |rule| IdError::new("compact location", rule, "");
        let (gln, extension) = bytes
            .split_first_chunk::<GLN_BYTES>()
            .ok_or_else(|| refuse(IdRule::Missing("location number of 6 bytes")))?;
        let extension = std::str::from_utf8(extension).map_err(|_| refuse(IdRule::NotCanonical))?;
        let location = Self::new(
            Gln::from_be_bytes(gln)?,
            (!extension.is_empty()).then_some(extension),
        )?;
        if location.to_compact() != bytes {
            return Err(refuse(IdRule::NotCanonical));
        }
        Ok(location)
    }
}

impl fmt::Display for LocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "414/{}", self.gln)?;
        match &self.extension {
            None => Ok(()),
            Some(extension) => write!(f, "/254/{extension}"),
        }
    }
}

impl FromStr for LocationId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let rest = text.strip_prefix("414/").ok_or(IdError::new(
            "location",
            IdRule::StartsWith("414/"),
            "",
        ))?;
        let (gln, extension) = match rest.split_once("/254/") {
            None => (rest, None),
            Some((gln, extension)) => (gln, Some(extension)),
        };
        let location = Self::new(gln.parse()?, extension)?;
        // An extension of 0 was dropped: the same place, but not its one name.
        if location.extension() != extension {
            return Err(IdError::new("location", IdRule::NotCanonical, ""));
        }
        Ok(location)
    }
}

debug_as_text!(Gln, LocationId);
serde_as_text_or_u64!(Gln);
serde_as_text_or_compact!(LocationId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::gtin::gs1_check_digit;
    use super::*;

    #[test]
    fn given_every_written_form_when_parsed_then_it_is_the_same_place() {
        let place: LocationId = "414/0614141073467/254/1234".parse().unwrap();
        for text in [
            "urn:epc:id:sgln:0614141.07346.1234",
            "https://id.gs1.org/414/0614141073467/254/1234",
            "https://example.org/shop/414/0614141073467/254/1234?a=b",
            "(414)0614141073467(254)1234",
            " 414/0614141073467/254/1234 ",
        ] {
            assert_eq!(LocationId::parse_any(text), Ok(place), "{text}");
        }
        assert_eq!(
            place.to_sgln_urn(7).unwrap(),
            "urn:epc:id:sgln:0614141.07346.1234"
        );
    }

    #[test]
    fn given_the_extension_zero_when_parsed_then_it_is_the_whole_location() {
        let whole = LocationId::parse_any("0614141073467").unwrap();
        let read = LocationId::parse_any("urn:epc:id:sgln:0614141.07346.0").unwrap();
        assert_eq!(read, whole);
        assert_eq!(read.to_string(), "414/0614141073467");
        assert_eq!(
            read.to_sgln_urn(7).unwrap(),
            "urn:epc:id:sgln:0614141.07346.0"
        );
        assert!("414/0614141073467/254/0".parse::<LocationId>().is_err());
    }

    proptest! {
        #[test]
        fn every_form_of_a_place_reads_back(body in 0u64..1_000_000_000_000, extension in proptest::option::of("[!%-?A-Z_a-z]{1,20}"), len in 6u8..=12) {
            let gln = Gln::from_u64(body * 10 + u64::from(gs1_check_digit(body))).unwrap();
            let place = LocationId::new(gln, extension.as_deref()).unwrap();
            prop_assert_eq!(place.to_string().parse(), Ok(place));
            prop_assert_eq!(LocationId::parse_any(&place.to_string()), Ok(place));
            prop_assert_eq!(LocationId::from_compact(&place.to_compact()), Ok(place));
            let urn = place.to_sgln_urn(len).unwrap();
            prop_assert_eq!(epc::parse_sgln_urn(&urn), Ok((place, len)));
            prop_assert_eq!(LocationId::parse_any(&place.to_digital_link("https://e.cn")), Ok(place));
        }
    }
}
