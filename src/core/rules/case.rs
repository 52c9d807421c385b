//! What a rule may look at.

use std::sync::Arc;

use crate::core::apply::state::{Actor, Journey, Life, Sighting, Stop, Unit};
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{Body, Kind, Millis, Record, Role, Thresholds};
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;

/// The containers around a unit, innermost first, with their state.
pub type Around = Vec<(UnitId, Arc<Unit>)>;

/// A hold or recall that covers the unit, by an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoodsStop {
    /// The entry.
    pub index: LogIndex,
    /// A recall; otherwise a hold.
    pub recall: bool,
}

/// How many units a lot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LotCount {
    /// With this one.
    pub count: u64,
    /// As its maker declared.
    pub declared: u64,
    /// The entry that declared it.
    pub declared_at: LogIndex,
}

impl LotCount {
    /// Whether there are more than declared.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.count > self.declared
    }
}

/// Which part the unit plays in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One of the record's units.
    Unit,
    /// The container of a Pack or Unpack.
    Container,
    /// An output of a Transform.
    Output,
}

impl Target {
    /// Whether a record of this kind creates it.
    #[must_use]
    pub fn is_created_by(self, kind: Kind) -> bool {
        self == Self::Output || kind == Kind::Commission
    }
}

/// One record at one unit, with the state that it meets.
#[derive(Debug)]
pub struct Case<'a> {
    /// The record.
    pub record: &'a Record,
    /// The ledger's time of the entry.
    pub time: Millis,
    /// Who signed.
    pub signer: Actor,
    /// The signer's approved roles; none for a buyer.
    pub roles: &'a [Role],
    /// The listing that had the signer's party on the public black list when it happened.
    pub blacklisted: Option<LogIndex>,
    /// The unit.
    pub unit: &'a UnitId,
    /// Its part in the record.
    pub target: Target,
    /// Its state; the default for a unit that nobody has spoken of.
    pub state: &'a Unit,
    /// What is around it.
    pub around: &'a Around,
    /// Whether the signer gives out the unit's identifier.
    pub owns_identifier: bool,
    /// Holds and recalls that cover the unit.
    pub stops: &'a [GoodsStop],
    /// Units in the lot, if it was declared how many it has.
    pub lot_count: Option<LotCount>,
    /// For an output: the content of all inputs and of all outputs, in thousandths.
    pub transformed: Option<(u64, u64)>,
    /// For a Confirm: listed contents that are not in the unit, and contents left out.
    pub confirm_mismatch: bool,
    /// Numbers that the rules use.
    pub thresholds: &'a Thresholds,
}

impl Case<'_> {
    /// The kind of record.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.record.kind()
    }

    /// Whether the record creates this unit.
    #[must_use]
    pub fn creates(&self) -> bool {
        self.target.is_created_by(self.kind())
    }

    /// The signer's party.
    #[must_use]
    pub const fn party(&self) -> Option<PartyId> {
        self.signer.party()
    }

    /// Whether the signer may end the holds and recalls of this very unit.
    #[must_use]
    pub fn may_release(&self) -> bool {
        let by_regulator = self.roles.contains(&Role::Regulator);
        Stop {
            index: LogIndex(0),
            by_regulator,
        }
        .may_release(self.state.hold, self.state.recall)
    }

    /// The unit that custody goes by: the outermost container, or the unit itself.
    #[must_use]
    pub fn outermost(&self) -> &Unit {
        self.around.last().map_or(self.state, |(_, unit)| unit)
    }

    /// Who holds it, through the outermost container.
    #[must_use]
    pub fn holder(&self) -> Option<PartyId> {
        self.outermost().holder
    }

    /// The buyer key that it is for: its own, or that of the nearest container that is for one.
    #[must_use]
    pub fn buyer(&self) -> Option<KeyId> {
        nearest_buyer(self.state, self.around)
    }

    /// Where it is in its life, through the outermost container.
    #[must_use]
    pub fn life(&self) -> Life {
        match self.state.life {
            Life::Active => self.outermost().life,
            own => own,
        }
    }

    /// Whether the signer's party holds it.
    #[must_use]
    pub fn signer_holds(&self) -> bool {
        self.party().is_some() && self.party() == self.holder()
    }

    /// Where and when it was last seen, itself or what is around it.
    #[must_use]
    pub fn sighting(&self) -> Option<Sighting> {
        effective_sighting(self.state, self.around)
    }

    /// Scans so far, those of containers around it included.
    #[must_use]
    pub fn scans(&self) -> u64 {
        effective_scans(self.state, self.around)
    }

    /// The way to the buyer that it is on.
    #[must_use]
    pub fn journey(&self) -> Option<&Journey> {
        self.outermost().journey.as_ref()
    }

    /// Event time and entry of the last record of the unit or of a container around it.
    #[must_use]
    pub fn last_event(&self) -> Option<(Millis, LogIndex)> {
        std::iter::once(self.state)
            .chain(self.around.iter().map(|(_, unit)| &**unit))
            .filter(|unit| unit.head.is_some())
            .map(|unit| (unit.last_time, unit.last_index))
            .max()
    }

    /// Whether the record moves goods on towards a buyer or into something else.
    #[must_use]
    pub const fn moves(&self) -> bool {
        matches!(
            self.record.body,
            Body::Handover(_)
                | Body::Accept { .. }
                | Body::Deliver { .. }
                | Body::Pack { .. }
                | Body::Transform { .. }
        )
    }

    /// Whether the record gives the unit back to its maker or to a regulator's keeping.
    #[must_use]
    pub fn goes_back(&self) -> bool {
        let taker = match &self.record.body {
            Body::Handover(handover) => Some(handover.to),
            Body::Accept { .. } => self.party(),
            _ => None,
        };
        taker.is_some() && taker == self.state.maker
    }
}

/// The buyer key that a unit is for: its own, or that of the nearest container around it that is for
/// one.
#[must_use]
pub fn nearest_buyer(unit: &Unit, around: &Around) -> Option<KeyId> {
    unit.buyer
        .or_else(|| around.iter().find_map(|(_, outer)| outer.buyer))
}

/// Where and when a unit was last seen, itself or what is around it.
#[must_use]
pub fn effective_sighting(unit: &Unit, around: &Around) -> Option<Sighting> {
    std::iter::once(unit)
        .chain(around.iter().map(|(_, unit)| &**unit))
        .filter_map(|unit| unit.sighting)
        .max_by_key(|sighting| (sighting.time, sighting.index))
}

/// Scans of a unit so far, those of the containers around it since it was packed included.
#[must_use]
pub fn effective_scans(unit: &Unit, around: &[(UnitId, Arc<Unit>)]) -> u64 {
    let Some(((_, container), outer)) = around.split_first() else {
        return unit.scans;
    };
    let since = effective_scans(container, outer).saturating_sub(unit.container_scans);
    unit.scans.saturating_add(since)
}
