//! Names, ids and kinds of the keys of notes, and the form of their texts
//! (c2sp.org/signed-note, "Signatures"; the texts are those of Go's `sumdb/note`).

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The longest key name, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// The name of a key, usually a URL without scheme: not empty, without spaces, control
/// characters or `+`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// The four bytes which, with the name, tell a key and its kind of signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

/// A kind of signature that is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// Ed25519 over the text (c2sp.org/signed-note, type 0x01): a log signs so.
    Ed25519,
    /// Ed25519 over a time and the text (c2sp.org/tlog-cosignature, type 0x04): a witness
    /// signs so.
    CosignatureV1,
}

/// Why something is no key or no name of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty.
    #[error("a key name is not empty")]
    EmptyName,
    /// The name is too long.
    #[error("the key name has {0} bytes, at most {MAX_NAME_BYTES} are accepted")]
    LongName(usize),
    /// The name has a character that it must not have.
    #[error("a key name has no spaces, control characters or plus signs, but this has {0:?}")]
    NameCharacter(char),
    /// The text is not `<name>+<id>+<base64>`.
    #[error("a verifier key is written <name>+<id>+<base64>")]
    VerifierForm,
    /// The text is not `PRIVATE+KEY+<name>+<id>+<base64>`.
    #[error("a signer key is written PRIVATE+KEY+<name>+<id>+<base64>")]
    SignerForm,
    /// The key is not standard Base64.
    #[error("the key is not standard Base64")]
    Base64,
    /// The type byte is of no supported kind.
    #[error("keys of the type {0:#04x} are not supported")]
    Kind(u8),
    /// The key does not have 32 bytes.
    #[error("an Ed25519 key has 32 bytes, not {0}")]
    Length(usize),
    /// The id in the text is not that of the key.
    #[error("the id of the key is {0}, the text has another one")]
    Id(KeyId),
    /// The bytes are no public key, or one under which anybody could sign.
    #[error("the bytes are no usable Ed25519 public key")]
    PublicKey,
}

impl KeyName {
    /// The key name with this text.
    pub fn new(name: &str) -> Result<Self, KeyError> {
        if name.is_empty() {
            return Err(KeyError::EmptyName);
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(KeyError::LongName(name.len()));
        }
        let is_refused = |c: &char| c.is_whitespace() || *c < ' ' || *c == '+';
        match name.chars().find(is_refused) {
            Some(character) => Err(KeyError::NameCharacter(character)),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyId {
    /// The id with these bytes.
    pub const fn new(id: [u8; 4]) -> Self {
        Self(id)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }

    /// The id of a key: SHA-256(name || 0x0A || type || public key), first 4 bytes.
    pub(super) fn of(name: &KeyName, kind: KeyKind, public_key: &[u8; 32]) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(&name.0)
            .chain_update([b'\n', kind.byte()])
            .chain_update(public_key)
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        Self([a, b, c, d])
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

impl KeyKind {
    /// The type byte of c2sp.org/signed-note, "Signature types".
    pub(super) const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }

    const fn from_byte(byte: u8) -> Result<Self, KeyError> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::CosignatureV1),
            other => Err(KeyError::Kind(other)),
        }
    }
}

/// Name, id and Base64; the Base64 may have plus signs too.
pub(super) fn split_key(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    Some((name, id, key))
}

/// The kind and the 32 bytes of a public or secret key.
pub(super) fn decode_key(base64: &str) -> Result<(KeyKind, Zeroizing<[u8; 32]>), KeyError> {
    let bytes = Zeroizing::new(BASE64.decode(base64).map_err(|_| KeyError::Base64)?);
    let (kind, key) = bytes.split_first().ok_or(KeyError::Length(0))?;
    let kind = KeyKind::from_byte(*kind)?;
    let key: &[u8; 32] = key.try_into().map_err(|_| KeyError::Length(key.len()))?;
    Ok((kind, Zeroizing::new(*key)))
}

pub(super) fn check_id(id: KeyId, text: &str) -> Result<(), KeyError> {
    if id.to_string() == text {
        Ok(())
    } else {
        Err(KeyError::Id(id))
    }
}
