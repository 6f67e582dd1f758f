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
    apply::{Applied, MirrorWriter, Obstacle},
    cursor::{Cursor, Tip},
    rpc::{ReadError, Rpc},
    slot::{SealedSlot, SlotUpdate},
    snapshot::{self, InitialAccounts},
};

/// Maximum number of updates in one database transaction.
const MAX_BATCH: usize = 64;
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
    pub mirror: &'a mut MirrorWriter,
    pub updates: mpsc::Receiver<SlotUpdate>,
    pub tip: watch::Receiver<Option<Tip>>,
    /// Whether the mirror has reached the end of the stream once.
    pub caught_up: bool,
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
                let rest = waiting.split_off(waiting.len().min(MAX_BATCH));
                let cursor = self.apply(&waiting).await?;
                waiting = rest;
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
                    self.apply(&[]).await?;
                }
            }
        }
    }

    /// Applies updates, with the remedy for each obstacle.
    async fn apply(&mut self, updates: &[SlotUpdate]) -> Result<Cursor, RunError> {
        loop {
            let tip = *self.tip.borrow();
            let Applied { cursor, obstacle } = self.mirror.apply(updates, tip).await?;
            match obstacle {
                None => return Ok(cursor),
                Some(Obstacle::Fork { slot, ancestor }) => {
                    tracing::warn!(slot, ancestor, "the cluster dropped slots; undoing them");
                    self.mirror.undo(ancestor).await?;
                }
                Some(Obstacle::Gap { slot, parent_slot }) => {
                    match self.fill(&cursor, parent_slot).await {
                        Err(RunError::Read(ReadError::NoBlock(missing))) => {
                            tracing::error!(missing, "no source has the slots any more");
                            self.begin_epoch(updates, slot).await?;
                        }
                        filled => filled?,
                    }
                }
                Some(Obstacle::UnknownFork { slot, parent_slot }) => {
                    self.undo_dropped(&cursor, slot, parent_slot).await?;
                }
                Some(Obstacle::Late { slot, parent_slot }) => {
                    self.mirror.undo(parent_slot).await?;
                    return Err(RunError::Late(slot));
                }
            }
        }
    }

    /// Fetches the slots after the cursor up to `last` as blocks, and then the accounts that they
    /// changed.
    async fn fill(&mut self, cursor: &Cursor, last: i64) -> Result<(), RunError> {
        let first = cursor.slot + 1;
        tracing::warn!(
            first,
            last,
            "the stream misses slots; reading their blocks by RPC"
        );
        self.mirror.open_gap(first, last).await?;
        let slots = self
            .rpc
            .blocks(first.unsigned_abs(), last.unsigned_abs())
            .await?;
        let mut touched = BTreeSet::new();
        for slots in slots.chunks(BLOCK_BATCH) {
            let mut blocks = vec![];
            for slot in slots {
                let block = self.rpc.block(*slot).await?;
                touched.extend(block.touched);
                blocks.push(SlotUpdate::Sealed(Box::new(block.sealed)));
            }
            let tip = *self.tip.borrow();
            match self.mirror.apply(&blocks, tip).await?.obstacle {
                None => {}
                // A block between them is gone.
                Some(Obstacle::Gap { parent_slot, .. }) => {
                    return Err(ReadError::NoBlock(parent_slot.unsigned_abs()).into());
                }
                Some(Obstacle::UnknownFork { slot, parent_slot }) => {
                    self.undo_dropped(cursor, slot, parent_slot).await?;
                }
                Some(obstacle) => return Err(RunError::Filling(obstacle)),
            }
        }
        if slots.is_empty() {
            return Err(RunError::RpcBehind(cursor.slot));
        }
        self.refetch(&touched).await?;
        Ok(())
    }

    /// Reads all accounts again if an earlier process ended between applying missing slots and reading
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
