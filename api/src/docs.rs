//! OpenAPI document, and an HTML page of it that loads nothing from other servers.

use std::{fmt::Write, sync::Arc};

use axum::{Router, http::header, response::Html, routing::get};
use serde_json::Value;
use utoipa::OpenApi;

use crate::{bytes::Key, page::Limit, state::AppState};

/// Parts of the document that do not come from the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "DriftShield API",
        description = "Access to a mirror of the program's accounts and events, and unsigned transactions for \
            wallets to sign: the API can neither sign nor send. Amounts, event ids and other 64-bit integers are decimal strings, keys and signatures are base58, \
            hashes are hex, times are RFC 3339; `seq`, `epoch`, `slot`, positions, versions and durations \
            are JSON numbers. docs/events.md describes the bodies of events. Each answer is read from one \
            snapshot of the mirror. The headers X-Epoch, X-Slot, X-Finalized-Slot, X-Seq and \
            X-Data-Age-Ms identify the snapshot. An account that is closed can be created again at its \
            address: `life` tells the accounts at an address apart, and routes of one account return the \
            current one unless a `life` is given. A cursor of another epoch is refused as \
            `cursor-expired`; while accounts are newer than events, reads are refused as \
            `mirror-settling`. The WebSocket /api/v1/ws pushes changes; docs/websocket.md describes it."
    ),
    components(schemas(Key, Limit)),
    tags(
        (name = "models", description = "Models: metric, oracles, statistics"),
        (name = "receipts", description = "Receipts: the drift of a model in one window"),
        (name = "markets", description = "Markets: bets on the drift of a model"),
        (name = "positions", description = "Positions: the stakes of an owner in a market"),
        (name = "insurance", description = "Vaults, policies, quotes and withdrawals"),
        (name = "transactions", description = "Unsigned transactions to sign and send"),
        (name = "actions", description = "Solana Actions: the same transactions for wallets and blinks"),
        (name = "events", description = "Events of the program, in order"),
        (name = "health", description = "Health and metrics of the service"),
    )
)]
struct Document;

pub fn info() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub fn router(document: &utoipa::openapi::OpenApi) -> Router<AppState> {
    let value = serde_json::to_value(document).expect("the document serialises to JSON");
    let json: Arc<str> = value.to_string().into();
    let page: Arc<str> = html(&value).into();
    let json = move || async move {
        (
            [(header::CONTENT_TYPE, "application/json")],
            json.to_string(),
        )
    };
    Router::new()
        .route(
            "/api-docs",
            get(move || async move { Html(page.to_string()) }),
        )
        .route("/api-docs/openapi.json", get(json))
}

/// HTML page that lists the operations by path.
fn html(document: &Value) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>DriftShield API</title><style>\
         body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
         code{background:#eee;padding:.1rem .3rem}td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}\
         h2{font-size:1rem;margin-top:2rem}</style><h1>DriftShield API</h1>",
    );
    let _ = write!(
        html,
        "<p>{}</p><p><a href=\"/api-docs/openapi.json\">OpenAPI {}</a></p>",
        escape(text(&document["info"]["description"])),
        escape(text(&document["openapi"])),
    );
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let _ = write!(
                html,
                "<h2><code>{} {}</code></h2><p>{}</p><table>",
                method.to_uppercase(),
                escape(path),
                escape(text(&operation["summary"])),
            );
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let _ = write!(
                    html,
                    "<tr><td><code>{}</code><td>{}<td>{}",
                    escape(text(&parameter["name"])),
                    escape(text(&parameter["in"])),
                    escape(text(&parameter["description"])),
                );
            }
            html.push_str("</table>");
        }
    }
    html.push_str("</html>");
    html
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
