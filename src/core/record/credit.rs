//! What records of credit supervision say, checked. The proto explains each.

use crate::core::credit::score::Deduction;
use crate::core::credit::{
    CommitmentKind, CreditPolicy, CreditRecordKind, CreditSeverity, ListKind,
};
use crate::core::id::PartyId;
use crate::core::record::{CalendarDate, Kind};
use crate::core::tlog::LogIndex;

/// A record of credit supervision.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same words as in the proto, which explains each
pub enum CreditBody {
    MakeCommitment {
        kind: CommitmentKind,
        text: String,
    },
    RecordBreach {
        commitment: LogIndex,
        reason: String,
        document: String,
        evidence: Vec<LogIndex>,
    },
    AddCreditRecord(AddCreditRecord),
    SetCreditPolicy(CreditPolicy),
    ProposeListing(ProposeListing),
    ObjectToDeduction {
        deduction: Deduction,
    },
    AnswerDeduction {
        objection: LogIndex,
        granted: bool,
    },
    /// A step of a listing that was proposed.
    Listing {
        listing: LogIndex,
        step: ListingStep,
    },
}

/// What an authority adds to a party's credit file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words of the proto
pub struct AddCreditRecord {
    pub subject: PartyId,
    pub kind: CreditRecordKind,
    pub severity: Option<CreditSeverity>,
    pub legal_basis: String,
    pub document: String,
    pub date: CalendarDate,
    /// Empty where it must stay erasable.
    pub text: String,
}

/// An authority means to list a party.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words of the proto
pub struct ProposeListing {
    pub list: ListKind,
    pub subject: PartyId,
    /// None on the red list.
    pub severity: Option<CreditSeverity>,
    /// Empty where it must stay erasable.
    pub reason: String,
    pub legal_basis: String,
    pub document: String,
    pub evidence: Vec<LogIndex>,
}

/// What happens to a listing after it was proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words of the proto
pub enum ListingStep {
    Notify,
    /// Whether there is a text in the log.
    Statement {
        public: bool,
    },
    Decide(ListingDecision),
    Publish,
    Object {
        public: bool,
    },
    AnswerObjection {
        granted: bool,
    },
    RequestRepair {
        commitment: LogIndex,
    },
    DecideRepair {
        granted: bool,
    },
    End,
}

/// What the authority decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListingDecision {
    /// 列入, with the severity (none on the red list), the months, the law and the document.
    List {
        /// As decided.
        severity: Option<CreditSeverity>,
        /// For how long.
        months: u32,
        /// The law and the section.
        legal_basis: String,
        /// Number of the decision.
        document: String,
    },
    /// 不予列入.
    Drop,
}

impl CreditBody {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::MakeCommitment { .. } => Kind::MakeCommitment,
            Self::RecordBreach { .. } => Kind::RecordBreach,
            Self::AddCreditRecord(_) => Kind::AddCreditRecord,
            Self::SetCreditPolicy(_) => Kind::SetCreditPolicy,
            Self::ProposeListing(_) => Kind::ProposeListing,
            Self::ObjectToDeduction { .. } => Kind::ObjectToDeduction,
            Self::AnswerDeduction { .. } => Kind::AnswerDeduction,
            Self::Listing { step, .. } => match step {
                ListingStep::Notify => Kind::NotifyListing,
                ListingStep::Statement { .. } => Kind::SubmitStatement,
                ListingStep::Decide(_) => Kind::DecideListing,
                ListingStep::Publish => Kind::PublishListing,
                ListingStep::Object { .. } => Kind::ObjectToListing,
                ListingStep::AnswerObjection { .. } => Kind::AnswerObjection,
                ListingStep::RequestRepair { .. } => Kind::RequestRepair,
                ListingStep::DecideRepair { .. } => Kind::DecideRepair,
                ListingStep::End => Kind::EndListing,
            },
        }
    }
}
