//! EPC pure identity URNs, as they stand in EPCIS events: both ways.
//!
//! EPC Tag Data Standard 1.13, sections 6.3.1 (SGTIN), 6.3.2 (SSCC), 6.3.3 (SGLN) and
//! annex A (which characters are escaped). A URN cuts a GS1 key after the company prefix,
//! and a key does not show where that is: so writing one needs the length of the prefix,
//! and reading one reports it.

use std::ops::RangeInclusive;

use super::error::{IdError, IdRule};
use super::gln::{Gln, LocationId};
use super::gtin::{Gtin14, Serial, Sgtin, gs1_check_digit};
use super::percent;
use super::sscc::Sscc;
use super::text::parse_digits;

const STANDARD: &str = "EPC Tag Data Standard 1.13, section 6.3";
const PREFIX_LENGTHS: RangeInclusive<u8> = 6..=12;

/// Whether the text is an EPC pure identity URN of any scheme.
pub(super) fn is_urn(text: &str) -> bool {
    text.get(..4)
        .is_some_and(|s| s.eq_ignore_ascii_case("urn:"))
}

/// Reads `urn:epc:id:sgtin:...`; the second value is the length of the company prefix.
///
/// # Errors
/// Another scheme, a part missing or too much, lengths that do not add up, or a serial
/// that is not allowed.
pub fn parse_sgtin_urn(urn: &str) -> Result<(Sgtin, u8), IdError> {
    const FIELD: &str = "sgtin URN";
    let body = body(FIELD, urn, "sgtin", "urn:epc:id:sgtin:")?;
    let (prefix, rest) = split(FIELD, body, "item reference")?;
    let (item, serial) = split(FIELD, rest, "serial")?;
    let prefix_len = prefix_length(FIELD, prefix)?;
    // The indicator stands before the item reference in the URN, before the prefix in the key.
    let number = keyed_number(FIELD, prefix, item, 13)?;
    let serial = Serial::new(&unescape("serial", serial)?)?;
    let gtin = Gtin14::from_u64(number)?;
    Ok((Sgtin { gtin, serial }, prefix_len))
}

/// Reads `urn:epc:id:sscc:...`; the second value is the length of the company prefix.
///
/// # Errors
/// Another scheme, a part missing or too much, or lengths that do not add up.
pub fn parse_sscc_urn(urn: &str) -> Result<(Sscc, u8), IdError> {
    const FIELD: &str = "sscc URN";
    let body = body(FIELD, urn, "sscc", "urn:epc:id:sscc:")?;
    let (prefix, reference) = split(FIELD, body, "serial reference")?;
    let prefix_len = prefix_length(FIELD, prefix)?;
    let number = keyed_number(FIELD, prefix, reference, 17)?;
    Ok((Sscc::from_u64(number)?, prefix_len))
}

/// Reads `urn:epc:id:sgln:...`; the second value is the length of the company prefix.
/// The extension `0` means none.
///
/// # Errors
/// Another scheme, a part missing or too much, lengths that do not add up, or an extension
/// that is not allowed.
pub fn parse_sgln_urn(urn: &str) -> Result<(LocationId, u8), IdError> {
    const FIELD: &str = "sgln URN";
    let body = body(FIELD, urn, "sgln", "urn:epc:id:sgln:")?;
    let (prefix, rest) = split(FIELD, body, "location reference")?;
    let (reference, extension) = split(FIELD, rest, "extension")?;
    let prefix_len = prefix_length(FIELD, prefix)?;
    let number = joined_number(FIELD, &format!("{prefix}{reference}"), &[12])?;
    let extension = unescape("location extension", extension)?;
    let location = LocationId::new(Gln::from_u64(number)?, Some(&extension))?;
    Ok((location, prefix_len))
}

/// Writes `urn:epc:id:sgtin:...`.
pub(super) fn sgtin_urn(id: &Sgtin, company_prefix_len: u8) -> Result<String, IdError> {
    let digits = id.gtin.to_string();
    let (prefix, item) = cut(&digits, company_prefix_len)?;
    Ok(format!(
        "urn:epc:id:sgtin:{prefix}.{item}.{}",
        percent::encode(id.serial.as_str(), is_plain)
    ))
}

/// Writes `urn:epc:id:sscc:...`.
pub(super) fn sscc_urn(id: &Sscc, company_prefix_len: u8) -> Result<String, IdError> {
    let digits = id.to_string();
    let (prefix, reference) = cut(&digits, company_prefix_len)?;
    Ok(format!("urn:epc:id:sscc:{prefix}.{reference}"))
}

/// Writes `urn:epc:id:sgln:...`.
pub(super) fn sgln_urn(id: &LocationId, company_prefix_len: u8) -> Result<String, IdError> {
    let at = checked_prefix_length("company prefix", usize::from(company_prefix_len))?;
    let digits = id.gln().to_string();
    // 13 digits, of which the last is the check digit, and `at` is at most 12.
    let (prefix, reference) = (&digits[..usize::from(at)], &digits[usize::from(at)..12]);
    Ok(format!(
        "urn:epc:id:sgln:{prefix}.{reference}.{}",
        percent::encode(id.extension().unwrap_or("0"), is_plain)
    ))
}

/// Annex A: the characters of set 82 that stand for themselves in a URN.
const fn is_plain(byte: u8) -> bool {
    !matches!(
        byte,
        b'"' | b'%' | b'&' | b'/' | b'<' | b'>' | b'?' | b'#' | b' '
    )
}

/// Cuts a key with a leading indicator or extension digit into prefix and reference: the
/// leading digit moves to the front of the reference, the check digit is dropped.
fn cut(digits: &str, company_prefix_len: u8) -> Result<(&str, String), IdError> {
    let len = checked_prefix_length("company prefix", usize::from(company_prefix_len))?;
    // A GTIN has 14 digits and an SSCC 18, so the body without its first and last digit
    // has at least 12, and the prefix is at most 12.
    let (leading, body) = (&digits[..1], &digits[1..digits.len() - 1]);
    let (prefix, reference) = body.split_at(usize::from(len));
    Ok((prefix, format!("{leading}{reference}")))
}

/// The key whose leading digit stands first in the reference, with its check digit.
fn keyed_number(
    field: &'static str,
    prefix: &str,
    reference: &str,
    digits: usize,
) -> Result<u64, IdError> {
    let mut rest = reference.chars();
    let leading = rest.next().ok_or_else(|| {
        IdError::new(
            field,
            IdRule::Missing("indicator or extension digit"),
            STANDARD,
        )
    })?;
    let allowed: &'static [usize] = if digits == 13 { &[13] } else { &[17] };
    joined_number(
        field,
        &format!("{leading}{prefix}{}", rest.as_str()),
        allowed,
    )
}

fn joined_number(
    field: &'static str,
    body: &str,
    allowed: &'static [usize],
) -> Result<u64, IdError> {
    let body = parse_digits(field, body, allowed, STANDARD)?;
    // At most 17 digits and one more, far below 2^64.
    Ok(body * 10 + u64::from(gs1_check_digit(body)))
}

fn body<'a>(
    field: &'static str,
    urn: &'a str,
    scheme: &str,
    expected: &'static str,
) -> Result<&'a str, IdError> {
    let error = || IdError::new(field, IdRule::StartsWith(expected), STANDARD);
    let (head, rest) = urn.split_at_checked(4).ok_or_else(error)?;
    // RFC 8141: `urn` and the namespace ignore case; what follows does not.
    let (namespace, rest) = rest.split_once(':').ok_or_else(error)?;
    if !head.eq_ignore_ascii_case("urn:") || !namespace.eq_ignore_ascii_case("epc") {
        return Err(error());
    }
    rest.strip_prefix("id:")
        .and_then(|rest| rest.strip_prefix(scheme))
        .and_then(|rest| rest.strip_prefix(':'))
        .ok_or_else(error)
}

fn split<'a>(
    field: &'static str,
    text: &'a str,
    next: &'static str,
) -> Result<(&'a str, &'a str), IdError> {
    text.split_once('.')
        .ok_or_else(|| IdError::new(field, IdRule::Missing(next), STANDARD))
}

fn prefix_length(field: &'static str, prefix: &str) -> Result<u8, IdError> {
    checked_prefix_length(field, prefix.chars().count())
}

fn checked_prefix_length(field: &'static str, found: usize) -> Result<u8, IdError> {
    let error = || {
        let (min, max) = (6, 12);
        IdError::new(field, IdRule::Length { min, max, found }, STANDARD)
    };
    u8::try_from(found)
        .ok()
        .filter(|len| PREFIX_LENGTHS.contains(len))
        .ok_or_else(error)
}

/// Resolves escapes; a character that must be escaped may not stand bare, since what
/// follows it could be read as a query or fragment.
fn unescape(field: &'static str, text: &str) -> Result<String, IdError> {
    let bare = text
        .chars()
        .enumerate()
        .find(|(_, c)| *c != '%' && u8::try_from(*c).is_ok_and(|b| !is_plain(b)));
    if let Some((i, found)) = bare {
        let rule = IdRule::Character {
            place: i + 1,
            found,
            allowed: "its percent escape",
        };
        return Err(IdError::new(
            field,
            rule,
            "EPC Tag Data Standard 1.13, annex A",
        ));
    }
    percent::decode(field, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_the_examples_of_the_standard_when_read_and_written_then_they_agree() {
        let urn = "urn:epc:id:sgtin:0614141.812345.6789";
        let (sgtin, len) = parse_sgtin_urn(urn).unwrap();
        assert_eq!(
            (sgtin.to_string().as_str(), len),
            ("01/80614141123458/21/6789", 7)
        );
        assert_eq!(sgtin_urn(&sgtin, len).unwrap(), urn);

        let urn = "urn:epc:id:sscc:0614141.1234567890";
        let (sscc, len) = parse_sscc_urn(urn).unwrap();
        assert_eq!((sscc.to_string().as_str(), len), ("106141412345678908", 7));
        assert_eq!(sscc_urn(&sscc, len).unwrap(), urn);

        let urn = "urn:epc:id:sgln:061414107346..400";
        let (place, len) = parse_sgln_urn(urn).unwrap();
        assert_eq!(
            (place.to_string().as_str(), len),
            ("414/0614141073467/254/400", 12)
        );
        assert_eq!(sgln_urn(&place, len).unwrap(), urn);
    }

    #[test]
    fn given_a_serial_with_reserved_characters_when_written_then_they_are_escaped() {
        let urn = "urn:epc:id:sgtin:0614141.812345.32a%2Fb%25.%22x";
        let (sgtin, _) = parse_sgtin_urn(urn).unwrap();
        assert_eq!(sgtin.serial.as_str(), "32a/b%.\"x");
        assert_eq!(sgtin_urn(&sgtin, 7).unwrap(), urn);
    }

    #[test]
    fn given_broken_urns_when_read_then_they_are_refused() {
        for urn in [
            "urn:epc:id:sgtin:0614141.812345",
            "urn:epc:id:sgtin:0614141.812345.",
            "urn:epc:id:sgtin:0614141.81234.1",
            "urn:epc:id:sgtin:06141.81234567.1",
            "urn:epc:id:sgtin:0614141.8123A5.1",
            "urn:epc:id:sgtin:0614141..1",
            "urn:epc:id:sgtin:0614141.812345.a/b",
            "urn:epc:id:sgtin:0614141.812345.a?b",
            "urn:epc:id:sgtin:0614141.812345.a%2",
            "urn:epc:class:lgtin:0614141.812345.1",
            "urn:epc:idpat:sgtin:0614141.812345.*",
            "urn",
            "u\u{fffd}n:epc:id",
        ] {
            assert!(parse_sgtin_urn(urn).is_err(), "{urn}");
        }
        let sgtin: Sgtin = "01/80614141123458/21/6789".parse().unwrap();
        assert!(sgtin_urn(&sgtin, 5).is_err() && sgtin_urn(&sgtin, 13).is_err());
    }
}
