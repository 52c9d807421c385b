//! `custody credit`: commitments, credit records and credit files.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::govern::{SignedBy, digest_of, erasable};
use super::listing::AnswerArg;
use super::score::{self, ScoreArgs};
use super::{Done, Failure, Remote, TokenKey, output};
use crate::core::credit;
use crate::core::id::PartyId;
use crate::core::signature::KeyId;
use crate::core::wire;
use crate::core::wire::record::Body;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CommitmentArg {
    /// In place of a proof or a permit.
    Approval,
    /// Of one's own accord.
    Voluntary,
    /// By the rules of an industry.
    Industry,
    /// To have mended what a listing is for.
    Repair,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RecordArg {
    /// 行政处罚.
    Penalty,
    /// 表彰奖励.
    Award,
    /// 监督检查.
    Inspection,
    /// 司法裁判.
    Judgement,
    /// 行政许可.
    Permit,
    /// 其他.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeverityArg {
    /// 轻微: never published.
    Minor,
    /// 一般.
    Ordinary,
    /// 严重.
    Serious,
}

impl SeverityArg {
    pub(super) fn number(severity: Option<Self>) -> i32 {
        severity.map_or(0, |severity| severity as i32 + 1)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum CreditCommand {
    /// Commit your party in public (信用承诺).
    Commit {
        #[command(flatten)]
        by: SignedBy,
        /// What for.
        #[arg(long)]
        kind: CommitmentArg,
        /// The commitment.
        #[arg(long, default_value = "")]
        text: String,
        /// A file that says more; its digest goes into the log.
        #[arg(long)]
        document: Option<PathBuf>,
    },
    /// Record that a commitment was not kept; signed by a regulator's key.
    Breach {
        #[command(flatten)]
        by: SignedBy,
        /// Entry of the commitment.
        commitment: u64,
        /// What was not kept.
        #[arg(long)]
        reason: String,
        /// Number of the document that finds it.
        #[arg(long)]
        document: String,
        /// Entries that show it, comma between them.
        #[arg(long, value_delimiter = ',')]
        evidence: Vec<u64>,
    },
    /// Add to a party's credit file (信用记录); signed by a regulator's key.
    Record(RecordArgs),
    /// Show a party's credit file: in public, or all of it with a regulator's key or its own.
    File {
        #[command(flatten)]
        remote: Remote,
        /// Whose.
        party: PartyId,
        #[command(flatten)]
        key: OptionalKey,
    },
    /// Show a delivery firm's score, or an employee's, with the entries behind every point.
    Score {
        #[command(flatten)]
        of: ScoreArgs,
        /// Id of an employee's or device's key, 32 hex digits.
        #[arg(long)]
        employee: Option<KeyId>,
    },
    /// Write down what proves a firm's score: the entries behind every point, with their proofs; with a
    /// regulator's key, after it opened the firm's file.
    Evidence {
        #[command(flatten)]
        of: ScoreArgs,
        /// Verifier key of the log, or the file that holds it.
        #[arg(long)]
        trust: String,
        /// File to write to.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Check offline what `custody credit evidence` wrote.
    Verify {
        /// The file.
        file: PathBuf,
        /// Verifier key of the log, or the file that holds it.
        #[arg(long)]
        trust: String,
    },
    /// Object to a deduction from your firm's score (异议).
    Object {
        #[command(flatten)]
        by: SignedBy,
        #[command(flatten)]
        deduction: DeductionArgs,
        /// The whole objection; its digest goes into the log.
        #[arg(long)]
        statement: PathBuf,
    },
    /// Answer an objection to a deduction (更正); signed by a regulator's key.
    Correct {
        #[command(flatten)]
        by: SignedBy,
        /// Entry of the objection.
        objection: u64,
        /// Granted, the deduction counts no more.
        answer: AnswerArg,
        /// Number of the answer.
        #[arg(long)]
        document: String,
    },
    /// Show the terms and deadlines of the lists.
    Policy {
        #[command(flatten)]
        remote: Remote,
    },
    /// Set the terms and deadlines of the lists; signed by a root key. What is left out stays.
    SetPolicy(Box<PolicyArgs>),
}

/// Whose key signs a token, for calls that answer more with one.
#[derive(Args, Clone, Debug)]
pub(crate) struct OptionalKey {
    /// Key file of a regulator, or of the party that it is about.
    #[arg(long)]
    key: Option<PathBuf>,
}

impl OptionalKey {
    pub(super) async fn connect(self, remote: &Remote) -> Result<crate::client::Ledger, Failure> {
        match self.key {
            Some(key) => remote.connect_as(&TokenKey { key, party: None }).await,
            None => remote.connect().await,
        }
    }
}

/// What is deducted for.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct DeductionArgs {
    /// Number of a confirmed finding.
    #[arg(long)]
    finding: Option<u64>,
    /// Entry that passed on late, or collected without all checks, as KEY:ENTRY.
    #[arg(long)]
    lapse: Option<String>,
    /// Entry of a claim.
    #[arg(long)]
    claim: Option<u64>,
}

impl DeductionArgs {
    fn to_wire(&self) -> Result<wire::DeductionRef, Failure> {
        use wire::deduction_ref::Deduction;
        let bad = || Failure::No("--lapse: write the key id, a colon and the entry".into());
        let deduction = if let Some(number) = self.finding {
            Deduction::Finding(number)
        } else if let Some(index) = self.claim {
            Deduction::Claim(index)
        } else {
            let text = self.lapse.as_deref().unwrap_or_default();
            let (key, index) = text.split_once(':').ok_or_else(bad)?;
            let key: KeyId = key.parse().map_err(|_| bad())?;
            Deduction::Lapse(wire::LapseRef {
                key_id: key.0.to_vec(),
                log_index: index.parse().map_err(|_| bad())?,
            })
        };
        Ok(wire::DeductionRef {
            deduction: Some(deduction),
        })
    }
}

#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    #[command(flatten)]
    by: SignedBy,
    /// About whom.
    #[arg(long)]
    subject: PartyId,
    /// What it says.
    #[arg(long)]
    kind: RecordArg,
    /// How serious; not for an award.
    #[arg(long)]
    severity: Option<SeverityArg>,
    /// The law and the section.
    #[arg(long)]
    legal_basis: String,
    /// Number of the document.
    #[arg(long)]
    document: String,
    /// Its date, as YYYYMMDD.
    #[arg(long)]
    date: u32,
    /// In one sentence.
    #[arg(long)]
    text: String,
    /// Keep the text out of the log: only a salted commitment to it goes in. Needed for a party
    /// without a public name.
    #[arg(long)]
    erasable: bool,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    by: SignedBy,
    /// Most months of a minor listing.
    #[arg(long)]
    minor_max_months: Option<u32>,
    /// Least months of an ordinary one.
    #[arg(long)]
    ordinary_min_months: Option<u32>,
    /// Most months of an ordinary one.
    #[arg(long)]
    ordinary_max_months: Option<u32>,
    /// Least months of a serious one.
    #[arg(long)]
    serious_min_months: Option<u32>,
    /// Most months of a serious one.
    #[arg(long)]
    serious_max_months: Option<u32>,
    /// Most months on the red list.
    #[arg(long)]
    red_max_months: Option<u32>,
    /// Days for a statement.
    #[arg(long)]
    statement_days: Option<u32>,
    /// Days for an objection.
    #[arg(long)]
    objection_days: Option<u32>,
    /// Days for an authority's answer.
    #[arg(long)]
    answer_days: Option<u32>,
    /// Hours for which a delivery firm may hold goods.
    #[arg(long)]
    transit_hours: Option<u32>,
    /// Hours in which a handover is accepted before regulators are alerted.
    #[arg(long)]
    accept_hours: Option<u32>,
    /// Days for which goods may rest before regulators are alerted.
    #[arg(long)]
    rest_days: Option<u32>,
    /// The law that says so.
    #[arg(long)]
    legal_basis: String,
}

impl CreditCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Commit {
                by,
                kind,
                text,
                document,
            } => {
                let body = Body::MakeCommitment(wire::MakeCommitment {
                    kind: kind as i32 + 1,
                    text,
                    document: document.as_deref().map(digest_of).transpose()?,
                });
                by.submit(body, "committed, in public").await
            }
            Self::Breach {
                by,
                commitment,
                reason,
                document,
                evidence,
            } => {
                let body = Body::RecordBreach(wire::RecordBreach {
                    commitment,
                    reason,
                    document,
                    evidence,
                });
                by.submit(body, "the breach is recorded").await
            }
            Self::Record(record) => record.run().await,
            Self::File { remote, party, key } => {
                let ledger = key.connect(&remote).await?;
                show_file(&remote, &ledger, party).await
            }
            Self::Score { of, employee } => of.show(employee).await,
            Self::Evidence { of, trust, output } => of.evidence(&trust, &output).await,
            Self::Verify { file, trust } => score::check(&file, &trust),
            Self::Object {
                by,
                deduction,
                statement,
            } => {
                let body = Body::ObjectToDeduction(wire::ObjectToDeduction {
                    deduction: Some(deduction.to_wire()?),
                    document: Some(digest_of(&statement)?),
                });
                by.submit(body, "the objection is in the log").await
            }
            Self::Correct {
                by,
                objection,
                answer,
                document,
            } => {
                let body = Body::AnswerDeduction(wire::AnswerDeduction {
                    objection,
                    answer: answer as i32 + 1,
                    document,
                });
                by.submit(body, "answered").await
            }
            Self::Policy { remote } => show_policy(&remote).await,
            Self::SetPolicy(policy) => policy.run().await,
        }
    }
}

impl RecordArgs {
    async fn run(self) -> Done {
        let (text, text_commitment) = erasable(self.text, self.erasable)?;
        let body = Body::AddCreditRecord(wire::AddCreditRecord {
            subject: self.subject.to_string(),
            kind: self.kind as i32 + 1,
            severity: SeverityArg::number(self.severity),
            legal_basis: self.legal_basis,
            document: self.document,
            date: self.date,
            text,
            text_commitment,
        });
        self.by.submit(body, "the credit record is added").await
    }
}

impl PolicyArgs {
    async fn run(self) -> Done {
        let ledger = self.by.remote.connect().await?;
        let request = wire::GetCreditPolicyRequest {};
        let now = ledger.credit().get_credit_policy(request).await?;
        let now = now.into_inner().policy.unwrap_or_default();
        let or = |set: Option<u32>, now: u32| set.unwrap_or(now);
        let body = Body::SetCreditPolicy(wire::SetCreditPolicy {
            minor_max_months: or(self.minor_max_months, now.minor_max_months),
            ordinary_min_months: or(self.ordinary_min_months, now.ordinary_min_months),
            ordinary_max_months: or(self.ordinary_max_months, now.ordinary_max_months),
            serious_min_months: or(self.serious_min_months, now.serious_min_months),
            serious_max_months: or(self.serious_max_months, now.serious_max_months),
            red_max_months: or(self.red_max_months, now.red_max_months),
            statement_days: or(self.statement_days, now.statement_days),
            objection_days: or(self.objection_days, now.objection_days),
            answer_days: or(self.answer_days, now.answer_days),
            transit_hours: or(self.transit_hours, now.transit_hours),
            accept_hours: or(self.accept_hours, now.accept_hours),
            rest_days: or(self.rest_days, now.rest_days),
            legal_basis: self.legal_basis,
        });
        self.by.submit(body, "the terms are set").await
    }
}

async fn show_policy(remote: &Remote) -> Done {
    let ledger = remote.connect().await?;
    let request = wire::GetCreditPolicyRequest {};
    let answer = ledger.credit().get_credit_policy(request).await?;
    let answer = answer.into_inner();
    if remote.json {
        return output::message("GetCreditPolicyResponse", &answer);
    }
    let policy = answer.policy.unwrap_or_default();
    let since = match answer.log_index {
        0 => "by default".to_owned(),
        index => format!("by entry {index}, {}", policy.legal_basis),
    };
    output::line(format!(
        "minor (轻微)     never published, at most {} months\n\
         ordinary (一般)  {} to {} months of publication\n\
         serious (严重)   {} to {} months of publication\n\
         red list (红名单) at most {} months\n\
         statement (陈述申辩) {} days, objection (异议) {} days, answer {} days\n\
         a delivery firm passes on within {} hours\n\
         alerts: a handover not accepted within {} hours, goods at rest for {} days\n\
         {since}",
        policy.minor_max_months,
        policy.ordinary_min_months,
        policy.ordinary_max_months,
        policy.serious_min_months,
        policy.serious_max_months,
        policy.red_max_months,
        policy.statement_days,
        policy.objection_days,
        policy.answer_days,
        policy.transit_hours,
        policy.accept_hours,
        policy.rest_days,
    ))
}

async fn show_file(remote: &Remote, ledger: &crate::client::Ledger, party: PartyId) -> Done {
    let fetch = async |page_token| {
        let request = wire::GetCreditFileRequest {
            party: party.to_string(),
            page_size: 1000,
            page_token,
        };
        let page = ledger.credit().get_credit_file(request).await?.into_inner();
        Ok((page.items, page.next_page_token))
    };
    output::list(remote.json, "CreditItem", fetch, show_item).await
}

fn show_item(item: &wire::CreditItem) -> Done {
    use wire::credit_item::Item;
    match &item.item {
        Some(Item::Commitment(c)) => {
            let kind = credit::CommitmentKind::from_number(c.kind);
            let label = kind.map_or("", credit::CommitmentKind::label_zh);
            output::line(format!(
                "entry {:<6} {}  信用承诺 {label}: {}",
                c.log_index,
                output::time(c.time_ms),
                c.text
            ))?;
            c.breaches.iter().try_for_each(|breach| {
                output::line(format!(
                    "    not kept (entry {}): {}; {} by {}",
                    breach.log_index, breach.reason, breach.document, breach.authority
                ))
            })
        }
        Some(Item::Record(r)) => {
            let kind = credit::CreditRecordKind::from_number(r.kind);
            output::line(format!(
                "entry {:<6} {}  信用记录 {} {}: {} ({}, {}, {})",
                r.log_index,
                output::time(r.time_ms),
                kind.map_or("", credit::CreditRecordKind::label_zh),
                severity(r.severity),
                r.text,
                r.legal_basis,
                r.document,
                r.date
            ))
        }
        Some(Item::Listing(listing)) => super::listing::show(listing),
        Some(Item::Measure(measure)) => super::measure::show(measure),
        None => Ok(()),
    }
}

/// A severity for people.
pub(super) fn severity(number: i32) -> &'static str {
    credit::CreditSeverity::from_number(number).map_or("", credit::CreditSeverity::label_zh)
}
