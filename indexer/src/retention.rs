//! Removal of what readers no longer need.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::{ranks, sql::built};

/// Time for which replaced ranks are kept. The pages of a sorted list are of one moment, for ten
/// minutes.
const RANKS: Duration = Duration::from_secs(15 * 60);
/// Most rows of a table that are removed at a time, so that the slots need not wait for long.
const CHUNK: i64 = 5_000;
/// Time between two removals.
const INTERVAL: Duration = Duration::from_secs(60);
/// The same while there is more to remove.
const SHORT_INTERVAL: Duration = Duration::from_secs(1);

/// What is kept for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Records of the feed, from which a client can resume, and finalized slots.
    pub feed: Duration,
    /// Events and what is derived from them; `None` if they are kept for ever.
    pub history: Option<Duration>,
}

pub struct Retention {
    ages: Ages,
    /// When to remove again; `None` if nothing has been removed yet.
    next: Option<Instant>,
}

impl Retention {
    pub fn new(ages: Ages) -> Self {
        Self { ages, next: None }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Removes some of what is older than it must be kept, and notes how far the mirror is now. After a failure,
    /// the slots come first again.
    pub async fn remove_old(
        &mut self,
        now: Instant,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        self.next = Some(now + INTERVAL);
        sqlx::query(
            "insert into chain.mark (at, seq, finalized_slot)
             select now(), seq, finalized_slot from chain.cursor
             where not exists (select from chain.mark where now() - make_interval(secs => $1) < at)
             on conflict do nothing",
        )
        .bind(INTERVAL.as_secs_f64())
        .execute(&mut *connection)
        .await?;
        let ranks = match mark(connection, RANKS).await? {
            Some((seq, _)) => ranks::remove_past(connection, seq, CHUNK).await?,
            None => 0,
        };
        let most = ranks.max(self.remove_feed(connection).await?);
        if CHUNK.unsigned_abs() <= most {
            self.next = Some(now + SHORT_INTERVAL);
        }
        match self.ages.history {
            Some(age) => drop_partitions(connection, age).await,
            None => Ok(()),
        }
    }

    /// Removes old records and slots. Returns how many rows it has removed from the table with the most.
    async fn remove_feed(&self, connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
        let Some((seq, finalized_slot)) = mark(connection, self.ages.feed).await? else {
            return Ok(0);
        };
        let mut most = 0;
        for (table, key, last) in [
            ("chain.feed", "seq", seq),
            ("chain.slot", "slot", finalized_slot - 1),
        ] {
            let sql = format!(
                "delete from {table} where {key} in (
                   select {key} from {table} where {key} <= $1 order by {key} limit $2)"
            );
            let delete = sqlx::query(built(sql)).bind(last).bind(CHUNK);
            most = most.max(delete.execute(&mut *connection).await?.rows_affected());
        }
        sqlx::query("delete from chain.mark where at < now() - make_interval(secs => $1)")
            .bind((self.ages.feed.max(RANKS) + 2 * INTERVAL).as_secs_f64())
            .execute(connection)
            .await?;
        Ok(most)
    }
}

/// Drops the partitions that are older. While somebody reads them, such as a backup, they stay: readers that come
/// later would have to wait together with the indexer.
async fn drop_partitions(connection: &mut PgConnection, age: Duration) -> Result<(), sqlx::Error> {
    /// SQLSTATE `lock_not_available`
    const IN_USE: &str = "55P03";
    let dropped = sqlx::query("select chain.drop_partitions(now() - make_interval(secs => $1))")
        .bind(age.as_secs_f64())
        .execute(connection)
        .await;
    match dropped {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(IN_USE) => {
            tracing::warn!(%error, "old partitions of the history are in use; dropping them later");
            Ok(())
        }
        dropped => dropped.map(drop),
    }
}

/// The `seq` and the finalized slot of the mirror this long ago or longer.
async fn mark(
    connection: &mut PgConnection,
    age: Duration,
) -> Result<Option<(i64, i64)>, sqlx::Error> {
    sqlx::query_as(
        "select seq, finalized_slot from chain.mark
         where at <= now() - make_interval(secs => $1) order by at desc limit 1",
    )
    .bind(age.as_secs_f64())
    .fetch_optional(connection)
    .await
}
