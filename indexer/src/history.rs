//! Filling of an empty mirror with the program's past slots.
//!
//! A node names the slots with transactions of the program, so that only their blocks are read. Past
//! slots are finalized: they need no chain of hashes, and none is undone.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{
    apply::{ApplyError, MirrorWriter},
    rpc::{ReadError, Rpc},
    slot::{Blockhash, SealedSlot},
};

/// The slot after which the mirror follows the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    pub slot: i64,
    pub blockhash: Blockhash,
    pub block_time: Option<DateTime<Utc>>,
}

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("the RPC node has no block yet")]
    NoBlock,
    #[error("the RPC node is at the finalized slot {0}, behind the slots that the mirror has")]
    Behind(i64),
    #[error("stopped")]
    Stopped,
}

/// Time between two messages about the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Number of finalized slots that may have passed when the mirror begins to follow the chain: it reads
/// their blocks whether they are of the program or not.
const MAX_REST: i64 = 1_000;

/// Fills the mirror with all past slots, and begins to follow the chain. Goes on where an earlier
/// attempt ended. Blocks that the node lacks although it lists them count as gone if `accepts_loss`.
pub async fn fill(
    rpc: &Rpc,
    mirror: &mut MirrorWriter<'_>,
    accepts_loss: bool,
    stop: &CancellationToken,
) -> Result<(), HistoryError> {
    let mut filled = mirror.cursor().await?.map(|cursor| cursor.slot);
    loop {
        let base = base(rpc).await?;
        if filled.is_some_and(|slot| base.slot < slot) {
            return Err(HistoryError::Behind(base.slot));
        }
        let slots = past_slots(rpc, mirror, accepts_loss, stop, filled, base.slot).await?;
        store_blocks(rpc, mirror, accepts_loss, stop, &slots).await?;
        let finalized = i64::try_from(rpc.finalized_slot().await?).unwrap_or(i64::MAX);
        if finalized - base.slot < MAX_REST {
            return Ok(mirror.begin_following(&base).await?);
        }
        filled = Some(base.slot);
    }
}

/// The program's slots after `filled` up to `last`. Begins the mirror, or takes note of what the node has dropped
/// since an earlier attempt.
async fn past_slots(
    rpc: &Rpc,
    mirror: &mut MirrorWriter<'_>,
    accepts_loss: bool,
    stop: &CancellationToken,
    filled: Option<i64>,
    last: i64,
) -> Result<Vec<u64>, HistoryError> {
    let last_filled = filled.unwrap_or(0);
    let listed = rpc.program_slots(last_filled.unsigned_abs(), last.unsigned_abs());
    let listed = stop.run_until_cancelled(listed).await;
    let mut slots = listed.ok_or(HistoryError::Stopped)??;
    // After the list, because the node drops blocks meanwhile. It may not list those of dropped blocks.
    let first_available = rpc.first_available_slot().await?;
    slots.retain(|slot| first_available <= *slot);
    let history_from = i64::try_from(first_available).unwrap_or(i64::MAX);
    match mirror.cursor().await? {
        None => mirror.begin(history_from).await?,
        Some(cursor) => {
            let first = cursor.history_from.max(last_filled + 1);
            if first < history_from {
                // Another node behind the same address may still have it.
                if !accepts_loss {
                    return Err(ReadError::NoBlock(first.unsigned_abs()).into());
                }
                mirror.lose_past(first, history_from - 1).await?;
            }
        }
    }
    tracing::info!(
        slots = slots.len(),
        history_from,
        last,
        "filling the mirror with past slots"
    );
    Ok(slots)
}

/// Fills the mirror with the blocks of `slots`.
async fn store_blocks(
    rpc: &Rpc,
    mirror: &mut MirrorWriter<'_>,
    mut accepts_loss: bool,
    stop: &CancellationToken,
    slots: &[u64],
) -> Result<(), HistoryError> {
    let all = slots.len();
    let mut rest = slots;
    let mut told = Instant::now();
    while let Some(batch) = mirror.next_blocks(&mut rest) {
        if stop.is_cancelled() {
            return Err(HistoryError::Stopped);
        }
        // Only of the first ones: those that kept the attempts before from going on.
        let blocks = match std::mem::take(&mut accepts_loss) {
            true => rpc.blocks_left_of(batch).await?,
            false => rpc.blocks_of(batch).await?,
        };
        let sealed: Vec<SealedSlot> = blocks.into_iter().map(|block| block.sealed).collect();
        for slot in missing(batch, &sealed) {
            tracing::error!(slot, "no source has the block of a past slot");
            mirror.lose_past(slot, slot).await?;
        }
        mirror.apply_past(&sealed).await?;
        if PROGRESS_INTERVAL <= told.elapsed() {
            told = Instant::now();
            let done = all - rest.len();
            tracing::info!(done, all, "filling the mirror with past slots");
        }
    }
    Ok(())
}

/// The slots that have no block among `blocks`.
fn missing(slots: &[u64], blocks: &[SealedSlot]) -> Vec<i64> {
    let stored: HashSet<i64> = blocks.iter().map(|block| block.slot).collect();
    let slots = slots.iter().map(|slot| slot.cast_signed());
    slots.filter(|slot| !stored.contains(slot)).collect()
}

/// The newest finalized block. On a chain without one, what comes before its first block.
async fn base(rpc: &Rpc) -> Result<Base, HistoryError> {
    /// A finalized slot without a block has one not far before it.
    const SEARCHED: u64 = 1_000;
    let finalized = rpc.finalized_slot().await?;
    let first = finalized.saturating_sub(SEARCHED);
    if let Some(slot) = rpc.blocks(first, finalized).await?.last() {
        let sealed = rpc.block(*slot).await?.sealed;
        return Ok(Base {
            slot: sealed.slot,
            blockhash: sealed.blockhash,
            block_time: sealed.block_time,
        });
    }
    let confirmed = rpc.slot().await?;
    let blocks = rpc.blocks(finalized, confirmed).await?;
    let sealed = rpc.block(*blocks.first().ok_or(HistoryError::NoBlock)?);
    let sealed = sealed.await?.sealed;
    Ok(Base {
        slot: sealed.parent_slot,
        blockhash: sealed.parent_blockhash,
        block_time: None,
    })
}
