//! Sales of stakes in a market.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    columns::Columns,
    page::{ListQuery, Order, Page},
    problem::Problem,
    values::{Key, Scaled},
};

/// Sale of a part of a stake. Buyer and seller may be the same person with two keys, so a price
/// proves nothing about what others would pay.
#[derive(Serialize, ToSchema)]
pub struct Sale {
    /// Sequence number of the event.
    seq: i64,
    slot: i64,
    time: Option<DateTime<Utc>>,
    seller: String,
    buyer: String,
    /// Token account that received the payment.
    destination: String,
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
        Ok(Self {
            seq: columns.get("seq")?,
            slot: columns.get("slot")?,
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

/// Sales in the market at `key`, which the event `created_seq` created, newest first.
pub async fn of_market(
    db: &mut PgConnection,
    key: &Key,
    created_seq: i64,
    query: &ListQuery,
) -> Result<Page<Sale>, Problem> {
    let mut sql = QueryBuilder::new(
        "select s.*, m.decimals
         from chain.sale s join chain.market m on m.address = s.market
         where s.market = ",
    );
    sql.push_bind(key.as_str())
        .push(" and s.seq >= ")
        .push_bind(created_seq);
    let order = Order::descending(&["s.seq"]);
    query
        .pager(("sales", key))
        .fetch(db, sql, order, |sale: &Sale| sale.seq)
        .await
}
