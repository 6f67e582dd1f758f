//! Which updates continue the mirror.

use std::collections::HashMap;

use super::Obstacle;
use crate::{
    cursor::{Continuity, Cursor},
    slot::{Blockhash, SealedSlot, SlotUpdate},
};

/// The beginning of some updates, up to the first slot that doesn't continue the mirror.
#[derive(Debug, PartialEq, Eq)]
pub struct Next<'a> {
    /// The slots to apply, each the child of the one before.
    pub slots: Vec<&'a SealedSlot>,
    /// Latest finalized slot that is applied then.
    pub finalized_slot: i64,
    /// Number of updates before the obstacle.
    pub applied: usize,
    pub obstacle: Option<Obstacle>,
    pub is_linked: bool,
    /// Last of the slots whose writes were read from an RPC node.
    pub read_slot: Option<i64>,
}

pub fn next_slots<'a>(
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
        read_slot: None,
    };
    for update in updates {
        match update {
            SlotUpdate::Sealed(_) | SlotUpdate::Partial(_) | SlotUpdate::Joined(_) => {}
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
        // After a slot that continues the mirror, all others of the same update do, so that an obstacle
        // never divides an update.
        for sealed in update.sealed() {
            match cursor.continuity(hashes.get(&sealed.slot), sealed) {
                Continuity::Duplicate => {}
                Continuity::Next if matches!(update, SlotUpdate::Partial(_)) => {
                    let (slot, parent_slot) = (sealed.slot, sealed.parent_slot);
                    next.obstacle = Some(Obstacle::Late { slot, parent_slot });
                    return next;
                }
                Continuity::Next => {
                    hashes.insert(sealed.slot, sealed.blockhash);
                    cursor.advance(sealed);
                    next.slots.push(sealed);
                    if let SlotUpdate::Joined(_) = update {
                        next.read_slot = Some(sealed.slot);
                    }
                }
                continuity => {
                    next.obstacle = Some(obstacle(continuity, &hashes, sealed));
                    return next;
                }
            }
            next.is_linked = true;
        }
        next.applied += 1;
    }
    next
}

/// Latest of the slots to apply, and of those that are applied, that is finalized: the updates after them
/// count as well, as far as they continue the chain.
pub fn finalized_ahead(cursor: &Cursor, next: &Next<'_>, ahead: &[SlotUpdate]) -> i64 {
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
    use crate::slot::JoinedSlots;

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
            block_time_tolerance: chrono::TimeDelta::zero(),
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

    fn partial(update: SlotUpdate) -> SlotUpdate {
        match update {
            SlotUpdate::Sealed(sealed) => SlotUpdate::Partial(sealed),
            other => other,
        }
    }

    #[test]
    fn a_part_of_a_slot_is_not_applied_unless_all_of_it_is() {
        let (eleven, twelve) = (sealed(11, 11, 10, 10), sealed(12, 12, 11, 11));
        let (slot, parent_slot) = (12, 11);
        let late = Obstacle::Late { slot, parent_slot };
        let later = [eleven, partial(twelve), sealed(13, 13, 12, 12)];
        assert_eq!(next(&later), (vec![11], 1, Some(late)));
        // What is missing before it comes first, as of any slot.
        let (slot, parent_slot) = (13, 12);
        let gap = Obstacle::Gap { slot, parent_slot };
        let alone = [partial(later[2].clone())];
        assert_eq!(next(&alone), (vec![], 0, Some(gap)));
        // It is replayed, and applied already.
        let repeated = [partial(sealed(10, 10, 8, 8)), later[0].clone()];
        assert_eq!(next(&repeated), (vec![11], 2, None));
    }

    /// Slots that are joined, each the child of the one before.
    fn joined(slots: impl IntoIterator<Item = SlotUpdate>) -> SlotUpdate {
        let slots = slots.into_iter();
        let slots = slots.flat_map(|update| update.sealed().to_vec()).collect();
        SlotUpdate::Joined(JoinedSlots::new(slots).unwrap())
    }

    #[test]
    fn joined_slots_are_applied_together_or_not_at_all() {
        let next = |updates: &[SlotUpdate]| {
            let next = next_of(true, updates);
            let slots: Vec<_> = next.slots.iter().map(|slot| slot.slot).collect();
            (slots, next.applied, next.read_slot, next.obstacle)
        };
        let (eleven, twelve) = (sealed(11, 11, 10, 10), sealed(12, 12, 11, 11));
        let both = joined([eleven.clone(), twelve.clone()]);
        assert_eq!(next(&[both]), (vec![11, 12], 1, Some(12), None));
        // The writes of the last slot are of the applied ones, too.
        let repeated = joined([sealed(10, 10, 8, 8), eleven.clone(), twelve]);
        assert_eq!(next(&[repeated]), (vec![11, 12], 1, Some(12), None));
        let known = joined([sealed(10, 10, 8, 8)]);
        assert_eq!(next(&[known]), (vec![], 1, None, None));

        let (slot, parent_slot) = (14, 13);
        let gap = Obstacle::Gap { slot, parent_slot };
        let later = joined([sealed(14, 14, 13, 13), sealed(15, 15, 14, 14)]);
        assert_eq!(next(&[later]), (vec![], 0, None, Some(gap)));
        // They begin with a slot of the mirror, and are of a fork after it.
        let fork = [
            sealed(8, 8, 7, 7),
            sealed(10, 77, 8, 8),
            sealed(11, 78, 10, 77),
        ];
        let obstacle = Obstacle::Fork {
            slot: 10,
            ancestor: 8,
        };
        assert_eq!(next(&[joined(fork)]), (vec![], 0, None, Some(obstacle)));
        // Only slots that follow each other can be joined.
        let apart = [eleven, sealed(13, 13, 12, 12)].map(|update| update.sealed()[0].clone());
        assert_eq!(JoinedSlots::new(apart.to_vec()), None);
        assert_eq!(JoinedSlots::new(vec![]), None);
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
