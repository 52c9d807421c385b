//! `custody epcis import` and `custody epcis export`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Done, Failure, Remote, TokenKey, could, keys, output};
use crate::client::{Draft, Session};
use crate::core::wire;
use crate::epcis;

#[derive(Debug, Subcommand)]
pub(crate) enum EpcisCommand {
    /// Import a document (EPCIS 2.0 JSON or JSON-LD, EPCIS 1.2 XML): each event becomes a record,
    /// signed as your claim. What the ledger can't accept is reported, event by event.
    Import {
        #[command(flatten)]
        remote: Remote,
        /// Your key file.
        #[arg(long, env = "CUSTODY_KEY")]
        key: PathBuf,
        /// Only say what would be imported.
        #[arg(long)]
        dry_run: bool,
        /// The document.
        file: PathBuf,
    },
    /// Export the records of a unit as an EPCIS 2.0 document.
    Export {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// The unit.
        unit: String,
    },
}

impl EpcisCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Import {
                remote,
                key,
                dry_run,
                file,
            } => import(&remote, &key, dry_run, &file).await,
            Self::Export { remote, key, unit } => export(&remote, &key, unit).await,
        }
    }
}

async fn import(
    remote: &Remote,
    key: &std::path::Path,
    dry_run: bool,
    file: &std::path::Path,
) -> Done {
    let bytes = std::fs::read(file).map_err(could(file.display()))?;
    let document = epcis::import(&bytes).map_err(|error| {
        let problems: Vec<String> = error
            .problems
            .iter()
            .map(|problem| {
                let event = problem
                    .event
                    .map(|n| format!("event {n}, "))
                    .unwrap_or_default();
                format!("\n  {event}{}: {}", problem.field, problem.rule)
            })
            .collect();
        Failure::No(format!(
            "{} is refused:{}",
            file.display(),
            problems.concat()
        ))
    })?;
    let signer = keys::read(key)?;
    let mut results = Vec::new();
    let mut drafts = Vec::new();
    for event in document.events {
        let place = (event.number, event.event_type.clone());
        match event.outcome {
            Ok(record) => {
                drafts.push((
                    place,
                    Draft {
                        record,
                        signer: signer.clone(),
                        advances: true,
                    },
                ));
            }
            Err(refusal) => results.push((place, Err(refusal.to_string()))),
        }
    }
    if dry_run {
        results.extend(
            drafts
                .into_iter()
                .map(|(place, _)| (place, Ok("would be imported".into()))),
        );
    } else if !drafts.is_empty() {
        let mut session = Session::start(remote.connect().await?).await?;
        let (places, drafts): (Vec<_>, Vec<_>) = drafts.into_iter().unzip();
        for (place, outcome) in places.into_iter().zip(session.submit(drafts).await?) {
            results.push((
                place,
                outcome
                    .map(|receipt| describe(&receipt))
                    .map_err(|refusal| format!("{}: {}", refusal.reason, refusal.message)),
            ));
        }
    }
    results.sort();
    let refused = results
        .iter()
        .filter(|(_, outcome)| outcome.is_err())
        .count();
    for ((number, event_type), outcome) in &results {
        let (word, text) = match outcome {
            Ok(text) => ("imported", text),
            Err(text) => ("refused", text),
        };
        if remote.json {
            output::line(serde_json::json!({
                "event": number, "type": event_type, "outcome": word, "detail": text,
            }))?;
        } else {
            output::line(format!(
                "event {number:>4} {event_type:<20} {word:<9} {text}"
            ))?;
        }
    }
    if refused > 0 {
        return Err(Failure::No(format!(
            "{refused} of {} events were refused",
            results.len()
        )));
    }
    Ok(())
}

fn describe(receipt: &wire::Receipt) -> String {
    let findings: Vec<&str> = receipt
        .verdict
        .iter()
        .flat_map(|verdict| &verdict.findings)
        .map(|finding| output::kind(finding.kind))
        .collect();
    if findings.is_empty() {
        format!("entry {}", receipt.log_index)
    } else {
        format!("entry {} with {}", receipt.log_index, findings.join(", "))
    }
}

async fn export(remote: &Remote, key: &TokenKey, unit: String) -> Done {
    let ledger = remote.connect_as(key).await?;
    let request = wire::GetProvenanceRequest {
        unit,
        page_size: 1000,
        page_token: String::new(),
    };
    let steps = ledger
        .provenance()
        .get_provenance(request)
        .await?
        .into_inner()
        .steps;
    let mut records = Vec::new();
    for step in steps {
        let request = wire::ListEntriesRequest {
            first: step.log_index,
            page_size: 1,
        };
        let page = ledger.regulator().list_entries(request).await?.into_inner();
        let Some(entry) = page.entries.into_iter().next() else {
            continue;
        };
        let entry: wire::Entry = prost::Message::decode(entry.entry)
            .map_err(|error| Failure::Could(format!("entry {}: {error}", step.log_index)))?;
        let payload = entry.envelope.unwrap_or_default().payload;
        let record: wire::Record = prost::Message::decode(payload)
            .map_err(|error| Failure::Could(format!("entry {}: {error}", step.log_index)))?;
        // Decisions about findings are the ledger's own; EPCIS has no event for them.
        if !record.units.is_empty() {
            records.push(record);
        }
    }
    let created = output::time(crate::sequence::now().0);
    let document = epcis::export(&records, &epcis::ExportOptions::new(&created))
        .map_err(|error| Failure::No(error.to_string()))?;
    output::json(&document)
}
