//! The views: what the ledger knows, as tables that `apply` reads and changes.
//!
//! A view is a pure function of the entries (I1). Values are only ever put, never deleted, so a
//! change is a map from key to new value, and an empty store replayed equals the original byte
//! for byte.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use super::rows::{History, Rows};
pub use super::tenure::{Tenure, Tenures};
use crate::core::credit::access::{Consent, FileOpened, Volume};
use crate::core::credit::inspection::{Inspection, Plan};
use crate::core::credit::measure::{Measure, MeasureReport};
use crate::core::credit::score::{Conduct, Deduction, Lapse};
use crate::core::credit::share::{Shared, Subject};
use crate::core::credit::{
    AlertId, Answered, Blacklisting, Case, Claim, Commitment, CreditItem, CreditPolicy,
    CreditRecord, Fund, Listing, Redlisting, Report, Request, Reviews, Stamp, Voice,
};
use crate::core::envelope::RecordId;
use crate::core::id::{Gtin14, MAX_COMPACT_BYTES, PartyId, UnitId};
use crate::core::record::{
    Attributes, GoodsId, Kind, Means, Millis, Position, ProductScope, Role, Thresholds,
};
use crate::core::rules::FindingKind;
use crate::core::signature::{KeyId, PublicKey};
use crate::core::tlog::LogIndex;

/// A table of the views.
pub trait Table: 'static {
    /// Key.
    type Key: Eq + Hash + Clone + Debug + Send + 'static;
    /// Value. It is handed out by cloning, so large ones are shared.
    type Value: Clone + PartialEq + Debug + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Name, stable across versions.
    const NAME: &'static str;
    /// Its place among [`TABLES`].
    const NUMBER: usize;
    /// The key as bytes, the same on every machine; no key's bytes begin with another's.
    fn key_bytes(key: &Self::Key) -> Vec<u8>;
    /// The table's part of a set of changes.
    fn of(changes: &Changes) -> &Rows<Self::Key, Self::Value>;
    /// The same, to change.
    fn of_mut(changes: &mut Changes) -> &mut Rows<Self::Key, Self::Value>;
}

/// What `apply` may read. Nothing else can change its answer.
pub trait Read {
    /// The value in force, or none.
    ///
    /// # Errors
    /// [`ReadError`] when the storage fails; nothing is then decided.
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError>;

    /// What the entry at this index did to the unit, or none if it did nothing to it.
    ///
    /// # Errors
    /// As [`Read::get`].
    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError>;

    /// The entry that holds the record, or none.
    ///
    /// # Errors
    /// As [`Read::get`].
    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError>;

    /// Whether a lot or product may have a hold or a recall in force. False only where it is known without a look at its
    /// row in [`Goods`].
    fn may_be_stopped(&self, _goods: &GoodsId) -> bool {
        true
    }
}

impl<R: Read> Read for &R {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        (**self).get::<T>(key)
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        (**self).history(unit, index)
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        (**self).entry_of(record)
    }

    fn may_be_stopped(&self, goods: &GoodsId) -> bool {
        (**self).may_be_stopped(goods)
    }
}

/// The storage under the views failed.
#[derive(Debug, thiserror::Error)]
#[error("reading {table}: {message}")]
pub struct ReadError {
    /// Which table.
    pub table: &'static str,
    /// What the storage says.
    pub message: String,
    /// It would have to be fetched from further than this reader goes; nothing is wrong.
    pub out_of_reach: bool,
}

macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident, $field:ident: $key:ty => $value:ty, $bytes:expr;)*) => {
        /// New values by table.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Changes {
            /// What entries did to units. No table: a row belongs to its entry and never changes.
            pub history: History,
            /// Where each record is in the log.
            pub records: Rows<RecordId, LogIndex>,
            $($(#[$doc])* pub $field: Rows<$key, $value>,)*
        }

        impl Changes {
            /// Lays later changes over these.
            pub fn merge(&mut self, later: Changes) {
                self.history.merge(later.history);
                self.records.merge(later.records);
                // A record changes a few tables of many.
                $(if !later.$field.is_empty() {
                    self.$field.merge(later.$field);
                })*
            }

            /// Calls the visitor with each table that has new values.
            pub fn visit(&self, visitor: &mut impl Visitor) {
                $(if !self.$field.is_empty() {
                    visitor.table::<$name>(&self.$field);
                })*
            }
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Table for $name {
                type Key = $key;
                type Value = $value;
                const NAME: &'static str = stringify!($field);
                const NUMBER: usize = Number::$name as usize;
                fn key_bytes(key: &Self::Key) -> Vec<u8> {
                    let bytes: fn(&$key) -> Vec<u8> = $bytes;
                    bytes(key)
                }
                fn of(changes: &Changes) -> &Rows<Self::Key, Self::Value> {
                    &changes.$field
                }
                fn of_mut(changes: &mut Changes) -> &mut Rows<Self::Key, Self::Value> {
                    &mut changes.$field
                }
            }
        )*

        enum Number {
            $($name,)*
        }

        /// Names of all tables, in the order in which [`Changes::visit`] goes through them.
        pub const TABLES: &[&str] = &[$($name::NAME),*];
    };
}

/// Something done with every table.
pub trait Visitor {
    /// One table's new values, of which there is at least one.
    fn table<T: Table>(&mut self, values: &Rows<T::Key, T::Value>);
}

tables! {
    /// The ledger as a whole; one row.
    Ledgers, ledger: () => Arc<Ledger>, |()| Vec::new();
    /// What is counted over the whole log; one row.
    Tallies, tally: () => Tally, |()| Vec::new();
    /// Parties by id.
    Parties, parties: PartyId => Arc<Party>, |id| id.to_compact().to_vec();
    /// Keys by id, those of buyers included.
    Keys, keys: KeyId => Key, |id| id.0.to_vec();
    /// Keys of each party, for lists.
    PartyKeys, party_keys: (PartyId, KeyId) => (), |(party, key)| {
        let mut bytes = party.to_compact().to_vec();
        bytes.extend_from_slice(&key.0);
        bytes
    };
    /// Who gives out which identifiers.
    Products, products: ProductScope => Product, |scope| {
        let (tag, text) = match scope {
            ProductScope::Gtin(gtin) => (b'g', gtin.to_string()),
            ProductScope::CompanyPrefix(prefix) => (b'p', prefix.to_string()),
            ProductScope::Carrier(carrier) => (b'c', carrier.to_string()),
            ProductScope::Drug(drug) => (b'd', drug.to_string()),
        };
        [&[tag], text.as_bytes()].concat()
    };
    /// Units by id.
    Units, units: UnitId => Arc<Unit>, unit_bytes;
    /// Lots and products: recalls, and how many units a lot has.
    Goods, goods: GoodsId => GoodsState, |goods| goods.to_string().into_bytes();
    /// What is or was in each container.
    Contents, contents: (UnitId, UnitId) => Stay, |(container, unit)| {
        let mut bytes = unit_bytes(container);
        bytes.extend(unit_bytes(unit));
        bytes
    };
    /// Findings by number, from 1 on without gap.
    Findings, findings: u64 => FindingRow, |number| number.to_be_bytes().to_vec();
    /// Public commitments, by the entry that made them.
    Commitments, commitments: LogIndex => Arc<Commitment>, index_bytes;
    /// What authorities added to credit files, by entry.
    CreditRecords, credit_records: LogIndex => Arc<CreditRecord>, index_bytes;
    /// Listings, by the entry that proposed them.
    Listings, listings: LogIndex => Arc<Listing>, index_bytes;
    /// What each party's credit file holds, by entry.
    CreditItems, credit_items: (PartyId, LogIndex) => CreditItem, |(party, index)| {
        numbered(party, index.0)
    };
    /// Findings of each party, and the key that signed.
    PartyFindings, party_findings: (PartyId, u64) => KeyId, |(party, number)| {
        numbered(party, *number)
    };
    /// What delivery firms' keys did in each month.
    Conducts, conducts: (KeyId, u32) => Conduct, |(key, month)| {
        [&key.0[..], &month.to_be_bytes()].concat()
    };
    /// What delivery firms' keys did late or unchecked, by entry.
    Lapses, lapses: (KeyId, LogIndex) => Lapse, |(key, index)| {
        [&key.0[..], &index.0.to_be_bytes()].concat()
    };
    /// Objections to deductions; a granted one strikes the deduction out.
    Objections, objections: Deduction => Request, |deduction| match deduction {
        Deduction::Finding(number) => [&[b'f'][..], &number.to_be_bytes()].concat(),
        Deduction::Lapse(key, index) => [&[b'l'][..], &key.0, &index.0.to_be_bytes()].concat(),
        Deduction::Claim(index) => [&[b'c'][..], &index.0.to_be_bytes()].concat(),
    };
    /// What each objection is to, by its entry.
    ObjectedTo, objected_to: LogIndex => Deduction, index_bytes;
    /// Claims for compensation, by the entry that opened them.
    Claims, claims: LogIndex => Arc<Claim>, index_bytes;
    /// Reports of suspect units, by entry.
    Reports, reports: LogIndex => Report, index_bytes;
    /// What was said once about a unit: which, by whom, what; the entry.
    Voices, voices: (UnitId, Actor, Voice) => LogIndex, |(unit, actor, voice)| {
        let mut bytes = unit_bytes(unit);
        bytes.extend(actor.bytes());
        bytes.push(*voice as u8);
        bytes
    };
    /// Buyer keys that an independent party attested: by whom, and the entry.
    Attestations, attestations: KeyId => (PartyId, LogIndex), |id| id.0.to_vec();
    /// What each fund or platform paid and got back.
    Funds, funds: PartyId => Fund, |id| id.to_compact().to_vec();
    /// How each seller's goods were reviewed.
    SellerReviews, seller_reviews: PartyId => Reviews, |id| id.to_compact().to_vec();
    /// Cases, by the entry that opened them.
    Cases, cases: LogIndex => Arc<Case>, index_bytes;
    /// Whether a case is open and in an agency's hands.
    CaseQueue, case_queue: (PartyId, LogIndex) => bool, |(party, index)| numbered(party, index.0);
    /// What regulators answered to alerts, the last answer to each.
    AlertAnswers, alert_answers: AlertId => Answered, |alert| match alert {
        AlertId::Finding(number) => [&[b'f'][..], &number.to_be_bytes()].concat(),
        AlertId::Signal(kind, index) => {
            [&[b's', *kind as u8][..], &index.0.to_be_bytes()].concat()
        }
    };
    /// Measures, by the entry that attached them.
    Measures, measures: LogIndex => Arc<Measure>, index_bytes;
    /// Who acted on each measure; the last report.
    MeasureReports, measure_reports: (LogIndex, PartyId) => MeasureReport, |(index, party)| {
        by_party(index, party)
    };
    /// Plans of inspections, by the entry that announced them.
    Plans, plans: LogIndex => Arc<Plan>, index_bytes;
    /// Whom each plan drew.
    Inspections, inspections: (LogIndex, PartyId) => Arc<Inspection>, |(index, party)| {
        by_party(index, party)
    };
    /// What entries made public or took back, and when; several of one entry are numbered.
    Shares, shares: (LogIndex, u32) => (Millis, Shared), |(index, number)| {
        [&index.0.to_be_bytes()[..], &number.to_be_bytes()].concat()
    };
    /// When what is public will have run out.
    ShareEnds, share_ends: (Millis, Subject) => (), |(until, subject)| {
        [&until.0.to_be_bytes()[..], &subject.bytes()].concat()
    };
    /// Who opened each party's file, by entry.
    FileReads, file_reads: (PartyId, LogIndex) => FileOpened, |(party, index)| {
        numbered(party, index.0)
    };
    /// Until when each regulator has a party's file open.
    FileAccess, file_access: (PartyId, PartyId) => Millis, |(by, subject)| {
        [&*by.to_compact(), &*subject.to_compact()].concat()
    };
    /// Who may look at a firm.
    Consents, consents: (PartyId, PartyId) => Consent, |(firm, viewer)| {
        [&*firm.to_compact(), &*viewer.to_compact()].concat()
    };
    /// Units that each party's records moved in a month.
    Volumes, volumes: (PartyId, u32) => Volume, |(party, month)| {
        [&party.to_compact()[..], &month.to_be_bytes()].concat()
    };
    /// Beside-records of a ledger day: day, who, unit, kind of finding if any; how many.
    Besides, besides: (u64, Actor, UnitId, Option<FindingKind>) => u32, |(day, actor, unit, kind)| {
        let mut bytes = day.to_be_bytes().to_vec();
        bytes.extend(actor.bytes());
        bytes.extend(unit_bytes(unit));
        bytes.push(kind.map_or(0, FindingKind::number));
        bytes
    };
}

impl Products {
    /// The scope that a row's key bytes name.
    #[must_use]
    pub fn scope_of(bytes: &[u8]) -> Option<ProductScope> {
        let (tag, text) = bytes.split_first()?;
        let text = std::str::from_utf8(text).ok()?;
        match tag {
            b'g' => text.parse().ok().map(ProductScope::Gtin),
            b'p' => text.parse().ok().map(ProductScope::CompanyPrefix),
            b'c' => text.parse().ok().map(ProductScope::Carrier),
            b'd' => text.parse().ok().map(ProductScope::Drug),
            _ => None,
        }
    }
}

fn index_bytes(index: &LogIndex) -> Vec<u8> {
    index.0.to_be_bytes().to_vec()
}

/// What a party has, by number.
fn numbered(party: &PartyId, number: u64) -> Vec<u8> {
    let mut bytes = party.to_compact().to_vec();
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes
}

/// What a party did about an entry.
fn by_party(index: &LogIndex, party: &PartyId) -> Vec<u8> {
    let mut bytes = index_bytes(index);
    bytes.extend_from_slice(&party.to_compact());
    bytes
}

/// A unit's id with its length in front, so that no key begins with another's.
#[must_use]
pub fn unit_bytes(unit: &UnitId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAX_COMPACT_BYTES + 1);
    put_unit_bytes(unit, &mut bytes);
    bytes
}

/// The same, behind what is there.
pub fn put_unit_bytes(unit: &UnitId, bytes: &mut Vec<u8>) {
    let compact = unit.to_compact();
    bytes.push(u8::try_from(compact.len()).unwrap_or(u8::MAX)); // an id has at most 64 bytes
    bytes.extend_from_slice(&compact);
}

/// What the rows of all items of a product begin with: one for each length of a serial.
pub fn item_prefixes(gtin: Gtin14) -> impl Iterator<Item = Vec<u8>> {
    let prefix = UnitId::compact_prefix(gtin);
    let longest = u8::try_from(MAX_COMPACT_BYTES).unwrap_or(u8::MAX);
    (u8::try_from(prefix.len()).unwrap_or(0)..=longest)
        .map(move |length| [&[length][..], &prefix].concat())
}

/// The ledger as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Its name on checkpoints.
    pub origin: String,
    /// The regulator of the genesis record.
    pub regulator: PartyId,
    /// Numbers that the rules use.
    pub thresholds: Thresholds,
    /// Entries that set the thresholds.
    pub thresholds_log: Vec<LogIndex>,
    /// Terms and deadlines of the lists.
    pub credit_policy: CreditPolicy,
    /// The entry that set them; none where they are the default.
    pub credit_policy_at: Option<LogIndex>,
}

/// What every entry counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Time of the last entry.
    pub last_time: Millis,
    /// Units commissioned.
    pub units: u64,
    /// Parties registered.
    pub parties: u64,
    /// Findings so far: the number of the last one.
    pub findings: u64,
    /// Findings by the number of their kind; most entries leave them as they are.
    by_kind: Arc<[u64; Tally::KINDS]>,
}

impl Tally {
    /// Numbers of kinds that there is room for.
    const KINDS: usize = 32;

    /// Counts a finding, and gives its number.
    pub fn count_finding(&mut self, kind: FindingKind) -> u64 {
        self.findings += 1;
        if let Some(count) = Arc::make_mut(&mut self.by_kind).get_mut(usize::from(kind.number())) {
            *count += 1;
        }
        debug_assert!(usize::from(kind.number()) < Self::KINDS);
        self.findings
    }

    /// Findings by kind, those that there are.
    pub fn findings_by_kind(&self) -> impl Iterator<Item = (FindingKind, u64)> + '_ {
        let counted = (0..).zip(*self.by_kind).filter(|(_, count)| *count > 0);
        counted.filter_map(|(number, count)| Some((FindingKind::from_number(number)?, count)))
    }
}

/// Where a party's registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto
pub enum PartyStatus {
    Pending,
    Active,
    Suspended,
}

/// A party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Party {
    /// Empty for a sole trader.
    pub name: String,
    /// Approved roles; while pending, those asked for.
    pub roles: Vec<Role>,
    /// ISO 3166.
    pub region: String,
    /// For people.
    pub city: String,
    /// Pending, active or suspended.
    pub status: PartyStatus,
    /// End of the approval.
    pub valid_until: Option<Millis>,
    /// Entries that registered, approved and suspended it.
    pub log: Vec<LogIndex>,
    /// The approval in force.
    pub approved_at: Option<LogIndex>,
    /// The key of its registration.
    pub key: KeyId,
    /// Another registration of the same id came before; the approval has to name this one.
    pub contested: bool,
    /// Commitments that it made.
    pub commitments: u32,
    /// What was in force on the black list when it last changed.
    pub blacklistings: Vec<Blacklisting>,
    /// Its red listing, the last one that took effect and that no entry ended.
    pub redlisting: Option<Redlisting>,
}

impl Party {
    /// Whether its approval has ended by then.
    #[must_use]
    pub fn has_lapsed(&self, now: Millis) -> bool {
        self.valid_until.is_some_and(|end| now > end)
    }

    /// Whether it is approved, not suspended, and its approval has not ended by then.
    #[must_use]
    pub fn is_active(&self, now: Millis) -> bool {
        self.status == PartyStatus::Active && !self.has_lapsed(now)
    }

    /// Its listings that are in force, or were when its row last changed.
    pub fn listings(&self) -> impl Iterator<Item = LogIndex> {
        let black = self.blacklistings.iter().map(|black| black.listing);
        black.chain(self.redlisting.iter().map(|red| red.listing))
    }

    /// Whether the public may know who it is: a natural person gives no name, only a commitment.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        !self.name.is_empty()
    }
}

/// Whose a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Actor {
    /// A party's, its employee's or its device's.
    Party(PartyId),
    /// A buyer's.
    Buyer(KeyId),
}

impl Actor {
    /// The party, unless it is a buyer.
    #[must_use]
    pub const fn party(&self) -> Option<PartyId> {
        match self {
            Self::Party(party) => Some(*party),
            Self::Buyer(_) => None,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Party(party) => {
                let mut bytes = vec![1];
                bytes.extend_from_slice(&party.to_compact());
                bytes
            }
            Self::Buyer(key) => {
                let mut bytes = vec![2];
                bytes.extend(key.0);
                bytes
            }
        }
    }
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyStatus {
    /// In use.
    Active,
    /// Another key took its place, or its use ended, at this time of the ledger.
    Rotated(Millis),
    /// The same by revocation.
    Revoked(Millis),
    /// Somebody else may have had it, since when.
    Compromised(Millis),
}

/// What a key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyScope {
    /// Named by the genesis record.
    Root,
    /// Everything that its party may.
    Full,
    /// Custody records only.
    Delegated,
    /// What a buyer may, for the units of one order.
    Buyer,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The key itself.
    pub public: PublicKey,
    /// Whose.
    pub owner: Actor,
    /// What for.
    pub scope: KeyScope,
    /// First moment of use.
    pub valid_from: Millis,
    /// Last moment of use.
    pub valid_until: Option<Millis>,
    /// In use or ended.
    pub status: KeyStatus,
    /// The entry that registered it.
    pub registered_at: LogIndex,
    /// The entry that ended it.
    pub ended_at: Option<LogIndex>,
}

impl Key {
    /// Whether nothing has ended it by then.
    #[must_use]
    pub fn is_in_use(&self, now: Millis) -> bool {
        self.status == KeyStatus::Active && self.valid_until.is_none_or(|end| now <= end)
    }
}

/// Who gives out the identifiers of one scope.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Claims, at most [`MAX_CLAIMS`](super::MAX_CLAIMS).
    pub claims: Vec<ProductClaim>,
    /// The claim in force.
    pub owner: Option<Owner>,
    /// Entries that claimed and approved it.
    pub log: Vec<LogIndex>,
}

/// A party says that it gives out these identifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductClaim {
    /// Which party.
    pub party: PartyId,
    /// For people.
    pub name: String,
    /// The entry.
    pub claimed_at: LogIndex,
}

/// An approved claim.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owner {
    /// Which party.
    pub party: PartyId,
    /// The entry that approved it.
    pub approved_at: LogIndex,
}

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
    /// Number in [`Findings`].
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

/// Views with the changes of one record over them.
#[derive(Debug)]
pub struct Overlay<R> {
    base: R,
    changes: Changes,
}

impl<R: Read> Overlay<R> {
    /// No changes yet.
    pub fn new(base: R) -> Self {
        Self {
            base,
            changes: Changes::default(),
        }
    }

    /// The value that the changes give a row, if they do.
    pub(super) fn changed<T: Table>(&self, key: &T::Key) -> Option<&T::Value> {
        T::of(&self.changes).get(key)
    }

    /// New value of a row.
    pub fn put<T: Table>(&mut self, key: T::Key, value: T::Value) {
        T::of_mut(&mut self.changes).insert(key, value);
    }

    /// Makes room for so many more values in a table that has one.
    pub(super) fn reserve<T: Table>(&mut self, more: usize) {
        T::of_mut(&mut self.changes).reserve(more);
    }

    /// Remembers what an entry does to a unit, and that it is the last that touched it.
    pub fn put_history(&mut self, id: UnitId, unit: &mut Unit, index: LogIndex, row: HistoryRow) {
        if unit.touched == Some(index) {
            return; // One entry does one thing to a unit; what it did first is what counts.
        }
        let before = unit.touched.replace(index);
        unit.besides += u64::from(!row.joined);
        let row = HistoryRow { before, ..row };
        self.changes.history.push(index, id, row);
    }

    /// Remembers that the entry does to a unit what it did to the last one, which was in the same state.
    pub(super) fn put_alike(&mut self, id: UnitId, unit: Arc<Unit>, index: LogIndex) {
        self.changes.history.push_alike(index, id);
        self.put::<Units>(id, unit);
    }

    /// Remembers where a record is.
    pub fn put_record(&mut self, record: RecordId, index: LogIndex) {
        self.changes.records.insert(record, index);
    }

    /// The changes.
    pub fn into_changes(mut self) -> Changes {
        self.changes.history.sort();
        self.changes
    }
}

impl<R: Read> Read for Overlay<R> {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        match self.changed::<T>(key) {
            Some(value) => Ok(Some(value.clone())),
            None => self.base.get::<T>(key),
        }
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        match self.changes.history.get(index, unit) {
            Some(row) => Ok(Some(*row)),
            None => self.base.history(unit, index),
        }
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        match self.changes.records.get(record) {
            Some(index) => Ok(Some(*index)),
            None => self.base.entry_of(record),
        }
    }
}

/// Views in memory, of a log that is short.
impl Read for Changes {
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, ReadError> {
        Ok(T::of(self).get(key).cloned())
    }

    fn history(&self, unit: &UnitId, index: LogIndex) -> Result<Option<HistoryRow>, ReadError> {
        Ok(self.history.get(index, unit).copied())
    }

    fn entry_of(&self, record: &RecordId) -> Result<Option<LogIndex>, ReadError> {
        Ok(self.records.get(record).copied())
    }
}
