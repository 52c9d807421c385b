//! Ed25519: keys, signing, and the one rule by which signatures are accepted.
//!
//! # The acceptance rule
//!
//! A signature `(R, S)` by the key `A` over `M` is accepted by the rule of
//! [ZIP 215](https://zips.z.cash/zip-0215): `A` and `R` decode as curve points (non-canonical
//! encodings of `y` are allowed), `S` is less than the group order, and
//! `[8][S]B = [8]R + [8][k]A` with `k = SHA-512(R || A || M)`.
//!
//! RFC 8032 leaves open whether the equation is multiplied by the cofactor, and libraries differ.
//! A batch check *must* multiply to be sound, so only the multiplied equation gives the same
//! answer alone and in a batch. Then two honest verifiers can't disagree about evidence, and the
//! server may batch. `ed25519-zebra` implements exactly this rule; its equation for a batch is
//! written once more in `batch`, over keys that were decoded before.
//!
//! What the rule lets through is closed at registration instead: [`PublicKey::parse`] refuses
//! keys of small order, with which one signature fits many messages, and keys that are not
//! encoded canonically, with which one key would have two ids.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use ed25519_zebra::Signature as ZebraSignature;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

mod batch;

pub use batch::{BatchItem, DecodedKey, KeyRef, verify_batch};

/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Bytes of a key id.
pub const KEY_ID_BYTES: usize = 16;

/// Signature suite: signature algorithm and digest together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Suite {
    /// Suite 1: Ed25519 (ZIP 215) and SHA-256.
    Ed25519Sha256,
}

impl Suite {
    /// The suite's number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Ed25519Sha256 => 1,
        }
    }

    /// # Errors
    /// [`KeyError::UnknownSuite`] for every number but those of implemented suites; suite 2
    /// (SM2 with SM3) is reserved.
    pub const fn from_number(number: i32) -> Result<Self, KeyError> {
        match number {
            1 => Ok(Self::Ed25519Sha256),
            other => Err(KeyError::UnknownSuite(other)),
        }
    }
}

/// What can be wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No suite of this ledger has the number.
    #[error("suite {0} is not supported; use suite 1 (Ed25519 with SHA-256)")]
    UnknownSuite(i32),
    /// The length is wrong.
    #[error("an Ed25519 public key has 32 bytes, not {0}")]
    Length(usize),
    /// The bytes are no point of the curve.
    #[error("the public key is not a point of the curve")]
    NotAPoint,
    /// A key of small order, for which one signature fits many messages.
    #[error("the public key has small order; generate a new key pair")]
    SmallOrder,
    /// The same point has a shorter encoding.
    #[error("the public key is not encoded canonically (RFC 8032, section 5.1.2)")]
    NotCanonical,
}

/// Short name of a public key: the first 16 bytes of SHA-256(suite as one byte || public key).
///
/// Sixteen bytes hold second preimages at 2^128; two keys with one id can be made at 2^64, but
/// registration refuses the second, so its maker gains nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(#[serde(with = "serde_bytes")] pub [u8; KEY_ID_BYTES]);

impl KeyId {
    /// From bytes of the right length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for KeyId {
    type Err = hex::FromHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = [0; KEY_ID_BYTES];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}

/// A public key that may be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicKey {
    suite: Suite,
    #[serde(with = "serde_bytes")]
    bytes: [u8; 32],
}

impl PublicKey {
    /// Checks a key that asks to be registered.
    ///
    /// # Errors
    /// [`KeyError`] says which of the conditions doesn't hold.
    pub fn parse(suite: i32, bytes: &[u8]) -> Result<Self, KeyError> {
        let suite = Suite::from_number(suite)?;
        let bytes: [u8; 32] = bytes
            .try_into()
            .map_err(|_| KeyError::Length(bytes.len()))?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() {
            return Err(KeyError::SmallOrder);
        }
        if key.to_edwards().compress().to_bytes() != bytes {
            return Err(KeyError::NotCanonical);
        }
        Ok(Self { suite, bytes })
    }

    /// The suite that signatures of this key belong to.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The encoded point.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut hash = Sha256::new();
        #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)] // 1 or 2
        hash.update([self.suite.number() as u8]);
        hash.update(self.bytes);
        let digest: [u8; 32] = hash.finalize().into();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest[..KEY_ID_BYTES]);
        KeyId(id)
    }

    /// Checks one signature by the acceptance rule.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        verify_single(&self.bytes, message, signature)
    }
}

/// The acceptance rule for one signature, on raw key bytes.
#[must_use]
pub fn verify_single(key: &[u8; 32], message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
    ed25519_zebra::VerificationKey::try_from(*key)
        .and_then(|key| key.verify(&ZebraSignature::from_bytes(signature), message))
        .is_ok()
}

/// A private key. Zeroised when dropped; never printed.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    public: PublicKey,
}

impl Signer {
    /// From the 32 bytes of an Ed25519 seed.
    ///
    /// # Panics
    /// Never: a derived public key is canonical and of large order.
    #[must_use]
    pub fn from_seed(seed: &Zeroizing<[u8; 32]>) -> Self {
        let key = SigningKey::from_bytes(seed);
        let public = PublicKey {
            suite: Suite::Ed25519Sha256,
            bytes: key.verifying_key().to_bytes(),
        };
        Self { key, public }
    }

    /// The public half.
    #[must_use]
    pub const fn public_key(&self) -> PublicKey {
        self.public
    }

    /// The id of the public half.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.public.id()
    }

    /// The seed, for a key file or for a token library.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.key_id())
    }
}
