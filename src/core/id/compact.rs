//! The compact form of a unit: what keys and rows in the store are made of.
//!
//! One tag byte, then:
//!
//! | tag | unit | content |
//! |---|---|---|
//! | 1 | item | GTIN in six bytes, then the serial: its characters, or 0 and a number |
//! | 2 | SSCC | the number in eight bytes |
//! | 3 | waybill | length of the carrier, carrier, number |
//! | 4 | drug code | the number in nine bytes |
//!
//! Numbers are big-endian. A serial is written as 0 and the fewest bytes of its number when
//! it is all digits, begins with no 0 and fits 64 bits; a serial's own characters are never
//! 0, so the two cannot be mixed up. Decoding accepts exactly what encoding writes: a unit
//! with two keys would have two histories.

use super::codec::CompactBytes;
use super::error::{IdError, IdRule};
use super::text::be_u64;
use super::{DrugCode, Gtin14, Serial, Sgtin, Sscc, UnitId, Waybill};

const TAG_SGTIN: u8 = 1;
const TAG_SSCC: u8 = 2;
const TAG_WAYBILL: u8 = 3;
const TAG_DRUG_CODE: u8 = 4;
/// Stands where a serial's first character would, and says that a number follows.
const NUMERIC_SERIAL: u8 = 0;
/// Bytes of a GTIN: 10^14 is below 2^48.
const GTIN_BYTES: usize = 6;

pub(super) fn encode(unit: &UnitId) -> CompactBytes {
    let mut out = CompactBytes::new();
    match unit {
        UnitId::Sgtin(id) => {
            out.push(&items_of(id.gtin));
            encode_serial(&mut out, id.serial.as_str());
        }
        UnitId::Sscc(id) => {
            out.push(&[TAG_SSCC]);
            out.push(&id.as_u64().to_be_bytes());
        }
        UnitId::Waybill(id) => {
            // A carrier has at most 16 characters.
            out.push(&[TAG_WAYBILL, id.carrier().as_str().len() as u8]);
            out.push(id.carrier().as_str().as_bytes());
            out.push(id.number().as_bytes());
        }
        UnitId::DrugCode(id) => {
            out.push(&[TAG_DRUG_CODE]);
            out.push(&id.to_compact());
        }
    }
    out
}

/// What all items of a product begin with.
pub(super) fn items_of(gtin: Gtin14) -> [u8; 1 + GTIN_BYTES] {
    let mut out = [TAG_SGTIN; 1 + GTIN_BYTES];
    out[1..].copy_from_slice(&gtin.as_u64().to_be_bytes()[8 - GTIN_BYTES..]);
    out
}

fn encode_serial(out: &mut CompactBytes, serial: &str) {
    match as_number(serial) {
        None => out.push(serial.as_bytes()),
        Some(number) => {
            out.push(&[NUMERIC_SERIAL]);
            let leading = number.leading_zeros() as usize / 8;
            out.push(&number.to_be_bytes()[leading..]);
        }
    }
}

/// The number that stands for the serial, where it gives back the very same text.
fn as_number(serial: &str) -> Option<u64> {
    let has_one_form = !serial.starts_with('0') && serial.bytes().all(|b| b.is_ascii_digit());
    serial.parse().ok().filter(|_| has_one_form)
}

pub(super) fn decode(bytes: &[u8]) -> Result<UnitId, IdError> {
    let unit = match bytes {
        [TAG_SGTIN, rest @ ..] => UnitId::Sgtin(decode_sgtin(rest)?),
        [TAG_SSCC, number @ ..] => {
            let number = number.try_into().map_err(|_| refused())?;
            UnitId::Sscc(Sscc::from_u64(u64::from_be_bytes(number))?)
        }
        [TAG_WAYBILL, len, rest @ ..] => UnitId::Waybill(decode_waybill(*len, rest)?),
        [TAG_DRUG_CODE, number @ ..] => UnitId::DrugCode(DrugCode::from_compact(number)?),
        _ => return Err(refused()),
    };
    // Encoding again and comparing leaves no second form, whatever the cases above let by.
    if *encode(&unit) != *bytes {
        return Err(refused());
    }
    Ok(unit)
}

fn decode_sgtin(bytes: &[u8]) -> Result<Sgtin, IdError> {
    let (gtin, serial) = bytes
        .split_first_chunk::<GTIN_BYTES>()
        .ok_or_else(refused)?;
    let gtin = Gtin14::from_u64(be_u64(gtin))?;
    let serial = match serial {
        [NUMERIC_SERIAL, number @ ..] if number.len() <= 8 => Serial::of_number(be_u64(number)),
        text => Serial::new(text_of(text)?)?,
    };
    Ok(Sgtin { gtin, serial })
}

fn decode_waybill(len: u8, rest: &[u8]) -> Result<Waybill, IdError> {
    let (carrier, number) = rest
        .split_at_checked(usize::from(len))
        .ok_or_else(refused)?;
    Waybill::new(text_of(carrier)?, text_of(number)?)
}

fn text_of(bytes: &[u8]) -> Result<&str, IdError> {
    std::str::from_utf8(bytes).map_err(|_| refused())
}

fn refused() -> IdError {
    IdError::new("compact unit", IdRule::NotCanonical, "")
}
