//! Markets: bets on the drift of a model.

mod asks;
mod market;
mod odds_history;
mod sales;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    events::{self, Event},
    extract::{ExpensiveQueryPermit, InPath, MinSlot},
    mirror::Snapshot,
    page::{ChosenKey, ListQuery, Page},
    positions::{self, Position},
    problem::{Problem, ProblemBody},
    reply::Reply,
    sql::{CREATED_SEQ, JOIN_CREATION, push_equals},
    state::AppState,
    values::{Key, Scaled},
};

use asks::{AskFilter, MarketAsk};
pub use market::Market;
use market::{MarketState, Outcome};
use odds_history::OddsPoint;
use sales::Sale;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(odds))
        .routes(routes!(positions))
        .routes(routes!(asks))
        .routes(routes!(sales))
        .routes(routes!(history))
}

/// Selects markets (alias `m`) with their settlements. `sort_key` is an SQL expression.
///
/// A settlement comes from its event: the mirror never receives the settled state of a market that
/// is settled and closed in one slot.
fn select(sort_key: &str) -> String {
    format!(
        "select m.*, m.sort_key::text as sort_text from (
           select m.*, {CREATED_SEQ} as created_seq,
                  creation.slot as created_slot, creation.block_time as created_at,
                  s.slot as settled_slot, s.block_time as settled_at,
                  case when s.state is not null then s.state
                       when m.state <> 'open' then m.state
                       when m.closed_slot is not null then 'cancelled'
                       else 'open' end as final_state,
                  coalesce(s.outcome, m.outcome) as final_outcome,
                  coalesce(s.value, m.value) as final_value,
                  coalesce(s.observed, m.observed) as final_observed,
                  coalesce(s.winnings, m.winnings) as final_winnings,
                  ({sort_key})::numeric as sort_key
           from chain.market m {JOIN_CREATION}
           left join lateral (
             select * from chain.settlement s
             where s.market = m.address and s.seq >= {CREATED_SEQ}
             order by s.seq desc limit 1) s on true
         ) m where true"
    )
}

/// SQL expression for the stakes in a market as of the event `as_of`, in whole tokens. If the
/// mirror has neither pools of the market up to that event nor the creation event, these are the
/// current stakes.
fn volume(as_of: i64) -> String {
    format!(
        "coalesce(
           (select sum(pool) from unnest((
              select o.pools from chain.odds o
              where o.market = m.address and o.seq >= {CREATED_SEQ} and o.seq <= {as_of}
              order by o.seq desc limit 1)) pool),
           case when creation.seq is null then m.total else 0 end
         ) / power(10::numeric, m.decimals)"
    )
}

#[derive(Default, Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MarketFilter {
    model: Option<Key>,
    creator: Option<Key>,
    #[param(inline)]
    state: Option<MarketState>,
    /// Only markets whose betting closes before this time (RFC 3339).
    closing_before: Option<DateTime<Utc>>,
    /// Only markets whose betting closes after this time (RFC 3339).
    closing_after: Option<DateTime<Utc>>,
    #[serde(default)]
    #[param(inline, value_type = Option<MarketSort>)]
    sort: MarketSort,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Sort)]
enum MarketSort {
    /// Newest first.
    #[default]
    Newest,
    /// Highest stakes first, as of the `seq` of the first page: bets placed between two pages do
    /// not change the order.
    Volume,
    /// Earliest `closes_at` first.
    Closing,
}

impl MarketFilter {
    pub fn of_model(model: Key) -> Self {
        Self {
            model: Some(model),
            ..Self::default()
        }
    }

    pub fn open() -> Self {
        Self {
            state: Some(MarketState::Open),
            ..Self::default()
        }
    }
}

pub async fn page(
    snapshot: &mut Snapshot,
    query: &ListQuery<MarketFilter>,
) -> Result<Page<Market>, Problem> {
    let filter = &query.filter;
    let pager = query.pager("markets");
    let after: Option<ChosenKey> = pager.after()?;
    let as_of = after.map_or(snapshot.seq(), |after| after.as_of);
    let mut sql = QueryBuilder::new(match filter.sort {
        MarketSort::Newest => select(CREATED_SEQ),
        MarketSort::Volume => select(&volume(as_of)),
        MarketSort::Closing => select("m.close_ts"),
    });
    if filter.sort == MarketSort::Volume {
        sql.push(" and m.created_seq <= ").push_bind(as_of);
    }
    push_equals(&mut sql, "m.model", filter.model.as_ref().map(Key::as_str));
    let creator = filter.creator.as_ref().map(Key::as_str);
    push_equals(&mut sql, "m.creator", creator);
    push_equals(&mut sql, "m.final_state", filter.state);
    if let Some(time) = filter.closing_before {
        sql.push(" and m.close_ts < ").push_bind(time.timestamp());
    }
    if let Some(time) = filter.closing_after {
        sql.push(" and m.close_ts > ").push_bind(time.timestamp());
    }
    let order = match filter.sort {
        MarketSort::Newest | MarketSort::Volume => ChosenKey::DESCENDING,
        MarketSort::Closing => ChosenKey::ASCENDING,
    };
    pager
        .fetch(&mut snapshot.tx, sql, order, |market: &Market| ChosenKey {
            value: market.sort_key.clone(),
            address: market.key.clone(),
            as_of,
        })
        .await
}

/// Markets in their current state. With `sort=volume`, later pages keep the order as of the first
/// page, and omit markets that were created after it.
#[utoipa::path(
    get,
    path = "/markets",
    tag = "markets",
    params(ListQuery<MarketFilter>, MinSlot),
    responses(
        (status = 200, body = Page<Market>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    query: ListQuery<MarketFilter>,
    _permit: ExpensiveQueryPermit,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Market>>, Problem> {
    let page = page(&mut snapshot, &query).await?;
    snapshot.reply(page).await
}

/// Reads the latest market at an address. The address of a closed market can be used again.
pub async fn find(db: &mut PgConnection, key: &Key) -> Result<Option<Market>, sqlx::Error> {
    sqlx::query_as(&format!("{} and m.address = $1", select(CREATED_SEQ)))
        .bind(key.as_str())
        .fetch_optional(db)
        .await
}

async fn require(db: &mut PgConnection, key: &Key) -> Result<Market, Problem> {
    find(db, key)
        .await?
        .ok_or_else(|| Problem::not_found("market", key))
}

/// The market at an address.
#[utoipa::path(
    get,
    path = "/markets/{market}",
    tag = "markets",
    params(("market" = Key, Path, description = "Address of the market"), MinSlot),
    responses(
        (status = 200, body = Market),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(key): InPath<Key>, mut snapshot: Snapshot) -> Result<Reply<Market>, Problem> {
    let market = require(&mut snapshot.tx, &key).await?;
    snapshot.reply(market).await
}

/// Odds of a market: current ones, and those after its creation and after each bet.
#[derive(Serialize, ToSchema)]
struct MarketOdds {
    /// Address of the market.
    market: String,
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
    params(("market" = Key, Path, description = "Address of the market"), ListQuery, MinSlot),
    responses(
        (status = 200, body = MarketOdds),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn odds(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<MarketOdds>, Problem> {
    let market = require(&mut snapshot.tx, &key).await?;
    let created_seq = market.created_seq;
    let history = odds_history::of_market(&mut snapshot.tx, &key, created_seq, &query).await?;
    let odds = MarketOdds {
        market: market.key,
        total: market.total,
        now: market.outcomes,
        history,
    };
    snapshot.reply(odds).await
}

/// Positions in a market, with stakes by outcome and payouts, in ascending order of address.
#[utoipa::path(
    get,
    path = "/markets/{market}/positions",
    tag = "markets",
    params(("market" = Key, Path, description = "Address of the market"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Position>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn positions(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Position>>, Problem> {
    let market = require(&mut snapshot.tx, &key).await?;
    let created_slot = market.created_slot.unwrap_or(0);
    let page = positions::of_market(&mut snapshot.tx, &key, created_slot, &query).await?;
    snapshot.reply(page).await
}

/// Parts of stakes that are for sale, by outcome and then by price, lowest first. Lists the asks that
/// stood at the last event (`X-Seq`); each ends at its `valid_until` at the latest. The first ask of an
/// outcome whose `valid_until` is ahead is the best one.
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
    require(&mut snapshot.tx, &key).await?;
    let page = asks::of_market(&mut snapshot.tx, &key, &query).await?;
    snapshot.reply(page).await
}

/// Sales of stakes between bettors, newest first.
#[utoipa::path(
    get,
    path = "/markets/{market}/sales",
    tag = "markets",
    params(("market" = Key, Path, description = "Address of the market"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Sale>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn sales(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Sale>>, Problem> {
    let market = require(&mut snapshot.tx, &key).await?;
    let page = sales::of_market(&mut snapshot.tx, &key, market.created_seq, &query).await?;
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
    require(&mut snapshot.tx, &key).await?;
    let page = events::of_account(&mut snapshot.tx, &key, &query).await?;
    snapshot.reply(page).await
}
