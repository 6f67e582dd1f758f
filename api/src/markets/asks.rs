//! Asks of a market, best first.

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, Postgres, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};

use crate::{
    asks::Ask,
    bytes::Key,
    columns::Columns,
    event_id::EventId,
    mirror::Snapshot,
    page::{ListQuery, Order, Page, SortKey},
    problem::Problem,
    sql::push_equals,
    values::{Scaled, U64},
};

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

impl FromRow<'_, PgRow> for MarketAsk {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let price: i64 = columns.get("price")?;
        Ok(Self {
            seller: columns.get("owner")?,
            position: columns.get("address")?,
            life: columns.get("life")?,
            ask: Ask {
                outcome: columns.count("outcome")? as u8, // below 8
                amount: columns.amount("amount")?,
                price: Scaled::multiple(price.unsigned_abs()),
                valid_until: columns.time("valid_until")?,
                fallen: false,
            },
        })
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
    fn push(self, sql: &mut QueryBuilder<'_, Postgres>) {
        let Self(outcome, price, address) = self;
        sql.push_bind(outcome).push(", ");
        sql.push_bind(price).push(", ").push_bind(address);
    }
}

/// Selects the asks (alias `m`) that stood at the last event. A later time changes no answer: an
/// answer depends on events alone.
const SELECT: &str = "select m.* from (
       select p.address, p.life, p.owner, p.market, market.decimals,
              (ask.number - 1)::smallint as outcome,
              (ask.body->>'amount')::numeric as amount,
              (ask.body->>'price')::bigint as price,
              (ask.body->>'valid_until')::bigint as valid_until
       from chain.position p
       join chain.market market on market.address = p.market and market.is_current
       join chain.model model on model.address = market.model and model.is_current
       cross join lateral jsonb_array_elements(p.asks) with ordinality as ask (body, number)
       where p.ended_slot is null and market.ended_slot is null and market.status = 'open'
         and ask.body->>'amount' <> '0'
         and (ask.body->>'reports')::bigint = model.reports
         and (ask.body->>'valid_until')::bigint > coalesce(
           (select extract(epoch from block_time) from chain.event order by id desc limit 1), 0)
     ) m where m.market = ";

/// Asks in the current market at `key`, by outcome and then by price, lowest first.
pub async fn of_market(
    snapshot: &mut Snapshot,
    key: &Key,
    query: &ListQuery<AskFilter>,
) -> Result<Page<MarketAsk>, Problem> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push_bind(*key);
    push_equals(&mut sql, "m.outcome", query.filter.outcome.map(i16::from));
    let order = Order::ascending(&["m.outcome", "m.price", "m.address"]);
    query
        .pager(("asks", key), snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, |item: &MarketAsk| {
            let U64(price) = item.ask.price.raw;
            AskKey(item.ask.outcome.into(), price as i64, item.position) // the price has 32 bits
        })
        .await
}
