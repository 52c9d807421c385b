//! Why a record is not appended: one type from the frame of the envelope to `apply`.
//!
//! A refusal writes nothing. What is merely suspicious is never refused: it is logged with a
//! finding (see [`rules`](crate::core::rules)).

use std::fmt;

use crate::core::envelope::RecordId;
use crate::core::id::UnitId;

/// Machine-readable reason, each with one gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The bytes are no envelope or no record.
    Malformed,
    /// A field breaks a rule of its format; `field` names it.
    InvalidField,
    /// The record is for another ledger.
    WrongOrigin,
    /// No such key.
    UnknownKey,
    /// The signature is not the key's over these bytes.
    BadSignature,
    /// The key is registered with another suite, or the payload names another key.
    KeyMismatch,
    /// The key's time has not come.
    KeyNotYetValid,
    /// The key expired, or was rotated, and its window for late uploads is over.
    KeyExpired,
    /// The key was revoked.
    KeyRevoked,
    /// The party is not approved, was suspended, or its approval has ended.
    PartyNotActive,
    /// The signer may not do that.
    Unauthorised,
    /// `prev` is stale: somebody was faster. The answer lists every stale unit with its head.
    Conflict,
    /// `prev` has not arrived here; send what comes before it first.
    PrevUnknown,
    /// `prev` names a record that is not in the chain of this unit.
    PrevNotInChain,
    /// The same kind of finding by the same party at the same unit is in the log of today.
    AlreadyReported,
    /// What the record would create is there already.
    AlreadyExists,
    /// What the record refers to is not there.
    NotFound,
    /// The state doesn't allow it.
    FailedPrecondition,
    /// The party has used up its quota, which fills again with time.
    QuotaExceeded,
    /// More is waiting than the server takes.
    Overloaded,
    /// The server is shutting down.
    ShuttingDown,
    /// This node does not have what the caller has seen already.
    Behind,
    /// The order of the cluster can't be reached from this node; another one may.
    OrderUnavailable,
    /// The store failed; nothing was acknowledged.
    Storage,
}

impl Reason {
    /// The name on the wire (`google.rpc.ErrorInfo.reason`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The number of the `google.rpc.Code`.
    #[must_use]
    pub const fn code(self) -> i32 {
        self.row().1
    }

    /// Whether the same envelope may be answered differently later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::PrevUnknown
                | Self::QuotaExceeded
                | Self::Overloaded
                | Self::ShuttingDown
                | Self::Behind
                | Self::OrderUnavailable
                | Self::Storage
        )
    }

    const fn row(self) -> (&'static str, i32) {
        const INVALID_ARGUMENT: i32 = 3;
        const NOT_FOUND: i32 = 5;
        const ALREADY_EXISTS: i32 = 6;
        const PERMISSION_DENIED: i32 = 7;
        const RESOURCE_EXHAUSTED: i32 = 8;
        const FAILED_PRECONDITION: i32 = 9;
        const ABORTED: i32 = 10;
        const INTERNAL: i32 = 13;
        const UNAVAILABLE: i32 = 14;
        const UNAUTHENTICATED: i32 = 16;
        match self {
            Self::Malformed => ("MALFORMED", INVALID_ARGUMENT),
            Self::InvalidField => ("INVALID_FIELD", INVALID_ARGUMENT),
            Self::WrongOrigin => ("WRONG_ORIGIN", INVALID_ARGUMENT),
            Self::UnknownKey => ("UNKNOWN_KEY", UNAUTHENTICATED),
            Self::BadSignature => ("BAD_SIGNATURE", UNAUTHENTICATED),
            Self::KeyMismatch => ("KEY_MISMATCH", INVALID_ARGUMENT),
            Self::KeyNotYetValid => ("KEY_NOT_YET_VALID", PERMISSION_DENIED),
            Self::KeyExpired => ("KEY_EXPIRED", PERMISSION_DENIED),
            Self::KeyRevoked => ("KEY_REVOKED", PERMISSION_DENIED),
            Self::PartyNotActive => ("PARTY_NOT_ACTIVE", PERMISSION_DENIED),
            Self::Unauthorised => ("UNAUTHORISED", PERMISSION_DENIED),
            Self::Conflict => ("CONFLICT", ABORTED),
            Self::PrevUnknown => ("PREV_UNKNOWN", FAILED_PRECONDITION),
            Self::PrevNotInChain => ("PREV_NOT_IN_CHAIN", FAILED_PRECONDITION),
            Self::AlreadyReported => ("ALREADY_REPORTED", ALREADY_EXISTS),
            Self::AlreadyExists => ("ALREADY_EXISTS", ALREADY_EXISTS),
            Self::NotFound => ("NOT_FOUND", NOT_FOUND),
            Self::FailedPrecondition => ("FAILED_PRECONDITION", FAILED_PRECONDITION),
            Self::QuotaExceeded => ("QUOTA_EXCEEDED", RESOURCE_EXHAUSTED),
            Self::Overloaded => ("OVERLOADED", RESOURCE_EXHAUSTED),
            Self::ShuttingDown => ("SHUTTING_DOWN", UNAVAILABLE),
            Self::Behind => ("BEHIND", UNAVAILABLE),
            Self::OrderUnavailable => ("ORDER_UNAVAILABLE", UNAVAILABLE),
            Self::Storage => ("STORAGE", INTERNAL),
        }
    }
}

/// A refusal with what the person who gets it needs: what was wrong, where, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Machine-readable reason.
    pub reason: Reason,
    /// Path of the field, such as `units[3].id`; may be empty.
    pub field: String,
    /// For people.
    pub message: String,
    /// For a CONFLICT: every stale unit with its head (none: it has no chain).
    pub heads: Vec<(UnitId, Option<RecordId>)>,
}

impl Refusal {
    /// A refusal that no single field is the cause of.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            field: String::new(),
            message: message.into(),
            heads: Vec::new(),
        }
    }

    /// A field breaks a rule.
    #[must_use]
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            ..Self::new(Reason::InvalidField, message)
        }
    }

    /// The same refusal at a field.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.name())?;
        if !self.field.is_empty() {
            write!(f, " at {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Refusal {}
