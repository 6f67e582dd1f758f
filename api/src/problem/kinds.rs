//! Kinds of problems, and the pages that describe them.

use std::fmt::Write;

use axum::{Router, extract::Path, http::StatusCode, response::Html, routing::get};

use super::Problem;

/// What all problems of a `type` have in common.
pub struct Kind {
    pub status: StatusCode,
    /// Last segment of the `type`. It never changes.
    pub code: &'static str,
    pub title: &'static str,
    /// What has happened, and what to do.
    meaning: &'static str,
}

impl Kind {
    const fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self {
            status,
            code,
            title,
            meaning,
        }
    }
}

/// All kinds, in the order of the page.
const KINDS: &[&Kind] = &[
    &BAD_REQUEST,
    &INVALID_VALUE,
    &COMBINATION,
    &BAD_CURSOR,
    &CURSOR_MISMATCH,
    &CURSOR_EXPIRED,
    &NOT_FOUND,
    &NO_ROUTE,
    &METHOD_NOT_ALLOWED,
    &BODY_TOO_LARGE,
    &NOT_JSON,
    &PROGRAM_ERROR,
    &TRANSACTION_FAILS,
    &SLOT_NOT_REACHED,
    &WEBSOCKET_VERSION,
    &TOO_MANY_SOCKETS,
    &TOO_MANY_SOCKETS_OF_ADDRESS,
    &RATE_LIMITED,
    &OVERLOADED,
    &MIRROR_SETTLING,
    &TIMEOUT,
    &STANDBY,
    &UNAVAILABLE,
    &RPC_UNAVAILABLE,
    &NO_RPC_NODE,
    &INTERNAL,
];

pub const BAD_REQUEST: Kind = Kind::new(
    StatusCode::BAD_REQUEST,
    "bad-request",
    "Bad request",
    "The request does not match the OpenAPI document: a part of it is missing, unknown or has another form. \
     `detail` names the part and says which values it can have.",
);
pub const INVALID_VALUE: Kind = Kind::new(
    StatusCode::UNPROCESSABLE_ENTITY,
    "invalid-value",
    "Invalid value",
    "The request matches the OpenAPI document, but a value in it means nothing here: a text that looks like an \
     address and isn't 32 bytes, an integer of more than 64 bits, an address that no wallet has, a time outside \
     of the range. `detail` names the value and says which ones are possible.",
);
pub const COMBINATION: Kind = Kind::new(
    StatusCode::UNPROCESSABLE_ENTITY,
    "unsupported-combination",
    "Unsupported combination of parameters",
    "Each parameter is valid, but the list cannot be filtered or sorted by all of them together. `detail` \
     says which one to leave out or to add.",
);
pub const BAD_CURSOR: Kind = Kind::new(
    StatusCode::UNPROCESSABLE_ENTITY,
    "bad-cursor",
    "Bad cursor",
    "The cursor is none that the API returned. Start again without `cursor`.",
);
pub const CURSOR_MISMATCH: Kind = Kind::new(
    StatusCode::UNPROCESSABLE_ENTITY,
    "cursor-mismatch",
    "Cursor of another list",
    "The cursor was returned for another path or other parameters. Use it with those, or start again \
     without `cursor`.",
);
pub const CURSOR_EXPIRED: Kind = Kind::new(
    StatusCode::GONE,
    "cursor-expired",
    "Cursor expired",
    "The list has changed so much that it cannot be continued: the mirror was rebuilt, or the first page of \
     a list that is sorted by something that changes is more than ten minutes old. Start again without \
     `cursor`.",
);
pub const NOT_FOUND: Kind = Kind::new(
    StatusCode::NOT_FOUND,
    "not-found",
    "Not found",
    "The mirror has no such account or event, or for a transaction, the chain has no such account, or one of \
     another type. If a transaction has just created it, retry with `min_slot` set to the transaction's slot.",
);
pub const NO_ROUTE: Kind = Kind::new(
    StatusCode::NOT_FOUND,
    "no-such-route",
    "No such route",
    "The API has no such path. /api-docs lists all paths.",
);
pub const METHOD_NOT_ALLOWED: Kind = Kind::new(
    StatusCode::METHOD_NOT_ALLOWED,
    "method-not-allowed",
    "Method not allowed",
    "The path exists, but not with this method. The header `Allow` lists its methods.",
);
pub const BODY_TOO_LARGE: Kind = Kind::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "body-too-large",
    "Body too large",
    "The body of a request has at most 16 KiB.",
);
pub const NOT_JSON: Kind = Kind::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "not-json",
    "Body is not JSON",
    "Send the body as JSON, with the header `Content-Type: application/json`.",
);
pub const PROGRAM_ERROR: Kind = Kind::new(
    StatusCode::UNPROCESSABLE_ENTITY,
    "program-error",
    "Refused by the program",
    "The program would refuse the transaction. `program_error` has the error's number, name and message, and \
     with a quote, what the rule would allow.",
);
pub const TRANSACTION_FAILS: Kind = Kind::new(
    StatusCode::UNPROCESSABLE_ENTITY,
    "transaction-fails",
    "The transaction would fail",
    "The transaction would fail for a reason outside of the program: too few tokens, no SOL, a frozen token \
     account, or an id that is in use. `detail` says what to do.",
);
pub const SLOT_NOT_REACHED: Kind = Kind::new(
    StatusCode::TOO_EARLY,
    "slot-not-reached",
    "Slot not reached",
    "The mirror, or for a transaction, the RPC node, has not reached the request's `min_slot` in time. `slot` \
     is the one that the mirror has reached. Retry.",
);
pub const WEBSOCKET_VERSION: Kind = Kind::new(
    StatusCode::UPGRADE_REQUIRED,
    "websocket-version",
    "WebSocket version not supported",
    "The server has version 13 of the WebSocket protocol, as the header `Sec-WebSocket-Version` says.",
);
pub const TOO_MANY_SOCKETS: Kind = Kind::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "too-many-sockets",
    "Too many WebSockets",
    "The server has its maximum of WebSockets. Connect again after the time in `Retry-After`.",
);
pub const TOO_MANY_SOCKETS_OF_ADDRESS: Kind = Kind::new(
    StatusCode::TOO_MANY_REQUESTS,
    "too-many-sockets-of-address",
    "Too many WebSockets of the address",
    "The client's address has its maximum of WebSockets. Close one, or subscribe to more channels on an open \
     one.",
);
pub const RATE_LIMITED: Kind = Kind::new(
    StatusCode::TOO_MANY_REQUESTS,
    "rate-limited",
    "Too many requests",
    "The client's address has sent too many requests. The headers `RateLimit-Policy` and `RateLimit` state \
     the limit and what is left of it, and `Retry-After` the time to wait.",
);
pub const OVERLOADED: Kind = Kind::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "overloaded",
    "Overloaded",
    "The server has more requests than it can answer in time. Retry after the time in `Retry-After`.",
);
pub const MIRROR_SETTLING: Kind = Kind::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "mirror-settling",
    "Mirror is settling",
    "The mirror has begun, or has missed slots, and still reads accounts: some could be missing from the \
     answer. Retry in a few seconds.",
);
pub const TIMEOUT: Kind = Kind::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "timeout",
    "Timeout",
    "The request, or a query of the database, took too long. Retry, or ask for less with `limit`.",
);
pub const STANDBY: Kind = Kind::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "standby",
    "Database is a standby",
    "The server reads a copy of the database that it cannot write, so it cannot ask the indexer for anything. \
     Another server can.",
);
pub const UNAVAILABLE: Kind = Kind::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "unavailable",
    "Mirror unavailable",
    "The database is unreachable, overloaded, not migrated or still empty. Retry in a few seconds.",
);
pub const RPC_UNAVAILABLE: Kind = Kind::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "rpc-unavailable",
    "RPC node unavailable",
    "The RPC node from which transactions are built is unreachable, refuses requests or is too slow. Retry in \
     a few seconds. Reads of the mirror don't need it.",
);
pub const NO_RPC_NODE: Kind = Kind::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "no-rpc-node",
    "No RPC node",
    "The server has no RPC node, so it builds no transactions. Its operator can set `rpc_url`.",
);
pub const INTERNAL: Kind = Kind::new(
    StatusCode::INTERNAL_SERVER_ERROR,
    "internal",
    "Internal error",
    "The server has a fault. Report it with the `request_id`, by which its log can be searched.",
);

/// Codes of the kinds that only routes have which need the RPC node.
const OF_TRANSACTIONS: [&str; 3] = [
    TRANSACTION_FAILS.code,
    RPC_UNAVAILABLE.code,
    NO_RPC_NODE.code,
];

/// Titles of the kinds with this HTTP status, of a route that needs the RPC node or of one that doesn't, with a
/// body or without one.
pub fn titles(status: u16, needs_node: bool, has_body: bool) -> Vec<&'static str> {
    let applies = |kind: &&&Kind| {
        kind.status.as_u16() == status
            && (needs_node || !OF_TRANSACTIONS.contains(&kind.code))
            // The program only refuses what a body describes.
            && (has_body || kind.code != PROGRAM_ERROR.code)
    };
    let kinds = KINDS.iter().filter(applies);
    kinds.map(|kind| kind.title).collect()
}

/// Pages of all kinds, at the URLs of their `type`.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/problems", get(async || Html(page(KINDS))))
        .route("/problems/{code}", get(one))
}

async fn one(Path(code): Path<String>) -> Result<Html<String>, Problem> {
    match KINDS.iter().find(|kind| kind.code == code) {
        Some(kind) => Ok(Html(page(&[kind]))),
        None => Err(Problem::not_found("problem", code)),
    }
}

fn page(kinds: &[&Kind]) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Problems of the DriftShield \
         API</title><h1>Problems of the DriftShield API</h1>",
    );
    for Kind {
        status,
        code,
        title,
        meaning,
    } in kinds
    {
        let _ = write!(
            html,
            "<h2 id=\"{code}\">{title}</h2><p><code>{code}</code>, HTTP status {}.<p>{meaning}",
            status.as_u16(),
        );
    }
    html.push_str(
        "<p><a href=\"/problems\">All problems</a>. <a href=\"/api-docs\">API</a>.</html>",
    );
    html
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_fit_a_url() {
        let codes: BTreeSet<_> = KINDS.iter().map(|kind| kind.code).collect();
        assert_eq!(codes.len(), KINDS.len());
        for code in codes {
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{code}"
            );
        }
    }
}
