//! Following of one stream.
//!
//! What an older decoder left is decoded between the slots. Until it is, slots that can still be undone wait: what
//! is decoded late can't be undone.

use std::{future::ready, sync::Arc, time::Duration};

use metrics::gauge;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{RunError, refetch::Refetcher, settle::Settler};
use crate::{
    apply::MirrorWriter,
    cursor::{Cursor, Tip},
    metrics::QUEUE_DEPTH,
    redecode::Due,
    rpc::Rpc,
    slot::SlotUpdate,
    status::{State, Status},
};

/// Number of updates that are taken from the queue ahead of the transaction, if they have arrived. Slots
/// that they finalize can't be undone any more, so the mirror need not keep what these slots replace.
const MAX_AHEAD: usize = 160;
/// Number of account writes and events from which a transaction takes no further slot: one that takes
/// too long is given up.
const MAX_BATCH_ROWS: usize = 20_000;
/// Time between two updates of the cursor while no slot arrives: readers see from it how old the data
/// is.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Applies the updates of one stream.
pub struct Follower<'a> {
    pub rpc: Arc<Rpc>,
    pub stop: &'a CancellationToken,
    pub status: &'a Status,
    pub mirror: &'a mut MirrorWriter<'a>,
    pub updates: mpsc::Receiver<SlotUpdate>,
    pub tip: watch::Receiver<Option<Tip>>,
    pub settler: Settler,
    pub refetcher: Refetcher,
    /// What an older decoder left.
    pub due: Due,
    /// Whether no slot of the mirror can be undone.
    pub is_final: bool,
    /// Whether blocks that the RPC node lacks count as gone, although it says that it has them.
    pub accepts_loss: bool,
    /// Slot whose messages were late or missing in the last attempt.
    pub late_slot: Option<i64>,
    /// Whether the mirror has reached the end of the stream once.
    pub caught_up: bool,
    /// Whether the stream is known to be of the mirrored chain.
    pub is_linked: bool,
}

impl Follower<'_> {
    /// Applies updates until the stream ends and all of them are applied, or, if `until_settled`, the
    /// mirror has all accounts.
    pub async fn follow(&mut self, until_settled: bool) -> Result<(), RunError> {
        let mut waiting = vec![];
        let mut has_ended = false;
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.apply_waiting(&mut waiting, has_ended).await?;
            if has_ended {
                return Ok(());
            }
            let decodes = self.is_final && !self.due.is_empty();
            tokio::select! {
                biased;
                _ = heartbeat.tick() => {
                    // The waiting updates tell which slots are finalized.
                    let cursor = self.apply(&waiting, 0).await?;
                    if until_settled && cursor.settled_slot.is_some() {
                        return Ok(());
                    }
                }
                received = self.updates.recv_many(&mut waiting, MAX_AHEAD) => {
                    has_ended = received == 0;
                }
                () = ready(()), if decodes => self.decode_again().await?,
            }
        }
    }

    /// Applies the waiting updates, but for those that wait until they are finalized.
    async fn apply_waiting(
        &mut self,
        waiting: &mut Vec<SlotUpdate>,
        has_ended: bool,
    ) -> Result<(), RunError> {
        loop {
            self.look_ahead(waiting);
            gauge!(QUEUE_DEPTH).set((waiting.len() + self.updates.len()) as f64);
            let takes_open = self.due.is_empty() || has_ended;
            let next = &waiting[..next_len(waiting, takes_open)];
            if next.is_empty() {
                return Ok(());
            }
            let batch = batch_len(next, self.mirror.batch_limit());
            let cursor = self.apply(waiting, batch).await?;
            waiting.drain(..batch);
            let is_end = next_len(waiting, takes_open) == 0 && self.updates.is_empty();
            if !self.caught_up && self.is_linked && is_end {
                self.caught_up = true;
                self.status.enter(State::Following);
                let (slot, seq) = (cursor.slot, cursor.seq);
                tracing::info!(slot, seq, "caught up with the source");
            }
        }
    }

    /// Tries the next of what is due.
    async fn decode_again(&mut self) -> Result<(), RunError> {
        let tried = self.mirror.decode_again(&mut self.due).await?;
        self.is_final = tried.is_some();
        if self.due.is_empty() {
            tracing::info!("tried all dead letters again");
            self.status.hold_back(false);
        }
        Ok(())
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
            self.is_final = applied.cursor.is_final();
            if applied.lacks_events {
                self.settler.miss_all();
            }
            let Some(obstacle) = applied.obstacle else {
                match applied.cursor.settled_slot {
                    _ if !self.is_linked => {}
                    // Before the mirror has all accounts, an event that is decoded late may begin a life.
                    None if !self.due.is_empty() => {}
                    None => self.settler.step(self.mirror, &applied.cursor).await?,
                    Some(_) => {
                        if self.refetcher.step(self.mirror, &applied.cursor).await? {
                            self.settler.miss_all();
                        }
                    }
                }
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
}

/// Number of updates that are applied next: those up to the last slot that the updates finalize. Behind the
/// stream, the slots that can still be undone wait until later ones have finalized them. If the updates finalize no
/// slot, all of them are applied if `takes_open`, or if there is no room for more: the cluster may finalize none.
fn next_len(updates: &[SlotUpdate], takes_open: bool) -> usize {
    let finalized = updates.iter().filter_map(|update| match update {
        SlotUpdate::Finalized(slot) => Some(*slot),
        _ => None,
    });
    let finalized = finalized.max().unwrap_or(0);
    let is_finalized = |update: &SlotUpdate| {
        let last = update.sealed().last();
        last.is_some_and(|sealed| sealed.slot <= finalized)
    };
    match updates.iter().rposition(is_finalized) {
        Some(last) => last + 1,
        None if takes_open || MAX_AHEAD <= updates.len() => updates.len(),
        None => 0,
    }
}

/// Number of updates that one transaction applies: at least one, if there are any.
fn batch_len(updates: &[SlotUpdate], most: usize) -> usize {
    let mut rows = 0;
    let fits = |update: &&SlotUpdate| {
        let before = rows;
        for sealed in update.sealed() {
            rows += sealed.writes.len() + sealed.events.len();
        }
        before < MAX_BATCH_ROWS
    };
    updates.iter().take(most).take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::{AccountWrite, JoinedSlots, SealedSlot};

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
    fn joined_slots_are_in_one_batch() {
        let slots = (41..44).flat_map(|slot| sealed(slot, 9_000).sealed().to_vec());
        let joined = JoinedSlots::new(slots.collect()).expect("linked");
        let updates = [
            SlotUpdate::Joined(joined),
            SlotUpdate::Finalized(43),
            sealed(44, 0),
        ];
        assert_eq!(next_len(&updates, true), 1);
        assert_eq!(batch_len(&updates, 1), 1);
        assert_eq!(batch_len(&updates, 7), 1);
        let partly = [updates[0].clone(), SlotUpdate::Finalized(42), sealed(44, 0)];
        assert_eq!(next_len(&partly, true), 3);
        assert_eq!(next_len(&partly, false), 0);
    }

    #[test]
    fn slots_that_later_updates_finalize_come_first() {
        let finalized = SlotUpdate::Finalized;
        let behind = [sealed(40, 0), finalized(8), sealed(41, 0), finalized(40)];
        for takes_open in [true, false] {
            assert_eq!(next_len(&behind, takes_open), 1);
        }
        let live = [finalized(9), sealed(41, 0)];
        assert_eq!(next_len(&live, true), 2);
        assert_eq!(next_len(&[sealed(41, 0)], true), 1);
    }

    #[test]
    fn slots_that_can_be_undone_wait_while_there_is_room() {
        let live = [SlotUpdate::Finalized(9), sealed(41, 0)];
        assert_eq!(next_len(&live, false), 0);
        let room = vec![sealed(41, 0); MAX_AHEAD - 1];
        assert_eq!(next_len(&room, false), 0);
        let full = vec![sealed(41, 0); MAX_AHEAD];
        assert_eq!(next_len(&full, false), MAX_AHEAD);
    }

    #[test]
    fn a_batch_ends_with_the_slot_that_makes_it_large() {
        let slot = |writes| sealed(1, writes);
        assert_eq!(batch_len(&[], 7), 0);
        assert_eq!(batch_len(&vec![slot(10); 100], 7), 7);
        let large = [slot(9_999), slot(9_999), slot(9_999), slot(1)];
        assert_eq!(batch_len(&large, 7), 3);
        assert_eq!(batch_len(&[slot(50_000), slot(1)], 7), 1);
    }
}
