//! The log: an append-only Merkle tree whose state anybody can check.
//!
//! Tree and proofs are those of RFC 9162 section 2.1 (the same tree as RFC 6962 section
//! 2.1) with SHA-256; files, notes and checkpoints are those of C2SP. One module a
//! specification:
//!
//! ```text
//!   entry ─ leaf_hash ─▶ tile::RightEdge ─ full tiles ─▶ storage, publishing
//!                             │ root                        │ hashes
//!                             ▼                             ▼
//!                    checkpoint ─ note ─▶ anybody     proof ─▶ anybody
//! ```
//!
//! | module | specification |
//! |---|---|
//! | [`proof`] | RFC 9162 sections 2.1.3 and 2.1.4, inclusion and consistency |
//! | [`frontier`] | the compact range: all that is needed to go on appending |
//! | [`tile`] | c2sp.org/tlog-tiles |
//! | [`note`] | c2sp.org/signed-note and c2sp.org/tlog-cosignature (v1) |
//! | [`checkpoint`] | c2sp.org/tlog-checkpoint |
//!
//! No clock and no I/O in here: what is read comes through a function of the caller, and
//! nothing that is read can cause a panic.

pub mod checkpoint;
pub mod frontier;
pub mod note;
pub mod proof;
pub mod tile;

#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// The root of the log without entries, SHA-256 of nothing (RFC 9162 section 2.1.1).
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// The first byte under a hash tells leaf from node, so that no entry can pass for an inner
/// node (RFC 9162 section 2.1.1).
const LEAF_PREFIX: [u8; 1] = [0x00];
const NODE_PREFIX: [u8; 1] = [0x01];

/// A SHA-256 hash of the tree: of a leaf, of a node or the root.
///
/// Written in hexadecimal for people and JSON, as bytes in binary formats, and in Base64 in
/// checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; HASH_BYTES]);

/// A text or byte string which is not a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Not 32 bytes.
    #[error("a hash has 32 bytes, not {0}")]
    Length(usize),
    /// Not hexadecimal.
    #[error("a hash is written with 64 hexadecimal digits")]
    Hex,
    /// Not standard Base64 with padding.
    #[error("a hash is written in standard Base64, 44 characters with padding")]
    Base64,
}

impl Hash {
    /// The hash with these bytes.
    pub const fn new(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// Its standard Base64 (RFC 4648 section 4), as in a checkpoint.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0)
    }

    /// The hash that this standard Base64 means; only the canonical text is accepted.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        let bytes = BASE64.decode(text).map_err(|_| HashError::Base64)?;
        Self::try_from(bytes.as_slice())
    }
}

impl From<[u8; HASH_BYTES]> for Hash {
    fn from(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = HashError;

    fn try_from(bytes: &[u8]) -> Result<Self, HashError> {
        let bytes = bytes
            .try_into()
            .map_err(|_| HashError::Length(bytes.len()))?;
        Ok(Self(bytes))
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Hash {
    type Err = HashError;

    /// Reads 64 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, HashError> {
        let mut bytes = [0; HASH_BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| HashError::Hex)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(HashVisitor)
        } else {
            deserializer.deserialize_bytes(HashVisitor)
        }
    }
}

struct HashVisitor;

impl de::Visitor<'_> for HashVisitor {
    type Value = Hash;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hash: 32 bytes or 64 hexadecimal digits")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Hash, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Hash, E> {
        Hash::try_from(bytes).map_err(E::custom)
    }
}

/// The place of an entry in the log; the first entry has place 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct LogIndex(pub u64);

impl LogIndex {
    /// The entry at this place.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The place as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many entries a log, or an earlier state of it, has.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TreeSize(u64);

impl TreeSize {
    /// The size of the empty log.
    pub const ZERO: Self = Self(0);

    /// A log of so many entries.
    pub const fn new(size: u64) -> Self {
        Self(size)
    }

    /// The number of entries.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether the entry is in a log of this size.
    pub const fn contains(self, index: LogIndex) -> bool {
        index.0 < self.0
    }

    /// The size with one entry more.
    pub fn next(self) -> Result<Self, LogFull> {
        self.0.checked_add(1).map(Self).ok_or(LogFull)
    }
}

impl fmt::Display for TreeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The log has 2^64 - 1 entries and takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is full: it has 2^64 - 1 entries")]
pub struct LogFull;

/// The hash of an entry: SHA-256(0x00 || entry), RFC 9162 section 2.1.1.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let hash = Sha256::new().chain_update(LEAF_PREFIX).chain_update(entry);
    Hash(hash.finalize().into())
}

/// The hash of a node: SHA-256(0x01 || left || right), RFC 9162 section 2.1.1.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let hash = Sha256::new()
        .chain_update(NODE_PREFIX)
        .chain_update(left.0)
        .chain_update(right.0);
    Hash(hash.finalize().into())
}

/// The root above perfect subtrees which lie side by side, the largest leftmost; `None`
/// when there is no subtree.
///
/// The ragged right edge of RFC 9162's tree is always of this form: the left part is the
/// largest perfect tree, so hashing goes from the right to the left.
fn fold_right_edge(subtrees: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    subtrees
        .rev()
        .reduce(|right, left| node_hash(&left, &right))
}
