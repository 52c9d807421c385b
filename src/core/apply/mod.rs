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

mod access;
mod alert;
mod authority;
mod case;
mod claim;
mod conduct;
mod credit;
mod custody;
mod effects;
mod entry;
mod facts;
mod goods;
mod governance;
mod inspection;
mod judge;
mod measure;
mod overlay;
mod parties;
mod rows;
mod share;
pub mod state;
mod tenure;
#[cfg(test)]
pub mod testing;
mod units;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use entry::{ENTRY_FORMAT, MAX_VERDICT_BYTES, encode_entry, put_entry, ranges_cover};
pub use state::{Changes, Overlay, Read, ReadError};

use crate::core::credit::Stamp;
use crate::core::envelope::RecordId;
use crate::core::id::UnitId;
use crate::core::record::{Kind, Millis, Record};
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::LogIndex;
use crate::core::wire;
use state::{Ledgers, Tallies};

/// Tenures that a unit remembers.
pub const MAX_TENURES: usize = 32;
/// Findings that a unit remembers.
pub const MAX_UNIT_FINDINGS: usize = 64;
/// Beside-records without a finding of one signer at one unit in a ledger day.
pub const MAX_SILENT_BESIDES: u32 = 16;
/// Holds, recalls and releases of one lot or product.
pub const MAX_GOODS_LOG: usize = 4_096;
/// Pending claims to one scope of identifiers.
pub const MAX_CLAIMS: usize = 16;

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
    /// It is in the log already, there (I6).
    #[error("the record is in the log already, as entry {0}")]
    Known(LogIndex),
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

pub use judge::{goods_of, scopes_of, scopes_of_product};
pub use measure::{Attached, inspection_rate, measures_of};

type Result<T> = std::result::Result<T, ApplyError>;

/// Judges a record at its place and says what changes.
///
/// The signature has been checked (see `admit`); everything else is decided here.
///
/// # Errors
/// [`ApplyError::Drop`] when the record is refused, [`ApplyError::Read`] when the storage fails.
pub fn apply<R: Read>(state: &R, placed: Placed<'_>, focus: Focus<'_>) -> Result<Applied> {
    let kind = placed.record.kind();
    let subjects = if kind.is_custody() {
        custody::meet_subjects(state, placed, focus)?
    } else {
        Vec::new()
    };
    if !is_new(&subjects)
        && let Some(index) = state.entry_of(&placed.id)?
    {
        return Err(ApplyError::Known(index));
    }
    let Some(ledger) = state.get::<Ledgers>(&())? else {
        return governance::genesis(state, placed);
    };
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
    let tally = state.get::<Tallies>(&())?.unwrap_or_default();
    let placed = Placed {
        time: placed.time.max(tally.last_time),
        ..placed
    };
    let mut step = Step {
        views: Overlay::new(state),
        placed,
        ledger,
        tally,
        focus,
        shared: 0,
    };
    let verdict = match kind {
        Kind::RegisterParty => governance::register_party(&mut step)?,
        kind if kind.is_custody() => custody::apply(&mut step, subjects)?,
        _ => governance::apply(&mut step)?,
    };
    step.tally.last_time = placed.time;
    step.views.put::<Tallies>((), step.tally);
    step.views.put_record(placed.id, placed.index);
    Ok(Applied {
        verdict,
        changes: step.views.into_changes(),
    })
}

/// Whether the heads alone show that the record is not in the log: else it would be in the history
/// of one of its subjects. In the chain, the head would have moved past the `prev` that it names,
/// for good; beside it, the unit would have something beside its chain. It saves the look-up of
/// nearly every record.
fn is_new(subjects: &[judge::Met]) -> bool {
    let untouched = |met: &judge::Met| met.unit.head == met.named && met.unit.besides == 0;
    !subjects.is_empty() && subjects.iter().all(untouched)
}

/// One record on its way through: the views under change, and the ledger's own rows.
struct Step<'a, R> {
    views: Overlay<&'a R>,
    placed: Placed<'a>,
    ledger: Arc<state::Ledger>,
    tally: state::Tally,
    focus: Focus<'a>,
    /// What the entry shares so far.
    shared: u32,
}

impl<R> Step<'_, R> {
    /// The entry, and when the ledger takes it.
    const fn stamp(&self) -> Stamp {
        Stamp {
            index: self.placed.index,
            time: self.placed.time,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::apply::testing::*;
    use crate::core::rules::FindingKind;

    #[test]
    fn given_512_units_with_distinct_evidence_when_judged_then_the_entry_still_fits() {
        let mut w = World::new();
        w.next = 1 << 48;
        let units: Vec<UnitId> = (1..=512).map(item).collect();
        for (n, unit) in (0i32..).zip(&units) {
            let expiry = 20_250_101;
            let attributes = wire::Attributes {
                expiry,
                ..Default::default()
            };
            let there = crate::core::record::Position {
                latitude_e7: 0,
                longitude_e7: n * 100_000,
            };
            w.clean(
                &w.draft(MAKER, &[*unit], say::commission_as(attributes))
                    .position(there),
            );
        }
        // Long ago, on the other side of the Earth, past its last day of use.
        let handover = w.draft(MAKER, &units, say::handover(COURIER));
        let handover = handover.position(at(-60, -170)).on(BEGIN - 30 * DAY);
        let verdict = w.submit(&handover).unwrap().verdict;
        assert!(prost::Message::encoded_len(&verdict) <= MAX_VERDICT_BYTES);
        let kinds = [
            FindingKind::ImpossibleTravel,
            FindingKind::TimeReversed,
            FindingKind::Expired,
        ];
        let found: Vec<_> = verdict
            .findings
            .iter()
            .map(|row| (row.kind, &row.subjects[..]))
            .collect();
        let mut expected = kinds.map(|kind| (i32::from(kind.number()), &[0, 512][..]));
        expected.sort_unstable();
        let mut sorted = found;
        sorted.sort_unstable();
        assert_eq!(
            sorted, expected,
            "equal kinds share a row with the evidence of the first"
        );
        for unit in &units {
            let of_unit: Vec<_> = w.findings(*unit).iter().map(|(kind, _)| *kind).collect();
            assert_eq!(of_unit, kinds);
        }
    }

    /// What somebody tries.
    #[derive(Clone, Debug)]
    struct Try {
        who: usize,
        kind: usize,
        units: Vec<usize>,
        other: usize,
        minutes: i64,
        /// Signed now, sent so many tries later.
        delay: usize,
        /// The prev is invented.
        lies: bool,
    }

    fn tries() -> impl Strategy<Value = Vec<Try>> {
        let one = (
            0usize..15,
            0usize..32,
            prop_oneof![3 => proptest::collection::vec(0usize..8, 1), 1 => proptest::collection::vec(0usize..8, 2..4)],
            0usize..8,
            prop_oneof![8 => Just(0i64), 1 => -3000i64..3000],
            prop_oneof![6 => Just(0usize), 1 => 1usize..5],
            prop_oneof![15 => Just(false), 1 => Just(true)],
        );
        let one = one.prop_map(|(who, kind, units, other, minutes, delay, lies)| Try {
            who,
            kind,
            units,
            other,
            minutes,
            delay,
            lies,
        });
        proptest::collection::vec(one, 1..60)
    }

    fn units() -> [UnitId; 8] {
        let items = [item(1), item(2), item(3), item(4)];
        [
            items.as_slice(),
            &[parcel(1), parcel(2), parcel(3), waybill(1)],
        ]
        .concat()
        .try_into()
        .unwrap()
    }

    fn write(w: &World, try_: &Try) -> Draft {
        let all = units();
        let mut named: Vec<UnitId> = try_.units.iter().map(|n| all[*n]).collect();
        named.sort_unstable();
        named.dedup();
        let other = all[try_.other];
        // Most tries are by who holds the first unit, or has it offered, so that chains grow.
        let people = [MAKER, COURIER, SELLER, RIVAL, BUYER];
        let first = w.unit(named[0]);
        let holder = people
            .into_iter()
            .find(|who| w.holder(named[0]) == Some(who.party()));
        let offered = people.into_iter().find(|who| {
            first
                .offer
                .as_ref()
                .is_some_and(|offer| offer.to == who.party())
        });
        let by = match try_.who {
            n @ 0..5 => people[n],
            _ if matches!(try_.kind, 6 | 7 | 25..) && offered.is_some() => offered.unwrap_or(MAKER),
            _ if try_.kind == 1 => INSPECTOR,
            _ if matches!(try_.kind, 14 | 15) => BUYER,
            _ if matches!(try_.kind, 18..=20) => REGULATOR,
            _ => holder.unwrap_or(MAKER),
        };
        let to = people[try_.other % 4];
        let none = wire::Attributes::default;
        let body = match try_.kind {
            0 => say::commission(),
            1 => say::inspect(),
            2 | 3 => say::pack(other),
            4 => say::unpack(first.container.unwrap_or(other)),
            5 => say::handover(to),
            6 => say::accept(),
            7 => say::refuse(),
            8 => say::void(),
            9 | 10 => say::scan(),
            11 => say::ship(to, BUYER, 5, wire::Means::Road),
            12 => say::deliver(BUYER),
            13 => say::sell_over_the_counter(),
            14 if try_.other.is_multiple_of(2) => say::confirm(&[]),
            14 => say::confirm(&[other]),
            15 => say::reject(),
            16 => say::take_back(),
            17 => say::transform(&[other], none()),
            18 => say::hold(),
            19 => say::release(),
            20 => say::recall(),
            21 => say::destroy(),
            22 => say::correct(w.head(named[0]).unwrap_or(RecordId([1; 32]))),
            25.. if first.offer.is_some() => say::accept(),
            25.. if first.buyer.is_some() => say::deliver(BUYER),
            25.. => say::ship(to, BUYER, 5, wire::Means::Road),
            _ => {
                let consent = Consent {
                    origin: ORIGIN,
                    to: by,
                    signed_by: BUYER,
                };
                return w.return_with_consent(by, &named, &consent);
            }
        };
        let mut draft = w.draft(by, &named, body);
        if try_.lies {
            draft = draft.prev(named[0], Some(RecordId([2; 32])));
        }
        let time = w.now.saturating_add_signed(try_.minutes * 60_000);
        draft
            .on(time)
            .position(at(i32::try_from(try_.other).unwrap_or(0), 0))
    }

    /// A world in which everything is commissioned and half of it is packed.
    fn begun() -> World {
        let mut w = World::new();
        w.owns(
            COURIER,
            wire::product_scope::Scope::CompanyPrefix("95211411".into()),
        );
        w.ok(
            MAKER,
            &[item(1), item(2), parcel(1), parcel(2), parcel(3)],
            say::commission(),
        );
        w.ok(COURIER, &[waybill(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

        /// Every submission checks the invariants of the views (see `testing`).
        #[test]
        fn whatever_is_tried_the_views_stay_sound_and_a_replay_gives_the_same(tries in tries()) {
            let mut w = begun();
            let mut waiting: Vec<(usize, Draft)> = Vec::new();
            for (now, one) in tries.iter().enumerate() {
                waiting.push((now + one.delay, write(&w, one)));
                let due = waiting.extract_if(.., |(when, _)| *when <= now).collect::<Vec<_>>();
                for (_, draft) in due {
                    let _ = w.submit(&draft);
                }
            }
            let mut state = Changes::default();
            for (index, (envelope, time, verdict)) in (0u64..).zip(&w.log) {
                let record = Record::decode(&envelope.payload).unwrap();
                let id = envelope.record_id();
                let placed = Placed { index: LogIndex(index), time: Millis(*time), id, record: &record };
                let once = apply(&state, placed, Focus::All).unwrap();
                let twice = apply(&state, placed, Focus::All).unwrap();
                prop_assert_eq!(&once, &twice);
                prop_assert_eq!(&once.verdict, verdict);
                state.merge(once.changes);
            }
            prop_assert_eq!(state, w.state);
        }

        /// What an offline verifier does: it has the entries of one unit and of the containers
        /// that were ever around it, and finds the same there.
        #[test]
        fn whatever_is_tried_one_units_entries_alone_tell_the_same_about_it(tries in tries()) {
            let mut w = begun();
            for one in &tries {
                let _ = w.submit(&write(&w, one));
            }
            for unit in [item(1), item(2), parcel(1)] {
                prop_assert_eq!(alone(&entries_of(&w, unit), unit), alone(&w.state, unit));
            }
        }
    }

    /// What the entries of one unit, and of the containers that were ever around it, come to.
    fn entries_of(w: &World, unit: UnitId) -> Changes {
        let focus = ever_around(&w.state, unit);
        let mut state = Changes::default();
        for (index, (envelope, time, verdict)) in (0u64..).zip(&w.log) {
            let record = Record::decode(&envelope.payload).unwrap();
            // A Handover that names a buyer gives that key its authority.
            let registers = w
                .state
                .keys
                .values()
                .any(|key| key.registered_at.0 == index);
            if record.kind().is_custody() && !registers && !touches(&record, &focus) {
                continue;
            }
            let placed = Placed {
                index: LogIndex(index),
                time: Millis(*time),
                id: envelope.record_id(),
                record: &record,
            };
            let applied = apply(&state, placed, Focus::Only(&focus, verdict)).unwrap();
            state.merge(applied.changes);
        }
        state
    }

    /// Units in one state are judged once, and each has to be as if it had been alone in the record.
    #[test]
    fn given_units_in_one_state_when_records_move_them_then_each_is_as_if_it_were_alone() {
        let mut w = World::new();
        let lot = wire::Attributes {
            lot: "A".into(),
            lot_size: 3,
            expiry: 20_250_701,
            ..Default::default()
        };
        let units = [1, 2, 3].map(item);
        let before = w.state.tally.get(&()).map_or(0, |tally| tally.units);
        let rest = [units[0], item(4), units[1], units[2]];
        w.ok(MAKER, &units, say::commission_as(lot.clone()));
        // Of a lot of three, the fourth is one too many: it alone.
        w.logged(&w.draft(MAKER, &[item(4)], say::commission_as(lot)));
        let counted = w.state.tally.get(&()).map_or(0, |tally| tally.units);
        assert_eq!(counted - before, 4);
        let lawful = [
            (MAKER, say::scan()),
            (INSPECTOR, say::inspect()),
            (MAKER, say::handover(SELLER)),
            (MAKER, say::void()),
            (MAKER, say::handover(SELLER)),
            (SELLER, say::refuse()),
            (MAKER, say::handover(SELLER)),
            (SELLER, say::accept()),
            (REGULATOR, say::hold()),
            (REGULATOR, say::release()),
        ];
        for (who, body) in lawful {
            w.logged(&w.draft(who, &rest, body));
        }
        let state = |n: usize| &w.state.units[&units[n]];
        assert_eq!(state(0), state(1));
        let neighbours = Arc::ptr_eq(state(1), state(2));
        assert!(neighbours, "what became of both is kept once");
        // Nobody offered them to this one; and on hold and recalled they should not move, and do.
        let trouble = [
            (RIVAL, say::scan()),
            (REGULATOR, say::hold()),
            (SELLER, say::ship(COURIER, BUYER, 500, wire::Means::Road)),
            (COURIER, say::accept()),
            (REGULATOR, say::recall()),
            (COURIER, say::scan()),
            (COURIER, say::deliver(BUYER)),
            (BUYER, say::reject()),
            (BUYER, say::confirm(&[])),
        ];
        for (who, body) in trouble {
            w.logged(&w.draft(who, &rest, body));
        }
        for unit in rest {
            assert_eq!(alone(&entries_of(&w, unit), unit), alone(&w.state, unit));
            assert!(w.unit(unit).length > 15, "{}", w.unit(unit).length);
        }
    }

    /// A unit, and every container that it or such a container was ever in.
    fn ever_around(state: &Changes, unit: UnitId) -> BTreeSet<UnitId> {
        let mut focus = BTreeSet::from([unit]);
        let mut before = 0;
        while before < focus.len() {
            before = focus.len();
            let outer = state
                .contents
                .keys()
                .filter(|(_, inner)| focus.contains(inner));
            focus.extend(outer.map(|(container, _)| *container).collect::<Vec<_>>());
        }
        focus
    }

    fn touches(record: &Record, focus: &BTreeSet<UnitId>) -> bool {
        let goods = record.units.is_empty();
        goods
            || record
                .subjects()
                .iter()
                .any(|subject| focus.contains(subject))
    }

    /// Without what depends on entries of other units: numbers of findings, what is inside.
    fn alone(state: &Changes, unit: UnitId) -> Option<state::Unit> {
        let mut unit = state::Unit::clone(state.units.get(&unit)?);
        for finding in &mut unit.findings {
            finding.number = 0;
        }
        (unit.contents, unit.height) = (0, 0);
        unit.findings
            .retain(|finding| !finding.kind.rule().whole_log);
        Some(unit)
    }

    #[test]
    fn the_tries_reach_most_kinds_of_records_and_findings() {
        use proptest::strategy::ValueTree as _;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let (mut kinds, mut found) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..400 {
            let mut w = begun();
            for one in tries().new_tree(&mut runner).unwrap().current() {
                let _ = w.submit(&write(&w, &one));
            }
            kinds.extend(
                w.state
                    .history
                    .iter()
                    .filter(|(.., row)| row.joined)
                    .map(|(_, _, row)| row.kind),
            );
            found.extend(w.state.findings.values().map(|row| row.kind));
        }
        assert!(kinds.len() >= 17, "joined: {kinds:?}");
        assert!(found.len() >= 16, "found: {found:?}");
    }
}
