//! `custody submit`: drafts from a file or the standard input, signed, through an outbox.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Done, Failure, Remote, could, keys, output};
use crate::client::{Outbox, Outcome, Planned, Session, draft, submit_through};
use crate::core::wire;
use crate::sequence::now;

/// Drafts that are signed and sent together.
const BATCH: usize = 512;

/// Signs drafts and submits them in order. What was signed is in the outbox on disk before it is
/// sent; after an interruption, the same command goes on where it was.
#[derive(Args, Debug)]
pub(crate) struct Submit {
    #[command(flatten)]
    remote: Remote,
    /// Key file of the signer.
    #[arg(long, env = "CUSTODY_KEY")]
    key: PathBuf,
    /// File of drafts, one JSON object a line (protobuf JSON of `custody.v1.Record`), or `-`.
    file: PathBuf,
    /// The outbox; beside the file when left out.
    #[arg(long, required_if_eq("file", "-"))]
    outbox: Option<PathBuf>,
}

#[derive(Default)]
struct Tally {
    accepted: u64,
    flagged: u64,
    refused: u64,
    before: u64,
}

impl Submit {
    pub(super) async fn run(self) -> Done {
        let signer = keys::read(&self.key)?;
        let path = self.outbox.clone().unwrap_or_else(|| beside(&self.file));
        let mut outbox = Outbox::open(&path).map_err(|error| Failure::Could(error.to_string()))?;
        let mut session = Session::start(self.remote.connect().await?).await?;
        let lines = read_lines(&self.file)?;
        let bar = output::progress(lines.len() as u64, "submitting");
        let mut tally = Tally::default();
        for batch in lines.chunks(BATCH) {
            let mut planned = Vec::new();
            for (number, text) in batch {
                if outbox.is_done(*number, text) {
                    tally.before += 1;
                    continue;
                }
                planned.push(Planned {
                    line: *number,
                    text: text.clone(),
                    record: drafted(*number, text)?,
                });
            }
            let answers = submit_through(&mut session, &mut outbox, &signer, planned).await?;
            for (number, outcome) in &answers {
                self.report(*number, outcome, &mut outbox, &mut tally)?;
            }
            bar.inc(batch.len() as u64);
        }
        bar.finish_and_clear();
        self.summary(&tally)
    }

    fn report(
        &self,
        number: usize,
        outcome: &Outcome,
        outbox: &mut Outbox,
        tally: &mut Tally,
    ) -> Done {
        match outcome {
            Ok(receipt) => {
                let findings = receipt
                    .verdict
                    .as_ref()
                    .map_or(0, |verdict| verdict.findings.len());
                tally.accepted += 1;
                tally.flagged += u64::from(findings > 0);
                if self.remote.json {
                    output::message_line("Receipt", receipt)?;
                }
                outbox
                    .done(number)
                    .map_err(|error| Failure::Could(error.to_string()))
            }
            Err(refusal) => {
                tally.refused += 1;
                if self.remote.json {
                    output::message_line("Refusal", refusal)?;
                }
                eprintln!("line {number}: {}: {}", refusal.reason, refusal.message);
                // It stays in the outbox: the next run sends the same statement again.
                Ok(())
            }
        }
    }

    fn summary(&self, tally: &Tally) -> Done {
        if !self.remote.json {
            output::line(format!(
                "{} accepted ({} with findings), {} refused, {} were acknowledged before",
                tally.accepted, tally.flagged, tally.refused, tally.before
            ))?;
        }
        if tally.refused > 0 {
            return Err(Failure::No(format!(
                "{} records were refused",
                tally.refused
            )));
        }
        Ok(())
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".outbox");
    PathBuf::from(name)
}

/// A line's draft, with the time of now where it names none.
fn drafted(number: usize, text: &str) -> Result<wire::Record, Failure> {
    let mut record =
        draft::parse(text).map_err(|error| Failure::No(format!("line {number}: {error}")))?;
    if record.claimed_time_ms == 0 {
        record.claimed_time_ms = now().0;
    }
    Ok(record)
}

/// The lines that say something, with their numbers from 1 on.
fn read_lines(file: &Path) -> Result<Vec<(usize, String)>, Failure> {
    let reader: Box<dyn std::io::Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(could(file.display()))?)
    };
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(reader).lines()) {
        let line = line.map_err(could(file.display()))?;
        if !line.trim().is_empty() {
            lines.push((number, line));
        }
    }
    Ok(lines)
}
