//! Headers and errors that the specification demands of every answer.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::ActionError;
use crate::{problem::Problem, state::AppState};

/// Version of the specification.
const VERSION: &str = "2.4";

/// Headers that do not depend on the cluster.
const FIXED: [(&str, &str); 5] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET,POST,PUT,OPTIONS"),
    (
        "access-control-allow-headers",
        "Content-Type, Authorization, Content-Encoding, Accept-Encoding, X-Accept-Action-Version, \
         X-Accept-Blockchain-Ids",
    ),
    (
        "access-control-expose-headers",
        "X-Action-Version, X-Blockchain-Ids",
    ),
    ("x-action-version", VERSION),
];
const BLOCKCHAIN_IDS: HeaderName = HeaderName::from_static("x-blockchain-ids");

/// Writes the body of each problem, and the headers of each answer.
pub async fn finish(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() {
        response = in_words(&problem);
    }
    let blockchain = app.chain.blockchain_id().await;
    add_headers(response.headers_mut(), blockchain.as_deref());
    response
}

fn in_words(problem: &Problem) -> Response {
    problem.log();
    let message = problem.to_string();
    let mut response = (problem.status(), Json(ActionError { message })).into_response();
    if let Some(secs) = problem.retry_after_secs() {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

/// `blockchain` is unknown without an RPC node: a client then can't check its cluster.
fn add_headers(headers: &mut HeaderMap, blockchain: Option<&str>) {
    for (name, value) in FIXED {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(Ok(id)) = blockchain.map(HeaderValue::from_str) {
        headers.insert(BLOCKCHAIN_IDS, id);
    }
    let json = HeaderValue::from_static("application/json");
    headers.entry(header::CONTENT_TYPE).or_insert(json);
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn every_answer_has_the_headers_of_the_specification() {
        let mut headers = HeaderMap::new();
        add_headers(
            &mut headers,
            Some("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"),
        );
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert_eq!(headers["x-action-version"], "2.4");
        assert_eq!(
            headers["x-blockchain-ids"],
            "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
        );
        assert_eq!(headers["content-type"], "application/json");
    }

    #[test]
    fn a_problem_becomes_a_message() {
        let response = in_words(&Problem::Timeout);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "application/json");
    }
}
