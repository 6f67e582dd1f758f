//! Application of slots to the database: their rows and the cursor in one transaction.

mod again;
mod backend;
mod batch_limit;
mod error;
mod limits;
mod next;
mod requests;
mod updates;

use std::{
    collections::{BTreeSet, HashSet},
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use driftshield_sdk::Address;
use metrics::{counter, histogram};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::{
    cursor::{self, Cursor, Tip},
    dead_letter::is_refusal,
    gap,
    history::Base,
    hourly, kinds,
    metrics::{BATCH_SLOTS, COMMITS},
    nodelay,
    reading::{self, Reading, Taken},
    retention::{Ages, Retention},
    rpc::BLOCK_BATCH,
    slot::{SealedSlot, SlotUpdate},
    sql::built,
    status::{State, Status},
    store::{Care, IfIncomplete, Store},
    undo,
};
use backend::{Backend, begin_long};
use batch_limit::BatchLimit;
pub use error::ApplyError;
use limits::{bounded, session};
pub use requests::Request;
use updates::Batch;

/// Key of the advisory lock that a process holds while it writes schema `chain`.
const WRITER_LOCK: i64 = 0x6472_6966_7473_6869; // "driftshi"
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Result of applying a batch of updates.
#[derive(Debug)]
pub struct Applied {
    pub cursor: Cursor,
    /// Number of updates that were applied. Those after an obstacle were not.
    pub applied: usize,
    /// The first slot that doesn't continue the mirror.
    pub obstacle: Option<Obstacle>,
    /// Whether the stream is known to be of the mirrored chain.
    pub is_linked: bool,
    /// Whether the slots showed that events are missing. Any account may be old then.
    pub lacks_events: bool,
}

/// A slot that doesn't continue the mirror.
#[derive(Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Slots between the cursor and this slot are missing.
    Gap { slot: i64, parent_slot: i64 },
    /// The slot is not a descendant of the cursor's slot, but of `ancestor`, which is applied.
    Fork { slot: i64, ancestor: i64 },
    /// The slot is not a descendant of the cursor's slot, and its parent is not applied either.
    UnknownFork { slot: i64, parent_slot: i64 },
    /// The slot was sealed before all of its messages had arrived. It may be applied.
    Late { slot: i64, parent_slot: i64 },
    /// The slot shows that an event or a write is missing: of the slot itself, most likely, or of another one
    /// after `ancestor`, which is applied.
    Incomplete {
        slot: i64,
        parent_slot: i64,
        ancestor: i64,
    },
}

/// What outlives a writer's connection.
pub struct WriterMemory {
    retention: Retention,
    block_time_tolerance: Duration,
    batch_limit: BatchLimit,
}

impl WriterMemory {
    pub fn new(ages: Ages, block_time_tolerance: Duration) -> Self {
        Self {
            retention: Retention::new(ages),
            block_time_tolerance,
            batch_limit: BatchLimit::default(),
        }
    }
}

/// The database connection that holds the writer lock. A process that loses the connection loses
/// the lock with it.
pub struct MirrorWriter<'a> {
    connection: PgConnection,
    backend: Backend,
    /// Partitions of the history that exist.
    partitioned: HashSet<i64>,
    memory: &'a mut WriterMemory,
    status: &'a Status,
}

impl<'a> MirrorWriter<'a> {
    /// Connects and waits until no other process holds the writer lock. `None` if `stop` is
    /// cancelled first.
    pub async fn open(
        database_url: &str,
        memory: &'a mut WriterMemory,
        status: &'a Status,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, ApplyError> {
        let opened = stop.run_until_cancelled(async {
            let mut connection = bounded(PgConnection::connect(database_url)).await?;
            if let Err(error) = nodelay::set() {
                tracing::warn!(%error, "TCP_NODELAY is not set; slots take longer over TCP than over a Unix socket");
            }
            bounded(sqlx::raw_sql(built(session())).execute(&mut connection)).await?;
            let mut is_waiting = false;
            // Polls, because a statement that blocks on the lock would hold a transaction open
            // and keep vacuum from removing dead rows.
            while !bounded(try_lock(&mut connection)).await? {
                if !is_waiting {
                    tracing::info!("another indexer holds the writer lock; standing by");
                    is_waiting = true;
                    status.enter(State::StandingBy);
                }
                // The process that holds the lock may not have created the tables yet.
                if let Ok(cursor) = bounded(Cursor::read(&mut connection)).await {
                    status.observe(cursor.as_ref());
                }
                tokio::time::sleep(LOCK_POLL_INTERVAL).await;
            }
            let staging = kinds::create_staging() + &hourly::create_staging();
            bounded(sqlx::raw_sql(built(staging)).execute(&mut connection)).await?;
            let tolerance = memory.block_time_tolerance;
            if bounded(cursor::take_over(&mut connection, tolerance)).await? {
                tracing::warn!(
                    "the database server is another one, or was restored: readers may have seen \
                     what it lacks, and begin anew"
                );
            }
            let backend = bounded(Backend::of(&mut connection, database_url)).await?;
            Ok(Self {
                connection,
                backend,
                partitioned: [].into(),
                memory,
                status,
            })
        });
        opened.await.transpose()
    }

    /// Most slots in one transaction.
    pub fn batch_limit(&self) -> usize {
        self.memory.batch_limit.slots()
    }

    /// Takes the slots off `slots` whose blocks are to be read for the next transaction.
    pub fn next_blocks<'s>(&self, slots: &mut &'s [u64]) -> Option<&'s [u64]> {
        let batch = BLOCK_BATCH.min(self.batch_limit()).min(slots.len());
        slots.split_off(..batch).filter(|batch| !batch.is_empty())
    }

    pub async fn cursor(&mut self) -> Result<Option<Cursor>, ApplyError> {
        bounded(Cursor::read(&mut self.connection)).await
    }

    /// Begins an empty mirror, whose events are complete from the slot `history_from` on.
    pub async fn begin(&mut self, history_from: i64) -> Result<(), ApplyError> {
        let cursor = Cursor {
            // Higher than that of every earlier mirror of the chain, whichever database it was in.
            epoch: Utc::now().timestamp_millis(),
            slot: 0,
            blockhash: [0; 32],
            block_time: None,
            seq: 0,
            finalized_slot: 0,
            tip_slot: 0,
            tip_at: Utc::now(),
            settled_slot: None,
            history_from,
            is_following: false,
            block_time_tolerance: TimeDelta::from_std(self.memory.block_time_tolerance)
                .unwrap_or(TimeDelta::MAX),
        };
        bounded(cursor.insert(&mut self.connection)).await
    }

    /// Stores past slots, which are finalized, in order. Slots without events may be missing between
    /// them. Clients don't hear of them.
    pub async fn apply_past(&mut self, slots: &[SealedSlot]) -> Result<(), ApplyError> {
        self.create_partitions(slots).await?;
        let slots: Vec<_> = slots.iter().collect();
        let applied = match self.apply_past_with(Care::Fast, &slots).await {
            Err(ApplyError::Database(error)) if is_refusal(&error) => {
                self.apply_past_with(Care::Careful, &slots).await
            }
            applied => applied,
        };
        self.learn(slots.len(), applied.as_ref().err());
        applied
    }

    /// Takes note of how a transaction with `slots` slots ended.
    fn learn(&mut self, slots: usize, error: Option<&ApplyError>) {
        match error {
            None => self.memory.batch_limit.kept(slots),
            Some(ApplyError::Timeout(_)) => self.memory.batch_limit.exceeded(),
            Some(_) => {}
        }
    }

    async fn apply_past_with(
        &mut self,
        care: Care,
        slots: &[&SealedSlot],
    ) -> Result<(), ApplyError> {
        let cursor = bounded(async {
            let mut transaction = self.connection.begin().await?;
            let mut cursor = Cursor::lock(&mut transaction).await?;
            let mut store = Store::new(&mut transaction, &mut cursor, care);
            store.past_slots(slots).await?;
            cursor.update(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<_, ApplyError>(cursor)
        })
        .await?;
        self.status.observe(Some(&cursor));
        Ok(())
    }

    /// Records that past slots are lost.
    pub async fn lose_past(&mut self, first: i64, last: i64) -> Result<(), ApplyError> {
        let transaction = bounded(self.connection.begin()).await?;
        bounded(gap::lose_past(transaction, first, last)).await
    }

    /// Begins to follow the chain after `base`, with all past slots stored.
    pub async fn begin_following(&mut self, base: &Base) -> Result<(), ApplyError> {
        bounded(async {
            let mut transaction = self.connection.begin().await?;
            let cursor = Cursor::lock(&mut transaction).await?;
            // A past with holes is complete nowhere for certain.
            let has_holes: bool = sqlx::query_scalar(
                "select exists (select from chain.dead_letter
                   where subject = 'history' and resolved_at is null)",
            )
            .fetch_one(&mut *transaction)
            .await?;
            let cursor = Cursor {
                history_from: match has_holes {
                    true => base.slot + 1,
                    false => cursor.history_from,
                },
                slot: base.slot,
                blockhash: base.blockhash,
                block_time: base.block_time.or(cursor.block_time),
                finalized_slot: base.slot,
                tip_slot: base.slot,
                tip_at: Utc::now(),
                is_following: true,
                ..cursor
            };
            cursor.update(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<_, ApplyError>(())
        })
        .await
    }

    /// Empties the mirror.
    pub async fn clear(&mut self) -> Result<(), ApplyError> {
        let mut transaction = begin_long(&mut self.connection).await?;
        let clear = async {
            let clear = sqlx::query("select chain.clear()");
            clear.execute(&mut *transaction).await?;
            transaction.commit().await
        };
        self.backend.while_working(clear).await
    }

    /// Applies the first `batch` updates up to the first slot that doesn't continue the mirror, or that
    /// lacks messages, in one transaction. The updates after them only tell which slots are finalized.
    ///
    /// `is_linked` says whether earlier updates of the stream were of the mirrored chain. Before that,
    /// what the stream says of finalized slots may be of another fork.
    ///
    /// # Errors
    ///
    /// After an error, nothing is committed.
    pub async fn apply(
        &mut self,
        updates: &[SlotUpdate],
        batch: usize,
        is_linked: bool,
        tip: Option<Tip>,
    ) -> Result<Applied, ApplyError> {
        let (updates, ahead) = updates.split_at(batch);
        self.apply_batch(Batch {
            updates,
            ahead,
            is_linked,
            tip,
            if_incomplete: IfIncomplete::Refuse,
        })
        .await
    }

    /// Applies blocks that were read from an RPC node, as [`Self::apply`]. What they lack is on record.
    pub async fn apply_blocks(
        &mut self,
        blocks: &[SlotUpdate],
        tip: Option<Tip>,
    ) -> Result<Applied, ApplyError> {
        self.apply_batch(Batch {
            updates: blocks,
            ahead: &[],
            is_linked: true,
            tip,
            if_incomplete: IfIncomplete::Record,
        })
        .await
    }

    async fn apply_batch(&mut self, batch: Batch<'_>) -> Result<Applied, ApplyError> {
        let updates = batch.updates;
        self.create_partitions(updates.iter().flat_map(SlotUpdate::sealed))
            .await?;
        let applied = self.apply_fast_or_carefully(batch).await;
        self.learn(updates.len(), applied.as_ref().err());
        let applied = applied?;
        self.record(updates, &applied);
        let now = Instant::now();
        if self.memory.retention.is_due(now) {
            let retention = &mut self.memory.retention;
            let removed = retention.remove_old(now, &mut self.connection);
            bounded(removed).await?;
        }
        Ok(applied)
    }

    /// Records a commit in the metrics.
    fn record(&self, updates: &[SlotUpdate], applied: &Applied) {
        self.status.commit(&applied.cursor);
        if 0 < applied.applied {
            let updates = updates[..applied.applied].iter();
            let slots = updates.flat_map(SlotUpdate::sealed);
            histogram!(BATCH_SLOTS).record(slots.count() as f64);
            counter!(COMMITS).increment(1);
        }
    }

    async fn apply_fast_or_carefully(&mut self, batch: Batch<'_>) -> Result<Applied, ApplyError> {
        match self.apply_with(Care::Fast, batch).await {
            Err(ApplyError::Database(error)) if is_refusal(&error) => {
                tracing::warn!(%error, "a row was refused; storing the slots row by row");
                self.apply_with(Care::Careful, batch).await
            }
            applied => applied,
        }
    }

    async fn apply_with(&mut self, care: Care, batch: Batch<'_>) -> Result<Applied, ApplyError> {
        let transaction = bounded(self.connection.begin()).await?;
        bounded(updates::apply(transaction, care, batch)).await
    }

    /// Undoes the slots after `ancestor`, which is applied and not finalized, and tells the clients.
    pub async fn undo(&mut self, ancestor: i64) -> Result<Cursor, ApplyError> {
        let transaction = begin_long(&mut self.connection).await?;
        let undone = undo::to_ancestor(transaction, ancestor);
        let cursor = self.backend.while_working(undone).await?;
        self.status.observe(Some(&cursor));
        Ok(cursor)
    }

    /// Records that slots are missing, and with them writes to accounts.
    pub async fn open_gap(&mut self, first: i64, last: i64) -> Result<(), ApplyError> {
        let transaction = bounded(self.connection.begin()).await?;
        bounded(gap::open(transaction, first, last)).await
    }

    /// Begins a new epoch with `first`, the next slot to apply: the slots between the cursor and it are
    /// lost.
    pub async fn begin_epoch(&mut self, first: &SealedSlot) -> Result<(), ApplyError> {
        let transaction = begin_long(&mut self.connection).await?;
        let begun = gap::begin_epoch(transaction, first);
        self.backend.while_working(begun).await
    }

    /// Takes over accounts that were read from an RPC node. The mirror must have passed the reading.
    pub async fn store_reading(&mut self, reading: Reading) -> Result<Taken, ApplyError> {
        let transaction = begin_long(&mut self.connection).await?;
        self.backend.while_working(reading.store(transaction)).await
    }

    /// Records that the mirror has all accounts.
    pub async fn settle(&mut self) -> Result<Cursor, ApplyError> {
        let transaction = begin_long(&mut self.connection).await?;
        let settled = gap::settle(transaction);
        let cursor = self.backend.while_working(settled).await?;
        self.status.observe(Some(&cursor));
        Ok(cursor)
    }

    /// Applied slots with their blockhashes, newest first, down to `first`. The last one can be the slot that
    /// the mirror, or its epoch, began after: it is known as the parent of the first one only.
    pub async fn slots_down_to(&mut self, first: i64) -> Result<Vec<(i64, Vec<u8>)>, ApplyError> {
        let slots = sqlx::query_as(
            "select slot, blockhash from chain.slot where $1 <= slot
             union
             select parent_slot, parent_blockhash from chain.slot
               where $1 <= parent_slot and slot = (
                 select min(slot) from chain.slot
                 where (select history_from from chain.cursor) <= slot)
             order by slot desc",
        )
        .bind(first);
        bounded(slots.fetch_all(&mut self.connection)).await
    }

    /// The open accounts among `addresses`.
    pub async fn open_among(
        &mut self,
        addresses: &BTreeSet<Address>,
    ) -> Result<Vec<Address>, ApplyError> {
        bounded(reading::open_among(&mut self.connection, addresses)).await
    }

    /// Creates the partitions of the history for the slots of `updates`, in a transaction of its own:
    /// it waits for readers, who must not wait for the slots.
    async fn create_partitions(
        &mut self,
        slots: impl IntoIterator<Item = &SealedSlot>,
    ) -> Result<(), ApplyError> {
        /// Slots of a partition.
        const PARTITION_SLOTS: i64 = 1 << 21;
        for sealed in slots {
            // The next partition is made half a partition ahead.
            for slot in [sealed.slot, sealed.slot + PARTITION_SLOTS / 2] {
                let part = slot / PARTITION_SLOTS;
                if self.partitioned.contains(&part) {
                    continue;
                }
                let create = sqlx::query("select chain.create_partitions($1)").bind(slot);
                bounded(create.execute(&mut self.connection)).await?;
                self.partitioned.insert(part);
            }
        }
        Ok(())
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(WRITER_LOCK)
        .fetch_one(connection)
        .await
}

/// Wakes the readers of the feed.
pub async fn notify(connection: &mut PgConnection, seq: i64) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_notify('driftshield', $1)")
        .bind(seq.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
