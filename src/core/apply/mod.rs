//! `apply`: the one deterministic step from a record in the order to its verdict and the changes
//! of the views.
//!
//! ```text
//!  record in the order ─► authority ─┬─► custody: judge each unit ─► effects ─┬─► verdict, changes
//!   (index, time)        (key, party)└─► governance ──────────────────────────┘   or a refusal
//! ```
//!
//! It reads no clock, no file and no random number; everything it may look at is in [`Read`] (I1).
//! A refusal is a drop: it takes no index and changes nothing, so replay from entries equals
//! replay from groups.

mod authority;
mod custody;
mod effects;
mod governance;
mod judge;
pub mod state;
#[cfg(test)]
pub mod testing;

use std::collections::{BTreeMap, BTreeSet};

use prost::bytes::Bytes;

pub use state::{Changes, Overlay, Read, ReadError};

use crate::core::envelope::{Envelope, RecordId};
use crate::core::id::UnitId;
use crate::core::record::{Kind, Millis, Record};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::{Break, FindingKind};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use state::{Ledgers, Records};

/// Tenures that a unit remembers.
pub const MAX_TENURES: usize = 32;
/// Findings that a unit remembers.
pub const MAX_UNIT_FINDINGS: usize = 64;
/// Pending claims to one scope of identifiers.
pub const MAX_CLAIMS: usize = 16;
/// Version of the entry format.
pub const ENTRY_FORMAT: u32 = 1;
/// Most bytes of an encoded verdict, so that an entry always fits an entry bundle.
pub const MAX_VERDICT_BYTES: usize = 16_000;

/// A record at its place in the order.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// Where in the log it will stand.
    pub index: LogIndex,
    /// The ledger's time of the entry: the larger of the last entry's and its group's.
    pub time: Millis,
    /// Its id.
    pub id: RecordId,
    /// What it says.
    pub record: &'a Record,
}

/// Which units are judged.
#[derive(Clone, Copy, Debug)]
pub enum Focus<'a> {
    /// All: the ledger, a replica, an auditor.
    All,
    /// Only these; what became of the others is taken from the committed verdict. This is how a
    /// unit bundle is verified, which doesn't hold the histories of unrelated units.
    Only(&'a BTreeSet<UnitId>, &'a wire::Verdict),
}

impl Focus<'_> {
    /// Whether the unit is judged.
    fn covers(&self, unit: &UnitId) -> bool {
        match self {
            Self::All => true,
            Self::Only(units, _) => units.contains(unit),
        }
    }
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Its findings.
    pub verdict: wire::Verdict,
    /// New values of the views.
    pub changes: Changes,
}

/// Why a record has no effect.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It is refused here, by every node alike.
    #[error("{0}")]
    Drop(#[from] Box<Refusal>),
    /// The storage under the views failed; nothing is decided.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<Refusal> for ApplyError {
    fn from(refusal: Refusal) -> Self {
        Self::Drop(Box::new(refusal))
    }
}

/// The containers around a unit, innermost first.
///
/// # Errors
/// [`ReadError`] when the storage fails.
pub fn around_of<R: Read>(
    state: &R,
    unit: &state::Unit,
) -> std::result::Result<crate::core::rules::Around, ReadError> {
    judge::around(state, unit)
}

/// Holds and recalls that cover a unit or what is around it.
///
/// # Errors
/// [`ReadError`] when the storage fails.
pub fn stops_around<R: Read>(
    state: &R,
    id: &UnitId,
    unit: &state::Unit,
    around: &crate::core::rules::Around,
) -> std::result::Result<Vec<crate::core::rules::GoodsStop>, ReadError> {
    judge::stops(state, id, unit, around)
}

pub use judge::{goods_of, scopes_of};

type Result<T> = std::result::Result<T, ApplyError>;

/// Judges a record at its place and says what changes.
///
/// The signature has been checked (see `admit`); everything else is decided here.
///
/// # Errors
/// [`ApplyError::Drop`] when the record is refused, [`ApplyError::Read`] when the storage fails.
pub fn apply<R: Read>(state: &R, placed: Placed<'_>, focus: Focus<'_>) -> Result<Applied> {
    if state.get::<Records>(&placed.id)?.is_some() {
        return Err(Refusal::new(Reason::AlreadyExists, "the record is in the log").into());
    }
    let ledger = state.get::<Ledgers>(&())?;
    let mut views = Overlay::new(state);
    let verdict = match ledger {
        None => governance::genesis(&mut views, placed)?,
        Some(ledger) => {
            if placed.record.origin != ledger.origin {
                return Err(Refusal {
                    field: "origin".into(),
                    ..Refusal::new(
                        Reason::WrongOrigin,
                        format!(
                            "the record is for {}, this ledger is {}",
                            placed.record.origin, ledger.origin
                        ),
                    )
                }
                .into());
            }
            let placed = Placed {
                time: placed.time.max(ledger.last_time),
                ..placed
            };
            let mut step = Step {
                views,
                placed,
                ledger,
                focus,
            };
            let verdict = match placed.record.kind() {
                Kind::RegisterParty => governance::register_party(&mut step)?,
                kind if kind.is_custody() => custody::apply(&mut step)?,
                _ => governance::apply(&mut step)?,
            };
            step.ledger.last_time = placed.time;
            views = step.views;
            views.put::<Ledgers>((), step.ledger);
            verdict
        }
    };
    views.put::<Records>(placed.id, placed.index);
    Ok(Applied {
        verdict,
        changes: views.into_changes(),
    })
}

/// One record on its way through: the views under change, and the ledger's own row.
struct Step<'a, R> {
    views: Overlay<'a, R>,
    placed: Placed<'a>,
    ledger: state::Ledger,
    focus: Focus<'a>,
}

/// Findings by rule and proof, with the subjects that they are about.
type Findings = BTreeMap<(FindingKind, Break), Vec<u32>>;

/// The verdict of an entry. Equal findings share a row; if it is too large all the same, findings
/// of one kind share a row with the evidence of the first.
fn verdict(findings: &Findings, beside: &[u32]) -> wire::Verdict {
    use prost::Message as _;
    let row = |kind: FindingKind, proof: &Break, subjects: &[u32]| wire::Finding {
        kind: i32::from(kind.number()),
        subjects: ranges(subjects),
        evidence: proof.evidence.iter().map(|index| index.0).collect(),
        measured: proof.measured,
        limit: proof.limit,
    };
    let mut verdict = wire::Verdict {
        findings: findings
            .iter()
            .map(|((kind, proof), s)| row(*kind, proof, s))
            .collect(),
        beside: ranges(beside),
    };
    if verdict.encoded_len() > MAX_VERDICT_BYTES {
        let mut by_kind: BTreeMap<FindingKind, (&Break, Vec<u32>)> = BTreeMap::new();
        for ((kind, proof), subjects) in findings {
            by_kind
                .entry(*kind)
                .or_insert((proof, Vec::new()))
                .1
                .extend(subjects);
        }
        verdict.findings = by_kind
            .into_iter()
            .map(|(kind, (proof, mut subjects))| {
                subjects.sort_unstable();
                row(kind, proof, &subjects)
            })
            .collect();
    }
    debug_assert!(
        verdict.encoded_len() <= MAX_VERDICT_BYTES,
        "a verdict fits its entry"
    );
    verdict
}

/// Ascending numbers as pairs (first, count).
fn ranges(numbers: &[u32]) -> Vec<u32> {
    let mut pairs: Vec<u32> = Vec::new();
    for &number in numbers {
        match pairs.as_mut_slice() {
            [.., first, count] if *first + *count == number => *count += 1,
            _ => pairs.extend([number, 1]),
        }
    }
    pairs
}

/// Whether pairs (first, count) cover a number.
#[must_use]
pub fn ranges_cover(pairs: &[u32], number: u32) -> bool {
    pairs.chunks_exact(2).any(|pair| {
        number >= pair[0] && u64::from(number) < u64::from(pair[0]) + u64::from(pair[1])
    })
}

/// The bytes of an entry: the leaf's input.
#[must_use]
pub fn encode_entry(envelope: &Envelope, time: Millis, verdict: &wire::Verdict) -> Bytes {
    let entry = wire::Entry {
        format: ENTRY_FORMAT,
        envelope: Some(envelope.to_wire()),
        time_ms: time.0,
        verdict: Some(verdict.clone()),
    };
    Bytes::from(prost::Message::encode_to_vec(&entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_exactly_the_numbers() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), [0, 3, 5, 1, 7, 2]);
        for number in 0..10 {
            assert_eq!(
                ranges_cover(&[0, 3, 5, 1, 7, 2], number),
                [0, 1, 2, 5, 7, 8].contains(&number)
            );
        }
    }
}
