//! Error responses: `application/problem+json` (RFC 9457).

pub mod kinds;

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use driftshield_sdk::error::ErrorInfo;
use serde::Serialize;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tower_http::request_id::{MakeRequestId, RequestId};
use utoipa::ToSchema;

use crate::{socket::handshake, sql::is_recovery_conflict, transactions::Failure, values::U64};

use kinds::Kind;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Time limit of a request, including waits for `min_slot`, for a database connection and for
/// statements.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1024;
/// Largest id of a request that the client chooses, in characters.
const MAX_REQUEST_ID: usize = 128;

/// Why a request failed. The message is the `detail` that the client reads.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The request violates the OpenAPI document.
    #[error("{0}")]
    BadRequest(String),
    /// The request matches the document, but one of its values can't be served.
    #[error("{0}")]
    InvalidValue(String),
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
    #[error("body is larger than {} KiB; send less", MAX_BODY_BYTES / 1024)]
    BodyTooLarge,
    #[error("body is not JSON; send JSON with the header `Content-Type: application/json`")]
    NotJson,
    #[error("too many requests from this address; retry in {retry_after_secs} s")]
    RateLimited { retry_after_secs: u64 },
    #[error("server has more requests than it can answer in time; retry in a few seconds")]
    Overloaded,
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
    Transaction(#[from] Failure),
    #[error("WebSocket version {0} is not supported; use version 13")]
    WebSocketVersion(String),
    #[error("server has its maximum of {0} WebSockets; connect again in a few seconds")]
    TooManySockets(usize),
    #[error(
        "your address has its maximum of {0} WebSockets; close one, or subscribe on an open one"
    )]
    TooManySocketsOfAddress(usize),
    #[error("request or a database query took too long; retry, or use a smaller `limit`")]
    Timeout,
    #[error("server reads a copy of the database that it cannot write; ask another server")]
    Standby,
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

    fn kind(&self) -> &'static Kind {
        match self {
            Self::BadRequest(_) => &kinds::BAD_REQUEST,
            Self::InvalidValue(_) => &kinds::INVALID_VALUE,
            Self::Combination(_) => &kinds::COMBINATION,
            Self::BadCursor => &kinds::BAD_CURSOR,
            Self::CursorMismatch => &kinds::CURSOR_MISMATCH,
            Self::CursorExpired(_) => &kinds::CURSOR_EXPIRED,
            Self::NotFound { .. } => &kinds::NOT_FOUND,
            Self::NoRoute(_) => &kinds::NO_ROUTE,
            Self::MethodNotAllowed(_) => &kinds::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => &kinds::BODY_TOO_LARGE,
            Self::NotJson => &kinds::NOT_JSON,
            Self::SlotNotReached { .. } => &kinds::SLOT_NOT_REACHED,
            Self::MirrorSettling { .. } => &kinds::MIRROR_SETTLING,
            Self::ProgramError(_) | Self::Refused { .. } => &kinds::PROGRAM_ERROR,
            Self::Transaction(failure) => failure.kind(),
            Self::WebSocketVersion(_) => &kinds::WEBSOCKET_VERSION,
            Self::TooManySockets(_) => &kinds::TOO_MANY_SOCKETS,
            Self::TooManySocketsOfAddress(_) => &kinds::TOO_MANY_SOCKETS_OF_ADDRESS,
            Self::RateLimited { .. } => &kinds::RATE_LIMITED,
            Self::Overloaded => &kinds::OVERLOADED,
            Self::Timeout => &kinds::TIMEOUT,
            Self::Standby => &kinds::STANDBY,
            Self::Unavailable(_) => &kinds::UNAVAILABLE,
            Self::Internal(_) => &kinds::INTERNAL,
        }
    }

    pub fn status(&self) -> StatusCode {
        self.kind().status
    }

    /// Last segment of the problem's `type`.
    pub fn code(&self) -> &'static str {
        self.kind().code
    }

    /// Whether a standby canceled the read. A retry can succeed at once.
    pub fn is_recovery_conflict(&self) -> bool {
        matches!(self, Self::Unavailable(error) if is_recovery_conflict(error))
    }

    /// Seconds after which the same request can succeed.
    pub fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_secs } => Some(*retry_after_secs),
            Self::TooManySocketsOfAddress(_) => Some(1),
            Self::Standby => None,
            _ => match self.status() {
                StatusCode::TOO_EARLY | StatusCode::SERVICE_UNAVAILABLE => Some(1),
                _ => None,
            },
        }
    }

    /// Logs what the operator has to know of.
    pub fn log(&self) {
        match self {
            Self::Internal(error) | Self::Unavailable(error) => {
                tracing::error!(error = %error, "request failed");
            }
            Self::Transaction(failure) => failure.log(),
            _ => {}
        }
    }

    fn body(&self, types: &ProblemTypes, request_id: &str) -> ProblemBody {
        let Kind {
            status,
            code,
            title,
            ..
        } = *self.kind();
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
            kind: types.url(code),
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
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, Tls};
        let sqlstate = error
            .as_database_error()
            .and_then(|error| error.code())
            .unwrap_or_default()
            .into_owned();
        match (&error, sqlstate.as_str()) {
            // A schema, table, privilege or role is missing: the migrations have not run yet.
            (_, "3F000" | "42P01" | "42501" | "42704") => Self::Unavailable(error),
            // The server refuses the connection: of an unknown role, with a data exception.
            _ if is_fatal(&error) => Self::Unavailable(error),
            // Connection failure, insufficient resources, server shutdown.
            (_, sqlstate)
                if ["08", "53", "57P"]
                    .iter()
                    .any(|class| sqlstate.starts_with(class)) =>
            {
                Self::Unavailable(error)
            }
            // A standby's recovery canceled the read.
            (_, "40001") => Self::Unavailable(error),
            // Statement timeout.
            (_, "57014") => Self::Timeout,
            // No connection: the database is unreachable, or the pool is exhausted. sqlx takes a connection
            // that ends while it begins for an answer that breaks the protocol.
            (Io(_) | Tls(_) | PoolTimedOut | PoolClosed | Protocol(_), _) => {
                Self::Unavailable(error)
            }
            // Also a data exception (class 22): what a client sends is checked before it becomes a value
            // of a statement, so the mirror's data or a statement is wrong.
            _ => Self::Internal(error),
        }
    }
}

/// URLs of the kinds of problems.
#[derive(Clone)]
pub struct ProblemTypes {
    /// URL by which clients reach the API, without a `/` at its end.
    pub public_url: Arc<str>,
}

impl ProblemTypes {
    fn url(&self, code: &str) -> String {
        format!("{}/problems/{code}", self.public_url)
    }
}

/// Whether the server has ended the connection with this error.
fn is_fatal(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    let error = error.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Body of an error response: problem details (RFC 9457).
#[derive(Serialize, ToSchema)]
pub struct ProblemBody {
    /// URL of a page that describes this kind of problem. Its last segment identifies the kind, and never
    /// changes.
    #[serde(rename = "type")]
    #[schema(format = "uri", example = "http://127.0.0.1:8080/problems/not-found")]
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
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Writes the body of each problem, and logs what is the server's own fault.
pub async fn write_body(
    State(types): State<ProblemTypes>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let id = request_id(request.headers()).to_owned();
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() else {
        return response;
    };
    problem.log();
    let body = Json(problem.body(&types, &id)).into_response();
    let (parts, body) = body.into_parts();
    *response.body_mut() = body;
    let headers = response.headers_mut();
    headers.extend(parts.headers);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if let Some(secs) = problem.retry_after_secs() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    if problem.status() == StatusCode::UPGRADE_REQUIRED {
        headers.extend(handshake::upgrade_headers());
    }
    response
}

/// The id that the client has given its request, if it gave one that is fit for a log.
fn own_request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    let mut ids = headers.get_all(REQUEST_ID).iter();
    let id = ids.next().filter(|_| ids.next().is_none())?;
    let is_fit = (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(is_safe);
    is_fit.then_some(id)
}

/// Removes the request's id if it isn't fit for a log: the server assigns another one then.
pub fn check_request_id(mut request: Request<Body>) -> Request<Body> {
    if own_request_id(request.headers()).is_none() {
        request.headers_mut().remove(REQUEST_ID);
    }
    request
}

/// Ids that the server assigns: 128 random bits, from the generator of the thread, which needs no system call.
#[derive(Clone)]
pub struct RandomIds;

impl RandomIds {
    fn next() -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{:032x}", rand::random::<u128>())).ok()
    }
}

impl MakeRequestId for RandomIds {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        Self::next().map(RequestId::new)
    }
}

/// Writes the request's id into the headers of its response: the client's own, or a new one.
pub fn assign_request_id(request: &HeaderMap, response: &mut HeaderMap) {
    let own = own_request_id(request).cloned();
    if let Some(id) = own.or_else(RandomIds::next) {
        response.insert(REQUEST_ID, id);
    }
}

/// The request's id: the client's own, or the one that the server assigned.
pub fn request_id(headers: &HeaderMap) -> &str {
    headers
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
}
