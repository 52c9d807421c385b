//! How identifiers meet serde: text for people, compact bytes for storage.
//!
//! A human-readable format (JSON) gets the canonical text, any other the compact form. Both
//! directions go through the checking constructors, so stored nonsense does not come back
//! as an identifier. Only the check characters of a party are not reckoned anew when it comes
//! from storage: a unit's row names several, and whoever keeps rows has a checksum over them.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::error::IdError;

/// Longest compact form of any identifier, in bytes.
pub const MAX_COMPACT_BYTES: usize = 64;

/// The compact form of an identifier. It is asked for several times a record, so it needs no allocation.
#[derive(Clone, Copy)]
pub struct CompactBytes {
    bytes: [u8; MAX_COMPACT_BYTES],
    len: usize,
}

impl CompactBytes {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; MAX_COMPACT_BYTES],
            len: 0,
        }
    }

    /// Adds bytes; no identifier has more than there is room for.
    pub(super) fn push(&mut self, more: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let count = more.len().min(room.len());
        debug_assert_eq!(count, more.len());
        room[..count].copy_from_slice(&more[..count]);
        self.len += count;
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::ops::Deref for CompactBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for CompactBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

/// An identifier with a compact form.
pub(super) trait Compact: Sized {
    /// Reads what storage gives back.
    fn decode(bytes: &[u8]) -> Result<Self, IdError>;
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromStr<Err = IdError>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an identifier in canonical text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

pub(super) fn deserialize_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = IdError>,
{
    deserializer.deserialize_str(TextVisitor(PhantomData))
}

struct CompactVisitor<T>(PhantomData<T>);

impl<'de, T: Compact> Visitor<'de> for CompactVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an identifier of at most {MAX_COMPACT_BYTES} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        T::decode(bytes).map_err(E::custom)
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<T, E> {
        self.visit_bytes(&bytes)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        let mut bytes = Vec::with_capacity(MAX_COMPACT_BYTES);
        while let Some(byte) = seq.next_element()? {
            if bytes.len() == MAX_COMPACT_BYTES {
                return Err(A::Error::invalid_length(bytes.len() + 1, &self));
            }
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}

pub(super) fn deserialize_compact<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Compact,
{
    deserializer.deserialize_bytes(CompactVisitor(PhantomData))
}

/// Text in every format: for identifiers that are parts of others.
macro_rules! serde_as_text {
    ($($id:ty),+) => {$(
        impl serde::Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                $crate::core::id::codec::deserialize_text(d)
            }
        }
    )+};
}

/// Text for people, compact bytes for storage.
macro_rules! serde_as_text_or_compact {
    ($id:ty) => {
        serde_as_text_or_compact!($id, from_compact);
    };
    ($id:ty, $decode:ident) => {
        impl $crate::core::id::codec::Compact for $id {
            fn decode(bytes: &[u8]) -> Result<Self, $crate::core::id::IdError> {
                Self::$decode(bytes)
            }
        }

        impl serde::Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() {
                    s.collect_str(self)
                } else {
                    s.serialize_bytes(&self.to_compact())
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    $crate::core::id::codec::deserialize_text(d)
                } else {
                    $crate::core::id::codec::deserialize_compact(d)
                }
            }
        }
    };
}

/// Text for people, a 64-bit number for storage.
macro_rules! serde_as_text_or_u64 {
    ($id:ty) => {
        impl serde::Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() {
                    s.collect_str(self)
                } else {
                    s.serialize_u64(self.as_u64())
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    $crate::core::id::codec::deserialize_text(d)
                } else {
                    let number = <u64 as serde::Deserialize>::deserialize(d)?;
                    Self::from_u64(number).map_err(serde::de::Error::custom)
                }
            }
        }
    };
}

/// `Debug` that shows the canonical text: what a person compares with the label.
macro_rules! debug_as_text {
    ($($id:ty),+) => {$(
        impl std::fmt::Debug for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($id))
            }
        }
    )+};
}

pub(super) use {debug_as_text, serde_as_text, serde_as_text_or_compact, serde_as_text_or_u64};
