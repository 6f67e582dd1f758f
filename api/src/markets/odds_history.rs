//! Odds of a market over time.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::ToSchema;

use crate::{
    columns::Columns,
    odds::{Odds, Pools},
    page::{ListQuery, Order, Page},
    problem::Problem,
    values::Key,
};

/// Odds right after the creation of a market or a bet.
#[derive(Serialize, ToSchema)]
#[schema(as = PastOdds)]
pub struct OddsPoint {
    /// Sequence number of the event.
    seq: i64,
    slot: i64,
    time: Option<DateTime<Utc>>,
    outcomes: Vec<Odds>,
}

impl FromRow<'_, PgRow> for OddsPoint {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        Ok(Self {
            seq: columns.get("seq")?,
            slot: columns.get("slot")?,
            time: columns.get("block_time")?,
            outcomes: Pools::from_row(row)?.odds(),
        })
    }
}

/// Odds after the creation of the market at `key`, which is the event `created_seq`, and after each
/// bet, newest first.
pub async fn of_market(
    db: &mut PgConnection,
    key: &Key,
    created_seq: i64,
    query: &ListQuery,
) -> Result<Page<OddsPoint>, Problem> {
    let mut sql = QueryBuilder::new(
        "select o.seq, o.slot, o.block_time, o.pools,
                m.threshold_count, m.decimals, m.protocol_fee_bps, m.creator_fee_bps
         from chain.odds o join chain.market m on m.address = o.market
         where o.market = ",
    );
    sql.push_bind(key.as_str())
        .push(" and o.seq >= ")
        .push_bind(created_seq);
    let order = Order::descending(&["o.seq"]);
    query
        .pager(("odds", key))
        .fetch(db, sql, order, |point: &OddsPoint| point.seq)
        .await
}
