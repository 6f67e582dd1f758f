//! OpenAPI document, and a page of it.

pub mod bounds;
mod failures;
mod operations;
mod sentences;
mod summary;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderValue, header},
    routing::get,
};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa::{OpenApi, openapi::Server};
use utoipa_swagger_ui::SwaggerUi;

use crate::{bytes::Key, state::AppState};

/// Parts of the document that do not come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "DriftShield API",
        description = "Access to a mirror of the program's accounts and events, and unsigned transactions \
            for wallets to sign: the API can neither sign nor send. Amounts, event ids and other 64-bit \
            integers are decimal strings, keys and signatures are base58, \
            hashes are hex, times are RFC 3339; `seq`, `epoch`, `slot`, positions, versions and durations \
            are JSON numbers. docs/events.md describes the bodies of events. Each answer is read from one \
            snapshot of the mirror. A request that violates this document is answered with 400, and one that \
            matches it and can't be served with 422. The headers X-Epoch, X-Slot, X-Finalized-Slot, X-Seq and \
            X-Data-Age-Ms identify the snapshot. An account that is closed can be created again at its \
            address: `life` tells the accounts at an address apart, and routes of one account return the \
            current one unless a `life` is given. A cursor of another epoch is refused as \
            `cursor-expired`; while accounts are newer than events, reads are refused as \
            `mirror-settling`. docs/transactions.md describes the transactions. The WebSocket /api/v1/ws pushes changes; docs/websocket.md and /api-docs/asyncapi.json describe it."
    ),
    components(schemas(Key)),
    tags(
        (name = "models", description = "Models: metric, oracles, statistics"),
        (name = "receipts", description = "Receipts: the drift of a model in one window"),
        (name = "markets", description = "Markets: bets on the drift of a model"),
        (name = "positions", description = "Positions: the stakes of an owner in a market"),
        (name = "insurance", description = "Vaults, policies, quotes and withdrawals"),
        (name = "oracles", description = "Oracles: seats, bonds, rewards, and how reliably they submit"),
        (name = "users", description = "Users: the people behind wallets"),
        (name = "wallets", description = "Wallets: balances, movements and statements"),
        (name = "analytics", description = "Portfolios, the health of models, totals and rankings"),
        (name = "transactions", description = "Unsigned transactions to sign and send"),
        (name = "actions", description = "Solana Actions: the same transactions for wallets and blinks"),
        (name = "events", description = "Events of the program, in order"),
        (name = "health", description = "Health of the service"),
    )
)]
struct Document;

/// The document, without paths. Clients reach the API at `public_url`.
pub fn info(public_url: &str) -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    document.servers = Some(vec![Server::new(public_url)]);
    document
}

/// Completes the document once it has all operations.
pub fn complete(document: &mut utoipa::openapi::OpenApi) {
    failures::list(document);
    bounds::set(document);
    sentences::split(document);
}

/// The document as JSON, a page of it that loads nothing from other servers, and a summary for language
/// models.
pub fn router(document: utoipa::openapi::OpenApi) -> Router<AppState> {
    let summary: Arc<str> = summary::of(&document).into();
    let summary = get(async move || summary.to_string());
    let page = SwaggerUi::new("/api-docs").url("/api-docs/openapi.json", document);
    let policy = HeaderValue::from_static(
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; frame-ancestors 'none'",
    );
    let policy = SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, policy);
    Router::from(page).layer(policy).route("/llms.txt", summary)
}
