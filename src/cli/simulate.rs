//! `custody simulate`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Done, Failure, Remote, could, keys, output};
use crate::api::token;
use crate::client::{Ledger, Session, Token};
use crate::core::signature::Signer;
use crate::core::wire;
use crate::simulate::{
    CaseTruth, ClaimTruth, Comparison, CreditTruth, FoundBreak, ListingTruth, MeasureTruth,
    Options, Run, ScoreTruth, Truth, compare, run,
};

/// Life of the token with which the results are read.
const TOKEN_LIFE: Duration = Duration::from_secs(900);

/// Drives a ledger with a believable trade: makers commission and pack, couriers carry, buyers
/// confirm; some units come back, one lot is recalled. Frauds of every kind are planted, and at the
/// end the ledger's findings are compared with the truth: ends with 1 if one was missed, or
/// something else was flagged. The same seed tells the same story.
#[derive(Args, Debug)]
pub(crate) struct Simulate {
    #[command(flatten)]
    remote: Remote,
    /// Key file of the ledger's regulator.
    #[arg(long, env = "CUSTODY_KEY")]
    key: PathBuf,
    /// Everything follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Units, about.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    units: u32,
    /// Parties.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    parties: u32,
    /// Breaks of each kind; one in 2,000 units when left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=500))]
    plants: Option<u32>,
    /// File to write the truth to.
    #[arg(long)]
    truth: Option<PathBuf>,
    /// File to write a few units to look at, one a line: what it is, and its id.
    #[arg(long)]
    samples: Option<PathBuf>,
}

impl Simulate {
    pub(super) async fn run(self) -> Done {
        let regulator = keys::read(&self.key)?;
        let ledger = self.remote.connect().await?;
        let party = keys::party_of(&ledger, &regulator).await?;
        let mut options = Options::new(self.seed, self.units as usize, self.parties as usize);
        if let Some(plants) = self.plants {
            options = options.planting(plants as usize);
        }
        let mut session = Session::start(ledger.clone()).await?;
        let bar = output::progress(0, "lots");
        let told = run(&mut session, &regulator, &options, &|progress| {
            bar.set_length(progress.of_lots as u64);
            bar.set_position(progress.lots as u64);
        })
        .await
        .map_err(|error| Failure::No(error.to_string()))?;
        bar.finish_and_clear();
        if let Some(path) = &self.truth {
            write_json(path, &told.truth)?;
        }
        let found = findings(&ledger, &regulator, party, session.origin(), &told).await?;
        let comparison = compare(&told.truth, &found);
        let credit = match &told.truth.credit {
            Some(truth) => {
                let token = token::make(&regulator, party, session.origin(), TOKEN_LIFE);
                let token = Token::bearer(&token.map_err(Failure::Could)?)?;
                let found = credit(&ledger.with_token(token), truth, told.entries).await?;
                truth.differences(&found)
            }
            None => Vec::new(),
        };
        if let Some(path) = &self.samples {
            std::fs::write(path, samples(&ledger, &told.truth).await?)
                .map_err(could(path.display()))?;
        }
        self.report(&told, &comparison, &credit)
    }

    fn report(&self, told: &Run, comparison: &Comparison, credit: &[String]) -> Done {
        let passed = comparison.passed() && credit.is_empty();
        if self.remote.json {
            let value = serde_json::json!({
                "passed": passed,
                "credit": credit,
                "seed": self.seed,
                "records": told.truth.records,
                "recordsByKind": told.truth.records_by_kind,
                "comparison": serde_json::to_value(comparison).map_err(could("the report"))?,
            });
            output::json(&value)?;
        } else {
            output::line(format!(
                "{} records by {} parties",
                told.truth.records, told.truth.parties
            ))?;
            for (kind, count) in &told.truth.records_by_kind {
                output::line(format!("  {count:>8} {kind}"))?;
            }
            output::line(format!("\n{}\n{}", comparison.table(), comparison.words()))?;
            if let Some(truth) = &told.truth.credit {
                output::line(credit_words(truth, credit))?;
            }
        }
        if passed {
            Ok(())
        } else {
            Err(Failure::No("what the ledger found is not the truth".into()))
        }
    }
}

/// What became of listings, claims and scores, in words.
fn credit_words(truth: &CreditTruth, differences: &[String]) -> String {
    if differences.is_empty() {
        return format!(
            "{} listings, {} measures, {} claims, a case and a score stand as they should; the \
             fund {} paid {}.{:02} CNY.",
            truth.listings.len(),
            truth.measures.len(),
            truth.claims.len(),
            truth.fund,
            truth.paid_fen / 100,
            truth.paid_fen % 100
        );
    }
    format!("Not as it should be:\n{}", differences.join("\n"))
}

/// Listings, claims and scores as the ledger tells them, of the entries that the run wrote.
async fn credit(
    ledger: &Ledger,
    truth: &CreditTruth,
    (first, last): (u64, u64),
) -> Result<CreditTruth, Failure> {
    let mut found = CreditTruth::default();
    let fetch = async |page_token| {
        let request = wire::ListListingsRequest {
            page_size: 1000,
            page_token,
            ..wire::ListListingsRequest::default()
        };
        let page = ledger.listing().list_listings(request).await?.into_inner();
        Ok((page.listings, page.next_page_token))
    };
    output::each_page(fetch, |listing| {
        if (first..=last).contains(&listing.log_index) {
            found.listings.push(ListingTruth {
                entry: listing.log_index,
                list: listing.list().as_str_name().to_owned(),
                phase: listing.phase().as_str_name().to_owned(),
                subject: listing.subject.clone(),
                steps: listing.entries.clone(),
            });
        }
        Ok(())
    })
    .await?;
    for claim in &truth.claims {
        let request = wire::GetClaimRequest {
            log_index: claim.entry,
        };
        let claim = ledger.claim().get_claim(request).await?.into_inner();
        let claim = claim.claim.unwrap_or_default();
        let paid = !claim.paid_by.is_empty();
        found.claims.push(ClaimTruth {
            entry: claim.log_index,
            unit: claim.unit,
            paid_fen: if paid { claim.granted_fen } else { 0 },
            recourse: claim.recourse,
        });
    }
    for expected in &truth.cases {
        let request = wire::GetCaseRequest {
            log_index: expected.entry,
        };
        let case = ledger.case().get_case(request).await?.into_inner();
        let case = case.case.unwrap_or_default();
        found.cases.push(CaseTruth {
            entry: case.log_index,
            outcome: case.outcome().as_str_name().to_owned(),
        });
    }
    for expected in &truth.measures {
        let log_index = expected.entry;
        let request = wire::GetMeasureRequest { log_index };
        let measure = ledger.measure().get_measure(request).await?.into_inner();
        let measure = measure.measure.unwrap_or_default();
        let request = wire::ListMeasureReportsRequest {
            log_index,
            ..wire::ListMeasureReportsRequest::default()
        };
        let reports = ledger.measure().list_measure_reports(request).await?;
        found.measures.push(MeasureTruth {
            entry: measure.log_index,
            subject: measure.subject,
            in_force: measure.in_force,
            reports: reports.into_inner().reports.len() as u64,
        });
    }
    for expected in &truth.scores {
        let request = wire::GetScoreRequest {
            party: expected.party.clone(),
            ..wire::GetScoreRequest::default()
        };
        let score = ledger.credit().get_score(request).await?.into_inner();
        let count = |kind: wire::ScoreItemKind| {
            let item = score.items.iter().find(|item| item.kind() == kind);
            item.map_or(0, |item| item.count)
        };
        found.scores.push(ScoreTruth {
            party: expected.party.clone(),
            unchecked: count(wire::ScoreItemKind::Unchecked),
            upheld_claims: count(wire::ScoreItemKind::UpheldClaim),
        });
    }
    let party = truth.fund.clone();
    let fund = ledger
        .claim()
        .get_fund(wire::GetFundRequest { party })
        .await?;
    found.paid_fen = fund.into_inner().paid_fen;
    Ok(found)
}

fn write_json(path: &std::path::Path, truth: &Truth) -> Done {
    let text = serde_json::to_string_pretty(truth).map_err(could(path.display()))?;
    std::fs::write(path, text + "\n").map_err(could(path.display()))
}

/// The findings of the entries that the run wrote.
async fn findings(
    ledger: &Ledger,
    regulator: &Arc<Signer>,
    party: crate::core::id::PartyId,
    origin: &str,
    told: &Run,
) -> Result<Vec<FoundBreak>, Failure> {
    let token = token::make(regulator, party, origin, TOKEN_LIFE);
    let ledger = ledger.with_token(Token::bearer(&token.map_err(Failure::Could)?)?);
    let (first, last) = told.entries;
    let mut found = Vec::new();
    let fetch = async |page_token| {
        let request = wire::ListFindingsRequest {
            filter: None,
            page_size: 1000,
            page_token,
        };
        let page = ledger
            .regulator()
            .list_findings(request)
            .await?
            .into_inner();
        Ok((page.findings, page.next_page_token))
    };
    output::each_page(fetch, |finding| {
        if (first..=last).contains(&finding.log_index) {
            found.push(FoundBreak {
                kind: output::kind(finding.kind).to_owned(),
                unit: finding.unit.clone(),
                log_index: finding.log_index,
            });
        }
        Ok(())
    })
    .await?;
    Ok(found)
}

/// A few units to look at: a clean one, and the first of each kind of break, with the words of their standings.
async fn samples(ledger: &Ledger, truth: &Truth) -> Result<String, Failure> {
    let wanted = [
        "NOT_HOLDER",
        "DUPLICATE_COMMISSION",
        "MOVED_UNDER_RECALL",
        "PHANTOM_DELIVERY",
    ];
    let units = wanted
        .iter()
        .filter_map(|kind| truth.planted.iter().find(|planted| planted.kind == *kind))
        .map(|planted| planted.unit.clone());
    let broken = |unit: &&String| truth.planted.iter().any(|planted| planted.unit == **unit);
    let clean = truth.confirmed.iter().find(|unit| !broken(unit)).cloned();
    let units: Vec<String> = clean.into_iter().chain(units).collect();
    if units.is_empty() {
        return Ok(String::new());
    }
    let request = wire::BatchGetStandingsRequest { units };
    let answer = ledger
        .provenance()
        .batch_get_standings(request)
        .await?
        .into_inner();
    Ok(answer
        .standings
        .iter()
        .map(|standing| format!("{} {}\n", standing.word().as_str_name(), standing.unit))
        .collect())
}
