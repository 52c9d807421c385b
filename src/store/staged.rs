//! A folder that has its name only when all is in it.

use std::fs;
use std::io::Error;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Why there is no such folder.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum StagedError {
    #[error("{0} is there already")]
    Exists(PathBuf),
    #[error("{path}: {error}")]
    File { path: PathBuf, error: Error },
}

/// A folder under another name, so that no half of it is ever taken for the whole. What is not [kept](Self::keep) is
/// taken away again.
#[derive(Debug)]
pub struct Staged {
    partial: PathBuf,
    into: PathBuf,
}

impl Staged {
    /// Begins one; what an earlier try left is taken away first.
    ///
    /// # Errors
    /// [`StagedError`] when the folder is there already, or can't be made.
    pub fn begin(into: &Path) -> Result<Self, StagedError> {
        if into.exists() {
            return Err(StagedError::Exists(into.to_owned()));
        }
        let mut partial = into.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(file(&partial))?;
        }
        let mut folder = fs::DirBuilder::new();
        let made = folder.recursive(true).mode(0o700).create(&partial);
        made.map_err(file(&partial))?;
        Ok(Self {
            partial,
            into: into.to_owned(),
        })
    }

    /// Where to put what is to be in it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Gives it its name, for good: on the disk when this returns.
    ///
    /// # Errors
    /// [`StagedError::File`].
    pub fn keep(self) -> Result<(), StagedError> {
        sync(&self.partial)?;
        fs::rename(&self.partial, &self.into).map_err(file(&self.into))?;
        self.into.parent().map_or(Ok(()), sync)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What stays is no harm: the next try begins by taking it away.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

fn sync(folder: &Path) -> Result<(), StagedError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(file(folder))
}

fn file(path: &Path) -> impl FnOnce(Error) -> StagedError {
    let path = path.to_owned();
    move |error| StagedError::File { path, error }
}
