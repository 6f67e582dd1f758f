//! The remedies for what the stream lacks, or has otherwise than the mirror.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use chrono::Utc;
use metrics::counter;

use super::{RunError, follow::Follower};
use crate::{
    apply::Obstacle,
    cursor::{Cursor, Tip},
    metrics::LATE_SLOTS,
    slot::{SealedSlot, SlotUpdate},
    status::State,
    waits::scaled,
};

/// Number of slots by which the RPC node is behind for as long as it is waited for.
const NEAR_SLOTS: i64 = 150;
/// Longest time that the RPC node is waited for.
const NEAR_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

impl Follower<'_> {
    /// Removes an obstacle: `updates` begin with its slot.
    pub async fn overcome(
        &mut self,
        obstacle: Obstacle,
        cursor: &Cursor,
        updates: &[SlotUpdate],
    ) -> Result<(), RunError> {
        match obstacle {
            Obstacle::Fork { slot, ancestor } => {
                tracing::warn!(slot, ancestor, "the cluster dropped slots; undoing them");
                self.undo(ancestor).await?;
            }
            Obstacle::UnknownFork { slot, parent_slot } => {
                self.undo_dropped(cursor, slot, parent_slot).await?;
            }
            Obstacle::Late { slot, parent_slot } => {
                counter!(LATE_SLOTS).increment(1);
                if parent_slot < cursor.slot {
                    self.undo(parent_slot).await?;
                }
                return Err(RunError::Late(slot));
            }
            Obstacle::Incomplete {
                slot,
                parent_slot,
                ancestor,
            } => {
                counter!(LATE_SLOTS).increment(1);
                // The next attempt reads blocks: also those before the slot, in which the event may be.
                let is_again = self.late_slot == Some(slot);
                let last = if is_again { ancestor } else { parent_slot };
                if last < cursor.slot {
                    self.undo(last).await?;
                }
                return Err(RunError::Late(slot));
            }
            Obstacle::Gap { slot, parent_slot } => {
                let mut sealed = updates.iter().flat_map(SlotUpdate::sealed);
                let next = sealed.find(|sealed| sealed.slot == slot);
                self.status.enter(State::Filling);
                self.fill(cursor, parent_slot, next).await?;
                self.status.enter(match self.caught_up {
                    true => State::Following,
                    false => State::CatchingUp,
                });
            }
        }
        Ok(())
    }

    /// Fetches the slots after the cursor up to `last` as blocks. The accounts that they changed are read
    /// once the stream continues them. If blocks are gone, a new epoch begins after them, with `next` if no
    /// block is left. Returns early after the beginning of an epoch or an undo: the gap is another one then.
    ///
    /// The RPC node can list blocks that it no longer has, which are gone like those that it doesn't list.
    async fn fill(
        &mut self,
        cursor: &Cursor,
        last: i64,
        next: Option<&SealedSlot>,
    ) -> Result<(), RunError> {
        let first = cursor.slot + 1;
        tracing::warn!(
            first,
            last,
            "slots are missing; reading their blocks by RPC"
        );
        let node_slot = self.wait_for_node(last).await?;
        let range = (first.unsigned_abs(), last.min(node_slot).unsigned_abs());
        let slots = self.rpc.blocks(range.0, range.1).await?;
        let Some(newest) = slots.last().and_then(|slot| i64::try_from(*slot).ok()) else {
            if node_slot < last {
                return Err(RunError::RpcBehind(cursor.slot));
            }
            self.mirror.open_gap(first, last).await?;
            return self.begin_epoch(next).await;
        };
        // Not up to what the stream alone says: it may be of another cluster.
        let is_behind = node_slot < last;
        let last = if is_behind { newest } else { last };
        self.mirror.open_gap(first, last).await?;
        // Nothing shows yet that what the stream says of its tip is of this chain.
        let (slot, at) = (newest, Utc::now());
        let end = Some(Tip { slot, at }).filter(|_| !self.is_linked);
        let mut reached = cursor.slot;
        let mut slots = &slots[..];
        while let Some(batch) = self.mirror.next_blocks(&mut slots) {
            if self.stop.is_cancelled() {
                return Err(RunError::Stopped);
            }
            let mut blocks = vec![];
            let mut others = BTreeSet::new();
            for block in self.rpc.blocks_left_of(batch).await? {
                self.settler.miss(block.touched);
                others.extend(block.others);
                blocks.push(SlotUpdate::Sealed(Box::new(block.sealed)));
            }
            self.settler.miss(self.mirror.open_among(&others).await?);
            let tip = end.or(*self.tip.borrow());
            let applied = self.mirror.apply_blocks(&blocks, tip).await?;
            if applied.lacks_events {
                self.settler.miss_all();
            }
            let cursor = applied.cursor;
            reached = cursor.slot;
            match applied.obstacle {
                None => {}
                // The slots before it were dropped while the stream was away.
                Some(Obstacle::Fork { ancestor, .. }) => return self.undo(ancestor).await,
                Some(Obstacle::UnknownFork { slot, parent_slot }) => {
                    return self.undo_dropped(&cursor, slot, parent_slot).await;
                }
                Some(Obstacle::Gap { .. }) => {
                    let next = blocks
                        .get(applied.applied)
                        .and_then(|block| block.sealed().first());
                    return self.begin_epoch(next).await;
                }
                Some(obstacle @ (Obstacle::Late { .. } | Obstacle::Incomplete { .. })) => {
                    return Err(RunError::Filling(obstacle));
                }
            }
        }
        if reached < newest {
            return self.begin_epoch(next).await;
        }
        if is_behind && !self.is_linked {
            // A server far ahead may be of another cluster: the node never gets to its slots.
            return Err(RunError::RpcBehind(newest));
        }
        Ok(())
    }

    /// Begins a new epoch with `next`, because the blocks between the cursor and it are gone.
    async fn begin_epoch(&mut self, next: Option<&SealedSlot>) -> Result<(), RunError> {
        let Some(next) = next else {
            return Ok(());
        };
        // Of several nodes behind one address, another one may still have the block.
        let missing = next.parent_slot;
        if !self.accepts_loss && self.rpc.first_available_slot().await? <= missing.unsigned_abs() {
            return Err(RunError::Missing(missing));
        }
        if !self.is_linked {
            self.require_on_chain(next).await?;
        }
        tracing::error!(
            missing,
            next = next.slot,
            "no source has the slots any more"
        );
        // Nothing proves that the slots after the finalized one were not dropped.
        if let Some(cursor) = self.mirror.cursor().await?
            && (1..cursor.slot).contains(&cursor.last_ancestor())
        {
            self.undo(cursor.last_ancestor()).await?;
        }
        self.mirror.begin_epoch(next).await?;
        // What is missing next may be there soon.
        self.accepts_loss = false;
        self.settler.miss_all();
        Ok(())
    }

    /// Checks that the chain of the RPC node has the slot: nothing links the stream with the mirror, so it may be of
    /// another cluster.
    async fn require_on_chain(&self, sealed: &SealedSlot) -> Result<(), RunError> {
        let (slot, parent_slot) = (sealed.slot, sealed.parent_slot);
        let node_slot = self.wait_for_node(slot).await?;
        if node_slot < slot {
            return Err(RunError::RpcBehind(node_slot));
        }
        if !self.is_on_chain(slot, &sealed.blockhash, node_slot).await? {
            return Err(RunError::UnknownFork { slot, parent_slot });
        }
        Ok(())
    }

    /// Waits until the RPC node has reached a slot, if it is not far behind: a node is usually some slots behind a
    /// stream. Returns the slot that it has reached.
    async fn wait_for_node(&self, slot: i64) -> Result<i64, RunError> {
        let begun = Instant::now();
        loop {
            let reached = i64::try_from(self.rpc.slot().await?).unwrap_or(i64::MAX);
            let is_near = slot - reached <= NEAR_SLOTS && begun.elapsed() < scaled(NEAR_TIMEOUT);
            if slot <= reached || !is_near {
                return Ok(reached);
            }
            let sleep = tokio::time::sleep(POLL_INTERVAL);
            let slept = self.stop.run_until_cancelled(sleep).await;
            slept.ok_or(RunError::Stopped)?;
        }
    }

    async fn undo(&mut self, ancestor: i64) -> Result<(), RunError> {
        let cursor = self.mirror.undo(ancestor).await?;
        if cursor.settled_slot.is_none() {
            self.settler.miss_all();
        }
        Ok(())
    }

    /// Undoes the mirrored slots that the cluster has dropped. The stream doesn't show where they
    /// branch off, so that each is compared with the RPC node's chain.
    async fn undo_dropped(
        &mut self,
        cursor: &Cursor,
        slot: i64,
        parent_slot: i64,
    ) -> Result<(), RunError> {
        for (applied, hash) in self.mirror.slots_down_to(cursor.last_ancestor()).await? {
            if self.is_on_chain(applied, &hash, slot).await? {
                if applied == cursor.slot {
                    // The node is on the mirror's fork, so it can't tell.
                    return Err(RunError::UnknownFork { slot, parent_slot });
                }
                tracing::warn!(
                    ancestor = applied,
                    "the cluster dropped slots; undoing them"
                );
                return self.undo(applied).await;
            }
        }
        Err(RunError::UnknownFork { slot, parent_slot })
    }

    /// Whether the chain of the RPC node, up to `last`, has a block.
    async fn is_on_chain(&self, slot: i64, hash: &[u8], last: i64) -> Result<bool, RunError> {
        let number = slot.unsigned_abs();
        if let Some(on_chain) = self.rpc.blockhash(number).await? {
            return Ok(on_chain == bs58::encode(hash).into_string());
        }
        // The node may no longer have the block, but the one after it, which names it.
        let later = self.rpc.blocks(number + 1, last.unsigned_abs()).await?;
        let Some(next) = later.first() else {
            return Ok(false);
        };
        let next = self.rpc.block(*next).await?.sealed;
        Ok((next.parent_slot, &next.parent_blockhash[..]) == (slot, hash))
    }
}
