//! Secrets that are printed, read out and typed: 128 random bits.
//!
//! A shop prints one on the order: the buyer's one-time key is made from it wherever it is typed or scanned. A
//! firm gives one to a courier's phone: see [`enrolment`](super::enrolment).
//!
//! It is written in Crockford's Base32 (26 letters, the first of them 0 to 7), so that it can be read out
//! and typed: case doesn't matter, `O` reads as 0, `I` and `L` as 1, hyphens and spaces as nothing. The seed of a
//! buyer's key is `SHA-256("custody buyer key v1" || 0x00 || secret)`.

use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::core::signature::Signer;

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 16;
const LETTERS: usize = 26;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DOMAIN: &[u8] = b"custody buyer key v1\0";

/// A secret of 128 bits.
pub struct PrintedSecret(Zeroizing<[u8; SECRET_BYTES]>);

/// A text that is no such secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is 26 letters and digits, the first of them 0 to 7")]
pub struct NoSecret;

impl PrintedSecret {
    /// Of random bytes.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; SECRET_BYTES]>) -> Self {
        Self(bytes)
    }

    /// Reads it as it was typed.
    ///
    /// # Errors
    /// [`NoSecret`].
    pub fn read(text: &str) -> Result<Self, NoSecret> {
        let mut number: u128 = 0;
        let mut letters = 0;
        for letter in text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')) {
            let letter = match letter.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            let value = ALPHABET.iter().position(|known| *known == letter);
            let value = value.ok_or(NoSecret)? as u128;
            // 26 letters hold two bits more than there are.
            if number >> 123 != 0 {
                return Err(NoSecret);
            }
            number = number << 5 | value;
            letters += 1;
        }
        if letters != LETTERS {
            return Err(NoSecret);
        }
        let secret = Self(Zeroizing::new(number.to_be_bytes()));
        number.zeroize();
        Ok(secret)
    }

    /// As it is printed.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let number = u128::from_be_bytes(*self.0);
        let letter = |place: usize| {
            let value = (number >> (5 * place)) & 31;
            ALPHABET
                .get(value as usize)
                .copied()
                .map_or('0', char::from)
        };
        Zeroizing::new((0..LETTERS).rev().map(letter).collect())
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// The buyer's key that it stands for.
    #[must_use]
    pub fn buyer(&self) -> Signer {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(*self.0);
        let seed: [u8; 32] = hash.finalize().into();
        Signer::from_seed(&Zeroizing::new(seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: [u8; SECRET_BYTES]) -> PrintedSecret {
        PrintedSecret::new(Zeroizing::new(bytes))
    }

    #[test]
    fn what_is_printed_reads_back_however_it_was_typed() {
        let mut counted = [0; SECRET_BYTES];
        (1..).zip(&mut counted).for_each(|(n, byte)| *byte = n);
        for bytes in [[0; SECRET_BYTES], [0xff; SECRET_BYTES], counted] {
            let one = secret(bytes);
            let text = one.text();
            assert_eq!(text.len(), LETTERS);
            assert_eq!(*PrintedSecret::read(&text).unwrap().0, bytes);
            let (head, tail) = text.split_at(7);
            let typed = format!(
                "{}-{} ",
                head.to_lowercase().replace('0', "o").replace('1', "l"),
                tail
            );
            assert_eq!(*PrintedSecret::read(&typed).unwrap().0, bytes, "{typed}");
        }
        assert_eq!(
            secret([0xff; 16]).text().as_str(),
            "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
        );
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in [
            "",
            "7ZZZZZZZZZZZZZZZZZZZZZZZZ",
            "7ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "UZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "7ZZZZZZZZZZZZ_ZZZZZZZZZZZZ",
        ] {
            assert!(PrintedSecret::read(text).is_err(), "{text}");
        }
    }

    /// The browser makes the same key: tests/browser/buyer_key.test.mjs knows the same lines.
    #[test]
    fn a_buyers_key_is_always_the_same() {
        let secret = secret([7; SECRET_BYTES]);
        assert_eq!(secret.text().as_str(), "070W3GE1R70W3GE1R70W3GE1R7");
        assert_eq!(
            hex::encode(secret.buyer().public_key().as_bytes()),
            "16dd7abcd98bc3700ad601db60bc5d6826b58ceaa57a1126e64323f75eaf7ac3"
        );
    }
}
