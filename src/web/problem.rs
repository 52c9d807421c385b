//! What went wrong, for programs (RFC 9457, problem details) and for people.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::Shared;
use super::language::Spoken;
use super::page::{Site, shown};

/// A problem.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub status: StatusCode,
    /// Stable, short.
    title: &'static str,
    /// What was wrong, and what to do.
    pub detail: String,
    /// The ledger's own name for it, as in `google.rpc.ErrorInfo`.
    reason: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            status,
            title,
            detail,
            reason: None,
        }
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large", detail)
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "The request is wrong", detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Not allowed", detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "It was done already", detail)
    }

    pub(super) fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "No such form", detail)
    }

    pub(super) fn too_many(seconds: u64) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many look-ups",
            format!("your network asks too often; come again in {seconds} s"),
        )
    }

    /// What is nobody's fault but the ledger's: said in the log, not to strangers.
    pub(super) fn internal(detail: &str) -> Self {
        tracing::error!(detail, "a page could not be made");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The ledger failed",
            "try again; if it stays so, tell the operator",
        )
    }
}

impl std::convert::From<Status> for Problem {
    fn from(status: Status) -> Self {
        let message = status.message();
        let problem = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Self::bad_request(message),
            Code::NotFound => Self::not_found(message),
            Code::Unauthenticated => {
                Self::new(StatusCode::UNAUTHORIZED, "A token is needed", message)
            }
            Code::PermissionDenied => Self::forbidden(message),
            // The heads that a record names are not those that there are.
            Code::Aborted => Self::new(StatusCode::CONFLICT, "Conflict", message),
            Code::FailedPrecondition => Self::new(StatusCode::CONFLICT, "Not now", message),
            Code::AlreadyExists => Self::conflict(message),
            Code::ResourceExhausted | Code::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Too much at once", message)
            }
            Code::Unimplemented => Self::not_found(message),
            _ => Self::internal(message),
        };
        let reason = status.get_details_error_info().map(|info| info.reason);
        Self { reason, ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let (Some(reason), Some(object)) = (&self.reason, body.as_object_mut()) {
            object.insert("reason".into(), reason.as_str().into());
        }
        let mut response = (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            body.to_string(),
        )
            .into_response();
        // For whoever shows it as a page instead.
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(askama::Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    site: Site,
    problem: Problem,
}

impl super::page::Framed for ProblemPage {
    fn site(&self) -> &Site {
        &self.site
    }
}

/// A page that says what is wrong.
pub(super) fn page(site: Site, problem: Problem) -> Response {
    let status = problem.status;
    let mut response = shown(&ProblemPage { site, problem });
    *response.status_mut() = status;
    response
}

/// Whatever no route is for.
pub(super) async fn no_such_page(
    axum::extract::State(web): Shared,
    spoken: Spoken,
    uri: axum::http::Uri,
) -> Response {
    let site = Site::new(&web, spoken, &uri);
    let lang = spoken.lang;
    let detail = lang.pick("没有这个页面。", "There is no such page.");
    page(site, Problem::not_found(detail))
}
