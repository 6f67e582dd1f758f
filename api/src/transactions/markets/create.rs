//! Creation of markets.

use axum::Json;
use chrono::{DateTime, Utc};
use driftshield_sdk::{
    Aggregate, Collateral, MarketTerms, Model, address, defaults, instruction, math,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    problem::{Problem, ProblemBody},
    quote::program_error,
    state::AppState,
    transactions::{
        TransactionReply, View,
        build::Draft,
        request::{MinSlot, TransactionRequest, require_count, require_text, require_wallet},
    },
    values::U64,
};

/// Most bytes of a question.
const QUESTION_BYTES: usize = 128;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(post_market))
}

/// A market to create. Drift is in micro-units: 1.0 is 1,000,000.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
    "model": "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi",
    "question": "Will the drift reach 0.2 in March?",
    "thresholds": ["200000"], "aggregate": "max", "first_window": "90", "last_window": "120"
}))]
pub struct MarketRequest {
    /// The creator's wallet.
    account: Key,
    model: Key,
    /// Id of the market, unique for its creator. By default the current slot.
    id: Option<U64>,
    /// UTF-8, at most 128 bytes.
    question: String,
    /// 1 to 7 ascending drift values, which separate the outcomes; none below the model's noise
    /// floor.
    #[schema(min_items = 1, max_items = 7)]
    thresholds: Vec<U64>,
    aggregate: AggregateName,
    /// First observed window.
    first_window: U64,
    /// Last observed window. There are at most 366, and they end within 400 days.
    last_window: U64,
    /// Fewest observed windows with a final value; with fewer, all stakes are refunded. By default
    /// four fifths of the windows, rounded up.
    min_observed: Option<U64>,
    /// End of betting, at or before the start of the first window, which is the default.
    closes_at: Option<DateTime<Utc>>,
    /// The creator's share of losing stakes in basis points; 0 by default.
    #[serde(default)]
    creator_fee_bps: u16,
    /// Version of the model that the creator has seen. By default the current one.
    model_version: Option<u32>,
}

/// Function of the observed values that determines the outcome.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AggregateName {
    /// The largest value.
    Max,
    /// The latest value.
    Last,
    /// The mean, rounded down.
    Mean,
}

impl From<AggregateName> for Aggregate {
    fn from(name: AggregateName) -> Self {
        match name {
            AggregateName::Max => Self::Max,
            AggregateName::Last => Self::Last,
            AggregateName::Mean => Self::Mean,
        }
    }
}

impl MarketRequest {
    fn check(&self) -> Result<(), Problem> {
        require_count("thresholds", &self.thresholds, math::MAX_THRESHOLDS)?;
        require_wallet(&self.account.address())?;
        require_text("question", &self.question, QUESTION_BYTES)
    }

    fn terms(self, model: &Model) -> Result<MarketTerms, Problem> {
        let (U64(first), U64(last)) = (self.first_window, self.last_window);
        let close_ts = match self.closes_at {
            Some(time) => time.timestamp(),
            None => model.window_start(first).map_err(program_error)?,
        };
        Ok(MarketTerms {
            model_version: self.model_version.unwrap_or(model.version),
            thresholds: self.thresholds.iter().map(|&U64(value)| value).collect(),
            aggregate: self.aggregate.into(),
            first_window: first,
            last_window: last,
            min_observed: self
                .min_observed
                .map_or_else(|| defaults::min_observed(first, last), |U64(count)| count),
            close_ts,
            creator_fee_bps: self.creator_fee_bps,
            question: self.question,
        })
    }
}

/// Creates a market.
async fn create(mut view: View, request: MarketRequest) -> Result<TransactionReply, Problem> {
    request.check()?;
    let (creator, key) = (request.account.address(), request.model.address());
    let model: Model = view.accounts(&[key]).await?.get(&key)?;
    let collateral = address::collateral(&model.bond_mint);
    let accounts = view.accounts(&[key, collateral]).await?;
    let model: Model = accounts.get(&key)?;
    let collateral: Collateral = accounts.get(&collateral)?;
    let id = request.id.map_or(accounts.slot, |U64(id)| id);
    let terms = request.terms(&model)?;
    let create = instruction::create_market(creator, id, key, &model, terms);
    let draft = Draft::new(creator, &accounts, collateral.decimals);
    let draft = draft.creates("market", address::market(&creator, id));
    view.finish(draft.push(create)).await
}

/// Builds a transaction that creates a market on a model's drift.
///
/// `created` in the answer has the market's address. The creator pays the rent of its accounts, which
/// comes back when the market is closed.
#[utoipa::path(
    post,
    path = "/markets",
    tag = "transactions",
    params(MinSlot),
    request_body = MarketRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_market(
    request: TransactionRequest<MarketRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = create(request.view, request.body).await?;
    Ok(Json(reply))
}
