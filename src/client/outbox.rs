//! The outbox: what was signed is on disk before it is sent, until it is acknowledged.
//!
//! A file of JSON lines, only ever appended to, one for each step of a record's life:
//! `{"line":3,"of":"…","envelope":"…"}` when it was signed and `{"line":3,"done":true}` when it was
//! answered. `line` and `of` (SHA-256 of its text) name the draft. After an interruption the same
//! envelope is sent again, and gives the same entry.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::core::envelope::Envelope;
use crate::core::wire;

/// What can be wrong with an outbox.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum OutboxError {
    #[error("the outbox {path}: {error}")]
    Io {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("another process uses the outbox {0}")]
    Locked(PathBuf),
    #[error("the outbox {path} is damaged at line {line}; move it away to start anew")]
    Damaged { path: PathBuf, line: usize },
}

#[derive(Serialize, Deserialize)]
struct Step {
    line: usize,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    of: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    envelope: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    done: bool,
}

/// An open outbox.
pub struct Outbox {
    path: PathBuf,
    file: File,
    waiting: HashMap<usize, (String, Envelope)>,
    done: HashMap<usize, String>,
}

impl Outbox {
    /// Opens or makes an outbox, for one process at a time.
    ///
    /// # Errors
    /// [`OutboxError`] when it is in use, damaged, or can't be read.
    pub fn open(path: &Path) -> Result<Self, OutboxError> {
        let io = |error| OutboxError::Io {
            path: path.to_owned(),
            error,
        };
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(io)?;
        if file.try_lock().is_err() {
            return Err(OutboxError::Locked(path.to_owned()));
        }
        let mut waiting = HashMap::new();
        let mut done = HashMap::new();
        let lines: Vec<String> = BufReader::new(&file)
            .lines()
            .collect::<Result<_, _>>()
            .map_err(io)?;
        let last = lines.len();
        for (number, text) in (1..).zip(&lines) {
            if text.is_empty() {
                continue;
            }
            let step: Step = match serde_json::from_str(text) {
                Ok(step) => step,
                // An interruption can tear the last line, which was never sent.
                Err(_) if number == last => break,
                Err(_) => {
                    return Err(OutboxError::Damaged {
                        path: path.to_owned(),
                        line: number,
                    });
                }
            };
            if step.done {
                if let Some((of, _)) = waiting.remove(&step.line) {
                    done.insert(step.line, of);
                }
            } else {
                let envelope = decode(&step.envelope).ok_or(OutboxError::Damaged {
                    path: path.to_owned(),
                    line: number,
                })?;
                waiting.insert(step.line, (step.of, envelope));
            }
        }
        let mut outbox = Self {
            path: path.to_owned(),
            file,
            waiting,
            done,
        };
        if last > 0 {
            // So that what is appended never joins a torn line.
            outbox.write("\n")?;
        }
        Ok(outbox)
    }

    /// Whether this very draft was acknowledged.
    #[must_use]
    pub fn is_done(&self, line: usize, draft: &str) -> bool {
        self.done.get(&line).is_some_and(|of| *of == digest(draft))
    }

    /// The envelope of this very draft that was signed and not acknowledged.
    #[must_use]
    pub fn waiting(&self, line: usize, draft: &str) -> Option<&Envelope> {
        let (of, envelope) = self.waiting.get(&line)?;
        (*of == digest(draft)).then_some(envelope)
    }

    /// Writes envelopes down; on disk when it returns.
    ///
    /// # Errors
    /// [`OutboxError::Io`] when the disk fails: then nothing may be sent.
    pub fn sign(
        &mut self,
        line: usize,
        draft: &str,
        envelope: &Envelope,
    ) -> Result<(), OutboxError> {
        let bytes = prost::Message::encode_to_vec(&envelope.to_wire());
        let of = digest(draft);
        let step = Step {
            line,
            of: of.clone(),
            envelope: BASE64_STANDARD.encode(bytes),
            done: false,
        };
        self.append(&step)?;
        self.waiting.insert(line, (of, envelope.clone()));
        Ok(())
    }

    /// The record was answered.
    ///
    /// # Errors
    /// [`OutboxError::Io`] when the disk fails.
    pub fn done(&mut self, line: usize) -> Result<(), OutboxError> {
        self.append(&Step {
            line,
            of: String::new(),
            envelope: String::new(),
            done: true,
        })?;
        if let Some((of, _)) = self.waiting.remove(&line) {
            self.done.insert(line, of);
        }
        Ok(())
    }

    /// Waits until all that was written is on disk.
    ///
    /// # Errors
    /// [`OutboxError::Io`] when the disk fails.
    pub fn sync(&self) -> Result<(), OutboxError> {
        self.file.sync_data().map_err(|error| OutboxError::Io {
            path: self.path.clone(),
            error,
        })
    }

    fn append(&mut self, step: &Step) -> Result<(), OutboxError> {
        let mut text = serde_json::to_string(step).unwrap_or_default();
        text.push('\n');
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> Result<(), OutboxError> {
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| OutboxError::Io {
                path: self.path.clone(),
                error,
            })
    }
}

fn digest(draft: &str) -> String {
    hex::encode(Sha256::digest(draft.trim().as_bytes()))
}

fn decode(text: &str) -> Option<Envelope> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let wire: wire::Envelope = prost::Message::decode(bytes.as_slice()).ok()?;
    Envelope::from_wire(&wire).ok()
}
