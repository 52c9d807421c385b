//! The Unified Social Credit Code: which legal entity a party is in China.
//!
//! GB 32100-2015: 18 characters; authority and type (places 1 and 2), administrative
//! division (3 to 8, digits), organisation code of GB 11714 (9 to 17, with a check character
//! of its own), check character (18). The letters I, O, S, V and Z are left out, because
//! they look like digits or each other. A short code is refused, never filled up: filling
//! up would make another entity's code out of a typing mistake.

use std::fmt;
use std::str::FromStr;

use super::codec::{debug_as_text, serde_as_text};
use super::error::{IdError, IdRule};
use super::text::{Charset, DIGITS, TextRule};

/// Characters of the code, by their value.
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
/// The value of each byte; [`NONE`] for those that are not in the alphabet.
const VALUES: [u8; 256] = values();
const NONE: u8 = u8::MAX;

const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
}

/// Characters of a code.
const USCC_LEN: usize = 18;
/// Bits of a character's value.
const BITS: usize = 5;
/// Characters of half a code, whose values fit into 64 bits.
const HALF: usize = USCC_LEN / 2;
/// Bytes that the values of all characters take.
pub(super) const USCC_BYTES: usize = 12;

const RULE: TextRule = TextRule {
    field: "uscc",
    min: USCC_LEN,
    max: USCC_LEN,
    charset: Charset {
        allows: |byte| VALUES[byte as usize] != NONE,
        words: "a digit or a capital letter other than I, O, S, V and Z",
    },
    standard: "GB 32100-2015",
};

/// A Unified Social Credit Code whose two check characters hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uscc([u8; USCC_LEN]);

impl Uscc {
    /// Reads a code as a person types it: blanks around it are ignored, small letters count
    /// as capitals.
    ///
    /// # Errors
    /// As for [`Uscc::from_str`].
    pub fn parse_any(text: &str) -> Result<Self, IdError> {
        text.trim().to_ascii_uppercase().parse()
    }

    /// The values of the characters, five bits each, as one number, big endian: in the order of the codes.
    pub(super) fn to_be_bytes(self) -> [u8; USCC_BYTES] {
        let value = |byte: &u8| u64::from(VALUES[usize::from(*byte)]);
        let half = |code: &[u8]| {
            let values = code.iter().map(value);
            u128::from(values.fold(0, |bits, value| (bits << BITS) | value))
        };
        let (front, back) = self.0.split_at(HALF);
        let bits = (half(front) << (BITS * HALF)) | half(back);
        let mut bytes = [0; USCC_BYTES];
        bytes.copy_from_slice(&bits.to_be_bytes()[16 - USCC_BYTES..]);
        bytes
    }

    /// A code that was checked when it was stored: of these bytes only what the others rely on is looked at, that they
    /// are the values of characters.
    pub(super) fn from_trusted(bytes: &[u8; USCC_BYTES]) -> Option<Self> {
        let mut all = [0; 16];
        all[16 - USCC_BYTES..].copy_from_slice(bytes);
        let bits = u128::from_be_bytes(all);
        let mut code = [0; USCC_LEN];
        let (front, back) = code.split_at_mut(HALF);
        let halves = [(front, bits >> (BITS * HALF)), (back, bits)];
        for (half, bits) in halves {
            let mut bits = bits as u64; // of the back half, what is the front's is not looked at
            for slot in half.iter_mut().rev() {
                *slot = *ALPHABET.get((bits & 31) as usize)?; // five bits
                bits >>= BITS;
            }
        }
        (bits >> (BITS * USCC_LEN) == 0).then_some(Self(code))
    }

    /// The 18 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only characters of the alphabet get in, so this is text; the default is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Uscc {
    type Err = IdError;

    /// Exactly 18 characters, in capitals.
    ///
    /// # Errors
    /// Another length, a character outside the alphabet, a letter in the administrative
    /// division (places 3 to 8), or a wrong check character (place 17 or 18), in which case
    /// the expected one is told.
    fn from_str(text: &str) -> Result<Self, IdError> {
        RULE.check(text)?;
        let mut code = [0; USCC_LEN];
        for (slot, byte) in code.iter_mut().zip(text.bytes()) {
            *slot = byte;
        }
        check_division(&code)?;
        // The outer check first: it covers every character, so a plain typing mistake is
        // explained by the rule that everybody knows.
        check_character(&code, USCC_LEN, expected_check(&code))?;
        let inner = expected_organisation_check(&code);
        check_character(&code, 17, inner).map_err(|error| IdError {
            standard: "GB 11714-1997",
            ..error
        })?;
        Ok(Self(code))
    }
}

fn check_division(code: &[u8; USCC_LEN]) -> Result<(), IdError> {
    let letter = (2..8).find(|i| !code[*i].is_ascii_digit());
    match letter {
        None => Ok(()),
        Some(i) => Err(RULE.error(IdRule::Character {
            place: i + 1,
            found: char::from(code[i]),
            allowed: DIGITS.words,
        })),
    }
}

fn check_character(code: &[u8; USCC_LEN], place: usize, expected: u8) -> Result<(), IdError> {
    let found = code[place - 1];
    if found == expected {
        return Ok(());
    }
    Err(RULE.error(IdRule::CheckCharacter {
        place,
        found: char::from(found),
        expected: char::from(expected),
    }))
}

/// GB 32100: weight of place i is 3 to the power of i-1, modulo 31.
fn expected_check(code: &[u8; USCC_LEN]) -> u8 {
    let (mut sum, mut weight) = (0, 1);
    for byte in &code[..17] {
        sum += usize::from(VALUES[usize::from(*byte)]) * weight;
        weight = weight * 3 % 31;
    }
    ALPHABET[(31 - sum % 31) % 31]
}

/// GB 11714: letters count from A = 10 to Z = 35, modulo 11; 10 is written X.
fn expected_organisation_check(code: &[u8; USCC_LEN]) -> u8 {
    const WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = code[8..16]
        .iter()
        .zip(WEIGHTS)
        .map(|(byte, weight)| char::from(*byte).to_digit(36).unwrap_or(0) * weight)
        .sum();
    match 11 - sum % 11 {
        10 => b'X',
        11 => b'0',
        // Between 1 and 9.
        digit => b'0' + digit as u8,
    }
}

impl fmt::Display for Uscc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

debug_as_text!(Uscc);
serde_as_text!(Uscc);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_real_codes_when_parsed_then_both_check_characters_hold() {
        for text in [
            "91350100M000100Y43",
            "91110000802100433B",
            "91370200264574251E",
            "91000000AA00001730",
        ] {
            assert_eq!(text.parse::<Uscc>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn given_wrong_codes_when_parsed_then_the_place_and_the_remedy_are_told() {
        for (text, message) in [
            (
                "91350100M000100Y4Z",
                "uscc: character 18 is 'Z', expected a digit or a capital letter other than I, O, S, V and Z (GB 32100-2015)",
            ),
            (
                "91350100M000100Y44",
                "uscc: check character at place 18 is 4, expected 3 (GB 32100-2015)",
            ),
            (
                "9135010M000100Y43",
                "uscc: has 17 characters, expected 18 (GB 32100-2015)",
            ),
            (
                "91A50100M000100Y43",
                "uscc: character 3 is 'A', expected a digit (GB 32100-2015)",
            ),
        ] {
            assert_eq!(text.parse::<Uscc>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn given_a_wrong_organisation_code_under_a_right_outer_check_when_parsed_then_place_17_is_named()
     {
        let mut code = *b"91350100M000100Y50";
        code[17] = expected_check(&code);
        let text = String::from_utf8(code.to_vec()).unwrap();
        assert_eq!(
            text.parse::<Uscc>().unwrap_err().to_string(),
            "uscc: check character at place 17 is 5, expected 4 (GB 11714-1997)"
        );
    }

    #[test]
    fn given_codes_when_kept_in_bytes_then_they_read_back_and_are_in_the_same_order() {
        let codes = [
            "91000000AA00001730",
            "91110000802100433B",
            "91350100M000100Y43",
            "91370200264574251E",
        ];
        let codes = codes.map(|text| text.parse::<Uscc>().unwrap());
        for code in codes {
            assert_eq!(Uscc::from_trusted(&code.to_be_bytes()), Some(code));
        }
        assert!(codes.is_sorted() && codes.map(Uscc::to_be_bytes).is_sorted());
        // The ends of both halves.
        for text in [
            "YYYYYYYYYYYYYYYYYY",
            "000000000000000000",
            "Y0000000Y0000000YY",
        ] {
            let code = Uscc(text.as_bytes().try_into().unwrap());
            assert_eq!(Uscc::from_trusted(&code.to_be_bytes()), Some(code));
        }
    }

    #[test]
    fn given_bytes_that_no_code_has_when_read_then_there_is_none() {
        let mut bytes = Uscc(*b"YYYYYYYYYYYYYYYYYY").to_be_bytes();
        assert!(Uscc::from_trusted(&bytes).is_some());
        bytes[11] |= 1; // of the value 30 of Y, 31
        assert!(Uscc::from_trusted(&bytes).is_none());
        for high in [4, 128] {
            let mut bytes = [0; USCC_BYTES];
            bytes[0] = high;
            assert!(Uscc::from_trusted(&bytes).is_none(), "beyond 90 bits");
        }
    }

    #[test]
    fn given_small_letters_and_blanks_when_parsed_then_only_the_lenient_reader_takes_them() {
        let code = Uscc::parse_any(" 91350100m000100y43 ").unwrap();
        assert_eq!(code.as_str(), "91350100M000100Y43");
        assert!("91350100m000100y43".parse::<Uscc>().is_err());
    }

    #[test]
    fn given_a_code_when_any_one_character_changes_then_it_is_refused() {
        let code = *b"91350100M000100Y43";
        for i in 0..USCC_LEN {
            for other in ALPHABET.iter().filter(|c| **c != code[i]) {
                let mut changed = code;
                changed[i] = *other;
                let text = String::from_utf8(changed.to_vec()).unwrap();
                assert!(text.parse::<Uscc>().is_err(), "{text}");
            }
        }
    }
}
