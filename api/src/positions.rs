//! Positions: the stakes of one owner in one market.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    asks::{Ask, StoredAsk},
    columns::Columns,
    extract::MinSlot,
    mirror::Snapshot,
    odds,
    page::{ListQuery, Order, Page, Pager},
    problem::{Problem, ProblemBody},
    reply::Reply,
    sql::{IS_CLOSED, push_equals},
    state::AppState,
    values::{Key, Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Stakes of one owner in one market. Amounts are in the market's mint.
#[derive(Serialize, ToSchema)]
pub struct Position {
    /// Address of the position's account.
    pub key: String,
    pub market: String,
    pub owner: String,
    /// Stakes by outcome.
    pub stakes: Vec<Scaled>,
    /// Sum of the stakes.
    pub total: Scaled,
    /// Parts of the stakes that are for sale; empty if the account is closed.
    pub asks: Vec<Ask>,
    /// Payout; null until the position is claimed, and if all stakes were sold.
    pub paid: Option<Scaled>,
    pub paid_at: Option<DateTime<Utc>>,
    /// Token account that received the payout.
    pub destination: Option<String>,
    /// Number of events that reference the position.
    pub event_count: U64,
    /// Whether the account was closed because all stakes were sold.
    pub sold_out: bool,
    /// Whether the account is closed on chain. If so, `stakes` and `total` are from before the
    /// closure.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
}

impl FromRow<'_, PgRow> for Position {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let outcomes = columns.count("threshold_count")? + 1;
        let stakes = columns.amounts("stakes", outcomes)?;
        let total = odds::sum(stakes.iter().map(|stake| stake.raw.0));
        let paid: Option<U64> = columns.get("paid")?;
        let asks = match columns.is_closed()? {
            true => vec![],
            false => columns.nested("asks")?,
        };
        // Fits: the number on chain has 32 bits.
        let reports: Option<i64> = columns.get("reports")?;
        let reports = reports.and_then(|reports| u32::try_from(reports).ok());
        Ok(Self {
            key: columns.get("address")?,
            market: columns.get("market")?,
            owner: columns.get("owner")?,
            stakes,
            total: Scaled::new(total, columns.decimals),
            asks: StoredAsk::list(asks, columns.decimals, reports),
            paid: paid.map(|U64(paid)| Scaled::new(paid, columns.decimals)),
            paid_at: columns.get("paid_at")?,
            destination: columns.get("destination")?,
            event_count: columns.get("seq")?,
            sold_out: columns.get("sold_out")?,
            closed: columns.is_closed()?,
            closed_slot: columns.get("closed_slot")?,
            slot: columns.get("slot")?,
        })
    }
}

/// Selects positions (alias `m`). A closed position has its latest end: its payout, or the sale of its
/// last stake. An open position has none: ends at its address belong to an earlier position, because an
/// address can be reused.
const SELECT: &str = "select m.*, market.decimals, market.threshold_count,
           ending.paid, ending.block_time as paid_at, ending.destination,
           coalesce(ending.sold_out, false) as sold_out,
           case when market.state = 'open' and market.closed_slot is null
             then model.reports end as reports
    from chain.position m
    join chain.market market on market.address = m.market
    left join chain.model model on model.address = market.model
    left join lateral (
      select * from (
        select o.seq, o.paid, o.block_time, o.destination, false as sold_out
        from chain.payout o where o.position = m.address
        union all
        select s.seq, null, null, null, true
        from chain.sale s where s.seller_position = m.address and s.seller_total = 0) ending
      where m.closed_slot is not null
      order by ending.seq desc limit 1) ending on true
    where ";

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PositionFilter {
    /// Only positions of this owner.
    owner: Key,
    /// Only closed (claimed or sold) positions if true, only open ones if false.
    closed: Option<bool>,
}

/// Positions of an owner, in ascending order of address.
#[utoipa::path(
    get,
    path = "/positions",
    tag = "positions",
    params(ListQuery<PositionFilter>, MinSlot),
    responses(
        (status = 200, body = Page<Position>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    query: ListQuery<PositionFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Position>>, Problem> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("m.owner = ")
        .push_bind(query.filter.owner.as_str());
    push_equals(&mut sql, IS_CLOSED, query.filter.closed);
    let page = page(&mut snapshot.tx, sql, &query.pager("positions")).await?;
    snapshot.reply(page).await
}

/// Positions in the market at `key` that was created in `created_slot`, in ascending order of
/// address.
pub async fn of_market(
    db: &mut PgConnection,
    key: &Key,
    created_slot: i64,
    query: &ListQuery,
) -> Result<Page<Position>, Problem> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("m.market = ").push_bind(key.as_str());
    // Positions in an earlier market at this address were closed before this market was created.
    sql.push(" and (m.closed_slot is null or m.closed_slot > ")
        .push_bind(created_slot)
        .push(")");
    page(db, sql, &query.pager(("market positions", key))).await
}

async fn page(
    db: &mut PgConnection,
    sql: QueryBuilder<'_, Postgres>,
    pager: &Pager,
) -> Result<Page<Position>, Problem> {
    let order = Order::ascending(&["m.address"]);
    pager
        .fetch(db, sql, order, |position: &Position| position.key.clone())
        .await
}
