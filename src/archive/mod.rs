//! The archive: the log as files that never change, on object storage or in a folder, laid out as
//! [c2sp.org/tlog-tiles](https://c2sp.org/tlog-tiles) says. See `src/archive/README.md`.

mod bounded;
mod place;
mod publish;
mod read;
mod rebuild;

pub use place::Place;
pub use publish::{Publisher, Round};
pub use read::Reader;
pub use rebuild::{Rebuilding, rebuild};

use crate::audit::AuditError;
use crate::store::{StagedError, StoreError};

/// Where a log says how far it is, below its prefix (tlog-tiles).
const CHECKPOINT: &str = "checkpoint";
/// Objects under way at once.
const AT_ONCE: usize = 8;

/// What is wrong with an archive, or on the way to it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum ArchiveError {
    #[error("{url} names no archive: {why}; it is s3://bucket/prefix or file:///folder")]
    Url { url: String, why: String },
    #[error("another process writes to the archive {0}; only one may write to a folder")]
    Locked(String),
    #[error("{name}: {what}")]
    Object { name: String, what: String },
    #[error("{name}: this key may not read it, or it is missing; may the key list the archive?")]
    Denied { name: String },
    #[error("there is no such bucket: {0}")]
    NoBucket(String),
    #[error("{name} was written, and reads back otherwise")]
    ReadBack { name: String },
    #[error("{0} is not replaced: the server refuses, although nobody else has replaced it")]
    NotReplaced(&'static str),
    #[error(
        "{0} is there, and is not this ledger's; another ledger with the same key writes to this archive, or did: \
         stop it"
    )]
    Foreign(String),
    #[error("{0} is missing")]
    Missing(String),
    #[error("{name}: {what}")]
    Wrong { name: String, what: String },
    #[error(
        "the archive has {archived} entries of this log, and the ledger only {here}: what is missing here was \
         acknowledged; rebuild the ledger from the archive"
    )]
    Ahead { archived: u64, here: u64 },
    #[error(
        "the archive has another log of this name: its checkpoint of {0} entries has another root than the ledger \
         had then, and both are signed with the log's key"
    )]
    Forked(u64),
    #[error("the checkpoint is not signed: {0}")]
    Unsigned(String),
    #[error("the audit failed at {0}")]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Staged(#[from] StagedError),
    #[error("{path}: {error}")]
    File {
        path: std::path::PathBuf,
        error: std::io::Error,
    },
    #[error("a thread ended early")]
    Ended,
}

impl ArchiveError {
    /// Whether what the archive has can't go together with what the ledger has: then the ledger must not go on.
    #[must_use]
    pub const fn contradicts(&self) -> bool {
        matches!(self, Self::Ahead { .. } | Self::Forked(_))
    }

    /// Whether it is of no use to try again: the address is not that of an archive of this log.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Wrong { .. } | Self::NoBucket(_)) || self.contradicts()
    }

    /// Whether what the archive holds is not what it has to be.
    #[must_use]
    pub const fn is_of_content(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Wrong { .. } | Self::Audit(_)) || self.contradicts()
    }
}

fn wrong(name: impl Into<String>, what: impl ToString) -> ArchiveError {
    let (name, what) = (name.into(), what.to_string());
    ArchiveError::Wrong { name, what }
}
