//! List of markets.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::{ExpensiveQueryPermit, MinSlot},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    ranked::{self, Moment, RankKey, Ranked},
    reply::Reply,
    sql::push_equals,
    state::AppState,
};

use super::market::{Market, MarketState};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
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
    /// not change the order. Cursors expire 10 minutes after the first page.
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

    /// Joins the markets (alias `m`) of rows of `chain.market_volume` (alias `v`).
    fn join_ranked(&self) -> &'static str {
        if self.model.is_some() || self.creator.is_some() {
            // Few markets: Postgres reads all of them, and sorts.
            "join chain.market m on m.address = v.market and m.life = v.life"
        } else {
            // Postgres believes that two columns match less often than they do, and would sort all
            // markets instead of reading the first ones from the index.
            "join lateral (select * from chain.market m
               where m.address = v.market and m.life = v.life limit 1) m on true"
        }
    }

    /// Appends the conditions that select markets (alias `m`).
    fn push(&self, sql: &mut QueryBuilder<'_, Postgres>) {
        push_equals(sql, "m.model", self.model);
        push_equals(sql, "m.creator", self.creator);
        push_equals(sql, "m.status", self.state);
        if let Some(time) = self.closing_before {
            sql.push(" and m.close_ts < ").push_bind(time.timestamp());
        }
        if let Some(time) = self.closing_after {
            sql.push(" and m.close_ts > ").push_bind(time.timestamp());
        }
    }
}

/// Reads a page of markets.
pub async fn page(
    snapshot: &mut Snapshot,
    query: &ListQuery<MarketFilter>,
) -> Result<Page<Market>, Problem> {
    if query.filter.sort == MarketSort::Volume {
        return page_by_volume(snapshot, query).await;
    }
    let pager = query.pager("markets", snapshot.epoch());
    let mut sql = QueryBuilder::new("select m.* from chain.market m where true");
    query.filter.push(&mut sql);
    if query.filter.sort == MarketSort::Closing {
        let order = Order::ascending(&["m.close_ts", "m.address", "m.life"]);
        let key = |market: &Market| (market.close_ts, market.key, market.life);
        return pager.fetch(&mut snapshot.tx, sql, order, key).await;
    }
    let order = Order::descending(&["m.life", "m.address"]);
    let key = |market: &Market| (market.life, market.key);
    pager.fetch(&mut snapshot.tx, sql, order, key).await
}

/// Reads a page of the markets that existed at the first page, by their stakes at the first page.
async fn page_by_volume(
    snapshot: &mut Snapshot,
    query: &ListQuery<MarketFilter>,
) -> Result<Page<Market>, Problem> {
    let pager = query.pager("markets", snapshot.epoch());
    let moment = Moment::of(pager.after::<RankKey>()?.as_ref(), snapshot.seq())?;
    let mut sql = QueryBuilder::new(format!(
        "select m.*, v.volume::text as rank from chain.market_volume v {} where v.valid_from <= ",
        query.filter.join_ranked()
    ));
    sql.push_bind(moment.seq)
        .push(" and v.valid_to > ")
        .push_bind(moment.seq);
    query.filter.push(&mut sql);
    let order = Order::descending(&["v.volume", "v.market", "v.life"]);
    let key = |ranked: &Ranked<Market>| {
        let market = &ranked.item;
        RankKey::new(ranked, market.key, market.life, moment)
    };
    let page = pager.fetch(&mut snapshot.tx, sql, order, key).await?;
    Ok(ranked::items(page))
}

/// Markets in their current state, closed ones included: one item for each time that a market was
/// created at an address. With `sort=volume`, later pages keep the order as of the first page, and omit
/// markets that were created after it.
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
