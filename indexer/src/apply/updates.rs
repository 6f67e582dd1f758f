//! Application of a batch of updates, in one transaction.

use std::collections::HashMap;

use sqlx::{PgConnection, Postgres, Transaction};

use super::{
    Applied, ApplyError, Obstacle,
    next::{finalized_ahead, next_slots},
    notify,
};
use crate::{
    cursor::{Cursor, Tip},
    dead_letter::DeadLetter,
    slot::{Blockhash, SlotUpdate},
    store::{Care, IfIncomplete, Store},
    undo,
};

/// What is applied in one transaction.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    pub updates: &'a [SlotUpdate],
    /// Updates after these. They only tell which slots are finalized.
    pub ahead: &'a [SlotUpdate],
    /// Whether earlier updates of the stream were of the mirrored chain.
    pub is_linked: bool,
    /// Newest slot that the source has reached.
    pub tip: Option<Tip>,
    pub if_incomplete: IfIncomplete,
}

pub async fn apply(
    mut transaction: Transaction<'_, Postgres>,
    care: Care,
    batch: Batch<'_>,
) -> Result<Applied, ApplyError> {
    let Batch {
        updates,
        ahead,
        is_linked,
        tip,
        if_incomplete,
    } = batch;
    let cursor = Cursor::lock(&mut transaction).await?;
    let mut cursor = cursor.ok_or(ApplyError::NoCursor)?;
    set_aside_late(&mut transaction, &cursor, updates).await?;
    let late = late_slot(&mut transaction, &cursor, updates, ahead).await?;
    let (updates, late) = match late {
        Some((whole, obstacle)) => (&updates[..whole], Some(obstacle)),
        None => (updates, None),
    };
    let hashes = applied_hashes(&mut transaction, &cursor, updates).await?;
    let next = next_slots(&cursor, hashes, is_linked, updates);
    // A source of another chain would set the tip for as long as the mirror lasts.
    if let (Some(tip), true) = (tip, next.is_linked) {
        cursor.observe(tip);
    }
    // What was read from an RPC node has nothing else, either.
    let if_incomplete = match next.read_slot {
        Some(_) => IfIncomplete::Record,
        None => if_incomplete,
    };
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
    let mut incomplete = store.slots(&finalized, if_incomplete).await?;
    for slot in open {
        if incomplete.is_none() {
            incomplete = store.slots(&[slot], if_incomplete).await?;
        }
    }
    let incomplete = incomplete.map(|slot| incomplete_slot(slot, updates));
    // Slots after an incomplete one are not stored, although they are finalized.
    cursor.finalized_slot = cursor.finalized_slot.min(cursor.slot);
    if let (Some(slot), Some(_)) = (next.read_slot, cursor.settled_slot) {
        // An undo to a slot before it finds accounts that are put together from events, and reads all
        // again.
        cursor.settled_slot = Some(slot);
    }
    if finalized_before < cursor.finalized_slot {
        undo::forget(&mut transaction, cursor.finalized_slot).await?;
    }
    cursor.update(&mut transaction).await?;
    if seq_before < cursor.seq {
        notify(&mut transaction, cursor.seq).await?;
    }
    transaction.commit().await?;
    let (applied, obstacle) = match incomplete {
        Some((applied, obstacle)) => (applied, Some(obstacle)),
        None => (next.applied, next.obstacle.or(late)),
    };
    Ok(Applied {
        cursor,
        applied,
        obstacle,
        is_linked: next.is_linked,
    })
}

/// The number of updates before a slot that lacks messages, and the obstacle: they may still come.
fn incomplete_slot(slot: i64, updates: &[SlotUpdate]) -> (usize, Obstacle) {
    let sealed = |update: &SlotUpdate| {
        let mut sealed = update.sealed().iter();
        sealed.find(|sealed| sealed.slot == slot).cloned()
    };
    let found = (0..).zip(updates);
    let mut found = found.filter_map(|(index, update)| Some((index, sealed(update)?)));
    let (index, sealed) = found.next().expect("the slot is one of the updates");
    let parent_slot = sealed.parent_slot;
    (index, Obstacle::Late { slot, parent_slot })
}

/// Sets slots aside whose messages arrived after they were finalized.
async fn set_aside_late(
    connection: &mut PgConnection,
    cursor: &Cursor,
    updates: &[SlotUpdate],
) -> Result<(), sqlx::Error> {
    let late = updates.iter().filter_map(late_slot_of);
    for slot in late.filter(|slot| *slot <= cursor.finalized_slot) {
        let reason = "messages of the slot arrived after it was finalized";
        let letter = DeadLetter::new("slot", slot, reason);
        letter.store(&mut *connection).await?;
    }
    Ok(())
}

fn late_slot_of(update: &SlotUpdate) -> Option<i64> {
    match update {
        SlotUpdate::Late(slot) => Some(*slot),
        _ => None,
    }
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
    let late = late.filter_map(late_slot_of);
    let Some(slot) = late.filter(|slot| cursor.finalized_slot < *slot).min() else {
        return Ok(None);
    };
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

/// Reads the blockhashes of applied slots that `updates` repeat or descend from.
async fn applied_hashes(
    connection: &mut PgConnection,
    cursor: &Cursor,
    updates: &[SlotUpdate],
) -> Result<HashMap<i64, Blockhash>, sqlx::Error> {
    let sealed = updates.iter().flat_map(SlotUpdate::sealed);
    let slots = sealed.map(|sealed| [sealed.slot, sealed.parent_slot]);
    let applied: Vec<_> = slots.flatten().filter(|slot| *slot < cursor.slot).collect();
    // After `begin_following`, the cursor's slot is not in `chain.slot`.
    let mut hashes = HashMap::from([(cursor.slot, cursor.blockhash)]);
    if !applied.is_empty() {
        // The slot before the first one is known as its parent only.
        let known: Vec<(i64, Vec<u8>)> = sqlx::query_as(
            "select slot, blockhash from chain.slot where slot = any($1)
             union select parent_slot, parent_blockhash from chain.slot
               where parent_slot = any($1) and slot = (
                 select min(slot) from chain.slot
                 where (select history_from from chain.cursor) <= slot)",
        )
        .bind(applied)
        .fetch_all(connection)
        .await?;
        let known = known.into_iter();
        hashes.extend(known.filter_map(|(slot, hash)| Some((slot, hash.try_into().ok()?))));
    }
    Ok(hashes)
}
