//! Error responses: `application/problem+json` (RFC 9457).

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use driftshield_sdk::error::ErrorInfo;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{transactions, values::U64};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Time limit of a request, including waits for `min_slot`, for a database connection and for
/// statements.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request failed. The message is the `detail` that the client reads.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{0}")]
    BadRequest(String),
    #[error("the list has no index for this combination of parameters: {0}")]
    Combination(&'static str),
    #[error("cursor is invalid; start again without `cursor`")]
    BadCursor,
    #[error(
        "cursor belongs to another list; use it with the path and parameters that returned it, or \
         start again without `cursor`"
    )]
    CursorMismatch,
    #[error("cursor has expired: {0}; start again without `cursor`")]
    CursorExpired(&'static str),
    #[error(
        "{resource} {key} is not in the mirror; if it was created just now, retry with `min_slot` \
         set to the slot of the transaction that created it"
    )]
    NotFound { resource: &'static str, key: String },
    #[error("no route {0}; see /api-docs for all routes")]
    NoRoute(String),
    #[error("method {0} is not allowed on this route; see /api-docs for all routes")]
    MethodNotAllowed(Method),
    #[error("mirror is at slot {slot}, behind `min_slot` {min_slot}; retry")]
    SlotNotReached { min_slot: i64, slot: i64 },
    #[error(
        "mirror is at slot {slot} and still reads accounts that it has missed; retry in a few seconds"
    )]
    MirrorSettling { slot: i64 },
    #[error("program would refuse the transaction: {}", .0.message)]
    ProgramError(&'static ErrorInfo),
    #[error(
        "program would refuse the purchase: {}{}",
        .error.message,
        .advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default()
    )]
    Refused {
        error: &'static ErrorInfo,
        /// What the rule would allow.
        limit: u64,
        /// `limit` in words.
        advice: Option<String>,
    },
    #[error(transparent)]
    Transaction(#[from] transactions::Failure),
    #[error("request or a database query took too long; retry, or use a smaller `limit`")]
    Timeout,
    #[error(
        "database is unreachable, overloaded, not migrated or still empty; retry in a few seconds"
    )]
    Unavailable(#[source] sqlx::Error),
    #[error("internal error; report it with the request id")]
    Internal(#[source] sqlx::Error),
}

impl Problem {
    /// The mirror has no account of type `account_type` at `key`.
    pub fn not_found(account_type: &'static str, key: impl ToString) -> Self {
        Self::NotFound {
            resource: account_type,
            key: key.to_string(),
        }
    }

    /// HTTP status, last segment of the problem's `type`, and title.
    fn status_code_title(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad-request", "Bad request"),
            Self::Combination(_) => (
                StatusCode::BAD_REQUEST,
                "unsupported-combination",
                "Unsupported combination of parameters",
            ),
            Self::BadCursor => (StatusCode::BAD_REQUEST, "bad-cursor", "Bad cursor"),
            Self::CursorMismatch => (
                StatusCode::BAD_REQUEST,
                "cursor-mismatch",
                "Cursor of another list",
            ),
            Self::CursorExpired(_) => (StatusCode::GONE, "cursor-expired", "Cursor expired"),
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::NoRoute(_) => (StatusCode::NOT_FOUND, "no-such-route", "No such route"),
            Self::MethodNotAllowed(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
            ),
            Self::SlotNotReached { .. } => (
                StatusCode::TOO_EARLY,
                "slot-not-reached",
                "Slot not reached",
            ),
            Self::MirrorSettling { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "mirror-settling",
                "Mirror is settling",
            ),
            Self::ProgramError(_) | Self::Refused { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "program-error",
                "Refused by the program",
            ),
            Self::Transaction(failure) => failure.status_code_title(),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout", "Timeout"),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Mirror unavailable",
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
            ),
        }
    }

    pub fn status(&self) -> StatusCode {
        self.status_code_title().0
    }

    /// Logs what the operator has to know of.
    pub fn log(&self) {
        if let Self::Internal(error) | Self::Unavailable(error) = self {
            tracing::error!(error = %error, "request failed");
        }
    }

    /// Last segment of the problem's `type`.
    pub fn code(&self) -> &'static str {
        self.status_code_title().1
    }

    fn body(&self, request_id: &str) -> ProblemBody {
        let (status, code, title) = self.status_code_title();
        let slot = match self {
            Self::SlotNotReached { slot, .. } | Self::MirrorSettling { slot, .. } => Some(*slot),
            _ => None,
        };
        let program_error = match self {
            Self::ProgramError(error) => Some(ProgramError::new(error, None)),
            Self::Refused {
                error,
                limit,
                advice,
            } => Some(ProgramError::new(
                error,
                advice.as_ref().map(|_| U64(*limit)),
            )),
            _ => None,
        };
        ProblemBody {
            kind: format!("/problems/{code}"),
            title,
            status: status.as_u16(),
            detail: self.to_string(),
            request_id: request_id.to_owned(),
            slot,
            program_error,
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Tls};
        let sqlstate = error
            .as_database_error()
            .and_then(|error| error.code())
            .unwrap_or_default()
            .into_owned();
        match (&error, sqlstate.as_str()) {
            // A schema, table, privilege or role is missing: the migrations have not run yet.
            (_, "3F000" | "42P01" | "42501" | "22023" | "42704") => Self::Unavailable(error),
            // Connection failure, insufficient resources, server shutdown.
            (_, sqlstate)
                if ["08", "53", "57P"]
                    .iter()
                    .any(|class| sqlstate.starts_with(class)) =>
            {
                Self::Unavailable(error)
            }
            // Statement timeout.
            (_, "57014") => Self::Timeout,
            // Data exception: a zero byte in a parameter, or a number out of range in a forged
            // cursor.
            (_, sqlstate) if sqlstate.starts_with("22") => Self::BadRequest(
                "a parameter or the cursor has a value that the database cannot read; correct the \
                 parameter, or start again without `cursor`"
                    .to_owned(),
            ),
            // No connection: the database is unreachable, or the pool is exhausted.
            (Io(_) | Tls(_) | PoolTimedOut | PoolClosed, _) => Self::Unavailable(error),
            _ => Self::Internal(error),
        }
    }
}

/// Body of an error response: problem details (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct ProblemBody {
    /// Stable identifier of the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "/problems/not-found")]
    kind: String,
    title: &'static str,
    /// HTTP status.
    status: u16,
    /// What went wrong, and what to do.
    detail: String,
    /// Identifies the request in the server's logs.
    request_id: String,
    /// Slot that the mirror has reached; only with `slot-not-reached` and `mirror-settling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<i64>,
    /// Error that the program would return; only with `program-error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    program_error: Option<ProgramError>,
}

/// An error of the program. docs/errors.md lists all of them.
#[derive(Serialize, ToSchema)]
struct ProgramError {
    /// Error number, as in a failed transaction.
    number: u32,
    name: &'static str,
    /// What is wrong, and what to do.
    message: &'static str,
    /// What the rule that refuses a purchase would allow: in base units, micro-units, seconds or unix
    /// time, as `detail` says in words; only with a quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<U64>,
}

impl ProgramError {
    fn new(error: &'static ErrorInfo, limit: Option<U64>) -> Self {
        Self {
            number: error.code,
            name: &error.name,
            message: &error.message,
            limit,
        }
    }
}

impl IntoResponse for Problem {
    /// Leaves the body to [`write_body`], which knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status_code_title().0.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Answers with [`Problem::Timeout`] if a request takes longer than [`REQUEST_TIMEOUT`].
pub async fn limit_time(request: Request, next: Next) -> Response {
    match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::Timeout.into_response(),
    }
}

/// Writes the body of each problem, and logs `Internal` and `Unavailable`.
pub async fn write_body(request: Request, next: Next) -> Response {
    let id = request_id(request.headers()).to_owned();
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() else {
        return response;
    };
    problem.log();
    let status = problem.status();
    let mut response = (status, Json(problem.body(&id))).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_EARLY
    ) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The request's id: the client's own, or the one that the server assigned. Empty if it is not
/// ASCII.
pub fn request_id(headers: &HeaderMap) -> &str {
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
}
