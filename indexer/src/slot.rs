//! Slots and events as the indexer applies them, independent of Yellowstone's types.

pub mod assembler;
pub mod closes;
mod transaction;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use driftshield_sdk::Event;

/// Update from the stream to the database.
#[derive(Clone, Debug)]
pub enum SlotUpdate {
    /// A confirmed slot whose messages have all arrived.
    Sealed(Box<SealedSlot>),
    /// A finalized slot.
    Finalized(i64),
}

/// A confirmed slot with all its changes to the program's accounts and all its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSlot {
    pub slot: i64,
    /// Base58.
    pub blockhash: String,
    pub parent_slot: i64,
    /// Base58.
    pub parent_blockhash: String,
    pub block_time: Option<DateTime<Utc>>,
    /// Writes to accounts that the program owns at the end of the slot.
    pub writes: Vec<AccountWrite>,
    /// Addresses without an account at the end of the slot, in base58. Includes accounts that never
    /// belonged to the program.
    pub closed: BTreeSet<String>,
    /// Events in the order in which they were emitted.
    pub events: Vec<EmittedEvent>,
}

/// State of an account after a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountWrite {
    /// Base58.
    pub address: String,
    /// Orders the writes within a slot.
    pub write_version: i64,
    pub lamports: u64,
    pub data: Vec<u8>,
}

/// An event with its position in the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmittedEvent {
    /// Transaction signature in base58.
    pub signature: String,
    /// Index of the transaction in its block.
    pub transaction_index: i64,
    /// Index of the outer instruction in the transaction.
    pub instruction_index: i32,
    /// Index among the inner instructions of the outer instruction.
    pub event_index: i32,
    /// `discriminator ‖ body`.
    pub data: Vec<u8>,
    /// `None` if this version cannot decode the event.
    pub event: Option<Event>,
}

/// Data that the server omits or that the mirror cannot store. A retry does not help.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SlotError {
    #[error("the gRPC server sent {message} without {missing}; use another server")]
    Incomplete {
        message: &'static str,
        missing: &'static str,
    },
    #[error(
        "the gRPC server sent no inner instructions of transaction {0}, which carry the program's \
         events; use a server that records them"
    )]
    NoInnerInstructions(String),
    #[error("the gRPC server sent {field} {value}, which is out of range; use another server")]
    OutOfRange { field: &'static str, value: u64 },
}

/// Converts a number for a `bigint` column: Postgres has no unsigned integers.
fn to_i64(field: &'static str, value: u64) -> Result<i64, SlotError> {
    i64::try_from(value).map_err(|_| SlotError::OutOfRange { field, value })
}

/// Converts a number for an `integer` column.
fn to_i32(field: &'static str, value: u64) -> Result<i32, SlotError> {
    i32::try_from(value).map_err(|_| SlotError::OutOfRange { field, value })
}

fn base58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}
