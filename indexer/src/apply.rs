//! Slots into the database: rows and cursor in one transaction.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::Changes,
    events::{self, Odds, Placed},
    rows,
    slot::{SealedSlot, Update},
};

/// Whoever holds this advisory lock writes schema `chain`.
const WRITER_LOCK: i64 = 0x6472_6966_7473_6869; // "driftshi"
const STANDBY_POLL: Duration = Duration::from_millis(500);
/// Has Postgres notice within half a minute that our machine is gone, and give up our lock.
const KEEPALIVE: &str = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5;
     set tcp_keepalives_count = 4";

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(
        "slots are missing: the mirror has come to slot {head}, and slot {slot} follows slot \
         {parent_slot}: make the mirror anew in an empty database (`indexer migrate`, \
         `indexer run`)"
    )]
    Gap {
        head: i64,
        slot: i64,
        parent_slot: i64,
    },
    #[error(
        "slot {slot} with blockhash {blockhash}, after slot {parent_slot}, is not on the chain \
         that the mirror is of, which has come to slot {head} with blockhash {head_blockhash}: \
         the server is of another cluster, or the chain dropped a confirmed block; make the \
         mirror anew in an empty database (`indexer migrate`, `indexer run`)"
    )]
    Fork {
        head: i64,
        head_blockhash: String,
        slot: i64,
        blockhash: String,
        parent_slot: i64,
    },
    #[error("the database lost its cursor: make the mirror anew in an empty database")]
    NoCursor,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// How far the mirror has come.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Cursor {
    /// The last slot applied.
    pub slot: i64,
    pub blockhash: String,
    pub block_time: Option<DateTime<Utc>>,
    /// The number of the last event.
    pub seq: i64,
    pub finalized_slot: i64,
    /// Events of earlier slots may be missing.
    pub history_from: i64,
}

impl Cursor {
    /// `None` before the first snapshot.
    pub async fn read(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(
            "select slot, blockhash, block_time, seq, finalized_slot, history_from
             from chain.cursor",
        )
        .fetch_optional(connection)
        .await
    }

    async fn lock(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query("select from chain.cursor for update")
            .execute(&mut *connection)
            .await?;
        Self::read(connection).await
    }

    async fn update(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "update chain.cursor set slot = $1, blockhash = $2, block_time = $3, seq = $4,
             finalized_slot = $5, updated_at = now()",
        )
        .bind(self.slot)
        .bind(&self.blockhash)
        .bind(self.block_time)
        .bind(self.seq)
        .bind(self.finalized_slot)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// What a sealed slot is to the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The next one.
    Apply,
    /// One that was applied.
    Duplicate,
    /// A later one: some between are missing.
    Gap,
    /// One of another chain.
    Fork,
}

/// Decides by slots and hashes. `applied` is the hash of the block that was applied at this slot.
pub fn decide(cursor: &Cursor, applied: Option<&str>, sealed: &SealedSlot) -> Decision {
    if sealed.slot <= cursor.slot {
        return if applied == Some(&sealed.blockhash) {
            Decision::Duplicate
        } else {
            Decision::Fork
        };
    }
    if cursor.slot < sealed.parent_slot {
        Decision::Gap
    } else if (sealed.parent_slot, &sealed.parent_blockhash) == (cursor.slot, &cursor.blockhash) {
        Decision::Apply
    } else {
        Decision::Fork
    }
}

/// The database, with the lock that makes this process its only writer. The lock is the
/// connection's, so that who loses the one has lost the other.
pub struct Mirror {
    connection: PgConnection,
}

impl Mirror {
    /// Connects, and waits until no other process writes. `None` if `stop` is cancelled before.
    pub async fn open(
        database_url: &str,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, sqlx::Error> {
        let opened = stop.run_until_cancelled(async {
            let mut connection = PgConnection::connect(database_url).await?;
            sqlx::raw_sql(KEEPALIVE).execute(&mut connection).await?;
            let mut waits = false;
            // Asked again and again: a statement that waits would keep vacuum from its work.
            while !try_lock(&mut connection).await? {
                if !waits {
                    tracing::info!("standing by: another indexer writes this database");
                    waits = true;
                }
                tokio::time::sleep(STANDBY_POLL).await;
            }
            Ok(Self { connection })
        });
        opened.await.transpose()
    }

    pub async fn cursor(&mut self) -> Result<Option<Cursor>, sqlx::Error> {
        Cursor::read(&mut self.connection).await
    }

    /// Begins an empty mirror with the accounts that a snapshot has. `first` is the slot that
    /// will be applied first.
    pub async fn begin(
        &mut self,
        accounts: Changes,
        first: &SealedSlot,
    ) -> Result<(), sqlx::Error> {
        let mut transaction = self.connection.begin().await?;
        accounts.store(&mut transaction).await?;
        sqlx::query(
            "insert into chain.cursor (slot, blockhash, seq, finalized_slot, history_from)
             values ($1, $2, 0, 0, $3)",
        )
        .bind(first.parent_slot)
        .bind(&first.parent_blockhash)
        .bind(first.slot)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// Applies updates in one transaction. What comes before a gap or a fork is applied.
    pub async fn apply(&mut self, updates: Vec<Update>) -> Result<Cursor, ApplyError> {
        let mut transaction = self.connection.begin().await?;
        let cursor = Cursor::lock(&mut transaction).await?;
        let cursor = cursor.ok_or(ApplyError::NoCursor)?;
        let applied = applied_hashes(&mut transaction, &cursor, &updates).await?;
        let mut batch = Batch {
            cursor,
            applied,
            slots: vec![],
            accounts: Changes::default(),
            events: vec![],
        };
        let added = updates.into_iter().try_for_each(|update| batch.add(update));
        let cursor = batch.store(&mut transaction).await?;
        transaction.commit().await?;
        added.map(|()| cursor)
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(WRITER_LOCK)
        .fetch_one(connection)
        .await
}

/// The hashes of the blocks that were applied, of those slots that `updates` speak of.
async fn applied_hashes(
    connection: &mut PgConnection,
    cursor: &Cursor,
    updates: &[Update],
) -> Result<HashMap<i64, String>, sqlx::Error> {
    let again: Vec<i64> = updates
        .iter()
        .filter_map(|update| match update {
            Update::Sealed(sealed) if sealed.slot <= cursor.slot => Some(sealed.slot),
            _ => None,
        })
        .collect();
    let mut applied = HashMap::new();
    if !again.is_empty() {
        let known: Vec<(i64, String)> =
            sqlx::query_as("select slot, blockhash from chain.slot where slot = any($1)")
                .bind(again)
                .fetch_all(connection)
                .await?;
        applied.extend(known);
    }
    // Of the slot before the first one the cursor alone knows.
    applied.insert(cursor.slot, cursor.blockhash.clone());
    Ok(applied)
}

/// What one transaction writes.
struct Batch {
    cursor: Cursor,
    applied: HashMap<i64, String>,
    slots: Vec<Value>,
    accounts: Changes,
    events: Vec<Placed>,
}

impl Batch {
    fn add(&mut self, update: Update) -> Result<(), ApplyError> {
        let sealed = match update {
            Update::Sealed(sealed) => *sealed,
            Update::Finalized(slot) => {
                let finalized = slot.min(self.cursor.slot);
                self.cursor.finalized_slot = self.cursor.finalized_slot.max(finalized);
                return Ok(());
            }
        };
        let applied = self.applied.get(&sealed.slot).map(String::as_str);
        match decide(&self.cursor, applied, &sealed) {
            Decision::Apply => {
                self.advance(sealed);
                Ok(())
            }
            Decision::Duplicate => Ok(()),
            Decision::Gap => Err(ApplyError::Gap {
                head: self.cursor.slot,
                slot: sealed.slot,
                parent_slot: sealed.parent_slot,
            }),
            Decision::Fork => Err(ApplyError::Fork {
                head: self.cursor.slot,
                head_blockhash: self.cursor.blockhash.clone(),
                slot: sealed.slot,
                blockhash: sealed.blockhash,
                parent_slot: sealed.parent_slot,
            }),
        }
    }

    fn advance(&mut self, sealed: SealedSlot) {
        let SealedSlot {
            slot, block_time, ..
        } = sealed;
        self.slots.push(json!({
            "slot": slot,
            "blockhash": sealed.blockhash,
            "parent_slot": sealed.parent_slot,
            "parent_blockhash": sealed.parent_blockhash,
            "block_time": block_time,
        }));
        for write in sealed.writes {
            self.accounts.write(slot, write);
        }
        for address in sealed.closed {
            self.accounts.close(slot, address);
        }
        self.events
            .extend(sealed.events.into_iter().map(|emitted| Placed {
                slot,
                block_time,
                emitted,
            }));
        self.applied.insert(slot, sealed.blockhash.clone());
        self.cursor.slot = slot;
        self.cursor.blockhash = sealed.blockhash;
        self.cursor.block_time = block_time;
    }

    async fn store(self, connection: &mut PgConnection) -> Result<Cursor, sqlx::Error> {
        let mut cursor = self.cursor;
        let odds = Odds::before(connection, &self.events).await?;
        rows::insert(connection, "slot", &self.slots).await?;
        self.accounts.store(connection).await?;
        if !self.events.is_empty() {
            cursor.seq = events::store(connection, cursor.seq, &self.events, odds).await?;
        }
        cursor.update(connection).await?;
        Ok(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            slot: 105,
            blockhash: "e".into(),
            block_time: None,
            seq: 0,
            finalized_slot: 0,
            history_from: 100,
        }
    }

    fn sealed(slot: i64, blockhash: &str, parent_slot: i64, parent: &str) -> SealedSlot {
        SealedSlot {
            slot,
            blockhash: blockhash.into(),
            parent_slot,
            parent_blockhash: parent.into(),
            block_time: None,
            writes: vec![],
            closed: Default::default(),
            events: vec![],
        }
    }

    #[test]
    fn the_next_slot_is_told_by_its_parent() {
        for (next, decision) in [
            (sealed(106, "f", 105, "e"), Decision::Apply),
            (sealed(109, "f", 105, "e"), Decision::Apply),
            (sealed(106, "f", 105, "another"), Decision::Fork),
            (sealed(107, "f", 104, "d"), Decision::Fork),
            (sealed(108, "f", 107, "x"), Decision::Gap),
        ] {
            assert_eq!(decide(&cursor(), None, &next), decision, "{next:?}");
        }
    }

    #[test]
    fn an_earlier_slot_is_told_by_its_hash() {
        let again = sealed(103, "c", 102, "b");
        assert_eq!(decide(&cursor(), Some("c"), &again), Decision::Duplicate);
        assert_eq!(decide(&cursor(), Some("x"), &again), Decision::Fork);
        assert_eq!(decide(&cursor(), None, &again), Decision::Fork);
    }
}
