//! Credit supervision (信用监管): commitments, credit records, the red and black lists, admission.
//!
//! What the words mean and what may follow what, without storage, keys or a clock. Who may do it is
//! for `apply` to say.
//!
//! # Time
//!
//! Deadlines and terms run by the ledger's own time, the time of entries. A record is judged at the
//! time of its own entry, so a replay judges it alike. Nothing happens by itself: that a term has run
//! out, or a deadline has passed, is never written down but *read* off the row, by comparing it with
//! the time of the question ([`Listing::phase`]). So a list that nobody touches is still right at
//! every moment, and two nodes that hold the same entries give the same answer for the same moment.

pub mod access;
pub mod admission;
pub mod alert;
pub mod calendar;
mod case;
mod claim;
pub mod evidence;
pub mod export;
pub mod inspection;
mod listing;
pub mod measure;
mod policy;
pub mod score;
pub mod share;

use serde::{Deserialize, Serialize};

pub use alert::{AlertId, AlertLevel, Answered};
pub use case::{Case, CaseAct, CaseGrounds, CaseStep};
pub use claim::{Claim, ClaimDecision, Fund, Report, Reviews, STARS, Voice};
pub use listing::{Blacklisting, Decided, Ending, Listing, Phase, Redlisting, Request, Term};
pub use policy::CreditPolicy;

use crate::core::id::PartyId;
use crate::core::record::{CalendarDate, Millis};
use crate::core::refusal::{Reason, Refusal};
use crate::core::tlog::LogIndex;

/// The state doesn't allow it, now or any more.
fn not_now(message: &str) -> Refusal {
    Refusal::new(Reason::FailedPrecondition, message)
}

/// Most commitments of a party.
pub const MAX_COMMITMENTS: u32 = 256;
/// Most breaches that are recorded against one commitment.
pub const MAX_BREACHES: usize = 64;

/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

/// The commitment to a text that must stay erasable: SHA-256 over a random salt and the text. Without
/// the salt, nobody can find the text by guessing; with both, anybody can check what was meant.
#[must_use]
pub fn salted_commitment(salt: &[u8; SALT_BYTES], text: &str) -> [u8; 32] {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    hash.update(salt);
    hash.update(text.as_bytes());
    hash.finalize().into()
}

/// An entry, and when the ledger took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Which entry.
    pub index: LogIndex,
    /// The ledger's time.
    pub time: Millis,
}

macro_rules! numbered {
    ($($(#[$doc:meta])* $name:ident: $($word:ident $zh:literal),*;)*) => {
        $(
            $(#[$doc])*
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            )]
            #[allow(missing_docs)] // the words of the proto, which explains each
            pub enum $name {
                $($word,)*
            }

            impl $name {
                const ALL: &'static [Self] = &[$(Self::$word),*];

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

                /// For people in China.
                #[must_use]
                pub const fn label_zh(self) -> &'static str {
                    match self {
                        $(Self::$word => $zh,)*
                    }
                }
            }
        )*
    };
}

numbered! {
    /// What a commitment is for.
    CommitmentKind: Approval "审批替代型", Voluntary "主动型", Industry "行业自律型", Repair "信用修复型";
    /// What a credit record says.
    CreditRecordKind: Penalty "行政处罚", Award "表彰奖励", Inspection "监督检查",
        Judgement "司法裁判", Permit "行政许可", Other "其他";
    /// How serious.
    CreditSeverity: Minor "轻微", Ordinary "一般", Serious "严重";
    /// What is wrong with a unit.
    Complaint: Counterfeit "假冒", Tampered "掉包、破损", NotReceived "未收到", WrongGoods "货不对板",
        Other "其他";
    /// What a case is about.
    CaseKind: Counterfeit "假冒伪劣", FakeOrders "刷单炒信", Safety "产品安全", Delivery "寄递安全",
        Other "其他";
    /// How a case ends.
    CaseOutcome: NoViolation "不予处罚", Penalty "行政处罚", ToJustice "移送司法机关",
        Settled "调解、整改";
    /// What a signal says.
    SignalKind: HandoverNotAccepted "交接超时", AtRest "商品滞留", RateOfBreaks "异常率上升",
        CompromisedKey "密钥泄露", WeightlessDelivery "无重量签收", HastyDelivery "数分钟内签收",
        ClosedRing "疑似刷单", BulkLookUp "批量查询", LookedUpWidely "一码多地查询";
    /// What became of an alert.
    AlertAnswer: Acknowledged "已阅处理中", Dismissed "已排除", InCase "已立案";
    /// Which list.
    ListKind: Red "红名单", Black "黑名单";
    /// What platforms and banks are asked to do.
    MeasureKind: RankingPriority "搜索排名、流量优先", MarketingPriority "营销活动优先",
        MembershipLimit "限制会员等级", CertificationLoss "取消诚信认证", ShopBlocked "屏蔽店铺",
        ShopClosed "关闭店铺", InspectionRate "调整抽查比例", Financing "融资便利、限制融资";
    /// What a party did about a measure.
    MeasureAction: Applied "已执行", Lifted "已解除";
    /// A credit tier (信用等级); only delivery firms have a score.
    CreditTier: A "A级", B "B级", C "C级", D "D级", Unrated "未评级";
    /// What an inspection found.
    InspectionOutcome: Passed "未发现问题", ToRectify "责令整改", Violation "发现违法行为",
        NotFound "查无下落", Refused "不配合检查";
}

/// A public commitment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commitment {
    /// Who.
    pub party: PartyId,
    /// What for.
    pub kind: CommitmentKind,
    /// The commitment itself; empty where it must stay erasable.
    pub text: String,
    /// When.
    pub made: Stamp,
    /// What was not kept, at most [`MAX_BREACHES`].
    pub breaches: Vec<Breach>,
}

/// A commitment that was not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// When it was recorded.
    pub recorded: Stamp,
    /// By which authority.
    pub authority: PartyId,
    /// What was not kept.
    pub reason: String,
    /// Number of the document that finds it.
    pub document: String,
    /// Entries that show it.
    pub evidence: Vec<LogIndex>,
}

/// What an authority added to a party's credit file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreditRecord {
    /// About whom.
    pub subject: PartyId,
    /// By which authority.
    pub authority: PartyId,
    /// What it says.
    pub kind: CreditRecordKind,
    /// None for an award.
    pub severity: Option<CreditSeverity>,
    /// The law and the section.
    pub legal_basis: String,
    /// Number of the document.
    pub document: String,
    /// Date of the document.
    pub date: CalendarDate,
    /// Empty where it must stay erasable.
    pub text: String,
    /// When.
    pub added: Stamp,
}

/// What an entry of a party's credit file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the words of the proto
pub enum CreditItem {
    Commitment,
    Record,
    Listing,
    /// A claim that the party owes back.
    Claim,
    /// A measure of one of its listings.
    Measure,
}
