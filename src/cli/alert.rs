//! `custody alert`: early warning (风险预警).

use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use super::govern::SignedBy;
use super::{Done, Failure, Remote, TokenKey, output};
use crate::core::credit::{AlertAnswer, SignalKind};
use crate::core::wire;
use crate::core::wire::alert::About;
use crate::core::wire::record::Body;

/// Kinds of signals.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SignalKindArg {
    /// 交接超时.
    HandoverNotAccepted,
    /// 商品滞留.
    AtRest,
    /// 异常率上升.
    RateOfBreaks,
    /// 密钥泄露.
    CompromisedKey,
    /// 无重量签收.
    WeightlessDelivery,
    /// 数分钟内签收.
    HastyDelivery,
    /// 疑似刷单.
    ClosedRing,
    /// 批量查询.
    BulkLookUp,
    /// 一码多地查询.
    LookedUpWidely,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LevelArg {
    /// 提示.
    Notice,
    /// 预警.
    Warning,
    /// 严重预警.
    Severe,
}

/// A signal on the command line: kind and entry, such as `AT_REST:1234`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalArg(pub wire::SignalId);

impl FromStr for SignalArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(kind, entry)| {
            let name = format!("SIGNAL_KIND_{}", kind.to_uppercase().replace('-', "_"));
            let kind = wire::SignalKind::from_str_name(&name)?;
            let log_index = entry.parse().ok()?;
            Some(wire::SignalId {
                kind: kind.into(),
                log_index,
            })
        });
        parts
            .map(Self)
            .ok_or_else(|| "use kind and entry, such as AT_REST:1234".to_owned())
    }
}

/// A signal for people, as [`SignalArg`] reads it.
pub(super) fn signal_name(id: &wire::SignalId) -> String {
    let kind = id.kind().as_str_name();
    format!(
        "{}:{}",
        kind.trim_start_matches("SIGNAL_KIND_"),
        id.log_index
    )
}

/// A finding by its number, or a signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlertArg(wire::AlertId);

impl FromStr for AlertArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let alert = match text.parse() {
            Ok(number) => wire::alert_id::Alert::Finding(number),
            Err(_) => wire::alert_id::Alert::Signal(
                text.parse::<SignalArg>()
                    .map_err(|text| format!("the number of a finding, or {text}"))?
                    .0,
            ),
        };
        Ok(Self(wire::AlertId { alert: Some(alert) }))
    }
}

/// Which alerts.
#[derive(Args, Clone, Debug)]
pub(crate) struct FilterArgs {
    /// Only findings of these kinds, comma between them, such as NOT_HOLDER.
    #[arg(long, value_delimiter = ',')]
    finding: Vec<String>,
    /// Only signals of these kinds.
    #[arg(long, value_delimiter = ',')]
    signal: Vec<SignalKindArg>,
    /// At least so pressing.
    #[arg(long)]
    level: Option<LevelArg>,
    /// Only what concerns this party.
    #[arg(long, default_value = "")]
    concerns: String,
    /// Only what names this unit.
    #[arg(long, default_value = "")]
    unit: String,
    /// Only in this region, such as CN-FJ.
    #[arg(long, default_value = "")]
    region: String,
    /// Only what nobody answered.
    #[arg(long)]
    open: bool,
}

impl FilterArgs {
    fn to_wire(&self) -> Result<Option<wire::AlertFilter>, Failure> {
        let findings = self.finding.iter().map(|name| {
            wire::FindingKind::from_str_name(name)
                .map(Into::into)
                .ok_or_else(|| Failure::No(format!("--finding: no finding {name}")))
        });
        Ok(Some(wire::AlertFilter {
            findings: findings.collect::<Result<_, _>>()?,
            signals: self.signal.iter().map(|kind| *kind as i32 + 1).collect(),
            level: self.level.map_or(0, |level| level as i32 + 1),
            party: self.concerns.clone(),
            unit: self.unit.clone(),
            region: self.region.clone(),
            open: self.open,
        }))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List findings and signals, oldest first.
    List {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        #[command(flatten)]
        filter: FilterArgs,
        /// The newest first; else the oldest.
        #[arg(long)]
        newest_first: bool,
    },
    /// Follow findings, signals and answers live. Ends with the token; resume with the last cursor.
    Watch {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        #[command(flatten)]
        filter: FilterArgs,
        /// From the first one on (start), or after the message that bore this cursor.
        #[arg(long, default_value = "")]
        cursor: String,
        /// End after so many.
        #[arg(long)]
        count: Option<u64>,
    },
    /// Say that somebody looks into it (已阅处理中); signed by a regulator's key.
    Acknowledge {
        #[command(flatten)]
        by: SignedBy,
        /// Number of a finding, or a signal such as AT_REST:1234.
        alert: AlertArg,
        /// What is done about it.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Say that a signal needs nothing (已排除); signed by a regulator's key.
    Dismiss {
        #[command(flatten)]
        by: SignedBy,
        /// A signal such as AT_REST:1234.
        alert: AlertArg,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

impl AlertCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::List {
                remote,
                key,
                filter,
                newest_first,
            } => {
                let ledger = remote.connect_as(&key).await?;
                let filter = filter.to_wire()?;
                let fetch = async |page_token| {
                    let request = wire::ListAlertsRequest {
                        filter: filter.clone(),
                        page_size: 1000,
                        page_token,
                        newest_first,
                    };
                    let page = ledger.alert().list_alerts(request).await?.into_inner();
                    Ok((page.alerts, page.next_page_token))
                };
                output::list(remote.json, "Alert", fetch, show).await
            }
            Self::Watch {
                remote,
                key,
                filter,
                cursor,
                count,
            } => {
                let ledger = remote.connect_as(&key).await?;
                let filter = filter.to_wire()?;
                let request = wire::WatchAlertsRequest { filter, cursor };
                let mut stream = ledger.alert().watch_alerts(request).await?.into_inner();
                let mut left = count.unwrap_or(u64::MAX);
                while left > 0
                    && let Some(message) = stream.message().await?
                {
                    left -= 1;
                    if remote.json {
                        output::message_line("WatchAlertsResponse", &message)?;
                    } else {
                        show(&message.alert.unwrap_or_default())?;
                    }
                }
                Ok(())
            }
            Self::Acknowledge { by, alert, reason } => {
                answer(&by, alert, AlertAnswer::Acknowledged, reason).await
            }
            Self::Dismiss { by, alert, reason } => {
                answer(&by, alert, AlertAnswer::Dismissed, reason).await
            }
        }
    }
}

async fn answer(by: &SignedBy, alert: AlertArg, answer: AlertAnswer, reason: String) -> Done {
    let body = Body::AnswerAlert(wire::AnswerAlert {
        alert: Some(alert.0),
        answer: answer.number(),
        reason,
    });
    by.submit(body, answer.label_zh()).await
}

fn show(alert: &wire::Alert) -> Done {
    let level = alert.level().as_str_name();
    let level = level.trim_start_matches("ALERT_LEVEL_");
    let what = match &alert.about {
        Some(About::Finding(finding)) => {
            let status = finding.status().as_str_name();
            format!(
                "{}  {level:<8} finding {} {} {}\n    {}  {}  {}",
                output::time(finding.time_ms),
                finding.sequence,
                output::kind(finding.kind),
                status.trim_start_matches("FINDING_STATUS_"),
                finding.unit,
                finding.party,
                finding.city,
            )
        }
        Some(About::Signal(signal)) => of_signal(level, signal),
        None => String::new(),
    };
    output::line(what + &answered(alert))
}

fn of_signal(level: &str, signal: &wire::Signal) -> String {
    let id = wire::SignalId {
        kind: signal.kind,
        log_index: signal.log_index,
    };
    let label = SignalKind::from_number(signal.kind).map_or("", SignalKind::label_zh);
    let mut text = format!(
        "{}  {level:<8} {} {label}  {}",
        output::time(signal.time_ms),
        signal_name(&id),
        measured(signal),
    );
    if !signal.parties.is_empty() {
        text += &format!(
            "\n    about: {}  {}",
            signal.parties.join(", "),
            signal.city
        );
    }
    if !signal.key_id.is_empty() {
        text += &format!("\n    key: {}", hex::encode(&signal.key_id));
    }
    if let Some(first) = signal.units.first() {
        text += &format!("\n    units: {}, the first {first}", signal.unit_count);
    }
    let evidence: Vec<String> = signal.evidence.iter().map(ToString::to_string).collect();
    text + &format!("\n    evidence: entries {}", evidence.join(", "))
}

/// What was measured, in the unit of the kind.
fn measured(signal: &wire::Signal) -> String {
    let (measured, limit) = (signal.measured, signal.limit);
    let minutes = |ms: i64| ms / 60_000;
    match signal.kind() {
        wire::SignalKind::HandoverNotAccepted | wire::SignalKind::AtRest => {
            format!(
                "{} h, allowed {} h",
                minutes(measured) / 60,
                minutes(limit) / 60
            )
        }
        wire::SignalKind::HastyDelivery => {
            format!("{} min, at least {} min", minutes(measured), minutes(limit))
        }
        wire::SignalKind::RateOfBreaks => {
            format!("{measured} of 1,000 records, {limit} before")
        }
        wire::SignalKind::CompromisedKey => format!("{measured} records"),
        wire::SignalKind::ClosedRing => format!("{measured} of {limit} deliveries"),
        wire::SignalKind::BulkLookUp => format!("{measured} files in a day, at most {limit}"),
        wire::SignalKind::LookedUpWidely => format!("from {measured} networks in a day"),
        wire::SignalKind::WeightlessDelivery | wire::SignalKind::Unspecified => String::new(),
    }
}

fn answered(alert: &wire::Alert) -> String {
    let Some(answer) = AlertAnswer::from_number(alert.answer) else {
        return String::new();
    };
    let case = if answer == AlertAnswer::InCase {
        format!(", case {}", alert.case)
    } else {
        String::new()
    };
    format!(
        "\n    {} by {} (entry {}){case} {}",
        answer.label_zh(),
        alert.answered_by,
        alert.answered_at,
        alert.reason
    )
}
