//! Poll loop: one task reads each new record of the feed once and hands it out.

use std::{convert::Infallible, io, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    feed::Position,
    mirror::Snapshot,
    sql::is_recovery_conflict,
    state::AppState,
    updates::{self, Record},
};

/// Channel on which the indexer notifies of new records.
const NOTIFICATION: &str = "driftshield";
/// Longest pause between two polls. Notifications can get lost, and a standby sends none, so the loop
/// does not rely on them.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Pause before connecting to the database again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Pause before asking a server that refuses `listen` again: a standby can become the primary.
const LISTEN_RETRY_DELAY: Duration = Duration::from_secs(60);
/// Time limit of a database access, after which the connection is considered dead.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

/// What the feed has for those who follow it.
pub enum Change<'a> {
    /// The first poll found the mirror here. Records up to `position` are not handed out.
    Begun { position: Position },
    /// The next record.
    Record(&'a Record),
    /// The mirror at `position` does not continue what was handed out so far.
    Discontinued {
        position: Position,
        reason: &'static str,
    },
}

/// The one place at which the feed is handed out, in order, each change once.
///
/// A record names the channels that it touches ([`Record::channels`]) and its `seq`. After a rollback
/// ([`FeedMessage::Rollback`](crate::feed::FeedMessage::Rollback)) and a discontinuity, whatever was
/// read before can be wrong.
fn hand_out(app: &AppState, change: &Change<'_>) {
    app.answers.changes.take(change);
    app.hub.take(change);
}

/// Hands out new records until the process shuts down.
pub async fn tail(app: AppState) {
    let mut position = None;
    loop {
        let error = tokio::select! {
            () = app.shutdown.cancelled() => return,
            Err(error) = poll_until_failure(&app, &mut position) => error,
        };
        tracing::warn!(error = %error, "polling the database failed; retrying");
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = sleep(RETRY_DELAY) => {}
        }
    }
}

/// Polls on one set of connections until a database access fails.
async fn poll_until_failure(
    app: &AppState,
    position: &mut Option<Position>,
) -> Result<Infallible, sqlx::Error> {
    // A pool of its own: requests may hold all connections of the shared one.
    let db = PgPoolOptions::new()
        .max_connections(2)
        .connect_lazy_with((*app.db.connect_options()).clone());
    let mut notifications = Notifications::new(&db).await?;
    loop {
        match with_poll_timeout(poll(app, &db, position)).await {
            Ok(true) => {}
            Ok(false) => notifications.wait(&db).await?,
            // A standby cancels reads of rows that the primary has removed. The next read has newer ones.
            Err(error) if is_recovery_conflict(&error) => sleep(POLL_INTERVAL).await,
            Err(error) => return Err(error),
        }
    }
}

async fn with_poll_timeout<T>(
    access: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let result = timeout(POLL_TIMEOUT, access).await;
    result.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Notifications of the indexer, if the server sends any.
struct Notifications {
    /// `None` if the server refuses to listen, as a standby does.
    listener: Option<PgListener>,
    /// When to ask a server that refuses again.
    retry_at: Instant,
}

impl Notifications {
    async fn new(db: &PgPool) -> Result<Self, sqlx::Error> {
        let listener = with_poll_timeout(async {
            let mut listener = PgListener::connect_with(db).await?;
            match listener.listen(NOTIFICATION).await {
                Ok(()) => Ok(Some(listener)),
                Err(sqlx::Error::Database(error)) => {
                    tracing::info!(%error, "the server sends no notifications; polling only");
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })
        .await?;
        Ok(Self {
            listener,
            retry_at: Instant::now() + LISTEN_RETRY_DELAY,
        })
    }

    /// Waits for a notification, or until the next poll is due.
    async fn wait(&mut self, db: &PgPool) -> Result<(), sqlx::Error> {
        match &mut self.listener {
            Some(listener) => {
                tokio::select! {
                    notified = listener.recv() => drop(notified?),
                    () = sleep(POLL_INTERVAL) => {}
                }
            }
            None => {
                sleep_until(self.retry_at.min(Instant::now() + POLL_INTERVAL)).await;
                if self.retry_at <= Instant::now() {
                    *self = Self::new(db).await?;
                }
            }
        }
        Ok(())
    }
}

/// Hands out the next batch of records after `position`, or that the mirror does not continue them.
/// Returns whether more records are left; if not, records the poll.
async fn poll(
    app: &AppState,
    db: &PgPool,
    position: &mut Option<Position>,
) -> Result<bool, sqlx::Error> {
    let mut snapshot = Snapshot::begin(db).await?;
    let mirrored = Position {
        epoch: snapshot.epoch(),
        seq: snapshot.seq(),
    };
    let position = position.get_or_insert_with(|| {
        hand_out(app, &Change::Begun { position: mirrored });
        mirrored
    });
    let mut records = Vec::new();
    if mirrored.continues(*position) && position.seq < mirrored.seq {
        let mut sql = updates::query();
        sql.push("f.seq > ").push_bind(position.seq);
        records = updates::load(&mut snapshot.tx, sql).await?;
    }
    let mirror = snapshot.close();

    if let Some(reason) = discontinuity(*position, mirrored, &records) {
        *position = mirrored;
        let position = mirrored;
        hand_out(app, &Change::Discontinued { position, reason });
        records.clear();
    }
    for record in &records {
        position.seq = record.seq;
        hand_out(app, &Change::Record(record));
    }
    let more = position.seq < mirrored.seq;
    if !more {
        app.feed.record_poll(mirror);
    }
    Ok(more)
}

/// Why the `records` do not continue the feed at `position`; `None` if they do.
fn discontinuity(
    position: Position,
    mirrored: Position,
    records: &[Record],
) -> Option<&'static str> {
    if !mirrored.continues(position) {
        return Some("mirror was rebuilt");
    }
    let next = records.first().map(|record| record.seq);
    // The mirror deletes old records.
    let is_missing = position.seq < mirrored.seq && next != Some(position.seq + 1);
    is_missing.then_some("server was behind the feed and has missed records")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_are_missing_are_noticed() {
        let position = |epoch, seq| Position { epoch, seq };
        let record = |seq| Record {
            seq,
            channels: vec![],
            message: None,
        };
        let of = discontinuity;
        assert_eq!(of(position(7, 3), position(7, 3), &[]), None);
        assert_eq!(
            of(position(7, 3), position(7, 5), &[record(4), record(5)]),
            None
        );
        assert!(of(position(7, 3), position(7, 9), &[record(8), record(9)]).is_some());
        assert!(of(position(7, 3), position(7, 9), &[]).is_some());
        assert_eq!(
            of(position(7, 3), position(8, 9), &[]),
            Some("mirror was rebuilt")
        );
    }
}
