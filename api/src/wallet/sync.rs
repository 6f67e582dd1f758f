//! Request to the indexer to read a wallet's accounts again.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};
use tokio::time::sleep;
use utoipa::ToSchema;

use crate::{bytes::Key, problem::Problem, sql::is_standby, state::AppState};

/// Number of accounts that are read again.
const MAX_ACCOUNTS: i64 = 200;
/// Longest time that the request waits for the indexer.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Time between two looks whether the indexer is done.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What became of a request to read a wallet's accounts again.
#[derive(Serialize, ToSchema)]
pub struct Synced {
    /// Number of accounts that the indexer was asked to read: the wallet's open positions, policies, withdrawal
    /// requests and seats, at most 200.
    accounts: usize,
    /// Number of them that the mirror does not have anew yet. 0 if it has all of them as of a slot that its source
    /// had reached at the request, or newer.
    waiting: i64,
    /// Whether the wallet has more open accounts than were asked for.
    truncated: bool,
}

#[derive(FromRow)]
struct Address {
    address: Key,
}

/// Asks for the accounts, and waits up to 2 s until the indexer has read them.
///
/// # Errors
///
/// If the database is a standby, is read by too many, or fails.
pub async fn sync(app: &AppState, wallet: &Key) -> Result<Synced, Problem> {
    let permit = || app.reads.try_acquire().map_err(|_| Problem::Overloaded);
    let asking = permit()?;
    let pool = &app.db;
    if is_standby(pool).await? {
        return Err(Problem::Standby);
    }
    let mut addresses = addresses(&mut *pool.acquire().await?, wallet).await?;
    let most = usize::try_from(MAX_ACCOUNTS).unwrap_or(usize::MAX);
    let truncated = most < addresses.len();
    addresses.truncate(most);
    let asked = Instant::now();
    // In a task: the pool would lend the connection of a cancelled request with an open transaction.
    let asked_all = tokio::spawn(ask(pool.clone(), addresses.clone()));
    asked_all.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))?;
    // Others may read while this request waits.
    drop(asking);
    loop {
        let looking = permit()?;
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from app.refetch where address = any($1)")
                .bind(&addresses)
                .fetch_one(pool)
                .await?;
        drop(looking);
        if waiting == 0 || MAX_WAIT <= asked.elapsed() {
            return Ok(Synced {
                accounts: addresses.len(),
                waiting,
                truncated,
            });
        }
        sleep(POLL_INTERVAL).await;
    }
}

async fn ask(pool: PgPool, addresses: Vec<Key>) -> Result<(), sqlx::Error> {
    // Other transactions only read.
    let mut tx = pool.begin_with("begin read write").await?;
    sqlx::query(
        "insert into app.refetch (address) select unnest($1::bytea[])
         on conflict (address) do update set asked_at = now()",
    )
    .bind(addresses)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Addresses of the wallet's open accounts, in ascending order: other requests then lock the same rows in the same
/// order.
async fn addresses(db: &mut PgConnection, wallet: &Key) -> Result<Vec<Key>, sqlx::Error> {
    let rows: Vec<Address> = sqlx::query_as(
        "(select address from chain.position where owner = $1 and ended_slot is null limit $2)
         union all (select address from chain.policy
           where holder = $1 and status in ('pending', 'open') limit $2)
         union all (select address from chain.withdraw_request
           where owner = $1 and ended_slot is null limit $2)
         union all (select address from chain.seat where oracle = $1 and ended_slot is null limit $2)",
    )
    .bind(*wallet)
    .bind(MAX_ACCOUNTS + 1)
    .fetch_all(db)
    .await?;
    let mut addresses: Vec<_> = rows.into_iter().map(|row| row.address).collect();
    addresses.sort_unstable();
    Ok(addresses)
}
