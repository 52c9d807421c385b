//! A ledger in memory for the tests of the rules and of `apply`.
//!
//! Everything is done by real signed records, from the genesis on; a test builds drafts, submits
//! them, and looks at what the verdict and the views say. After every record that is logged the
//! invariants of the views are checked.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::state::{Actor, HistoryRow, Life, Tallies, Unit, Units};
use super::{
    Applied, ApplyError, Changes, Focus, Placed, Read as _, around_of, encode_entry, ranges_cover,
};
use crate::core::envelope::{Envelope, RETURN_CONSENT_TYPE, RecordId, key_possession_pae, pae};
use crate::core::id::{PartyId, UnitId, gs1_check_digit};
use crate::core::record::{Kind, MAX_NESTING, Millis, Position, Record, Role, Thresholds};
use crate::core::refusal::{Reason, Refusal};
use crate::core::rules::FindingKind;
use crate::core::signature::{KeyId, SIGNATURE_BYTES, Signer};
use crate::core::standing::{Standing, standing};
use crate::core::tlog::LogIndex;
use crate::core::wire::{self, StandingWord};

pub use crate::core::wire::record::Body;

/// The ledger that every record is for.
pub const ORIGIN: &str = "ledger.test/fj";
/// 2025-06-15, noon in UTC: the time of the genesis record.
pub const BEGIN: u64 = 1_749_988_800_000;
pub const SECOND: u64 = 1_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;

/// What a scan by a buyer's key did to a unit.
pub fn scanned(before: Option<LogIndex>, by: u8) -> HistoryRow {
    HistoryRow {
        before,
        kind: Kind::Scan,
        joined: true,
        signer: Actor::Buyer(KeyId([by; 16])),
        holder: None,
        offered: None,
        buyer: None,
        container: None,
        delivered: None,
    }
}

/// Somebody with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    seed: u8,
    party: u8,
}

const fn who(number: u8) -> Who {
    Who {
        seed: number,
        party: number,
    }
}

pub const REGULATOR: Who = who(1);
/// Owns the company prefix 9521141, so every [`item`] and [`parcel`].
pub const MAKER: Who = who(2);
/// Another maker, who owns the company prefix 9521999.
pub const RIVAL: Who = who(3);
pub const DISTRIBUTOR: Who = who(4);
/// Owns the waybill numbers of the carrier `abc`.
pub const COURIER: Who = who(5);
pub const COURIER_2: Who = who(6);
pub const SELLER: Who = who(7);
pub const INSPECTOR: Who = who(8);
/// A party whose role has nothing to do with goods.
pub const BANK: Who = who(9);
/// Somebody whom the ledger doesn't know yet.
pub const NEWCOMER: Who = who(10);
/// Buyers have a key and no name.
pub const BUYER: Who = Who {
    seed: 101,
    party: 0,
};
pub const BUYER_2: Who = Who {
    seed: 102,
    party: 0,
};

impl Who {
    /// The same party with another key.
    pub const fn key(self, seed: u8) -> Self {
        Self { seed, ..self }
    }

    pub fn signer(self) -> Signer {
        Signer::from_seed(&Zeroizing::new([self.seed; 32]))
    }

    pub fn key_id(self) -> KeyId {
        self.signer().key_id()
    }

    pub fn public(self) -> wire::PublicKey {
        wire::PublicKey {
            suite: 1,
            public_key: self.signer().public_key().as_bytes().to_vec(),
        }
    }

    pub fn party(self) -> PartyId {
        let body = 952_100_000_000 + u64::from(self.party);
        format!("gln:{body}{}", gs1_check_digit(body))
            .parse()
            .unwrap()
    }

    /// Proof that the private half of the key is there.
    pub fn possession(self) -> [u8; SIGNATURE_BYTES] {
        self.signer()
            .sign(&key_possession_pae(ORIGIN, &self.party().to_string()))
    }
}

/// The maker's item with a serial number.
pub fn item(serial: u32) -> UnitId {
    format!("01/09521141012345/21/{serial}").parse().unwrap()
}

/// An item of the maker's second product.
pub fn other_item(serial: u32) -> UnitId {
    let body = 952_114_101_235;
    format!("01/0{body}{}/21/{serial}", gs1_check_digit(body))
        .parse()
        .unwrap()
}

/// A logistic unit of the maker.
pub fn parcel(number: u32) -> UnitId {
    let body = 9_521_141 * 1_000_000_000 + u64::from(number);
    format!("00/0{body}{}", gs1_check_digit(body))
        .parse()
        .unwrap()
}

/// A parcel by the courier's number.
pub fn waybill(number: u32) -> UnitId {
    format!("waybill/abc:{number:08}").parse().unwrap()
}

/// A place by degrees.
pub fn at(latitude: i32, longitude: i32) -> Position {
    Position {
        latitude_e7: latitude * 10_000_000,
        longitude_e7: longitude * 10_000_000,
    }
}

/// A record that is being written.
#[derive(Clone, Debug)]
pub struct Draft {
    pub by: Who,
    pub record: wire::Record,
}

impl Draft {
    /// When it happened.
    pub fn on(mut self, event_time: u64) -> Self {
        self.record.claimed_time_ms = event_time;
        self
    }

    pub fn region(mut self, region: &str) -> Self {
        self.record.place.get_or_insert_default().region = region.into();
        self
    }

    pub fn position(mut self, position: Position) -> Self {
        self.record.place.get_or_insert_default().position = Some(wire::Position {
            latitude_e7: position.latitude_e7,
            longitude_e7: position.longitude_e7,
        });
        self
    }

    /// Names another `prev` for a unit.
    pub fn prev(mut self, id: UnitId, prev: Option<RecordId>) -> Self {
        let bytes = prev.map(|id| id.0.to_vec()).unwrap_or_default();
        for unit in self
            .record
            .units
            .iter_mut()
            .filter(|unit| unit.id == id.to_string())
        {
            unit.prev.clone_from(&bytes);
        }
        self
    }

    pub fn without_containers(mut self) -> Self {
        self.record.containers.clear();
        self
    }

    pub fn envelope(&self) -> Envelope {
        Envelope::sign(&self.record, &self.by.signer())
    }

    pub fn id(&self) -> RecordId {
        self.envelope().record_id()
    }

    pub fn encoded(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(&self.envelope().to_wire())
    }
}

/// Bodies of records, as short as the tests need them.
pub mod say {
    use super::{Body, UnitId, Who, wire};

    pub fn commission() -> Body {
        Body::Commission(wire::Commission::default())
    }

    pub fn commission_as(attributes: wire::Attributes) -> Body {
        Body::Commission(wire::Commission {
            attributes: Some(attributes),
            explains: Vec::new(),
        })
    }

    pub fn inspect() -> Body {
        let result = wire::InspectionResult::Pass.into();
        Body::Inspect(wire::Inspect {
            result,
            report: None,
        })
    }

    /// `World::draft` fills in the `prev`.
    pub fn pack(container: UnitId) -> Body {
        let container = Some(wire::UnitRef {
            id: container.to_string(),
            prev: Vec::new(),
        });
        Body::Pack(wire::Pack { container })
    }

    /// `World::draft` fills in the `prev`.
    pub fn unpack(container: UnitId) -> Body {
        let container = Some(wire::UnitRef {
            id: container.to_string(),
            prev: Vec::new(),
        });
        Body::Unpack(wire::Unpack { container })
    }

    pub fn handover(to: Who) -> Body {
        Body::Handover(wire::Handover {
            to: to.party().to_string(),
            ..Default::default()
        })
    }

    pub fn ship(to: Who, buyer: Who, weight_grams: u64, means: wire::Means) -> Body {
        let key = buyer.public();
        Body::Handover(wire::Handover {
            to: to.party().to_string(),
            buyer: Some(wire::BuyerKey {
                suite: key.suite,
                public_key: key.public_key,
            }),
            weight_grams,
            means: means.into(),
            destination: String::new(),
        })
    }

    pub fn send_to_market(to: Who, destination: &str) -> Body {
        let (to, destination) = (to.party().to_string(), destination.into());
        Body::Handover(wire::Handover {
            to,
            destination,
            ..Default::default()
        })
    }

    pub fn void() -> Body {
        Body::Void(wire::Void {})
    }

    pub fn accept() -> Body {
        Body::Accept(wire::Accept::default())
    }

    pub fn refuse() -> Body {
        Body::Refuse(wire::Refuse::default())
    }

    pub fn scan() -> Body {
        Body::Scan(wire::Scan::default())
    }

    pub fn deliver(buyer: Who) -> Body {
        Body::Deliver(wire::Deliver {
            buyer_key_id: buyer.key_id().0.to_vec(),
        })
    }

    pub fn sell_over_the_counter() -> Body {
        Body::Deliver(wire::Deliver::default())
    }

    pub fn confirm(contents: &[UnitId]) -> Body {
        Body::Confirm(wire::Confirm {
            contents: contents.iter().map(ToString::to_string).collect(),
        })
    }

    pub fn reject() -> Body {
        Body::Reject(wire::Reject::default())
    }

    pub fn take_back() -> Body {
        Body::Return(wire::Return::default())
    }

    pub fn transform(outputs: &[UnitId], attributes: wire::Attributes) -> Body {
        Body::Transform(wire::Transform {
            outputs: outputs.iter().map(ToString::to_string).collect(),
            attributes: Some(attributes),
        })
    }

    pub fn hold() -> Body {
        Body::Hold(wire::Hold::default())
    }

    pub fn release() -> Body {
        Body::Release(wire::Release::default())
    }

    pub fn recall() -> Body {
        Body::Recall(wire::Recall::default())
    }

    pub fn lot(lot: &str) -> wire::Scope {
        let lot = wire::LotScope {
            product: "09521141012345".into(),
            lot: lot.into(),
        };
        wire::Scope {
            scope: Some(wire::scope::Scope::Lot(lot)),
        }
    }

    pub fn product() -> wire::Scope {
        wire::Scope {
            scope: Some(wire::scope::Scope::Product("09521141012345".into())),
        }
    }

    pub fn destroy() -> Body {
        Body::Destroy(wire::Destroy::default())
    }

    pub fn correct(record: crate::core::envelope::RecordId) -> Body {
        Body::Correct(wire::Correct {
            record_id: record.0.to_vec(),
            reason: "mis-scan".into(),
        })
    }

    pub fn content(milli: u64) -> wire::Attributes {
        let content = Some(wire::Quantity {
            milli,
            unit_of_measure: "KGM".into(),
        });
        wire::Attributes {
            content,
            ..Default::default()
        }
    }
}

/// A finding as the views tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub index: LogIndex,
    pub evidence: Vec<LogIndex>,
    pub measured: i64,
    pub limit: i64,
}

/// The digest of some document.
pub fn some_digest() -> wire::Digest {
    wire::Digest {
        algorithm: wire::DigestAlgorithm::Sha256.into(),
        value: vec![7; 32],
    }
}

/// A ledger in memory.
#[derive(Clone)]
pub struct World {
    pub state: Changes,
    /// Index of the next entry.
    pub next: u64,
    /// The ledger's time. It goes on by a minute after every entry.
    pub now: u64,
    /// Every entry: envelope, time, verdict.
    pub log: Vec<(Envelope, u64, wire::Verdict)>,
    logged: Vec<(LogIndex, RecordId, Record)>,
    nonce: u64,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Before the genesis record.
    pub fn empty() -> Self {
        Self {
            state: Changes::default(),
            next: 0,
            now: BEGIN,
            log: Vec::new(),
            logged: Vec::new(),
            nonce: 0,
        }
    }

    /// With the regulator alone.
    pub fn founded() -> Self {
        let mut world = Self::empty();
        world.logged(&world.genesis(Thresholds::default()));
        world
    }

    /// With everybody but the newcomer registered and approved.
    pub fn new() -> Self {
        let mut world = Self::founded();
        let parties: [(Who, &[Role]); 8] = [
            (MAKER, &[Role::Maker]),
            (RIVAL, &[Role::Maker]),
            (DISTRIBUTOR, &[Role::Distributor]),
            (COURIER, &[Role::Courier]),
            (COURIER_2, &[Role::Courier]),
            (SELLER, &[Role::Seller]),
            (INSPECTOR, &[Role::Inspector]),
            (BANK, &[Role::Bank]),
        ];
        for (who, roles) in parties {
            world.logged(&world.register(who, roles));
            world.logged(&world.approve(REGULATOR, who, roles));
        }
        world.owns(
            MAKER,
            wire::product_scope::Scope::CompanyPrefix("9521141".into()),
        );
        world.owns(
            RIVAL,
            wire::product_scope::Scope::CompanyPrefix("9521999".into()),
        );
        world.owns(COURIER, wire::product_scope::Scope::Carrier("abc".into()));
        world
    }

    pub fn genesis(&self, thresholds: Thresholds) -> Draft {
        self.govern(
            REGULATOR,
            Body::Genesis(wire::Genesis {
                regulator_keys: vec![REGULATOR.public()],
                regulator: REGULATOR.party().to_string(),
                regulator_name: "Market Regulation Fujian".into(),
                thresholds: Some(thresholds.into()),
                log_key: "ledger.test/fj+00000000+AA==".into(),
            }),
        )
    }

    pub fn register(&self, who: Who, roles: &[Role]) -> Draft {
        self.govern(
            who,
            Body::RegisterParty(wire::RegisterParty {
                party: who.party().to_string(),
                name: format!("Company {}", who.party),
                roles: roles.iter().map(|role| role.number()).collect(),
                key: Some(who.public()),
                ..Default::default()
            }),
        )
    }

    pub fn approve(&self, by: Who, who: Who, roles: &[Role]) -> Draft {
        let (party, roles) = (
            who.party().to_string(),
            roles.iter().map(|r| r.number()).collect(),
        );
        self.govern(
            by,
            Body::ApproveParty(wire::ApproveParty {
                party,
                roles,
                ..Default::default()
            }),
        )
    }

    /// Claims and approves identifiers.
    pub fn owns(&mut self, who: Who, scope: wire::product_scope::Scope) {
        let scope = Some(wire::ProductScope { scope: Some(scope) });
        let claim = wire::ClaimProduct {
            scope: scope.clone(),
            name: "goods".into(),
        };
        self.logged(&self.govern(who, Body::ClaimProduct(claim)));
        let approval = wire::ApproveProduct {
            scope,
            party: who.party().to_string(),
        };
        self.logged(&self.govern(REGULATOR, Body::ApproveProduct(approval)));
    }

    /// Delegates to the key of `device`.
    pub fn delegate(&self, by: Who, device: Who, from: u64, until: u64) -> Draft {
        self.govern(
            by,
            Body::Delegate(wire::Delegate {
                key: Some(device.public()),
                valid_from_ms: from,
                valid_until_ms: until,
                possession: device.possession().to_vec(),
            }),
        )
    }

    pub fn rotate(&self, by: Who, new: Who) -> Draft {
        let (key, possession) = (Some(new.public()), new.possession().to_vec());
        self.govern(by, Body::RotateKey(wire::RotateKey { key, possession }))
    }

    pub fn revoke(
        &self,
        by: Who,
        key: Who,
        reason: wire::RevocationReason,
        since_ms: u64,
    ) -> Draft {
        let (key_id, reason) = (key.key_id().0.to_vec(), reason.into());
        self.govern(
            by,
            Body::RevokeKey(wire::RevokeKey {
                key_id,
                reason,
                since_ms,
            }),
        )
    }

    pub fn decide(
        &self,
        by: Who,
        at: LogIndex,
        kind: FindingKind,
        unit: UnitId,
        decision: wire::Decision,
    ) -> Draft {
        self.govern(
            by,
            Body::DecideFinding(wire::DecideFinding {
                log_index: at.0,
                kind: kind.number().into(),
                unit: unit.to_string(),
                decision: decision.into(),
                reason: "looked into".into(),
                document: String::new(),
            }),
        )
    }

    pub fn report(&self, by: Who, first: &Draft, second: &Draft) -> Draft {
        let (first, second) = (first.encoded(), second.encoded());
        self.govern(
            by,
            Body::ReportEquivocation(wire::ReportEquivocation { first, second }),
        )
    }

    /// The buyer gives units back to a taker, who signs the Return.
    pub fn return_with_consent(&self, by: Who, units: &[UnitId], consent: &Consent) -> Draft {
        let consented = wire::ReturnConsent {
            origin: consent.origin.into(),
            to: consent.to.party().to_string(),
            units: units.iter().map(|id| self.named(*id)).collect(),
        };
        let encoded = prost::Message::encode_to_vec(&consented);
        let signature = consent
            .signed_by
            .signer()
            .sign(&pae(RETURN_CONSENT_TYPE, &encoded));
        let body = wire::Return {
            consent: encoded,
            consent_signature: signature.to_vec(),
        };
        self.draft(by, units, Body::Return(body))
    }

    /// Proposes to list a party, tells it, and hears nothing for as long as it may speak. On the black
    /// list unless it has no severity.
    pub fn propose(&mut self, who: Who, severity: Option<wire::CreditSeverity>) -> LogIndex {
        let list = severity.map_or(wire::ListKind::Red, |_| wire::ListKind::Black);
        let minor = severity == Some(wire::CreditSeverity::Minor);
        let proposal = wire::ProposeListing {
            list: list.into(),
            subject: who.party().to_string(),
            severity: severity.unwrap_or_default().into(),
            reason: if minor { "" } else { "sold copies" }.into(),
            reason_commitment: minor.then(some_digest),
            legal_basis: "E-Commerce Law, art. 84".into(),
            document: "MR-2026-17".into(),
            evidence: Vec::new(),
        };
        self.clean(&self.govern(REGULATOR, Body::ProposeListing(proposal)))
    }

    /// The party of a black listing is told, and its days for a statement pass.
    pub fn hear(&mut self, listing: LogIndex) {
        let notice = wire::NotifyListing {
            listing: listing.0,
            document: "MR-2026-18".into(),
            notice: Some(some_digest()),
        };
        self.clean(&self.govern(REGULATOR, Body::NotifyListing(notice)));
        self.now += 6 * DAY;
    }

    /// The decision to list.
    pub fn decide_listing(
        &self,
        listing: LogIndex,
        severity: Option<wire::CreditSeverity>,
        months: u32,
    ) -> Draft {
        let decision = wire::DecideListing {
            listing: listing.0,
            decision: wire::ListingDecision::List.into(),
            severity: severity.unwrap_or_default().into(),
            months,
            legal_basis: "E-Commerce Law, art. 84".into(),
            document: "MR-2026-19".into(),
        };
        self.govern(REGULATOR, Body::DecideListing(decision))
    }

    /// Puts a party on the black list, by the whole process.
    pub fn blacklist(&mut self, who: Who, severity: wire::CreditSeverity, months: u32) -> LogIndex {
        let listing = self.propose(who, Some(severity));
        self.hear(listing);
        self.clean(&self.decide_listing(listing, Some(severity), months));
        if severity != wire::CreditSeverity::Minor {
            self.publish(listing);
        }
        listing
    }

    pub fn publish(&mut self, listing: LogIndex) -> LogIndex {
        let listing = listing.0;
        self.clean(&self.govern(
            REGULATOR,
            Body::PublishListing(wire::PublishListing { listing }),
        ))
    }

    /// A record that names no units.
    pub fn govern(&self, by: Who, body: Body) -> Draft {
        self.draft(by, &[], body)
    }

    /// A record as an honest client would write it now: with every head, every container.
    pub fn draft(&self, by: Who, units: &[UnitId], mut body: Body) -> Draft {
        let mut named: BTreeSet<UnitId> = units.iter().copied().collect();
        let commissions = matches!(body, Body::Commission(_));
        let container = match &mut body {
            Body::Pack(wire::Pack { container }) | Body::Unpack(wire::Unpack { container }) => {
                container.as_mut()
            }
            _ => None,
        };
        let mut within: Vec<UnitId> = units.to_vec();
        if let Some(container) = container {
            let id = container.id.parse().unwrap();
            *container = self.named(id);
            named.insert(id);
            within.push(id);
        }
        let mut containers = Vec::new();
        for id in within {
            for (outer, _) in around_of(&self.state, &self.unit(id)).unwrap() {
                if named.insert(outer) {
                    containers.push(self.named(outer));
                }
            }
        }
        let bare = |id: &UnitId| wire::UnitRef {
            id: id.to_string(),
            prev: Vec::new(),
        };
        Draft {
            by,
            record: wire::Record {
                format: 1,
                origin: ORIGIN.into(),
                suite: 1,
                key_id: by.key_id().0.to_vec(),
                nonce: (u128::from(by.seed) << 64 | u128::from(self.nonce))
                    .to_be_bytes()
                    .to_vec(),
                claimed_time_ms: self.now,
                clock_offset_ms: 0,
                place: None,
                units: units
                    .iter()
                    .map(|id| {
                        if commissions {
                            bare(id)
                        } else {
                            self.named(*id)
                        }
                    })
                    .collect(),
                containers,
                context: None,
                body: Some(body),
            },
        }
    }

    fn named(&self, id: UnitId) -> wire::UnitRef {
        let prev = self
            .head(id)
            .map(|head| head.0.to_vec())
            .unwrap_or_default();
        wire::UnitRef {
            id: id.to_string(),
            prev,
        }
    }

    /// Applies a draft at the next place of the order.
    pub fn submit(&mut self, draft: &Draft) -> Result<Applied, Refusal> {
        self.nonce += 1;
        let envelope = draft.envelope();
        let record = Record::decode(&envelope.payload)?;
        let id = envelope.record_id();
        let (index, time) = (LogIndex(self.next), Millis(self.now));
        let placed = Placed {
            index,
            time,
            id,
            record: &record,
        };
        let applied = match super::apply(&self.state, placed, Focus::All) {
            Ok(applied) => applied,
            Err(ApplyError::Drop(refusal)) => return Err(*refusal),
            Err(ApplyError::Known(at)) => {
                let message = format!("in the log as entry {at}");
                return Err(Refusal::new(Reason::AlreadyExists, message));
            }
            Err(ApplyError::Read(error)) => panic!("memory failed: {error}"),
        };
        assert!(encode_entry(&envelope, time, &applied.verdict).len() <= 65_535);
        let before = std::mem::take(&mut self.state);
        self.state.merge(before.clone());
        self.state.merge(applied.changes.clone());
        assert_chains_advance(&before, &self.state, &record, id, &applied.verdict);
        assert_invariants(&self.state);
        self.log.push((envelope, self.now, applied.verdict.clone()));
        self.logged.push((index, id, record));
        self.next += 1;
        self.now += MINUTE;
        self.assert_all_known();
        Ok(applied)
    }

    /// Whatever came since, each record that was logged is known when it is sent again (I6).
    fn assert_all_known(&self) {
        for (index, id, record) in &self.logged {
            let placed = Placed {
                index: LogIndex(self.next),
                time: Millis(self.now),
                id: *id,
                record,
            };
            match super::apply(&self.state, placed, Focus::All) {
                Err(ApplyError::Known(at)) => assert_eq!(at, *index),
                other => panic!("entry {index} was sent again: {other:?}"),
            }
        }
    }

    /// Submits what must be logged, whatever is found.
    pub fn logged(&mut self, draft: &Draft) -> LogIndex {
        let index = LogIndex(self.next);
        self.submit(draft)
            .unwrap_or_else(|refusal| panic!("refused: {refusal}"));
        index
    }

    /// Submits what must be logged without a finding, at every unit in its chain.
    #[track_caller]
    pub fn clean(&mut self, draft: &Draft) -> LogIndex {
        let index = LogIndex(self.next);
        let applied = self
            .submit(draft)
            .unwrap_or_else(|refusal| panic!("refused: {refusal}"));
        assert_eq!(applied.verdict, wire::Verdict::default(), "a clean verdict");
        index
    }

    /// Writes and submits what must be clean.
    #[track_caller]
    pub fn ok(&mut self, by: Who, units: &[UnitId], body: Body) -> LogIndex {
        self.clean(&self.draft(by, units, body))
    }

    /// Submits what must be refused, and gives the reason.
    #[track_caller]
    pub fn refused(&mut self, draft: &Draft) -> Reason {
        self.submit(draft).expect_err("a refusal").reason
    }

    /// Submits what must break one custody rule at its one unit: it stands beside the chain, and
    /// nothing moves.
    #[track_caller]
    pub fn beside(&mut self, draft: &Draft, kind: FindingKind) -> Found {
        let ids = subjects(draft);
        let before: Vec<Unit> = ids.iter().map(|id| self.unit(*id)).collect();
        let (found, verdict) = self.only_finding(draft, kind);
        assert!(
            ranges_cover(&verdict.beside, verdict.findings[0].subjects[0]),
            "it stands beside"
        );
        for (id, before) in ids.iter().zip(before) {
            let after = Unit {
                findings: before.findings.clone(),
                touched: before.touched,
                besides: before.besides,
                ..self.unit(*id)
            };
            assert_eq!(
                after, before,
                "a record beside the chain moves nothing at {id}"
            );
        }
        found
    }

    /// Submits what must break one plausibility rule: it joins the chain, flagged.
    #[track_caller]
    pub fn flagged(&mut self, draft: &Draft, kind: FindingKind) -> Found {
        let (found, verdict) = self.only_finding(draft, kind);
        assert!(verdict.beside.is_empty(), "it joins");
        for id in subjects(draft) {
            assert_eq!(self.head(id), Some(draft.id()), "it is the head of {id}");
        }
        found
    }

    #[track_caller]
    fn only_finding(&mut self, draft: &Draft, kind: FindingKind) -> (Found, wire::Verdict) {
        let index = LogIndex(self.next);
        let applied = self
            .submit(draft)
            .unwrap_or_else(|refusal| panic!("refused: {refusal}"));
        let [finding] = applied.verdict.findings.as_slice() else {
            panic!("one finding, not {:?}", applied.verdict.findings);
        };
        assert_eq!(FindingKind::from_number(finding.kind), Some(kind));
        let found = Found {
            index,
            evidence: finding.evidence.iter().copied().map(LogIndex).collect(),
            measured: finding.measured,
            limit: finding.limit,
        };
        (found, applied.verdict)
    }

    /// Hands units over, and has them accepted; gives both entries.
    #[track_caller]
    pub fn pass(&mut self, units: &[UnitId], from: Who, to: Who) -> (LogIndex, LogIndex) {
        (
            self.ok(from, units, say::handover(to)),
            self.ok(to, units, say::accept()),
        )
    }

    /// Brings what the maker holds to a buyer, through seller and courier; gives the Deliver.
    #[track_caller]
    pub fn sold(&mut self, unit: UnitId, buyer: Who) -> LogIndex {
        self.pass(&[unit], MAKER, SELLER);
        self.ok(
            SELLER,
            &[unit],
            say::ship(COURIER, buyer, 500, wire::Means::Road),
        );
        self.ok(COURIER, &[unit], say::accept());
        self.ok(COURIER, &[unit], say::scan());
        self.ok(COURIER, &[unit], say::deliver(buyer))
    }

    pub fn unit(&self, id: UnitId) -> Unit {
        let unit = self.state.get::<Units>(&id).unwrap().unwrap_or_default();
        Unit::clone(&unit)
    }

    pub fn head(&self, id: UnitId) -> Option<RecordId> {
        self.unit(id).head
    }

    pub fn holder(&self, id: UnitId) -> Option<PartyId> {
        let unit = self.unit(id);
        around_of(&self.state, &unit)
            .unwrap()
            .last()
            .map_or(unit.holder, |(_, o)| o.holder)
    }

    /// The unit's findings in the order of the log: which rule, and whether the record that broke
    /// it joined the chain.
    pub fn findings(&self, id: UnitId) -> Vec<(FindingKind, bool)> {
        let findings = self.state.findings.in_order().map(|(_, row)| row);
        let of_unit = findings.filter(|row| row.unit == Some(id));
        let joined = |index| {
            self.state
                .history
                .get(index, &id)
                .is_some_and(|row| row.joined)
        };
        of_unit.map(|row| (row.kind, joined(row.index))).collect()
    }

    pub fn standing(&self, id: UnitId) -> Standing {
        standing(&self.state, id).unwrap()
    }

    pub fn word(&self, id: UnitId) -> StandingWord {
        self.standing(id).word
    }
}

/// What a buyer signs when goods go back.
pub struct Consent {
    pub origin: &'static str,
    pub to: Who,
    pub signed_by: Who,
}

fn subjects(draft: &Draft) -> Vec<UnitId> {
    Record::decode(&draft.envelope().payload)
        .map(|r| r.subjects())
        .unwrap_or_default()
}

/// A record that joins names the head as its `prev` and is the next head; one beside the chain
/// leaves it.
fn assert_chains_advance(
    before: &Changes,
    after: &Changes,
    record: &Record,
    id: RecordId,
    verdict: &wire::Verdict,
) {
    if !record.kind().is_custody() {
        return;
    }
    let unit = |views: &Changes, id: &UnitId| views.get::<Units>(id).unwrap().unwrap_or_default();
    let named: BTreeMap<UnitId, Option<RecordId>> = record
        .units
        .iter()
        .chain(match &record.body {
            crate::core::record::Body::Pack { container }
            | crate::core::record::Body::Unpack { container } => Some(container),
            _ => None,
        })
        .map(|unit| (unit.id, unit.prev))
        .collect();
    for (number, subject) in (0u32..).zip(record.subjects()) {
        let (was, is) = (unit(before, &subject), unit(after, &subject));
        if ranges_cover(&verdict.beside, number) {
            assert_eq!(
                (was.head, was.holder, was.length),
                (is.head, is.holder, is.length)
            );
            continue;
        }
        assert_eq!(
            named.get(&subject).copied().flatten(),
            was.head,
            "prev of {subject}"
        );
        assert_eq!(is.head, Some(id), "head of {subject}");
        let begins = record.kind() == Kind::Commission || !named.contains_key(&subject);
        assert_eq!(is.length, if begins { 1 } else { was.length + 1 });
    }
}

/// What holds of the views after every entry.
pub fn assert_invariants(state: &Changes) {
    let mut inside: BTreeMap<UnitId, u64> = BTreeMap::new();
    for (id, unit) in state.units.iter() {
        if let Some(container) = unit.container {
            *inside.entry(container).or_default() += 1;
        }
        let mut outer = unit.container;
        for depth in 0.. {
            let Some(container) = outer else { break };
            assert!(
                depth < MAX_NESTING,
                "{id} is nested too deep, or inside itself"
            );
            outer = state.units[&container].container;
        }
        assert_eq!(
            unit.holder.is_some(),
            matches!(unit.life, Life::Active | Life::Ended),
            "{id}"
        );
        let open = unit
            .tenures
            .iter()
            .filter(|tenure| tenure.until.is_none())
            .count();
        assert_eq!(
            open,
            usize::from(unit.life == Life::Active),
            "tenures of {id}"
        );
        if unit.life == Life::Active {
            assert_eq!(
                unit.tenures.last().map(|tenure| tenure.party),
                unit.holder,
                "{id}"
            );
        }
        assert_eq!(unit.head.is_some(), unit.length > 0, "{id}");
    }
    for (id, unit) in state.units.iter() {
        assert_eq!(
            unit.contents,
            inside.get(id).copied().unwrap_or(0),
            "contents of {id}"
        );
    }
    for (id, unit) in state.units.iter() {
        let rows: Vec<_> = state
            .history
            .iter()
            .filter(|(_, of, _)| *of == id)
            .collect();
        let mut touched = unit.touched;
        for (index, _, row) in rows.iter().rev() {
            assert_eq!(touched, Some(*index), "the history of {id} is a list");
            touched = row.before;
        }
        assert_eq!(touched, None, "the list of {id} has an end");
        let beside = rows.iter().filter(|(.., row)| !row.joined).count();
        assert_eq!(unit.besides, beside as u64, "{id}");
    }
    let tally = state.get::<Tallies>(&()).unwrap().unwrap_or_default();
    assert_eq!(tally.findings, state.findings.len() as u64);
    let by_kind = tally.findings_by_kind().map(|(_, count)| count);
    assert_eq!(tally.findings, by_kind.sum::<u64>());
}
