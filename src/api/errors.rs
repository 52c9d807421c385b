//! Refusals as gRPC statuses with machine-readable details.

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::core::id::IdError;
use crate::core::refusal::{Reason, Refusal};
use crate::core::wire;
use crate::store::StoreError;

/// The domain of `google.rpc.ErrorInfo`.
const DOMAIN: &str = "custody";

/// A refusal as it goes into a stream of results.
#[must_use]
pub(super) fn to_wire(refusal: &Refusal) -> wire::Refusal {
    wire::Refusal {
        code: refusal.reason.code(),
        reason: refusal.reason.name().to_owned(),
        message: refusal.message.clone(),
        field: refusal.field.clone(),
        heads: refusal
            .heads
            .iter()
            .map(|(unit, head)| wire::UnitRef {
                id: unit.to_string(),
                prev: head.map(|head| head.0.to_vec()).unwrap_or_default(),
            })
            .collect(),
    }
}

/// A refusal as a status. The stale heads of a CONFLICT are in the metadata
/// `custody-refusal-bin` as an encoded `custody.v1.Refusal`.
#[must_use]
pub fn status(refusal: &Refusal) -> Status {
    let mut details = ErrorDetails::with_error_info(
        refusal.reason.name(),
        DOMAIN,
        refusal
            .heads
            .iter()
            .take(16)
            .map(|(unit, head)| {
                (
                    unit.to_string(),
                    head.map(|head| head.to_string()).unwrap_or_default(),
                )
            })
            .collect::<std::collections::HashMap<_, _>>(),
    );
    if !refusal.field.is_empty() {
        details.add_bad_request_violation(&refusal.field, &refusal.message);
    }
    let mut status = Status::with_error_details(
        Code::from_i32(refusal.reason.code()),
        refusal.to_string(),
        details,
    );
    if !refusal.heads.is_empty() {
        let bytes = to_wire(refusal).encode_to_vec();
        // Headers have a bound of their own; whoever names more units asks GetHeads.
        if bytes.len() <= 8192 {
            let value = tonic::metadata::MetadataValue::from_bytes(&bytes);
            status
                .metadata_mut()
                .insert_bin("custody-refusal-bin", value);
        }
    }
    status
}

/// A field of a request that breaks a rule.
pub(super) fn invalid(field: &str, message: impl Into<String>) -> Status {
    status(&Refusal::field(field, message))
}

/// An identifier that doesn't read.
#[allow(clippy::needless_pass_by_value)] // the form that `map_err` wants
pub(super) fn bad_id(field: &'static str) -> impl Fn(IdError) -> Status {
    move |error| invalid(field, error.to_string())
}

/// The store failed.
#[allow(clippy::needless_pass_by_value)] // the form that `map_err` wants
pub(super) fn store(error: impl Into<StoreError>) -> Status {
    let error = error.into();
    // Who reads only what is in memory asks again; nothing is wrong.
    if !matches!(error, StoreError::NotInMemory) {
        tracing::error!(%error, "a read failed");
    }
    status(&Refusal::new(Reason::Storage, error.to_string()))
}

/// There is no room for what the caller wants, now.
pub(super) fn overloaded(message: impl Into<String>) -> Status {
    status(&Refusal::new(Reason::Overloaded, message))
}

/// Something that the caller asked for is not there.
pub(super) fn not_found(message: impl Into<String>) -> Status {
    status(&Refusal::new(Reason::NotFound, message))
}

/// A status with a reason of its own in `google.rpc.ErrorInfo`, and the field that it is about, if there is one.
pub(super) fn of_reason(code: Code, reason: &str, field: &str, message: &str) -> Status {
    let mut details =
        ErrorDetails::with_error_info(reason, DOMAIN, std::collections::HashMap::new());
    if !field.is_empty() {
        details.add_bad_request_violation(field, message);
    }
    Status::with_error_details(code, message, details)
}
