//! Following of one stream, and the remedies for what it lacks.

use std::{collections::BTreeSet, time::Duration};

use driftshield_sdk::Address;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::RunError;
use crate::{
    apply::{MirrorWriter, Obstacle},
    cursor::{Cursor, Tip},
    rpc::{ReadError, Rpc},
    slot::{SealedSlot, SlotUpdate},
    snapshot::{self, InitialAccounts},
};

/// Maximum number of updates in one database transaction.
const MAX_BATCH: usize = 128;
/// Number of updates that are taken from the queue ahead of the transaction, if they have arrived. Slots
/// that they finalize can't be undone any more, so the mirror need not keep what these slots replace.
const MAX_AHEAD: usize = 160;
/// Number of account writes and events from which a transaction takes no further slot: one that takes
/// too long is given up.
const MAX_BATCH_ROWS: usize = 20_000;
/// Time between two updates of the cursor while no slot arrives: readers see from it how old the data
/// is.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Number of updates that are kept while the first snapshot is read: hours of slots.
const MAX_WAITING: usize = 50_000;
/// Number of blocks that one transaction applies.
const BLOCK_BATCH: usize = 16;

/// Applies the updates of one stream.
pub struct Follower<'a> {
    pub rpc: &'a Rpc,
    pub stop: &'a CancellationToken,
    pub mirror: &'a mut MirrorWriter<'a>,
    pub updates: mpsc::Receiver<SlotUpdate>,
    pub tip: watch::Receiver<Option<Tip>>,
    /// Whether the mirror has reached the end of the stream once.
    pub caught_up: bool,
    /// Whether the stream is known to be of the mirrored chain.
    pub is_linked: bool,
}

impl Follower<'_> {
    /// Fills an empty mirror with the accounts that exist before the stream's first slot, then
    /// follows the stream.
    pub async fn begin_and_follow(&mut self) -> Result<(), RunError> {
        let Some(first) = self.first_sealed().await else {
            return Ok(());
        };
        let mut waiting = vec![SlotUpdate::Sealed(first.clone())];
        let Some(accounts) = self.read_snapshot(&first, &mut waiting).await? else {
            return Ok(());
        };
        self.mirror.initialize(accounts, &first).await?;
        self.follow(waiting).await
    }

    /// Reads the accounts while the stream goes on. `None` if stopped.
    async fn read_snapshot(
        &mut self,
        first: &SealedSlot,
        waiting: &mut Vec<SlotUpdate>,
    ) -> Result<Option<InitialAccounts>, RunError> {
        let reading = snapshot::initial_accounts(self.rpc.client(), first);
        tokio::pin!(reading);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                accounts = &mut reading => return Ok(Some(accounts?)),
                update = self.updates.recv() => match update {
                    Some(update) => waiting.push(update),
                    // The stream has failed; what it sent is enough to begin with.
                    None => return Ok(Some(reading.await?)),
                },
            }
            if MAX_WAITING < waiting.len() {
                return Err(RunError::SlowSnapshot(MAX_WAITING));
            }
        }
    }

    /// Applies `waiting` and then updates until the stream ends and all of them are applied.
    pub async fn follow(&mut self, mut waiting: Vec<SlotUpdate>) -> Result<(), RunError> {
        self.settle().await?;
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while !waiting.is_empty() {
                self.look_ahead(&mut waiting);
                let batch = batch_len(&waiting[..finalized_len(&waiting)]);
                let cursor = self.apply(&waiting, batch).await?;
                waiting.drain(..batch);
                if !self.caught_up && waiting.is_empty() && self.updates.is_empty() {
                    self.caught_up = true;
                    let (slot, seq) = (cursor.slot, cursor.seq);
                    tracing::info!(slot, seq, "caught up with the stream");
                }
            }
            tokio::select! {
                received = self.updates.recv_many(&mut waiting, MAX_BATCH) => {
                    if received == 0 {
                        return Ok(());
                    }
                }
                _ = heartbeat.tick() => {
                    self.apply(&[], 0).await?;
                }
            }
        }
    }

    /// Takes the updates that have arrived.
    fn look_ahead(&mut self, waiting: &mut Vec<SlotUpdate>) {
        while waiting.len() < MAX_AHEAD
            && let Ok(update) = self.updates.try_recv()
        {
            waiting.push(update);
        }
    }

    /// Applies the first `batch` updates, with the remedy for each obstacle.
    async fn apply(
        &mut self,
        mut updates: &[SlotUpdate],
        mut batch: usize,
    ) -> Result<Cursor, RunError> {
        loop {
            let tip = *self.tip.borrow();
            let applied = self.mirror.apply(updates, batch, self.is_linked, tip);
            let applied = applied.await?;
            self.is_linked = applied.is_linked;
            let Some(obstacle) = applied.obstacle else {
                return Ok(applied.cursor);
            };
            if self.stop.is_cancelled() {
                return Err(RunError::Stopped);
            }
            // What was applied before the obstacle can be of the fork that is undone now.
            updates = &updates[applied.applied..];
            batch -= applied.applied;
            self.overcome(obstacle, &applied.cursor, updates).await?;
        }
    }

    /// Removes an obstacle: `updates` begin with its slot.
    async fn overcome(
        &mut self,
        obstacle: Obstacle,
        cursor: &Cursor,
        updates: &[SlotUpdate],
    ) -> Result<(), RunError> {
        match obstacle {
            Obstacle::Fork { slot, ancestor } => {
                tracing::warn!(slot, ancestor, "the cluster dropped slots; undoing them");
                self.mirror.undo(ancestor).await?;
            }
            Obstacle::UnknownFork { slot, parent_slot } => {
                self.undo_dropped(cursor, slot, parent_slot).await?;
            }
            Obstacle::Late { slot, parent_slot } => {
                self.mirror.undo(parent_slot).await?;
                return Err(RunError::Late(slot));
            }
            Obstacle::Gap { slot, parent_slot } => match self.fill(cursor, parent_slot).await {
                Err(RunError::Read(ReadError::NoBlock(missing))) => {
                    tracing::error!(missing, "no source has the slots any more");
                    self.begin_epoch(updates, slot).await?;
                }
                filled => filled?,
            },
        }
        Ok(())
    }

    /// Fetches the slots after the cursor up to `last` as blocks, and then the accounts that they
    /// changed. Returns early after it has undone dropped slots: the gap is another one then.
    async fn fill(&mut self, cursor: &Cursor, last: i64) -> Result<(), RunError> {
        let first = cursor.slot + 1;
        tracing::warn!(
            first,
            last,
            "the stream misses slots; reading their blocks by RPC"
        );
        self.mirror.open_gap(first, last).await?;
        let range = (first.unsigned_abs(), last.unsigned_abs());
        let slots = self.rpc.blocks(range.0, range.1).await?;
        if slots.is_empty() {
            return Err(if self.rpc.slot().await? < range.1 {
                RunError::RpcBehind(cursor.slot)
            } else {
                ReadError::NoBlock(range.0).into()
            });
        }
        let mut touched = BTreeSet::new();
        for slots in slots.chunks(BLOCK_BATCH) {
            if self.stop.is_cancelled() {
                return Err(RunError::Stopped);
            }
            let mut blocks = vec![];
            for slot in slots {
                let block = self.rpc.block(*slot).await?;
                touched.extend(block.touched);
                blocks.push(SlotUpdate::Sealed(Box::new(block.sealed)));
            }
            let tip = *self.tip.borrow();
            let applied = self.mirror.apply(&blocks, blocks.len(), true, tip).await?;
            let cursor = applied.cursor;
            match applied.obstacle {
                None => {}
                // The slots before it were dropped while the stream was away. The accounts that this
                // attempt has read about are read again with all others.
                Some(Obstacle::Fork { ancestor, .. }) => {
                    self.mirror.undo(ancestor).await?;
                    return self.settle().await;
                }
                Some(Obstacle::UnknownFork { slot, parent_slot }) => {
                    self.undo_dropped(&cursor, slot, parent_slot).await?;
                    return self.settle().await;
                }
                // A block between them is gone.
                Some(Obstacle::Gap { parent_slot, .. }) => {
                    return Err(ReadError::NoBlock(parent_slot.unsigned_abs()).into());
                }
                Some(obstacle @ Obstacle::Late { .. }) => return Err(RunError::Filling(obstacle)),
            }
        }
        self.refetch(&touched).await
    }

    /// Reads all accounts again if an earlier attempt ended between applying missing slots and reading
    /// the accounts that they changed.
    async fn settle(&mut self) -> Result<(), RunError> {
        let Some(cursor) = self.mirror.cursor().await? else {
            return Ok(());
        };
        if cursor.settles_at != Some(i64::MAX) {
            return Ok(());
        }
        tracing::warn!("missing slots were not filled to the end; reading all accounts again");
        let snapshot = snapshot::read_from(self.rpc.client(), cursor.slot).await?;
        self.mirror.refetch(snapshot.into()).await?;
        Ok(())
    }

    /// Makes the mirror anew, beginning with `slot` of the updates.
    async fn begin_epoch(&mut self, updates: &[SlotUpdate], slot: i64) -> Result<(), RunError> {
        let first = updates.iter().find_map(|update| match update {
            SlotUpdate::Sealed(sealed) if sealed.slot == slot => Some(sealed),
            _ => None,
        });
        if let Some(first) = first {
            // Nothing proves that the slots after the finalized one were not dropped.
            if let Some(cursor) = self.mirror.cursor().await?
                && (1..cursor.slot).contains(&cursor.finalized_slot)
            {
                self.mirror.undo(cursor.finalized_slot).await?;
            }
            let accounts = snapshot::initial_accounts(self.rpc.client(), first).await?;
            self.mirror.begin_epoch(accounts, first).await?;
        }
        Ok(())
    }

    /// Reads accounts again, and stores what is newer than the mirror.
    async fn refetch(&mut self, addresses: &BTreeSet<Address>) -> Result<(), RunError> {
        let cursor = self.mirror.cursor().await?;
        let slot = cursor.map_or(0, |cursor| cursor.slot);
        let found = self.rpc.accounts(addresses, slot).await?;
        self.mirror.refetch(found).await?;
        Ok(())
    }

    /// Undoes the mirrored slots that the cluster has dropped. The stream doesn't show where they
    /// branch off, so that each is compared with the RPC node's block.
    async fn undo_dropped(
        &mut self,
        cursor: &Cursor,
        slot: i64,
        parent_slot: i64,
    ) -> Result<(), RunError> {
        for (applied, hash) in self.mirror.slots_down_to(cursor.finalized_slot).await? {
            let on_chain = self.rpc.blockhash(applied.unsigned_abs()).await?;
            if on_chain.as_deref() == Some(&bs58::encode(hash).into_string()) {
                if applied == cursor.slot {
                    // The node is on the mirror's fork, so it can't tell.
                    return Err(RunError::UnknownFork { slot, parent_slot });
                }
                tracing::warn!(
                    ancestor = applied,
                    "the cluster dropped slots; undoing them"
                );
                self.mirror.undo(applied).await?;
                return Ok(());
            }
        }
        Err(RunError::UnknownFork { slot, parent_slot })
    }

    /// Returns the first sealed slot and drops the updates before it; `None` if the stream ends.
    async fn first_sealed(&mut self) -> Option<Box<SealedSlot>> {
        loop {
            if let SlotUpdate::Sealed(first) = self.updates.recv().await? {
                return Some(first);
            }
        }
    }
}

/// Number of updates up to the last slot that the updates finalize; all of them if they finalize none.
/// Behind the stream, the slots that can still be undone wait until later ones have finalized them.
fn finalized_len(updates: &[SlotUpdate]) -> usize {
    let finalized = updates.iter().filter_map(|update| match update {
        SlotUpdate::Finalized(slot) => Some(*slot),
        _ => None,
    });
    let finalized = finalized.max().unwrap_or(0);
    let is_finalized = |update: &SlotUpdate| match update {
        SlotUpdate::Sealed(sealed) => sealed.slot <= finalized,
        _ => false,
    };
    let last = updates.iter().rposition(is_finalized);
    last.map_or(updates.len(), |last| last + 1)
}

/// Number of updates, at least one, that one transaction applies.
fn batch_len(updates: &[SlotUpdate]) -> usize {
    let mut rows = 0;
    let fits = |update: &&SlotUpdate| {
        let before = rows;
        if let SlotUpdate::Sealed(sealed) = update {
            rows += sealed.writes.len() + sealed.events.len();
        }
        before < MAX_BATCH_ROWS
    };
    updates.iter().take(MAX_BATCH).take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::AccountWrite;

    fn sealed(slot: i64, writes: usize) -> SlotUpdate {
        let write = AccountWrite {
            address: [1; 32].into(),
            write_version: 1,
            lamports: 1,
            data: vec![],
        };
        SlotUpdate::Sealed(Box::new(SealedSlot {
            slot,
            blockhash: [0; 32],
            parent_slot: slot - 1,
            parent_blockhash: [0; 32],
            block_time: None,
            writes: vec![write; writes],
            emptied: [].into(),
            events: vec![],
        }))
    }

    #[test]
    fn slots_that_later_updates_finalize_come_first() {
        let finalized = SlotUpdate::Finalized;
        let behind = [sealed(40, 0), finalized(8), sealed(41, 0), finalized(40)];
        assert_eq!(finalized_len(&behind), 1);
        let live = [finalized(9), sealed(41, 0)];
        assert_eq!(finalized_len(&live), 2);
        assert_eq!(finalized_len(&[sealed(41, 0)]), 1);
    }

    #[test]
    fn a_batch_ends_with_the_slot_that_makes_it_large() {
        let slot = |writes| sealed(1, writes);
        assert_eq!(batch_len(&[]), 0);
        assert_eq!(batch_len(&vec![slot(10); 2 * MAX_BATCH]), MAX_BATCH);
        assert_eq!(
            batch_len(&[slot(9_999), slot(9_999), slot(9_999), slot(1)]),
            3
        );
        assert_eq!(batch_len(&[slot(50_000), slot(1)]), 1);
    }
}
