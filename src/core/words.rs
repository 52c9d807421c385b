//! The words of the proto in both languages, as officials know them.

use crate::core::lang::Lang;
use crate::core::record::Kind;
use crate::core::wire;

/// What has a name in both languages.
pub trait Named: Copy {
    /// Its name.
    #[must_use]
    fn named(self, lang: Lang) -> &'static str;
}

/// What is chosen among: an enumeration of the proto.
pub trait Choice: Named + TryFrom<i32> {
    /// Its name in the proto.
    #[must_use]
    fn code(self) -> &'static str;

    /// Every value but the unset one.
    fn all() -> impl Iterator<Item = Self> {
        (1..).map_while(|number| Self::try_from(number).ok())
    }
}

/// Values for a form: the name in the proto, and for people.
pub fn choices<C: Choice>(
    values: impl IntoIterator<Item = C>,
    lang: Lang,
) -> Vec<(&'static str, &'static str)> {
    let pair = |value: C| (value.code(), value.named(lang));
    values.into_iter().map(pair).collect()
}

impl<N: Named> Named for &N {
    fn named(self, lang: Lang) -> &'static str {
        (*self).named(lang)
    }
}

macro_rules! named {
    ($($enum:ident { $($variant:ident: $zh:literal, $en:literal;)* })*) => {$(
        impl Named for wire::$enum {
            fn named(self, lang: Lang) -> &'static str {
                match self {
                    Self::Unspecified => lang.pick("未注明", "not said"),
                    $(Self::$variant => lang.pick($zh, $en),)*
                }
            }
        }

        impl Choice for wire::$enum {
            fn code(self) -> &'static str {
                self.as_str_name()
            }
        }
    )*};
}

named! {
    FindingKind {
        NeverCommissioned: "未赋码", "Never commissioned";
        DuplicateCommission: "重复赋码", "Commissioned twice";
        NotGtinOwner: "非编码所有人赋码", "Not the owner of the GTIN";
        NotHolder: "非持有人操作", "Not the holder";
        AcceptWithoutHandover: "无交接而接收", "Accepted without a handover";
        WrongReceiver: "接收方不符", "Wrong receiver";
        MovedWhilePacked: "箱内商品单独流转", "Moved while packed";
        PackedTwice: "重复装箱", "Packed twice";
        ContentMismatch: "箱内商品不符", "Contents don't match";
        SeenAfterDelivery: "签收后再现", "Seen after delivery";
        SeenAfterDestruction: "销毁后再现", "Seen after destruction";
        ImpossibleTravel: "位移不可能", "Impossible travel";
        TimeReversed: "时间倒流", "Time reversed";
        TimeInFuture: "时间超前", "Time in the future";
        Expired: "过期流通", "Expired";
        MovedUnderRecall: "召回后流通", "Moved under a recall";
        MovedAfterVoid: "交接撤回后流转", "Moved after the handover was voided";
        OutOfRole: "超出角色", "Out of role";
        BlacklistedParty: "黑名单企业操作", "By a blacklisted party";
        DivertedMarket: "窜货", "Diverted to another market";
        PhantomDelivery: "虚假签收", "Phantom delivery";
        Equivocation: "一链两说", "Equivocation";
        QuantityInflation: "超量赋码", "More than the lot holds";
    }
    SignalKind {
        HandoverNotAccepted: "交接超时", "Handover not accepted in time";
        AtRest: "商品滞留", "Goods at rest too long";
        RateOfBreaks: "异常率上升", "Rate of breaks rises";
        CompromisedKey: "密钥泄露", "Signed by a compromised key";
        WeightlessDelivery: "无重量签收", "Delivered, never weighed";
        HastyDelivery: "数分钟内签收", "Delivered within minutes";
        ClosedRing: "疑似刷单", "Looks like fake orders";
        BulkLookUp: "批量查档", "Many files opened in a day";
        LookedUpWidely: "一码多地查询", "One code looked up from many places";
    }
    AlertLevel {
        Notice: "提示", "Notice";
        Warning: "预警", "Warning";
        Severe: "严重预警", "Severe";
    }
    AlertAnswer {
        Acknowledged: "已受理", "Acknowledged";
        Dismissed: "已排除", "Dismissed";
        InCase: "已立案", "In a case";
    }
    FindingStatus {
        Open: "未处置", "Open";
        Confirmed: "已认定", "Confirmed";
        Dismissed: "已排除", "Dismissed";
        Explained: "已查明", "Explained";
    }
    CaseKind {
        Counterfeit: "假冒伪劣", "Counterfeit";
        FakeOrders: "刷单炒信", "Fake orders";
        Safety: "产品安全", "Product safety";
        Delivery: "寄递安全", "Safety of delivery";
        Other: "其他", "Other";
    }
    CaseOutcome {
        NoViolation: "不予处罚", "No violation";
        Penalty: "行政处罚", "Penalty";
        ToJustice: "移送司法机关", "Referred to justice";
        Settled: "调解、整改", "Settled";
    }
    CaseStepKind {
        Opened: "立案", "Opened";
        Added: "补充材料", "Added to";
        Referred: "移送", "Referred";
        Closed: "结案", "Closed";
    }
    ListKind {
        Red: "红名单", "Red list";
        Black: "黑名单", "Black list";
    }
    ListingPhase {
        Proposed: "拟列入", "Proposed";
        Notified: "已告知", "Notified";
        Decided: "已决定", "Decided";
        InForce: "生效", "In force";
        Dropped: "不予列入", "Dropped";
        Expired: "期满", "Expired";
        Annulled: "异议成立", "Annulled";
        Repaired: "信用修复", "Repaired";
        Withdrawn: "移出", "Withdrawn";
    }
    CreditSeverity {
        Minor: "轻微", "Minor";
        Ordinary: "一般", "Ordinary";
        Serious: "严重", "Serious";
    }
    CreditRecordKind {
        Penalty: "行政处罚", "Penalty";
        Award: "表彰奖励", "Award";
        Inspection: "监督检查", "Inspection";
        Judgement: "司法裁判", "Judgement";
        Permit: "行政许可", "Permit";
        Other: "其他", "Other";
    }
    CommitmentKind {
        Approval: "审批替代型承诺", "In place of a permit";
        Voluntary: "主动公示型承诺", "Of its own accord";
        Industry: "行业自律型承诺", "By the rules of its industry";
        Repair: "信用修复型承诺", "For a repair";
    }
    MeasureKind {
        RankingPriority: "搜索排名优先", "Priority in rankings";
        MarketingPriority: "营销活动优先", "Priority in marketing";
        MembershipLimit: "限制会员等级", "Membership limited";
        CertificationLoss: "取消诚信认证", "Certification withdrawn";
        ShopBlocked: "屏蔽店铺", "Shop blocked";
        ShopClosed: "关闭店铺", "Shop closed";
        InspectionRate: "调整抽查比例", "Rate of inspections";
        Financing: "融资措施", "Financing";
    }
    Answer {
        Granted: "成立", "Granted";
        Refused: "不成立", "Refused";
    }
    Role {
        Maker: "生产商", "Maker";
        Distributor: "经销商", "Distributor";
        Seller: "销售商", "Seller";
        Courier: "快递企业", "Courier";
        Inspector: "检验机构", "Inspector";
        Regulator: "监管部门", "Regulator";
        Platform: "平台", "Platform";
        Bank: "银行", "Bank";
        Fund: "保护基金", "Fund";
        Auditor: "审计机构", "Auditor";
    }
    PartyStatus {
        Pending: "待审批", "Pending";
        Active: "有效", "Active";
        Suspended: "已暂停", "Suspended";
        Lapsed: "审批到期", "Approval ended";
    }
    KeyStatus {
        Active: "有效", "Active";
        Rotated: "已更换", "Rotated";
        Revoked: "已作废", "Revoked";
        Compromised: "已泄露", "Compromised";
    }
    InspectionOutcome {
        Passed: "未发现问题", "Nothing found";
        ToRectify: "责令整改", "To rectify";
        Violation: "发现违法行为", "Violation found";
        NotFound: "查无下落", "Not to be found";
        Refused: "不配合检查", "Did not cooperate";
    }
    CreditTier {
        A: "A", "A";
        B: "B", "B";
        C: "C", "C";
        D: "D", "D";
        Unrated: "未评级", "Unrated";
    }
    Complaint {
        Counterfeit: "假冒", "Counterfeit";
        Tampered: "掉包、破损", "Tampered with";
        NotReceived: "未收到", "Not received";
        WrongGoods: "货不对板", "Wrong goods";
        Other: "其他", "Other";
    }
    ScoreItemKind {
        ConfirmedDoNotSell: "已认定的严重异常", "Confirmed findings, severe";
        ConfirmedLookCloser: "已认定的一般异常", "Confirmed findings, ordinary";
        OpenFinding: "未处置的异常", "Open findings";
        DismissedFinding: "已排除的异常", "Dismissed findings";
        Late: "超时转交", "Passed on late";
        Unchecked: "收寄检查不全", "Collected without all checks";
        UpheldClaim: "成立的索赔", "Claims upheld";
        BrokenCommitment: "违反承诺", "Commitments broken";
        MinorRecord: "轻微信用记录", "Minor records";
        OrdinaryRecord: "一般信用记录", "Ordinary records";
        SeriousRecord: "严重信用记录", "Serious records";
        Award: "表彰", "Awards";
        StruckOut: "异议成立，已更正", "Struck out after an objection";
    }
    ReportKind {
        Completeness: "溯源完整率", "Completeness of traceability";
        Alerts: "预警处置", "Alerts handled";
        Couriers: "快递企业信用排名", "Delivery firms by credit score";
        Listings: "红黑名单变动", "Changes of the lists";
        Sharing: "信用信息共享与回执", "What was shared, and receipts";
        Recalled: "召回商品去向", "Where recalled goods went";
    }
    StandingWord {
        Recalled: "已召回", "Recalled";
        Broken: "已断链", "Chain broken";
        Suspect: "有疑点", "Suspect";
        Delivered: "已签收", "Delivered";
        InTransit: "在途", "In transit";
        Consistent: "验证通过", "Consistent";
        Unknown: "未查到", "Not found";
    }
}

impl Named for Kind {
    fn named(self, lang: Lang) -> &'static str {
        match self {
            Self::Commission => lang.pick("赋码", "Commissioned"),
            Self::Inspect => lang.pick("检验", "Inspected"),
            Self::Pack => lang.pick("装箱", "Packed"),
            Self::Unpack => lang.pick("拆箱", "Unpacked"),
            Self::Handover => lang.pick("交出", "Handed over"),
            Self::Void => lang.pick("撤回交接", "Handover voided"),
            Self::Accept => lang.pick("接收", "Accepted"),
            Self::Refuse => lang.pick("拒收", "Refused"),
            Self::Scan => lang.pick("扫描", "Scanned"),
            Self::Deliver => lang.pick("投递", "Delivered"),
            Self::Confirm => lang.pick("买家确认", "Confirmed by the buyer"),
            Self::Reject => lang.pick("买家异议", "Disputed by the buyer"),
            Self::Return => lang.pick("退回", "Returned"),
            Self::Transform => lang.pick("加工", "Transformed"),
            Self::Hold => lang.pick("暂停流通", "Held"),
            Self::Release => lang.pick("恢复流通", "Released"),
            Self::Recall => lang.pick("召回", "Recalled"),
            Self::Destroy => lang.pick("销毁", "Destroyed"),
            Self::Correct => lang.pick("更正", "Corrected"),
            Self::Genesis => lang.pick("创世", "Genesis"),
            Self::RegisterParty => lang.pick("登记企业", "Party registered"),
            Self::ApproveParty => lang.pick("批准企业", "Party approved"),
            Self::SuspendParty => lang.pick("暂停企业", "Party suspended"),
            Self::AddKey => lang.pick("增加密钥", "Key added"),
            Self::RotateKey => lang.pick("更换密钥", "Key rotated"),
            Self::RevokeKey => lang.pick("作废密钥", "Key revoked"),
            Self::Delegate => lang.pick("委托密钥", "Key delegated"),
            Self::ClaimProduct => lang.pick("申领编码", "Product claimed"),
            Self::ApproveProduct => lang.pick("批准编码", "Product approved"),
            Self::SetThresholds => lang.pick("设定阈值", "Thresholds set"),
            Self::DecideFinding => lang.pick("认定异常", "Finding decided"),
            Self::ReportEquivocation => lang.pick("举报一链两说", "Equivocation reported"),
            Self::MakeCommitment => lang.pick("信用承诺", "Commitment made"),
            Self::RecordBreach => lang.pick("违反承诺", "Breach recorded"),
            Self::AddCreditRecord => lang.pick("信用记录", "Credit record added"),
            Self::SetCreditPolicy => lang.pick("设定信用规则", "Credit policy set"),
            Self::ProposeListing => lang.pick("拟列入名单", "Listing proposed"),
            Self::NotifyListing => lang.pick("告知", "Party notified"),
            Self::SubmitStatement => lang.pick("陈述申辩", "Statement submitted"),
            Self::DecideListing => lang.pick("名单决定", "Listing decided"),
            Self::PublishListing => lang.pick("公示", "Listing published"),
            Self::ObjectToListing => lang.pick("名单异议", "Objection to a listing"),
            Self::AnswerObjection => lang.pick("答复异议", "Objection answered"),
            Self::RequestRepair => lang.pick("申请信用修复", "Repair requested"),
            Self::DecideRepair => lang.pick("信用修复决定", "Repair decided"),
            Self::EndListing => lang.pick("移出名单", "Listing ended"),
            Self::ObjectToDeduction => lang.pick("评价异议", "Objection to a deduction"),
            Self::AnswerDeduction => lang.pick("答复评价异议", "Deduction answered"),
            Self::ReportUnit => lang.pick("举报", "Reported"),
            Self::OpenClaim => lang.pick("索赔", "Claim opened"),
            Self::DecideClaim => lang.pick("索赔决定", "Claim decided"),
            Self::RecordPayout => lang.pick("赔付", "Paid out"),
            Self::RecordRecovery => lang.pick("追偿", "Recovered"),
            Self::AttestBuyerKey => lang.pick("证明买家密钥", "Buyer key attested"),
            Self::ReviewUnit => lang.pick("评价", "Reviewed"),
            Self::OpenCase => lang.pick("立案", "Case opened"),
            Self::AddToCase => lang.pick("补充案件", "Added to a case"),
            Self::ReferCase => lang.pick("移送案件", "Case referred"),
            Self::CloseCase => lang.pick("结案", "Case closed"),
            Self::AnswerAlert => lang.pick("答复预警", "Alert answered"),
            Self::AttachMeasure => lang.pick("采取措施", "Measure attached"),
            Self::EndMeasure => lang.pick("解除措施", "Measure ended"),
            Self::ReportMeasureApplied => lang.pick("报告措施执行", "Measure reported"),
            Self::AnnounceInspections => lang.pick("公布抽查", "Inspections announced"),
            Self::DrawInspections => lang.pick("抽查摇号", "Inspections drawn"),
            Self::RecordInspection => lang.pick("抽查结果", "Inspection recorded"),
            Self::OpenFile => lang.pick("查阅档案", "File opened"),
            Self::AuthoriseView => lang.pick("授权查阅", "View authorised"),
        }
    }
}
