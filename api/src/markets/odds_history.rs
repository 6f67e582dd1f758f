//! Odds of a market over time.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    event_id::EventId,
    lives::{LifeFilter, LifeRange},
    mirror::Snapshot,
    odds::{Odds, Pools},
    page::{ListQuery, Order, Page},
    problem::Problem,
    rows::select_by_row,
};

use super::Market;

/// Odds right after the creation of a market or a bet.
#[derive(Serialize, ToSchema)]
#[schema(as = PastOdds)]
pub struct OddsPoint {
    /// Id of the event.
    event: EventId,
    slot: i64,
    time: Option<DateTime<Utc>>,
    outcomes: Vec<Odds>,
}

/// Row of `chain.odds`, with columns of the market.
#[derive(FromRow)]
struct OddsRow {
    event_id: EventId,
    block_time: Option<DateTime<Utc>>,
    #[sqlx(flatten)]
    pools: Pools,
}

select_by_row!(OddsPoint, OddsRow);

impl From<OddsRow> for OddsPoint {
    fn from(row: OddsRow) -> Self {
        Self {
            event: row.event_id,
            slot: row.event_id.slot(),
            time: row.block_time,
            outcomes: row.pools.odds(),
        }
    }
}

/// Odds after the creation of `market` and after each bet, newest first.
pub async fn of_market(
    snapshot: &mut Snapshot,
    market: &Market,
    query: &ListQuery<LifeFilter>,
) -> Result<Page<OddsPoint>, Problem> {
    let range = LifeRange::read(&mut snapshot.tx, "market", &market.key, market.life).await?;
    let mut sql = QueryBuilder::new(
        "select o.event_id, o.block_time, o.pools,
                m.threshold_count, m.decimals, m.protocol_fee_bps, m.creator_fee_bps
         from chain.odds o join chain.market m on m.address = o.market
         where m.life = ",
    );
    sql.push_bind(market.life);
    sql.push(" and o.market = ").push_bind(market.key);
    range.push(&mut sql, "o.event_id");
    let order = Order::descending(&["o.event_id"]);
    query
        .pager(("odds", market.key, market.life), snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, |point: &OddsPoint| {
            point.event
        })
        .await
}
