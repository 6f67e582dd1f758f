//! Positions: the stakes of one owner in one market.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    asks::{Ask, StoredAsk},
    bytes::Key,
    event_id::EventId,
    extract::MinSlot,
    lives::{LifeFilter, LifeRange, join_life},
    markets::Market,
    mirror::Snapshot,
    odds,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    rows::{AccountColumns, Token, select_by_row},
    sql::{IS_CLOSED, open_or_closed, push_equals},
    state::AppState,
    values::{Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Stakes of one owner in one market. Amounts are in the market's mint.
#[derive(Serialize, ToSchema)]
pub struct Position {
    /// Address of the position's account.
    pub key: Key,
    /// Event that created the account: each time that a position is created at the address, it has
    /// another `life`. The item with the highest one is current. 0 if the mirror does not have the
    /// event.
    pub life: EventId,
    pub market: Key,
    pub owner: Key,
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
    pub destination: Option<Key>,
    /// Number of events that reference the position.
    pub event_count: U64,
    /// Whether the account was closed because all stakes were sold.
    pub sold_out: bool,
    /// Whether the account is closed on chain. If so, `stakes` and `total` are the last ones before
    /// the closure.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    /// Whether the account has newer content that this version cannot decode.
    pub stale: bool,
}

/// Row of `chain.position`, with columns of its market and model.
#[derive(FromRow)]
struct PositionRow {
    #[sqlx(flatten)]
    account: AccountColumns,
    #[sqlx(flatten)]
    token: Token,
    status: String,
    payout: Option<U64>,
    destination: Option<Key>,
    market: Key,
    owner: Key,
    stakes: Vec<U64>,
    #[sqlx(json)]
    asks: Vec<StoredAsk>,
    #[sqlx(try_from = "i16")]
    threshold_count: u8,
    reports: Option<i64>,
}

select_by_row!(Position, PositionRow);

impl From<PositionRow> for Position {
    fn from(row: PositionRow) -> Self {
        let (account, token) = (row.account, row.token);
        let outcomes = usize::from(row.threshold_count) + 1;
        let stakes = || row.stakes.iter().take(outcomes);
        let asks = match account.is_closed() {
            true => vec![],
            false => row.asks,
        };
        // Fits: the number on chain has 32 bits.
        let reports = row.reports.and_then(|reports| u32::try_from(reports).ok());
        Self {
            key: account.address,
            life: account.life,
            market: row.market,
            owner: row.owner,
            stakes: stakes().map(|stake| token.amount(*stake)).collect(),
            total: token.amount(U64(odds::sum(stakes().map(|stake| stake.0)))),
            asks: StoredAsk::list(asks, token.decimals, reports),
            paid: row.payout.map(|paid| token.amount(paid)),
            paid_at: account.ended_at.filter(|_| row.payout.is_some()),
            destination: row.destination,
            event_count: account.seq,
            sold_out: row.status == "sold",
            closed: account.is_closed(),
            closed_slot: account.ended_slot,
            slot: account.slot,
            stale: account.is_stale,
        }
    }
}

/// Selects positions (alias `m`) with their markets. `reports` is null if the market is settled.
fn select() -> String {
    format!(
        "select m.*, market.decimals, market.threshold_count,
                case when market.status = 'open' and market.ended_slot is null
                  then model.reports end as reports
         from chain.position m {}
         left join chain.model model on model.address = market.model and model.is_current
         where ",
        join_life("market", "market", "m.market", "m.life")
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PositionFilter {
    /// Only positions of this owner.
    owner: Key,
    /// Only closed (claimed or sold) positions if true, only open ones if false.
    closed: Option<bool>,
}

/// Reads a page of an owner's positions, in ascending order of address and life.
async fn page(
    snapshot: &mut Snapshot,
    query: &ListQuery<PositionFilter>,
) -> Result<Page<Position>, Problem> {
    let filter = &query.filter;
    let select = |sql: &mut QueryBuilder<Postgres>, part: &str| {
        sql.push(select()).push(part);
        push_equals(sql, "m.owner", Some(filter.owner));
        push_equals(sql, IS_CLOSED, filter.closed);
    };
    let pager = query.pager("positions", snapshot.epoch());
    let parts = open_or_closed(filter.closed.is_some());
    pager
        .fetch_merged(&mut snapshot.tx, "m", &parts, select, ORDER, sort_key)
        .await
}

/// Positions of `owner`, open and closed, in ascending order of address and life.
pub async fn of_owner(
    snapshot: &mut Snapshot,
    owner: Key,
    query: ListQuery,
) -> Result<Page<Position>, Problem> {
    let filter = PositionFilter {
        owner,
        closed: None,
    };
    let paging = query.paging;
    page(snapshot, &ListQuery { filter, paging }).await
}

/// Positions of an owner, in ascending order of address (as bytes) and `life`.
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
    let page = page(&mut snapshot, &query).await?;
    snapshot.reply(page).await
}

/// Positions in `market`, in ascending order of address and life.
pub async fn of_market(
    snapshot: &mut Snapshot,
    market: &Market,
    query: &ListQuery<LifeFilter>,
) -> Result<Page<Position>, Problem> {
    let range = LifeRange::read(&mut snapshot.tx, "market", &market.key, market.life).await?;
    let mut sql = QueryBuilder::new(select());
    sql.push("m.market = ").push_bind(market.key);
    range.push_children(&mut sql, "m.life");
    let list = ("market positions", market.key, market.life);
    query
        .pager(list, snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, ORDER, sort_key)
        .await
}

const ORDER: Order = Order::ascending(&["m.address", "m.life"]);

fn sort_key(position: &Position) -> (Key, EventId) {
    (position.key, position.life)
}
