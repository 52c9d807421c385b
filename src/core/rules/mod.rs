//! The rules: what counts as a break, one small pure function a file, listed in one table.
//!
//! A rule looks at a [`Case`]: one record at one unit, with the state that it meets. *Custody
//! rules* say who may act on the unit now; the first in the table's order that is broken puts the
//! record beside the chain. *Plausibility rules* (time, place, expiry, market, recall) flag a
//! record that joins; all are asked.
//!
//! To add a rule: one file with `check`, one line in the table below, its number in the proto.

use serde::{Deserialize, Serialize};

mod case;
mod travel;

pub use case::{
    Around, Case, GoodsStop, LotCount, Target, effective_scans, effective_sighting, nearest_buyer,
};

use crate::core::lang::Lang;
use crate::core::tlog::LogIndex;

/// What kind of rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Who may act on this unit now. A break stands beside the chain.
    Custody,
    /// Time, place, expiry, market, recall. A break joins the chain, flagged.
    Plausibility,
    /// Proven by two envelopes, not by one record.
    Proof,
}

/// How severe a break is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Look closer.
    LookCloser,
    /// Do not sell.
    DoNotSell,
}

/// What may close a finding without a regulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explained {
    /// The signer's own Correct.
    ByCorrection,
    /// The maker's late Commission.
    ByCommission,
    /// Nothing but a decision.
    ByDecision,
}

/// A broken rule: the entries that prove it, and the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Break {
    /// Entries that prove it, the judged one not included.
    pub evidence: Vec<LogIndex>,
    /// What was measured, in the rule's unit of measure.
    pub measured: i64,
    /// What the limit was.
    pub limit: i64,
}

impl Break {
    /// Proven by these entries.
    #[must_use]
    pub fn by(evidence: impl IntoIterator<Item = LogIndex>) -> Option<Self> {
        Some(Self {
            evidence: evidence.into_iter().collect(),
            ..Self::default()
        })
    }

    /// Proven by these entries and numbers.
    #[must_use]
    pub fn measured(
        evidence: impl IntoIterator<Item = LogIndex>,
        measured: impl TryInto<i64>,
        limit: impl TryInto<i64>,
    ) -> Option<Self> {
        Some(Self {
            evidence: evidence.into_iter().collect(),
            measured: measured.try_into().unwrap_or(i64::MAX),
            limit: limit.try_into().unwrap_or(i64::MAX),
        })
    }
}

/// One row of the table.
pub struct Rule {
    /// Which rule.
    pub kind: FindingKind,
    /// What kind of rule.
    pub class: Class,
    /// How severe.
    pub severity: Severity,
    /// What may close its findings.
    pub explained: Explained,
    /// Whether it depends on entries that a unit bundle doesn't hold, so that only an audit of
    /// the whole log can judge it again.
    pub whole_log: bool,
    /// What it means for a consumer, in English and Chinese.
    meaning: [&'static str; 2],
    /// What a regulator does next, in English and Chinese.
    next_step: [&'static str; 2],
    /// The rule itself: none when the record keeps it.
    pub check: fn(&Case<'_>) -> Option<Break>,
}

impl Rule {
    /// What it means for a consumer.
    #[must_use]
    pub fn meaning(&self, lang: Lang) -> &'static str {
        let [en, zh] = self.meaning;
        lang.pick(zh, en)
    }

    /// What a regulator does next.
    #[must_use]
    pub fn next_step(&self, lang: Lang) -> &'static str {
        let [en, zh] = self.next_step;
        lang.pick(zh, en)
    }
}

macro_rules! rules {
    ($($file:ident = $number:literal: $kind:ident, $class:ident, $severity:ident, $explained:ident,
       $whole_log:literal, $meaning:literal, $meaning_zh:literal, $next:literal, $next_zh:literal;)*) => {
        $(mod $file;)*

        /// Which rule was broken. Numbers and names are those of the proto.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[allow(missing_docs)] // each is explained in the table
        pub enum FindingKind {
            $($kind = $number,)*
        }

        /// All rules. Custody rules are asked in this order.
        pub static RULES: &[Rule] = &[$(Rule {
            kind: FindingKind::$kind,
            class: Class::$class,
            severity: Severity::$severity,
            explained: Explained::$explained,
            whole_log: $whole_log,
            meaning: [$meaning, $meaning_zh],
            next_step: [$next, $next_zh],
            check: $file::check,
        }),*];
    };
}

rules! {
    out_of_role = 18: OutOfRole, Custody, LookCloser, ByCorrection, false,
        "A firm did something that its role does not allow.", "有企业实施了与其角色不符的操作。",
        "Ask the firm why its key signed this; check its approved roles.", "询问企业签署原因，核对其获批角色。";
    duplicate_commission = 2: DuplicateCommission, Custody, DoNotSell, ByDecision, false,
        "This code was given out twice. One of the two is not genuine.", "该编码被重复赋码，其中必有一件不是真品。",
        "Seize both units for inspection; ask the maker for its serialisation record.", "扣押两件商品检验，调取生产商赋码记录。";
    not_gtin_owner = 3: NotGtinOwner, Custody, DoNotSell, ByDecision, false,
        "A firm gave out this code without owning it.", "有企业在无权的情况下为商品赋码。",
        "Inspect the signer; notify the owner of the code.", "检查签署企业，并通知编码所有人。";
    never_commissioned = 1: NeverCommissioned, Custody, DoNotSell, ByCommission, false,
        "No maker has ever registered this code.", "没有任何生产商登记过该编码。",
        "Ask the maker whether it uploads late; otherwise treat the unit as counterfeit.", "询问生产商是否延迟上传，否则按假冒处理。";
    seen_after_destruction = 11: SeenAfterDestruction, Custody, DoNotSell, ByCorrection, false,
        "This code was seen after the goods were destroyed or used up.", "商品销毁或用尽后，该编码再次出现。",
        "Secure the unit; inspect whoever destroyed it.", "控制该商品，检查销毁方。";
    seen_after_delivery = 10: SeenAfterDelivery, Custody, DoNotSell, ByCorrection, false,
        "This code was seen in trade after the goods reached their buyer.", "商品签收后，该编码再次在流通中出现。",
        "Compare the unit with the buyer's; one of the two is a copy.", "与买家手中商品比对，其中一件为仿冒。";
    packed_twice = 8: PackedTwice, Custody, LookCloser, ByCorrection, false,
        "These goods were packed while the record says they are in another box.", "商品记录显示已在另一包装内，却被再次装箱。",
        "Open both containers.", "开箱核查两个包装。";
    moved_while_packed = 7: MovedWhilePacked, Custody, LookCloser, ByCorrection, false,
        "These goods moved on their own while the record says they are inside a box.", "商品记录显示在包装内，却被单独移动。",
        "Open the container and look for the unit.", "开箱查找该商品。";
    content_mismatch = 9: ContentMismatch, Custody, LookCloser, ByCorrection, false,
        "What was in the box is not what the record says.", "箱内商品与记录不符。",
        "Count the contents against the record.", "对照记录清点内件。";
    moved_after_void = 17: MovedAfterVoid, Custody, DoNotSell, ByCorrection, false,
        "The goods were taken although the offer had been withdrawn.", "交接已撤回，商品仍被接收。",
        "Ask giver and taker who has the goods.", "询问交接双方商品现在何处。";
    wrong_receiver = 6: WrongReceiver, Custody, DoNotSell, ByCorrection, false,
        "Somebody else than the named receiver took the goods.", "接收方不是指定的接收人。",
        "Ask the named receiver; look for a swapped parcel.", "询问指定接收方，排查调包。";
    accept_without_handover = 5: AcceptWithoutHandover, Custody, DoNotSell, ByCorrection, false,
        "A firm took goods that nobody had handed to it.", "企业接收了无人交付的商品。",
        "Ask the holder on record where the goods are.", "询问登记持有方商品去向。";
    not_holder = 4: NotHolder, Custody, DoNotSell, ByCorrection, false,
        "A firm acted on goods that it does not hold.", "企业对并非其持有的商品进行了操作。",
        "Compare both units: the holder's and the one that was seen here.", "比对持有方的商品与此处出现的商品。";
    impossible_travel = 12: ImpossibleTravel, Plausibility, DoNotSell, ByCorrection, false,
        "The goods were seen at two places too far apart for the time between.", "商品在短时间内出现在相距过远的两地。",
        "Inspect both places: one of the two codes may be a copy.", "检查两地商品，其中之一可能为复制编码。";
    time_reversed = 13: TimeReversed, Plausibility, LookCloser, ByCorrection, false,
        "A step is said to have happened before the one that it follows.", "某一步骤的时间早于其前一步骤。",
        "Check the clocks of both scanners.", "核对两台扫描设备的时钟。";
    time_in_future = 14: TimeInFuture, Plausibility, LookCloser, ByCorrection, false,
        "A step is said to have happened in the future.", "某一步骤的时间在未来。",
        "Check the clock of the scanner.", "核对扫描设备时钟。";
    expired = 15: Expired, Plausibility, DoNotSell, ByDecision, false,
        "The goods were passed on after their last day of use.", "商品过期后仍被流转。",
        "Have the goods withdrawn; inspect the holder.", "责令下架，检查持有方。";
    moved_under_recall = 16: MovedUnderRecall, Plausibility, DoNotSell, ByDecision, false,
        "The goods were passed on although they were called back or held.", "商品被召回或暂停流通后仍被流转。",
        "Stop the goods; inspect the holder.", "截停商品，检查持有方。";
    diverted_market = 20: DivertedMarket, Plausibility, LookCloser, ByDecision, false,
        "The goods were sold outside the market that they were made for.", "商品在指定市场之外销售。",
        "Notify the maker; check import papers.", "通知生产商，核查进口单证。";
    phantom_delivery = 21: PhantomDelivery, Plausibility, LookCloser, ByDecision, false,
        "The order was marked as delivered with no sign that anything travelled.", "订单显示签收，但没有任何实际运输痕迹。",
        "Open a case on fake orders: seller, courier key, buyer key.", "按刷单炒信线索立案核查卖家、快递与买家密钥。";
    blacklisted_party = 19: BlacklistedParty, Plausibility, LookCloser, ByDecision, true,
        "A firm on the black list handled these goods.", "商品经由列入黑名单的企业流转。",
        "Check the measures against the firm; inspect the goods that it passes on.", "核查对该企业的惩戒措施，检查其流转的商品。";
    quantity_inflation = 23: QuantityInflation, Plausibility, DoNotSell, ByDecision, true,
        "More came out than went in, or more than the lot was declared to have.", "产出数量多于投入或多于申报批量。",
        "Audit the maker's stock.", "核查生产商库存。";
    equivocation = 22: Equivocation, Proof, DoNotSell, ByDecision, false,
        "One key told two different stories about the same moment.", "同一密钥对同一时刻作出两种不同陈述。",
        "Revoke the key; inspect its party.", "吊销密钥，检查所属企业。";
}

impl FindingKind {
    /// The number in the proto.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// By the number in the proto.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        RULES
            .iter()
            .map(|rule| rule.kind)
            .find(|kind| i32::from(kind.number()) == number)
    }

    /// Whether its evidence is proof by itself, before anybody confirms it.
    #[must_use]
    pub const fn proves_itself(self) -> bool {
        matches!(self, Self::DuplicateCommission | Self::Equivocation)
    }

    /// The row of the table.
    #[must_use]
    pub fn rule(self) -> &'static Rule {
        let found = RULES.iter().find(|rule| rule.kind == self);
        // The enum and the table are made by one macro, so the row is there.
        found.unwrap_or(&RULES[0])
    }

    /// The name in the proto.
    #[must_use]
    pub fn name(self) -> &'static str {
        crate::core::wire::FindingKind::try_from(i32::from(self.number()))
            .map_or("UNKNOWN", |kind| kind.as_str_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_proto_has_exactly_one_rule() {
        for number in 1..=64 {
            let in_proto = crate::core::wire::FindingKind::try_from(number).is_ok();
            let rules = RULES
                .iter()
                .filter(|r| i32::from(r.kind.number()) == number)
                .count();
            assert_eq!(rules, usize::from(in_proto), "finding kind {number}");
        }
    }
}
