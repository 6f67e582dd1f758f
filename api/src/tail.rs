//! Poll loop: one task reads each new event of the mirror once and broadcasts it to all sockets.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{sleep, timeout};

use crate::{
    feed::{Feed, FeedMessage},
    mirror::Snapshot,
    state::AppState,
    updates,
};

/// Channel on which the indexer notifies of new events.
const NOTIFICATION: &str = "driftshield";
/// Longest pause between two polls. Notifications can get lost, so the loop does not rely on them.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Pause before connecting to the database again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Time limit of a database access, after which the connection is considered dead.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

/// Broadcasts new events until the process shuts down.
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

/// Position of the feed: the mirror's epoch, and the last event that was broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// The mirror's `history_from`, which changes when the mirror is rebuilt. `None` while the
    /// mirror is empty.
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
        while with_poll_timeout(poll(&app.feed, &db, position)).await? {}
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

/// Broadcasts the next batch of events after `position`, or that the mirror was rebuilt. Returns
/// whether more events are left; if not, records the poll.
async fn poll(
    feed: &Feed,
    db: &PgPool,
    position: &mut Option<Position>,
) -> Result<bool, sqlx::Error> {
    let mut snapshot = Snapshot::begin(db).await?;
    let mirrored = Position {
        epoch: snapshot.mirror.map(|mirror| mirror.history_from),
        seq: snapshot.seq(),
    };
    // No socket waits for events from before the first poll.
    let position = position.get_or_insert(mirrored);
    let mut updates = Vec::new();
    if mirrored.continues(*position) && position.seq < mirrored.seq {
        let mut sql = updates::query();
        sql.push("e.seq > ").push_bind(position.seq);
        updates = updates::load(&mut snapshot.tx, sql).await?;
    }
    let mirror = snapshot.close().await?;

    if !mirrored.continues(*position) {
        *position = mirrored;
        feed.broadcast(FeedMessage::Rebuilt);
    }
    for update in updates {
        position.seq = update.seq;
        feed.broadcast(FeedMessage::Update(Arc::new(update)));
    }
    let more = position.seq < mirrored.seq;
    if !more {
        feed.record_poll(mirror);
    }
    Ok(more)
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
}
