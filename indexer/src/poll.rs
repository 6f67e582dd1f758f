//! Polling of an RPC node at confirmed commitment, in place of the stream.
//!
//! A block has all events of its slot, but no contents of accounts. So the accounts that blocks touched are
//! read by their address, and the blocks go to the database together ([`crate::slot::JoinedSlots`]), with
//! the accounts as of the end of the last one. Which blocks, [`pending`] decides, and why the accounts are
//! exact:
//!
//! - The node's answer to a request for accounts names a slot `S`. The accounts have all writes up to the
//!   end of `S`. Most nodes answer from a slot that is complete, and the accounts have no other write. But a
//!   node can have executed a part of the slot after `S`, and show what that made of them.
//! - So an answer waits until the block after `S` is known. An account that no transaction can have
//!   written between `S` and the end of a slot `E`, nor in the block after `S`, is what it was at the end of
//!   `E`.
//! - Of an account that was written there, numbers tell. Each change of its data has an event with a number,
//!   and the account keeps the number of its last one. The data is that of the end of `E` if the
//!   last event between `S` and `E` has the account's number, or, if there is none, the first one after `E`
//!   has the next number. Otherwise the account is read again; also if it was created there, because the
//!   numbers begin anew then.
//! - Where events or accounts can't be decoded, numbers say nothing. Then the answer counts if it is of
//!   the slot `E` itself, as the node says.
//! - Lamports change without events: they are those of the last transaction of the blocks.
//! - An answer can be of a fork, or of another node behind the same address. Each block is the child of the
//!   one before, to the block after `S`. A block of `S` that the cluster dropped is not among them, by its
//!   hash, which is asked for after each answer; and an answer of such a block proves nothing.
//!
//! Others can send lamports to the program's accounts, in transactions that don't name the program. The
//! database knows the accounts; so a batch is sent once the one before is stored.

mod pending;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use driftshield_sdk::{Address, Event};
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::pending::{Pending, PendingBlock};
use crate::{
    cursor::Tip,
    reading::open_among,
    rpc::{ReadError, Rpc},
    slot::{JoinedSlots, SealedSlot, SlotUpdate, rpc_block::BlockSlot},
    stream::Updates,
    waits::scaled,
};

/// Time between two questions for the newest slot: that of a slot.
const INTERVAL: Duration = Duration::from_millis(400);
/// Number of such questions between two for the finalized slot.
const FINALIZED_EVERY: u32 = 5;
/// Time between two looks at whether the database has stored what was sent.
const STORED_INTERVAL: Duration = Duration::from_millis(10);
/// Time without a new slot after which the node counts as stalled.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of an access to the database: a machine that has died answers nothing.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(30);
/// Most slots that are applied together. If more are missing, the blocks up to the newest one are left to
/// the writer, which fills gaps in smaller transactions.
const MAX_SLOTS: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum PollError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
    #[error(
        "the RPC node reached no new slot, or didn't answer, for {} s; check the node, or give \
         --rpc-url another one",
        STALL_TIMEOUT.as_secs()
    )]
    Stalled,
}

/// Sends the slots after `after` to `updates`, with the accounts that they changed, or, if too many are
/// missing or `after` is `None`, those from the newest slot on. Returns when `stop` is cancelled or the
/// receiver is dropped.
///
/// # Errors
///
/// - The node or the database fails, or the node sends something malformed.
/// - The node reaches no new slot for `STALL_TIMEOUT`.
pub async fn forward_until_stopped(
    rpc: Arc<Rpc>,
    db: PgPool,
    after: Option<i64>,
    updates: Updates,
    stop: CancellationToken,
) -> Result<(), PollError> {
    let poller = Poller {
        rpc,
        db,
        updates,
        pending: Pending::default(),
        sent: after,
        newest: 0,
        progress: Instant::now(),
        finalized: None,
    };
    stop.run_until_cancelled(poller.run())
        .await
        .unwrap_or(Ok(()))
}

struct Poller {
    rpc: Arc<Rpc>,
    db: PgPool,
    updates: Updates,
    pending: Pending,
    /// The last slot that was sent.
    sent: Option<i64>,
    /// The newest slot that the node has reached, and since when.
    newest: i64,
    progress: Instant,
    /// Finalized slot that is sent after the next slots: they prove that what was sent is of its chain.
    finalized: Option<i64>,
}

/// The receiver has been dropped.
struct Dropped;

impl Poller {
    async fn run(mut self) -> Result<(), PollError> {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 0u32.. {
            ticks.tick().await;
            let asks_finalized = tick.is_multiple_of(FINALIZED_EVERY);
            self.fetch_blocks(asks_finalized).await?;
            while let Some(joined) = self.pending.take_exact() {
                if self.send(joined).await.is_err() {
                    return Ok(());
                }
            }
            self.read_accounts().await?;
        }
        Ok(())
    }

    /// Fetches the blocks after those that are known.
    async fn fetch_blocks(&mut self, asks_finalized: bool) -> Result<(), PollError> {
        let holds_back = self.updates.status.holds_back();
        // Blocks that are fetched later descend from it.
        let finalized = match asks_finalized || holds_back {
            true => Some(in_time(self.rpc.finalized_slot()).await?),
            false => None,
        };
        self.observe(in_time(self.rpc.slot()).await?)?;
        let finalized = finalized.and_then(|slot| i64::try_from(slot).ok());
        let newest = match finalized.filter(|_| holds_back) {
            // The writer applies no others.
            Some(finalized) => finalized.min(self.newest),
            None => self.newest,
        };
        let known = self.pending.newest().or(self.sent);
        let first = known.map_or(newest, |slot| slot + 1);
        if newest < first {
            return Ok(());
        }
        let range = (first.unsigned_abs(), newest.unsigned_abs());
        let mut slots = self.rpc.blocks(range.0, range.1).await?;
        if MAX_SLOTS < self.pending.len() + slots.len() {
            tracing::warn!(
                first,
                newest,
                "too many slots to be mirrored at once; going on with the newest one"
            );
            self.pending = Pending::default();
            slots.drain(..slots.len().saturating_sub(1));
        }
        for block in self.rpc.blocks_of(&slots).await? {
            let block = self.with_accounts(block).await?;
            if !self.pending.push(block) {
                tracing::warn!("the cluster dropped slots; reading their blocks again");
                self.pending = Pending::default();
                return Ok(());
            }
        }
        if !slots.is_empty() {
            self.finalized = finalized.or(self.finalized);
        }
        Ok(())
    }

    /// Takes note of the newest slot.
    fn observe(&mut self, newest: u64) -> Result<(), PollError> {
        let newest = i64::try_from(newest).unwrap_or(i64::MAX);
        if self.newest < newest {
            (self.newest, self.progress) = (newest, Instant::now());
            let (slot, at) = (newest, Utc::now());
            self.updates.tip.send_replace(Some(Tip { slot, at }));
        }
        if self.progress.elapsed() < scaled(STALL_TIMEOUT) {
            return Ok(());
        }
        match self.sent {
            Some(min_slot) if newest < min_slot => {
                let node_slot = newest.unsigned_abs();
                Err(ReadError::Behind {
                    node_slot,
                    min_slot,
                }
                .into())
            }
            _ => Err(PollError::Stalled),
        }
    }

    /// The block with the lamports of all accounts of the program that it may have changed, and of others
    /// that its transactions with the program may have changed.
    async fn with_accounts(&self, block: BlockSlot) -> Result<PendingBlock, PollError> {
        let BlockSlot {
            sealed,
            mut touched,
            others,
            lamports,
        } = block;
        let candidates: BTreeSet<_> = touched.union(&others).copied().collect();
        if candidates.is_empty() {
            return Ok(PendingBlock {
                sealed,
                touched: [].into(),
            });
        }
        let mut db = self.db.acquire().await?;
        let open = timeout(scaled(DATABASE_TIMEOUT), open_among(&mut db, &candidates));
        let Ok(open) = open.await else {
            // In the pool, it would be waited for without an end.
            db.close_on_drop();
            return Err(unanswered().into());
        };
        let open: BTreeSet<_> = open?.into_iter().collect();
        let is_known = |address: &Address| open.contains(address) || self.pending.touches(address);
        // An event names the accounts of the program that its instruction changed. Most of the other accounts
        // that a transaction can write are wallets and token accounts.
        if sealed.events.iter().all(|emitted| emitted.event.is_some()) {
            let changed = changed_by(&sealed);
            touched.retain(|address| changed.contains(address) || is_known(address));
        }
        touched.extend(others.into_iter().filter(is_known));
        let lamports = |address: Address| Some((address, *lamports.get(&address)?));
        let touched: BTreeMap<_, _> = touched.into_iter().filter_map(lamports).collect();
        Ok(PendingBlock { sealed, touched })
    }

    /// Sends slots, and waits until they are stored.
    async fn send(&mut self, joined: JoinedSlots) -> Result<(), Dropped> {
        let slots = joined.slots().iter();
        for sealed in slots {
            self.updates.status.arrive(sealed.slot);
            self.sent = Some(sealed.slot);
        }
        // That a later slot is finalized says nothing yet to the writer, which may wait for this one.
        let finalized = match self.updates.status.holds_back() {
            true => self.finalized.min(self.sent),
            false => self.finalized.take(),
        };
        let finalized = finalized.map(SlotUpdate::Finalized);
        let joined = Some(SlotUpdate::Joined(joined));
        for update in [joined, finalized].into_iter().flatten() {
            let sent = self.updates.slots.send(update).await;
            sent.map_err(|_| Dropped)?;
        }
        while let Some(sent) = self.sent
            && !self.updates.status.has_committed(sent)
        {
            if self.updates.slots.is_closed() {
                return Err(Dropped);
            }
            sleep(STORED_INTERVAL).await;
        }
        // The time that the database takes is not the node's.
        self.progress = Instant::now();
        Ok(())
    }

    /// Reads the accounts that the pending blocks touched and that were not read since.
    async fn read_accounts(&mut self) -> Result<(), PollError> {
        let unread: BTreeSet<_> = self.pending.unread();
        if let Some(newest) = self.pending.newest()
            && !unread.is_empty()
        {
            let answer = self.rpc.accounts_with_blockhashes(&unread, newest);
            let (found, blockhashes) = in_time(answer).await?;
            self.pending.show(unread, found, blockhashes);
        }
        Ok(())
    }
}

fn unanswered() -> sqlx::Error {
    let secs = DATABASE_TIMEOUT.as_secs();
    let message = format!("the database has not answered for {secs} s");
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
}

/// Limits the time of a request whose answer is short.
async fn in_time<T>(request: impl Future<Output = Result<T, ReadError>>) -> Result<T, PollError> {
    let answer = timeout(scaled(STALL_TIMEOUT), request).await;
    Ok(answer.map_err(|_| PollError::Stalled)??)
}

/// Accounts that the events of a slot change.
fn changed_by(sealed: &SealedSlot) -> BTreeSet<Address> {
    let events = sealed.events.iter();
    let events = events.filter_map(|emitted| emitted.event.as_ref());
    let changes = events.flat_map(Event::changes);
    changes.map(|change| change.address).collect()
}
