//! What can be wrong with a store, and how RocksDB says it.

use std::path::{Path, PathBuf};

use super::FORMAT;
use crate::core::apply::ReadError;
use crate::core::tlog::LogIndex;

/// What can be wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No store there.
    #[error("{0} holds no ledger; make one with `custody init`")]
    Absent(PathBuf),
    /// One is there already.
    #[error("{0} holds a ledger already; choose another folder")]
    Exists(PathBuf),
    /// Written by a newer build.
    #[error("the store has format {found}, this build reads {FORMAT}; use a newer build")]
    NewerFormat {
        /// What the store says.
        found: u32,
    },
    /// Written by an older build.
    #[error(
        "the store has format {found}, this build reads {FORMAT}; use the build that wrote it, or \
         make a new ledger with `custody init`"
    )]
    OlderFormat {
        /// What the store says.
        found: u32,
    },
    /// Another process has it.
    #[error("another process holds the ledger in {0}; stop it first")]
    Locked(PathBuf),
    /// The files are damaged. Nothing was repaired.
    #[error("the store is corrupt: {0}; restore it from a backup, nothing was changed")]
    Corrupt(String),
    /// The disk or the system failed.
    #[error("the store failed: {0}")]
    Io(String),
    /// It would have to be read from the disk, and the view goes no further than memory.
    #[error("not in memory")]
    NotInMemory,
}

impl StoreError {
    /// What an entry left in the views has to be there and is not.
    #[must_use]
    pub fn no_row(index: LogIndex) -> Self {
        Self::Corrupt(format!("no row of entry {index}"))
    }

    /// An entry that has to be there is not.
    #[must_use]
    pub fn no_entry(index: LogIndex) -> Self {
        Self::Corrupt(format!("entry {index} is missing"))
    }
}

pub(super) fn read_error(table: &'static str, error: &StoreError) -> ReadError {
    ReadError {
        table,
        message: error.to_string(),
        out_of_reach: matches!(error, StoreError::NotInMemory),
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        if error.out_of_reach {
            Self::NotInMemory
        } else {
            Self::Io(error.to_string())
        }
    }
}

/// Why it doesn't open.
pub(super) fn classify(error: &rocksdb::Error, path: &Path) -> StoreError {
    let text = error.to_string();
    if text.contains("lock") && text.contains("LOCK") {
        return StoreError::Locked(path.to_owned());
    }
    match error.kind() {
        rocksdb::ErrorKind::Corruption | rocksdb::ErrorKind::InvalidArgument => {
            StoreError::Corrupt(text)
        }
        _ => StoreError::Io(text),
    }
}

pub(super) fn io(error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => StoreError::Corrupt(error.to_string()),
        rocksdb::ErrorKind::Incomplete => StoreError::NotInMemory,
        _ => StoreError::Io(error.to_string()),
    }
}
