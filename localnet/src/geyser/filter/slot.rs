//! Filters for slot status updates.

use yellowstone_grpc_proto::geyser::{CommitmentLevel, SlotStatus, SubscribeRequestFilterSlots};

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

    /// `commitment` is that of the subscription.
    pub fn matches(&self, status: SlotStatus, commitment: CommitmentLevel) -> bool {
        let level = match status {
            SlotStatus::SlotProcessed => Some(CommitmentLevel::Processed),
            SlotStatus::SlotConfirmed => Some(CommitmentLevel::Confirmed),
            SlotStatus::SlotFinalized => Some(CommitmentLevel::Finalized),
            _ => None,
        };
        (!self.by_commitment || level == Some(commitment)) && (self.interslot || level.is_some())
    }
}
