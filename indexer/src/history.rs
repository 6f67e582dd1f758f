//! Filling of an empty mirror with the program's past slots.
//!
//! A node names the slots with transactions of the program, so that only their blocks are read. Past
//! slots are finalized: they need no chain of hashes, and none is undone.

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{
    apply::{ApplyError, MirrorWriter},
    rpc::{BLOCK_BATCH, ReadError, Rpc},
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
    #[error("stopped")]
    Stopped,
}

/// Fills the mirror with all past slots, and begins to follow the chain. Goes on where an earlier
/// attempt ended.
pub async fn fill(
    rpc: &Rpc,
    mirror: &mut MirrorWriter<'_>,
    stop: &CancellationToken,
) -> Result<(), HistoryError> {
    let base = base(rpc).await?;
    let first_available = rpc.first_available_slot().await?;
    let mut filled_to = mirror.cursor().await?.map(|cursor| cursor.slot);
    if filled_to.is_some_and(|slot| slot.unsigned_abs() < first_available) {
        tracing::warn!("the RPC node has dropped blocks in the meantime; beginning anew");
        mirror.clear().await?;
        filled_to = None;
    }
    let last = base.slot.unsigned_abs();
    let after = filled_to.map_or(0, i64::unsigned_abs);
    let mut slots = rpc.program_slots(after, last).await?;
    let gone = slots.partition_point(|slot| *slot < first_available);
    if filled_to.is_none() {
        let history_from = if gone == 0 { 0 } else { first_available };
        if 0 < gone {
            tracing::warn!(
                history_from,
                "the RPC node no longer has the first blocks of the program"
            );
        }
        mirror
            .begin(i64::try_from(history_from).unwrap_or(i64::MAX))
            .await?;
    }
    slots.drain(..gone);
    let all = slots.len();
    tracing::info!(slots = all, last, "filling the mirror with past slots");
    for (index, batch) in slots.chunks(BLOCK_BATCH).enumerate() {
        if stop.is_cancelled() {
            return Err(HistoryError::Stopped);
        }
        let blocks = rpc.blocks_of(batch).await?;
        let sealed: Vec<SealedSlot> = blocks.into_iter().map(|block| block.sealed).collect();
        mirror.apply_past(&sealed).await?;
        if index % 64 == 63 {
            let done = index * BLOCK_BATCH;
            tracing::info!(done, all, "filling the mirror with past slots");
        }
    }
    Ok(mirror.begin_following(&base).await?)
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
