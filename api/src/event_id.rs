//! Positions of events on the chain, which also name the lives of accounts.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::values::from_digits;

/// Position of an event on the chain, as a decimal string: slot · 2^31 + index of the transaction in
/// its block · 2^12 + index of the outer instruction · 2^6 + index among its inner instructions. 0 if
/// the mirror does not have the event.
// A string, because JavaScript cannot hold every number above 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, sqlx::Type, ToSchema)]
#[sqlx(transparent)]
#[schema(value_type = String, example = "644245094405312512", pattern = "^[0-9]{1,19}$")]
pub struct EventId(pub i64);

impl EventId {
    pub fn slot(self) -> i64 {
        self.0 >> 31
    }

    /// Index of the transaction in its block.
    pub fn transaction_index(self) -> i64 {
        self.0 >> 12 & 0x7_ffff
    }

    /// Index of the outer instruction in the transaction.
    pub fn instruction_index(self) -> i64 {
        self.0 >> 6 & 0x3f
    }

    /// Index of the event among the inner instructions of the outer instruction.
    pub fn event_index(self) -> i64 {
        self.0 & 0x3f
    }
}

impl Display for EventId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_digits(deserializer, 19, i64::MAX).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_contains_the_position_of_its_event() {
        let id = EventId((300_000_000 << 31) + (524_287 << 12) + (63 << 6) + 62);
        assert_eq!(id.slot(), 300_000_000);
        assert_eq!(id.transaction_index(), 524_287);
        assert_eq!((id.instruction_index(), id.event_index()), (63, 62));
        let next_slot = EventId(300_000_001 << 31);
        assert!(id < next_slot);
        assert_eq!(
            (next_slot.slot(), next_slot.transaction_index()),
            (300_000_001, 0)
        );
    }

    #[test]
    fn an_id_is_a_string_in_json() {
        let json = serde_json::to_string(&EventId(644_245_094_405_312_512)).unwrap();
        assert_eq!(json, "\"644245094405312512\"");
        assert_eq!(
            serde_json::from_str::<EventId>(&json).unwrap().slot(),
            300_000_000
        );
        assert!(serde_json::from_str::<EventId>("7").is_err());
    }
}
