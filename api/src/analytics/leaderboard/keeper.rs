//! Computes the rankings, again and again.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Executor, FromRow, PgConnection, PgPool};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{super::period::Period, Board, boards};
use crate::sql::is_standby;

/// Shortest time from one computation to the next.
const MIN_INTERVAL: Duration = Duration::from_secs(15);
/// The next computation begins after this many times as long as the last one took: together they take at most a
/// twentieth of one connection's time.
const REST: u32 = 20;
/// Time for which a generation is kept after the next one, for clients that page through it.
const KEPT: &str = "10 minutes";

/// Settings of the transaction, which reads all hours of a period: the API's other connections forbid what that needs.
const SETTINGS: &str = "
    set local statement_timeout = '5min';
    set local idle_in_transaction_session_timeout = '1min';
    set local enable_sort = on; set local enable_hashjoin = on; set local enable_mergejoin = on;
    set local seq_page_cost = 1; set local random_page_cost = 1.1; set local work_mem = '64MB'";

/// Computes the rankings until `shutdown`. Of several processes on one database, one computes at a time.
pub async fn keep(db: PgPool, shutdown: CancellationToken) {
    loop {
        let began = Instant::now();
        match compute(&db).await {
            Ok(Some(places)) => {
                let millis = began.elapsed().as_millis();
                tracing::debug!(places, millis, "computed the rankings");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "rankings were not computed; retrying later"),
        }
        let rest = MIN_INTERVAL.max(began.elapsed() * REST);
        tokio::select! {
            () = sleep(rest) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

#[derive(FromRow)]
struct Position {
    epoch: i64,
    slot: i64,
    seq: i64,
    block_time: DateTime<Utc>,
}

/// Stores a new generation. Returns the number of places; `None` if the mirror is not ready, another process has just
/// computed one or is about to, or the database is a standby, which has the rankings of its primary.
pub async fn compute(db: &PgPool) -> Result<Option<u64>, sqlx::Error> {
    if is_standby(db).await? {
        return Ok(None);
    }
    let mut tx = db
        .begin_with("begin isolation level repeatable read, read write")
        .await?;
    tx.execute(SETTINGS).await?;
    let is_first: bool = sqlx::query_scalar(
        "select pg_try_advisory_xact_lock(hashtextextended('driftshield rankings', 0))",
    )
    .fetch_one(&mut *tx)
    .await?;
    let recent: bool = sqlx::query_scalar(
        "select exists (select from app.ranking_generation
           where clock_timestamp() - interval '10 seconds' < made_at)",
    )
    .fetch_one(&mut *tx)
    .await?;
    let position: Option<Position> = sqlx::query_as(
        "select epoch, slot, seq, block_time from chain.cursor
         where settled_slot is not null and block_time is not null",
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(position) = position.filter(|_| is_first && !recent) else {
        return Ok(None);
    };
    let places = store(&mut tx, &position).await?;
    tx.commit().await?;
    Ok(Some(places))
}

async fn store(db: &mut PgConnection, position: &Position) -> Result<u64, sqlx::Error> {
    let generation: i64 = sqlx::query_scalar(
        "insert into app.ranking_generation (epoch, slot, seq, block_time)
         values ($1, $2, $3, $4) returning generation",
    )
    .bind(position.epoch)
    .bind(position.slot)
    .bind(position.seq)
    .bind(position.block_time)
    .fetch_one(&mut *db)
    .await?;
    let mut places = 0;
    for board in Board::EACH {
        let statement = boards::statement(board);
        for period in Period::EACH {
            let stored = sqlx::query(AssertSqlSafe(statement.as_str()))
                .bind(generation)
                .bind(period.name())
                .bind(period.start(position.block_time))
                .execute(&mut *db)
                .await?;
            places += stored.rows_affected();
        }
    }
    sqlx::query(
        "delete from app.ranking_generation past where exists (
           select from app.ranking_generation next
           where past.generation < next.generation
             and next.made_at < clock_timestamp() - $1::interval)",
    )
    .bind(KEPT)
    .execute(db)
    .await?;
    Ok(places)
}
