//! The archive of a running ledger, and `custody rebuild`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::init::{LOG_KEY, STORE};
use super::{Done, Failure, backup, keys, output};
use crate::archive::{ArchiveError, Place, Publisher, Reader};
use crate::core::tlog::note::NoteVerifier;
use crate::node::Node;
use crate::store::LogHead;

/// How long a start waits for the archive to say how far it is.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
/// Seconds between two checkpoints of the archive; an alert waits for five minutes.
const SECONDS: std::ops::RangeInclusive<i64> = 1..=300;
const DEFAULT_SECONDS: u32 = 10;

/// Flags of `custody serve`.
#[derive(Args, Debug, Default)]
pub(super) struct ArchiveArgs {
    /// Where to keep a copy of the log as files: `s3://bucket/prefix`, or `file:///folder`. What S3 needs is in the
    /// environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`.
    #[arg(long, env = "CUSTODY_ARCHIVE")]
    pub(super) archive: Option<String>,
    /// Seconds from one checkpoint of the archive to the next [default: 10].
    #[arg(long, value_parser = clap::value_parser!(u32).range(SECONDS))]
    pub(super) archive_seconds: Option<u32>,
}

/// Brings the archive up to the log, again and again.
pub(super) struct Archiving {
    publisher: Publisher,
    every: Duration,
}

impl ArchiveArgs {
    /// Looks at the archive, if there is to be one.
    ///
    /// # Errors
    /// When it contradicts the ledger, or nothing can be written there.
    pub(super) async fn start(&self, node: &Arc<Node>) -> Result<Option<Archiving>, Failure> {
        let Some(url) = &self.archive else {
            return Ok(None);
        };
        let seconds = self.archive_seconds.unwrap_or(DEFAULT_SECONDS);
        if !SECONDS.contains(&i64::from(seconds)) {
            let last = SECONDS.end();
            return Err(Failure::Could(format!("archive_seconds is 1 to {last}")));
        }
        let place = Place::to_write(url).map_err(failure)?;
        let publisher = Publisher::new(Arc::clone(node), place);
        says(0);
        metrics::counter!("custody_archive_failures_total").absolute(0);
        match tokio::time::timeout(FIRST_ANSWER, publisher.archived()).await {
            Ok(Ok(archived)) => {
                says(archived);
                tracing::info!(archived, "the archive is at hand");
            }
            Ok(Err(error)) if error.is_permanent() => return Err(failure(error)),
            Ok(Err(error)) => tracing::error!(%error, "the archive can't be read now"),
            Err(_) => tracing::error!("the archive doesn't answer"),
        }
        let every = Duration::from_secs(seconds.into());
        Ok(Some(Archiving { publisher, every }))
    }
}

impl Archiving {
    /// Goes on until the archive contradicts the ledger: then the ledger has to stop.
    pub(super) async fn run(mut self) -> ArchiveError {
        let mut rounds = tokio::time::interval(self.every);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut more = false;
        loop {
            if !more {
                rounds.tick().await;
            }
            let done = self.publisher.round().await;
            more = done.as_ref().is_ok_and(|done| done.more);
            match done {
                Ok(done) => {
                    says(done.size);
                    if done.written > 0 {
                        tracing::debug!(size = done.size, written = done.written, "archived");
                    }
                }
                Err(error) if error.contradicts() => return error,
                Err(error) => {
                    metrics::counter!("custody_archive_failures_total").increment(1);
                    tracing::error!(%error, "the archive is not up to the log");
                }
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)] // a gauge is a float
fn says(archived: u64) {
    metrics::gauge!("custody_archive_size").set(archived as f64);
}

/// Makes a ledger anew from its archive: every entry is judged again, and the whole has to lead to the archive's signed
/// checkpoint. Texts beside the log, such as names of persons, are in no archive; they come from a backup. Only for
/// when no longer log is left anywhere.
#[derive(Args, Debug)]
pub(crate) struct Rebuild {
    /// The archive: `s3://bucket/prefix`, `file:///folder`, or the `https://` address of a site with it.
    #[arg(long)]
    from: String,
    /// Folder of the ledger to make, with the log's key `log.key` in it.
    #[arg(long, default_value = "custody-data")]
    data: PathBuf,
    /// PEM file of the certificate authority to trust for https.
    #[arg(long, env = "CUSTODY_CA")]
    ca: Option<PathBuf>,
    /// Write the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Rebuild {
    pub(super) async fn run(self) -> Done {
        let signer = keys::read_log_key(&self.data.join(LOG_KEY))?;
        let ca = super::read_ca(self.ca.as_deref())?;
        let reader = open(&self.from, ca.as_deref(), signer.verifier()).await?;
        let size = reader.checkpoint().size().get();
        let bar = output::progress(size, "rebuilding");
        let store = self.data.join(STORE);
        let rebuilt = crate::archive::rebuild(&reader, &store, |done| bar.set_position(done)).await;
        bar.finish_and_clear();
        let audited = rebuilt.map_err(failure)?;
        let head = LogHead {
            size: audited.entries,
            root: audited.root,
        };
        backup::made(&self.data, signer.verifier(), &head, self.json)
    }
}

/// Opens an archive to read.
pub(super) async fn open(
    url: &str,
    ca: Option<&[u8]>,
    log: &NoteVerifier,
) -> Result<Reader, Failure> {
    let place = Place::to_read(url, ca).map_err(failure)?;
    Reader::open(place, log).await.map_err(failure)
}

pub(super) fn failure(error: ArchiveError) -> Failure {
    if error.is_of_content() {
        Failure::No(error.to_string())
    } else {
        Failure::Could(error.to_string())
    }
}
