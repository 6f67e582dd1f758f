//! Positions: what somebody has bet on a market.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    events::HistoryQuery,
    markets::Market,
    page::{self, Limit, List, Page},
    problem::{Problem, ProblemBody},
    read::{InQuery, MinSlot, Read, Reply},
    values::{Columns, Key, Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Somebody's stakes in a market. Amounts are in the market's mint.
#[derive(Serialize, ToSchema)]
pub struct Position {
    pub key: String,
    pub market: String,
    pub owner: String,
    /// By outcome.
    pub stakes: Vec<Scaled>,
    /// All stakes.
    pub total: Scaled,
    /// What it was paid; null until it is claimed.
    pub paid: Option<Scaled>,
    pub paid_at: Option<DateTime<Utc>>,
    /// The token account that was paid.
    pub destination: Option<String>,
    /// Number of events that spoke of it.
    pub event_count: U64,
    /// Whether the account is gone from the chain: this is how it was last seen.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// The slot that this state is from.
    pub slot: i64,
}

impl FromRow<'_, PgRow> for Position {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let position = Columns::new(row)?;
        let outcomes = position.count("threshold_count")? + 1;
        let stakes = position.amounts("stakes", outcomes)?;
        // Part of the market's total, which fits 64 bits.
        let total = stakes
            .iter()
            .fold(0, |sum: u64, stake| sum.saturating_add(stake.raw.0));
        let paid: Option<U64> = position.get("paid")?;
        Ok(Self {
            key: position.get("address")?,
            market: position.get("market")?,
            owner: position.get("owner")?,
            stakes,
            total: Scaled::new(total, position.decimals),
            paid: paid.map(|U64(paid)| Scaled::new(paid, position.decimals)),
            paid_at: position.get("paid_at")?,
            destination: position.get("destination")?,
            event_count: position.get("seq")?,
            closed: position.closed()?,
            closed_slot: position.get("closed_slot")?,
            slot: position.get("slot")?,
        })
    }
}

/// Positions with what they were paid, if they are closed: an address can be made again.
const SELECT: &str = "select p.*, m.decimals, m.threshold_count,
           paid.paid, paid.block_time as paid_at, paid.destination
    from chain.position p
    join chain.market m on m.address = p.market
    left join lateral (
      select * from chain.payout o
      where o.position = p.address and p.closed_slot is not null
      order by o.seq desc limit 1) paid on true
    where ";

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Whose.
    owner: Key,
    /// Whether they are claimed.
    closed: Option<bool>,
    /// Where the last page ended.
    #[serde(serialize_with = "page::unnamed")]
    cursor: Option<String>,
    #[serde(serialize_with = "page::unnamed", default)]
    #[param(value_type = Option<Limit>)]
    limit: Limit,
}

/// Somebody's positions, by address.
#[utoipa::path(
    get,
    path = "/positions",
    tag = "positions",
    params(ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Position>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    InQuery(query): InQuery<ListQuery>,
    mut read: Read,
) -> Result<Reply<Page<Position>>, Problem> {
    let list = List::new("positions", &query);
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("p.owner = ").push_bind(query.owner.as_str());
    if let Some(closed) = query.closed {
        sql.push(" and (p.closed_slot is not null) = ")
            .push_bind(closed);
    }
    let after = list.key(query.cursor.as_deref())?;
    let page = page(&mut read.tx, sql, after, &list, query.limit).await?;
    read.reply(page).await
}

/// The positions of `market`, by address.
pub async fn of_market(
    db: &mut PgConnection,
    key: &Key,
    market: &Market,
    query: &HistoryQuery,
) -> Result<Page<Position>, Problem> {
    let list = List::new("market positions", key);
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("p.market = ").push_bind(key.as_str());
    // Those of an earlier market at this address have been paid before this one was made.
    sql.push(" and (p.closed_slot is null or p.closed_slot > ")
        .push_bind(market.created_slot.unwrap_or(0))
        .push(")");
    let after = list.key(query.cursor.as_deref())?;
    page(db, sql, after, &list, query.limit).await
}

async fn page(
    db: &mut PgConnection,
    mut sql: QueryBuilder<'_, sqlx::Postgres>,
    after: Option<String>,
    list: &List,
    limit: Limit,
) -> Result<Page<Position>, Problem> {
    if let Some(after) = after {
        sql.push(" and p.address > ").push_bind(after);
    }
    sql.push(" order by p.address limit ")
        .push_bind(limit.rows());
    let positions: Vec<Position> = sql.build_query_as().fetch_all(db).await?;
    Ok(Page::new(positions, limit, list, |position| {
        position.key.clone()
    }))
}
