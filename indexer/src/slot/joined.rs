//! Slots whose writes are known only as of the last one.

use super::SealedSlot;

/// Slots, each the child of the one before. The last one has the writes: the accounts that any of them
/// changed, as of its end. The slots before it have events alone.
///
/// They are one update, so that one transaction has all of them. After a part of them, the mirror would
/// have accounts that are put together from events, and an indexer that ended there would never read
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedSlots(Vec<SealedSlot>);

impl JoinedSlots {
    /// `None` if there is no slot, or one is not the child of the one before: then a part of the slots
    /// could be applied.
    pub fn new(slots: Vec<SealedSlot>) -> Option<Self> {
        let is_linked = |pair: &[SealedSlot]| pair[1].is_child_of(&pair[0]);
        (!slots.is_empty() && slots.windows(2).all(is_linked)).then_some(Self(slots))
    }

    pub fn slots(&self) -> &[SealedSlot] {
        &self.0
    }
}

impl SealedSlot {
    pub fn is_child_of(&self, parent: &Self) -> bool {
        (self.parent_slot, self.parent_blockhash) == (parent.slot, parent.blockhash)
    }
}
