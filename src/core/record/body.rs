//! What a record says, by kind, checked.

use serde::{Deserialize, Serialize};

use super::UnitRef;
use super::access::AccessBody;
use super::case::CaseBody;
use super::claim::ClaimBody;
use super::credit::CreditBody;
use super::inspection::InspectionBody;
use super::measure::MeasureBody;
use super::values::{CalendarDate, GoodsId, Millis, Region};
use crate::core::credit::{AlertAnswer, AlertId};
use crate::core::envelope::RecordId;
use crate::core::id::{CompanyPrefix, DrugId, Gtin14, Lot, PartyId, UnitId};
use crate::core::rules::FindingKind;
use crate::core::signature::{KeyId, PublicKey, SIGNATURE_BYTES};
use crate::core::tlog::LogIndex;

/// The kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the same words as in the proto, which explains each
pub enum Kind {
    Commission,
    Inspect,
    Pack,
    Unpack,
    Handover,
    Void,
    Accept,
    Refuse,
    Scan,
    Deliver,
    Confirm,
    Reject,
    Return,
    Transform,
    Hold,
    Release,
    Recall,
    Destroy,
    Correct,
    Genesis,
    RegisterParty,
    ApproveParty,
    SuspendParty,
    AddKey,
    RotateKey,
    RevokeKey,
    Delegate,
    ClaimProduct,
    ApproveProduct,
    SetThresholds,
    DecideFinding,
    ReportEquivocation,
    MakeCommitment,
    RecordBreach,
    AddCreditRecord,
    SetCreditPolicy,
    ProposeListing,
    NotifyListing,
    SubmitStatement,
    DecideListing,
    PublishListing,
    ObjectToListing,
    AnswerObjection,
    RequestRepair,
    DecideRepair,
    EndListing,
    ReportUnit,
    OpenClaim,
    DecideClaim,
    RecordPayout,
    RecordRecovery,
    AttestBuyerKey,
    ReviewUnit,
    ObjectToDeduction,
    AnswerDeduction,
    OpenCase,
    AddToCase,
    ReferCase,
    CloseCase,
    AnswerAlert,
    AttachMeasure,
    EndMeasure,
    ReportMeasureApplied,
    AnnounceInspections,
    DrawInspections,
    RecordInspection,
    OpenFile,
    AuthoriseView,
}

impl Kind {
    /// Whether it is a custody record; the others are governance records.
    #[must_use]
    pub const fn is_custody(self) -> bool {
        (self as u8) <= (Self::Correct as u8)
    }

    /// What a party whose approval has ended may still do: pass on what it holds, stop goods that are
    /// not safe, and look after its keys. It takes nothing new.
    #[must_use]
    pub const fn winds_up(self) -> bool {
        matches!(
            self,
            Self::Pack
                | Self::Unpack
                | Self::Handover
                | Self::Void
                | Self::Refuse
                | Self::Scan
                | Self::Deliver
                | Self::Destroy
                | Self::Hold
                | Self::Release
                | Self::Recall
                | Self::Correct
                | Self::RotateKey
                | Self::RevokeKey
                | Self::DecideFinding
                | Self::ReportEquivocation
        )
    }

    /// What a party may do in its own defence, even while it is suspended.
    #[must_use]
    pub const fn is_defence(self) -> bool {
        matches!(
            self,
            Self::MakeCommitment
                | Self::SubmitStatement
                | Self::ObjectToListing
                | Self::RequestRepair
                | Self::ObjectToDeduction
                | Self::AuthoriseView
        )
    }

    /// What a buyer's key may sign of governance.
    #[must_use]
    pub const fn is_consumers(self) -> bool {
        matches!(self, Self::ReportUnit | Self::OpenClaim | Self::ReviewUnit)
    }

    /// Whether its place is where the goods were; a recall or a confirmation may come from afar.
    #[must_use]
    pub const fn is_physical(self) -> bool {
        self.is_custody()
            && !matches!(
                self,
                Self::Hold
                    | Self::Release
                    | Self::Recall
                    | Self::Correct
                    | Self::Confirm
                    | Self::Reject
                    | Self::Void
            )
    }

    /// The name of the field in the proto.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Commission => "commission",
            Self::Inspect => "inspect",
            Self::Pack => "pack",
            Self::Unpack => "unpack",
            Self::Handover => "handover",
            Self::Void => "void",
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Scan => "scan",
            Self::Deliver => "deliver",
            Self::Confirm => "confirm",
            Self::Reject => "reject",
            Self::Return => "return",
            Self::Transform => "transform",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Recall => "recall",
            Self::Destroy => "destroy",
            Self::Correct => "correct",
            Self::Genesis => "genesis",
            Self::RegisterParty => "register_party",
            Self::ApproveParty => "approve_party",
            Self::SuspendParty => "suspend_party",
            Self::AddKey => "add_key",
            Self::RotateKey => "rotate_key",
            Self::RevokeKey => "revoke_key",
            Self::Delegate => "delegate",
            Self::ClaimProduct => "claim_product",
            Self::ApproveProduct => "approve_product",
            Self::SetThresholds => "set_thresholds",
            Self::DecideFinding => "decide_finding",
            Self::ReportEquivocation => "report_equivocation",
            Self::MakeCommitment => "make_commitment",
            Self::RecordBreach => "record_breach",
            Self::AddCreditRecord => "add_credit_record",
            Self::SetCreditPolicy => "set_credit_policy",
            Self::ProposeListing => "propose_listing",
            Self::NotifyListing => "notify_listing",
            Self::SubmitStatement => "submit_statement",
            Self::DecideListing => "decide_listing",
            Self::PublishListing => "publish_listing",
            Self::ObjectToListing => "object_to_listing",
            Self::AnswerObjection => "answer_objection",
            Self::RequestRepair => "request_repair",
            Self::DecideRepair => "decide_repair",
            Self::EndListing => "end_listing",
            Self::ReportUnit => "report_unit",
            Self::OpenClaim => "open_claim",
            Self::DecideClaim => "decide_claim",
            Self::RecordPayout => "record_payout",
            Self::RecordRecovery => "record_recovery",
            Self::AttestBuyerKey => "attest_buyer_key",
            Self::ReviewUnit => "review_unit",
            Self::ObjectToDeduction => "object_to_deduction",
            Self::AnswerDeduction => "answer_deduction",
            Self::OpenCase => "open_case",
            Self::AddToCase => "add_to_case",
            Self::ReferCase => "refer_case",
            Self::CloseCase => "close_case",
            Self::AnswerAlert => "answer_alert",
            Self::AttachMeasure => "attach_measure",
            Self::EndMeasure => "end_measure",
            Self::ReportMeasureApplied => "report_measure_applied",
            Self::AnnounceInspections => "announce_inspections",
            Self::DrawInspections => "draw_inspections",
            Self::RecordInspection => "record_inspection",
            Self::OpenFile => "open_file",
            Self::AuthoriseView => "authorise_view",
        }
    }
}

/// What is true of every unit that a record creates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Batch or lot.
    pub lot: Option<Lot>,
    /// Last day of use.
    pub expiry: Option<CalendarDate>,
    /// Markets that the goods are for; empty is any.
    pub markets: Vec<Region>,
    /// Units that the lot is declared to have.
    pub lot_size: Option<u64>,
    /// Content of one unit.
    pub content: Option<Quantity>,
}

/// An amount in thousandths of a unit of measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity {
    /// Thousandths.
    pub milli: u64,
    /// UN/ECE Recommendation 20 code.
    pub unit_of_measure: String,
}

/// How goods travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto
pub enum Means {
    Unspecified,
    Road,
    Rail,
    Air,
    Water,
    InPerson,
}

/// An offer of custody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// To whom.
    pub to: PartyId,
    /// For whom in the end.
    pub buyer: Option<PublicKey>,
    /// 0 is undeclared.
    pub weight_grams: u64,
    /// How it travels.
    pub means: Means,
    /// Where it is meant to go.
    pub destination: Option<Region>,
}

/// A buyer's consent to a return, and its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnConsent {
    /// What was signed, as it was.
    pub signed: Vec<u8>,
    /// By the buyer key.
    pub signature: [u8; SIGNATURE_BYTES],
    /// Who takes the units.
    pub to: PartyId,
    /// Which units, with the heads that the buyer saw.
    pub units: Vec<UnitRef>,
}

/// What a hold, release or recall is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The units of the record.
    Units,
    /// A lot or a product.
    Goods(GoodsId),
}

/// Numbers that the rules use; see the proto for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto, which explains each
pub struct Thresholds {
    pub future_tolerance_ms: u64,
    pub reversal_tolerance_ms: u64,
    pub max_speed_kmh: u32,
    pub min_travel_km: u32,
    pub min_delivery_ms: u64,
    pub inflation_per_mille: u32,
    pub late_upload_ms: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            future_tolerance_ms: 600_000,
            reversal_tolerance_ms: 600_000,
            max_speed_kmh: 1_000,
            min_travel_km: 20,
            min_delivery_ms: 1_200_000,
            inflation_per_mille: 0,
            late_upload_ms: 604_800_000,
        }
    }
}

/// What a party is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto
pub enum Role {
    Maker,
    Distributor,
    Seller,
    Courier,
    Inspector,
    Regulator,
    Platform,
    Bank,
    Fund,
    Auditor,
}

impl Role {
    /// Whether it trades goods; the others are offices and services.
    #[must_use]
    pub const fn is_trade(self) -> bool {
        matches!(
            self,
            Self::Maker | Self::Distributor | Self::Seller | Self::Courier
        )
    }
}

/// Which identifiers a party gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProductScope {
    /// One GTIN.
    Gtin(Gtin14),
    /// Every GTIN, SSCC and GLN under a GS1 company prefix.
    CompanyPrefix(CompanyPrefix),
    /// Waybill numbers of a carrier.
    Carrier(crate::core::id::Carrier),
    /// Drug codes with this identification code.
    Drug(DrugId),
}

impl std::fmt::Display for ProductScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gtin(gtin) => write!(f, "GTIN {gtin}"),
            Self::CompanyPrefix(prefix) => write!(f, "GS1 company prefix {prefix}"),
            Self::Carrier(carrier) => write!(f, "waybills of {carrier}"),
            Self::Drug(drug) => write!(f, "drug {drug}"),
        }
    }
}

/// Why a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevocationReason {
    /// Somebody else may have had it, since when.
    Compromised(Millis),
    /// Another key took its place.
    Superseded,
    /// Its use has ended.
    Cessation,
}

/// What becomes of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It is a break.
    Confirmed,
    /// It is none.
    Dismissed,
}

/// A key that is to be registered, with the proof that its private half is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub key: PublicKey,
    /// First moment of its use.
    pub valid_from: Millis,
    /// Last moment; none is without end.
    pub valid_until: Option<Millis>,
    /// The key's signature over [`key_possession_pae`](crate::core::envelope::key_possession_pae).
    pub possession: [u8; SIGNATURE_BYTES],
}

/// A party that asks to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterParty {
    /// Who.
    pub party: PartyId,
    /// Empty for a sole trader.
    pub name: String,
    /// What it says it is.
    pub roles: Vec<Role>,
    /// Where.
    pub region: Option<Region>,
    /// Where, for people.
    pub city: String,
    /// Its first key, which signs this record.
    pub key: PublicKey,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same words as in the proto, which explains each
pub enum Body {
    Commission {
        attributes: Attributes,
        explains: Vec<LogIndex>,
    },
    Inspect {
        passed: bool,
    },
    Pack {
        container: UnitRef,
    },
    Unpack {
        container: UnitRef,
    },
    Handover(Handover),
    Void,
    Accept {
        weight_grams: u64,
        /// Whether all three checks at collection are recorded.
        checked: bool,
    },
    Refuse,
    Scan {
        weight_grams: u64,
    },
    Deliver {
        buyer: Option<KeyId>,
    },
    Confirm {
        contents: Vec<UnitId>,
    },
    Reject,
    Return {
        consent: Option<ReturnConsent>,
    },
    Transform {
        outputs: Vec<UnitId>,
        attributes: Attributes,
    },
    Hold(Scope),
    Release(Scope),
    Recall(Scope),
    Destroy,
    Correct {
        record: RecordId,
    },
    Genesis {
        regulator_keys: Vec<PublicKey>,
        regulator: PartyId,
        regulator_name: String,
        thresholds: Thresholds,
    },
    RegisterParty(RegisterParty),
    ApproveParty {
        party: PartyId,
        roles: Vec<Role>,
        valid_until: Option<Millis>,
        registration: Option<LogIndex>,
    },
    SuspendParty {
        party: PartyId,
    },
    AddKey(NewKey),
    RotateKey {
        key: PublicKey,
        possession: [u8; SIGNATURE_BYTES],
    },
    RevokeKey {
        key_id: KeyId,
        reason: RevocationReason,
    },
    Delegate(NewKey),
    ClaimProduct {
        scope: ProductScope,
        name: String,
    },
    ApproveProduct {
        scope: ProductScope,
        party: PartyId,
    },
    SetThresholds(Thresholds),
    DecideFinding {
        index: LogIndex,
        kind: FindingKind,
        unit: UnitId,
        decision: Decision,
    },
    ReportEquivocation {
        first: Vec<u8>,
        second: Vec<u8>,
    },
    /// Credit supervision.
    Credit(CreditBody),
    /// Consumers.
    Claim(ClaimBody),
    /// Cases.
    Case(CaseBody),
    AnswerAlert {
        alert: AlertId,
        answer: AlertAnswer,
        reason: String,
    },
    /// What listings lead to.
    Measure(MeasureBody),
    /// Random inspections.
    Inspection(InspectionBody),
    /// Who may read what.
    Access(AccessBody),
}

impl Body {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Commission { .. } => Kind::Commission,
            Self::Inspect { .. } => Kind::Inspect,
            Self::Pack { .. } => Kind::Pack,
            Self::Unpack { .. } => Kind::Unpack,
            Self::Handover(_) => Kind::Handover,
            Self::Void => Kind::Void,
            Self::Accept { .. } => Kind::Accept,
            Self::Refuse => Kind::Refuse,
            Self::Scan { .. } => Kind::Scan,
            Self::Deliver { .. } => Kind::Deliver,
            Self::Confirm { .. } => Kind::Confirm,
            Self::Reject => Kind::Reject,
            Self::Return { .. } => Kind::Return,
            Self::Transform { .. } => Kind::Transform,
            Self::Hold(_) => Kind::Hold,
            Self::Release(_) => Kind::Release,
            Self::Recall(_) => Kind::Recall,
            Self::Destroy => Kind::Destroy,
            Self::Correct { .. } => Kind::Correct,
            Self::Genesis { .. } => Kind::Genesis,
            Self::RegisterParty(_) => Kind::RegisterParty,
            Self::ApproveParty { .. } => Kind::ApproveParty,
            Self::SuspendParty { .. } => Kind::SuspendParty,
            Self::AddKey(_) => Kind::AddKey,
            Self::RotateKey { .. } => Kind::RotateKey,
            Self::RevokeKey { .. } => Kind::RevokeKey,
            Self::Delegate(_) => Kind::Delegate,
            Self::ClaimProduct { .. } => Kind::ClaimProduct,
            Self::ApproveProduct { .. } => Kind::ApproveProduct,
            Self::SetThresholds(_) => Kind::SetThresholds,
            Self::DecideFinding { .. } => Kind::DecideFinding,
            Self::ReportEquivocation { .. } => Kind::ReportEquivocation,
            Self::Credit(body) => body.kind(),
            Self::Claim(body) => body.kind(),
            Self::Case(body) => body.kind(),
            Self::AnswerAlert { .. } => Kind::AnswerAlert,
            Self::Measure(body) => body.kind(),
            Self::Inspection(body) => body.kind(),
            Self::Access(body) => body.kind(),
        }
    }
}
