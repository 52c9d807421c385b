//! The score of a delivery firm (寄递企业信用评分) or of one of its employees' keys: a sum whose every term
//! names the entries behind it.
//!
//! Formula, version 1. It begins with 1,000 points and stays between 0 and 1,000.
//!
//! | what, within the period | points |
//! |---|---|
//! | a finding that a regulator confirmed, *do not sell* | -50 each |
//! | the same, *look closer* | -10 each |
//! | units that were held longer than the policy's hours before they were passed on | -200 x late / passed on, rounded towards 0 |
//! | units collected without a record of all three checks (实名, 验视, 安检) | -300 x unchecked / collected, rounded towards 0 |
//! | a claim granted with the firm as the recourse party | -30 each |
//! | a breach of a commitment | -30 each |
//! | a credit record: minor, ordinary, serious | -10, -50, -150 each |
//! | an award | +20 each, at most +60 |
//!
//! Findings that nobody decided, or that only the holder or the maker confirmed, count as open. Open,
//! explained and dismissed findings are shown and cost nothing; so does what an authority struck
//! out after an objection. An employee's score has the first four rows only, of its own key. The score
//! decides nothing: it lists nobody, and bars nobody.

use super::{CreditSeverity, CreditTier};
use crate::core::apply::state::FindingStatus;
use crate::core::record::Millis;
use crate::core::rules::{FindingKind, Severity};
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;
use serde::{Deserialize, Serialize};

/// Version of the formula.
pub const FORMULA: u32 = 1;
/// Points without any deduction.
pub const FULL: i64 = 1_000;
/// Most that awards add.
const MOST_FOR_AWARDS: i64 = 60;
/// Entries that one item names at most; its count says how many there are.
pub const MAX_ENTRIES: usize = 100;

/// What a key did in a month that isn't a finding, in units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conduct {
    /// Passed on to the next holder, or to the buyer.
    pub passed_on: u64,
    /// Of those, held longer than the policy allows.
    pub late: u64,
    /// Collected from somebody who is no delivery firm.
    pub collected: u64,
    /// Of those, without a record of all three checks.
    pub unchecked: u64,
}

impl Conduct {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            passed_on: self.passed_on + other.passed_on,
            late: self.late + other.late,
            collected: self.collected + other.collected,
            unchecked: self.unchecked + other.unchecked,
        }
    }
}

/// One entry whose units were late or unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapse {
    /// The ledger's time of the entry.
    pub time: Millis,
    /// Units that were held too long.
    pub late: u64,
    /// Units that were collected without all checks.
    pub unchecked: u64,
}

/// What can be objected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Deduction {
    /// A finding, by its number.
    Finding(u64),
    /// What a key did with one entry.
    Lapse(KeyId, LogIndex),
    /// A claim, by its number.
    Claim(LogIndex),
}

/// What a score is made of: all of one firm, or of one key, within the period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Sums over the months.
    pub conduct: Conduct,
    /// Entries that were late or unchecked, and whether they were struck out.
    pub lapses: Vec<(LogIndex, Lapse, bool)>,
    /// Findings: the entry, the kind, what became of it, and whether it was struck out.
    pub findings: Vec<(LogIndex, FindingKind, FindingStatus, bool)>,
    /// Claims with the firm as the recourse party, and whether they were struck out.
    pub claims: Vec<(LogIndex, bool)>,
    /// Breaches of commitments.
    pub breaches: Vec<LogIndex>,
    /// Credit records; an award has no severity.
    pub records: Vec<(LogIndex, Option<CreditSeverity>)>,
}

/// What an item of a score is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the words of the proto
pub enum ItemKind {
    ConfirmedDoNotSell,
    ConfirmedLookCloser,
    OpenFinding,
    DismissedFinding,
    Late,
    Unchecked,
    UpheldClaim,
    BrokenCommitment,
    MinorRecord,
    OrdinaryRecord,
    SeriousRecord,
    Award,
    StruckOut,
}

impl ItemKind {
    const ALL: [Self; 13] = [
        Self::ConfirmedDoNotSell,
        Self::ConfirmedLookCloser,
        Self::OpenFinding,
        Self::DismissedFinding,
        Self::Late,
        Self::Unchecked,
        Self::UpheldClaim,
        Self::BrokenCommitment,
        Self::MinorRecord,
        Self::OrdinaryRecord,
        Self::SeriousRecord,
        Self::Award,
        Self::StruckOut,
    ];

    /// By the number in the proto; none for unspecified and unknown ones.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        Self::ALL.get(index).copied()
    }

    /// The number in the proto.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32 + 1
    }
}

/// One term of a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What for.
    pub kind: ItemKind,
    /// Points, below 0 for a deduction.
    pub points: i64,
    /// How many there are, in units where units are counted.
    pub count: u64,
    /// Of how many, where the points are a share.
    pub of: u64,
    /// Entries behind it, the first [`MAX_ENTRIES`].
    pub entries: Vec<LogIndex>,
}

/// A score with everything it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// 0 to [`FULL`].
    pub points: i64,
    /// Its terms.
    pub items: Vec<Item>,
}

impl Score {
    /// Its tier.
    #[must_use]
    pub const fn tier(&self) -> CreditTier {
        tier_of(self.points)
    }

    /// By the formula.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let mut items = Vec::new();
        findings(facts, &mut items);
        lapses(facts, &mut items);
        let kept = |(entry, struck): &(LogIndex, bool)| (!struck).then_some(*entry);
        let claims = facts.claims.iter().filter_map(kept).collect();
        each(&mut items, ItemKind::UpheldClaim, claims);
        each(
            &mut items,
            ItemKind::BrokenCommitment,
            facts.breaches.clone(),
        );
        records(facts, &mut items);
        struck(facts, &mut items);
        items.sort_by_key(|item| item.kind);
        let sum: i64 = items.iter().map(|item| item.points).sum();
        Self {
            points: (FULL + sum).clamp(0, FULL),
            items,
        }
    }
}

/// The tier of so many points: A from 900, B from 800, C from 600.
#[must_use]
pub const fn tier_of(points: i64) -> CreditTier {
    match points {
        900.. => CreditTier::A,
        800.. => CreditTier::B,
        600.. => CreditTier::C,
        _ => CreditTier::D,
    }
}

/// Points of so many of a kind, of how many where they are a share: the formula.
#[must_use]
pub fn points(kind: ItemKind, count: u64, of: u64) -> i64 {
    let number = i64::try_from(count).unwrap_or(i64::MAX);
    let each = |points: i64| points.saturating_mul(number);
    let share = |most: u64| {
        let share = u128::from(most) * u128::from(count.min(of)) / u128::from(of.max(1));
        -i64::try_from(share).unwrap_or(FULL)
    };
    match kind {
        ItemKind::ConfirmedDoNotSell | ItemKind::OrdinaryRecord => each(-50),
        ItemKind::ConfirmedLookCloser | ItemKind::MinorRecord => each(-10),
        ItemKind::OpenFinding | ItemKind::DismissedFinding | ItemKind::StruckOut => 0,
        ItemKind::Late => share(200),
        ItemKind::Unchecked => share(300),
        ItemKind::UpheldClaim | ItemKind::BrokenCommitment => each(-30),
        ItemKind::SeriousRecord => each(-150),
        ItemKind::Award => each(20).min(MOST_FOR_AWARDS),
    }
}

/// An item for these entries, if there are any.
fn each(items: &mut Vec<Item>, kind: ItemKind, mut entries: Vec<LogIndex>) {
    if entries.is_empty() {
        return;
    }
    let count = entries.len() as u64;
    entries.truncate(MAX_ENTRIES);
    items.push(Item {
        kind,
        points: points(kind, count, 0),
        count,
        of: 0,
        entries,
    });
}

fn findings(facts: &Facts, items: &mut Vec<Item>) {
    let of = |wanted: ItemKind| {
        let kept = facts.findings.iter().filter(|(.., struck)| !struck);
        let wanted = kept.filter(|(_, kind, status, _)| {
            let found = match status {
                FindingStatus::Open => ItemKind::OpenFinding,
                FindingStatus::Dismissed | FindingStatus::Explained => ItemKind::DismissedFinding,
                FindingStatus::Confirmed => match kind.rule().severity {
                    Severity::DoNotSell => ItemKind::ConfirmedDoNotSell,
                    Severity::LookCloser => ItemKind::ConfirmedLookCloser,
                },
            };
            found == wanted
        });
        wanted.map(|(entry, ..)| *entry).collect()
    };
    for kind in [
        ItemKind::ConfirmedDoNotSell,
        ItemKind::ConfirmedLookCloser,
        ItemKind::OpenFinding,
        ItemKind::DismissedFinding,
    ] {
        each(items, kind, of(kind));
    }
}

fn lapses(facts: &Facts, items: &mut Vec<Item>) {
    let conduct = facts.conduct;
    for (kind, counted, of, units) in [
        (
            ItemKind::Late,
            conduct.late,
            conduct.passed_on,
            (|lapse| lapse.late) as fn(&Lapse) -> u64,
        ),
        (
            ItemKind::Unchecked,
            conduct.unchecked,
            conduct.collected,
            |lapse| lapse.unchecked,
        ),
    ] {
        let (mut count, mut entries) = (counted, Vec::new());
        for (entry, lapse, struck) in &facts.lapses {
            if *struck {
                count = count.saturating_sub(units(lapse));
            } else if units(lapse) > 0 && entries.len() < MAX_ENTRIES {
                entries.push(*entry);
            }
        }
        if of == 0 || count == 0 {
            continue;
        }
        items.push(Item {
            kind,
            points: points(kind, count, of),
            count,
            of,
            entries,
        });
    }
}

fn records(facts: &Facts, items: &mut Vec<Item>) {
    let of = |wanted: Option<CreditSeverity>| {
        let wanted = facts.records.iter().filter(|(_, found)| *found == wanted);
        wanted.map(|(entry, _)| *entry).collect()
    };
    for (kind, severity) in [
        (ItemKind::MinorRecord, Some(CreditSeverity::Minor)),
        (ItemKind::OrdinaryRecord, Some(CreditSeverity::Ordinary)),
        (ItemKind::SeriousRecord, Some(CreditSeverity::Serious)),
        (ItemKind::Award, None),
    ] {
        each(items, kind, of(severity));
    }
}

/// What counts no more, so that everybody sees that it once did.
fn struck(facts: &Facts, items: &mut Vec<Item>) {
    let lapses = facts
        .lapses
        .iter()
        .map(|(entry, _, struck)| (*entry, *struck));
    let findings = facts
        .findings
        .iter()
        .map(|(entry, .., struck)| (*entry, *struck));
    let claims = facts.claims.iter().copied();
    let all = lapses.chain(findings).chain(claims);
    let struck = all.filter(|(_, struck)| *struck).map(|(entry, _)| entry);
    each(items, ItemKind::StruckOut, struck.collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> LogIndex {
        LogIndex(index)
    }

    fn item(score: &Score, kind: ItemKind) -> Option<(i64, u64, Vec<u64>)> {
        let found = score.items.iter().find(|item| item.kind == kind)?;
        let entries = found.entries.iter().map(|index| index.0).collect();
        Some((found.points, found.count, entries))
    }

    #[test]
    fn nothing_costs_nothing() {
        let score = Score::of(&Facts::default());
        assert_eq!((score.points, score.tier()), (FULL, CreditTier::A));
        assert_eq!(score.items, []);
    }

    #[test]
    fn each_term_is_that_of_the_formula_and_names_its_entries() {
        use FindingStatus::{Confirmed, Dismissed, Explained, Open};
        let late = |late| Lapse {
            time: Millis(0),
            late,
            unchecked: 0,
        };
        let unchecked = |unchecked| Lapse {
            time: Millis(0),
            late: 0,
            unchecked,
        };
        let facts = Facts {
            conduct: Conduct {
                passed_on: 300,
                late: 10,
                collected: 7,
                unchecked: 3,
            },
            lapses: vec![
                (at(1), late(4), false),
                (at(2), late(6), true),
                (at(3), unchecked(3), false),
            ],
            findings: vec![
                (at(4), FindingKind::NotHolder, Confirmed, false),
                (at(5), FindingKind::TimeReversed, Confirmed, false),
                (at(6), FindingKind::NotHolder, Open, false),
                (at(7), FindingKind::NotHolder, Dismissed, false),
                (at(8), FindingKind::NotHolder, Explained, false),
                (at(9), FindingKind::NotHolder, Confirmed, true),
            ],
            claims: vec![(at(10), false), (at(11), true)],
            breaches: vec![at(12)],
            records: vec![
                (at(13), Some(CreditSeverity::Minor)),
                (at(14), Some(CreditSeverity::Ordinary)),
                (at(15), None),
                (at(16), None),
                (at(17), None),
                (at(18), None),
            ],
        };
        let score = Score::of(&facts);
        for (kind, expected) in [
            (ItemKind::ConfirmedDoNotSell, (-50, 1, vec![4])),
            (ItemKind::ConfirmedLookCloser, (-10, 1, vec![5])),
            (ItemKind::OpenFinding, (0, 1, vec![6])),
            (ItemKind::DismissedFinding, (0, 2, vec![7, 8])),
            // 200 x 4 / 300 = 2.67
            (ItemKind::Late, (-2, 4, vec![1])),
            // 300 x 3 / 7 = 128.57
            (ItemKind::Unchecked, (-128, 3, vec![3])),
            (ItemKind::UpheldClaim, (-30, 1, vec![10])),
            (ItemKind::BrokenCommitment, (-30, 1, vec![12])),
            (ItemKind::MinorRecord, (-10, 1, vec![13])),
            (ItemKind::OrdinaryRecord, (-50, 1, vec![14])),
            (ItemKind::Award, (60, 4, vec![15, 16, 17, 18])),
            (ItemKind::StruckOut, (0, 3, vec![2, 9, 11])),
        ] {
            assert_eq!(item(&score, kind), Some(expected), "{kind:?}");
        }
        let sum = -50 - 10 - 2 - 128 - 30 - 30 - 10 - 50 + 60;
        assert_eq!(score.points, FULL + sum);
        assert_eq!(score.tier(), CreditTier::C);
    }

    #[test]
    fn a_score_stays_within_its_bounds() {
        let worst = Facts {
            records: vec![(at(1), Some(CreditSeverity::Serious)); 200],
            ..Facts::default()
        };
        let score = Score::of(&worst);
        assert_eq!((score.points, score.tier()), (0, CreditTier::D));
        let named = item(&score, ItemKind::SeriousRecord).unwrap();
        assert_eq!((named.1, named.2.len()), (200, MAX_ENTRIES));
        let best = Facts {
            records: vec![(at(1), None); 9],
            ..Facts::default()
        };
        assert_eq!(Score::of(&best).points, FULL);
    }
}
