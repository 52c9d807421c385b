//! Rows of units, lots and products, what entries did to units, and what rules found at them.

use serde::{Deserialize, Serialize};

use super::parties::Actor;
use super::tenure::Tenures;
use crate::core::credit::Stamp;
use crate::core::envelope::RecordId;
use crate::core::id::{PartyId, UnitId};
use crate::core::record::{Attributes, Kind, Means, Millis, Position};
use crate::core::rules::FindingKind;
use crate::core::signature::KeyId;
use crate::core::tlog::LogIndex;

/// A hold or a recall in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The entry that stopped it.
    pub index: LogIndex,
    /// By a regulator: then nobody else releases it.
    pub by_regulator: bool,
}

impl Stop {
    /// The stop that is in force after this one came.
    #[must_use]
    pub fn over(self, before: Option<Self>) -> Self {
        before
            .filter(|before| before.by_regulator && !self.by_regulator)
            .unwrap_or(self)
    }

    /// Whether who would set this one may end those in force.
    #[must_use]
    pub fn may_release(self, hold: Option<Self>, recall: Option<Self>) -> bool {
        self.by_regulator || !hold.into_iter().chain(recall).any(|stop| stop.by_regulator)
    }
}

/// A lot or a product.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GoodsState {
    /// Units that the maker declared the lot to have, first declaration.
    pub lot_size: Option<u64>,
    /// Units commissioned in the lot.
    pub commissioned: u64,
    /// The first entry that declared the size.
    pub declared_at: Option<LogIndex>,
    /// The recall in force.
    pub recall: Option<Stop>,
    /// The hold in force.
    pub hold: Option<Stop>,
    /// Entries that held, released and recalled it.
    pub log: Vec<LogIndex>,
}

/// Where a unit is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Life {
    /// Somebody spoke of it, but it was never commissioned.
    #[default]
    Uncommissioned,
    /// Held by a party.
    Active,
    /// In the hands of a buyer.
    Delivered,
    /// Destroyed, or used up by a Transform.
    Ended,
}

/// An open offer of custody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// To whom.
    pub to: PartyId,
    /// The Handover.
    pub index: LogIndex,
}

/// The way from the seller to the buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journey {
    /// The Handover that named the buyer.
    pub index: LogIndex,
    /// Who named the buyer.
    pub seller: Option<PartyId>,
    /// Its event time.
    pub start: Millis,
    /// Its declared weight.
    pub weight_grams: u64,
    /// Its means.
    pub means: Means,
    /// [`Unit::scans`], effective, at that moment.
    pub scans: u64,
}

/// Where and when a unit was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Event time.
    pub time: Millis,
    /// Where.
    pub position: Position,
    /// The entry.
    pub index: LogIndex,
}

/// Status of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto
pub enum FindingStatus {
    Open,
    Confirmed,
    Dismissed,
    Explained,
}

impl FindingStatus {
    /// What counts for debts and scores: who has a part in the goods may say that it is a break, and no
    /// more than that.
    #[must_use]
    pub const fn counted(self, by_regulator: bool) -> Self {
        match self {
            Self::Confirmed if !by_regulator => Self::Open,
            status => status,
        }
    }
}

/// A finding as a unit remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFinding {
    /// Number in [`Findings`](super::state::Findings).
    pub number: u64,
    /// The entry that broke the rule.
    pub index: LogIndex,
    /// Which rule.
    pub kind: FindingKind,
    /// What became of it.
    pub status: FindingStatus,
    /// Whether a regulator said so: the word of who has a part in the goods moves no debt and no
    /// score.
    pub by_regulator: bool,
}

/// A unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Last record of the chain.
    pub head: Option<RecordId>,
    /// Records in the chain.
    pub length: u64,
    /// The last entry that touched it, in the chain or beside: where its history is read from,
    /// backwards.
    pub touched: Option<LogIndex>,
    /// Entries of its history that stand beside the chain.
    pub besides: u64,
    /// Where it is in its life.
    pub life: Life,
    /// Who commissioned it.
    pub maker: Option<PartyId>,
    /// The entry that did.
    pub commissioned_at: Option<LogIndex>,
    /// What is true of it.
    pub attributes: Attributes,
    /// Who holds it; for a packed unit, who held it when it was packed.
    pub holder: Option<PartyId>,
    /// To whom it is offered.
    pub offer: Option<Offer>,
    /// The last offer, if it was withdrawn.
    pub voided: Option<Offer>,
    /// The buyer key that it is for.
    pub buyer: Option<KeyId>,
    /// The buyer disputes receipt.
    pub disputed: Option<LogIndex>,
    /// The container around it.
    pub container: Option<UnitId>,
    /// The Pack that put it there.
    pub packed_at: LogIndex,
    /// Its event time.
    pub packed_time: Millis,
    /// Effective scans of the container at that moment.
    pub container_scans: u64,
    /// Units directly inside it.
    pub contents: u64,
    /// Levels of containment inside it, at most; 0 when it is empty.
    pub height: u8,
    /// Event time of the last record in the chain.
    pub last_time: Millis,
    /// The entry of the last record in the chain.
    pub last_index: LogIndex,
    /// Where it was last seen.
    pub sighting: Option<Sighting>,
    /// Scans so far, and Accepts on the way.
    pub scans: u64,
    /// The way to the buyer.
    pub journey: Option<Journey>,
    /// The recall of this very unit.
    pub recall: Option<Stop>,
    /// The hold of this very unit.
    pub hold: Option<Stop>,
    /// Who held it when, the last [`MAX_TENURES`](super::MAX_TENURES).
    pub tenures: Tenures,
    /// Its findings, the first [`MAX_UNIT_FINDINGS`](super::MAX_UNIT_FINDINGS).
    pub findings: Vec<UnitFinding>,
}

/// What one entry did to one unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The entry that touched the unit before.
    pub before: Option<LogIndex>,
    /// Kind of record.
    pub kind: Kind,
    /// Whether it joined the chain; otherwise it stands beside.
    pub joined: bool,
    /// Who signed.
    pub signer: Actor,
    /// Who holds the unit after it.
    pub holder: Option<PartyId>,
    /// To whom it is offered after it.
    pub offered: Option<PartyId>,
    /// The buyer key it is for after it.
    pub buyer: Option<KeyId>,
    /// What it is in after it.
    pub container: Option<UnitId>,
    /// Of a Deliver: the way that ended with it.
    pub delivered: Option<Delivered>,
}

/// The front of a [`HistoryRow`], its first fields in order: it can be read without the rest.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct HistoryFront {
    /// The entry that touched the unit before.
    pub before: Option<LogIndex>,
    /// Kind of record.
    pub kind: Kind,
    /// Whether it joined the chain; otherwise it stands beside.
    pub joined: bool,
    /// Who signed.
    pub signer: Actor,
}

/// The way of an order, as it was when it was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivered {
    /// The Handover that named the buyer.
    pub shipped: LogIndex,
    /// Who named the buyer.
    pub seller: Option<PartyId>,
    /// From there to the delivery, in event time, in milliseconds.
    pub took_ms: u64,
    /// Nobody declared a weight.
    pub weightless: bool,
    /// Somebody scanned it on the way.
    pub seen: bool,
    /// It was handed over in person.
    pub in_person: bool,
}

/// When a unit was in a container, the last time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stay {
    /// The Pack.
    pub packed_at: LogIndex,
    /// The Unpack, or what else took it out.
    pub unpacked_at: Option<LogIndex>,
}

/// A finding as the regulator lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingRow {
    /// The entry that broke the rule.
    pub index: LogIndex,
    /// Which rule.
    pub kind: FindingKind,
    /// At which unit; none where the finding is about the signer alone.
    pub unit: Option<UnitId>,
    /// Who signed.
    pub signer: Actor,
    /// The ledger's time.
    pub time: Millis,
    /// Where it happened.
    pub region: String,
    /// Where it happened, for people.
    pub city: String,
    /// Entries that prove it.
    pub evidence: Vec<LogIndex>,
    /// What was measured.
    pub measured: i64,
    /// What the limit was.
    pub limit: i64,
    /// What became of it.
    pub status: FindingStatus,
    /// Whether a regulator said so.
    pub by_regulator: bool,
    /// The entry that said so, and when.
    pub closed: Option<Stamp>,
}
