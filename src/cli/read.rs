//! `custody trace`, `custody bundle`, `custody verify`.

use std::path::PathBuf;

use clap::Args;

use super::{Done, Failure, Remote, could, output};
use crate::core::bundle::{Report, verify};
use crate::core::lang::Lang;
use crate::core::tlog::note::NoteVerifier;
use crate::core::wire;

/// Shows where a unit has been and whether its chain holds.
#[derive(Args, Debug)]
pub(crate) struct Trace {
    #[command(flatten)]
    remote: Remote,
    /// The unit: canonical, EPC URN, GS1 Digital Link or element string.
    unit: String,
}

impl Trace {
    pub(super) async fn run(self) -> Done {
        let ledger = self.remote.connect().await?;
        let mut page_token = String::new();
        let mut whole: Option<wire::GetProvenanceResponse> = None;
        loop {
            let request = wire::GetProvenanceRequest {
                unit: self.unit.clone(),
                page_size: 1000,
                page_token,
            };
            let mut page = ledger
                .provenance()
                .get_provenance(request)
                .await?
                .into_inner();
            page_token = std::mem::take(&mut page.next_page_token);
            match &mut whole {
                None => whole = Some(page),
                Some(whole) => whole.steps.append(&mut page.steps),
            }
            if page_token.is_empty() {
                break;
            }
        }
        let answer = whole.unwrap_or_default();
        let standing = answer.standing.clone().unwrap_or_default();
        if self.remote.json {
            output::message("GetProvenanceResponse", &answer)?;
        } else {
            print_trace(&answer, &standing)?;
        }
        if standing.word() == wire::StandingWord::Unknown {
            return Err(Failure::No(format!(
                "{} is not known to the ledger",
                standing.unit
            )));
        }
        Ok(())
    }
}

fn print_trace(answer: &wire::GetProvenanceResponse, standing: &wire::Standing) -> Done {
    output::line(format!(
        "{}  {}",
        standing.unit,
        standing.word().as_str_name()
    ))?;
    for reason in &standing.reasons {
        let kind = if reason.kind == 0 {
            ""
        } else {
            output::kind(reason.kind)
        };
        let gap = if kind.is_empty() { "" } else { ": " };
        output::line(format!("  {kind}{gap}{}", reason.text))?;
    }
    let attributes = answer.attributes.clone().unwrap_or_default();
    if !answer.maker.is_empty() {
        output::line(format!(
            "  made by {} ({})",
            answer.maker_name, answer.maker
        ))?;
    }
    if !attributes.lot.is_empty() {
        output::line(format!(
            "  lot {}, use by {}",
            attributes.lot, attributes.expiry
        ))?;
    }
    for step in &answer.steps {
        let via = if step.via.is_empty() {
            String::new()
        } else {
            format!(" [in {}]", step.via)
        };
        let beside = if step.beside {
            " [beside the chain]"
        } else {
            ""
        };
        let findings: Vec<&str> = step
            .findings
            .iter()
            .map(|kind| output::kind(*kind))
            .collect();
        let findings = if findings.is_empty() {
            String::new()
        } else {
            format!("  !! {}", findings.join(", "))
        };
        output::line(format!(
            "  {:>8}  {}  {}{via}{beside}{findings}",
            step.log_index,
            output::time(step.event_time_ms),
            step.summary
        ))?;
    }
    Ok(())
}

/// Fetches everything that proves a unit's history.
#[derive(Args, Debug)]
pub(crate) struct Bundle {
    #[command(flatten)]
    remote: Remote,
    /// The unit.
    unit: String,
    /// File to write it to.
    #[arg(short, long)]
    output: PathBuf,
}

impl Bundle {
    pub(super) async fn run(self) -> Done {
        let ledger = self.remote.connect().await?;
        let request = wire::GetBundleRequest { unit: self.unit };
        let bundle = ledger
            .provenance()
            .get_bundle(request)
            .await?
            .into_inner()
            .bundle;
        let bundle = bundle.unwrap_or_default();
        let bytes = prost::Message::encode_to_vec(&bundle);
        std::fs::write(&self.output, &bytes).map_err(could(self.output.display()))?;
        if self.remote.json {
            return output::json(&serde_json::json!({
                "unit": bundle.unit,
                "entries": bundle.entries.len(),
                "bytes": bytes.len(),
                "file": self.output,
            }));
        }
        output::line(format!(
            "{}: {} entries, {} bytes, in {}",
            bundle.unit,
            bundle.entries.len(),
            bytes.len(),
            self.output.display()
        ))
    }
}

/// Verifies a bundle offline: says each check that it made, and ends with 1 if one fails.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// File of the bundle.
    file: PathBuf,
    /// Verifier key of the log (`name+hash+key`), from somebody whom you trust, or a file that
    /// holds it.
    #[arg(long)]
    trust: String,
    /// Write the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self) -> Done {
        let bytes = std::fs::read(&self.file).map_err(could(self.file.display()))?;
        let report = verify(&bytes, &[verifier(&self.trust)?]);
        if self.json {
            output::json(&report_json(&report))?;
        } else {
            print_report(&report)?;
        }
        if report.passed() {
            Ok(())
        } else {
            Err(Failure::No("the bundle does not verify".into()))
        }
    }
}

/// A verifier key, or the file that holds one.
pub(super) fn verifier(text: &str) -> Result<NoteVerifier, Failure> {
    let read = std::fs::read_to_string(text).ok();
    let key = read.as_deref().unwrap_or(text).trim();
    key.parse()
        .map_err(|error| Failure::No(format!("--trust: {error}")))
}

fn print_report(report: &Report) -> Done {
    for check in &report.checks {
        let word = if check.passed { "ok  " } else { "FAIL" };
        output::line(format!("{word} {:<11} {}", check.name, check.detail))?;
    }
    if let Some(standing) = &report.standing {
        output::line(format!(
            "\n{}  {}",
            standing.unit,
            standing.word.as_str_name()
        ))?;
        for reason in &standing.reasons {
            output::line(format!("  {}", reason.because.text(Lang::En)))?;
        }
        output::line("\nNot proven by this:")?;
        for caveat in &report.caveats {
            output::line(format!("  - {caveat}"))?;
        }
    }
    Ok(())
}

pub(super) fn report_json(report: &Report) -> serde_json::Value {
    serde_json::json!({
        "passed": report.passed(),
        "logSize": report.log_size,
        "checks": report.checks.iter().map(|check| serde_json::json!({
            "name": check.name, "passed": check.passed, "detail": check.detail,
        })).collect::<Vec<_>>(),
        "standing": report.standing.as_ref().map(|standing| serde_json::json!({
            "unit": standing.unit.to_string(),
            "word": standing.word.as_str_name(),
            "reasons": standing.reasons.iter().map(|reason| reason.because.text(Lang::En)).collect::<Vec<_>>(),
        })),
        "notProven": report.caveats,
    })
}
