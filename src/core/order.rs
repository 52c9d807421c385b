//! The order's own chain: commit groups, each of which names the one before it.
//!
//! Two nodes whose last group has the same [`GroupId`] went through the same groups, byte for byte.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::core::tlog::Hash;

const GROUP: &[u8] = b"custody commit group v1\n";
const BASE: &[u8] = b"custody cluster base v1\n";

/// A commit group: its place in the order, and a hash that stands for all groups up to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupId {
    /// Number of the group; 0 is before the first.
    pub number: u64,
    /// SHA-256 of the group, which names the hash of the one before.
    pub hash: [u8; 32],
}

impl GroupId {
    /// What the first group of a cluster names as the one before it: the log that its members began with.
    #[must_use]
    pub fn base(origin: &str, size: u64, root: &Hash) -> Self {
        let mut hash = Sha256::new();
        hash.update(BASE);
        hash.update((origin.len() as u64).to_be_bytes());
        hash.update(origin);
        hash.update(size.to_be_bytes());
        hash.update(root);
        Self {
            number: 0,
            hash: hash.finalize().into(),
        }
    }

    /// The group with this number and these bytes.
    #[must_use]
    pub fn of(number: u64, group: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(GROUP);
        hash.update(group);
        Self {
            number,
            hash: hash.finalize().into(),
        }
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, hex::encode(&self.hash[..8]))
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
