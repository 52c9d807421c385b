//! Where a unit stands, in one word for a person, with the reasons in words.
//!
//! Standing is kinder than a rule: an open finding makes a unit SUSPECT at most. BROKEN needs
//! proof: a finding that the holder, the maker or a regulator confirmed, two commissions by owners
//! of the identifier, or an equivocation by a key that was entitled.

use crate::core::apply::state::{FindingStatus, Life, Parties, Read, ReadError, Unit, UnitFinding};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::Role;
use crate::core::rules::{FindingKind, GoodsStop};
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
    let holder = firm(state, outermost.holder)?;
    let offered_to = firm(state, outermost.offer.as_ref().map(|offer| offer.to))?;
    let mut weighed = weigh_stops(&stops);
    weighed.extend(unit.findings.iter().filter_map(weigh_finding));
    weighed.push(weigh_custody(
        &unit,
        outermost,
        !around.is_empty(),
        &holder,
        &offered_to,
    ));
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
    let proven = finding.kind.proves_itself();
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

/// A firm for people.
#[derive(Default)]
struct Firm {
    name: String,
    courier: bool,
}

/// The firm's public name, or its id where it has none or is not registered.
fn firm<R: Read>(state: &R, party: Option<PartyId>) -> Result<Firm, ReadError> {
    let Some(id) = party else {
        return Ok(Firm::default());
    };
    let row = state.get::<Parties>(&id)?;
    let courier = row
        .as_ref()
        .is_some_and(|row| row.roles.contains(&Role::Courier));
    let name = row
        .map(|row| row.name.clone())
        .filter(|name| !name.is_empty());
    Ok(Firm {
        name: name.unwrap_or_else(|| id.to_string()),
        courier,
    })
}

fn weigh_custody(
    unit: &Unit,
    outermost: &Unit,
    packed: bool,
    holder: &Firm,
    offered_to: &Firm,
) -> (StandingWord, Reason) {
    let (name, offered_to) = (&holder.name, &offered_to.name);
    let inside = if packed { ", inside a container" } else { "" };
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
        Life::Active if outermost.offer.is_some() => (
            StandingWord::InTransit,
            format!("Offered by {name} to {offered_to}{inside}."),
        ),
        Life::Active if holder.courier => (
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::apply::testing::*;
    use crate::core::wire;

    fn with_the_seller() -> World {
        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.pass(&[item(1)], MAKER, SELLER);
        w
    }

    #[test]
    fn unknown_is_a_code_of_which_there_is_no_record() {
        assert_eq!(World::new().word(item(1)), StandingWord::Unknown);
    }

    #[test]
    fn consistent_is_a_unit_with_the_holder_whom_the_chain_names() {
        let w = with_the_seller();
        let standing = w.standing(item(1));
        assert_eq!(standing.word, StandingWord::Consistent);
        assert_eq!(standing.reasons[0].text, "With Company 7.");
        assert_eq!(standing.reasons[0].entries, [w.unit(item(1)).last_index]);
    }

    #[test]
    fn consistent_is_a_unit_that_was_used_up() {
        let mut w = with_the_seller();
        w.ok(SELLER, &[item(1)], say::destroy());
        assert_eq!(w.word(item(1)), StandingWord::Consistent);
    }

    #[test]
    fn in_transit_is_a_unit_that_is_offered_or_with_a_courier_or_inside_what_is() {
        let mut w = with_the_seller();
        w.ok(SELLER, &[item(1)], say::handover(COURIER));
        assert_eq!(w.word(item(1)), StandingWord::InTransit);
        w.ok(COURIER, &[item(1)], say::accept());
        assert_eq!(w.word(item(1)), StandingWord::InTransit);
        w.ok(COURIER, &[waybill(1)], say::commission());
        w.ok(COURIER, &[item(1)], say::pack(waybill(1)));
        w.pass(&[waybill(1)], COURIER, SELLER);
        assert_eq!(w.word(item(1)), StandingWord::Consistent);
        w.pass(&[waybill(1)], SELLER, COURIER);
        let standing = w.standing(item(1));
        assert_eq!(standing.word, StandingWord::InTransit);
        assert_eq!(
            standing.reasons[0].text,
            "On its way with Company 5, inside a container."
        );
    }

    #[test]
    fn delivered_is_a_unit_with_its_buyer() {
        let mut w = with_the_seller();
        w.ok(SELLER, &[item(1)], say::sell_over_the_counter());
        assert_eq!(w.word(item(1)), StandingWord::Delivered);
    }

    #[test]
    fn suspect_is_a_unit_with_an_open_finding_a_hold_or_a_dispute() {
        let mut w = with_the_seller();
        w.beside(
            &w.draft(RIVAL, &[item(1)], say::scan()),
            FindingKind::NotHolder,
        );
        assert_eq!(w.word(item(1)), StandingWord::Suspect);

        let mut w = with_the_seller();
        w.ok(MAKER, &[item(1)], say::hold());
        assert_eq!(w.word(item(1)), StandingWord::Suspect);

        let mut w = World::new();
        w.ok(MAKER, &[item(1)], say::commission());
        w.sold(item(1), BUYER);
        w.ok(BUYER, &[item(1)], say::reject());
        assert_eq!(w.word(item(1)), StandingWord::Suspect);
    }

    #[test]
    fn suspect_is_a_code_that_was_seen_but_never_registered() {
        let mut w = World::new();
        w.beside(
            &w.draft(COURIER, &[item(1)], say::scan()),
            FindingKind::NeverCommissioned,
        );
        assert_eq!(w.word(item(1)), StandingWord::Suspect);
    }

    #[test]
    fn broken_is_a_unit_whose_code_its_owner_gave_out_twice() {
        let mut w = with_the_seller();
        let again = w.draft(MAKER, &[item(1)], say::commission());
        w.beside(&again, FindingKind::DuplicateCommission);
        assert_eq!(w.word(item(1)), StandingWord::Broken);
    }

    #[test]
    fn broken_is_a_unit_with_a_confirmed_finding_and_a_dismissed_one_is_forgotten() {
        for (decision, word) in [
            (wire::Decision::Confirmed, StandingWord::Broken),
            (wire::Decision::Dismissed, StandingWord::Consistent),
        ] {
            let mut w = with_the_seller();
            let found = w.beside(
                &w.draft(RIVAL, &[item(1)], say::scan()),
                FindingKind::NotHolder,
            );
            w.clean(&w.decide(
                REGULATOR,
                found.index,
                FindingKind::NotHolder,
                item(1),
                decision,
            ));
            assert_eq!(w.word(item(1)), word);
        }
    }

    #[test]
    fn no_number_of_strangers_breaks_a_unit() {
        let mut w = with_the_seller();
        for who in [RIVAL, DISTRIBUTOR, COURIER, COURIER_2] {
            w.beside(
                &w.draft(who, &[item(1)], say::scan()),
                FindingKind::NotHolder,
            );
            w.beside(
                &w.draft(who, &[item(1)], say::accept()),
                FindingKind::AcceptWithoutHandover,
            );
        }
        w.beside(
            &w.draft(RIVAL, &[item(1)], say::commission()),
            FindingKind::NotGtinOwner,
        );
        assert_eq!(w.word(item(1)), StandingWord::Suspect);
    }

    #[test]
    fn recalled_is_a_unit_that_was_called_back_itself_or_with_its_lot_or_container() {
        let mut w = with_the_seller();
        w.ok(MAKER, &[item(1)], say::recall());
        assert_eq!(w.word(item(1)), StandingWord::Recalled);

        let mut w = with_the_seller();
        let recall = wire::Recall {
            scope: Some(say::product()),
            ..Default::default()
        };
        w.clean(&w.govern(MAKER, Body::Recall(recall)));
        assert_eq!(w.word(item(1)), StandingWord::Recalled);

        let mut w = World::new();
        w.ok(MAKER, &[item(1), parcel(1)], say::commission());
        w.ok(MAKER, &[item(1)], say::pack(parcel(1)));
        w.ok(MAKER, &[parcel(1)], say::recall());
        assert_eq!(w.word(item(1)), StandingWord::Recalled);
    }

    #[test]
    fn the_most_serious_reason_comes_first() {
        let mut w = with_the_seller();
        w.beside(
            &w.draft(RIVAL, &[item(1)], say::scan()),
            FindingKind::NotHolder,
        );
        let again = w.draft(MAKER, &[item(1)], say::commission());
        w.beside(&again, FindingKind::DuplicateCommission);
        let recalled = w.ok(REGULATOR, &[item(1)], say::recall());
        let standing = w.standing(item(1));
        assert_eq!(standing.word, StandingWord::Recalled);
        assert_eq!(standing.reasons[0].entries, [recalled]);
        let kinds: Vec<_> = standing.reasons.iter().map(|reason| reason.kind).collect();
        let found = [FindingKind::DuplicateCommission, FindingKind::NotHolder].map(Some);
        assert_eq!(kinds, [&[None], &found[..], &[None]].concat());
    }
}
