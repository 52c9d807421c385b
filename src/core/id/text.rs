//! Building blocks that the identifiers share: short text kept in place, and runs of digits.
//!
//! Identifiers are copied on every step from the scanner to the log, so none of them owns
//! heap memory. Character set 82 is that of the GS1 General Specifications, figure 7.11-1.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::error::{IdError, IdRule};

/// Standard that character set 82 comes from.
pub(super) const CHARSET_82: &str = "GS1 General Specifications, figure 7.11-1";

/// What may stand in a piece of text: the test, and the words for it in an error.
#[derive(Clone, Copy)]
pub(super) struct Charset {
    pub(super) allows: fn(u8) -> bool,
    pub(super) words: &'static str,
}

/// Digits only.
pub(super) const DIGITS: Charset = Charset {
    allows: |b| b.is_ascii_digit(),
    words: "a digit",
};

/// GS1 AI encodable character set 82.
pub(super) const GS1_82: Charset = Charset {
    allows: is_gs1_82,
    words: "a character of GS1 set 82",
};

const fn is_gs1_82(byte: u8) -> bool {
    matches!(byte, b'!' | b'"' | b'%'..=b'?' | b'A'..=b'Z' | b'_' | b'a'..=b'z')
}

/// How a piece of text is checked: what to call it, how long it may be, of what, and by
/// which standard.
#[derive(Clone, Copy)]
pub(super) struct TextRule {
    pub(super) field: &'static str,
    pub(super) min: usize,
    pub(super) max: usize,
    pub(super) charset: Charset,
    pub(super) standard: &'static str,
}

impl TextRule {
    /// The same error from every piece of text, so that messages read alike.
    pub(super) const fn error(&self, rule: IdRule) -> IdError {
        IdError::new(self.field, rule, self.standard)
    }

    /// Checks length and characters.
    pub(super) fn check(&self, text: &str) -> Result<(), IdError> {
        // Rows of the store hold many identifiers, and all are checked: right ones have to be cheap. What a charset
        // allows is ASCII, a byte each.
        if (self.min..=self.max).contains(&text.len()) && text.bytes().all(self.charset.allows) {
            return Ok(());
        }
        let found = text.chars().count();
        if found < self.min || found > self.max {
            let (min, max) = (self.min, self.max);
            return Err(self.error(IdRule::Length { min, max, found }));
        }
        self.check_characters(text)
    }

    fn check_characters(&self, text: &str) -> Result<(), IdError> {
        let wrong = text
            .chars()
            .enumerate()
            .find(|(_, c)| !u8::try_from(*c).is_ok_and(self.charset.allows));
        match wrong {
            None => Ok(()),
            Some((i, found)) => Err(self.error(IdRule::Character {
                place: i + 1,
                found,
                allowed: self.charset.words,
            })),
        }
    }
}

/// At most `N` ASCII characters, kept in place. Compares as its text does: the unused tail
/// is zero, and zero sorts before every character that any charset here allows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::core) struct Inline<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

/// Word by word: hashers are several times faster with numbers than with bytes. The bytes say how long the text is.
impl<const N: usize> Hash for Inline<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in self.bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            state.write_u64(u64::from_le_bytes(word));
        }
    }
}

impl<const N: usize> Inline<N> {
    /// Checks `text` by `rule`, whose `max` must be at most `N`.
    pub(super) fn new(rule: &TextRule, text: &str) -> Result<Self, IdError> {
        debug_assert!(rule.max <= N && N <= usize::from(u8::MAX));
        rule.check(text)?;
        // Every charset is ASCII, so the checked text is as many bytes as characters: at
        // most `rule.max`, which is at most N, which fits a byte.
        Ok(Self::of_ascii(text.as_bytes()))
    }

    /// A number in decimal, for which there has to be room.
    pub(in crate::core) fn of_number(mut number: u64) -> Self {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        debug_assert!(digits.len() - at <= N);
        Self::of_ascii(&digits[at..])
    }

    /// A number in decimal with zeros in front, as long as there is room.
    pub(super) fn of_digits(mut number: u64) -> Self {
        let mut bytes = [0; N];
        for slot in bytes.iter_mut().rev() {
            *slot = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Self {
            bytes,
            len: N as u8,
        }
    }

    /// So many of the bytes as there is room for.
    fn of_ascii(ascii: &[u8]) -> Self {
        Self::of_parts(&[ascii])
    }

    /// The same of several pieces, one after the other.
    pub(in crate::core) fn of_parts(parts: &[&[u8]]) -> Self {
        let mut bytes = [0; N];
        let mut len = 0;
        for part in parts {
            let end = (len + part.len()).min(N);
            bytes[len..end].copy_from_slice(&part[..end - len]);
            len = end;
        }
        Self {
            bytes,
            len: len as u8,
        }
    }

    pub(in crate::core) fn as_bytes(&self) -> &[u8] {
        // `len` is at most N by construction.
        &self.bytes[..usize::from(self.len)]
    }

    pub(super) fn as_str(&self) -> &str {
        // Only ASCII gets in, so this is always text; the default is never taken.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Display for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Reads a run of digits of one of the `allowed` lengths, each at most 19 so that the
/// number fits 64 bits.
pub(super) fn parse_digits(
    field: &'static str,
    text: &str,
    allowed: &'static [usize],
    standard: &'static str,
) -> Result<u64, IdError> {
    debug_assert!(allowed.iter().all(|length| *length <= 19));
    let found = if text.is_ascii() {
        text.len()
    } else {
        text.chars().count()
    };
    if !allowed.contains(&found) {
        let rule = match allowed {
            [only] => IdRule::Length {
                min: *only,
                max: *only,
                found,
            },
            _ => IdRule::Lengths { allowed, found },
        };
        return Err(IdError::new(field, rule, standard));
    }
    let rule = TextRule {
        field,
        min: 0,
        max: 19,
        charset: DIGITS,
        standard,
    };
    rule.check(text)?;
    // At most 19 digits: below 10^19, which is below 2^64, so the sum cannot overflow.
    Ok(text
        .bytes()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Reads big-endian bytes, at most eight.
pub(super) fn be_u64(bytes: &[u8]) -> u64 {
    debug_assert!(bytes.len() <= 8);
    bytes
        .iter()
        .fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// A decimal digit as its character.
pub(super) fn digit_char(digit: u8) -> char {
    char::from(b'0' + digit % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_all_bytes_when_counted_then_set_82_has_82_members() {
        assert_eq!((0..=u8::MAX).filter(|b| is_gs1_82(*b)).count(), 82);
        for absent in b"#$@[\\]^`{|}~ " {
            assert!(!is_gs1_82(*absent));
        }
    }

    #[test]
    fn given_digits_outside_ascii_when_parsed_then_the_place_is_named() {
        let error = parse_digits("gtin", "0952114101234\u{ff15}", &[14], "S").unwrap_err();
        assert_eq!(
            error.rule,
            IdRule::Character {
                place: 14,
                found: '\u{ff15}',
                allowed: "a digit"
            }
        );
    }
}
