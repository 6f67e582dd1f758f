//! Application of a batch of updates, in one transaction.

use std::collections::{BTreeSet, HashMap};

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
    store::{Care, IfIncomplete, Incomplete, Store},
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
    let mut cursor = Cursor::lock(&mut transaction).await?;
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
    let mut store = Store::new(&mut transaction, &mut cursor, care);
    let mut incomplete = store.slots(&finalized, if_incomplete).await?;
    for slot in open {
        if incomplete.is_none() {
            incomplete = store.slots(&[slot], if_incomplete).await?;
        }
    }
    let lacks_events = store.lacks_events;
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
    let incomplete = match incomplete {
        Some(found) => Some(incomplete_slot(&mut transaction, &cursor, found, updates).await?),
        None => None,
    };
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
        lacks_events,
    })
}

/// The number of updates before a slot that shows that messages are missing, and the obstacle: they may still
/// come.
async fn incomplete_slot(
    connection: &mut PgConnection,
    cursor: &Cursor,
    Incomplete { slot, since }: Incomplete,
    updates: &[SlotUpdate],
) -> Result<(usize, Obstacle), sqlx::Error> {
    let sealed = |update: &SlotUpdate| {
        let mut sealed = update.sealed().iter();
        sealed.find(|sealed| sealed.slot == slot).cloned()
    };
    let found = (0..).zip(updates);
    let mut found = found.filter_map(|(index, update)| Some((index, sealed(update)?)));
    let (index, sealed) = found.next().expect("the slot is one of the updates");
    // The parent of the first slot after it is the last applied slot up to it.
    let ancestor: Option<i64> = sqlx::query_scalar(
        "select parent_slot from chain.slot where $1 < slot order by slot limit 1",
    )
    .bind(since.max(cursor.last_ancestor()))
    .fetch_optional(connection)
    .await?;
    let obstacle = Obstacle::Incomplete {
        slot,
        parent_slot: sealed.parent_slot,
        ancestor: ancestor.unwrap_or(cursor.slot),
    };
    Ok((index, obstacle))
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

/// The slot that [`first_late`] finds.
async fn late_slot(
    connection: &mut PgConnection,
    cursor: &Cursor,
    updates: &[SlotUpdate],
    ahead: &[SlotUpdate],
) -> Result<Option<(usize, Obstacle)>, sqlx::Error> {
    let late = updates.iter().chain(ahead);
    let late = late.filter_map(late_slot_of);
    let late: BTreeSet<_> = late.filter(|slot| cursor.finalized_slot < *slot).collect();
    if late.is_empty() {
        return Ok(None);
    }
    let parents: Vec<(i64, i64)> =
        sqlx::query_as("select slot, parent_slot from chain.slot where slot = any($1)")
            .bind(late.iter().copied().collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
    Ok(first_late(&late, updates, &parents.into_iter().collect()))
}

/// The first slot that was sealed before all of its messages had arrived, and the number of updates before it.
/// `parents` has the parents of those that are applied already. A late slot that is in neither was undone, and
/// says nothing of the others.
fn first_late(
    late: &BTreeSet<i64>,
    updates: &[SlotUpdate],
    parents: &HashMap<i64, i64>,
) -> Option<(usize, Obstacle)> {
    let sealed = |slot: i64| {
        (0..).zip(updates).find_map(|(index, update)| match update {
            SlotUpdate::Sealed(sealed) if sealed.slot == slot => Some((index, sealed.parent_slot)),
            _ => None,
        })
    };
    let applied = |slot: i64| Some((0, *parents.get(&slot)?));
    let found = late.iter().filter_map(|&slot| {
        let (index, parent_slot) = sealed(slot).or_else(|| applied(slot))?;
        Some((index, Obstacle::Late { slot, parent_slot }))
    });
    found.min_by_key(|(index, _)| *index)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lives::test_data::slot;

    fn sealed(number: i64) -> SlotUpdate {
        SlotUpdate::Sealed(Box::new(slot(number, vec![], vec![])))
    }

    /// The number of updates before the first late slot, and that slot. The slots 10 and 11 are applied.
    fn first(late: &[i64], updates: &[SlotUpdate]) -> Option<(usize, i64)> {
        let late = late.iter().copied().collect();
        let found = first_late(&late, updates, &[(10, 9), (11, 10)].into())?;
        let (index, Obstacle::Late { slot, parent_slot }) = found else {
            panic!("{found:?}");
        };
        assert_eq!(parent_slot, slot - 1);
        Some((index, slot))
    }

    #[test]
    fn a_late_slot_that_was_undone_hides_no_later_one() {
        let updates = [SlotUpdate::Late(8), sealed(12), SlotUpdate::Late(12)];
        assert_eq!(first(&[8, 12], &updates), Some((1, 12)));
        assert_eq!(first(&[8], &updates), None);
    }

    #[test]
    fn nothing_after_a_late_slot_is_stored() {
        let updates = [sealed(12), sealed(13)];
        assert_eq!(first(&[12, 13], &updates), Some((0, 12)));
        assert_eq!(first(&[13], &updates), Some((1, 13)));
        // Of two that are applied, both are undone with the first.
        assert_eq!(first(&[11, 10, 13], &updates), Some((0, 10)));
        // Slots of forks don't ascend.
        let forks = [sealed(13), sealed(12)];
        assert_eq!(first(&[12, 13], &forks), Some((0, 13)));
    }
}
