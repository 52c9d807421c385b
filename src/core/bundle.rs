//! The unit bundle and its verifier: what a court, a buyer or a journalist runs offline.
//!
//! It trusts nothing but the log's key. From the bundle alone it checks, in this order, that
//!
//! 1. the checkpoint is signed by the log that is trusted,
//! 2. every entry is in the tree of that checkpoint (RFC 9162, section 2.1.3.2),
//! 3. every envelope was signed by a key that earlier entries register, and allow,
//! 4. the unit's chain has no gap: each record that joined names the one before,
//! 5. the verdict of every entry at this unit is what the public rules give, by running the
//!    ledger's own `apply` over the entries of the bundle.
//!
//! What it can't check it says: that nothing was left out after the last entry, and that the
//! ledger's clock was right, is the operator's claim, as is the verdict of the few rules that look
//! at the whole log (see [`Rule::whole_log`](crate::core::rules::Rule)).

use std::collections::BTreeSet;

use prost::Message as _;
use sha2::Digest as _;

use crate::core::apply::state::{Changes, Keys, Read, Units};
use crate::core::apply::{self, Focus, Placed};
use crate::core::envelope::Envelope;
use crate::core::id::UnitId;
use crate::core::record::{Body, Millis, Record};
use crate::core::rules::{FindingKind, RULES};
use crate::core::signature::verify_single;
use crate::core::standing::{Standing, standing};
use crate::core::tlog::checkpoint::Checkpoint;
use crate::core::tlog::note::NoteVerifier;
use crate::core::tlog::proof::verify_inclusion;
use crate::core::tlog::{Hash, LogIndex, leaf_hash};
use crate::core::wire;

/// Version of the bundle format.
pub const BUNDLE_FORMAT: u32 = 1;
/// Most bytes of an encoded bundle.
pub const MAX_BUNDLE_BYTES: usize = 64 * 1024 * 1024;

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it holds.
    pub passed: bool,
    /// With what, or why not.
    pub detail: String,
}

/// What the verifier found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The checks in their order; after the first that fails, no more are made.
    pub checks: Vec<Check>,
    /// Where the unit stands by these entries, if all checks hold.
    pub standing: Option<Standing>,
    /// Size of the log at the checkpoint.
    pub log_size: u64,
    /// What a pass doesn't prove, in words.
    pub caveats: Vec<String>,
}

impl Report {
    /// Whether every check holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.standing.is_some() && self.checks.iter().all(|check| check.passed)
    }
}

/// An entry of the bundle, decoded.
struct Proven {
    index: LogIndex,
    decoded: DecodedEntry,
}

/// Verifies an encoded bundle.
#[must_use]
pub fn verify(bytes: &[u8], trusted: &[NoteVerifier]) -> Report {
    let mut report = Report {
        checks: Vec::new(),
        standing: None,
        log_size: 0,
        caveats: Vec::new(),
    };
    let outcome = verify_into(&mut report, bytes, trusted);
    if let Err((name, detail)) = outcome {
        report.checks.push(Check {
            name,
            passed: false,
            detail,
        });
        report.standing = None;
    }
    report
}

type Checked<T> = Result<T, (&'static str, String)>;

fn verify_into(report: &mut Report, bytes: &[u8], trusted: &[NoteVerifier]) -> Checked<()> {
    let mut pass = |name, detail: String| {
        report.checks.push(Check {
            name,
            passed: true,
            detail,
        })
    };
    let (bundle, unit) = decode(bytes)?;
    pass(
        "format",
        format!("unit bundle, format {BUNDLE_FORMAT}, of {unit}"),
    );

    let checkpoint = Checkpoint::verify(&bundle.checkpoint, trusted, &bundle.origin)
        .map_err(|error| ("checkpoint", error.to_string()))?;
    let size = checkpoint.size();
    pass(
        "checkpoint",
        format!(
            "signed by the trusted log {}, size {}",
            bundle.origin,
            size.get()
        ),
    );

    let entries = decode_entries(&bundle)?;
    for proven in &bundle.entries {
        let wrong = |error| ("inclusion", format!("entry {}: {error}", proven.index));
        included(proven, &checkpoint).map_err(wrong)?;
    }
    pass(
        "inclusion",
        format!("all {} entries are in the tree", entries.len()),
    );

    if !entries
        .iter()
        .any(|entry| entry.decoded.record.subjects().contains(&unit))
    {
        return Err(("chain", format!("no entry of the bundle is about {unit}")));
    }
    let replayed = replay(&entries, unit, &bundle.origin)?;
    pass(
        "signatures",
        format!(
            "all {} records are signed by registered, valid keys",
            entries.len()
        ),
    );
    pass(
        "chain",
        format!(
            "{} records, none inserted, dropped or reordered between them",
            replayed.chain
        ),
    );
    pass(
        "verdicts",
        format!(
            "findings at this unit: {}, as the public rules give",
            replayed.findings
        ),
    );

    report.log_size = size.get();
    report.standing =
        Some(standing(&replayed.state, unit).map_err(|error| ("standing", error.to_string()))?);
    report.caveats = caveats(&replayed, size.get());
    Ok(())
}

fn decode(bytes: &[u8]) -> Checked<(wire::UnitBundle, UnitId)> {
    if bytes.len() > MAX_BUNDLE_BYTES {
        return Err((
            "format",
            format!("{} bytes, at most {MAX_BUNDLE_BYTES}", bytes.len()),
        ));
    }
    let bundle = wire::UnitBundle::decode(bytes)
        .map_err(|error| ("format", format!("not a unit bundle: {error}")))?;
    if bundle.format != BUNDLE_FORMAT {
        return Err((
            "format",
            format!("format {} is not known here", bundle.format),
        ));
    }
    // What isn't covered by a proof must not vary: the bytes are those of exactly this bundle.
    if bundle.encode_to_vec() != bytes {
        return Err(("format", "bytes that are no part of the bundle".into()));
    }
    if bundle.digest != digest(&bundle) {
        return Err(("format", "the bundle is damaged: its digest differs".into()));
    }
    let unit = bundle
        .unit
        .parse()
        .map_err(|error| ("format", format!("unit: {error}")))?;
    Ok((bundle, unit))
}

/// SHA-256 of the encoded bundle without its digest.
#[must_use]
pub fn digest(bundle: &wire::UnitBundle) -> Vec<u8> {
    let bare = wire::UnitBundle {
        digest: Vec::new(),
        ..bundle.clone()
    };
    sha2::Sha256::digest(bare.encode_to_vec()).to_vec()
}

fn decode_entries(bundle: &wire::UnitBundle) -> Checked<Vec<Proven>> {
    let mut entries: Vec<Proven> = Vec::with_capacity(bundle.entries.len());
    for proven in &bundle.entries {
        let index = LogIndex(proven.index);
        if entries.last().is_some_and(|last| last.index >= index) {
            return Err(("format", format!("entry {index} is out of order")));
        }
        let decoded = decode_entry(&proven.entry)
            .map_err(|error| ("format", format!("entry {index}: {error}")))?;
        entries.push(Proven { index, decoded });
    }
    Ok(entries)
}

/// An entry, and the record in it, decoded.
#[derive(Clone, Debug)]
pub struct DecodedEntry {
    /// As it was signed.
    pub envelope: Envelope,
    /// What it says.
    pub record: Record,
    /// The ledger's time.
    pub time: Millis,
    /// The committed verdict.
    pub verdict: wire::Verdict,
}

/// Decodes an entry and the record in it.
///
/// # Errors
/// Says in words what is wrong with it.
pub fn decode_entry(bytes: &[u8]) -> Result<DecodedEntry, String> {
    let entry = wire::Entry::decode(bytes).map_err(|error| error.to_string())?;
    if entry.format != apply::ENTRY_FORMAT {
        return Err(format!("entry format {} is not known here", entry.format));
    }
    let envelope = entry.envelope.ok_or("no envelope")?;
    let envelope = Envelope::from_wire(&envelope).map_err(|error| error.to_string())?;
    let record = Record::decode(&envelope.payload).map_err(|error| error.to_string())?;
    if record.key_id != envelope.key_id {
        return Err("the envelope and the record name two keys".into());
    }
    Ok(DecodedEntry {
        envelope,
        record,
        time: Millis(entry.time_ms),
        verdict: entry.verdict.unwrap_or_default(),
    })
}

/// Checks that the tree of a checkpoint holds an entry.
///
/// # Errors
/// Says in words what is wrong with the proof.
pub(crate) fn included(proven: &wire::ProvenEntry, checkpoint: &Checkpoint) -> Result<(), String> {
    let proof = hashes(&proven.proof)?;
    let (index, leaf) = (LogIndex(proven.index), leaf_hash(&proven.entry));
    verify_inclusion(index, checkpoint.size(), &leaf, &proof, &checkpoint.root())
        .map_err(|error| error.to_string())
}

fn hashes(proof: &[Vec<u8>]) -> Result<Vec<Hash>, String> {
    proof
        .iter()
        .map(|hash| Hash::try_from(hash.as_slice()).map_err(|error| error.to_string()))
        .collect()
}

struct Replayed {
    state: Changes,
    chain: u64,
    findings: usize,
    taken_as_committed: BTreeSet<FindingKind>,
}

/// Runs the ledger's `apply` over the bundle's entries, for the unit and what was around it.
fn replay(entries: &[Proven], unit: UnitId, origin: &str) -> Checked<Replayed> {
    let focus = focus_units(entries, unit);
    let mut state = Changes::default();
    let mut findings = 0;
    let mut taken_as_committed = BTreeSet::new();
    for entry in entries {
        let at =
            |name, error: &dyn std::fmt::Display| (name, format!("entry {}: {error}", entry.index));
        if entry.decoded.record.origin != origin {
            return Err(at("format", &"is for another ledger"));
        }
        let signed = entry.decoded.envelope.signed_bytes();
        let key = signing_key(&state, &entry.decoded.record)
            .ok_or_else(|| at("signatures", &"no entry of the bundle registers its key"))?;
        if !verify_single(&key, &signed, &entry.decoded.envelope.signature) {
            return Err(at(
                "signatures",
                &"the signature is not the key's over these bytes",
            ));
        }
        let placed = Placed {
            index: entry.index,
            time: entry.decoded.time,
            id: entry.decoded.envelope.record_id(),
            record: &entry.decoded.record,
        };
        let applied = apply::apply(&state, placed, Focus::Only(&focus, &entry.decoded.verdict));
        let applied = applied.map_err(|error| at("chain", &error))?;
        compare(entry, &applied.verdict, &focus, &mut taken_as_committed)
            .map_err(|error| at("verdicts", &error))?;
        findings += at_unit(
            &entry.decoded.verdict,
            &entry.decoded.record,
            &[unit].into(),
        )
        .len();
        state.merge(applied.changes);
    }
    let chain = state
        .get::<Units>(&unit)
        .ok()
        .flatten()
        .map_or(0, |unit| unit.length);
    Ok(Replayed {
        state,
        chain,
        findings,
        taken_as_committed,
    })
}

/// The unit, and every container that it or one of these was put into.
fn focus_units(entries: &[Proven], unit: UnitId) -> BTreeSet<UnitId> {
    let mut focus = BTreeSet::from([unit]);
    loop {
        let before = focus.len();
        for entry in entries {
            let joined = |number: u32| !apply::ranges_cover(&entry.decoded.verdict.beside, number);
            if let Body::Pack { container } = &entry.decoded.record.body
                && (0u32..)
                    .zip(&entry.decoded.record.units)
                    .any(|(number, unit)| focus.contains(&unit.id) && joined(number))
            {
                focus.insert(container.id);
            }
        }
        if focus.len() == before {
            return focus;
        }
    }
}

/// The key that has to have signed a record, by the entries so far.
///
/// The first record and registrations are signed by a key that they bring along.
#[must_use]
pub fn signing_key<R: Read>(state: &R, record: &Record) -> Option<[u8; 32]> {
    let own = match &record.body {
        Body::Genesis { regulator_keys, .. } => regulator_keys
            .iter()
            .find(|key| key.id() == record.key_id)
            .copied(),
        Body::RegisterParty(body) => Some(body.key).filter(|key| key.id() == record.key_id),
        _ => state
            .get::<Keys>(&record.key_id)
            .ok()
            .flatten()
            .map(|key| key.public),
    };
    own.map(|key| *key.as_bytes())
}

/// Findings of a verdict at some units: kind, measured, limit.
fn at_unit(
    verdict: &wire::Verdict,
    record: &Record,
    units: &BTreeSet<UnitId>,
) -> BTreeSet<(i32, u32, i64, i64)> {
    let subjects = record.subjects();
    let mut found = BTreeSet::new();
    for finding in &verdict.findings {
        for (number, subject) in (0u32..).zip(&subjects) {
            if units.contains(subject) && apply::ranges_cover(&finding.subjects, number) {
                found.insert((finding.kind, number, finding.measured, finding.limit));
            }
        }
    }
    found
}

/// The committed verdict at the units in focus must be the one that the rules give here.
fn compare(
    entry: &Proven,
    judged: &wire::Verdict,
    focus: &BTreeSet<UnitId>,
    taken_as_committed: &mut BTreeSet<FindingKind>,
) -> Result<(), String> {
    let whole_log = |kind: i32| {
        RULES
            .iter()
            .any(|rule| rule.whole_log && i32::from(rule.kind.number()) == kind)
    };
    let committed = at_unit(&entry.decoded.verdict, &entry.decoded.record, focus);
    let judged_here = at_unit(judged, &entry.decoded.record, focus);
    for (kind, ..) in &committed {
        if whole_log(*kind) {
            taken_as_committed.extend(FindingKind::from_number(*kind));
        }
    }
    // In a merged verdict, only the kind is this unit's own.
    let numbers = |set: &BTreeSet<(i32, u32, i64, i64)>| -> BTreeSet<(i32, u32, i64, i64)> {
        let own = |&(kind, number, measured, limit): &(i32, u32, i64, i64)| {
            if entry.decoded.verdict.merged {
                (kind, number, 0, 0)
            } else {
                (kind, number, measured, limit)
            }
        };
        set.iter().map(own).collect()
    };
    if numbers(&committed) != numbers(&judged_here) {
        let name = |set: &BTreeSet<(i32, u32, i64, i64)>| {
            let names: Vec<&str> = set
                .iter()
                .map(|(kind, ..)| FindingKind::from_number(*kind).map_or("?", FindingKind::name))
                .collect();
            if names.is_empty() {
                "nothing".to_owned()
            } else {
                names.join(", ")
            }
        };
        return Err(format!(
            "the ledger committed {}, the rules give {}",
            name(&committed),
            name(&judged_here)
        ));
    }
    for (number, subject) in (0u32..).zip(entry.decoded.record.subjects()) {
        let beside = |verdict: &wire::Verdict| apply::ranges_cover(&verdict.beside, number);
        if focus.contains(&subject) && beside(&entry.decoded.verdict) != beside(judged) {
            return Err(format!(
                "{subject}: whether the record joins the chain differs"
            ));
        }
    }
    Ok(())
}

fn caveats(replayed: &Replayed, size: u64) -> Vec<String> {
    let mut caveats = vec![
        format!(
            "Completeness is the operator's claim: a record of this unit that the operator left \
             out of the bundle, or that came after log size {size}, would not show."
        ),
        "A revocation, a suspension, a recall or a hold that the operator left out would not show \
         either, nor whether a buyer's list of contents was right."
            .into(),
        "Time is the operator's claim: no independent witness has cosigned this checkpoint.".into(),
    ];
    for kind in &replayed.taken_as_committed {
        caveats.push(format!(
            "{} looks at the whole log: its verdict is committed in the tree, and only \
             `custody audit` can judge it again.",
            kind.name()
        ));
    }
    caveats
}
