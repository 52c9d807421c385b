//! What is traced, where, and by whom: identifiers, checked once at the edge.
//!
//! Inside the ledger an identifier that exists is valid, because only checking constructors
//! make one. Each has one canonical text, which is what gets signed, stored and compared;
//! [`UnitId::parse_any`] reads the many forms that scanners and events deliver and yields
//! that one. Whatever cannot be read is an input error, never a finding.
//!
//! | module | standard |
//! |---|---|
//! | [`gtin`], [`sscc`], [`gln`] | GS1 General Specifications |
//! | [`digital_link`] | GS1 Digital Link URI Syntax |
//! | [`epc`] | EPC Tag Data Standard |
//! | [`drug_code`] | NMPAB/T 1002 (drug traceability code) |
//! | [`uscc`] | GB 32100 (Unified Social Credit Code) |
//! | [`waybill`] | UPU S10 and the carriers' own formats |

mod carrier_check;
mod carriers;
mod codec;
mod compact;
pub mod digital_link;
pub mod drug_code;
mod element_string;
pub mod epc;
mod error;
pub mod gln;
pub mod gtin;
pub mod party;
mod percent;
pub mod sscc;
mod text;
pub mod uscc;
pub mod waybill;

use std::fmt;
use std::str::FromStr;

pub use codec::{CompactBytes, MAX_COMPACT_BYTES};
pub use drug_code::{DrugCode, DrugId};
pub use error::{IdError, IdRule};
pub use gln::{Gln, LocationId};
pub use gtin::{CompanyPrefix, Gtin14, Lot, Serial, Sgtin, gs1_check_digit};
pub use party::PartyId;
pub use percent::escaped;
pub use sscc::Sscc;
pub(in crate::core) use text::Inline;
pub use uscc::Uscc;
pub use waybill::{Carrier, Waybill};

use codec::{debug_as_text, serde_as_text_or_compact};

/// Longest input that is read as an identifier, in bytes. The longest honest one is a link
/// with a long path and query; anything above is noise, refused before it costs anything.
pub const MAX_INPUT_BYTES: usize = 2048;

/// A unit: one item, or one logistic unit that contains others. Text and compact form are
/// both canonical, so two units are the same exactly when these are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitId {
    /// One serialised item: `01/09521141012345/21/2017`.
    Sgtin(Sgtin),
    /// One logistic unit: `00/106141412345678908`.
    Sscc(Sscc),
    /// One parcel, by its waybill: `waybill/sf:SF1234567890123`.
    Waybill(Waybill),
    /// One pack of medicine: `drug/81234567890123456789`.
    DrugCode(DrugCode),
}

impl UnitId {
    /// Reads any form in which a unit is written: canonical text, EPC URN, GS1 Digital Link,
    /// bracketed GS1 element string, a bare drug code of 20 digits, or `carrier:number`.
    /// Blanks around it are ignored. Letters of a serial keep their case.
    ///
    /// # Errors
    /// None of these forms, or longer than [`MAX_INPUT_BYTES`]; or the part of it that is
    /// wrong, and by which rule.
    pub fn parse_any(text: &str) -> Result<Self, IdError> {
        let text = text.trim();
        if text.len() > MAX_INPUT_BYTES {
            return Err(unrecognised());
        }
        if epc::is_urn(text) {
            return parse_urn(text);
        }
        if digital_link::is_link(text) {
            return digital_link::parse_unit(text).map(|(unit, _)| unit);
        }
        if text.starts_with('(') {
            return element_string::parse_unit(text);
        }
        if is_canonical_prefix(text) {
            return text.parse();
        }
        if text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self::DrugCode);
        }
        if text.contains(':') {
            return Waybill::parse_any(text).map(Self::Waybill);
        }
        Err(unrecognised())
    }

    /// The EPC pure identity URN, by the length of the company prefix.
    ///
    /// # Errors
    /// A prefix length outside 6 to 12, or a unit that has no URN (waybill, drug code).
    pub fn to_epc_urn(&self, company_prefix_len: u8) -> Result<String, IdError> {
        match self {
            Self::Sgtin(id) => epc::sgtin_urn(id, company_prefix_len),
            Self::Sscc(id) => epc::sscc_urn(id, company_prefix_len),
            Self::Waybill(_) | Self::DrugCode(_) => {
                let rule = IdRule::Missing("EPC URN: only an item or an SSCC has one");
                Err(IdError::new("unit", rule, ""))
            }
        }
    }

    /// The link of this unit at `resolver` (`https://id.example.org`): a GS1 Digital Link,
    /// or for a waybill or drug code a link of the same shape.
    #[must_use]
    pub fn to_digital_link(&self, resolver: &str) -> String {
        digital_link::of_unit(self, resolver)
    }

    /// The form that is stored: at most [`MAX_COMPACT_BYTES`], one for each unit. All items
    /// of one GTIN begin alike, so that they are found together.
    #[must_use]
    pub fn to_compact(&self) -> CompactBytes {
        compact::encode(self)
    }

    /// What the stored form of every item of a product begins with.
    #[must_use]
    pub fn compact_prefix(gtin: Gtin14) -> Vec<u8> {
        compact::items_of(gtin).to_vec()
    }

    /// Reads what [`UnitId::to_compact`] writes, and nothing else.
    ///
    /// # Errors
    /// An unknown tag, a length that does not fit, another form of the same unit, or
    /// content that its own rules refuse.
    pub fn from_compact(bytes: &[u8]) -> Result<Self, IdError> {
        compact::decode(bytes)
    }
}

fn unrecognised() -> IdError {
    IdError::new("code", IdRule::Unrecognised, "")
}

fn is_canonical_prefix(text: &str) -> bool {
    ["01/", "00/", "waybill/", "drug/"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
}

fn parse_urn(urn: &str) -> Result<UnitId, IdError> {
    // The scheme is the fourth part; which parts come before it is checked by the readers.
    match urn.split(':').nth(3) {
        Some("sgtin") => epc::parse_sgtin_urn(urn).map(|(id, _)| UnitId::Sgtin(id)),
        Some("sscc") => epc::parse_sscc_urn(urn).map(|(id, _)| UnitId::Sscc(id)),
        _ => Err(IdError::new(
            "URN",
            IdRule::StartsWith("urn:epc:id:sgtin: or urn:epc:id:sscc:"),
            "EPC Tag Data Standard 1.13, section 6.3",
        )),
    }
}

impl FromStr for UnitId {
    type Err = IdError;

    /// The canonical text, exactly; [`UnitId::parse_any`] reads the other forms.
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.starts_with("01/") {
            return text.parse().map(Self::Sgtin);
        }
        match text.split_once('/') {
            Some(("00", sscc)) => sscc.parse().map(Self::Sscc),
            Some(("waybill", waybill)) => waybill.parse().map(Self::Waybill),
            Some(("drug", code)) => code.parse().map(Self::DrugCode),
            _ => Err(IdError::new(
                "unit",
                IdRule::StartsWith("01/, 00/, waybill/ or drug/"),
                "",
            )),
        }
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sgtin(id) => fmt::Display::fmt(id, f),
            Self::Sscc(id) => write!(f, "00/{id}"),
            Self::Waybill(id) => write!(f, "waybill/{id}"),
            Self::DrugCode(id) => write!(f, "drug/{id}"),
        }
    }
}

macro_rules! unit_from {
    ($($id:ident),+) => {$(
        impl From<$id> for UnitId {
            fn from(id: $id) -> Self {
                Self::$id(id)
            }
        }
    )+};
}

unit_from!(Sgtin, Sscc, Waybill, DrugCode);
debug_as_text!(UnitId);
serde_as_text_or_compact!(UnitId);

#[cfg(test)]
mod tests;
