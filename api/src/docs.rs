//! The OpenAPI document, and a page that needs no network to show it.

use std::{fmt::Write, sync::Arc};

use axum::{Router, http::header, response::Html, routing::get};
use serde_json::Value;
use utoipa::OpenApi;

use crate::{AppState, page::Limit, values::Key};

/// What the document says beside its paths and schemas.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "DriftShield API",
        description = "Reads the mirror of the chain. Numbers of 64 bits are decimal strings, keys base58, \
            times RFC 3339; `seq`, `slot` and other positions are numbers. Every answer is of one moment, \
            which the headers X-Slot, X-Finalized-Slot, X-Seq and X-Data-Age-Ms name. Changes come over the \
            WebSocket /api/v1/ws: docs/websocket.md."
    ),
    components(schemas(Key, Limit)),
    tags(
        (name = "models", description = "What is measured, how and by whom"),
        (name = "receipts", description = "Drift, window by window"),
        (name = "markets", description = "What is bet on drift"),
        (name = "positions", description = "Who has bet"),
        (name = "insurance", description = "What vaults cover, at what price, and what policies came to"),
        (name = "events", description = "What happened, in order"),
        (name = "health", description = "How the service is"),
    )
)]
struct Document;

pub fn info() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

pub fn router(document: &utoipa::openapi::OpenApi) -> Router<AppState> {
    let value = serde_json::to_value(document).expect("keys are strings");
    let json: Arc<str> = value.to_string().into();
    let page: Arc<str> = page(&value).into();
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

/// The operations, by path.
fn page(document: &Value) -> String {
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
