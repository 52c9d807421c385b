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
    /// Units that were seen late: a former holder's scan from within its custody, uploaded
    /// afterwards. This is no break either.
    pub late_uploads: Vec<String>,
}
