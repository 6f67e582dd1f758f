//! Snapshots of the mirror: the database transaction that an answer is read from.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};
use utoipa::ToSchema;

/// Position of the mirror on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow, Serialize, ToSchema)]
#[schema(as = Mirror)]
pub struct MirrorStatus {
    /// Latest mirrored slot.
    pub slot: i64,
    /// Latest finalized slot: the chain does not roll back slots up to it.
    pub finalized_slot: i64,
    /// Sequence number of the latest mirrored event. Events are numbered without gaps.
    pub seq: i64,
    /// First slot with a complete event history. Events of earlier slots may be missing.
    pub history_from: i64,
    /// Time of the latest block.
    pub block_time: Option<DateTime<Utc>>,
    /// Milliseconds since the latest slot was mirrored.
    pub age_ms: i64,
}

impl MirrorStatus {
    /// Reads the status; `None` while the mirror is empty.
    async fn read(db: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(
            "select slot, finalized_slot, seq, history_from, block_time,
                    (extract(epoch from clock_timestamp() - updated_at) * 1000)::bigint as age_ms
             from chain.cursor",
        )
        .fetch_optional(db)
        .await
    }
}

/// A read-only transaction that sees one state of the mirror, and the status of that state.
pub struct Snapshot {
    pub tx: Transaction<'static, Postgres>,
    /// `None` while the mirror is empty.
    pub mirror: Option<MirrorStatus>,
}

impl Snapshot {
    pub async fn begin(db: &PgPool) -> Result<Self, sqlx::Error> {
        let mut tx = db
            .begin_with("begin isolation level repeatable read, read only")
            .await?;
        let mirror = MirrorStatus::read(&mut tx).await?;
        Ok(Self { tx, mirror })
    }

    /// Sequence number of the latest visible event; 0 while the mirror is empty.
    pub fn seq(&self) -> i64 {
        self.mirror.map_or(0, |mirror| mirror.seq)
    }

    /// Ends the transaction and returns the status of the mirror.
    pub async fn close(self) -> Result<Option<MirrorStatus>, sqlx::Error> {
        self.tx.rollback().await?;
        Ok(self.mirror)
    }
}
