//! Application of slots to the database: their rows and the cursor in one transaction.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::Utc;
use driftshield_sdk::Address;
use metrics::{counter, histogram};
use sqlx::{Connection, PgConnection, Postgres, Transaction};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    cursor::{Continuity, Cursor, Tip},
    dead_letter::{DeadLetter, is_refusal},
    gap,
    history::Base,
    kinds,
    metrics::{BATCH_SLOTS, COMMITS},
    reading::{Reading, Taken},
    retention::Retention,
    slot::{Blockhash, SealedSlot, SlotUpdate},
    status::{State, Status},
    store::{Care, Store, bytes_of},
    undo,
    waits::scaled,
};

/// Key of the advisory lock that a process holds while it writes schema `chain`.
const WRITER_LOCK: i64 = 0x6472_6966_7473_6869; // "driftshi"
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Time limit of one transaction. A connection to a machine that has died answers nothing, and no
/// error reports it.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of a transaction that can change every account: taking over a reading, or an undo.
const LONG_TIMEOUT: Duration = Duration::from_secs(1_800);
/// Lifts the time limit of statements, until the end of the transaction.
const NO_STATEMENT_LIMIT: &str = "set local statement_timeout = 0";
/// Settings of the connection. Postgres drops the connection of a dead machine after 30 s, and with it
/// the writer lock, and it gives up a statement whose result nobody awaits any more.
fn session() -> String {
    let limit = scaled(APPLY_TIMEOUT).as_millis();
    format!(
        "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 4;
         set tcp_user_timeout = {limit}; set statement_timeout = {limit};
         set idle_in_transaction_session_timeout = {}",
        2 * limit
    )
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("the row of chain.cursor is missing; the mirror begins anew")]
    NoCursor,
    #[error(
        "the chain continues from slot {ancestor}, but slot {finalized_slot} was finalized: the source \
         belongs to another cluster; correct the endpoints, or make the mirror anew with `indexer \
         rebuild`"
    )]
    Finalized { ancestor: i64, finalized_slot: i64 },
    #[error("slot {0} is not applied, so the slots after it can't be undone")]
    NotApplied(i64),
    #[error("the database has not answered for {0} s")]
    Timeout(u64),
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
}

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
}

impl ApplyError {
    /// Whether a new connection can succeed.
    pub fn is_transient(&self) -> bool {
        /// SQLSTATE classes of statements that can never succeed: refused credentials, no such
        /// database, no right, no such table or column.
        const FINAL: [&str; 4] = ["28", "3D", "42", "0A"];
        match self {
            Self::NoCursor | Self::Timeout(_) => true,
            Self::Finalized { .. } | Self::NotApplied(_) => false,
            Self::Database(sqlx::Error::Database(error)) => !error
                .code()
                .is_some_and(|code| FINAL.iter().any(|class| code.starts_with(class))),
            Self::Database(error) => !matches!(error, sqlx::Error::Configuration(_)),
        }
    }
}

/// The database connection that holds the writer lock. A process that loses the connection loses
/// the lock with it.
pub struct MirrorWriter<'a> {
    connection: PgConnection,
    /// Partitions of the history that exist.
    partitioned: HashSet<i64>,
    retention: &'a mut Retention,
    status: &'a Status,
}

impl<'a> MirrorWriter<'a> {
    /// Connects and waits until no other process holds the writer lock. `None` if `stop` is
    /// cancelled first.
    pub async fn open(
        database_url: &str,
        retention: &'a mut Retention,
        status: &'a Status,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, ApplyError> {
        let opened = stop.run_until_cancelled(async {
            let mut connection = bounded(PgConnection::connect(database_url)).await?;
            bounded(sqlx::raw_sql(&session()).execute(&mut connection)).await?;
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
            let staging = kinds::create_staging();
            bounded(sqlx::raw_sql(&staging).execute(&mut connection)).await?;
            Ok(Self {
                connection,
                partitioned: [].into(),
                retention,
                status,
            })
        });
        opened.await.transpose()
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
        };
        bounded(cursor.insert(&mut self.connection)).await
    }

    /// Stores past slots, which are finalized, in order. Slots without events may be missing between
    /// them. Clients don't hear of them.
    pub async fn apply_past(&mut self, slots: &[SealedSlot]) -> Result<(), ApplyError> {
        self.create_partitions(slots).await?;
        let slots: Vec<_> = slots.iter().collect();
        match self.apply_past_with(Care::Fast, &slots).await {
            Err(ApplyError::Database(error)) if is_refusal(&error) => {
                self.apply_past_with(Care::Careful, &slots).await
            }
            applied => applied,
        }
    }

    async fn apply_past_with(
        &mut self,
        care: Care,
        slots: &[&SealedSlot],
    ) -> Result<(), ApplyError> {
        let cursor = bounded(async {
            let mut transaction = self.connection.begin().await?;
            let cursor = Cursor::lock(&mut transaction).await?;
            let mut cursor = cursor.ok_or(ApplyError::NoCursor)?;
            let mut store = Store {
                connection: &mut transaction,
                cursor: &mut cursor,
                care,
            };
            store.past_slots(slots).await?;
            cursor.update(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<_, ApplyError>(cursor)
        })
        .await?;
        self.status.observe(Some(&cursor));
        Ok(())
    }

    /// Begins to follow the chain after `base`, with all past slots stored.
    pub async fn begin_following(&mut self, base: &Base) -> Result<(), ApplyError> {
        bounded(async {
            let mut transaction = self.connection.begin().await?;
            let cursor = Cursor::lock(&mut transaction).await?;
            let cursor = Cursor {
                slot: base.slot,
                blockhash: base.blockhash,
                block_time: base.block_time,
                finalized_slot: base.slot,
                tip_slot: base.slot,
                tip_at: Utc::now(),
                is_following: true,
                ..cursor.ok_or(ApplyError::NoCursor)?
            };
            cursor.update(&mut transaction).await?;
            transaction.commit().await?;
            Ok::<_, ApplyError>(())
        })
        .await
    }

    /// Empties the mirror.
    pub async fn clear(&mut self) -> Result<(), ApplyError> {
        let clear = sqlx::query("select chain.clear()");
        bounded_by(LONG_TIMEOUT, clear.execute(&mut self.connection)).await?;
        Ok(())
    }

    /// Applies the first `batch` updates up to the first slot that doesn't continue the mirror, in one
    /// transaction. The updates after them only tell which slots are finalized.
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
        let updates = updates.split_at(batch);
        self.create_partitions(updates.0.iter().filter_map(SlotUpdate::sealed))
            .await?;
        let applied = self
            .apply_fast_or_carefully(updates, is_linked, tip)
            .await?;
        self.record(updates.0, &applied);
        let now = Instant::now();
        if self.retention.mark(now, applied.cursor.seq) {
            let removed = self.retention.remove_old(now, &mut self.connection);
            bounded(removed).await?;
        }
        Ok(applied)
    }

    /// Records a commit in the metrics.
    fn record(&self, updates: &[SlotUpdate], applied: &Applied) {
        self.status.commit(&applied.cursor);
        if 0 < applied.applied {
            let updates = updates[..applied.applied].iter();
            let slots = updates.filter(|update| matches!(update, SlotUpdate::Sealed(_)));
            histogram!(BATCH_SLOTS).record(slots.count() as f64);
            counter!(COMMITS).increment(1);
        }
    }

    async fn apply_fast_or_carefully(
        &mut self,
        updates: (&[SlotUpdate], &[SlotUpdate]),
        is_linked: bool,
        tip: Option<Tip>,
    ) -> Result<Applied, ApplyError> {
        match self.apply_with(Care::Fast, updates, is_linked, tip).await {
            Err(ApplyError::Database(error)) if is_refusal(&error) => {
                tracing::warn!(%error, "a row was refused; storing the slots row by row");
                self.apply_with(Care::Careful, updates, is_linked, tip)
                    .await
            }
            applied => applied,
        }
    }

    async fn apply_with(
        &mut self,
        care: Care,
        updates: (&[SlotUpdate], &[SlotUpdate]),
        is_linked: bool,
        tip: Option<Tip>,
    ) -> Result<Applied, ApplyError> {
        let transaction = bounded(self.connection.begin()).await?;
        bounded(apply(transaction, care, updates, is_linked, tip)).await
    }

    /// Undoes the slots after `ancestor`, which is applied and not finalized, and tells the clients.
    pub async fn undo(&mut self, ancestor: i64) -> Result<Cursor, ApplyError> {
        let transaction = self.begin_long().await?;
        let undone = undo::to_ancestor(transaction, ancestor);
        let cursor = bounded_by(LONG_TIMEOUT, undone).await?;
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
        let transaction = self.begin_long().await?;
        bounded_by(LONG_TIMEOUT, gap::begin_epoch(transaction, first)).await
    }

    /// Takes over accounts that were read from an RPC node. The mirror must have passed the reading.
    pub async fn store_reading(&mut self, reading: Reading) -> Result<Taken, ApplyError> {
        let transaction = self.begin_long().await?;
        bounded_by(LONG_TIMEOUT, reading.store(transaction)).await
    }

    /// Records that the mirror has all accounts.
    pub async fn settle(&mut self) -> Result<Cursor, ApplyError> {
        let transaction = self.begin_long().await?;
        let cursor = bounded_by(LONG_TIMEOUT, gap::settle(transaction)).await?;
        self.status.observe(Some(&cursor));
        Ok(cursor)
    }

    /// Begins a transaction whose statements can take long.
    async fn begin_long(&mut self) -> Result<Transaction<'_, Postgres>, ApplyError> {
        let mut transaction = bounded(self.connection.begin()).await?;
        bounded(sqlx::raw_sql(NO_STATEMENT_LIMIT).execute(&mut *transaction)).await?;
        Ok(transaction)
    }

    /// Applied slots with their blockhashes, newest first, down to `first`.
    pub async fn slots_down_to(&mut self, first: i64) -> Result<Vec<(i64, Vec<u8>)>, ApplyError> {
        let slots = sqlx::query_as(
            "select slot, blockhash from chain.slot where $1 <= slot order by slot desc",
        )
        .bind(first);
        bounded(slots.fetch_all(&mut self.connection)).await
    }

    /// The open accounts among `addresses`.
    pub async fn open_among(
        &mut self,
        addresses: &BTreeSet<Address>,
    ) -> Result<Vec<Address>, ApplyError> {
        let open = sqlx::query_scalar(
            "select address from chain.account join unnest($1::bytea[]) as given (key) on address = key
             where is_current and closed_slot is null",
        )
        .bind(bytes_of(addresses));
        let open: Vec<Vec<u8>> = bounded(open.fetch_all(&mut self.connection)).await?;
        let open = open.into_iter();
        Ok(open
            .filter_map(|key| key.as_slice().try_into().ok())
            .collect())
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

/// Limits the time of a database access.
async fn bounded<T, E>(access: impl Future<Output = Result<T, E>>) -> Result<T, ApplyError>
where
    ApplyError: From<E>,
{
    bounded_by(scaled(APPLY_TIMEOUT), access).await
}

async fn bounded_by<T, E>(
    limit: Duration,
    access: impl Future<Output = Result<T, E>>,
) -> Result<T, ApplyError>
where
    ApplyError: From<E>,
{
    match timeout(limit, access).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ApplyError::Timeout(limit.as_secs())),
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(WRITER_LOCK)
        .fetch_one(connection)
        .await
}

async fn apply(
    mut transaction: Transaction<'_, Postgres>,
    care: Care,
    (updates, ahead): (&[SlotUpdate], &[SlotUpdate]),
    is_linked: bool,
    tip: Option<Tip>,
) -> Result<Applied, ApplyError> {
    let cursor = Cursor::lock(&mut transaction).await?;
    let mut cursor = cursor.ok_or(ApplyError::NoCursor)?;
    if let Some(tip) = tip {
        cursor.observe(tip);
    }
    let late = late_slot(&mut transaction, &cursor, updates, ahead).await?;
    let (updates, late) = match late {
        Some((whole, obstacle)) => (&updates[..whole], Some(obstacle)),
        None => (updates, None),
    };
    let hashes = applied_hashes(&mut transaction, &cursor, updates).await?;
    let next = next_slots(&cursor, hashes, is_linked, updates);
    let finalized_before = cursor.finalized_slot;
    let seq_before = cursor.seq;
    cursor.finalized_slot = match late {
        None => finalized_ahead(&cursor, &next, ahead),
        // What was said after it can be of another fork.
        Some(_) => next.finalized_slot,
    };
    // Slots that can still be undone are stored one by one, each with what it replaces.
    let (finalized, open): (Vec<_>, Vec<_>) = next
        .slots
        .into_iter()
        .partition(|slot| slot.slot <= cursor.finalized_slot);
    let mut store = Store {
        connection: &mut transaction,
        cursor: &mut cursor,
        care,
    };
    store.slots(&finalized).await?;
    for slot in open {
        store.slots(&[slot]).await?;
    }
    if finalized_before < cursor.finalized_slot {
        undo::forget(&mut transaction, cursor.finalized_slot).await?;
    }
    cursor.update(&mut transaction).await?;
    if seq_before < cursor.seq {
        notify(&mut transaction, cursor.seq).await?;
    }
    transaction.commit().await?;
    Ok(Applied {
        cursor,
        applied: next.applied,
        obstacle: next.obstacle.or(late),
        is_linked: next.is_linked,
    })
}

/// The first slot that was sealed before all of its messages had arrived, and the number of updates
/// before it.
async fn late_slot(
    connection: &mut PgConnection,
    cursor: &Cursor,
    updates: &[SlotUpdate],
    ahead: &[SlotUpdate],
) -> Result<Option<(usize, Obstacle)>, sqlx::Error> {
    let late = updates.iter().chain(ahead);
    let late = late.filter_map(|update| match update {
        SlotUpdate::Late(slot) => Some(*slot),
        _ => None,
    });
    let Some(slot) = late.min() else {
        return Ok(None);
    };
    if slot <= cursor.finalized_slot {
        // Messages ahead are reported when it is their turn.
        let is_it = |update: &SlotUpdate| matches!(update, SlotUpdate::Late(late) if *late == slot);
        if !updates.iter().any(is_it) {
            return Ok(None);
        }
        let reason = "messages of the slot arrived after it was finalized";
        DeadLetter::new("slot", slot, reason)
            .store(connection)
            .await?;
        return Ok(None);
    }
    let sealed = (0..).zip(updates).find_map(|(index, update)| match update {
        SlotUpdate::Sealed(sealed) if sealed.slot == slot => Some((index, sealed.parent_slot)),
        _ => None,
    });
    let obstacle = |parent_slot| Obstacle::Late { slot, parent_slot };
    if let Some((index, parent_slot)) = sealed {
        return Ok(Some((index, obstacle(parent_slot))));
    }
    let parent: Option<i64> =
        sqlx::query_scalar("select parent_slot from chain.slot where slot = $1")
            .bind(slot)
            .fetch_optional(connection)
            .await?;
    Ok(parent.map(|parent_slot| (0, obstacle(parent_slot))))
}

/// Wakes the readers of the feed.
pub async fn notify(connection: &mut PgConnection, seq: i64) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_notify('driftshield', $1)")
        .bind(seq.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Reads the blockhashes of applied slots that `updates` repeat or descend from.
async fn applied_hashes(
    connection: &mut PgConnection,
    cursor: &Cursor,
    updates: &[SlotUpdate],
) -> Result<HashMap<i64, Blockhash>, sqlx::Error> {
    let sealed = updates.iter().filter_map(SlotUpdate::sealed);
    let slots = sealed.map(|sealed| [sealed.slot, sealed.parent_slot]);
    let applied: Vec<_> = slots.flatten().filter(|slot| *slot < cursor.slot).collect();
    // After `begin_following`, the cursor's slot is not in `chain.slot`.
    let mut hashes = HashMap::from([(cursor.slot, cursor.blockhash)]);
    if !applied.is_empty() {
        // The slot before the first one is known as its parent only.
        let known: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "select slot, blockhash from chain.slot where slot = any($1)
             union select parent_slot, parent_blockhash from chain.slot
               where slot = (select min(slot) from chain.slot) and parent_slot = any($1)",
        )
        .bind(applied)
        .fetch_all(connection)
        .await?;
        let known = known.into_iter();
        hashes.extend(known.filter_map(|(slot, hash)| Some((slot, hash.try_into().ok()?))));
    }
    Ok(hashes)
}

/// The beginning of some updates, up to the first slot that doesn't continue the mirror.
#[derive(Debug, PartialEq, Eq)]
struct Next<'a> {
    /// The slots to apply, each the child of the one before.
    slots: Vec<&'a SealedSlot>,
    /// Latest finalized slot that is applied then.
    finalized_slot: i64,
    /// Number of updates before the obstacle.
    applied: usize,
    obstacle: Option<Obstacle>,
    is_linked: bool,
}

fn next_slots<'a>(
    cursor: &Cursor,
    mut hashes: HashMap<i64, Blockhash>,
    is_linked: bool,
    updates: &'a [SlotUpdate],
) -> Next<'a> {
    let mut cursor = cursor.clone();
    let mut next = Next {
        slots: vec![],
        finalized_slot: cursor.finalized_slot,
        applied: 0,
        obstacle: None,
        is_linked,
    };
    for update in updates {
        let sealed = match update {
            SlotUpdate::Sealed(sealed) => sealed,
            // A slot that is not applied yet is finalized later, with another message.
            SlotUpdate::Finalized(slot) if next.is_linked && *slot <= cursor.slot => {
                next.finalized_slot = next.finalized_slot.max(*slot);
                next.applied += 1;
                continue;
            }
            SlotUpdate::Finalized(_) | SlotUpdate::Late(_) => {
                next.applied += 1;
                continue;
            }
        };
        match cursor.continuity(hashes.get(&sealed.slot), sealed) {
            Continuity::Duplicate => {}
            Continuity::Next => {
                hashes.insert(sealed.slot, sealed.blockhash);
                cursor.advance(sealed);
                next.slots.push(sealed);
            }
            continuity => {
                next.obstacle = Some(obstacle(continuity, &hashes, sealed));
                return next;
            }
        }
        next.is_linked = true;
        next.applied += 1;
    }
    next
}

/// Latest of the slots to apply, and of those that are applied, that is finalized: the updates after them
/// count as well, as far as they continue the chain.
fn finalized_ahead(cursor: &Cursor, next: &Next<'_>, ahead: &[SlotUpdate]) -> i64 {
    if next.obstacle.is_some() || !next.is_linked {
        return next.finalized_slot;
    }
    // A slot with late messages is read again, so it must not count as finalized before.
    let is_late = |update: &SlotUpdate| matches!(update, SlotUpdate::Late(_));
    let ahead = &ahead[..ahead.iter().position(is_late).unwrap_or(ahead.len())];
    let mut last = cursor.clone();
    if let Some(slot) = next.slots.last() {
        last.advance(slot);
    }
    let hashes = HashMap::from([(last.slot, last.blockhash)]);
    let finalized = next_slots(&last, hashes, true, ahead).finalized_slot;
    next.finalized_slot.max(finalized.min(last.slot))
}

/// What keeps a slot from being applied.
fn obstacle(
    continuity: Continuity,
    hashes: &HashMap<i64, Blockhash>,
    sealed: &SealedSlot,
) -> Obstacle {
    let (slot, parent_slot) = (sealed.slot, sealed.parent_slot);
    let parent = hashes.get(&parent_slot);
    match continuity {
        Continuity::Gap => Obstacle::Gap { slot, parent_slot },
        _ if parent == Some(&sealed.parent_blockhash) => Obstacle::Fork {
            slot,
            ancestor: parent_slot,
        },
        _ => Obstacle::UnknownFork { slot, parent_slot },
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn hash(name: u8) -> Blockhash {
        [name; 32]
    }

    fn cursor(slot: i64) -> Cursor {
        Cursor {
            epoch: 1,
            slot,
            blockhash: hash(slot as u8),
            block_time: None,
            seq: 0,
            finalized_slot: 0,
            tip_slot: slot,
            tip_at: DateTime::UNIX_EPOCH,
            settled_slot: None,
            history_from: 0,
            is_following: true,
        }
    }

    fn sealed(slot: i64, name: u8, parent_slot: i64, parent: u8) -> SlotUpdate {
        SlotUpdate::Sealed(Box::new(SealedSlot {
            slot,
            blockhash: hash(name),
            parent_slot,
            parent_blockhash: hash(parent),
            block_time: None,
            writes: vec![],
            emptied: [].into(),
            events: vec![],
        }))
    }

    fn next_of(is_linked: bool, updates: &[SlotUpdate]) -> Next<'_> {
        let applied = [(8, hash(8)), (10, hash(10))].into();
        next_slots(&cursor(10), applied, is_linked, updates)
    }

    /// Slots to apply, number of applied updates, and the obstacle.
    fn next(updates: &[SlotUpdate]) -> (Vec<i64>, usize, Option<Obstacle>) {
        let next = next_of(true, updates);
        let slots = next.slots.iter().map(|slot| slot.slot).collect();
        (slots, next.applied, next.obstacle)
    }

    #[test]
    fn slots_are_applied_up_to_the_first_that_does_not_continue_the_mirror() {
        let first = [
            sealed(10, 10, 9, 9),
            sealed(11, 11, 10, 10),
            sealed(13, 13, 11, 11),
        ];
        assert_eq!(next(&first), (vec![11, 13], 3, None));

        let gap = [&first[..], &[sealed(15, 15, 14, 14)]].concat();
        let (slot, parent_slot) = (15, 14);
        let expected = Obstacle::Gap { slot, parent_slot };
        assert_eq!(next(&gap), (vec![11, 13], 3, Some(expected)));

        // A sibling of an applied slot, and one of a slot of the same batch
        let fork = Obstacle::Fork {
            slot: 10,
            ancestor: 8,
        };
        assert_eq!(next(&[sealed(10, 77, 8, 8)]), (vec![], 0, Some(fork)));
        let sibling = [&first[..], &[sealed(14, 14, 11, 11)]].concat();
        let fork = Obstacle::Fork {
            slot: 14,
            ancestor: 11,
        };
        assert_eq!(next(&sibling), (vec![11, 13], 3, Some(fork)));

        let (slot, parent_slot) = (11, 10);
        let unknown = Obstacle::UnknownFork { slot, parent_slot };
        assert_eq!(next(&[sealed(11, 11, 10, 99)]), (vec![], 0, Some(unknown)));
    }

    #[test]
    fn updates_ahead_tell_which_slots_are_finalized() {
        let finalized = SlotUpdate::Finalized;
        let batch = [sealed(11, 11, 10, 10), sealed(12, 12, 11, 11)];
        let slot = |is_linked, ahead: &[SlotUpdate]| {
            finalized_ahead(&cursor(10), &next_of(is_linked, &batch), ahead)
        };
        // Slots of the batch at most, although later ones are finalized
        let later = sealed(13, 13, 12, 12);
        assert_eq!(slot(true, &[later.clone(), finalized(13)]), 12);
        assert_eq!(slot(true, &[finalized(11), later.clone()]), 11);
        // Not what is said after a fork, or after messages that came late
        let fork = sealed(14, 14, 11, 11);
        assert_eq!(slot(true, &[later.clone(), fork, finalized(14)]), 0);
        assert_eq!(slot(true, &[SlotUpdate::Late(12), later, finalized(13)]), 0);
        // A batch that ends at an obstacle may be undone
        let gap = [sealed(11, 11, 10, 10), sealed(15, 15, 14, 14)];
        let next = next_of(true, &gap);
        assert_eq!(finalized_ahead(&cursor(10), &next, &[finalized(11)]), 0);
    }

    #[test]
    fn a_slot_counts_as_finalized_only_if_it_is_applied_on_the_streams_chain() {
        let finalized = SlotUpdate::Finalized;
        let slot = |is_linked, updates: &[SlotUpdate]| {
            let next = next_of(is_linked, updates);
            (next.finalized_slot, next.is_linked)
        };
        // Nothing links the stream with the mirror yet.
        assert_eq!(slot(false, &[finalized(9)]), (0, false));
        assert_eq!(
            slot(false, &[sealed(15, 15, 14, 14), finalized(9)]),
            (0, false)
        );
        assert_eq!(
            slot(false, &[sealed(10, 77, 8, 8), finalized(10)]),
            (0, false)
        );
        // The stream repeats or continues the mirror.
        assert_eq!(
            slot(false, &[sealed(10, 10, 9, 9), finalized(10)]),
            (10, true)
        );
        assert_eq!(slot(true, &[finalized(9)]), (9, true));
        // Slots that are not applied yet are finalized later.
        let ahead = [sealed(11, 11, 10, 10), finalized(14), finalized(11)];
        assert_eq!(slot(true, &ahead), (11, true));
        assert_eq!(slot(true, &[finalized(14)]), (0, true));
    }
}
