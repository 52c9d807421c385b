//! `custody listing`: the red and the black list, and admission.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use super::credit::{OptionalKey, SeverityArg, severity};
use super::govern::{SignedBy, digest_of, erasable};
use super::{Done, Failure, Remote, TokenKey, could, output};
use crate::core::credit::ListKind;
use crate::core::credit::admission::{Admission, Admissions};
use crate::core::id::PartyId;
use crate::core::tlog::note::NoteVerifier;
use crate::core::wire;
use crate::core::wire::record::Body;
use crate::sequence::now;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ListArg {
    /// 红名单.
    Red,
    /// 黑名单.
    Black,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DecisionArg {
    /// 列入.
    List,
    /// 不予列入.
    Drop,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AnswerArg {
    /// The listing ends.
    Granted,
    /// It stays.
    Refused,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ListingCommand {
    /// Propose to list a party (拟列入); signed by a regulator's key.
    Propose {
        #[command(flatten)]
        by: SignedBy,
        /// Which list.
        #[arg(long)]
        list: ListArg,
        /// Whom.
        #[arg(long)]
        subject: PartyId,
        /// How serious; black list only.
        #[arg(long)]
        severity: Option<SeverityArg>,
        /// The facts.
        #[arg(long)]
        reason: String,
        /// Keep the facts out of the log: only a salted commitment to them goes in. Always so for a
        /// minor listing; needed for a party without a public name.
        #[arg(long)]
        erasable: bool,
        /// The law and the section.
        #[arg(long)]
        legal_basis: String,
        /// Number of the document.
        #[arg(long)]
        document: String,
        /// Entries that show the facts, comma between them.
        #[arg(long, value_delimiter = ',')]
        evidence: Vec<u64>,
    },
    /// Record that the party was told (告知); signed by a regulator's key.
    Notify {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
        /// Number of the notification.
        #[arg(long)]
        document: String,
        /// The file that was served; its digest goes into the log.
        #[arg(long)]
        notice: PathBuf,
    },
    /// State your case (陈述申辩); signed by the party's key.
    State {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
        /// In short.
        #[arg(long, default_value = "")]
        text: String,
        /// The whole statement; its digest goes into the log.
        #[arg(long)]
        statement: PathBuf,
    },
    /// Decide (列入, 不予列入); signed by the key of the authority that proposed.
    Decide {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
        /// What.
        decision: DecisionArg,
        /// As decided; black list only.
        #[arg(long)]
        severity: Option<SeverityArg>,
        /// For how long.
        #[arg(long, default_value_t = 0)]
        months: u32,
        /// The law and the section.
        #[arg(long)]
        legal_basis: String,
        /// Number of the decision.
        #[arg(long)]
        document: String,
    },
    /// Publish the decision (公示): it takes effect.
    Publish {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
    },
    /// Object to a listing (异议); signed by the party's key.
    Object {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
        /// In short.
        #[arg(long, default_value = "")]
        reason: String,
        /// The whole objection; its digest goes into the log.
        #[arg(long)]
        statement: PathBuf,
    },
    /// Answer an objection.
    Answer {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
        /// What.
        answer: AnswerArg,
        /// Number of the answer.
        #[arg(long)]
        document: String,
    },
    /// Ask to be taken off the black list early (信用修复); signed by the party's key.
    Repair {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
        /// Entry of a commitment of kind repair, made since the listing took effect.
        #[arg(long)]
        commitment: u64,
        /// The proof that the fault is mended; its digest goes into the log.
        #[arg(long)]
        proof: PathBuf,
    },
    /// Answer a request for repair.
    DecideRepair {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
        /// What.
        answer: AnswerArg,
        /// Number of the answer.
        #[arg(long)]
        document: String,
    },
    /// Take a listing back (移出, 撤销).
    End {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
        /// The law and the section.
        #[arg(long)]
        legal_basis: String,
        /// Number of the document.
        #[arg(long)]
        document: String,
    },
    /// Show a listing.
    Show {
        #[command(flatten)]
        remote: Remote,
        /// Which listing.
        listing: u64,
        #[command(flatten)]
        key: OptionalKey,
    },
    /// Show the lists: what is public now, or all that ever was with a regulator's key.
    List {
        #[command(flatten)]
        remote: Remote,
        /// Only this list.
        #[arg(long)]
        list: Option<ListArg>,
        /// Only this party.
        #[arg(long)]
        subject: Option<PartyId>,
        #[command(flatten)]
        key: OptionalKey,
    },
    /// Ask whether firms may enter a market (限制进驻), and check the signed answer; exit code 1 when one
    /// of them may not. Needs a platform's or a regulator's key.
    Check {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// File with the log's verifier key.
        #[arg(long)]
        trust: PathBuf,
        /// Whom.
        #[arg(required = true)]
        parties: Vec<PartyId>,
    },
}

impl ListingCommand {
    #[allow(clippy::too_many_lines)] // one arm a step
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Propose {
                by,
                list,
                subject,
                severity,
                reason,
                erasable: keep_out,
                legal_basis,
                document,
                evidence,
            } => {
                let keep_out = keep_out || severity == Some(SeverityArg::Minor);
                let (reason, reason_commitment) = erasable(reason, keep_out)?;
                let body = Body::ProposeListing(wire::ProposeListing {
                    list: list as i32 + 1,
                    subject: subject.to_string(),
                    severity: SeverityArg::number(severity),
                    reason,
                    reason_commitment,
                    legal_basis,
                    document,
                    evidence,
                });
                by.submit(body, "proposed; the entry is the listing's number")
                    .await
            }
            Self::Notify {
                by,
                listing,
                document,
                notice,
            } => {
                let notice = Some(digest_of(&notice)?);
                let body = Body::NotifyListing(wire::NotifyListing {
                    listing,
                    document,
                    notice,
                });
                by.submit(body, "the party's days for a statement run")
                    .await
            }
            Self::State {
                by,
                listing,
                text,
                statement,
            } => {
                let document = Some(digest_of(&statement)?);
                let body = Body::SubmitStatement(wire::SubmitStatement {
                    listing,
                    text,
                    document,
                });
                by.submit(body, "the statement is in the log").await
            }
            Self::Decide {
                by,
                listing,
                decision,
                severity,
                months,
                legal_basis,
                document,
            } => {
                let body = Body::DecideListing(wire::DecideListing {
                    listing,
                    decision: decision as i32 + 1,
                    severity: SeverityArg::number(severity),
                    months,
                    legal_basis,
                    document,
                });
                by.submit(body, "decided").await
            }
            Self::Publish { by, listing } => {
                let body = Body::PublishListing(wire::PublishListing { listing });
                by.submit(body, "published: the listing is in force").await
            }
            Self::Object {
                by,
                listing,
                reason,
                statement,
            } => {
                let document = Some(digest_of(&statement)?);
                let body = Body::ObjectToListing(wire::ObjectToListing {
                    listing,
                    reason,
                    document,
                });
                by.submit(body, "the objection is in the log").await
            }
            Self::Answer {
                by,
                listing,
                answer,
                document,
            } => {
                let body = Body::AnswerObjection(wire::AnswerObjection {
                    listing,
                    answer: answer as i32 + 1,
                    document,
                });
                by.submit(body, "answered").await
            }
            Self::Repair {
                by,
                listing,
                commitment,
                proof,
            } => {
                let proof = Some(digest_of(&proof)?);
                let body = Body::RequestRepair(wire::RequestRepair {
                    listing,
                    commitment,
                    proof,
                });
                by.submit(body, "the request is in the log").await
            }
            Self::DecideRepair {
                by,
                listing,
                answer,
                document,
            } => {
                let body = Body::DecideRepair(wire::DecideRepair {
                    listing,
                    answer: answer as i32 + 1,
                    document,
                });
                by.submit(body, "answered").await
            }
            Self::End {
                by,
                listing,
                legal_basis,
                document,
            } => {
                let body = Body::EndListing(wire::EndListing {
                    listing,
                    legal_basis,
                    document,
                });
                by.submit(body, "the listing has ended").await
            }
            Self::Show {
                remote,
                listing,
                key,
            } => {
                let ledger = key.connect(&remote).await?;
                let request = wire::GetListingRequest { log_index: listing };
                let answer = ledger.listing().get_listing(request).await?.into_inner();
                let listing = answer.listing.unwrap_or_default();
                if remote.json {
                    return output::message("Listing", &listing);
                }
                show(&listing)
            }
            Self::List {
                remote,
                list,
                subject,
                key,
            } => {
                let ledger = key.connect(&remote).await?;
                list_all(&remote, &ledger, list, subject).await
            }
            Self::Check {
                remote,
                key,
                trust,
                parties,
            } => check(&remote, &key, &trust, &parties).await,
        }
    }
}

async fn list_all(
    remote: &Remote,
    ledger: &crate::client::Ledger,
    list: Option<ListArg>,
    subject: Option<PartyId>,
) -> Done {
    let subject = subject.map(|party| party.to_string()).unwrap_or_default();
    let fetch = async |page_token| {
        let request = wire::ListListingsRequest {
            list: list.map_or(0, |list| list as i32 + 1),
            subject: subject.clone(),
            page_size: 1000,
            page_token,
        };
        let page = ledger.listing().list_listings(request).await?.into_inner();
        Ok((page.listings, page.next_page_token))
    };
    output::list(remote.json, "Listing", fetch, show).await
}

/// One listing for people.
pub(super) fn show(listing: &wire::Listing) -> Done {
    let list = ListKind::from_number(listing.list).map_or("", ListKind::label_zh);
    let phase = listing.phase().as_str_name();
    let words = [
        list,
        severity(listing.severity),
        phase.trim_start_matches("LISTING_PHASE_"),
        &listing.subject,
        &listing.subject_name,
    ];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let mut text = format!(
        "entry {:<6} {}: {} ({}, {})",
        listing.log_index,
        words.join(" "),
        listing.reason,
        listing.legal_basis,
        listing.document,
    );
    let times = [
        ("proposed 拟列入", listing.proposed_ms),
        ("notified 告知", listing.notified_ms),
        ("statement by 陈述申辩截止", listing.statement_until_ms),
        ("statement 陈述申辩", listing.statement_ms),
        ("decided 决定", listing.decided_ms),
        ("published 公示", listing.published_ms),
        ("in force until 期满", listing.until_ms),
        ("objection by 异议截止", listing.objection_until_ms),
        ("repair from 可申请修复", listing.repair_from_ms),
        ("ended 结束", listing.ended_ms),
    ];
    for (what, ms) in times {
        if ms > 0 {
            text += &format!("\n    {what}: {}", output::time(ms));
        }
    }
    let entries: Vec<String> = listing.entries.iter().map(ToString::to_string).collect();
    text += &format!("\n    entries: {}", entries.join(", "));
    output::line(text)
}

async fn check(remote: &Remote, key: &TokenKey, trust: &Path, parties: &[PartyId]) -> Done {
    let text = std::fs::read_to_string(trust).map_err(could(trust.display()))?;
    let log_key: NoteVerifier = text.trim().parse().map_err(could(trust.display()))?;
    let ledger = remote.connect_as(key).await?;
    let request = wire::CheckPartiesRequest {
        parties: parties.iter().map(ToString::to_string).collect(),
    };
    let note = ledger
        .listing()
        .check_parties(request)
        .await?
        .into_inner()
        .note;
    let answer = Admissions::verify(&note, &log_key, now());
    let answer = answer.map_err(|error| Failure::No(error.to_string()))?;
    let asked = answer.parties.iter().map(|(party, _)| party);
    if !asked.eq(parties) {
        return Err(Failure::No(
            "the signed answer is about other parties".into(),
        ));
    }
    output::text(&String::from_utf8_lossy(&note))?;
    let refused = answer
        .parties
        .iter()
        .filter(|(_, word)| matches!(word, Admission::Barred(_) | Admission::Unknown));
    match refused.count() {
        0 => Ok(()),
        count => Err(Failure::No(format!("{count} of them may not enter"))),
    }
}
