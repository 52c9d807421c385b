//! Who a party is: a legal entity, by its Unified Social Credit Code or its GLN.
//!
//! The code is the entity's name in the registers of China (GB 32100-2015), the GLN its
//! name in GS1 systems elsewhere (GS1 General Specifications).

use std::fmt;
use std::str::FromStr;

use super::codec::{CompactBytes, debug_as_text, serde_as_text_or_compact};
use super::error::{IdError, IdRule};
use super::gln::{GLN_BYTES, Gln};
use super::uscc::{USCC_BYTES, Uscc};

/// Bytes of a party in storage where all parties take the same room: the longest compact form.
pub(in crate::core) const STORED_BYTES: usize = 1 + USCC_BYTES;
const TAG_USCC: u8 = 1;
const TAG_GLN: u8 = 2;

/// A legal entity. Text: `uscc:91350100M000100Y43` or `gln:0614141000005`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartyId {
    /// By its Unified Social Credit Code.
    Uscc(Uscc),
    /// By its Global Location Number.
    Gln(Gln),
}

impl PartyId {
    /// At most 13 bytes: a tag, then the code in twelve bytes or the GLN in six.
    #[must_use]
    pub fn to_compact(&self) -> CompactBytes {
        let mut out = CompactBytes::new();
        match self {
            Self::Uscc(code) => {
                out.push(&[TAG_USCC]);
                out.push(&code.to_be_bytes());
            }
            Self::Gln(gln) => {
                out.push(&[TAG_GLN]);
                out.push(&gln.to_be_bytes());
            }
        }
        out
    }

    /// Reads what [`PartyId::to_compact`] writes, and nothing else.
    ///
    /// # Errors
    /// An unknown tag, a wrong length, or a code or number that does not check.
    pub fn from_compact(bytes: &[u8]) -> Result<Self, IdError> {
        match Self::from_trusted(bytes)? {
            Self::Uscc(code) => code.as_str().parse().map(Self::Uscc),
            gln @ Self::Gln(_) => Ok(gln),
        }
    }

    /// The compact form with zeros behind it, so that all have one length.
    pub(in crate::core) fn to_stored(self) -> [u8; STORED_BYTES] {
        let mut stored = [0; STORED_BYTES];
        let compact = self.to_compact();
        stored[..compact.len()].copy_from_slice(&compact);
        stored
    }

    /// Reads what [`PartyId::to_stored`] writes, as [`PartyId::from_trusted`] does.
    pub(in crate::core) fn from_stored(stored: &[u8; STORED_BYTES]) -> Result<Self, IdError> {
        match stored {
            [TAG_GLN, ..] => Self::from_trusted(&stored[..=GLN_BYTES]),
            _ => Self::from_trusted(stored),
        }
    }

    /// Reads the compact form from storage: of a code whether it consists of characters of codes, but not whether its
    /// check characters are right.
    fn from_trusted(bytes: &[u8]) -> Result<Self, IdError> {
        let refuse = || IdError::new("compact party", IdRule::NotCanonical, "");
        match bytes {
            [TAG_USCC, code @ ..] => {
                let code = code.try_into().map_err(|_| refuse())?;
                Uscc::from_trusted(code).map(Self::Uscc).ok_or_else(refuse)
            }
            [TAG_GLN, gln @ ..] => {
                let gln: &[u8; GLN_BYTES] = gln.try_into().map_err(|_| refuse())?;
                Gln::from_be_bytes(gln).map(Self::Gln)
            }
            _ => Err(refuse()),
        }
    }
}

impl FromStr for PartyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once(':') {
            Some(("uscc", code)) => code.parse().map(Self::Uscc),
            Some(("gln", gln)) => gln.parse().map(Self::Gln),
            _ => Err(IdError::new(
                "party",
                IdRule::StartsWith("uscc: or gln:"),
                "",
            )),
        }
    }
}

impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uscc(code) => write!(f, "uscc:{code}"),
            Self::Gln(gln) => write!(f, "gln:{gln}"),
        }
    }
}

debug_as_text!(PartyId);
serde_as_text_or_compact!(PartyId, from_trusted);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_parties_when_written_then_they_read_back() {
        for text in ["uscc:91350100M000100Y43", "gln:0614141000005"] {
            let party: PartyId = text.parse().unwrap();
            assert_eq!(party.to_string(), text);
            assert_eq!(PartyId::from_compact(&party.to_compact()), Ok(party));
            assert_eq!(PartyId::from_stored(&party.to_stored()), Ok(party));
            let json = serde_json::to_string(&party).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<PartyId>(&json).unwrap(), party);
        }
    }

    #[test]
    fn given_anything_else_when_parsed_then_it_is_refused() {
        for text in [
            "",
            "0614141000005",
            "gln:614141000005",
            "USCC:91350100M000100Y43",
        ] {
            assert!(text.parse::<PartyId>().is_err(), "{text}");
        }
        let party: PartyId = "uscc:91350100M000100Y43".parse().unwrap();
        let mut mistyped = party.to_compact().to_vec();
        mistyped[12] += 1; // 91350100M000100Y44
        assert!(PartyId::from_trusted(&mistyped).is_ok());
        for bytes in [
            &[][..],
            &[3],
            &[1],
            &[2, 0, 0, 0, 0, 0],
            &[1, 255],
            &mistyped,
        ] {
            assert!(PartyId::from_compact(bytes).is_err());
        }
        let strange = [&[1][..], &[255; USCC_BYTES]].concat();
        assert!(PartyId::from_trusted(&strange).is_err());
    }
}
