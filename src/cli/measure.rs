//! `custody measure`: what listings lead to.

use clap::{Subcommand, ValueEnum};

use super::govern::{SignedBy, digest_of};
use super::{Done, Remote, TokenKey, output};
use crate::core::credit::MeasureKind;
use crate::core::id::PartyId;
use crate::core::record::Millis;
use crate::core::wire;
use crate::core::wire::record::Body;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MeasureArg {
    /// 搜索排名、流量优先 (red list).
    RankingPriority,
    /// 营销活动优先 (red list).
    MarketingPriority,
    /// 限制会员等级 (black list).
    MembershipLimit,
    /// 取消诚信认证 (black list).
    CertificationLoss,
    /// 屏蔽店铺 (black list).
    ShopBlocked,
    /// 关闭店铺 (black list).
    ShopClosed,
    /// 调整抽查比例.
    InspectionRate,
    /// 融资便利 (red list), 限制融资 (black list).
    Financing,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ActionArg {
    /// 已执行.
    Applied,
    /// 已解除.
    Lifted,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MeasureCommand {
    /// Attach a measure to a listing; signed by a regulator's key.
    Attach {
        #[command(flatten)]
        by: SignedBy,
        /// Which listing.
        listing: u64,
        /// What is to be done.
        #[arg(long)]
        kind: MeasureArg,
        /// Firms of a thousand that are inspected; of an inspection rate only.
        #[arg(long, default_value_t = 0)]
        rate: u32,
        /// The law and the section.
        #[arg(long)]
        legal_basis: String,
        /// Number of the document.
        #[arg(long)]
        document: String,
        /// First moment, such as 2026-12-01T00:00:00+08:00; with the listing when left out.
        #[arg(long)]
        from: Option<jiff::Timestamp>,
        /// First moment after it; with the listing when left out.
        #[arg(long)]
        until: Option<jiff::Timestamp>,
    },
    /// End a measure before its listing; signed by the key of the authority that attached it.
    End {
        #[command(flatten)]
        by: SignedBy,
        /// Which measure.
        measure: u64,
        /// The law and the section.
        #[arg(long)]
        legal_basis: String,
        /// Number of the document.
        #[arg(long)]
        document: String,
    },
    /// Report that you acted on a measure; signed by a platform's, a bank's or a fund's key.
    Report {
        #[command(flatten)]
        by: SignedBy,
        /// Which measure.
        measure: u64,
        /// What you did.
        action: ActionArg,
        /// File that shows it; its digest goes into the log.
        #[arg(long)]
        evidence: Option<std::path::PathBuf>,
    },
    /// What is to be done about firms now; with a platform's, a bank's, a fund's or a regulator's key.
    Of {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Whom.
        #[arg(required = true)]
        parties: Vec<PartyId>,
    },
    /// Show one measure, and who acted on it.
    Show {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Which measure.
        measure: u64,
    },
}

/// A moment as the proto has it; 0 where none is said.
pub(super) fn millis(time: Option<jiff::Timestamp>) -> u64 {
    let ms = time.map_or(0, jiff::Timestamp::as_millisecond);
    u64::try_from(ms).unwrap_or(Millis::MAX.0 + 1) // before 1970: refused by the ledger
}

impl MeasureCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Attach {
                by,
                listing,
                kind,
                rate,
                legal_basis,
                document,
                from,
                until,
            } => {
                let body = Body::AttachMeasure(wire::AttachMeasure {
                    listing,
                    kind: kind as i32 + 1,
                    rate_per_mille: rate,
                    legal_basis,
                    document,
                    from_ms: millis(from),
                    until_ms: millis(until),
                });
                by.submit(body, "attached; the entry is the measure's number")
                    .await
            }
            Self::End {
                by,
                measure,
                legal_basis,
                document,
            } => {
                let body = Body::EndMeasure(wire::EndMeasure {
                    measure,
                    legal_basis,
                    document,
                });
                by.submit(body, "the measure has ended").await
            }
            Self::Report {
                by,
                measure,
                action,
                evidence,
            } => {
                let evidence = evidence.map(|path| digest_of(&path)).transpose()?;
                let body = Body::ReportMeasureApplied(wire::ReportMeasureApplied {
                    measure,
                    action: action as i32 + 1,
                    evidence,
                });
                by.submit(body, "reported").await
            }
            Self::Of {
                remote,
                key,
                parties,
            } => {
                let ledger = remote.connect_as(&key).await?;
                let request = wire::GetMeasuresRequest {
                    parties: parties.iter().map(ToString::to_string).collect(),
                };
                let answer = ledger.measure().get_measures(request).await?.into_inner();
                if remote.json {
                    return output::message("GetMeasuresResponse", &answer);
                }
                answer.measures.iter().try_for_each(show)?;
                output::line(format!(
                    "{} in force; good until {}",
                    answer.measures.len(),
                    output::time(answer.until_ms)
                ))
            }
            Self::Show {
                remote,
                key,
                measure,
            } => show_one(&remote, &key, measure).await,
        }
    }
}

async fn show_one(remote: &Remote, key: &TokenKey, log_index: u64) -> Done {
    let ledger = remote.connect_as(key).await?;
    let request = wire::GetMeasureRequest { log_index };
    let answer = ledger.measure().get_measure(request).await?.into_inner();
    let measure = answer.measure.unwrap_or_default();
    if remote.json {
        output::message_line("Measure", &measure)?;
    } else {
        show(&measure)?;
    }
    let fetch = async |page_token| {
        let request = wire::ListMeasureReportsRequest {
            log_index,
            page_size: 1000,
            page_token,
        };
        let page = ledger.measure().list_measure_reports(request).await?;
        let page = page.into_inner();
        Ok((page.reports, page.next_page_token))
    };
    output::list(remote.json, "MeasureReport", fetch, |report| {
        let action = report.action().as_str_name();
        output::line(format!(
            "    {} by {} at {} (entry {})",
            action.trim_start_matches("MEASURE_ACTION_"),
            report.party,
            output::time(report.time_ms),
            report.log_index
        ))
    })
    .await
}

/// One measure for people.
pub(super) fn show(measure: &wire::Measure) -> Done {
    let kind = MeasureKind::from_number(measure.kind);
    let rate = match kind {
        Some(MeasureKind::InspectionRate) => format!(" {} of 1,000", measure.rate_per_mille),
        _ => String::new(),
    };
    let force = if measure.in_force {
        "in force"
    } else {
        "not in force"
    };
    let term = match measure.until_ms {
        0 => "with its listing".to_owned(),
        until => format!(
            "{} to {}",
            output::time(measure.from_ms),
            output::time(until)
        ),
    };
    output::line(format!(
        "entry {:<6} {}{rate} {} (listing {}): {force}, {term} ({}, {})",
        measure.log_index,
        kind.map_or("", MeasureKind::label_zh),
        measure.subject,
        measure.listing,
        measure.legal_basis,
        measure.document
    ))
}
