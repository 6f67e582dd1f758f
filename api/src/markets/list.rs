//! List of markets.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::MinSlot,
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    ranked::RankedList,
    reply::Reply,
    sql::{each_value, push_equals, refuse_if},
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
    /// Not together with `model`.
    creator: Option<Key>,
    #[param(inline)]
    state: Option<MarketState>,
    /// Only markets whose betting closes before this time (RFC 3339). Needs `sort=closing`.
    closing_before: Option<DateTime<Utc>>,
    /// Only markets whose betting closes after this time (RFC 3339). Needs `sort=closing`.
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

    fn check(&self) -> Result<(), Problem> {
        refuse_if(
            self.model.is_some() && self.creator.is_some(),
            "give `model` or `creator`, not both",
        )?;
        let is_range = self.closing_before.is_some() || self.closing_after.is_some();
        refuse_if(
            is_range && self.sort != MarketSort::Closing,
            "give `sort=closing` with `closing_before` and `closing_after`",
        )
    }

    /// Appends the conditions that select markets, or their stakes (alias `v`).
    fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        push_equals(sql, "v.model", self.model);
        push_equals(sql, "v.creator", self.creator);
        push_equals(sql, "v.status", self.state);
        if let Some(time) = self.closing_before {
            sql.push(" and v.close_ts < ").push_bind(time.timestamp());
        }
        if let Some(time) = self.closing_after {
            sql.push(" and v.close_ts > ").push_bind(time.timestamp());
        }
    }
}

const BY_VOLUME: RankedList = RankedList {
    accounts: "market",
    ranks: "market_volume",
};

/// Reads a page of markets.
pub async fn page(
    snapshot: &mut Snapshot,
    query: &ListQuery<MarketFilter>,
) -> Result<Page<Market>, Problem> {
    let filter = &query.filter;
    filter.check()?;
    let pager = query.pager("markets", snapshot.epoch());
    let parts = each_value::<MarketState>("v.status", filter.state.is_some());
    if filter.sort == MarketSort::Volume {
        let push = |sql: &mut QueryBuilder<Postgres>| filter.push(sql);
        let key = |market: &Market| (market.key, market.life);
        return BY_VOLUME.page(snapshot, &pager, &parts, push, key).await;
    }
    let select = |sql: &mut QueryBuilder<Postgres>, part: &str| {
        sql.push(format!("select v.* from chain.market v where {part}"));
        filter.push(sql);
    };
    let db = &mut snapshot.tx;
    if filter.sort == MarketSort::Closing {
        let order = Order::ascending(&["v.close_ts", "v.address", "v.life"]);
        let key = |market: &Market| (market.close_ts, market.key, market.life);
        return pager
            .fetch_merged(db, "v", &parts, select, order, key)
            .await;
    }
    let order = Order::descending(&["v.life", "v.address"]);
    let key = |market: &Market| (market.life, market.key);
    pager
        .fetch_merged(db, "v", &parts, select, order, key)
        .await
}

/// Markets in their current state, closed ones included: one item for each time that a market was
/// created at an address. With `sort=volume`, later pages list the markets in the order of the first page,
/// and with the `state` that they had then: they omit markets that were created after it.
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
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Market>>, Problem> {
    let page = page(&mut snapshot, &query).await?;
    snapshot.reply(page).await
}
