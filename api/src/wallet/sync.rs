//! Request to the indexer to read a wallet's accounts again.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};
use tokio::time::sleep;
use utoipa::ToSchema;

use crate::{bytes::Key, problem::Problem};

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
pub async fn sync(pool: &PgPool, wallet: &Key) -> Result<Synced, Problem> {
    let mut addresses = addresses(&mut *pool.acquire().await?, wallet).await?;
    let most = usize::try_from(MAX_ACCOUNTS).unwrap_or(usize::MAX);
    let truncated = most < addresses.len();
    addresses.truncate(most);
    let asked = Instant::now();
    // The other connections only read.
    let mut tx = pool.begin_with("begin read write").await?;
    sqlx::query(
        "insert into app.refetch (address) select unnest($1::bytea[])
         on conflict (address) do update set asked_at = now()",
    )
    .bind(&addresses)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    loop {
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from app.refetch where address = any($1)")
                .bind(&addresses)
                .fetch_one(pool)
                .await?;
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
