//! Where a unit stands, in one word for a person, with the reasons in words.
//!
//! Standing is kinder than a rule: an open finding makes a unit SUSPECT at most. BROKEN needs
//! proof: a finding that the holder, the maker or a regulator confirmed, two commissions by owners
//! of the identifier, or an equivocation by a key that was entitled.

use crate::core::apply::state::{FindingStatus, Life, Parties, Read, ReadError, Unit, UnitFinding};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::Role;
use crate::core::rules::{Around, FindingKind, GoodsStop};
use crate::core::tlog::LogIndex;
use crate::core::wire::StandingWord;

pub use crate::core::apply::{around_of, stops_around};

/// A reason for a standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In one sentence.
    pub text: String,
    /// The finding behind it.
    pub kind: Option<FindingKind>,
    /// The entries behind it.
    pub entries: Vec<LogIndex>,
}

/// Where a unit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which unit.
    pub unit: UnitId,
    /// The most serious word that applies.
    pub word: StandingWord,
    /// Most serious first.
    pub reasons: Vec<Reason>,
}

/// Reads the views for one unit's standing.
///
/// # Errors
/// [`ReadError`] when the storage fails.
pub fn standing<R: Read>(state: &R, id: UnitId) -> Result<Standing, ReadError> {
    let Some(unit) = state.get::<crate::core::apply::state::Units>(&id)? else {
        return Ok(Standing {
            unit: id,
            word: StandingWord::Unknown,
            reasons: vec![Reason {
                text: "The ledger has no record of this code. Absence is the operator's word: \
                       compare it with the maker's."
                    .into(),
                kind: None,
                entries: Vec::new(),
            }],
        });
    };
    let around = around_of(state, &unit)?;
    let stops = stops_around(state, &id, &unit, &around)?;
    let outermost = around.last().map_or(&unit, |(_, outer)| outer);
    let holder = match outermost.holder {
        Some(party) => state
            .get::<Parties>(&party)?
            .map(|row| (party, row.name, row.roles)),
        None => None,
    };
    let mut weighed = weigh_stops(&stops);
    weighed.extend(unit.findings.iter().filter_map(weigh_finding));
    weighed.push(weigh_custody(&unit, outermost, &around, holder));
    weighed.sort_by_key(|(word, _)| *word as i32);
    Ok(Standing {
        unit: id,
        word: weighed
            .first()
            .map_or(StandingWord::Unknown, |(word, _)| *word),
        reasons: weighed.into_iter().map(|(_, reason)| reason).collect(),
    })
}

fn weigh_stops(stops: &[GoodsStop]) -> Vec<(StandingWord, Reason)> {
    stops
        .iter()
        .map(|stop| {
            let (word, text) = if stop.recall {
                (
                    StandingWord::Recalled,
                    "Called back: do not use, sell or pass on.",
                )
            } else {
                (
                    StandingWord::Suspect,
                    "Movement is on hold while it is being looked into.",
                )
            };
            (
                word,
                Reason {
                    text: text.into(),
                    kind: None,
                    entries: vec![stop.index],
                },
            )
        })
        .collect()
}

fn weigh_finding(finding: &UnitFinding) -> Option<(StandingWord, Reason)> {
    let proven = matches!(
        finding.kind,
        FindingKind::DuplicateCommission | FindingKind::Equivocation
    );
    let word = match finding.status {
        FindingStatus::Confirmed => StandingWord::Broken,
        FindingStatus::Open if proven => StandingWord::Broken,
        FindingStatus::Open => StandingWord::Suspect,
        FindingStatus::Dismissed | FindingStatus::Explained => return None,
    };
    let reason = Reason {
        text: finding.kind.rule().meaning.into(),
        kind: Some(finding.kind),
        entries: vec![finding.index],
    };
    Some((word, reason))
}

fn weigh_custody(
    unit: &Unit,
    outermost: &Unit,
    around: &Around,
    holder: Option<(PartyId, String, Vec<Role>)>,
) -> (StandingWord, Reason) {
    let name = holder.as_ref().map_or_else(
        || {
            outermost
                .holder
                .map(|id| id.to_string())
                .unwrap_or_default()
        },
        |(id, name, _)| {
            if name.is_empty() {
                id.to_string()
            } else {
                name.clone()
            }
        },
    );
    let courier = holder.is_some_and(|(_, _, roles)| roles.contains(&Role::Courier));
    let inside = if around.is_empty() {
        ""
    } else {
        ", inside a container"
    };
    let life = if unit.life == Life::Active {
        outermost.life
    } else {
        unit.life
    };
    let (word, text) = match life {
        Life::Uncommissioned => (
            StandingWord::Suspect,
            "No maker has registered this code.".to_owned(),
        ),
        Life::Delivered if outermost.disputed.is_some() => (
            StandingWord::Suspect,
            "The buyer disputes having received it.".to_owned(),
        ),
        Life::Delivered => (StandingWord::Delivered, format!("With its buyer{inside}.")),
        Life::Ended => (
            StandingWord::Consistent,
            "Used up or destroyed, as the chain says.".to_owned(),
        ),
        Life::Active if outermost.offer.is_some() => {
            let to = outermost
                .offer
                .as_ref()
                .map(|offer| offer.to.to_string())
                .unwrap_or_default();
            (
                StandingWord::InTransit,
                format!("Offered by {name} to {to}{inside}."),
            )
        }
        Life::Active if courier => (
            StandingWord::InTransit,
            format!("On its way with {name}{inside}."),
        ),
        Life::Active => (StandingWord::Consistent, format!("With {name}{inside}.")),
    };
    (
        word,
        Reason {
            text,
            kind: None,
            entries: vec![outermost.last_index],
        },
    )
}
