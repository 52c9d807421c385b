//! How view values are written into the store, and the only file that names `bincode`.
//!
//! A value is
//!
//! ```text
//!  version (1 byte, 1) | body | CRC-32C of version and body (4 bytes, little endian)
//! ```
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
    #[error("the value has format {0}, this build reads {VERSION}")]
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
    bytes.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    Ok(())
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
    let (covered, checksum) = bytes.split_last_chunk::<4>().ok_or(CodecError::Short)?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*checksum) {
        return Err(CodecError::Checksum);
    }
    let (version, body) = covered.split_first().ok_or(CodecError::Short)?;
    if *version != VERSION {
        return Err(CodecError::Version(*version));
    }
    decode_body(body)
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

    proptest! {
        #[test]
        fn no_changed_byte_goes_unnoticed(at in 0usize..64, flip in 1u8..=255) {
            let mut bytes = encode(&sample()).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(decode::<Unit>(&bytes).is_err());
        }
    }
}
