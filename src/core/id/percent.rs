//! Percent escapes (RFC 3986 section 2.1), for URNs and links.
//!
//! A few lines rather than a library, because an error must name the place and the two
//! callers escape different sets.

use std::fmt::Write as _;

use super::error::{IdError, IdRule};

/// Escapes every byte but the unreserved characters (RFC 3986 section 2.3), also what a path would allow: link finders
/// in chat programs stop at brackets and commas.
#[must_use]
pub fn escaped(text: &str) -> String {
    encode(text, |byte| {
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
    })
}

/// Escapes every byte that `keep` does not allow.
pub(super) fn encode(text: &str, keep: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if keep(byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Resolves the escapes. What comes out is text again, or the input is refused.
pub(super) fn decode(field: &'static str, text: &str) -> Result<String, IdError> {
    let broken = |place| IdError::new(field, IdRule::Escape(place), "RFC 3986, section 2.1");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes().enumerate();
    while let Some((i, byte)) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut nibble = || {
            bytes
                .next()
                .and_then(|(_, hex)| char::from(hex).to_digit(16))
        };
        match (nibble(), nibble()) {
            // Two hexadecimal digits are below 256.
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(broken(i + 1)),
        }
    }
    String::from_utf8(out).map_err(|error| broken(error.utf8_error().valid_up_to() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_broken_escapes_when_decoded_then_the_place_is_named() {
        for (text, place) in [("ab%", 3), ("%4", 1), ("a%G0", 2), ("%+1", 1), ("%FF", 1)] {
            assert_eq!(
                decode("serial", text).unwrap_err().rule,
                IdRule::Escape(place),
                "{text}"
            );
        }
        assert_eq!(decode("serial", "a%2fb%25").unwrap(), "a/b%");
    }
}
