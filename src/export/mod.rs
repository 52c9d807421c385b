//! Pushes what is shared to a public-credit platform (信用信息共享), exactly once a cursor.
//!
//! ```text
//!  ledger ── ExportSince(cursor) ──► pending ──► adapter ──► receipt ──► cursor
//! ```
//!
//! A batch is written down before it is handed over, and stays until its receipt and the next cursor are
//! on the disk. So after a crash the very same bytes are handed over again, under the same name, and an
//! adapter can tell that it has them.

mod folder;
mod https;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use folder::Folder;
pub use https::{Https, HttpsOptions};

use crate::client::{ClientError, Ledger};
use crate::core::credit::export::{Cursor, ExportError, Manifest};
use crate::core::tlog::note::NoteVerifier;
use crate::core::wire;

/// Where the next batch begins.
const CURSOR: &str = "cursor";
/// What was handed over or is about to be.
const PENDING: &str = "pending.json";
/// Held while a push goes on.
const LOCK: &str = "lock";
/// Which ledger and which receiver the folder is for.
const BOUND: &str = "receiver";
/// One receipt a line.
const RECEIPTS: &str = "receipts.jsonl";

/// A batch on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The cursor that it begins at: with the ledger, its name.
    pub from: String,
    /// The cursor after it.
    pub next: String,
    /// `json` or `csv`.
    pub form: String,
    /// How many items.
    pub items: u64,
    /// SHA-256 of the batch, in hex.
    pub sha256: String,
    /// The batch.
    pub batch: String,
    /// The note that signs it.
    pub note: String,
}

/// That a platform took a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// As the parcel's.
    pub from: String,
    /// As the parcel's.
    pub next: String,
    /// As the parcel's.
    pub items: u64,
    /// As the parcel's.
    pub sha256: String,
    /// To whom: a folder or an address.
    pub to: String,
    /// What the receiver said.
    pub answer: String,
    /// When; RFC 3339 in UTC.
    pub time: String,
}

/// Hands batches over. The same parcel may come twice, after a crash; then it is taken as one.
pub trait Adapter {
    /// Where to, for people.
    fn to(&self) -> String;

    /// Hands a parcel over and says what the receiver answered.
    ///
    /// # Errors
    /// [`PushError::Adapter`] when it is not sure that the receiver has it.
    fn deliver(&self, parcel: &Parcel) -> Result<String, PushError>;
}

/// Why a push ended early. Nothing is lost: the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ClientError),
    /// What the ledger answered can't be believed.
    #[error("the ledger's batch: {0}")]
    Untrusted(#[from] ExportError),
    /// The state folder.
    #[error("{0}: {1}")]
    State(PathBuf, io::Error),
    /// What lies in the state folder was not written by this program.
    #[error("{0}: {1}; move it away, and look what the receiver has")]
    Damaged(PathBuf, String),
    /// Another push is going on, or the folder is another receiver's.
    #[error("{0}: {1}")]
    Taken(PathBuf, String),
    /// The receiver.
    #[error("{to}: {message}; run the same again")]
    Adapter {
        /// Which one.
        to: String,
        /// What went wrong.
        message: String,
    },
}

/// What one push did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Batches that were handed over.
    pub batches: u64,
    /// Items in them.
    pub items: u64,
    /// Where the next push begins.
    pub cursor: String,
}

/// Goes on with a folder's cursor until nothing is left to push.
pub struct Pusher<'a, A: Adapter> {
    ledger: &'a Ledger,
    log_key: &'a NoteVerifier,
    adapter: A,
    format: wire::ExportFormat,
    state: PathBuf,
    /// Held as long as this lives: two pushes at once would hand things over twice.
    _alone: fs::File,
}

impl<'a, A: Adapter> Pusher<'a, A> {
    /// With the folder that keeps the cursor and the receipts; it is made where it is not there.
    ///
    /// # Errors
    /// [`PushError::State`], or [`PushError::Taken`] by another push or another receiver.
    pub fn open(
        ledger: &'a Ledger,
        log_key: &'a NoteVerifier,
        adapter: A,
        format: wire::ExportFormat,
        state: &Path,
    ) -> Result<Self, PushError> {
        let failed = |error| PushError::State(state.to_owned(), error);
        fs::create_dir_all(state).map_err(failed)?;
        let alone = fs::File::create(state.join(LOCK)).map_err(failed)?;
        if alone.try_lock().is_err() {
            let message = "another push is going on".to_owned();
            return Err(PushError::Taken(state.to_owned(), message));
        }
        let bound = format!("{}\n{}\n", log_key.name().as_str(), adapter.to());
        let pusher = Self {
            ledger,
            log_key,
            adapter,
            format,
            state: state.to_owned(),
            _alone: alone,
        };
        match pusher.read(BOUND)? {
            None => pusher.write(BOUND, bound.as_bytes())?,
            Some(before) if before == bound => {}
            Some(before) => {
                let before = before.trim().replace('\n', " to ");
                let message = format!("the folder is for {before}: use another one");
                return Err(PushError::Taken(state.to_owned(), message));
            }
        }
        Ok(pusher)
    }

    /// Pushes all there is.
    ///
    /// # Errors
    /// [`PushError`].
    pub async fn push(&self) -> Result<Pushed, PushError> {
        let mut pushed = Pushed::default();
        loop {
            let cursor = self.cursor()?;
            let (parcel, more) = match self.pending(&cursor)? {
                Some(parcel) => (parcel, true),
                None => self.fetch(&cursor).await?,
            };
            if parcel.items > 0 {
                self.write(PENDING, &to_line(&parcel)?)?;
                let answer = self.adapter.deliver(&parcel)?;
                self.receive(&parcel, answer)?;
                pushed.batches += 1;
                pushed.items += parcel.items;
            }
            if parcel.next != cursor {
                self.write(CURSOR, parcel.next.as_bytes())?;
            }
            // What was shared may be taken back: it doesn't stay here.
            self.remove(PENDING)?;
            pushed.cursor = parcel.next;
            if !more {
                return Ok(pushed);
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    fn read(&self, name: &str) -> Result<Option<String>, PushError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(PushError::State(path, error)),
        }
    }

    /// All of a file or nothing, on the disk when this returns.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), PushError> {
        let path = self.path(name);
        write_whole(&path, bytes).map_err(|error| PushError::State(path, error))
    }

    fn remove(&self, name: &str) -> Result<(), PushError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(PushError::State(path, error))
            }
            _ => Ok(()),
        }
    }

    fn cursor(&self) -> Result<String, PushError> {
        Ok(self
            .read(CURSOR)?
            .unwrap_or_else(|| Cursor::default().to_string()))
    }

    /// The parcel that was written down and whose cursor was not: it goes first, as it is.
    fn pending(&self, cursor: &str) -> Result<Option<Parcel>, PushError> {
        let Some(text) = self.read(PENDING)? else {
            return Ok(None);
        };
        let parcel: Parcel = serde_json::from_str(&text)
            .map_err(|error| PushError::Damaged(self.path(PENDING), error.to_string()))?;
        Ok((parcel.from == cursor).then_some(parcel))
    }

    async fn fetch(&self, cursor: &str) -> Result<(Parcel, bool), PushError> {
        let request = wire::ExportSinceRequest {
            cursor: cursor.to_owned(),
            page_size: 0,
            format: self.format.into(),
        };
        let answer = self.ledger.export().export_since(request).await;
        let answer = answer.map_err(ClientError::from)?.into_inner();
        let manifest = Manifest::verify(&answer.note, self.log_key, &answer.batch)?;
        if manifest.from.to_string() != cursor || manifest.next.to_string() != answer.next_cursor {
            return Err(ExportError::Malformed.into());
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| ExportError::Malformed);
        let parcel = Parcel {
            from: manifest.from.to_string(),
            next: answer.next_cursor,
            form: manifest.form,
            items: manifest.items,
            sha256: hex::encode(manifest.sha256),
            batch: text(answer.batch)?,
            note: text(answer.note)?,
        };
        Ok((parcel, answer.more))
    }

    fn receive(&self, parcel: &Parcel, answer: String) -> Result<(), PushError> {
        let receipt = Receipt {
            from: parcel.from.clone(),
            next: parcel.next.clone(),
            items: parcel.items,
            sha256: parcel.sha256.clone(),
            to: self.adapter.to(),
            answer,
            time: jiff::Timestamp::now().to_string(),
        };
        let path = self.path(RECEIPTS);
        let append = || -> io::Result<()> {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)?;
            file.write_all(&serde_json::to_vec(&receipt)?)?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        append().map_err(|error| PushError::State(path.clone(), error))
    }
}

fn to_line(parcel: &Parcel) -> Result<Vec<u8>, PushError> {
    serde_json::to_vec(parcel)
        .map_err(|error| PushError::Damaged(PathBuf::from(PENDING), error.to_string()))
}

/// Writes a file beside its name, syncs it, and gives it the name.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}
