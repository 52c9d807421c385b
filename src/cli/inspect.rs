//! `custody inspect`: random inspections.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use super::credit::OptionalKey;
use super::govern::{RoleArg, SignedBy, digest_of};
use super::{Done, Failure, Remote, TokenKey, could, keys, output, read};
use crate::client::{ClientError, Ledger};
use crate::core::credit::InspectionOutcome;
use crate::core::credit::inspection::{Seed, Ticket};
use crate::core::id::PartyId;
use crate::core::signature::KeyId;
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::tlog::proof::verify_consistency;
use crate::core::tlog::{Hash, LogIndex, TreeSize};
use crate::core::wire;
use crate::core::wire::record::Body;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OutcomeArg {
    /// 未发现问题.
    Passed,
    /// 责令整改.
    ToRectify,
    /// 发现违法行为.
    Violation,
    /// 查无下落.
    NotFound,
    /// 不配合检查.
    Refused,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InspectCommand {
    /// Announce inspections (抽查计划): everything but the lot; signed by a regulator's key.
    Announce(Announce),
    /// Draw by the root of the log that holds the announcement and its secret, and put the draw into the
    /// log.
    Draw {
        #[command(flatten)]
        by: SignedBy,
        /// Which plan.
        plan: u64,
        /// The file that `custody inspect announce` made.
        #[arg(long)]
        secret: PathBuf,
    },
    /// Record what an inspection found.
    Record {
        #[command(flatten)]
        by: SignedBy,
        /// Which plan.
        plan: u64,
        /// Whom.
        party: PartyId,
        /// What was found.
        outcome: OutcomeArg,
        /// Date of the inspection, as YYYYMMDD.
        #[arg(long)]
        date: u32,
        /// Number of the report.
        #[arg(long)]
        document: String,
        /// The report; its digest goes into the log.
        #[arg(long)]
        report: PathBuf,
    },
    /// Show the plans.
    Plans {
        #[command(flatten)]
        remote: Remote,
    },
    /// Show what the inspections of a plan found; with a regulator's key, also who is still to come.
    List {
        #[command(flatten)]
        remote: Remote,
        /// Which plan.
        plan: u64,
        #[command(flatten)]
        key: OptionalKey,
    },
    /// Repeat the draw of a plan (with a regulator's key), and check that its seed is the log's root.
    Verify {
        #[command(flatten)]
        remote: Remote,
        #[command(flatten)]
        key: TokenKey,
        /// Verifier key of the log, or the file that holds it.
        #[arg(long)]
        trust: String,
        /// Which plan.
        plan: u64,
    },
}

/// A plan.
#[derive(Args, Debug)]
pub(crate) struct Announce {
    #[command(flatten)]
    by: SignedBy,
    /// Firms of which role: maker, distributor, seller or courier.
    #[arg(long)]
    role: RoleArg,
    /// ISO 3166 region of the firms, or its beginning; everywhere when left out.
    #[arg(long, default_value = "")]
    region: String,
    /// Of a thousand firms of tier A.
    #[arg(long, default_value_t = 0)]
    rate_a: u32,
    /// Of tier B.
    #[arg(long, default_value_t = 0)]
    rate_b: u32,
    /// Of tier C.
    #[arg(long, default_value_t = 0)]
    rate_c: u32,
    /// Of tier D.
    #[arg(long, default_value_t = 0)]
    rate_d: u32,
    /// Of firms without a score.
    #[arg(long, default_value_t = 0)]
    rate_unrated: u32,
    /// Ids of the inspectors' keys, comma between them.
    #[arg(long, value_delimiter = ',', required = true)]
    inspector: Vec<KeyId>,
    /// The law and the section.
    #[arg(long)]
    legal_basis: String,
    /// Number of the document.
    #[arg(long)]
    document: String,
    /// File for the secret of the draw, that only you may read; keep it until the draw.
    #[arg(long)]
    secret: PathBuf,
}

impl InspectCommand {
    pub(super) async fn run(self) -> Done {
        match self {
            Self::Announce(plan) => plan.run().await,
            Self::Draw { by, plan, secret } => draw(&by, plan, &secret).await,
            Self::Record {
                by,
                plan,
                party,
                outcome,
                date,
                document,
                report,
            } => {
                let body = Body::RecordInspection(wire::RecordInspection {
                    plan,
                    party: party.to_string(),
                    result: outcome as i32 + 1,
                    date,
                    document,
                    report: Some(digest_of(&report)?),
                });
                by.submit(body, "the result is public").await
            }
            Self::Plans { remote } => plans(&remote).await,
            Self::List { remote, plan, key } => {
                let ledger = key.connect(&remote).await?;
                let fetch = async |page_token| {
                    let request = wire::ListInspectionsRequest {
                        plan,
                        page_size: 1000,
                        page_token,
                    };
                    let page = ledger.inspection().list_inspections(request).await?;
                    let page = page.into_inner();
                    Ok((page.inspections, page.next_page_token))
                };
                output::list(remote.json, "Inspection", fetch, show).await
            }
            Self::Verify {
                remote,
                key,
                trust,
                plan,
            } => verify(&remote, &key, &trust, plan).await,
        }
    }
}

impl Announce {
    async fn run(self) -> Done {
        let mut secret = Zeroizing::new([0; 32]);
        keys::fill_randomly(&mut *secret)?;
        let text = Zeroizing::new(hex::encode(*secret));
        keys::write_secret(&self.secret, &text)?;
        let body = Body::AnnounceInspections(wire::AnnounceInspections {
            document: self.document,
            legal_basis: self.legal_basis,
            role: self.role as i32 + 1,
            region: self.region,
            rates: Some(wire::InspectionRates {
                a: self.rate_a,
                b: self.rate_b,
                c: self.rate_c,
                d: self.rate_d,
                unrated: self.rate_unrated,
            }),
            inspectors: self.inspector.iter().map(|key| key.0.to_vec()).collect(),
            secret_commitment: Seed::commitment(&secret).to_vec(),
        });
        self.by
            .submit(body, "announced; the entry is the plan's number")
            .await
    }
}

/// The seed of a plan, and all whom it might draw, by party id.
async fn candidates(
    ledger: &Ledger,
    plan: u64,
    secret: &[u8],
) -> Result<(Vec<u8>, Vec<wire::Candidate>), Failure> {
    let mut all = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::PlanInspectionsRequest {
            plan,
            secret: secret.to_vec(),
            page_size: 0,
            page_token,
        };
        let page = ledger.inspection().plan_inspections(request).await?;
        let page = page.into_inner();
        all.extend(page.candidates);
        if page.next_page_token.is_empty() {
            return Ok((page.seed, all));
        }
        page_token = page.next_page_token;
    }
}

async fn draw(by: &SignedBy, plan: u64, secret: &Path) -> Done {
    let text = std::fs::read_to_string(secret).map_err(could(secret.display()))?;
    let text = Zeroizing::new(text);
    let secret = hex::decode(text.trim()).map_err(could(secret.display()))?;
    let ledger = by.connect_as().await?;
    let (seed, all) = candidates(&ledger, plan, &secret).await?;
    let of = all.len();
    let drawn: Vec<_> = all
        .into_iter()
        .filter(|candidate| candidate.drawn)
        .filter_map(|candidate| candidate.party)
        .collect();
    let done = format!("drawn: {} of {of} firms", drawn.len());
    let body = Body::DrawInspections(wire::DrawInspections {
        plan,
        seed,
        secret,
        drawn,
    });
    by.submit(body, &done).await
}

async fn all_plans(ledger: &Ledger) -> Result<Vec<wire::InspectionPlan>, Failure> {
    let mut plans = Vec::new();
    let fetch = async |page_token| {
        let request = wire::ListInspectionPlansRequest {
            page_size: 1000,
            page_token,
        };
        let page = ledger.inspection().list_inspection_plans(request).await?;
        let page = page.into_inner();
        Ok((page.plans, page.next_page_token))
    };
    output::each_page(fetch, |plan: &wire::InspectionPlan| {
        plans.push(plan.clone());
        Ok(())
    })
    .await?;
    Ok(plans)
}

async fn plans(remote: &Remote) -> Done {
    let ledger = remote.connect().await?;
    for plan in all_plans(&ledger).await? {
        if remote.json {
            output::message_line("InspectionPlan", &plan)?;
            continue;
        }
        let role = plan.role().as_str_name();
        let drawn = match plan.drawn_at {
            0 => "not drawn yet".to_owned(),
            index => format!("{} drawn (entry {index}), {} done", plan.drawn, plan.done),
        };
        output::line(format!(
            "entry {:<6} {} 抽查 {} {}: {drawn} ({}, {})",
            plan.log_index,
            output::time(plan.time_ms),
            role.trim_start_matches("ROLE_"),
            plan.region,
            plan.legal_basis,
            plan.document
        ))?;
    }
    Ok(())
}

fn show(inspection: &wire::Inspection) -> Done {
    let party = inspection.party.clone().unwrap_or_default();
    let tier = party.tier().as_str_name();
    let result = InspectionOutcome::from_number(inspection.result);
    let found = result.map_or_else(
        || "still to come".to_owned(),
        |result| {
            format!(
                "{} on {} ({}, entry {})",
                result.label_zh(),
                inspection.date,
                inspection.document,
                inspection.log_index
            )
        },
    );
    output::line(format!(
        "{} {}, by key {}: {found}",
        party.party,
        tier.trim_start_matches("CREDIT_"),
        hex::encode(&party.inspector)
    ))
}

/// Repeats the draw of a plan: the seed, every ticket, and that nobody is missing.
async fn verify(remote: &Remote, key: &TokenKey, trust: &str, number: u64) -> Done {
    let ledger = remote.connect_as(key).await?;
    let plans = all_plans(&ledger).await?;
    let plan = plans.into_iter().find(|plan| plan.log_index == number);
    let plan =
        plan.ok_or_else(|| Failure::No(format!("entry {number} announces no inspections")))?;
    if plan.drawn_at == 0 {
        return Err(Failure::No("the plan is not drawn yet".into()));
    }
    let part = |bytes: &[u8]| {
        let part = bytes.try_into();
        part.map_err(|_| Failure::No("the draw names no seed".into()))
    };
    let seed = Seed {
        root: part(&plan.seed)?,
        secret: part(&plan.secret)?,
    };
    seed_is_root(&ledger, trust, number, &seed.root).await?;
    output::line(format!(
        "ok: the seed is the root of the log of {} entries",
        number + 1
    ))?;
    let (_, all) = candidates(&ledger, number, &seed.secret).await?;
    let mut drawn = Vec::new();
    let fetch = async |page_token| {
        let request = wire::ListInspectionsRequest {
            plan: number,
            page_size: 1000,
            page_token,
        };
        let page = ledger.inspection().list_inspections(request).await?;
        let page = page.into_inner();
        Ok((page.inspections, page.next_page_token))
    };
    output::each_page(fetch, |row: &wire::Inspection| {
        drawn.extend(row.party.clone());
        Ok(())
    })
    .await?;
    compare(&all, &drawn, &seed, number)
}

fn compare(all: &[wire::Candidate], drawn: &[wire::DrawnParty], seed: &Seed, plan: u64) -> Done {
    let mut differ = 0;
    for party in drawn {
        let id: PartyId = party
            .party
            .parse()
            .map_err(|_| Failure::No(format!("{} is no party id", party.party)))?;
        if !Ticket::of(seed, LogIndex(plan), id).is_drawn(party.rate_per_mille) {
            return Err(Failure::No(format!("the seed doesn't draw {id}")));
        }
        let now = all.iter().filter_map(|candidate| candidate.party.as_ref());
        let now = now.clone().find(|now| now.party == party.party);
        if now != Some(party) {
            differ += 1;
            output::line(format!(
                "look: {id} was drawn with another tier or rate than it has now"
            ))?;
        }
    }
    for candidate in all.iter().filter(|candidate| candidate.drawn) {
        let Some(party) = &candidate.party else {
            continue;
        };
        if !drawn.iter().any(|drawn| drawn.party == party.party) {
            differ += 1;
            output::line(format!(
                "look: {} would be drawn now, and was not",
                party.party
            ))?;
        }
    }
    if differ > 0 {
        return Err(Failure::No(format!(
            "{differ} differ from now: replay the log to {plan} to see whether they did then"
        )));
    }
    output::line(format!(
        "ok: the seed draws exactly these {} of {} firms",
        drawn.len(),
        all.len()
    ))
}

/// Checks that a hash is the root of the log of size plan + 1, against a checkpoint that the log's key
/// signed.
async fn seed_is_root(ledger: &Ledger, trust: &str, plan: u64, seed: &[u8; 32]) -> Done {
    let verifier = read::verifier(trust)?;
    let (note, _) = ledger.checkpoint().await?;
    let keys = std::slice::from_ref(&verifier);
    let no = |error: &dyn std::fmt::Display| Failure::No(error.to_string());
    let checkpoint =
        Checkpoint::verify(&note, keys, verifier.name().as_str()).map_err(|error| no(&error))?;
    let request = wire::GetConsistencyProofRequest {
        first_size: plan + 1,
        second_size: checkpoint.size().get(),
    };
    let answer = ledger.log().get_consistency_proof(request).await;
    let proof = answer.map_err(ClientError::from)?.into_inner().proof;
    let hashes = proof
        .iter()
        .map(|hash| hash.as_slice().try_into().map(Hash::new));
    let hashes = hashes.collect::<Result<Vec<_>, _>>();
    let hashes = hashes.map_err(|_| Failure::No("the proof holds no hashes".into()))?;
    verify_consistency(
        TreeSize::new(plan + 1),
        checkpoint.size(),
        &hashes,
        &Hash::new(*seed),
        &checkpoint.root(),
    )
    .map_err(|error| Failure::No(format!("the seed is not the log's root: {error}")))
}
