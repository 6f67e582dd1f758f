//! Position of an event on the chain, as one number.

use crate::slot::SlotError;

/// Position of an event: its slot, the index of its transaction in the block, the index of the outer
/// instruction in the transaction, and its index among the inner instructions of that instruction.
///
/// Ids ascend in the order of the chain. A transaction executes at most 64 instructions, so that six
/// bits hold either index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(i64);

const INNER_BITS: u32 = 6;
const OUTER_BITS: u32 = 6;
const TRANSACTION_BITS: u32 = 19;
const SLOT_SHIFT: u32 = TRANSACTION_BITS + OUTER_BITS + INNER_BITS;

impl EventId {
    pub fn new(slot: u64, transaction: u64, outer: u64, inner: u64) -> Result<Self, SlotError> {
        let bits = [
            ("slot", slot, i64::BITS - 1 - SLOT_SHIFT),
            ("transaction index", transaction, TRANSACTION_BITS),
            ("instruction index", outer, OUTER_BITS),
            ("inner instruction index", inner, INNER_BITS),
        ];
        let mut id = 0;
        for (field, value, bits) in bits {
            if 1 << bits <= value {
                return Err(SlotError::OutOfRange { field, value });
            }
            id = id << bits | value.cast_signed();
        }
        Ok(Self(id))
    }

    pub fn from_i64(id: i64) -> Self {
        Self(id)
    }

    pub fn get(self) -> i64 {
        self.0
    }

    pub fn slot(self) -> i64 {
        self.0 >> SLOT_SHIFT
    }
}

/// A number below the ids of all events in `slot`, and above those of earlier slots.
pub fn first_id(slot: i64) -> i64 {
    slot << SLOT_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(parts: [u64; 4]) -> EventId {
        let [slot, transaction, outer, inner] = parts;
        EventId::new(slot, transaction, outer, inner).unwrap()
    }

    #[test]
    fn ids_ascend_in_the_order_of_the_chain() {
        let positions = [
            [0, 0, 0, 1],
            [0, 0, 1, 0],
            [0, 1, 0, 0],
            [7, 0, 0, 0],
            [7, (1 << 19) - 1, 63, 63],
            [8, 0, 0, 0],
            [(1 << 32) - 1, 0, 0, 63],
        ];
        let ids = positions.map(id);
        assert!(ids.is_sorted(), "{ids:?}");
        assert_eq!(ids.map(EventId::slot), [0, 0, 0, 7, 7, 8, (1 << 32) - 1]);
        assert_eq!(first_id(8), ids[5].get());
    }

    #[test]
    fn a_position_out_of_range_is_refused() {
        for position in [
            [1 << 32, 0, 0, 0],
            [0, 1 << 19, 0, 0],
            [0, 0, 64, 0],
            [0, 0, 0, 64],
        ] {
            let [slot, transaction, outer, inner] = position;
            assert!(EventId::new(slot, transaction, outer, inner).is_err());
        }
    }
}
