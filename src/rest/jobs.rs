//! Capture jobs, on disk: a job that was accepted is finished, whatever happens to the process.
//!
//! | path below the gateway's folder | what |
//! |---|---|
//! | `jobs/{id}/job.json` | [`Job`]; written whole, then renamed |
//! | `jobs/{id}/document` | what was posted, until the job is finished |
//! | `jobs/{id}/outbox` | what was signed, until the job is finished |
//!
//! Names of jobs begin with their time, so their order is that in which they came.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rand_core::TryRng as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::problem::{Exception, Problem};
use crate::core::record::Millis;

/// Finished jobs that are remembered.
const MAX_FINISHED: usize = 10_000;
/// Jobs that may wait.
const MAX_WAITING: usize = 1_000;

const JOB: &str = "job.json";
const DOCUMENT: &str = "document";
const OUTBOX: &str = "outbox";

/// What to do when an event is refused (`GS1-Capture-Error-Behaviour`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Behaviour {
    /// Capture nothing, as far as that can be known before the first record is signed.
    #[default]
    Rollback,
    /// Capture the others.
    Proceed,
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub id: String,
    pub created: Millis,
    pub finished: Option<Millis>,
    pub behaviour: Behaviour,
    pub errors: Vec<JobError>,
    /// What became of each event, in the order of the document, once it is known.
    pub events: Vec<JobEvent>,
}

/// Why something was not captured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct JobError {
    /// Number of the event, from 1.
    pub event: Option<usize>,
    pub exception: Exception,
    pub detail: String,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JobEvent {
    /// Place in the document, from 1.
    pub number: usize,
    /// Its id: the source's, or by the record.
    pub event_id: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    /// It is in the log at this place, with these findings.
    Captured(u64, Vec<String>),
    /// It was there before.
    Duplicate(u64),
    /// It is not in the log; `errors` says why.
    Refused,
    /// Another event's refusal kept it out.
    NotSent,
}

impl Job {
    /// As the standard has it. `details`: with what became of each event.
    pub(super) fn body(&self, details: bool) -> Value {
        let errors: Vec<Value> = self.errors.iter().map(JobError::body).collect();
        let mut body = json!({
            "captureID": self.id,
            "createdAt": self.created.to_string(),
            "running": self.finished.is_none(),
            "success": self.errors.is_empty(),
            "captureErrorBehaviour": self.behaviour,
            "errors": errors,
        });
        if let Some(finished) = self.finished {
            body["finishedAt"] = finished.to_string().into();
        }
        if details && !self.events.is_empty() {
            body["custody:events"] = self.events.iter().map(JobEvent::body).collect();
        }
        body
    }
}

impl JobError {
    fn body(&self) -> Value {
        let problem = Problem::new(
            axum::http::StatusCode::BAD_REQUEST,
            self.exception,
            match self.event {
                Some(number) => format!("event {number}: {}", self.detail),
                None => self.detail.clone(),
            },
        );
        problem.body()
    }
}

impl JobEvent {
    fn body(&self) -> Value {
        let (outcome, index, findings) = match &self.outcome {
            Outcome::Captured(index, findings) => ("captured", Some(index), findings.as_slice()),
            Outcome::Duplicate(index) => ("duplicate", Some(index), &[][..]),
            Outcome::Refused => ("refused", None, &[][..]),
            Outcome::NotSent => ("not sent", None, &[][..]),
        };
        let mut body = json!({ "event": self.number, "outcome": outcome });
        if !self.event_id.is_empty() {
            body["eventID"] = self.event_id.as_str().into();
        }
        if let Some(index) = index {
            body["logIndex"] = (*index).into();
        }
        if !findings.is_empty() {
            body["findings"] = findings.into();
        }
        body
    }
}

/// What can go wrong with the folder.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub(super) struct FolderError {
    path: PathBuf,
    error: std::io::Error,
}

/// Names the path that an error is about.
pub(super) fn on(path: &Path) -> impl FnOnce(std::io::Error) -> FolderError {
    let path = path.to_owned();
    move |error| FolderError { path, error }
}

/// All jobs.
pub(super) struct Jobs {
    folder: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    all: BTreeSet<String>,
    waiting: BTreeSet<String>,
}

impl Jobs {
    /// Opens the folder, or makes it.
    pub(super) fn open(state: &Path) -> Result<Self, FolderError> {
        let folder = state.join("jobs");
        fs::create_dir_all(&folder).map_err(on(&folder))?;
        let jobs = Self {
            folder,
            known: Mutex::default(),
        };
        let mut known = Known::default();
        for entry in fs::read_dir(&jobs.folder).map_err(on(&jobs.folder))? {
            let entry = entry.map_err(on(&jobs.folder))?;
            let Some(id) = entry.file_name().to_str().map(str::to_owned) else {
                continue;
            };
            if !is_id(&id) {
                // Half of a job that was never accepted.
                fs::remove_dir_all(entry.path()).map_err(on(&entry.path()))?;
                continue;
            }
            if jobs.read(&id)?.finished.is_none() {
                known.waiting.insert(id.clone());
            } else {
                // It may have been finished in the last moment.
                jobs.tidy(&id)?;
            }
            known.all.insert(id);
        }
        *jobs.known() = known;
        Ok(jobs)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether there is room for another.
    pub(super) fn has_room(&self) -> bool {
        self.known().waiting.len() < MAX_WAITING
    }

    /// Takes a job in; on disk when this returns.
    pub(super) fn add(
        &self,
        document: &[u8],
        behaviour: Behaviour,
        now: Millis,
    ) -> Result<Job, FolderError> {
        let mut random = [0; 6];
        getrandom::SysRng
            .try_fill_bytes(&mut random)
            .map_err(|error| std::io::Error::other(error.to_string()))
            .map_err(on(&self.folder))?;
        let id = format!("{:013}-{}", now.0, hex::encode(random));
        let job = Job {
            id: id.clone(),
            created: now,
            finished: None,
            behaviour,
            errors: Vec::new(),
            events: Vec::new(),
        };
        let half = self.folder.join(format!("{id}.new"));
        fs::create_dir(&half).map_err(on(&half))?;
        write_whole(&half.join(DOCUMENT), document)?;
        write_whole(
            &half.join(JOB),
            &serde_json::to_vec(&job).unwrap_or_default(),
        )?;
        let whole = self.folder.join(&id);
        fs::rename(&half, &whole).map_err(on(&whole))?;
        sync_folder(&self.folder)?;
        let mut known = self.known();
        known.all.insert(id.clone());
        known.waiting.insert(id);
        Ok(job)
    }

    /// The job that waits longest.
    pub(super) fn next(&self) -> Option<String> {
        self.known().waiting.first().cloned()
    }

    /// A job; none where there is no such.
    pub(super) fn get(&self, id: &str) -> Result<Option<Job>, FolderError> {
        if !self.known().all.contains(id) {
            return Ok(None);
        }
        self.read(id).map(Some)
    }

    /// Jobs from the latest on, before one if it is named, and whether there are more.
    pub(super) fn list(
        &self,
        before: Option<&str>,
        size: usize,
    ) -> Result<(Vec<Job>, bool), FolderError> {
        let mut ids: Vec<String> = {
            let known = self.known();
            let ids = known.all.iter().rev();
            let ids = ids.filter(|id| before.is_none_or(|before| id.as_str() < before));
            ids.take(size + 1).cloned().collect()
        };
        let more = ids.len() > size;
        ids.truncate(size);
        let jobs = ids
            .iter()
            .map(|id| self.read(id))
            .collect::<Result<_, _>>()?;
        Ok((jobs, more))
    }

    /// What was posted.
    pub(super) fn document(&self, id: &str) -> Result<Vec<u8>, FolderError> {
        let path = self.folder.join(id).join(DOCUMENT);
        fs::read(&path).map_err(on(&path))
    }

    /// Where what was signed is kept.
    pub(super) fn outbox(&self, id: &str) -> PathBuf {
        self.folder.join(id).join(OUTBOX)
    }

    /// A job is finished: its result is on disk when this returns, and what it was made of is gone.
    pub(super) fn finish(&self, job: &Job) -> Result<(), FolderError> {
        let folder = self.folder.join(&job.id);
        let path = folder.join(JOB);
        write_whole(&path, &serde_json::to_vec(job).unwrap_or_default())?;
        sync_folder(&folder)?;
        self.tidy(&job.id)?;
        let forgotten: Vec<String> = {
            let mut known = self.known();
            known.waiting.remove(&job.id);
            let finished = known.all.len() - known.waiting.len();
            let old = known.all.difference(&known.waiting);
            let old: Vec<String> = old
                .take(finished.saturating_sub(MAX_FINISHED))
                .cloned()
                .collect();
            for id in &old {
                known.all.remove(id);
            }
            old
        };
        for id in forgotten {
            let path = self.folder.join(id);
            fs::remove_dir_all(&path).map_err(on(&path))?;
        }
        Ok(())
    }

    /// Takes away what a finished job was made of.
    fn tidy(&self, id: &str) -> Result<(), FolderError> {
        for name in [DOCUMENT, OUTBOX] {
            let path = self.folder.join(id).join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(on(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read(&self, id: &str) -> Result<Job, FolderError> {
        let path = self.folder.join(id).join(JOB);
        let bytes = fs::read(&path).map_err(on(&path))?;
        serde_json::from_slice(&bytes)
            .map_err(std::io::Error::other)
            .map_err(on(&path))
    }
}

/// A name that [`Jobs::add`] gives.
fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(time, random)| {
        time.len() >= 13
            && time.bytes().all(|byte| byte.is_ascii_digit())
            && random.len() == 12
            && random.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Writes a file whole, only for its owner to read: who reads it finds the old one or the new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let half = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(&half)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&half, path)
    };
    write().map_err(on(path))
}

fn sync_folder(path: &Path) -> Result<(), FolderError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(on(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_waits_until_it_is_finished_also_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(folder.path()).unwrap();
        let first = jobs
            .add(b"one", Behaviour::Rollback, Millis(1_764_000_000_000))
            .unwrap();
        let second = jobs
            .add(b"two", Behaviour::Proceed, Millis(1_764_000_000_001))
            .unwrap();
        fs::create_dir(folder.path().join("jobs/half.new")).unwrap();

        let jobs = Jobs::open(folder.path()).unwrap();
        assert_eq!(jobs.next().as_ref(), Some(&first.id));
        assert_eq!(jobs.document(&first.id).unwrap(), b"one");
        let done = Job {
            finished: Some(Millis(1_764_000_000_002)),
            ..first.clone()
        };
        jobs.finish(&done).unwrap();
        assert!(jobs.document(&first.id).is_err());

        let jobs = Jobs::open(folder.path()).unwrap();
        assert_eq!(jobs.next().as_ref(), Some(&second.id));
        let (list, more) = jobs.list(None, 1).unwrap();
        assert_eq!((list[0].id.as_str(), more), (second.id.as_str(), true));
        let (list, more) = jobs.list(Some(&second.id), 1).unwrap();
        assert_eq!((list[0].id.as_str(), more), (first.id.as_str(), false));
        assert!(jobs.get("../jobs").unwrap().is_none());
        assert!(!folder.path().join("jobs/half.new").exists());
    }

    #[test]
    fn a_job_says_what_the_standard_asks_for() {
        let job = Job {
            id: "1764000000000-0011223344ff".into(),
            created: Millis(1_764_000_000_000),
            finished: Some(Millis(1_764_000_001_000)),
            behaviour: Behaviour::Proceed,
            errors: vec![JobError {
                event: Some(2),
                exception: Exception::Validation,
                detail: "why".into(),
            }],
            events: vec![JobEvent {
                number: 1,
                event_id: "urn:uuid:1".into(),
                outcome: Outcome::Captured(7, vec!["NOT_HOLDER".into()]),
            }],
        };
        let body = job.body(true);
        assert_eq!(body["running"], false);
        assert_eq!(body["success"], false);
        assert_eq!(body["captureErrorBehaviour"], "proceed");
        assert_eq!(body["createdAt"], "2025-11-24T16:00:00Z");
        assert_eq!(
            body["errors"][0]["type"],
            "epcisException:ValidationException"
        );
        assert_eq!(body["errors"][0]["detail"], "event 2: why");
        assert_eq!(body["custody:events"][0]["logIndex"], 7);
        assert!(job.body(false).get("custody:events").is_none());
        assert!(is_id(&job.id));
        assert!(!is_id("../../etc-001122334455"));
    }
}
