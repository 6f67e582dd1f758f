//! Events and emptied accounts of one transaction.

use driftshield_sdk::{Address, Event, ID};
use yellowstone_grpc_proto::prelude::{
    Message, SubscribeUpdateTransactionInfo, TransactionStatusMeta,
};

use super::{EmittedEvent, Signature, SlotError, bytes};
use crate::event_id::EventId;

/// Length of the tag that precedes an event in the data of its inner instruction.
pub const EVENT_TAG_BYTES: usize = 8;

/// An executed transaction of a block, as far as the mirror needs it.
pub struct ExecutedTransaction {
    pub slot: u64,
    pub signature: Signature,
    /// Index in the block.
    pub index: u64,
    pub failed: bool,
    /// All account keys, in the order of balances and of the indexes in instructions.
    pub keys: Vec<Address>,
    /// Ranges of `keys` that are writable.
    pub writable: WritableKeys,
    /// Lamports of each account after the transaction.
    pub post_balances: Vec<u64>,
    /// Inner instructions by outer instruction.
    pub inner: Vec<InnerInstructions>,
}

/// The inner instructions of an outer one.
pub struct InnerInstructions {
    /// Index of the outer instruction.
    pub outer: u64,
    /// Each with the index of its program among the keys, and its data.
    pub instructions: Vec<(usize, Vec<u8>)>,
}

/// Which keys of a transaction are writable.
#[derive(Clone, Copy, Default)]
pub struct WritableKeys {
    /// Keys in the message itself, as opposed to those from lookup tables.
    pub static_keys: usize,
    pub signers: usize,
    pub readonly_signers: usize,
    pub readonly_others: usize,
    /// Keys from lookup tables that are writable; they follow the static keys.
    pub loaded: usize,
}

impl WritableKeys {
    fn contains(&self, index: usize) -> bool {
        if index < self.signers {
            index + self.readonly_signers < self.signers
        } else if index < self.static_keys {
            index + self.readonly_others < self.static_keys
        } else {
            index < self.static_keys + self.loaded
        }
    }
}

impl ExecutedTransaction {
    pub fn from_grpc(slot: u64, info: SubscribeUpdateTransactionInfo) -> Result<Self, SlotError> {
        let incomplete = |missing| SlotError::Incomplete {
            message: "a transaction",
            missing,
        };
        let message = info.transaction.and_then(|transaction| transaction.message);
        let message = message.ok_or(incomplete("its message"))?;
        let meta = info.meta.ok_or(incomplete("its metadata"))?;
        let signature: Signature = bytes("signature", &info.signature)?;
        let keys = keys(&message, &meta)?;
        let records_inner = !meta.inner_instructions_none;
        let header = message.header.unwrap_or_default();
        let inner = meta.inner_instructions.into_iter();
        let transaction = Self {
            slot,
            signature,
            index: info.index,
            failed: meta.err.is_some(),
            keys,
            writable: WritableKeys {
                static_keys: message.account_keys.len(),
                signers: header.num_required_signatures as usize,
                readonly_signers: header.num_readonly_signed_accounts as usize,
                readonly_others: header.num_readonly_unsigned_accounts as usize,
                loaded: meta.loaded_writable_addresses.len(),
            },
            post_balances: meta.post_balances,
            inner: inner
                .map(|inner| InnerInstructions {
                    outer: inner.index.into(),
                    instructions: inner
                        .instructions
                        .into_iter()
                        .map(|inner| (inner.program_id_index as usize, inner.data))
                        .collect(),
                })
                .collect(),
        };
        transaction.complete(records_inner)
    }

    /// Returns the transaction if it has all that the mirror needs, whichever source it is from.
    /// `records_inner` is whether the source has inner instructions, if only none.
    ///
    /// # Errors
    ///
    /// - A balance is missing: only balances show which accounts the transaction closed.
    /// - The source records no inner instructions, and the transaction is with the program.
    pub fn complete(self, records_inner: bool) -> Result<Self, SlotError> {
        // It changed no account of the program.
        if self.failed {
            return Ok(self);
        }
        if self.post_balances.len() < self.keys.len() {
            return Err(SlotError::Incomplete {
                message: "a transaction",
                missing: "its balances",
            });
        }
        if !records_inner && self.keys.contains(&ID) {
            let signature = bs58::encode(self.signature).into_string();
            return Err(SlotError::NoInnerInstructions(signature));
        }
        Ok(self)
    }

    /// Writable accounts.
    pub fn writable_keys(&self) -> impl Iterator<Item = Address> {
        let keys = self.keys.iter().enumerate();
        keys.filter(|&(index, _)| self.writable.contains(index))
            .map(|(_, key)| *key)
    }

    /// Writable accounts with their lamports after the transaction.
    pub fn written_lamports(&self) -> impl Iterator<Item = (Address, u64)> {
        let keys = self.keys.iter().zip(&self.post_balances).enumerate();
        keys.filter(|&(index, _)| self.writable.contains(index))
            .map(|(_, (key, &lamports))| (*key, lamports))
    }

    /// Addresses of writable accounts that have no lamports after the transaction: closed by the
    /// transaction, or without lamports before. The subscription to the program's accounts does not
    /// deliver closed accounts, because the system program owns them.
    pub fn emptied_accounts(&self) -> impl Iterator<Item = Address> {
        let written = self.written_lamports();
        written
            .filter(|(_, lamports)| *lamports == 0)
            .map(|(key, _)| key)
    }

    /// The program's events in the order in which they were emitted.
    pub fn events(&self) -> Result<Vec<EmittedEvent>, SlotError> {
        // A transaction can name a key twice, among its own and from a lookup table.
        let is_ours = |index: usize| self.keys.get(index) == Some(&ID);
        let mut events = vec![];
        for inner in &self.inner {
            for (index, (program, data)) in inner.instructions.iter().enumerate() {
                if !is_ours(*program) {
                    continue;
                }
                let Some(event) = Event::decode_inner_instruction(data) else {
                    continue;
                };
                events.push(EmittedEvent {
                    id: EventId::new(self.slot, self.index, inner.outer, index as u64)?,
                    signature: self.signature,
                    data: data[EVENT_TAG_BYTES..].to_vec(),
                    event: event.ok(),
                });
            }
        }
        Ok(events)
    }
}

fn keys(message: &Message, meta: &TransactionStatusMeta) -> Result<Vec<Address>, SlotError> {
    message
        .account_keys
        .iter()
        .chain(&meta.loaded_writable_addresses)
        .chain(&meta.loaded_readonly_addresses)
        .map(|key| bytes("account key", key).map(Address::from))
        .collect()
}
