//! A Yellowstone gRPC server for Surfpool's Geyser events.
//!
//! Surfpool has no forks and confirms each slot as it produces it. The server therefore sends only
//! complete slots: it buffers a slot's content until the slot's block metadata arrives, which seals
//! the slot. The server then sends what a Yellowstone server sends at `confirmed`, in this order:
//! accounts (only the last write of each account) and transactions, block metadata, slot statuses.
//! A subscription at `processed` gets the same as one at `confirmed`. A subscription at `finalized`
//! gets a slot when Surfpool roots the slot.
//!
//! Account updates come from transactions only. Surfpool reports none for airdrops, for the fees of
//! failed transactions, or for writes by its `surfnet_*` methods.
//!
//! - [`convert`]: Surfpool's events as Yellowstone messages
//! - [`bridge`]: collects events into sealed slots
//! - [`feed`]: recent slots for replay, and live slots for all subscribers
//! - [`filter`]: the updates of a slot that a subscription wants
//! - [`server`]: the gRPC service

pub mod bridge;
pub mod convert;
pub mod feed;
pub mod filter;
pub mod server;

#[cfg(test)]
mod test_data;
