//! Steps that can take long, such as taking over all accounts: they take as long as Postgres works on
//! them, and are given up once nothing shows that it does.
//!
//! A dead connection reports no error, and neither does one whose bytes get lost on the way. So while the
//! connection is silent, a second one asks what the first one's process in the server is doing.

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Instant,
};

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream::FuturesUnordered};
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use tokio::time::{sleep, timeout};

use super::{
    ApplyError,
    limits::{bounded, limit},
};

/// Number of looks at the server's process within the time limit.
const LOOKS: u32 = 10;
/// Share of the time limit for one look: one that is lost leaves time for others.
const LOOK_SHARE: u32 = 4;
/// Lifts the time limit of statements, until the end of the transaction.
const NO_STATEMENT_LIMIT: &str = "set local statement_timeout = 0";

/// The process of the server that serves a connection.
pub struct Backend {
    database_url: String,
    pid: i32,
    /// Numbers of processes are used again.
    started_at: DateTime<Utc>,
}

impl Backend {
    pub async fn of(
        connection: &mut PgConnection,
        database_url: &str,
    ) -> Result<Self, sqlx::Error> {
        let (pid, started_at) = sqlx::query_as(
            "select pid, backend_start from pg_stat_activity where pid = pg_backend_pid()",
        )
        .fetch_one(connection)
        .await?;
        Ok(Self {
            database_url: database_url.to_owned(),
            pid,
            started_at,
        })
    }

    /// Awaits an access over the process's connection, however long it takes, unless for the time limit
    /// nothing arrives and nothing shows that the process works.
    pub async fn while_working<T, E>(
        &self,
        access: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ApplyError>
    where
        ApplyError: From<E>,
    {
        let heard = AtomicBool::new(false);
        let mut access = pin!(access);
        let noted = poll_fn(|context| {
            let polled = access.as_mut().poll(context);
            heard.store(true, Relaxed);
            polled
        });
        // It polls the access only after something has arrived for it.
        let mut only = FuturesUnordered::from_iter([noted]);
        tokio::select! {
            biased;
            done = only.next() => Ok(done.expect("one access")?),
            () = self.silence(&heard) => Err(ApplyError::Timeout(limit().as_secs())),
        }
    }

    /// Returns once the connection was silent and the process idle for the time limit. `heard` is set
    /// when something arrives.
    async fn silence(&self, heard: &AtomicBool) {
        let begun = Instant::now();
        let (mut last_sign, mut last_told) = (begun, begun);
        let mut second = None;
        while last_sign.elapsed() < limit() {
            sleep(limit() / LOOKS).await;
            if !heard.swap(false, Relaxed) {
                let look = timeout(limit() / LOOK_SHARE, self.is_working(&mut second));
                if !matches!(look.await, Ok(Ok(true))) {
                    continue;
                }
            }
            last_sign = Instant::now();
            if limit() < last_told.elapsed() {
                last_told = last_sign;
                let secs = begun.elapsed().as_secs();
                tracing::info!(secs, "a step in the database takes long; it is at work");
            }
        }
    }

    /// Whether the process executes a statement, or waits for a lock, and not for its client. `second` is
    /// the connection that asks.
    async fn is_working(&self, second: &mut Option<PgConnection>) -> Result<bool, sqlx::Error> {
        // A connection that doesn't answer is not used again.
        let mut connection = match second.take() {
            Some(connection) => connection,
            None => PgConnection::connect(&self.database_url).await?,
        };
        let is_working = sqlx::query_scalar(
            "select exists (
               select from pg_stat_activity where pid = $1 and backend_start = $2
                 and state = 'active' and wait_event_type is distinct from 'Client')",
        )
        .bind(self.pid)
        .bind(self.started_at)
        .fetch_one(&mut connection)
        .await?;
        *second = Some(connection);
        Ok(is_working)
    }
}

/// Begins a transaction whose statements can take long.
pub async fn begin_long(
    connection: &mut PgConnection,
) -> Result<Transaction<'_, Postgres>, ApplyError> {
    let mut transaction = bounded(connection.begin()).await?;
    bounded(sqlx::raw_sql(NO_STATEMENT_LIMIT).execute(&mut *transaction)).await?;
    Ok(transaction)
}
