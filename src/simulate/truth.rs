//! The truth: what was planted, by the script's own account.
//!
//! It is written from the story alone. Nothing in this folder may look at the rules or at `apply`;
//! a test checks the imports. Whoever compares the ledger's findings with this file compares two
//! accounts that know nothing of each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the truth file.
pub const TRUTH_FORMAT: u32 = 1;

/// One planted break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlantedBreak {
    /// Name of the kind, as in the proto, such as `NOT_HOLDER`.
    pub kind: String,
    /// Canonical id of the unit at which it is to be found.
    pub unit: String,
    /// Number of the record that breaks, counted from 0 over everything that the run submits.
    pub step: u64,
    /// What happened, in words.
    pub story: String,
    /// Its own signer explained it later.
    #[serde(default)]
    pub corrected: bool,
}

/// What the run did, as far as a judge has to know. Every unit that is not named in `planted` is
/// clean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Version of this file.
    pub format: u32,
    /// The seed that tells the same story again.
    pub seed: u64,
    /// The ledger that it was told to.
    pub origin: String,
    /// Items that the honest lots were to have.
    pub units: usize,
    /// Parties.
    pub parties: usize,
    /// Records submitted.
    pub records: u64,
    /// Units that exist at the end: items, cases, pallets, parcels and bags.
    pub commissioned: u64,
    /// Records by kind.
    pub records_by_kind: BTreeMap<String, u64>,
    /// How many breaks of each kind were planted.
    pub planted_by_kind: BTreeMap<String, u64>,
    /// The breaks, in the order in which they were submitted.
    pub planted: Vec<PlantedBreak>,
    /// Lots that were recalled, as `{gtin}/{lot}`. Their units are clean, but not for sale.
    pub recalled: Vec<String>,
    /// Units whose buyer disputes receipt. A dispute is no break.
    pub disputed: Vec<String>,
    /// One unit out of each parcel whose buyer confirmed receipt.
    #[serde(default)]
    pub confirmed: Vec<String>,
    /// Units that were seen late: a former holder's scan from within its custody, uploaded
    /// afterwards. This is no break either.
    pub late_uploads: Vec<String>,
    /// What the policy made of it; nothing where no breaks were planted.
    #[serde(default)]
    pub credit: Option<CreditTruth>,
}

/// Who has to be listed, paid and owed at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditTruth {
    /// Listings, and where each stands.
    pub listings: Vec<ListingTruth>,
    /// Claims, and what came of each.
    pub claims: Vec<ClaimTruth>,
    /// Cases, and how each ended.
    pub cases: Vec<CaseTruth>,
    /// Measures, and whether each is in force.
    pub measures: Vec<MeasureTruth>,
    /// What certain scores have to count.
    pub scores: Vec<ScoreTruth>,
    /// Party id of the fund.
    pub fund: String,
    /// What it paid in all, in fen.
    pub paid_fen: u64,
}

/// A listing at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingTruth {
    /// Entry of its proposal.
    pub entry: u64,
    /// Party id.
    pub subject: String,
    /// `LIST_KIND_RED` or `LIST_KIND_BLACK`.
    pub list: String,
    /// Such as `LISTING_PHASE_REPAIRED`.
    pub phase: String,
    /// The entries of its steps, in order: when it was proposed, decided, published and ended.
    pub steps: Vec<u64>,
}

/// A measure at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasureTruth {
    /// Its number.
    pub entry: u64,
    /// Party id.
    pub subject: String,
    /// Whether it is in force: not when its listing was repaired.
    pub in_force: bool,
    /// How many parties reported that they acted on it.
    pub reports: u64,
}

/// A claim at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimTruth {
    /// The entry that opened it.
    pub entry: u64,
    /// For which unit.
    pub unit: String,
    /// What the buyer got, in fen; 0 where it was refused.
    pub paid_fen: u64,
    /// Party id of who owes it back; empty where it was refused.
    pub recourse: String,
}

/// A case at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseTruth {
    /// The entry that opened it.
    pub entry: u64,
    /// Such as `CASE_OUTCOME_PENALTY`.
    pub outcome: String,
}

/// What a delivery firm's score has to count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreTruth {
    /// Party id.
    pub party: String,
    /// Units collected without all checks.
    pub unchecked: u64,
    /// Claims that it owes back.
    pub upheld_claims: u64,
}

impl CreditTruth {
    /// What is otherwise than it has to be, in words; nothing when all is right.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, expected: String, found: Option<String>| {
            let found = found.unwrap_or_else(|| "nothing".into());
            if expected != found {
                differences.push(format!("{what}: {found}, not {expected}"));
            }
        };
        for expected in &self.listings {
            let found = found.listings.iter().find(|l| l.entry == expected.entry);
            let what = format!("listing {}", expected.entry);
            let found = found.map(|found| format!("{found:?}"));
            compare(&what, format!("{expected:?}"), found);
        }
        for expected in &self.claims {
            let found = found.claims.iter().find(|c| c.entry == expected.entry);
            let what = format!("claim {}", expected.entry);
            let found = found.map(|found| format!("{found:?}"));
            compare(&what, format!("{expected:?}"), found);
        }
        for expected in &self.cases {
            let found = found.cases.iter().find(|c| c.entry == expected.entry);
            let what = format!("case {}", expected.entry);
            let found = found.map(|found| format!("{found:?}"));
            compare(&what, format!("{expected:?}"), found);
        }
        for expected in &self.measures {
            let found = found.measures.iter().find(|m| m.entry == expected.entry);
            let what = format!("measure {}", expected.entry);
            let found = found.map(|found| format!("{found:?}"));
            compare(&what, format!("{expected:?}"), found);
        }
        for expected in &self.scores {
            let found = found.scores.iter().find(|s| s.party == expected.party);
            let what = format!("score of {}", expected.party);
            let found = found.map(|found| format!("{found:?}"));
            compare(&what, format!("{expected:?}"), found);
        }
        let (expected, paid) = (self.paid_fen.to_string(), found.paid_fen.to_string());
        compare("paid by the fund in fen", expected, Some(paid));
        differences
    }
}
