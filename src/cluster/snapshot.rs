//! A ledger as of one moment, from another node: how a node joins, and what a backup is.
//!
//! The peer links its store's files into a folder and streams them. Whoever fetches them checks each file's digest,
//! then hashes every entry anew and compares the root with a head that the log's key signed: so the log up to that head
//! is the one that all have, or nothing is kept. What came after it, and the views, are as the peer has them: who the
//! peer is, TLS says, between machines together with `peer_ca`.

use std::fs;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::client::{ClientError, Ledger};
use crate::core::record::Millis;
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::tlog::note::{Note, NoteSigner, NoteVerifier};
use crate::core::wire;
use crate::store::{LogHead, Staged, StagedError, Store, StoreError, StoreOptions};

/// First line of a request.
const REQUEST: &str = "custody snapshot";
/// A request is good for so long before and after its time.
const GOOD_FOR_MS: u64 = 60_000;
/// Most bytes of a part of a file.
pub const PART_BYTES: usize = 1 << 20;
/// A peer that says nothing for so long gives nothing any more. It links and flushes its store first.
const SILENCE: Duration = Duration::from_secs(60);
/// Most files of a snapshot: RocksDB's are 64 MB and more.
const MAX_FILES: usize = 100_000;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum SnapshotError {
    #[error(transparent)]
    Staged(#[from] StagedError),
    #[error("{path}: {error}")]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{address}: {error}")]
    Peer {
        address: String,
        error: Box<ClientError>,
    },
    #[error("the request could not be signed: {0}")]
    Sign(String),
    #[error("the snapshot is not whole: {0}")]
    Incomplete(String),
    #[error("the snapshot is of another log: {0}")]
    OtherLog(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A signed request.
///
/// # Errors
/// [`SnapshotError::Sign`] when the note library refuses.
pub fn request(signer: &NoteSigner, now: Millis) -> Result<Vec<u8>, SnapshotError> {
    let text = format!("{REQUEST}\n{}\n{}\n", signer.verifier().name(), now.0);
    let note = signer.sign_note(&text);
    let note = note.map_err(|error| SnapshotError::Sign(error.to_string()))?;
    Ok(note.to_string().into_bytes())
}

/// Whether a request is one of a holder of the log's key, and from now.
///
/// # Errors
/// Says in words what is wrong with it.
pub fn check_request(note: &[u8], log: &NoteVerifier, now: Millis) -> Result<(), String> {
    let note = Note::parse(note).map_err(|error| error.to_string())?;
    let trusted = std::slice::from_ref(log);
    note.verify(trusted).map_err(|error| error.to_string())?;
    let lines: Vec<&str> = note.text().lines().collect();
    let [first, origin, time] = lines[..] else {
        return Err("a request has three lines".into());
    };
    if first != REQUEST || origin != log.name().as_str() {
        return Err("the note is no request for a snapshot of this ledger".into());
    }
    let time: u64 = time
        .parse()
        .map_err(|_| "the time is in milliseconds".to_owned())?;
    if time.abs_diff(now.0) > GOOD_FOR_MS {
        return Err("the request is not from now; are the clocks right?".into());
    }
    Ok(())
}

/// Fetches a snapshot into a folder that isn't there yet, verifies it, and says where its log ends. What is not
/// whole or not right is taken away again.
///
/// # Errors
/// [`SnapshotError`] says what is wrong.
pub async fn fetch(
    address: &str,
    ca: Option<&[u8]>,
    signer: &NoteSigner,
    now: Millis,
    into: &Path,
) -> Result<LogHead, SnapshotError> {
    let staged = Staged::begin(into)?;
    let signed = fetch_files(address, ca, signer, now, staged.path()).await?;
    let (folder, log) = (staged.path().to_owned(), signer.verifier().clone());
    // It takes long, and whatever else this task does must go on.
    let verified = tokio::task::spawn_blocking(move || verify(&folder, &log, &signed));
    let ended = |_| SnapshotError::Incomplete("the check ended early".into());
    let head = verified.await.map_err(ended)??;
    staged.keep()?;
    Ok(head)
}

/// Fetches the files; a checkpoint that the peer signed before.
async fn fetch_files(
    address: &str,
    ca: Option<&[u8]>,
    signer: &NoteSigner,
    now: Millis,
    into: &Path,
) -> Result<Vec<u8>, SnapshotError> {
    let refused = |error: ClientError| SnapshotError::Peer {
        address: address.to_owned(),
        error: Box::new(error),
    };
    let status = |status: tonic::Status| refused(status.into());
    let ledger = Ledger::connect(address, ca).await.map_err(refused)?;
    let silent = |_| SnapshotError::Incomplete(format!("{address} fell silent"));
    let checkpoint = tokio::time::timeout(SILENCE, ledger.checkpoint()).await;
    let (checkpoint, _) = checkpoint.map_err(silent)?.map_err(refused)?;
    let note = request(signer, now)?;
    let parts = ledger
        .replica()
        .fetch_snapshot(wire::FetchSnapshotRequest { note })
        .await;
    let mut parts = parts.map_err(status)?.into_inner();
    let mut open: Option<(String, fs::File, Sha256)> = None;
    let (mut files, mut told) = (0, 0);
    loop {
        let part = tokio::time::timeout(SILENCE, parts.message()).await;
        let Some(part) = part.map_err(silent)?.map_err(status)? else {
            break;
        };
        let path = into.join(name(&part.file)?);
        let (_, to, digest) = match &mut open {
            Some(open) if open.0 == part.file => open,
            Some(_) => {
                return Err(SnapshotError::Incomplete(format!(
                    "{} is cut off",
                    path.display()
                )));
            }
            none if files < MAX_FILES => {
                let new = fs::File::create_new(&path).map_err(file(&path))?;
                none.insert((part.file.clone(), new, Sha256::new()))
            }
            None => return Err(SnapshotError::Incomplete("too many files".into())),
        };
        to.write_all(&part.part).map_err(file(&path))?;
        digest.update(&part.part);
        if !part.sha256.is_empty() {
            if part.sha256 != digest.clone().finalize().as_slice() {
                return Err(SnapshotError::Incomplete(format!(
                    "{} is damaged",
                    path.display()
                )));
            }
            to.sync_all().map_err(file(&path))?;
            open = None;
            files += 1;
        }
        told = part.files;
    }
    if open.is_some() || files == 0 || u32::try_from(files) != Ok(told) {
        return Err(SnapshotError::Incomplete("the stream ended early".into()));
    }
    Ok(checkpoint)
}

/// A file's name: a plain one, since it comes from elsewhere.
fn name(text: &str) -> Result<&Path, SnapshotError> {
    let path = Path::new(text);
    let mut parts = path.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(path),
        _ => Err(SnapshotError::Incomplete(format!(
            "{text:?} is no name of a file"
        ))),
    }
}

/// Checks that a store is whole, and that its log goes on from a signed checkpoint.
fn verify(store: &Path, log: &NoteVerifier, signed: &[u8]) -> Result<LogHead, SnapshotError> {
    let other = |error: String| SnapshotError::OtherLog(error);
    let trusted = std::slice::from_ref(log);
    let checkpoint = Checkpoint::verify(signed, trusted, log.name().as_str());
    let checkpoint = checkpoint.map_err(|error| other(error.to_string()))?;
    let options = StoreOptions {
        block_cache_bytes: 32 << 20,
        ..StoreOptions::default()
    };
    let store = Store::open(store, &options)?;
    store.verify()?;
    let (head, size) = (store.head()?, checkpoint.size().get());
    if size > head.size {
        return Err(other(format!(
            "it has {} entries, and {size} were signed before",
            head.size
        )));
    }
    if store.root_at(size)? != checkpoint.root() {
        return Err(other(format!(
            "its root at size {size} is not the one that was signed"
        )));
    }
    Ok(head)
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> SnapshotError {
    let path = path.to_owned();
    move |error| SnapshotError::File { path, error }
}

/// A store's files, linked into a folder beside it for as long as this lives.
pub struct Linked(PathBuf);

impl Linked {
    /// Links them.
    ///
    /// # Errors
    /// [`StoreError`] as RocksDB reports it.
    pub fn of(store: &Store, number: u64) -> Result<Self, StoreError> {
        let folder = Self::folder(store.path(), &number.to_string());
        store.snapshot(&folder)?;
        Ok(Self(folder))
    }

    fn folder(store: &Path, suffix: &str) -> PathBuf {
        let mut name = store.as_os_str().to_owned();
        name.push(format!(".snapshot-{suffix}"));
        PathBuf::from(name)
    }

    /// Takes away what a process left that was killed meanwhile.
    pub fn clean(store: &Path) {
        let prefix = Self::folder(store, "");
        let (Some(parent), Some(prefix)) = (store.parent(), prefix.file_name()) else {
            return;
        };
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            if name
                .as_encoded_bytes()
                .starts_with(prefix.as_encoded_bytes())
            {
                // What stays takes room and nothing else.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Sends every file in parts, until the receiver says that it has enough.
    ///
    /// # Errors
    /// [`StoreError::Io`] when one can't be read.
    pub fn send(
        &self,
        mut give: impl FnMut(wire::FetchSnapshotResponse) -> bool,
    ) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| StoreError::Io(error.to_string());
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name());
        }
        names.sort();
        let files = u32::try_from(names.len()).unwrap_or(u32::MAX);
        for name in names {
            let mut from = fs::File::open(self.0.join(&name)).map_err(failed)?;
            let mut digest = Sha256::new();
            let file = name.to_string_lossy().into_owned();
            let mut last = false;
            while !last {
                let mut part = Vec::with_capacity(PART_BYTES);
                let mut limited = std::io::Read::take(&mut from, PART_BYTES as u64);
                std::io::Read::read_to_end(&mut limited, &mut part).map_err(failed)?;
                last = part.len() < PART_BYTES;
                digest.update(&part);
                let sha256 = if last {
                    digest.clone().finalize().to_vec()
                } else {
                    Vec::new()
                };
                let message = wire::FetchSnapshotResponse {
                    file: file.clone(),
                    part: part.into(),
                    sha256,
                    files: if last { files } else { 0 },
                };
                if !give(message) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        // What stays takes room; the next start takes it away.
        let _ = fs::remove_dir_all(&self.0);
    }
}
