//! Where a unit stands, in one word for a person, with the reasons in words.
//!
//! Standing is kinder than a rule: an open finding makes a unit SUSPECT at most. BROKEN needs
//! proof: a finding that the holder, the maker or a regulator confirmed, two commissions by owners
//! of the identifier, or an equivocation by a key that was entitled.

use crate::core::apply::state::{
    FindingStatus, Life, Parties, Read, ReadError, Unit, UnitFinding, Units,
};
use crate::core::id::{PartyId, UnitId};
use crate::core::lang::Lang;
use crate::core::record::Role;
use crate::core::rules::{FindingKind, GoodsStop};
use crate::core::tlog::LogIndex;
use crate::core::wire::StandingWord;

pub use crate::core::apply::{around_of, stops_around};

/// What a reason says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the texts say it
pub enum Because {
    Unknown,
    CalledBack,
    OnHold,
    Found(FindingKind),
    Unregistered,
    Disputed,
    WithBuyer {
        packed: bool,
    },
    Ended,
    Offered {
        by: String,
        to: String,
        packed: bool,
    },
    OnItsWay {
        with: String,
        packed: bool,
    },
    With {
        whom: String,
        packed: bool,
    },
}

impl Because {
    /// In one sentence.
    #[must_use]
    pub fn text(&self, lang: Lang) -> String {
        let inside = |packed: &bool| {
            let said = lang.pick("（在包装容器内）", ", inside a container");
            if *packed { said } else { "" }
        };
        match self {
            Self::Unknown => lang
                .pick(
                    "账本中没有该编码的任何记录。是否遗漏由运营方自述，请与生产商核对。",
                    "The ledger has no record of this code. Absence is the operator's word: \
                     compare it with the maker's.",
                )
                .to_owned(),
            Self::CalledBack => lang
                .pick(
                    "商品已被召回：请勿使用、销售或转交。",
                    "Called back: do not use, sell or pass on.",
                )
                .to_owned(),
            Self::OnHold => lang
                .pick(
                    "正在核查，已暂停流通。",
                    "Movement is on hold while it is being looked into.",
                )
                .to_owned(),
            Self::Found(kind) => kind.rule().meaning(lang).to_owned(),
            Self::Unregistered => lang
                .pick(
                    "没有生产商登记过该编码。",
                    "No maker has registered this code.",
                )
                .to_owned(),
            Self::Disputed => lang
                .pick(
                    "买家对收货提出异议。",
                    "The buyer disputes having received it.",
                )
                .to_owned(),
            Self::WithBuyer { packed } => {
                let inside = inside(packed);
                match lang {
                    Lang::Zh => format!("已由买家收货{inside}。"),
                    Lang::En => format!("With its buyer{inside}."),
                }
            }
            Self::Ended => lang
                .pick(
                    "链上记录显示已用尽或销毁。",
                    "Used up or destroyed, as the chain says.",
                )
                .to_owned(),
            Self::Offered { by, to, packed } => {
                let inside = inside(packed);
                match lang {
                    Lang::Zh => format!("{by} 正在移交给 {to}{inside}。"),
                    Lang::En => format!("Offered by {by} to {to}{inside}."),
                }
            }
            Self::OnItsWay { with, packed } => {
                let inside = inside(packed);
                match lang {
                    Lang::Zh => format!("由 {with} 运送途中{inside}。"),
                    Lang::En => format!("On its way with {with}{inside}."),
                }
            }
            Self::With { whom, packed } => {
                let inside = inside(packed);
                match lang {
                    Lang::Zh => format!("现由 {whom} 持有{inside}。"),
                    Lang::En => format!("With {whom}{inside}."),
                }
            }
        }
    }

    /// The finding behind it.
    #[must_use]
    pub const fn kind(&self) -> Option<FindingKind> {
        match self {
            Self::Found(kind) => Some(*kind),
            _ => None,
        }
    }
}

/// A reason for a standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What it says.
    pub because: Because,
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
    let unit = state.get::<Units>(&id)?;
    standing_of(state, id, unit.as_deref())
}

/// The same of a unit whose row was read already.
///
/// # Errors
/// As [`standing`].
pub fn standing_of<R: Read>(
    state: &R,
    id: UnitId,
    unit: Option<&Unit>,
) -> Result<Standing, ReadError> {
    let Some(unit) = unit else {
        return Ok(Standing {
            unit: id,
            word: StandingWord::Unknown,
            reasons: vec![Reason {
                because: Because::Unknown,
                entries: Vec::new(),
            }],
        });
    };
    let around = around_of(state, unit)?;
    let stops = stops_around(state, &id, unit, &around)?;
    let outermost = around.last().map_or(unit, |(_, outer)| outer);
    let holder = firm(state, outermost.holder)?;
    let offered_to = firm(state, outermost.offer.as_ref().map(|offer| offer.to))?;
    let mut weighed = Vec::with_capacity(stops.len() + unit.findings.len() + 1);
    weighed.extend(stops.iter().map(weigh_stop));
    weighed.extend(unit.findings.iter().filter_map(weigh_finding));
    weighed.push(weigh_custody(
        unit,
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

fn weigh_stop(stop: &GoodsStop) -> (StandingWord, Reason) {
    let (word, because) = if stop.recall {
        (StandingWord::Recalled, Because::CalledBack)
    } else {
        (StandingWord::Suspect, Because::OnHold)
    };
    let entries = vec![stop.index];
    (word, Reason { because, entries })
}

fn weigh_finding(finding: &UnitFinding) -> Option<(StandingWord, Reason)> {
    let proven = finding.kind.proves_itself();
    let word = match finding.status {
        FindingStatus::Confirmed => StandingWord::Broken,
        FindingStatus::Open if proven => StandingWord::Broken,
        FindingStatus::Open => StandingWord::Suspect,
        FindingStatus::Dismissed | FindingStatus::Explained => return None,
    };
    let because = Because::Found(finding.kind);
    let entries = vec![finding.index];
    Some((word, Reason { because, entries }))
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
    let name = || holder.name.clone();
    let life = if unit.life == Life::Active {
        outermost.life
    } else {
        unit.life
    };
    let (word, because) = match life {
        Life::Uncommissioned => (StandingWord::Suspect, Because::Unregistered),
        Life::Delivered if outermost.disputed.is_some() => {
            (StandingWord::Suspect, Because::Disputed)
        }
        Life::Delivered => (StandingWord::Delivered, Because::WithBuyer { packed }),
        Life::Ended => (StandingWord::Consistent, Because::Ended),
        Life::Active if outermost.offer.is_some() => {
            let (by, to) = (name(), offered_to.name.clone());
            (StandingWord::InTransit, Because::Offered { by, to, packed })
        }
        Life::Active if holder.courier => {
            let with = name();
            (StandingWord::InTransit, Because::OnItsWay { with, packed })
        }
        Life::Active => {
            let whom = name();
            (StandingWord::Consistent, Because::With { whom, packed })
        }
    };
    let entries = vec![outermost.last_index];
    (word, Reason { because, entries })
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
        assert_eq!(
            standing.reasons[0].because.text(Lang::En),
            "With Company 7."
        );
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
            standing.reasons[0].because.text(Lang::En),
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
        let kinds: Vec<_> = standing
            .reasons
            .iter()
            .map(|reason| reason.because.kind())
            .collect();
        let found = [FindingKind::DuplicateCommission, FindingKind::NotHolder].map(Some);
        assert_eq!(kinds, [&[None], &found[..], &[None]].concat());
    }
}
