//! Sales of stakes in a market.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    event_id::EventId,
    lives::{LifeFilter, LifeRange},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::Problem,
    rows::{Token, select_by_row},
    values::{Scaled, U64},
};

use super::Market;

/// Sale of a part of a stake. Buyer and seller may be the same person with two keys, so a price
/// proves nothing about what others would pay.
#[derive(Serialize, ToSchema)]
pub struct Sale {
    /// Id of the event.
    event: EventId,
    slot: i64,
    time: Option<DateTime<Utc>>,
    seller: Key,
    buyer: Key,
    /// Token account that received the payment.
    destination: Key,
    /// Index of the outcome.
    outcome: i16,
    /// Stake that was sold.
    amount: Scaled,
    /// Price per stake.
    price: Scaled,
    /// Payment of the buyer.
    paid: Scaled,
}

/// Row of `chain.sale`.
#[derive(FromRow)]
struct SaleRow {
    event_id: EventId,
    block_time: Option<DateTime<Utc>>,
    seller: Key,
    buyer: Key,
    destination: Key,
    outcome: i16,
    amount: U64,
    #[sqlx(try_from = "i64")]
    price: u32,
    paid: U64,
    #[sqlx(flatten)]
    token: Token,
}

select_by_row!(Sale, SaleRow);

impl From<SaleRow> for Sale {
    fn from(row: SaleRow) -> Self {
        Self {
            event: row.event_id,
            slot: row.event_id.slot(),
            time: row.block_time,
            seller: row.seller,
            buyer: row.buyer,
            destination: row.destination,
            outcome: row.outcome,
            amount: row.token.amount(row.amount),
            price: Scaled::multiple(row.price.into()),
            paid: row.token.amount(row.paid),
        }
    }
}

/// Sales in `market`, newest first.
pub async fn of_market(
    snapshot: &mut Snapshot,
    market: &Market,
    query: &ListQuery<LifeFilter>,
) -> Result<Page<Sale>, Problem> {
    let range = LifeRange::read(&mut snapshot.tx, "market", &market.key, market.life).await?;
    let mut sql = QueryBuilder::new("select s.*, ");
    sql.push_bind(i16::from(market.decimals))
        .push("::smallint as decimals from chain.sale s where s.market = ")
        .push_bind(market.key);
    range.push(&mut sql, "s.event_id");
    let order = Order::descending(&["s.event_id"]);
    query
        .pager(("sales", market.key, market.life), snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, |sale: &Sale| sale.event)
        .await
}
