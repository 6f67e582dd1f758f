//! Sales of stakes in a market.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, QueryBuilder, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    columns::Columns,
    event_id::EventId,
    lives::{LifeFilter, LifeRange},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::Problem,
    values::Scaled,
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

impl FromRow<'_, PgRow> for Sale {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let price: i64 = columns.get("price")?;
        let event: EventId = columns.get("event_id")?;
        Ok(Self {
            event,
            slot: event.slot(),
            time: columns.get("block_time")?,
            seller: columns.get("seller")?,
            buyer: columns.get("buyer")?,
            destination: columns.get("destination")?,
            outcome: columns.get("outcome")?,
            amount: columns.amount("amount")?,
            price: Scaled::multiple(price.unsigned_abs()),
            paid: columns.amount("paid")?,
        })
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
