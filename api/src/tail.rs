//! Poll loop: one task reads each new record of the feed once and broadcasts it to all sockets.

use std::{convert::Infallible, io, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{sleep, timeout};

use crate::{
    feed::FeedMessage,
    mirror::Snapshot,
    state::AppState,
    updates::{self, Record},
};

/// Channel on which the indexer notifies of new records.
const NOTIFICATION: &str = "driftshield";
/// Longest pause between two polls. Notifications can get lost, so the loop does not rely on them.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Pause before connecting to the database again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Time limit of a database access, after which the connection is considered dead.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

/// Broadcasts new records until the process shuts down.
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

/// Position in the feed: the epoch, and the last record that was broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// `None` while the mirror is empty.
    epoch: Option<i64>,
    seq: i64,
}

impl Position {
    /// Whether the mirror at `self` continues the mirror at `earlier`. If not, it was rebuilt.
    fn continues(self, earlier: Self) -> bool {
        self.epoch == earlier.epoch && earlier.seq <= self.seq
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
    let mut listener = with_poll_timeout(async {
        let mut listener = PgListener::connect_with(&db).await?;
        listener.listen(NOTIFICATION).await?;
        Ok(listener)
    })
    .await?;
    loop {
        while with_poll_timeout(poll(app, &db, position)).await? {}
        tokio::select! {
            notified = listener.recv() => drop(notified?),
            () = sleep(POLL_INTERVAL) => {}
        }
    }
}

async fn with_poll_timeout<T>(
    access: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let result = timeout(POLL_TIMEOUT, access).await;
    result.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Broadcasts the next batch of records after `position`, or that the mirror does not continue them.
/// Returns whether more records are left; if not, records the poll.
async fn poll(
    app: &AppState,
    db: &PgPool,
    position: &mut Option<Position>,
) -> Result<bool, sqlx::Error> {
    let mut snapshot = Snapshot::begin(db).await?;
    let mirrored = Position {
        epoch: snapshot.mirror.map(|mirror| mirror.epoch),
        seq: snapshot.seq(),
    };
    let (feed, changes) = (&app.feed, &app.answers.changes);
    // No socket waits for records from before the first poll.
    let position = position.get_or_insert_with(|| {
        changes.note_everything(mirrored.seq);
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
        changes.note_everything(mirrored.seq);
        feed.broadcast(FeedMessage::Discontinued(reason));
        records.clear();
    }
    for record in records {
        position.seq = record.seq;
        match &record.message {
            Some(FeedMessage::Update(update)) => {
                changes.note(record.seq, update.channels.iter().map(String::as_str));
            }
            _ => changes.note_everything(record.seq),
        }
        if let Some(message) = record.message {
            feed.broadcast(message);
        }
    }
    let more = position.seq < mirrored.seq;
    if !more {
        feed.record_poll(mirror);
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
    fn a_rebuilt_mirror_does_not_continue_the_earlier_one() {
        let position = |epoch, seq| Position { epoch, seq };
        assert!(position(Some(7), 3).continues(position(Some(7), 3)));
        assert!(position(Some(7), 4).continues(position(Some(7), 3)));
        assert!(!position(Some(7), 2).continues(position(Some(7), 3)));
        assert!(!position(Some(9), 4).continues(position(Some(7), 3)));
        assert!(!position(Some(7), 0).continues(position(None, 0)));
        assert!(!position(None, 0).continues(position(Some(7), 3)));
    }

    #[test]
    fn records_that_are_missing_are_noticed() {
        let position = |epoch, seq| Position {
            epoch: Some(epoch),
            seq,
        };
        let record = |seq| Record { seq, message: None };
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
