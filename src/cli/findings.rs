//! `custody findings`.

use clap::Args;

use super::{Done, Remote, TokenKey, output};
use crate::core::wire;

/// Lists findings, or follows them live.
#[derive(Args, Debug)]
pub(crate) struct FindingsCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    key: TokenKey,
    /// Only these kinds, comma between them, such as NOT_HOLDER.
    #[arg(long, value_delimiter = ',')]
    kind: Vec<String>,
    /// Only by this party.
    #[arg(long, default_value = "")]
    by: String,
    /// Only at this unit.
    #[arg(long, default_value = "")]
    unit: String,
    /// Only in this region.
    #[arg(long, default_value = "")]
    region: String,
    /// Only in this city.
    #[arg(long, default_value = "")]
    city: String,
    /// From this number on.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Wait for new ones.
    #[arg(long)]
    follow: bool,
}

impl FindingsCommand {
    pub(super) async fn run(self) -> Done {
        let kinds = self
            .kind
            .iter()
            .map(|name| {
                wire::FindingKind::from_str_name(name)
                    .map(Into::into)
                    .ok_or_else(|| super::Failure::No(format!("--kind: no finding {name}")))
            })
            .collect::<Result<Vec<i32>, _>>()?;
        let filter = Some(wire::FindingFilter {
            kinds,
            party: self.by.clone(),
            unit: self.unit.clone(),
            region: self.region.clone(),
            city: self.city.clone(),
            ..wire::FindingFilter::default()
        });
        let ledger = self.remote.connect_as(&self.key).await?;
        if self.follow {
            let request = wire::WatchFindingsRequest {
                filter,
                from_sequence: self.from,
            };
            let mut stream = ledger
                .regulator()
                .watch_findings(request)
                .await?
                .into_inner();
            while let Some(response) = stream.message().await? {
                self.print(&response.finding.unwrap_or_default())?;
            }
            return Ok(());
        }
        // A page's token is the number of its first finding.
        let first = if self.from > 0 {
            self.from.to_string()
        } else {
            String::new()
        };
        let fetch = async |page_token: String| {
            let request = wire::ListFindingsRequest {
                filter: filter.clone(),
                page_size: 1000,
                page_token: if page_token.is_empty() {
                    first.clone()
                } else {
                    page_token
                },
            };
            let page = ledger
                .regulator()
                .list_findings(request)
                .await?
                .into_inner();
            Ok((page.findings, page.next_page_token))
        };
        output::each_page(fetch, |finding| self.print(finding)).await
    }

    fn print(&self, finding: &wire::FindingRecord) -> Done {
        if self.remote.json {
            return output::message_line("FindingRecord", finding);
        }
        output::line(format!(
            "{:>6}  {}  {:<24} {:<9} {:<40} {} {}",
            finding.sequence,
            output::time(finding.time_ms),
            output::kind(finding.kind),
            finding
                .status()
                .as_str_name()
                .trim_start_matches("FINDING_STATUS_"),
            finding.unit,
            finding.party,
            finding.city
        ))
    }
}
