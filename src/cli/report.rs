//! `custody report`: signed reports for supervising agencies.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use super::{Done, Failure, Remote, TokenKey, could, output, read};
use crate::core::report::Manifest;
use crate::core::wire;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KindArg {
    /// 溯源完整率: by month, how many deliveries can be traced all the way.
    Completeness,
    /// 预警处置: by kind, how many were raised and what became of them.
    Alerts,
    /// 快递企业信用排名.
    Couriers,
    /// 名单变动.
    Listings,
    /// 信息共享回执: what was shared, and who reported that it acted.
    Sharing,
    /// 召回商品去向: where the units of a product or lot are.
    Recalled,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormArg {
    Csv,
    Pdf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LanguageArg {
    Zh,
    En,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Make one and write it, its signature beside it; with a regulator's key.
    Make {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Which report.
        kind: KindArg,
        /// File for the report; the signature goes to the same name with `.note` after it.
        #[arg(short, long)]
        out: PathBuf,
        #[arg(long, default_value = "csv")]
        format: FormArg,
        /// Last month, YYYYMM in China; this month when left out.
        #[arg(long, default_value_t = 0)]
        until: u32,
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=60))]
        months: u32,
        /// Of recalled goods: which product or lot, `01/{gtin}` or `01/{gtin}/10/{lot}`.
        #[arg(long, default_value = "")]
        goods: String,
        #[arg(long, default_value = "zh")]
        language: LanguageArg,
    },
    /// Check a report offline against its signature.
    Verify {
        /// The report.
        report: PathBuf,
        /// The signature; the report's name with `.note` after it when left out.
        #[arg(long)]
        note: Option<PathBuf>,
        /// Verifier key of the log, or the file that holds it.
        #[arg(long)]
        trust: String,
    },
}

impl KindArg {
    const fn wire(self) -> wire::ReportKind {
        match self {
            Self::Completeness => wire::ReportKind::Completeness,
            Self::Alerts => wire::ReportKind::Alerts,
            Self::Couriers => wire::ReportKind::Couriers,
            Self::Listings => wire::ReportKind::Listings,
            Self::Sharing => wire::ReportKind::Sharing,
            Self::Recalled => wire::ReportKind::Recalled,
        }
    }
}

impl ReportCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Make {
                remote,
                key,
                kind,
                out,
                format,
                until,
                months,
                goods,
                language,
            } => {
                let ledger = remote.connect_as(&key).await?;
                let format = match format {
                    FormArg::Csv => wire::ReportFormat::Csv,
                    FormArg::Pdf => wire::ReportFormat::Pdf,
                };
                let language = match language {
                    LanguageArg::Zh => "zh",
                    LanguageArg::En => "en",
                };
                let request = wire::MakeReportRequest {
                    kind: kind.wire().into(),
                    format: format.into(),
                    until_month: until,
                    months,
                    goods,
                    language: language.into(),
                };
                let answer = ledger.report().make_report(request).await?.into_inner();
                std::fs::write(&out, &answer.report).map_err(could(out.display()))?;
                let note = output::beside(&out);
                std::fs::write(&note, &answer.note).map_err(could(note.display()))?;
                if remote.json {
                    return output::json(&serde_json::json!({ "bytes": answer.report.len() }));
                }
                output::line(format!(
                    "{} bytes; check it with `custody report verify`",
                    answer.report.len()
                ))
            }
            Self::Verify {
                report,
                note,
                trust,
            } => verify(&report, note, &trust),
        }
    }
}

fn verify(report: &Path, note: Option<PathBuf>, trust: &str) -> Done {
    let verifier = read::verifier(trust)?;
    let note = note.unwrap_or_else(|| output::beside(report));
    let bytes = std::fs::read(report).map_err(could(report.display()))?;
    let note = std::fs::read(&note).map_err(could(note.display()))?;
    let manifest = Manifest::verify(&note, &verifier, &bytes);
    let manifest = manifest.map_err(|error| Failure::No(error.to_string()))?;
    let (first, last) = manifest.months;
    let goods = match manifest.goods.as_str() {
        "" => String::new(),
        goods => format!(" of {goods}"),
    };
    output::line(format!(
        "ok: {}{goods} ({}), {first} to {last}, of {} at {} entries",
        manifest.kind, manifest.form, manifest.origin, manifest.log_size
    ))
}
