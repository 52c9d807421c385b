//! `custody credit score`, and the file that proves a score offline.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Done, Failure, Remote, TokenKey, could, output, read};
use crate::client::Ledger;
use crate::core::bundle::decode_entry;
use crate::core::credit::evidence::{FORMAT, verify};
use crate::core::id::PartyId;
use crate::core::record::Body;
use crate::core::signature::KeyId;
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::wire;
use crate::core::wire::get_inclusion_proof_request::Leaf;

/// Whose score, and over which period.
#[derive(clap::Args, Debug)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub(super) remote: Remote,
    #[command(flatten)]
    pub(super) key: TokenKey,
    /// Whose.
    pub(super) firm: PartyId,
    /// Last month of the period, as YYYYMM; this month when left out.
    #[arg(long, default_value_t = 0)]
    pub(super) until: u32,
    /// Months of the period.
    #[arg(long, default_value_t = 12)]
    pub(super) months: u32,
}

impl ScoreArgs {
    async fn fetch(
        &self,
        ledger: &Ledger,
        employee: Option<KeyId>,
    ) -> Result<wire::GetScoreResponse, Failure> {
        let request = wire::GetScoreRequest {
            party: self.firm.to_string(),
            key_id: employee.map_or_else(Vec::new, |key| key.0.to_vec()),
            until_month: self.until,
            months: self.months,
        };
        Ok(ledger.credit().get_score(request).await?.into_inner())
    }

    /// Shows it.
    pub(super) async fn show(&self, employee: Option<KeyId>) -> Done {
        let ledger = self.remote.connect_as(&self.key).await?;
        let score = self.fetch(&ledger, employee).await?;
        if self.remote.json {
            return output::message("GetScoreResponse", &score);
        }
        show(&score)
    }

    /// Writes down what proves it.
    pub(super) async fn evidence(&self, trust: &str, out: &Path) -> Done {
        let verifier = read::verifier(trust)?;
        let ledger = self.remote.connect_as(&self.key).await?;
        let score = self.fetch(&ledger, None).await?;
        let (checkpoint, _) = ledger.checkpoint().await?;
        let keys = std::slice::from_ref(&verifier);
        let signed = Checkpoint::verify(&checkpoint, keys, verifier.name().as_str());
        let signed = signed.map_err(|error| Failure::No(error.to_string()))?;
        let mut gathered = Gathered {
            ledger: &ledger,
            size: signed.size().get(),
            entries: BTreeMap::new(),
            keys: BTreeMap::new(),
        };
        let named = score.items.iter().flat_map(|item| &item.entries);
        for index in named.copied().collect::<BTreeSet<u64>>() {
            gathered.entry(index).await?;
        }
        let evidence = wire::CreditEvidence {
            format: FORMAT,
            party: self.firm.to_string(),
            checkpoint,
            score: Some(score),
            entries: gathered.entries.into_values().collect(),
            keys: gathered.keys.into_values().collect(),
        };
        let bytes = prost::Message::encode_to_vec(&evidence);
        // What is handed on is known to hold.
        verify(&bytes, &verifier).map_err(|error| Failure::No(error.to_string()))?;
        std::fs::write(out, &bytes).map_err(could(out.display()))?;
        output::line(format!(
            "{} bytes, {} entries; check it with `custody credit verify`",
            bytes.len(),
            evidence.entries.len()
        ))
    }
}

/// Entries with their proofs, and the keys that signed them.
struct Gathered<'a> {
    ledger: &'a Ledger,
    size: u64,
    entries: BTreeMap<u64, wire::ProvenEntry>,
    keys: BTreeMap<KeyId, wire::PublicKey>,
}

impl Gathered<'_> {
    /// An entry, and those that say whose key signed it.
    async fn entry(&mut self, index: u64) -> Done {
        let mut next = Some(index);
        while let Some(index) = next.take() {
            if self.entries.contains_key(&index) {
                return Ok(());
            }
            let request = wire::ListEntriesRequest {
                first: index,
                page_size: 1,
            };
            let page = self.ledger.regulator().list_entries(request).await?;
            let entry = page.into_inner().entries.pop();
            let entry =
                entry.ok_or_else(|| Failure::No(format!("the log has no entry {index}")))?;
            let request = wire::GetInclusionProofRequest {
                size: self.size,
                leaf: Some(Leaf::Index(index)),
            };
            let proof = self.ledger.log().get_inclusion_proof(request).await?;
            let decoded = decode_entry(&entry.entry).map_err(Failure::No)?;
            let proven = wire::ProvenEntry {
                index,
                entry: entry.entry,
                proof: proof.into_inner().proof,
            };
            self.entries.insert(index, proven);
            let by = decoded.record.key_id;
            let registered = self.key(by).await?;
            // A registration and a genesis are signed by the very key that they name.
            let itself = matches!(
                decoded.record.body,
                Body::RegisterParty(_) | Body::Genesis { .. }
            );
            next = Some(registered).filter(|_| !itself);
        }
        Ok(())
    }

    /// A key; the entry that registered it.
    async fn key(&mut self, id: KeyId) -> Result<u64, Failure> {
        let request = wire::GetKeyRequest { id: id.0.to_vec() };
        let key = self.ledger.registry().get_key(request).await?.into_inner();
        let key = key.key.unwrap_or_default();
        let public = wire::PublicKey {
            suite: key.suite,
            public_key: key.public_key,
        };
        self.keys.insert(id, public);
        Ok(key.registered_at)
    }
}

/// Checks a file of evidence offline.
pub(super) fn check(file: &Path, trust: &str) -> Done {
    let verifier = read::verifier(trust)?;
    let bytes = std::fs::read(file).map_err(could(file.display()))?;
    let found = verify(&bytes, &verifier).map_err(|error| Failure::No(error.to_string()))?;
    output::line(format!(
        "ok: {} points of {}, by {} at {} entries\n\
         ok: each of {} entries that the score names is in the log, signed, and shows what it is counted \
         for; what the firm did was signed by its keys\n\
         ok: the points follow from the counts",
        found.points, found.party, found.origin, found.log_size, found.named
    ))?;
    if found.unnamed > 0 {
        output::line(format!("{} more are counted and not named", found.unnamed))?;
    }
    output::line(
        "Not proven by this: that nothing else happened, and what later entries decided. `custody audit` \
         replays the whole log.",
    )
}

fn show(score: &wire::GetScoreResponse) -> Done {
    output::line(format!(
        "{} points, tier {} (formula {}, {} to {}, {} entries counted in)",
        score.points,
        score.tier,
        score.formula,
        score.from_month,
        score.until_month,
        score.log_size
    ))?;
    score.items.iter().try_for_each(|item| {
        let kind = item.kind().as_str_name();
        let kind = kind.trim_start_matches("SCORE_ITEM_KIND_");
        let of = match item.of {
            0 => String::new(),
            of => format!(" of {of} units"),
        };
        let entries: Vec<String> = item.entries.iter().map(ToString::to_string).collect();
        output::line(format!(
            "{:>6}  {kind} x {}{of}: entries {}",
            item.points,
            item.count,
            entries.join(", ")
        ))
    })
}
