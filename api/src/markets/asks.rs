//! Asks of a market, best first.

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};

use crate::{
    asks::Ask,
    bytes::Key,
    event_id::EventId,
    mirror::Snapshot,
    page::{ListQuery, Order, Page, SortKey},
    problem::Problem,
    rows::{Token, select_by_row, time},
    sql::push_equals,
    values::{Scaled, U64},
};

use super::Market;

/// An ask, and whose it is.
#[derive(Serialize, ToSchema)]
pub struct MarketAsk {
    /// Owner of the position, whom the buyer pays.
    seller: Key,
    /// Address of the seller's position.
    position: Key,
    /// The `life` of the seller's position.
    life: EventId,
    #[serde(flatten)]
    ask: Ask,
}

/// Row of `chain.ask`, with the owner of the position.
#[derive(FromRow)]
struct MarketAskRow {
    address: Key,
    life: EventId,
    owner: Key,
    #[sqlx(try_from = "i16")]
    outcome: u8,
    #[sqlx(try_from = "i64")]
    price: u32,
    amount: U64,
    valid_until: i64,
    #[sqlx(flatten)]
    token: Token,
}

select_by_row!(MarketAsk, MarketAskRow);

impl From<MarketAskRow> for MarketAsk {
    fn from(row: MarketAskRow) -> Self {
        Self {
            seller: row.owner,
            position: row.address,
            life: row.life,
            ask: Ask {
                outcome: row.outcome,
                amount: row.token.amount(row.amount),
                price: Scaled::multiple(row.price.into()),
                valid_until: time(row.valid_until),
                fallen: false,
            },
        }
    }
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AskFilter {
    /// Only asks on the outcome with this index.
    outcome: Option<u8>,
}

/// Outcome, price and address of the position.
#[derive(Serialize, Deserialize)]
struct AskKey(i16, i64, Key);

impl SortKey for AskKey {
    fn push(self, sql: &mut QueryBuilder<Postgres>) {
        let Self(outcome, price, address) = self;
        sql.push_bind(outcome).push(", ");
        sql.push_bind(price).push(", ").push_bind(address);
    }
}

/// Asks in the current `market`, by outcome and then by price, lowest first: those that stood at the last
/// event. A later time changes no answer: an answer depends on events alone.
pub async fn of_market(
    snapshot: &mut Snapshot,
    market: &Market,
    query: &ListQuery<AskFilter>,
) -> Result<Page<MarketAsk>, Problem> {
    let mut sql = QueryBuilder::new("select a.*, p.owner, ");
    sql.push_bind(i16::from(market.decimals)).push(
        "::smallint as decimals
         from chain.ask a
         join lateral (select p.owner from chain.position p
           where p.address = a.address and p.life = a.life and p.ended_slot is null limit 1) p on true
         where a.valid_until > coalesce(
             (select extract(epoch from block_time) from chain.event order by id desc limit 1), 0)
           and a.reports = (
             select model.reports
             from chain.market join chain.model on model.address = market.model and model.is_current
             where market.is_current and market.ended_slot is null and market.status = 'open'
               and market.address = ",
    );
    sql.push_bind(market.key).push(") and a.market = ");
    sql.push_bind(market.key);
    push_equals(&mut sql, "a.outcome", query.filter.outcome.map(i16::from));
    let order = Order::ascending(&["a.outcome", "a.price", "a.address"]);
    query
        .pager(("asks", market.key), snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, |item: &MarketAsk| {
            let U64(price) = item.ask.price.raw;
            AskKey(item.ask.outcome.into(), price as i64, item.position) // the price has 32 bits
        })
        .await
}
