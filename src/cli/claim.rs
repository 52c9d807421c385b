//! `custody claim`: consumers' reports, claims and reviews, and what funds pay.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::govern::{SignedBy, digest_of};
use super::listing::AnswerArg;
use super::{Done, Failure, Remote, TokenKey, output};
use crate::core::credit::Complaint;
use crate::core::id::{PartyId, UnitId};
use crate::core::signature::KeyId;
use crate::core::wire;
use crate::core::wire::record::Body;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ComplaintArg {
    /// 假冒.
    Counterfeit,
    /// 掉包, 破损.
    Tampered,
    /// 未收到.
    NotReceived,
    /// 货不对板.
    WrongGoods,
    /// 其他.
    Other,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClaimCommand {
    /// Report a suspect unit; signed by its buyer's key, or by a party's.
    Report {
        #[command(flatten)]
        by: SignedBy,
        /// Which unit, in any form.
        unit: String,
        /// What is wrong.
        #[arg(long)]
        complaint: ComplaintArg,
        /// File with the evidence; its digest goes into the log.
        #[arg(long)]
        evidence: Option<PathBuf>,
    },
    /// Ask for compensation; signed by the unit's buyer key.
    Open {
        #[command(flatten)]
        by: SignedBy,
        /// Which unit, in any form.
        unit: String,
        /// What is wrong.
        #[arg(long)]
        complaint: ComplaintArg,
        /// How much, in yuan, such as 128.50.
        #[arg(long, value_parser = fen)]
        amount: u64,
        /// File with the evidence; its digest goes into the log.
        #[arg(long)]
        evidence: PathBuf,
    },
    /// Decide a claim; signed by the key of a fund, a platform or a regulator.
    Decide {
        #[command(flatten)]
        by: SignedBy,
        /// Which claim.
        claim: u64,
        /// What.
        answer: AnswerArg,
        /// How much is granted, in yuan.
        #[arg(long, value_parser = fen, default_value = "0")]
        amount: u64,
        /// The law and the section.
        #[arg(long)]
        legal_basis: String,
        /// Number of the decision.
        #[arg(long)]
        document: String,
    },
    /// Record that the buyer was paid in advance (先行赔付); signed by the payer's key.
    Pay {
        #[command(flatten)]
        by: SignedBy,
        /// Which claim.
        claim: u64,
        /// Number of the payment.
        #[arg(long)]
        document: String,
    },
    /// Record what the payer got back (追偿).
    Recover {
        #[command(flatten)]
        by: SignedBy,
        /// Which claim.
        claim: u64,
        /// How much, in yuan.
        #[arg(long, value_parser = fen)]
        amount: u64,
        /// Number of the payment.
        #[arg(long)]
        document: String,
    },
    /// Say that a buyer's key is a real buyer's; signed by a platform, a bank, a fund or a regulator.
    Attest {
        #[command(flatten)]
        by: SignedBy,
        /// A unit that the key is for.
        unit: String,
        /// Id of the buyer's key, 32 hex digits.
        buyer: KeyId,
    },
    /// Review what was received; signed by the unit's buyer key.
    Review {
        #[command(flatten)]
        by: SignedBy,
        /// Which unit, in any form.
        unit: String,
        /// 1 to 5.
        #[arg(long)]
        rating: u32,
        /// File with the text; its digest goes into the log.
        #[arg(long)]
        text: Option<PathBuf>,
    },
    /// Show a claim.
    Show {
        #[command(flatten)]
        remote: Remote,
        /// Which claim.
        claim: u64,
    },
    /// List claims; with the key of a fund, a platform or a regulator.
    List {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Only those that wait for a decision.
        #[arg(long)]
        open: bool,
    },
    /// List reports; with a regulator's key.
    Reports {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
    },
    /// Show what a fund or platform paid and got back.
    Fund {
        #[command(flatten)]
        remote: Remote,
        /// Whose.
        party: PartyId,
    },
    /// Show how a seller's goods were reviewed.
    Reviews {
        #[command(flatten)]
        remote: Remote,
        /// Whose.
        seller: PartyId,
    },
}

/// Yuan with at most two decimals, in fen.
fn fen(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no amount in yuan, such as 128.50");
    let (yuan, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if yuan.is_empty() || !digits(yuan) || !digits(decimals) || decimals.len() > 2 {
        return Err(bad());
    }
    let yuan: u64 = yuan.parse().map_err(|_| bad())?;
    let fen: u64 = format!("{decimals:0<2}").parse().map_err(|_| bad())?;
    let all = yuan.checked_mul(100).and_then(|all| all.checked_add(fen));
    all.ok_or_else(bad)
}

fn yuan(fen: u64) -> String {
    format!("{}.{:02} CNY", fen / 100, fen % 100)
}

fn unit_of(text: &str) -> Result<String, Failure> {
    let unit = UnitId::parse_any(text).map_err(|error| Failure::No(error.to_string()))?;
    Ok(unit.to_string())
}

impl ClaimCommand {
    #[allow(clippy::too_many_lines)] // one arm a command
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Report {
                by,
                unit,
                complaint,
                evidence,
            } => {
                let body = Body::ReportUnit(wire::ReportUnit {
                    unit: unit_of(&unit)?,
                    complaint: complaint as i32 + 1,
                    evidence: evidence.as_deref().map(digest_of).transpose()?,
                });
                by.submit(body, "reported to the regulator").await
            }
            Self::Open {
                by,
                unit,
                complaint,
                amount,
                evidence,
            } => {
                let body = Body::OpenClaim(wire::OpenClaim {
                    unit: unit_of(&unit)?,
                    complaint: complaint as i32 + 1,
                    amount_fen: amount,
                    evidence: Some(digest_of(&evidence)?),
                });
                by.submit(body, "the claim is open; the entry is its number")
                    .await
            }
            Self::Decide {
                by,
                claim,
                answer,
                amount,
                legal_basis,
                document,
            } => {
                let body = Body::DecideClaim(wire::DecideClaim {
                    claim,
                    answer: answer as i32 + 1,
                    amount_fen: amount,
                    legal_basis,
                    document,
                });
                by.submit(body, "decided").await
            }
            Self::Pay {
                by,
                claim,
                document,
            } => {
                let body = Body::RecordPayout(wire::RecordPayout { claim, document });
                by.submit(body, "the payment is recorded").await
            }
            Self::Recover {
                by,
                claim,
                amount,
                document,
            } => {
                let body = Body::RecordRecovery(wire::RecordRecovery {
                    claim,
                    amount_fen: amount,
                    document,
                });
                by.submit(body, "the recovery is recorded").await
            }
            Self::Attest { by, unit, buyer } => {
                let body = Body::AttestBuyerKey(wire::AttestBuyerKey {
                    unit: unit_of(&unit)?,
                    key_id: buyer.0.to_vec(),
                });
                by.submit(body, "the buyer's key is attested").await
            }
            Self::Review {
                by,
                unit,
                rating,
                text,
            } => {
                let body = Body::ReviewUnit(wire::ReviewUnit {
                    unit: unit_of(&unit)?,
                    rating,
                    text: text.as_deref().map(digest_of).transpose()?,
                });
                by.submit(body, "the review counts").await
            }
            Self::Show { remote, claim } => {
                let ledger = remote.connect().await?;
                let request = wire::GetClaimRequest { log_index: claim };
                let answer = ledger.claim().get_claim(request).await?.into_inner();
                let claim = answer.claim.unwrap_or_default();
                if remote.json {
                    return output::message("Claim", &claim);
                }
                show(&claim)
            }
            Self::List { remote, key, open } => list(&remote, &key, open).await,
            Self::Reports { remote, key } => reports(&remote, &key).await,
            Self::Fund { remote, party } => {
                let ledger = remote.connect().await?;
                let party = party.to_string();
                let request = wire::GetFundRequest { party };
                let fund = ledger.claim().get_fund(request).await?.into_inner();
                if remote.json {
                    return output::message("GetFundResponse", &fund);
                }
                output::line(format!(
                    "{} claims paid, {}; got back {}",
                    fund.claims_paid,
                    yuan(fund.paid_fen),
                    yuan(fund.recovered_fen)
                ))
            }
            Self::Reviews { remote, seller } => {
                let ledger = remote.connect().await?;
                let seller = seller.to_string();
                let request = wire::GetReviewsRequest { seller };
                let reviews = ledger.claim().get_reviews(request).await?.into_inner();
                if remote.json {
                    return output::message("GetReviewsResponse", &reviews);
                }
                let rows = reviews.verified.iter().zip(&reviews.unattested);
                (1..).zip(rows).try_for_each(|(stars, (verified, unattested))| {
                    output::line(format!(
                        "{stars} stars: {verified} verified, {unattested} by keys that only the \
                         seller knows"
                    ))
                })
            }
        }
    }
}

async fn list(remote: &Remote, key: &TokenKey, open: bool) -> Done {
    let ledger = remote.connect_as(key).await?;
    let fetch = async |page_token| {
        let request = wire::ListClaimsRequest {
            open,
            page_size: 1000,
            page_token,
        };
        let page = ledger.claim().list_claims(request).await?.into_inner();
        Ok((page.claims, page.next_page_token))
    };
    output::list(remote.json, "Claim", fetch, show).await
}

async fn reports(remote: &Remote, key: &TokenKey) -> Done {
    let ledger = remote.connect_as(key).await?;
    let fetch = async |page_token| {
        let request = wire::ListReportsRequest {
            page_size: 1000,
            page_token,
        };
        let page = ledger.claim().list_reports(request).await?.into_inner();
        Ok((page.reports, page.next_page_token))
    };
    output::list(remote.json, "Report", fetch, show_report).await
}

fn show_report(report: &wire::Report) -> Done {
    let by = if report.party.is_empty() {
        "the buyer"
    } else {
        &report.party
    };
    output::line(format!(
        "entry {:<6} {}  {} {} by {by}",
        report.log_index,
        output::time(report.time_ms),
        complaint(report.complaint),
        report.unit
    ))
}

fn complaint(number: i32) -> &'static str {
    Complaint::from_number(number).map_or("", Complaint::label_zh)
}

fn show(claim: &wire::Claim) -> Done {
    let mut text = format!(
        "entry {:<6} {}  {} {}: {} asked for",
        claim.log_index,
        output::time(claim.opened_ms),
        complaint(claim.complaint),
        claim.unit,
        yuan(claim.amount_fen)
    );
    match claim.answer() {
        wire::Answer::Unspecified => text += "\n    open",
        wire::Answer::Refused => {
            text += &format!(
                "\n    refused by {} ({}, {})",
                claim.decided_by, claim.legal_basis, claim.document
            );
        }
        wire::Answer::Granted => {
            text += &format!(
                "\n    {} granted by {} ({}, {})",
                yuan(claim.granted_fen),
                claim.decided_by,
                claim.legal_basis,
                claim.document
            );
            let why = match claim.broken_at {
                0 => "the seller: custody did not break".to_owned(),
                at => format!("the last holder before the break at entry {at}"),
            };
            text += &format!("\n    owed by {}, {why}", claim.recourse);
        }
    }
    if !claim.paid_by.is_empty() {
        text += &format!(
            "\n    paid by {}, {} got back",
            claim.paid_by,
            yuan(claim.recovered_fen)
        );
    }
    output::line(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_to_the_fen_and_nothing_else_is() {
        for (text, expected) in [("128.50", 12_850), ("0.01", 1), ("7", 700), ("7.5", 750)] {
            assert_eq!(fen(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            ".5",
            "1.234",
            "-1",
            "1e3",
            "1,5",
            "99999999999999999999",
        ] {
            assert!(fen(text).is_err(), "{text}");
        }
        assert_eq!(yuan(12_805), "128.05 CNY");
    }
}
