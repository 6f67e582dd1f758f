//! Filters for slot status updates.

use yellowstone_grpc_proto::geyser::{SlotStatus, SubscribeRequestFilterSlots};

#[derive(Debug)]
pub struct SlotFilter {
    /// Send only the status of the subscription's commitment.
    by_commitment: bool,
    /// Also send statuses between the commitment levels, such as `SlotCreatedBank`.
    interslot: bool,
}

impl SlotFilter {
    pub fn parse(filter: SubscribeRequestFilterSlots) -> Self {
        Self {
            by_commitment: filter.filter_by_commitment.unwrap_or_default(),
            interslot: filter.interslot_updates.unwrap_or_default(),
        }
    }

    /// `finalized` is the commitment of the subscription: `finalized`, or else `confirmed`, which
    /// also serves subscriptions at `processed`.
    pub fn matches(&self, status: SlotStatus, finalized: bool) -> bool {
        let commitment = match finalized {
            true => SlotStatus::SlotFinalized,
            false => SlotStatus::SlotConfirmed,
        };
        let is_commitment = matches!(
            status,
            SlotStatus::SlotProcessed | SlotStatus::SlotConfirmed | SlotStatus::SlotFinalized
        );
        (!self.by_commitment || status == commitment) && (self.interslot || is_commitment)
    }
}
