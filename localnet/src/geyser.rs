//! A Yellowstone gRPC server for Surfpool's Geyser events.
//!
//! Surfpool has no forks and confirms each slot as it produces it. The server therefore sends only
//! complete slots: it buffers a slot's content until the slot's block metadata arrives, which seals
//! the slot. The server then sends what a Yellowstone server sends at `confirmed`, in this order:
//! accounts (only the last write of each account) and transactions, block metadata, the slot's
//! status `confirmed`. A subscription at `processed` gets the same, where a Yellowstone server would
//! send every write. A subscription at `finalized` gets a slot when Surfpool roots the slot.
//!
//! Refusals and their messages are those of the Yellowstone plugin with stored slots, so that
//! clients are tested against what they meet elsewhere.
//!
//! Account updates come from transactions only. Surfpool reports none for airdrops, for the fees of
//! failed transactions, or for writes by its `surfnet_*` methods.
//!
//! - [`convert`]: Surfpool's events as Yellowstone messages
//! - [`bridge`]: collects events into sealed slots
//! - [`feed`]: recent slots for replay, and live slots for all subscribers
//! - [`filter`]: the updates of a slot that a subscription wants
//! - [`server`]: the gRPC service
//! - [`stream`]: the open stream of one client
//! - [`connection`]: a client's connection
//! - [`faults`]: faults that a test injects

pub mod bridge;
mod connection;
pub mod convert;
pub mod faults;
pub mod feed;
pub mod filter;
pub mod server;
mod stream;

#[cfg(test)]
mod test_client;
#[cfg(test)]
mod test_data;
