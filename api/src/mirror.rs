//! Snapshots of the mirror: the database transaction that an answer is read from.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool, Postgres, SqlStr, Transaction};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use crate::problem::Problem;

/// Position of the mirror on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Mirror)]
pub struct MirrorStatus {
    /// Numbering of `seq`. A mirror that was rebuilt, here or in another database, has a higher one.
    pub epoch: i64,
    /// Latest mirrored slot.
    pub slot: i64,
    /// Latest finalized slot: the chain does not roll back slots up to it.
    pub finalized_slot: i64,
    /// Newest slot that the source of the mirror has.
    pub tip_slot: i64,
    /// Number of slots by which the mirror is behind `tip_slot`.
    pub lag_slots: i64,
    /// Sequence number of the latest record of the feed: an event, a rollback or a gap. Records are
    /// numbered without gaps, in the order in which they were mirrored.
    pub seq: i64,
    /// First slot with a complete event history. Events of earlier slots may be missing.
    pub history_from: i64,
    /// Whether the mirror still reads accounts that it has missed: it has begun, or slots were missing.
    /// Reads are refused then.
    pub settling: bool,
    /// Number of ranges of slots that the mirror misses and will still get.
    pub open_gaps: i64,
    /// Number of ranges of slots that no source has any more: events in them are missing.
    pub lost_gaps: i64,
    /// Time of the latest block that has one.
    pub block_time: Option<DateTime<Utc>>,
    /// Age of the data in milliseconds: the time since the source last reached a new slot, or, if that is
    /// more, the time since `block_time`. The block counts only if the mirror is behind the source, or if,
    /// when the source reached the slot, the block was older than the clocks of the chain and of the mirror
    /// can differ: by 30 seconds, unless the indexer is set otherwise.
    pub age_ms: i64,
}

impl MirrorStatus {
    /// This status after some time in which nothing was mirrored.
    pub fn aged(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self {
            age_ms: self.age_ms.saturating_add(by),
            ..self
        }
    }
}

/// Row of `chain.cursor`, with the time of the database.
#[derive(FromRow)]
struct CursorRow {
    epoch: i64,
    slot: i64,
    finalized_slot: i64,
    tip_slot: i64,
    seq: i64,
    history_from: i64,
    settled_slot: Option<i64>,
    block_time: Option<DateTime<Utc>>,
    /// The indexer says from when the age counts, so that its own health and the API agree.
    as_of: DateTime<Utc>,
    open_gaps: i64,
    lost_gaps: i64,
    now: DateTime<Utc>,
}

impl CursorRow {
    async fn read(db: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(
            "select c.epoch, c.slot, c.finalized_slot, c.tip_slot, c.seq,
                    -- Events that no source has are missing up to the slot that shows it.
                    greatest(c.history_from, (
                      select max(slot) + 1 from chain.dead_letter
                      where resolved_at is null and subject = 'history')) as history_from,
                    c.settled_slot, c.block_time, c.as_of,
                    (select count(*) from chain.gap where state = 'open') as open_gaps,
                    (select count(*) from chain.gap where state = 'lost') as lost_gaps,
                    clock_timestamp() as now
             from chain.cursor c",
        )
        .fetch_optional(db)
        .await
    }

    /// Age of the data in milliseconds; never negative, although clocks differ.
    fn age_ms(&self) -> i64 {
        (self.now - self.as_of).num_milliseconds().max(0)
    }
}

impl From<CursorRow> for MirrorStatus {
    fn from(row: CursorRow) -> Self {
        Self {
            epoch: row.epoch,
            slot: row.slot,
            finalized_slot: row.finalized_slot,
            tip_slot: row.tip_slot,
            lag_slots: row.tip_slot.saturating_sub(row.slot).max(0),
            seq: row.seq,
            history_from: row.history_from,
            settling: row.settled_slot.is_none(),
            open_gaps: row.open_gaps,
            lost_gaps: row.lost_gaps,
            block_time: row.block_time,
            age_ms: row.age_ms(),
        }
    }
}

/// A read-only transaction that sees one state of the mirror, and the status of that state.
pub struct Snapshot {
    pub tx: Transaction<'static, Postgres>,
    /// `None` while the mirror is empty.
    pub mirror: Option<MirrorStatus>,
    /// Of a request: it may read until the snapshot ends.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Snapshot {
    /// Begins a snapshot in which accounts may be missing or old.
    pub async fn begin(db: &PgPool) -> Result<Self, sqlx::Error> {
        let mut tx = begin(db).await?;
        let mirror = CursorRow::read(&mut tx).await?.map(MirrorStatus::from);
        Ok(Self {
            tx,
            mirror,
            _permit: None,
        })
    }

    /// Begins a snapshot with all accounts. Fails with [`Problem::MirrorSettling`] while the mirror
    /// doesn't have them.
    pub async fn begin_settled(db: &PgPool) -> Result<Self, Problem> {
        let snapshot = Self::begin(db).await?;
        match snapshot.mirror {
            Some(mirror) if mirror.settling => Err(Problem::MirrorSettling { slot: mirror.slot }),
            _ => Ok(snapshot),
        }
    }

    /// The snapshot, which keeps a request's permit to read until it ends.
    pub fn with_permit(self, permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: Some(permit),
            ..self
        }
    }

    /// Epoch of the mirror; 0 while the mirror is empty.
    pub fn epoch(&self) -> i64 {
        self.mirror.map_or(0, |mirror| mirror.epoch)
    }

    /// Sequence number of the latest visible record of the feed; 0 while the mirror is empty.
    pub fn seq(&self) -> i64 {
        self.mirror.map_or(0, |mirror| mirror.seq)
    }

    /// Time of the mirror's latest block.
    ///
    /// # Errors
    ///
    /// If the mirror is empty, or no block had a time.
    pub fn require_time(&self) -> Result<DateTime<Utc>, Problem> {
        let time = self.mirror.and_then(|mirror| mirror.block_time);
        time.ok_or(Problem::Unavailable(sqlx::Error::RowNotFound))
    }

    /// Ends the snapshot and returns the status of the mirror.
    ///
    /// The pool rolls the transaction back while it takes back the connection, as that of a snapshot that
    /// is dropped. A rollback that is awaited here could be cancelled, and the pool would send a second one.
    pub fn close(self) -> Option<MirrorStatus> {
        self.mirror
    }
}

/// Begins a transaction on a connection of the pool.
///
/// A request can be cancelled wherever it awaits something: its client disconnects, or its time is up.
/// sqlx rolls a dropped transaction back, whatever statement was cancelled in it, but not one whose `BEGIN`
/// was sent and not answered: the pool would lend the connection with an open transaction, and with the
/// state of the mirror at that time. So no request can cancel `BEGIN`: a task awaits it.
async fn begin(db: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    const BEGIN: SqlStr = SqlStr::from_static("begin isolation level repeatable read, read only");
    // Not in the task: a request that is cancelled leaves the queue for a connection.
    let connection = db.acquire().await?;
    let begun = tokio::spawn(Transaction::begin(connection, Some(BEGIN)));
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

#[cfg(test)]
impl MirrorStatus {
    /// A mirror of the epoch 1 that has all accounts.
    pub fn example(seq: i64) -> Self {
        Self {
            epoch: 1,
            slot: 90,
            finalized_slot: 60,
            tip_slot: 90,
            lag_slots: 0,
            seq,
            history_from: 1,
            settling: false,
            open_gaps: 0,
            lost_gaps: 0,
            block_time: None,
            age_ms: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    /// A mirror at slot 90 at the time 1,000, whose data is of the time 400.
    fn cursor(tip_slot: i64) -> CursorRow {
        CursorRow {
            epoch: 1,
            slot: 90,
            finalized_slot: 60,
            tip_slot,
            seq: 7,
            history_from: 1,
            settled_slot: Some(80),
            block_time: None,
            as_of: at(400),
            open_gaps: 0,
            lost_gaps: 0,
            now: at(1_000),
        }
    }

    #[test]
    fn the_age_counts_from_the_time_that_the_indexer_states() {
        assert_eq!(cursor(91).age_ms(), 600_000);
        assert_eq!(MirrorStatus::from(cursor(90)).age_ms, 600_000);
    }

    #[test]
    fn an_age_is_never_negative() {
        let ahead = CursorRow {
            as_of: at(1_001),
            ..cursor(91)
        };
        assert_eq!(ahead.age_ms(), 0);
    }

    #[test]
    fn a_mirror_that_misses_accounts_is_settling() {
        let is_settling = |settled_slot| {
            MirrorStatus::from(CursorRow {
                settled_slot,
                ..cursor(91)
            })
            .settling
        };
        assert!(is_settling(None) && !is_settling(Some(90)));
    }

    #[test]
    fn the_lag_is_the_distance_to_the_tip() {
        let lag = |tip| MirrorStatus::from(cursor(tip)).lag_slots;
        assert_eq!((lag(95), lag(90), lag(80)), (5, 0, 0));
    }
}
