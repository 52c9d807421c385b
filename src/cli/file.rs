//! `custody file`: who reads a party's file, what a bank may see of it, and the personal data in it.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::govern::SignedBy;
use super::measure::millis;
use super::{Done, Failure, Remote, TokenKey, could, keys, output};
use crate::core::credit::SALT_BYTES;
use crate::core::id::PartyId;
use crate::core::wire;
use crate::core::wire::record::Body;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ClassArg {
    /// Names and evidence of registrations.
    Registration,
    /// Reasons, statements and records of credit files.
    Credit,
    /// What belongs to claims.
    Claim,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FileCommand {
    /// Open a party's file for 24 hours: who reads it, and why, is in the log first; signed by a
    /// regulator's key.
    Open {
        #[command(flatten)]
        by: SignedBy,
        /// Whose.
        subject: PartyId,
        /// Why, without names.
        #[arg(long)]
        purpose: String,
        /// Number of the file or case that it is for.
        #[arg(long)]
        document: String,
    },
    /// Show who opened a party's file, and why; with its own key, a regulator's or an auditor's.
    Reads {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Whose.
        subject: PartyId,
    },
    /// Let a bank or a fund see your listings and traced volume until a time; signed by your party's key.
    Authorise {
        #[command(flatten)]
        by: SignedBy,
        /// Whom.
        viewer: PartyId,
        /// First moment after it, at most 366 days ahead; left out, it ends now.
        #[arg(long)]
        until: Option<jiff::Timestamp>,
    },
    /// What a firm lets you see; with a bank's or a fund's key.
    View {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Whose.
        subject: PartyId,
        /// Last month of the period, as YYYYMM; this month when left out.
        #[arg(long, default_value_t = 0)]
        until: u32,
        /// Months of the period.
        #[arg(long, default_value_t = 12)]
        months: u32,
    },
    /// Keep a text beside the log; the log holds only the commitment to it. Prints the commitment.
    Put {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Whom it is about.
        subject: PartyId,
        /// What for: how long it is kept depends on it.
        #[arg(long)]
        class: ClassArg,
        /// File with the text.
        #[arg(long)]
        text: PathBuf,
        /// The salt of a commitment that is in the log already, 32 hex digits; a new one when left out.
        #[arg(long)]
        salt: Option<String>,
    },
    /// List the texts about a party, without what they say.
    Texts {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Whom they are about.
        subject: PartyId,
    },
    /// Show a text; a regulator opens the party's file first.
    Text {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Whom it is about.
        subject: PartyId,
        /// The commitment, 64 hex digits.
        commitment: String,
    },
    /// Erase a text and its salt for good; the log stays as it is.
    Erase {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Whom it is about.
        subject: PartyId,
        /// The commitment, 64 hex digits.
        commitment: String,
    },
}

impl FileCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Open {
                by,
                subject,
                purpose,
                document,
            } => {
                let body = Body::OpenFile(wire::OpenFile {
                    subject: subject.to_string(),
                    purpose,
                    document,
                });
                by.submit(body, "the file is open to your party for 24 hours")
                    .await
            }
            Self::Reads {
                remote,
                key,
                subject,
            } => reads(&remote, &key, subject).await,
            Self::Authorise { by, viewer, until } => {
                let body = Body::AuthoriseView(wire::AuthoriseView {
                    viewer: viewer.to_string(),
                    until_ms: millis(until),
                });
                let done = until.map_or_else(
                    || format!("{viewer} may look no more"),
                    |until| format!("{viewer} may look until {until}"),
                );
                by.submit(body, &done).await
            }
            Self::View {
                remote,
                key,
                subject,
                until,
                months,
            } => view(&remote, &key, subject, (until, months)).await,
            Self::Put {
                remote,
                key,
                subject,
                class,
                text,
                salt,
            } => {
                let text = std::fs::read_to_string(&text).map_err(could(text.display()))?;
                put(&remote, &key, subject, class, (text, salt)).await
            }
            Self::Texts {
                remote,
                key,
                subject,
            } => texts(&remote, &key, subject).await,
            Self::Text {
                remote,
                key,
                subject,
                commitment,
            } => {
                let ledger = remote.connect_as(&key).await?;
                let request = wire::GetPrivateRequest {
                    subject: subject.to_string(),
                    commitment: bytes(&commitment)?,
                };
                let answer = ledger.private().get_private(request).await?.into_inner();
                if remote.json {
                    return output::message("GetPrivateResponse", &answer);
                }
                output::line(&answer.text)?;
                output::line(format!("salt {}", hex::encode(&answer.salt)))
            }
            Self::Erase {
                remote,
                key,
                subject,
                commitment,
            } => {
                let ledger = remote.connect_as(&key).await?;
                let request = wire::ErasePrivateRequest {
                    subject: subject.to_string(),
                    commitment: bytes(&commitment)?,
                };
                ledger.private().erase_private(request).await?;
                output::line("erased")
            }
        }
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, Failure> {
    hex::decode(text).map_err(|_| Failure::No(format!("{text} are no hex digits")))
}

async fn reads(remote: &Remote, key: &TokenKey, party: PartyId) -> Done {
    let ledger = remote.connect_as(key).await?;
    let fetch = async |page_token| {
        let request = wire::ListFileReadsRequest {
            party: party.to_string(),
            page_size: 1000,
            page_token,
        };
        let page = ledger.credit().list_file_reads(request).await?.into_inner();
        Ok((page.reads, page.next_page_token))
    };
    output::list(remote.json, "FileRead", fetch, |read| {
        output::line(format!(
            "entry {:<6} {} {} (key {}): {} ({})",
            read.log_index,
            output::time(read.time_ms),
            read.by,
            hex::encode(&read.key_id),
            read.purpose,
            read.document
        ))
    })
    .await
}

async fn view(
    remote: &Remote,
    key: &TokenKey,
    party: PartyId,
    (until_month, months): (u32, u32),
) -> Done {
    let ledger = remote.connect_as(key).await?;
    let request = wire::GetFinancialViewRequest {
        party: party.to_string(),
        until_month,
        months,
    };
    let answer = ledger.credit().get_financial_view(request).await?;
    let answer = answer.into_inner();
    if remote.json {
        return output::message("GetFinancialViewResponse", &answer);
    }
    if answer.listings.is_empty() {
        output::line("on no list")?;
    }
    answer.listings.iter().try_for_each(super::listing::show)?;
    for month in &answer.volumes {
        output::line(format!(
            "{}  made {:>8}  taken {:>8}  handed over {:>8}  delivered {:>8}",
            month.month, month.made, month.taken, month.handed_over, month.delivered
        ))?;
    }
    output::line(format!(
        "by consent of entry {}, until {}; {} entries counted in",
        answer.consent,
        output::time(answer.consent_until_ms),
        answer.log_size
    ))
}

async fn put(
    remote: &Remote,
    key: &TokenKey,
    party: PartyId,
    class: ClassArg,
    (text, salt): (String, Option<String>),
) -> Done {
    let salt = match salt {
        Some(digits) => bytes(&digits)?,
        None => {
            let mut salt = [0; SALT_BYTES];
            keys::fill_randomly(&mut salt)?;
            salt.to_vec()
        }
    };
    let ledger = remote.connect_as(key).await?;
    let request = wire::PutPrivateRequest {
        subject: party.to_string(),
        class: class as i32 + 1,
        salt,
        text,
    };
    let answer = ledger.private().put_private(request).await?.into_inner();
    let text = answer.text.unwrap_or_default();
    if remote.json {
        return output::message("PrivateText", &text);
    }
    output::line(format!(
        "commitment {}\nkept until {}",
        hex::encode(&text.commitment),
        output::time(text.keep_until_ms)
    ))
}

async fn texts(remote: &Remote, key: &TokenKey, party: PartyId) -> Done {
    let ledger = remote.connect_as(key).await?;
    let fetch = async |page_token| {
        let request = wire::ListPrivateRequest {
            subject: party.to_string(),
            page_size: 1000,
            page_token,
        };
        let page = ledger.private().list_private(request).await?.into_inner();
        Ok((page.texts, page.next_page_token))
    };
    output::list(remote.json, "PrivateText", fetch, |text| {
        let class = text.class().as_str_name();
        let end = if text.erased {
            "erased".to_owned()
        } else {
            format!("kept until {}", output::time(text.keep_until_ms))
        };
        output::line(format!(
            "{} {} put {} by {}: {end}",
            hex::encode(&text.commitment),
            class.trim_start_matches("RETENTION_CLASS_"),
            output::time(text.put_ms),
            text.put_by
        ))
    })
    .await
}
