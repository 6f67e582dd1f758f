//! Markets: bets on the drift of a model.

mod asks;
mod candles;
mod list;
mod market;
mod odds_history;
mod sales;

use serde::Serialize;
use sqlx::{PgConnection, QueryBuilder};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    event_id::EventId,
    events::{self, Event},
    extract::{InPath, InQuery, MinSlot},
    lives::LifeFilter,
    mirror::Snapshot,
    page::{ListQuery, Page},
    positions::{self, Position},
    problem::{Problem, ProblemBody},
    reply::Reply,
    state::AppState,
    values::Scaled,
};

use asks::{AskFilter, MarketAsk};
use candles::{Candle, CandleFilter};
pub use list::{MarketFilter, page};
pub use market::Market;
use market::Outcome;
use odds_history::OddsPoint;
use sales::Sale;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(list::router())
        .routes(routes!(one))
        .routes(routes!(odds))
        .routes(routes!(candles))
        .routes(routes!(positions))
        .routes(routes!(asks))
        .routes(routes!(sales))
        .routes(routes!(history))
}

/// Reads the market at an address.
pub async fn find(
    db: &mut PgConnection,
    key: &Key,
    life: LifeFilter,
) -> Result<Option<Market>, sqlx::Error> {
    let mut sql = QueryBuilder::new("select m.* from chain.market m where true");
    life.push(&mut sql, key);
    sql.build_query_as().fetch_optional(db).await
}

async fn require(db: &mut PgConnection, key: &Key, life: LifeFilter) -> Result<Market, Problem> {
    find(db, key, life)
        .await?
        .ok_or_else(|| Problem::not_found("market", life.name(key)))
}

/// The market at an address.
#[utoipa::path(
    get,
    path = "/markets/{market}",
    tag = "markets",
    params(("market" = Key, Path, description = "Address of the market"), LifeFilter, MinSlot),
    responses(
        (status = 200, body = Market),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(
    InPath(key): InPath<Key>,
    InQuery(life): InQuery<LifeFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Market>, Problem> {
    let market = require(&mut snapshot.tx, &key, life).await?;
    snapshot.reply(market).await
}

/// Odds of a market: current ones, and those after its creation and after each bet.
#[derive(Serialize, ToSchema)]
struct MarketOdds {
    /// Address of the market.
    market: Key,
    /// The market's `life`.
    life: EventId,
    /// Sum of all stakes ever bet.
    total: Scaled,
    /// Current odds.
    now: Vec<Outcome>,
    /// Odds after the creation and after each bet, newest first.
    history: Page<OddsPoint>,
}

/// Current odds of a market, and its odds after its creation and after each bet.
#[utoipa::path(
    get,
    path = "/markets/{market}/odds",
    tag = "markets",
    params(
        ("market" = Key, Path, description = "Address of the market"),
        ListQuery<LifeFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = MarketOdds),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn odds(
    InPath(key): InPath<Key>,
    query: ListQuery<LifeFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<MarketOdds>, Problem> {
    let market = require(&mut snapshot.tx, &key, query.filter).await?;
    let history = odds_history::of_market(&mut snapshot, &market, &query).await?;
    let odds = MarketOdds {
        market: market.key,
        life: market.life,
        total: market.total,
        now: market.outcomes,
        history,
    };
    snapshot.reply(odds).await
}

/// Candles of a market: bets by interval, and the share of each outcome after them, newest first. Intervals without
/// bets are left out: their odds are those at the close of the one before. A page costs as much as its intervals have
/// bets.
#[utoipa::path(
    get,
    path = "/markets/{market}/candles",
    tag = "markets",
    params(
        ("market" = Key, Path, description = "Address of the market"),
        ListQuery<CandleFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Page<Candle>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn candles(
    InPath(key): InPath<Key>,
    query: ListQuery<CandleFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Candle>>, Problem> {
    let life = LifeFilter {
        life: query.filter.life,
    };
    let market = require(&mut snapshot.tx, &key, life).await?;
    let page = candles::of_market(&mut snapshot, &market, &query).await?;
    snapshot.reply(page).await
}

/// Positions in a market, with stakes by outcome and payouts, in ascending order of address (as
/// bytes).
#[utoipa::path(
    get,
    path = "/markets/{market}/positions",
    tag = "markets",
    params(
        ("market" = Key, Path, description = "Address of the market"),
        ListQuery<LifeFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Page<Position>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn positions(
    InPath(key): InPath<Key>,
    query: ListQuery<LifeFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Position>>, Problem> {
    let market = require(&mut snapshot.tx, &key, query.filter).await?;
    let page = positions::of_market(&mut snapshot, &market, &query).await?;
    snapshot.reply(page).await
}

/// Parts of stakes in the current market that are for sale, by outcome and then by price, lowest
/// first. Lists the asks that stood at the last event (`X-Seq`); each ends at its `valid_until` at the
/// latest. The first ask of an outcome whose `valid_until` is ahead is the best one.
#[utoipa::path(
    get,
    path = "/markets/{market}/asks",
    tag = "markets",
    params(
        ("market" = Key, Path, description = "Address of the market"),
        ListQuery<AskFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Page<MarketAsk>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn asks(
    InPath(key): InPath<Key>,
    query: ListQuery<AskFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<MarketAsk>>, Problem> {
    let market = require(&mut snapshot.tx, &key, LifeFilter::default()).await?;
    let page = asks::of_market(&mut snapshot, &market, &query).await?;
    snapshot.reply(page).await
}

/// Sales of stakes between bettors, newest first.
#[utoipa::path(
    get,
    path = "/markets/{market}/sales",
    tag = "markets",
    params(
        ("market" = Key, Path, description = "Address of the market"),
        ListQuery<LifeFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Page<Sale>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn sales(
    InPath(key): InPath<Key>,
    query: ListQuery<LifeFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Sale>>, Problem> {
    let market = require(&mut snapshot.tx, &key, query.filter).await?;
    let page = sales::of_market(&mut snapshot, &market, &query).await?;
    snapshot.reply(page).await
}

/// Events of all markets that were created at the address, newest first.
#[utoipa::path(
    get,
    path = "/markets/{market}/history",
    tag = "markets",
    params(("market" = Key, Path, description = "Address of the market"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Event>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn history(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Event>>, Problem> {
    require(&mut snapshot.tx, &key, LifeFilter::default()).await?;
    let page = events::of_account(&mut snapshot, &key, &query).await?;
    snapshot.reply(page).await
}
