//! The views: what the ledger knows, as tables that `apply` reads and changes.
//!
//! A view is a pure function of the entries (I1). Values are only ever put, never deleted, so a
//! change is a map from key to new value, and an empty store replayed equals the original byte
//! for byte.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use super::overlay::Overlay;
pub use super::parties::{
    Actor, Key, KeyScope, KeyStatus, Owner, Party, PartyStatus, Product, ProductClaim,
};
pub use super::rows::{History, Rows};
pub use super::tenure::{Tenure, Tenures};
pub use super::units::{
    Delivered, FindingRow, FindingStatus, GoodsState, HistoryFront, HistoryRow, Journey, Life,
    Offer, Sighting, Stay, Stop, Unit, UnitFinding,
};
use crate::core::credit::access::{Consent, FileOpened, Volume};
use crate::core::credit::inspection::{Inspection, Plan};
use crate::core::credit::measure::{Measure, MeasureReport};
use crate::core::credit::score::{Conduct, Deduction, Lapse};
use crate::core::credit::share::{Shared, Subject};
use crate::core::credit::{
    AlertId, Answered, Case, Claim, Commitment, CreditItem, CreditPolicy, CreditRecord, Fund,
    Listing, Report, Request, Reviews, Voice,
};
use crate::core::envelope::RecordId;
use crate::core::id::{Gtin14, MAX_COMPACT_BYTES, PartyId, UnitId};
use crate::core::record::{GoodsId, Millis, ProductScope, Thresholds};
use crate::core::rules::FindingKind;
use crate::core::signature::KeyId;
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
