//! A Yellowstone gRPC server over Surfpool's Geyser events, in process.
//!
//! Surfpool has no forks and confirms a slot as it makes it, so the server knows whole slots
//! alone: what belongs to a slot is held back until its block metadata seals it, and is then sent
//! as a Yellowstone server does at `confirmed`: accounts (the last write of each) and
//! transactions, then block meta, then the slot's statuses. A subscription at `processed` is
//! served like one at `confirmed`; one at `finalized` gets the slot when Surfpool roots it.
//!
//! Account updates are those that transactions make. Surfpool reports none for airdrops, for the
//! fees of failed transactions and for what its `surfnet_*` methods write.
//!
//! - [`convert`]: Surfpool's events as Yellowstone's messages
//! - [`bridge`]: events in, sealed slots out
//! - [`feed`]: the last slots, for replay, and the live ones, for everybody
//! - [`filter`]: what a subscription wants of a slot
//! - [`server`]: the gRPC service

pub mod bridge;
pub mod convert;
pub mod feed;
pub mod filter;
pub mod server;

#[cfg(test)]
mod test_data;
