//! DSSE envelopes: what is signed, and the record id.
//!
//! The signature is over the pre-authentication encoding of
//! [DSSE v1](https://github.com/secure-systems-lab/dsse/blob/master/protocol.md):
//! `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`. The record id is SHA-256 of those
//! bytes, so that no other framing and no other signature of a statement makes another record,
//! and the signer knows the id before it submits.

use std::fmt;
use std::hash::{Hash, Hasher};

use prost::bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::core::id::Inline;
use crate::core::signature::{KEY_ID_BYTES, KeyId, SIGNATURE_BYTES, Signer};
use crate::core::wire;

/// Payload type of a record.
pub const RECORD_TYPE: &str = "application/vnd.custody.record.v1+protobuf";
/// Payload type of a buyer's consent to a return.
pub const RETURN_CONSENT_TYPE: &str = "application/vnd.custody.return-consent.v1+protobuf";
/// Payload type of a new key's proof that its private half is there.
pub const KEY_POSSESSION_TYPE: &str = "application/vnd.custody.key-possession.v1";

/// Most bytes of an encoded envelope, so that an entry always fits an entry bundle.
pub const MAX_ENVELOPE_BYTES: usize = 49_152;

/// Id of a record: SHA-256 of the bytes that were signed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordId(#[serde(with = "serde_bytes")] pub [u8; 32]);

/// By its first eight bytes, which nobody chooses.
impl Hash for RecordId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(first) = self.0.first_chunk() {
            state.write_u64(u64::from_le_bytes(*first));
        }
    }
}

impl RecordId {
    /// From bytes of the right length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Pre-authentication encoding: the bytes that are signed.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + payload_type.len() + 32);
    bytes.extend_from_slice(b"DSSEv1 ");
    bytes.extend_from_slice(payload_type.len().to_string().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(payload_type.as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(payload.len().to_string().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(payload);
    bytes
}

/// What all records' signed bytes begin with: the pre-authentication encoding up to the length of the payload.
const SIGNED_PREFIX: &[u8] = b"DSSEv1 42 application/vnd.custody.record.v1+protobuf ";
/// Most bytes of a [`SignedHead`]: the length of the payload has at most 20 digits, and a blank follows it.
const SIGNED_HEAD_BYTES: usize = SIGNED_PREFIX.len() + 20 + 1;

/// What comes before a record's payload in the bytes that are signed. With it whoever checks a signature needs no copy of
/// the payload.
#[derive(Clone, Copy, Debug)]
pub struct SignedHead(Inline<SIGNED_HEAD_BYTES>);

impl SignedHead {
    /// That of a payload.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        let length = Inline::<20>::of_number(payload.len() as u64);
        Self(Inline::of_parts(&[SIGNED_PREFIX, length.as_bytes(), b" "]))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The bytes to sign for a key's proof of possession.
#[must_use]
pub fn key_possession_pae(origin: &str, party: &str) -> Vec<u8> {
    let mut message = origin.as_bytes().to_vec();
    message.push(0);
    message.extend_from_slice(party.as_bytes());
    pae(KEY_POSSESSION_TYPE, &message)
}

/// What is wrong with an envelope's frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too large.
    #[error(
        "the envelope has {0} bytes, at most {MAX_ENVELOPE_BYTES} are allowed; split the record"
    )]
    TooLarge(usize),
    /// No payload.
    #[error("the envelope has no payload")]
    Empty,
    /// Key id of the wrong length.
    #[error("key_id has {0} bytes, not {KEY_ID_BYTES}")]
    KeyIdLength(usize),
    /// Signature of the wrong length.
    #[error("signature has {0} bytes, not {SIGNATURE_BYTES}")]
    SignatureLength(usize),
}

/// A framed statement; the signature is not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// An encoded record, exactly as signed.
    pub payload: Bytes,
    /// Who says to have signed it.
    pub key_id: KeyId,
    /// The signature over [`Envelope::signed_bytes`].
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Envelope {
    /// Checks the frame.
    ///
    /// # Errors
    /// [`EnvelopeError`] says which bound is broken.
    pub fn from_wire(envelope: &wire::Envelope) -> Result<Self, EnvelopeError> {
        let size = prost::Message::encoded_len(envelope);
        if size > MAX_ENVELOPE_BYTES {
            return Err(EnvelopeError::TooLarge(size));
        }
        if envelope.payload.is_empty() {
            return Err(EnvelopeError::Empty);
        }
        Ok(Self {
            payload: envelope.payload.clone(),
            key_id: KeyId::from_slice(&envelope.key_id)
                .ok_or(EnvelopeError::KeyIdLength(envelope.key_id.len()))?,
            signature: envelope
                .signature
                .as_ref()
                .try_into()
                .map_err(|_| EnvelopeError::SignatureLength(envelope.signature.len()))?,
        })
    }

    /// Signs a record.
    #[must_use]
    pub fn sign(record: &wire::Record, signer: &Signer) -> Self {
        let payload = Bytes::from(prost::Message::encode_to_vec(record));
        let signature = signer.sign(&pae(RECORD_TYPE, &payload));
        Self {
            payload,
            key_id: signer.key_id(),
            signature,
        }
    }

    /// As it goes over the wire and into the log.
    #[must_use]
    pub fn to_wire(&self) -> wire::Envelope {
        wire::Envelope {
            payload: self.payload.clone(),
            key_id: Bytes::copy_from_slice(&self.key_id.0),
            signature: Bytes::copy_from_slice(&self.signature),
        }
    }

    /// The bytes that the signature is over.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        pae(RECORD_TYPE, &self.payload)
    }

    /// The record's id.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        record_id(&self.payload)
    }
}

/// The id of the record whose payload is given.
#[must_use]
pub fn record_id(payload: &[u8]) -> RecordId {
    let mut hash = Sha256::new();
    hash.update(SignedHead::of(payload).as_slice());
    hash.update(payload);
    RecordId(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pae_is_that_of_the_dsse_specification() {
        // The example of the DSSE v1 protocol document.
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn given_a_payload_when_its_head_is_put_before_it_then_these_are_the_signed_bytes() {
        for length in [0, 1, 9, 10, 99, 100, 4_096, MAX_ENVELOPE_BYTES] {
            let payload = vec![7; length];
            let head = SignedHead::of(&payload);
            let signed = pae(RECORD_TYPE, &payload);
            assert_eq!([head.as_slice(), &payload].concat(), signed);
            assert_eq!(record_id(&payload).0, *Sha256::digest(&signed));
        }
    }
}
