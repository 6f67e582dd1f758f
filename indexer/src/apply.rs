//! Application of slots to the database: their rows and the cursor in one transaction.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::AccountChanges,
    bulk,
    cursor::{Continuity, Cursor},
    events::{pools::PoolTracker, slot_event::SlotEvent, store::store_events},
    slot::{SealedSlot, SlotUpdate},
};

/// Key of the advisory lock that a process holds while it writes schema `chain`.
const WRITER_LOCK: i64 = 0x6472_6966_7473_6869; // "driftshi"
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// TCP keepalive settings. Postgres drops the connection of a dead machine after 30 s, and with it
/// the writer lock.
const KEEPALIVE: &str = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5;
     set tcp_keepalives_count = 4";

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(
        "slots are missing: the last applied slot is {applied_slot}, but slot {slot} follows slot \
         {parent_slot}; rebuild the mirror in an empty database (`indexer migrate`, then \
         `indexer run`)"
    )]
    Gap {
        applied_slot: i64,
        slot: i64,
        parent_slot: i64,
    },
    #[error(
        "slot {slot} (blockhash {blockhash}, parent slot {parent_slot}) is not on the mirrored \
         chain, whose last applied slot is {applied_slot} (blockhash {applied_hash}): the gRPC \
         server belongs to another cluster, or the cluster dropped a confirmed block; correct \
         --grpc-url, or rebuild the mirror in an empty database (`indexer migrate`, then \
         `indexer run`)"
    )]
    Fork {
        applied_slot: i64,
        applied_hash: String,
        slot: i64,
        blockhash: String,
        parent_slot: i64,
    },
    #[error(
        "the row of chain.cursor is missing; rebuild the mirror in an empty database (`indexer \
         migrate`, then `indexer run`)"
    )]
    NoCursor,
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
}

/// The database connection that holds the writer lock. A process that loses the connection loses
/// the lock with it.
pub struct MirrorWriter {
    connection: PgConnection,
}

impl MirrorWriter {
    /// Connects and waits until no other process holds the writer lock. `None` if `stop` is
    /// cancelled first.
    pub async fn open(
        database_url: &str,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, sqlx::Error> {
        let opened = stop.run_until_cancelled(async {
            let mut connection = PgConnection::connect(database_url).await?;
            sqlx::raw_sql(KEEPALIVE).execute(&mut connection).await?;
            let mut is_waiting = false;
            // Polls, because a statement that blocks on the lock would hold a transaction open
            // and keep vacuum from removing dead rows.
            while !try_lock(&mut connection).await? {
                if !is_waiting {
                    tracing::info!("another indexer holds the writer lock; standing by");
                    is_waiting = true;
                }
                tokio::time::sleep(LOCK_POLL_INTERVAL).await;
            }
            Ok(Self { connection })
        });
        opened.await.transpose()
    }

    pub async fn cursor(&mut self) -> Result<Option<Cursor>, sqlx::Error> {
        Cursor::read(&mut self.connection).await
    }

    /// Fills an empty mirror with the accounts of a snapshot, and sets the cursor to the parent of
    /// `first`, the first slot to apply.
    pub async fn initialize(
        &mut self,
        accounts: AccountChanges,
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

    /// Applies updates in one transaction and returns the new cursor.
    ///
    /// # Errors
    ///
    /// After a gap or a fork, the updates before it are committed. After a missing cursor or a
    /// database error, nothing is committed.
    pub async fn apply(&mut self, updates: Vec<SlotUpdate>) -> Result<Cursor, ApplyError> {
        let mut transaction = self.connection.begin().await?;
        let cursor = Cursor::lock(&mut transaction).await?;
        let cursor = cursor.ok_or(ApplyError::NoCursor)?;
        let applied_hashes = applied_hashes(&mut transaction, &cursor, &updates).await?;
        let mut batch = SlotBatch {
            cursor,
            applied_hashes,
            slots: vec![],
            accounts: AccountChanges::default(),
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

/// Reads the blockhashes of the slots in `updates` that are applied already.
async fn applied_hashes(
    connection: &mut PgConnection,
    cursor: &Cursor,
    updates: &[SlotUpdate],
) -> Result<HashMap<i64, String>, sqlx::Error> {
    let repeated: Vec<i64> = updates
        .iter()
        .filter_map(|update| match update {
            SlotUpdate::Sealed(sealed) if sealed.slot <= cursor.slot => Some(sealed.slot),
            _ => None,
        })
        .collect();
    let mut hashes = HashMap::new();
    if !repeated.is_empty() {
        let known: Vec<(i64, String)> =
            sqlx::query_as("select slot, blockhash from chain.slot where slot = any($1)")
                .bind(repeated)
                .fetch_all(connection)
                .await?;
        hashes.extend(known);
    }
    // After `initialize`, the cursor's slot is not in `chain.slot`.
    hashes.insert(cursor.slot, cursor.blockhash.clone());
    Ok(hashes)
}

/// The changes that one transaction writes.
struct SlotBatch {
    /// The cursor after the slots added so far.
    cursor: Cursor,
    /// Blockhashes of the applied slots that the updates may repeat, by slot.
    applied_hashes: HashMap<i64, String>,
    /// Rows of `chain.slot`.
    slots: Vec<Value>,
    accounts: AccountChanges,
    events: Vec<SlotEvent>,
}

impl SlotBatch {
    fn add(&mut self, update: SlotUpdate) -> Result<(), ApplyError> {
        let sealed = match update {
            SlotUpdate::Sealed(sealed) => *sealed,
            SlotUpdate::Finalized(slot) => {
                let finalized = slot.min(self.cursor.slot);
                self.cursor.finalized_slot = self.cursor.finalized_slot.max(finalized);
                return Ok(());
            }
        };
        let applied_hash = self.applied_hashes.get(&sealed.slot).map(String::as_str);
        match self.cursor.continuity(applied_hash, &sealed) {
            Continuity::Next => {
                self.advance(sealed);
                Ok(())
            }
            Continuity::Duplicate => Ok(()),
            Continuity::Gap => Err(ApplyError::Gap {
                applied_slot: self.cursor.slot,
                slot: sealed.slot,
                parent_slot: sealed.parent_slot,
            }),
            Continuity::Fork => Err(ApplyError::Fork {
                applied_slot: self.cursor.slot,
                applied_hash: self.cursor.blockhash.clone(),
                slot: sealed.slot,
                blockhash: sealed.blockhash,
                parent_slot: sealed.parent_slot,
            }),
        }
    }

    /// Adds the next slot and moves the cursor to it.
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
            .extend(sealed.events.into_iter().map(|emitted| SlotEvent {
                slot,
                block_time,
                emitted,
            }));
        self.applied_hashes.insert(slot, sealed.blockhash.clone());
        self.cursor.slot = slot;
        self.cursor.blockhash = sealed.blockhash;
        self.cursor.block_time = block_time;
    }

    /// Writes all rows and the cursor, and returns the cursor.
    async fn store(self, connection: &mut PgConnection) -> Result<Cursor, sqlx::Error> {
        let mut cursor = self.cursor;
        let pools = PoolTracker::load(connection, &self.events).await?;
        bulk::insert(connection, "slot", &self.slots).await?;
        self.accounts.store(connection).await?;
        if !self.events.is_empty() {
            cursor.seq = store_events(connection, cursor.seq, &self.events, pools).await?;
        }
        cursor.update(connection).await?;
        Ok(cursor)
    }
}
