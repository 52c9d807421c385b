//! What went wrong, as RFC 9457 problem details with the exception types of EPCIS 2.0 (section 8.2.6).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The exceptions of the standard that this answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Exception {
    Validation,
    Security,
    NoSuchName,
    DuplicateName,
    CaptureLimitExceeded,
    QueryParameter,
    QueryTooComplex,
    QueryTooLarge,
    SubscriptionControls,
    UriTooLong,
    Implementation,
}

impl Exception {
    fn title(self) -> &'static str {
        match self {
            Self::Validation => "What was sent is not valid",
            Self::Security => "Not allowed",
            Self::NoSuchName => "There is no such resource",
            Self::DuplicateName => "The name is taken",
            Self::CaptureLimitExceeded => "Too much for one capture",
            Self::QueryParameter => "A parameter of the query is wrong",
            Self::QueryTooComplex => "The query is too complex",
            Self::QueryTooLarge => "The query selects too much",
            Self::SubscriptionControls => "The subscription says not when to report",
            Self::UriTooLong => "The address is too long",
            Self::Implementation => "It could not be done",
        }
    }
}

/// A problem.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub status: StatusCode,
    pub exception: Exception,
    pub detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, exception: Exception, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            status,
            exception,
            detail,
        }
    }

    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Exception::Validation, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, Exception::NoSuchName, detail)
    }

    pub(super) fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            Exception::Implementation,
            detail,
        )
    }

    pub(super) fn unsupported_media(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Exception::Implementation,
            detail,
        )
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Exception::CaptureLimitExceeded,
            detail,
        )
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Exception::Security, detail)
    }

    pub(super) fn too_much(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Exception::Implementation,
            detail,
        )
    }

    /// What is nobody's fault but this program's: said in its log.
    pub(super) fn internal(what: &str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(what, %error, "a request could not be answered");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Exception::Implementation,
            "try again; if it stays so, tell the operator",
        )
    }

    /// As it stands in a body.
    pub(super) fn body(&self) -> Value {
        json!({
            "type": self.kind(),
            "title": self.exception.title(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        })
    }

    fn kind(&self) -> String {
        let name = match self.exception {
            Exception::UriTooLong => "URITooLong".to_owned(),
            other => format!("{other:?}"),
        };
        format!("epcisException:{name}Exception")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let headers = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, headers, self.body().to_string()).into_response();
        let asks = match self.status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "5")),
            _ => None,
        };
        if let Some((name, value)) = asks {
            let value = axum::http::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        super::marked(&mut response);
        response
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason);
        let (http, exception) = match (status.code(), reason.as_deref()) {
            (_, Some("QUERY_UNSUPPORTED")) => {
                (StatusCode::NOT_IMPLEMENTED, Exception::Implementation)
            }
            (_, Some("QUERY_TOO_COMPLEX")) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Exception::QueryTooComplex)
            }
            (_, Some("QUERY_TOO_LARGE")) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Exception::QueryTooLarge)
            }
            (Code::InvalidArgument | Code::OutOfRange, _) => {
                (StatusCode::BAD_REQUEST, Exception::QueryParameter)
            }
            (Code::Unauthenticated, _) => (StatusCode::UNAUTHORIZED, Exception::Security),
            (Code::PermissionDenied, _) => (StatusCode::FORBIDDEN, Exception::Security),
            (Code::NotFound, _) => (StatusCode::NOT_FOUND, Exception::NoSuchName),
            (Code::ResourceExhausted | Code::Unavailable, _) => {
                (StatusCode::SERVICE_UNAVAILABLE, Exception::Implementation)
            }
            _ => return Self::internal("the ledger", &status),
        };
        Self::new(http, exception, status.message())
    }
}
