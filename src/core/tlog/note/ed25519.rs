//! Signing and verifying with Ed25519: notes (c2sp.org/signed-note, "Ed25519 signatures") and
//! cosignatures (c2sp.org/tlog-cosignature, "Ed25519 signed message").
//!
//! Signatures are verified by the rules of ZIP 215, under which verifying one by one and in
//! batches always agree.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::Signer;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    KeyError, KeyId, KeyKind, KeyName, Note, NoteError, NoteSignature,
    key::{check_id, decode_key, split_key},
};

const SIGNATURE_BYTES: usize = 64;
const SECRET_PREFIX: &str = "PRIVATE+KEY+";

/// A time in seconds since the Epoch, below 2^63 (c2sp.org/tlog-cosignature, "Format").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PosixSeconds(u64);

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Another number of bytes than signatures of its kind have.
    #[error("the signature has {actual} bytes, it must have {expected}")]
    Length {
        /// The bytes that signatures of the kind have.
        expected: usize,
        /// The bytes found.
        actual: usize,
    },
    /// The time of a cosignature is 2^63 or more.
    #[error("the time of the cosignature is out of range")]
    Time,
    /// The signature does not fit the text.
    #[error("the signature does not fit the text")]
    Mismatch,
}

/// Why a text was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The key is for the other kind of signature.
    #[error("the key {name} is for signatures of the kind {kind:?}")]
    Kind {
        /// The name of the key.
        name: KeyName,
        /// What it is for.
        kind: KeyKind,
    },
    /// The text can't be that of a note.
    #[error(transparent)]
    Text(#[from] NoteError),
}

impl PosixSeconds {
    /// The time, `None` from 2^63 on.
    pub const fn new(seconds: u64) -> Option<Self> {
        if seconds > i64::MAX as u64 {
            return None;
        }
        Some(Self(seconds))
    }

    /// The seconds since the Epoch.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What a cosignature signs (c2sp.org/tlog-cosignature, "Ed25519 signed message").
fn cosigned_message(time: PosixSeconds, text: &str) -> String {
    format!("cosignature/v1\ntime {}\n{text}", time.0)
}

/// A public key that is trusted, with its name and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteVerifier {
    name: KeyName,
    key_id: KeyId,
    kind: KeyKind,
    public_key: ed25519_zebra::VerificationKey,
}

impl NoteVerifier {
    /// The verifier for this key.
    pub fn new(name: KeyName, kind: KeyKind, public_key: &[u8; 32]) -> Result<Self, KeyError> {
        // Under a key of small order a signature of nobody verifies.
        let is_weak =
            ed25519_dalek::VerifyingKey::from_bytes(public_key).map_or(true, |key| key.is_weak());
        if is_weak {
            return Err(KeyError::PublicKey);
        }
        let key_id = KeyId::of(&name, kind, public_key);
        let public_key = ed25519_zebra::VerificationKey::try_from(*public_key)
            .map_err(|_| KeyError::PublicKey)?;
        Ok(Self {
            name,
            key_id,
            kind,
            public_key,
        })
    }

    /// The name of the key.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of the key.
    pub const fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// What kind of signature the key makes.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key.into()
    }

    /// Verifies a signature, without its key id, on the text of a note. A cosignature gives
    /// its time.
    pub fn verify(
        &self,
        text: &str,
        signature: &[u8],
    ) -> Result<Option<PosixSeconds>, SignatureError> {
        match self.kind {
            KeyKind::Ed25519 => {
                self.verify_bytes(text, signature)?;
                Ok(None)
            }
            KeyKind::CosignatureV1 => {
                let (time, bytes) = split_cosignature(signature)?;
                self.verify_bytes(&cosigned_message(time, text), bytes)?;
                Ok(Some(time))
            }
        }
    }

    fn verify_bytes(&self, message: &str, signature: &[u8]) -> Result<(), SignatureError> {
        let signature: [u8; SIGNATURE_BYTES] =
            signature.try_into().map_err(|_| SignatureError::Length {
                expected: SIGNATURE_BYTES,
                actual: signature.len(),
            })?;
        let signature = ed25519_zebra::Signature::from(signature);
        self.public_key
            .verify(&signature, message.as_bytes())
            .map_err(|_| SignatureError::Mismatch)
    }
}

#[cfg(test)]
impl NoteVerifier {
    /// This key under the name and id of another one, as an attacker would search for.
    pub(super) fn renamed(self, other: &Self) -> Self {
        let (name, key_id) = (other.name.clone(), other.key_id);
        Self {
            name,
            key_id,
            ..self
        }
    }
}

/// The time and the signature in a `timestamped_signature`.
fn split_cosignature(signature: &[u8]) -> Result<(PosixSeconds, &[u8]), SignatureError> {
    let length = SignatureError::Length {
        expected: size_of::<u64>() + SIGNATURE_BYTES,
        actual: signature.len(),
    };
    let (time, bytes) = signature.split_first_chunk().ok_or(length)?;
    if bytes.len() != SIGNATURE_BYTES {
        return Err(length);
    }
    let time = PosixSeconds::new(u64::from_be_bytes(*time)).ok_or(SignatureError::Time)?;
    Ok((time, bytes))
}

impl FromStr for NoteVerifier {
    type Err = KeyError;

    /// Reads a verifier key, `<name>+<id>+<base64(type || public key)>`.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, key) = split_key(text).ok_or(KeyError::VerifierForm)?;
        let (kind, public_key) = decode_key(key)?;
        let verifier = Self::new(KeyName::new(name)?, kind, &public_key)?;
        check_id(verifier.key_id, id)?;
        Ok(verifier)
    }
}

impl fmt::Display for NoteVerifier {
    /// Writes the verifier key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [[self.kind.byte()].as_slice(), &self.public_key()].concat();
        write!(f, "{}+{}+{}", self.name, self.key_id, BASE64.encode(key))
    }
}

/// A secret key with its name and kind; its memory is overwritten in the end.
#[derive(Clone)]
pub struct NoteSigner {
    verifier: NoteVerifier,
    key: ed25519_dalek::SigningKey,
}

impl NoteSigner {
    /// The signer with this secret: 32 random bytes.
    pub fn new(name: KeyName, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = NoteVerifier::new(name, kind, key.verifying_key().as_bytes())?;
        Ok(Self { verifier, key })
    }

    /// Reads what [`to_secret_text`](Self::to_secret_text) wrote.
    pub fn from_secret_text(text: &str) -> Result<Self, KeyError> {
        let text = text
            .strip_prefix(SECRET_PREFIX)
            .ok_or(KeyError::SignerForm)?;
        let (name, id, key) = split_key(text).ok_or(KeyError::SignerForm)?;
        let (kind, seed) = decode_key(key)?;
        let signer = Self::new(KeyName::new(name)?, kind, &seed)?;
        check_id(signer.verifier.key_id, id)?;
        Ok(signer)
    }

    /// The key as text for a secret store:
    /// `PRIVATE+KEY+<name>+<id>+<base64(type || seed)>`.
    pub fn to_secret_text(&self) -> Zeroizing<String> {
        let mut key = Zeroizing::new([0; 33]);
        key[0] = self.verifier.kind.byte();
        key[1..].copy_from_slice(self.key.as_bytes());
        let (name, id) = (&self.verifier.name, self.verifier.key_id);
        let public = format!("{SECRET_PREFIX}{name}+{id}+");
        // Long enough from the start, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(public.len() + 2 * key.len()));
        text.push_str(&public);
        BASE64.encode_string(key.as_slice(), &mut text);
        text
    }

    /// A secret of its own for each purpose, which tells nothing of the key: HMAC-SHA-256 of the purpose (RFC
    /// 5869, section 2.3, one block).
    pub fn derived_secret(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes())
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(purpose);
        mac.update(&[1]);
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// The public half.
    pub fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// Signs the text of a note, which ends in a newline.
    pub fn sign(&self, text: &str) -> Result<NoteSignature, SignError> {
        self.check_kind(KeyKind::Ed25519)?;
        super::check_text(text)?;
        Ok(self.line(self.key.sign(text.as_bytes()).to_vec()))
    }

    /// Signs the text of a note and makes the note of it.
    pub fn sign_note(&self, text: &str) -> Result<Note, SignError> {
        Ok(Note::new(text.to_owned(), self.sign(text)?)?)
    }

    /// Cosigns the text of a checkpoint at this time. Whether that is a checkpoint, and
    /// consistent with the last one, has been checked before.
    pub fn cosign(&self, text: &str, time: PosixSeconds) -> Result<NoteSignature, SignError> {
        self.check_kind(KeyKind::CosignatureV1)?;
        super::check_text(text)?;
        let signature = self.key.sign(cosigned_message(time, text).as_bytes());
        let time = time.0.to_be_bytes();
        Ok(self.line([time.as_slice(), &signature.to_bytes()].concat()))
    }

    fn check_kind(&self, kind: KeyKind) -> Result<(), SignError> {
        if self.verifier.kind == kind {
            return Ok(());
        }
        Err(SignError::Kind {
            name: self.verifier.name.clone(),
            kind: self.verifier.kind,
        })
    }

    fn line(&self, signature: Vec<u8>) -> NoteSignature {
        NoteSignature::new(self.verifier.name.clone(), self.verifier.key_id, signature)
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the secret.
        let verifier = &self.verifier;
        f.debug_struct("NoteSigner")
            .field("verifier", verifier)
            .finish_non_exhaustive()
    }
}
