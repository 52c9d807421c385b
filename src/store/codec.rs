//! How view values are written into the store, and the only file that names `bincode`.
//!
//! A value is
//!
//! ```text
//!  version (1 byte, 1) | body | CRC-32C of version and body (4 bytes, little endian)
//! ```
//!
//! or, of a unit whose state many others have as well, the version 2 and the key of the row in family `states` that
//! holds the value, with a checksum as above.
//!
//! The body is bincode 2 with its standard configuration over the `serde` form of the types in
//! `core::apply::state`: fields in the order of declaration and nothing between them; integers as
//! varints (below 251 one byte; 251, 252, 253 followed by 2, 4, 8 bytes little endian), signed
//! ones zigzag first; enums as the varint of the variant's place; `Option` one byte 0 or 1; strings,
//! byte strings, lists and maps with a varint length in front (ids of records and keys, public keys
//! and hashes are byte strings); arrays bare. With that, another decoder can be written in an
//! afternoon.
//!
//! Only bytes that this store wrote come in here, and the checksum says so; what a peer sends is
//! protobuf, and never reaches bincode. Views can be built anew from the entries at any time, so a
//! new version of the format needs a replay and no conversion.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Serialize, de::DeserializeOwned};

/// Version of the format of values.
const VERSION: u8 = 1;
/// What stands in its place where the value is in another row.
const REFERENCE: u8 = 2;
/// Most bytes of a value; a party with very many governance entries is the largest.
const MAX_VALUE_BYTES: usize = 64 * 1024 * 1024;

/// The bytes are not what this codec wrote.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum CodecError {
    #[error("the value is cut off")]
    Short,
    #[error("the checksum of the value is wrong")]
    Checksum,
    #[error("the value has format {0}, where {VERSION} is read")]
    Version(u8),
    #[error("the value does not decode: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    #[error("the value does not encode: {0}")]
    Encode(#[from] bincode::error::EncodeError),
}

const fn config() -> Configuration<LittleEndian, Varint, Limit<MAX_VALUE_BYTES>> {
    bincode::config::standard().with_limit::<MAX_VALUE_BYTES>()
}

/// Encodes a value.
///
/// # Errors
/// None for the types of the views; the library's signature has one.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(256);
    encode_into(value, &mut bytes)?;
    Ok(bytes)
}

/// The same, in place of what the buffer holds.
///
/// # Errors
/// As [`encode`].
pub fn encode_into<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    bytes.clear();
    bytes.push(VERSION);
    encode_body(value, bytes)?;
    seal(bytes);
    Ok(())
}

/// Encodes the key of the row that has the value, in place of what the buffer holds.
pub fn encode_reference(key: &[u8], bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.push(REFERENCE);
    bytes.extend_from_slice(key);
    seal(bytes);
}

fn seal(bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
}

/// Encodes a value without version and checksum, for what lies inside of something that has them.
///
/// # Errors
/// As [`encode`].
pub fn encode_body<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, bytes, config())?;
    Ok(())
}

/// Decodes what [`encode_body`] wrote.
///
/// # Errors
/// [`CodecError`] when the bytes are something else.
pub fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::borrow_decode_from_slice(body, config())?;
    if read != body.len() {
        return Err(CodecError::Short);
    }
    Ok(value)
}

/// Decodes the first fields of what [`encode_body`] wrote.
///
/// # Errors
/// [`CodecError`] when the bytes are something else.
pub fn decode_front<T: DeserializeOwned>(body: &[u8]) -> Result<T, CodecError> {
    let (front, _) = bincode::serde::borrow_decode_from_slice(body, config())?;
    Ok(front)
}

/// Decodes a value.
///
/// # Errors
/// [`CodecError`] when the bytes are not what [`encode`] wrote.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match open(bytes)? {
        (VERSION, body) => decode_body(body),
        (other, _) => Err(CodecError::Version(other)),
    }
}

/// The key of the row that has the value, where this one only says so.
///
/// # Errors
/// [`CodecError`] when the bytes are damaged.
pub fn reference(bytes: &[u8]) -> Result<Option<&[u8]>, CodecError> {
    if bytes.first() != Some(&REFERENCE) {
        return Ok(None);
    }
    open(bytes).map(|(_, key)| Some(key))
}

fn open(bytes: &[u8]) -> Result<(u8, &[u8]), CodecError> {
    let (covered, checksum) = bytes.split_last_chunk::<4>().ok_or(CodecError::Short)?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*checksum) {
        return Err(CodecError::Checksum);
    }
    let (version, rest) = covered.split_first().ok_or(CodecError::Short)?;
    Ok((*version, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::apply::state::{Life, Unit};

    fn sample() -> Unit {
        Unit {
            length: 7,
            life: Life::Delivered,
            scans: 70_000,
            ..Unit::default()
        }
    }

    #[test]
    fn a_value_comes_back_as_it_was() {
        let bytes = encode(&sample()).unwrap();
        assert_eq!(decode::<Unit>(&bytes).unwrap(), sample());
    }

    #[test]
    fn a_row_without_a_value_says_where_it_is_and_is_no_value() {
        let mut bytes = encode(&sample()).unwrap();
        assert!(reference(&bytes).unwrap().is_none());
        encode_reference(b"there", &mut bytes);
        assert_eq!(reference(&bytes).unwrap(), Some(&b"there"[..]));
        assert!(matches!(
            decode::<Unit>(&bytes),
            Err(CodecError::Version(2))
        ));
        bytes[3] ^= 1;
        assert!(reference(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn no_changed_byte_goes_unnoticed(at in 0usize..64, flip in 1u8..=255) {
            let mut bytes = encode(&sample()).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(decode::<Unit>(&bytes).is_err());
            prop_assert!(reference(&bytes).map_or(true, |found| found.is_none()));
        }

        #[test]
        fn no_changed_byte_of_a_reference_goes_unnoticed(at in 0usize..64, flip in 1u8..=255) {
            let mut bytes = Vec::new();
            encode_reference(&[1, 2, 3, 4, 5], &mut bytes);
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(decode::<Unit>(&bytes).is_err());
            prop_assert!(reference(&bytes).map_or(true, |found| found.is_none()));
        }
    }
}
