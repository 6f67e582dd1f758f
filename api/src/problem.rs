//! Errors as clients get them: `application/problem+json` (RFC 9457).

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

use crate::values::Key;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No answer takes longer: waiting for a slot, a connection and a statement together.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request has no answer. Its message is what the client reads.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{0}")]
    BadRequest(String),
    #[error("the cursor cannot be read: begin again without `cursor`")]
    BadCursor,
    #[error("the cursor is of another list: use it with the path and the parameters that gave it")]
    CursorMismatch,
    #[error("the mirror holds no {what} {key}; if it was made just now, ask with `min_slot`")]
    NotFound { what: &'static str, key: String },
    #[error("nothing is served at {0}: /api-docs lists what is")]
    NoRoute(String),
    #[error("{0} is not served here: /api-docs lists what is")]
    Method(Method),
    #[error("the mirror has reached slot {slot}, not {min_slot} yet: ask again")]
    NotYet { min_slot: i64, slot: i64 },
    #[error("the program would refuse it: {}", .0.message)]
    Refused(&'static ErrorInfo),
    #[error("the answer took too long: ask again, or for less")]
    Timeout,
    #[error("the database cannot be reached or is not set up: ask again soon")]
    Unavailable(#[source] sqlx::Error),
    #[error("something went wrong here: tell us the request id")]
    Internal(#[source] sqlx::Error),
}

impl Problem {
    /// That the mirror holds no account of this type at `key`.
    pub fn missing(what: &'static str, key: &Key) -> Self {
        Self::NotFound {
            what,
            key: key.as_str().to_owned(),
        }
    }

    /// Status, the end of `type`, and title.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad-request", "Bad request"),
            Self::BadCursor => (StatusCode::BAD_REQUEST, "bad-cursor", "Bad cursor"),
            Self::CursorMismatch => (
                StatusCode::BAD_REQUEST,
                "cursor-mismatch",
                "Cursor of another list",
            ),
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::NoRoute(_) => (StatusCode::NOT_FOUND, "no-such-route", "No such route"),
            Self::Method(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
            ),
            Self::NotYet { .. } => (
                StatusCode::TOO_EARLY,
                "slot-not-reached",
                "Slot not reached",
            ),
            Self::Refused(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "program-error",
                "Refused by the program",
            ),
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

    /// The end of the problem's `type`.
    pub fn code(&self) -> &'static str {
        self.kind().1
    }

    fn body(&self, request_id: &str) -> ProblemBody {
        let (status, code, title) = self.kind();
        let slot = match self {
            Self::NotYet { slot, .. } => Some(*slot),
            _ => None,
        };
        let program_error = match self {
            Self::Refused(error) => Some(ProgramError {
                number: error.code,
                name: &error.name,
                message: &error.message,
            }),
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
        let state = error
            .as_database_error()
            .and_then(|error| error.code())
            .unwrap_or_default()
            .into_owned();
        match (&error, state.as_str()) {
            // No schema, table, right or role: the migration has still to run.
            (_, "3F000" | "42P01" | "42501" | "22023" | "42704") => Self::Unavailable(error),
            // Connection lost, no room, server going down.
            (_, state)
                if ["08", "53", "57P"]
                    .iter()
                    .any(|class| state.starts_with(class)) =>
            {
                Self::Unavailable(error)
            }
            (_, "57014") => Self::Timeout,
            // A zero byte, or a number in a cursor that somebody made up.
            (_, state) if state.starts_with("22") => Self::BadRequest(
                "a parameter or the cursor holds what no database can read".to_owned(),
            ),
            (Io(_) | Tls(_) | PoolTimedOut | PoolClosed, _) => Self::Unavailable(error),
            _ => Self::Internal(error),
        }
    }
}

/// Why a request has no answer, by RFC 9457.
#[derive(Serialize, ToSchema)]
pub struct ProblemBody {
    /// What to tell problems apart by; it never changes.
    #[serde(rename = "type")]
    #[schema(example = "/problems/not-found")]
    kind: String,
    title: &'static str,
    status: u16,
    /// What went wrong and what to do.
    detail: String,
    /// Names the request in the logs.
    request_id: String,
    /// With `slot-not-reached`: the slot that the mirror has reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<i64>,
    /// With `program-error`: why the program would refuse.
    #[serde(skip_serializing_if = "Option::is_none")]
    program_error: Option<ProgramError>,
}

/// An error of the program: docs/errors.md lists them.
#[derive(Serialize, ToSchema)]
struct ProgramError {
    /// What a failed transaction shows.
    number: u32,
    name: &'static str,
    /// What is wrong and what to do.
    message: &'static str,
}

impl IntoResponse for Problem {
    /// Leaves the body to [`complete`], which knows the request.
    fn into_response(self) -> Response {
        let mut response = self.kind().0.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Bounds the time of each request, writes problems out, and logs what is our own fault.
pub async fn complete(request: Request, next: Next) -> Response {
    let id = request_id(request.headers()).to_owned();
    let mut response = match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::Timeout.into_response(),
    };
    let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() else {
        return response;
    };
    match &*problem {
        Problem::Internal(error) | Problem::Unavailable(error) => {
            tracing::error!(error = %error, "request failed");
        }
        _ => {}
    }
    let (status, ..) = problem.kind();
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

/// The id that the request came with or was given.
pub fn request_id(headers: &HeaderMap) -> &str {
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
}
