//! Slots and events as the indexer applies them, independent of Yellowstone's types.

pub mod assembler;
mod joined;
pub mod rpc_block;
mod transaction;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use driftshield_sdk::{Address, Event};

use crate::event_id::EventId;

pub use joined::JoinedSlots;

/// Hash of a block.
pub type Blockhash = [u8; 32];
/// Signature of a transaction.
pub type Signature = [u8; 64];

/// Update from the source to the database.
#[derive(Clone, Debug)]
pub enum SlotUpdate {
    /// A confirmed slot whose messages have all arrived.
    Sealed(Box<SealedSlot>),
    /// A confirmed slot of which the source has dropped messages. It must be read again, unless it is applied
    /// already.
    Partial(Box<SealedSlot>),
    /// Confirmed slots that are applied together or not at all.
    Joined(JoinedSlots),
    /// A finalized slot.
    Finalized(i64),
    /// A slot that was sealed before all of its messages had arrived.
    Late(i64),
}

impl SlotUpdate {
    /// The slots that the update seals.
    pub fn sealed(&self) -> &[SealedSlot] {
        match self {
            Self::Sealed(sealed) | Self::Partial(sealed) => std::slice::from_ref(sealed),
            Self::Joined(joined) => joined.slots(),
            Self::Finalized(_) | Self::Late(_) => &[],
        }
    }
}

/// A confirmed slot with all its changes to the program's accounts and all its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSlot {
    pub slot: i64,
    pub blockhash: Blockhash,
    pub parent_slot: i64,
    pub parent_blockhash: Blockhash,
    pub block_time: Option<DateTime<Utc>>,
    /// Writes to accounts that the program owned then, in the order of their versions.
    pub writes: Vec<AccountWrite>,
    /// Addresses where the program has no account at the end of the slot. Includes accounts that never
    /// belonged to the program.
    pub emptied: BTreeSet<Address>,
    /// Events in the order in which they were emitted.
    pub events: Vec<EmittedEvent>,
}

/// State of an account after a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountWrite {
    pub address: Address,
    /// Orders the writes within a slot.
    pub write_version: i64,
    pub lamports: u64,
    pub data: Vec<u8>,
}

/// An event with its position on the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmittedEvent {
    pub id: EventId,
    pub signature: Signature,
    /// `discriminator ‖ body`.
    pub data: Vec<u8>,
    /// `None` if this version cannot decode the event.
    pub event: Option<Event>,
}

/// Data that the server omits or that the mirror cannot store. A retry does not help.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SlotError {
    #[error("the node sent {message} without {missing}; use another node")]
    Incomplete {
        message: &'static str,
        missing: &'static str,
    },
    #[error("the node sent {field} `{value}`, which is malformed; use another node")]
    Malformed { field: &'static str, value: String },
    #[error(
        "the node sent no inner instructions of transaction {0}, which carry the program's events; use \
         a node that records them"
    )]
    NoInnerInstructions(String),
    #[error("the gRPC server sends content of slots, but not their block metadata")]
    NeverSealed,
    #[error("the node sent {field} {value}, which is out of range; use another node")]
    OutOfRange { field: &'static str, value: u64 },
}

/// Converts a number for a `bigint` column: Postgres has no unsigned integers.
pub fn to_i64(field: &'static str, value: u64) -> Result<i64, SlotError> {
    i64::try_from(value).map_err(|_| SlotError::OutOfRange { field, value })
}

/// Reads a blockhash in base58.
pub fn blockhash(text: &str) -> Result<Blockhash, SlotError> {
    let mut hash = [0; 32];
    match bs58::decode(text).onto(&mut hash) {
        Ok(32) => Ok(hash),
        _ => Err(SlotError::Malformed {
            field: "blockhash",
            value: text.to_owned(),
        }),
    }
}

/// A key, hash or signature of exactly `N` bytes.
fn bytes<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], SlotError> {
    bytes.try_into().map_err(|_| SlotError::Malformed {
        field,
        value: bs58::encode(bytes).into_string(),
    })
}
