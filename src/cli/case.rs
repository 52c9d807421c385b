//! `custody case`: coordinated supervision (协同监管).

use clap::{Args, Subcommand, ValueEnum};

use super::alert::{SignalArg, signal_name};
use super::govern::SignedBy;
use super::{Done, Remote, TokenKey, output};
use crate::core::credit::{CaseKind, CaseOutcome};
use crate::core::id::PartyId;
use crate::core::wire;
use crate::core::wire::record::Body;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindArg {
    /// 假冒伪劣.
    Counterfeit,
    /// 刷单炒信.
    FakeOrders,
    /// 产品安全.
    Safety,
    /// 寄递安全.
    Delivery,
    /// 其他.
    Other,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OutcomeArg {
    /// 不予处罚.
    NoViolation,
    /// 行政处罚.
    Penalty,
    /// 移送司法机关.
    ToJustice,
    /// 调解, 整改.
    Settled,
}

/// What a case rests on.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct GroundsArgs {
    /// Numbers of findings, comma between them.
    #[arg(long, value_delimiter = ',')]
    finding: Vec<u64>,
    /// Entries of reports.
    #[arg(long, value_delimiter = ',')]
    report: Vec<u64>,
    /// Entries of claims.
    #[arg(long, value_delimiter = ',')]
    claim: Vec<u64>,
    /// Whom it is about.
    #[arg(long, value_delimiter = ',')]
    subject: Vec<PartyId>,
    /// Signals, as `custody alert list` names them: kind and entry.
    #[arg(long, value_delimiter = ',')]
    signal: Vec<SignalArg>,
}

impl GroundsArgs {
    fn to_wire(&self) -> Option<wire::CaseGrounds> {
        Some(wire::CaseGrounds {
            findings: self.finding.clone(),
            reports: self.report.clone(),
            claims: self.claim.clone(),
            subjects: self.subject.iter().map(ToString::to_string).collect(),
            signals: self.signal.iter().map(|signal| signal.0).collect(),
        })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum CaseCommand {
    /// Open a case (立案); signed by a regulator's key.
    Open {
        #[command(flatten)]
        by: SignedBy,
        /// What it is about.
        #[arg(long)]
        kind: KindArg,
        #[command(flatten)]
        grounds: GroundsArgs,
        /// Number of the file.
        #[arg(long)]
        document: String,
    },
    /// Add what a case rests on; signed by the agency in whose hands it is.
    Add {
        #[command(flatten)]
        by: SignedBy,
        /// Which case.
        case: u64,
        #[command(flatten)]
        grounds: GroundsArgs,
        /// Number of the document.
        #[arg(long)]
        document: String,
    },
    /// Put a case into another agency's hands, with a deadline (移送).
    Refer {
        #[command(flatten)]
        by: SignedBy,
        /// Which case.
        case: u64,
        /// To whom.
        #[arg(long)]
        to: PartyId,
        /// Days for it.
        #[arg(long)]
        days: u32,
        /// Number of the document.
        #[arg(long)]
        document: String,
    },
    /// Close a case with a decision (结案).
    Close {
        #[command(flatten)]
        by: SignedBy,
        /// Which case.
        case: u64,
        /// How it ends.
        outcome: OutcomeArg,
        /// The law and the section.
        #[arg(long)]
        legal_basis: String,
        /// Number of the decision.
        #[arg(long)]
        document: String,
    },
    /// Show a case with its joint history.
    Show {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Which case.
        case: u64,
    },
    /// List cases, or an agency's queue.
    List {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Party id of the agency whose queue it is.
        #[arg(long)]
        agency: Option<PartyId>,
        /// Only those that are not closed.
        #[arg(long)]
        open: bool,
    },
}

impl CaseCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Open {
                by,
                kind,
                grounds,
                document,
            } => {
                let body = Body::OpenCase(wire::OpenCase {
                    kind: kind as i32 + 1,
                    grounds: grounds.to_wire(),
                    document,
                });
                by.submit(body, "the case is open; the entry is its number")
                    .await
            }
            Self::Add {
                by,
                case,
                grounds,
                document,
            } => {
                let grounds = grounds.to_wire();
                let body = Body::AddToCase(wire::AddToCase {
                    case,
                    grounds,
                    document,
                });
                by.submit(body, "added").await
            }
            Self::Refer {
                by,
                case,
                to,
                days,
                document,
            } => {
                let done = format!("the case is in the hands of {to}");
                let body = Body::ReferCase(wire::ReferCase {
                    case,
                    to: to.to_string(),
                    days,
                    document,
                });
                by.submit(body, &done).await
            }
            Self::Close {
                by,
                case,
                outcome,
                legal_basis,
                document,
            } => {
                let body = Body::CloseCase(wire::CloseCase {
                    case,
                    outcome: outcome as i32 + 1,
                    legal_basis,
                    document,
                });
                by.submit(body, "the case is closed").await
            }
            Self::Show { remote, key, case } => {
                let ledger = remote.connect_as(&key).await?;
                let request = wire::GetCaseRequest { log_index: case };
                let answer = ledger.case().get_case(request).await?.into_inner();
                let case = answer.case.unwrap_or_default();
                if remote.json {
                    return output::message("Case", &case);
                }
                show(&case)
            }
            Self::List {
                remote,
                key,
                agency,
                open,
            } => list(&remote, &key, agency, open).await,
        }
    }
}

async fn list(remote: &Remote, key: &TokenKey, agency: Option<PartyId>, open: bool) -> Done {
    let ledger = remote.connect_as(key).await?;
    let agency = agency.map(|agency| agency.to_string()).unwrap_or_default();
    let fetch = async |page_token| {
        let request = wire::ListCasesRequest {
            agency: agency.clone(),
            open,
            page_size: 1000,
            page_token,
        };
        let page = ledger.case().list_cases(request).await?.into_inner();
        Ok((page.cases, page.next_page_token))
    };
    output::list(remote.json, "Case", fetch, show).await
}

fn show(case: &wire::Case) -> Done {
    let kind = CaseKind::from_number(case.kind).map_or("", CaseKind::label_zh);
    let state = match CaseOutcome::from_number(case.outcome) {
        Some(outcome) => format!("closed, {} ({})", outcome.label_zh(), case.legal_basis),
        None if case.overdue => format!("OVERDUE with {}", case.agency),
        None => format!("open with {}", case.agency),
    };
    let mut text = format!("entry {:<6} {kind}  {state}", case.log_index);
    if case.due_ms > 0 {
        text += &format!("\n    due: {}", output::time(case.due_ms));
    }
    let grounds = case.grounds.clone().unwrap_or_default();
    let numbers = |numbers: &[u64]| {
        let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        texts.join(", ")
    };
    let signals: Vec<String> = grounds.signals.iter().map(signal_name).collect();
    for (what, which) in [
        ("findings", numbers(&grounds.findings)),
        ("reports", numbers(&grounds.reports)),
        ("claims", numbers(&grounds.claims)),
        ("signals", signals.join(", ")),
        ("about", grounds.subjects.join(", ")),
    ] {
        if !which.is_empty() {
            text += &format!("\n    {what}: {which}");
        }
    }
    for step in &case.steps {
        let kind = step.kind().as_str_name();
        let to = if step.to.is_empty() {
            String::new()
        } else {
            format!(" to {}", step.to)
        };
        text += &format!(
            "\n    {}  {}{to} by {} ({}, entry {})",
            output::time(step.time_ms),
            kind.trim_start_matches("CASE_STEP_KIND_"),
            step.agency,
            step.document,
            step.log_index
        );
    }
    output::line(text)
}
