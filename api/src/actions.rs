//! Solana Actions (v2.4): the transactions of `transactions`, for wallets and blinks.
//!
//! GET describes an action, POST returns its transaction, OPTIONS its headers. Inputs are query
//! parameters, or in the body's `data`. Errors are `{ "message": … }`.

mod card;
mod catalogue;
mod headers;
mod input;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{OriginalUri, Request, State},
    http::{Uri, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::headers::finish;
use self::{card::ActionCard, catalogue::Action, input::Input};
use crate::{
    bytes::Key,
    extract::{InPath, json_body, min_slot},
    problem::Problem,
    state::AppState,
    transactions::{MinSlot, View},
};

/// URL by which clients reach the API, without a `/` at its end.
#[derive(Clone)]
pub struct PublicUrl(pub Arc<str>);

/// Routes of the actions, at the root of the API.
pub fn router() -> OpenApiRouter<AppState> {
    let actions = OpenApiRouter::new()
        .routes(routes!(icon))
        .routes(routes!(describe, act, preflight));
    OpenApiRouter::new()
        .nest("/api/v1", actions)
        .routes(routes!(rules, rules_preflight))
}

/// Body of a POST. Other fields of the specification are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin", "data": { "tokens": "1.5" }
}))]
struct ActionRequest {
    /// Wallet that signs and pays.
    account: Key,
    /// Inputs by name, as strings. They take precedence over query parameters.
    #[serde(default)]
    #[schema(value_type = Object)]
    data: Map<String, Value>,
}

/// An unsigned transaction for the wallet to sign and send.
#[derive(Serialize, ToSchema)]
struct ActionReply {
    /// Always `transaction`.
    #[serde(rename = "type")]
    #[schema(example = "transaction")]
    kind: &'static str,
    /// Serialized transaction in base64, with an empty signature.
    transaction: String,
    /// What the transaction does.
    message: String,
}

/// Why there is no action, or no transaction.
#[derive(Serialize, ToSchema)]
struct ActionError {
    message: String,
}

/// Rules that map web pages to actions.
#[derive(Serialize, ToSchema)]
struct ActionRules {
    rules: [ActionRule; 1],
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ActionRule {
    path_pattern: &'static str,
    api_path: &'static str,
}

/// The chain of a request, from its `min_slot`.
fn view(app: &AppState, uri: &Uri) -> Result<View, Problem> {
    app.chain.view(min_slot(uri)?)
}

fn action(name: &str) -> Result<Action, Problem> {
    let unknown = || Problem::NoRoute(format!("/api/v1/actions/{name}"));
    Action::from_name(name).ok_or_else(unknown)
}

/// Description of an action, for a wallet or a blink to show.
///
/// The query has the account that the action is about, such as `market`, and may have further inputs.
#[utoipa::path(
    get,
    path = "/actions/{name}",
    tag = "actions",
    params(("name" = String, Path,
        description = "bet, sell, buy, resolve, claim, deposit, withdraw, cover, claim-cover, \
                       renew-cover, cancel-cover, fund or collect", example = "bet"), MinSlot),
    responses((status = 200, body = ActionCard), (status = "default", body = ActionError))
)]
async fn describe(
    State(app): State<AppState>,
    InPath(name): InPath<String>,
    OriginalUri(uri): OriginalUri,
    Extension(PublicUrl(url)): Extension<PublicUrl>,
) -> Result<Json<ActionCard>, Problem> {
    let action = action(&name)?;
    let mut input = Input::from_query(&uri);
    let card = action.card(&mut view(&app, &uri)?, &mut input).await?;
    Ok(Json(card.with_icon(&url)))
}

/// Unsigned transaction of an action: what the transaction endpoint of the same purpose builds.
#[utoipa::path(
    post,
    path = "/actions/{name}",
    tag = "actions",
    params(("name" = String, Path, description = "Name of the action", example = "bet"), MinSlot),
    request_body = ActionRequest,
    responses((status = 200, body = ActionReply), (status = "default", body = ActionError))
)]
async fn act(
    State(app): State<AppState>,
    InPath(name): InPath<String>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<Json<ActionReply>, Problem> {
    let action = action(&name)?;
    let body: ActionRequest = json_body(request, &app).await?;
    let mut input = Input::from_query(&uri);
    input.set_all(&body.data)?;
    input.set("account", body.account.to_string());
    let reply = action.build(view(&app, &uri)?, &app, input).await?;
    Ok(Json(ActionReply {
        kind: "transaction",
        transaction: reply.transaction,
        message: reply.summary,
    }))
}

/// Headers that allow any web page to use the actions.
#[utoipa::path(
    options,
    path = "/actions/{name}",
    tag = "actions",
    params(("name" = String, Path, description = "Name of the action", example = "bet")),
    responses((status = 200, description = "Only headers"))
)]
async fn preflight() {}

/// Icon of all actions.
#[utoipa::path(
    get,
    path = "/actions/icon.svg",
    tag = "actions",
    responses((status = 200, description = "SVG", content_type = "image/svg+xml"))
)]
async fn icon() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, include_str!("actions/icon.svg"))
}

/// Which URLs of this server are actions.
#[utoipa::path(
    get,
    path = "/actions.json",
    tag = "actions",
    responses((status = 200, body = ActionRules))
)]
async fn rules() -> Json<ActionRules> {
    Json(ActionRules {
        rules: [ActionRule {
            path_pattern: "/api/v1/actions/**",
            api_path: "/api/v1/actions/**",
        }],
    })
}

/// Headers that allow any web page to read the rules.
#[utoipa::path(
    options,
    path = "/actions.json",
    tag = "actions",
    responses((status = 200, description = "Only headers"))
)]
async fn rules_preflight() {}
