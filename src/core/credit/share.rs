//! What is shared with public-credit platforms (信用信息共享), as a feed that is a function of the log alone.
//!
//! An entry shares what it makes public: a listing that takes effect, a credit record, a measure; and it
//! takes back what it ends. A term that runs out is taken back at its own time, before the first entry
//! of that time or later: the feed is ordered by time, and in it ends come before entries. So the feed up to an
//! entry is the same on every node, and a place in it is a cursor.

use serde::{Deserialize, Serialize};

use super::Ending;
use crate::core::tlog::LogIndex;

/// What is shared and may be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A listing, by its number.
    Listing(LogIndex),
    /// A measure, by its number.
    Measure(LogIndex),
}

impl Subject {
    /// As bytes: a tag and the number.
    #[must_use]
    pub fn bytes(self) -> [u8; 9] {
        let (tag, index) = match self {
            Self::Listing(index) => (b'l', index),
            Self::Measure(index) => (b'm', index),
        };
        let mut bytes = [tag; 9];
        bytes[1..].copy_from_slice(&index.0.to_be_bytes());
        bytes
    }

    /// From its bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, number) = bytes.split_first()?;
        let index = LogIndex(u64::from_be_bytes(number.try_into().ok()?));
        match tag {
            b'l' => Some(Self::Listing(index)),
            b'm' => Some(Self::Measure(index)),
            _ => None,
        }
    }
}

/// What an entry shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shared {
    /// A listing that is public from here on, or a measure of one.
    Public(Subject),
    /// A credit record.
    Record(LogIndex),
    /// It was ended here.
    Retracted(Subject, Ending),
}
