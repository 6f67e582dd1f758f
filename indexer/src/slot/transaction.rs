//! Events and emptied accounts of one transaction.

use driftshield_sdk::{Event, ID};
use yellowstone_grpc_proto::prelude::{
    Message, SubscribeUpdateTransactionInfo, TransactionStatusMeta,
};

use super::{EmittedEvent, SlotError, base58, to_i32, to_i64};

/// Length of the tag that precedes an event in the data of its inner instruction.
pub const EVENT_TAG_BYTES: usize = 8;

/// A transaction in a block, with the metadata of its execution.
pub struct ExecutedTransaction {
    signature: Vec<u8>,
    /// Index in the block.
    index: u64,
    message: Message,
    meta: TransactionStatusMeta,
}

impl ExecutedTransaction {
    pub fn new(info: SubscribeUpdateTransactionInfo) -> Result<Self, SlotError> {
        let incomplete = |missing| SlotError::Incomplete {
            message: "a transaction",
            missing,
        };
        let message = info.transaction.and_then(|transaction| transaction.message);
        Ok(Self {
            signature: info.signature,
            index: info.index,
            message: message.ok_or(incomplete("its message"))?,
            meta: info.meta.ok_or(incomplete("its metadata"))?,
        })
    }

    pub fn failed(&self) -> bool {
        self.meta.err.is_some()
    }

    /// Addresses of writable accounts that have no lamports after the transaction: closed by the
    /// transaction, or without lamports before. The subscription to the program's accounts does not
    /// deliver closed accounts, because the system program owns them.
    pub fn emptied_accounts(&self) -> impl Iterator<Item = String> {
        self.account_keys()
            .zip(&self.meta.post_balances)
            .enumerate()
            .filter(|&(index, (_, &balance))| balance == 0 && self.is_writable(index))
            .map(|(_, (key, _))| base58(key))
    }

    /// The program's events in the order in which they were emitted.
    pub fn events(&self) -> Result<Vec<EmittedEvent>, SlotError> {
        let program_index = self.account_keys().position(|key| key == ID.as_ref());
        let is_ours = |index: u32| program_index == Some(index as usize);
        let signature = base58(&self.signature);
        let mut outer = self.message.instructions.iter();
        if self.meta.inner_instructions_none && outer.any(|outer| is_ours(outer.program_id_index)) {
            return Err(SlotError::NoInnerInstructions(signature));
        }

        let mut events = vec![];
        for outer in &self.meta.inner_instructions {
            for (index, inner) in outer.instructions.iter().enumerate() {
                if !is_ours(inner.program_id_index) {
                    continue;
                }
                let Some(event) = Event::decode_inner_instruction(&inner.data) else {
                    continue;
                };
                events.push(EmittedEvent {
                    signature: signature.clone(),
                    transaction_index: to_i64("transaction index", self.index)?,
                    instruction_index: to_i32("instruction index", outer.index.into())?,
                    event_index: to_i32("instruction index", index as u64)?,
                    data: inner.data[EVENT_TAG_BYTES..].to_vec(),
                    event: event.ok(),
                });
            }
        }
        Ok(events)
    }

    /// All account keys, in the order of balances and of the indexes in instructions.
    fn account_keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.message
            .account_keys
            .iter()
            .chain(&self.meta.loaded_writable_addresses)
            .chain(&self.meta.loaded_readonly_addresses)
    }

    fn is_writable(&self, index: usize) -> bool {
        let static_keys = self.message.account_keys.len();
        let header = self.message.header.unwrap_or_default();
        let signers = header.num_required_signatures as usize;
        let readonly_signers = header.num_readonly_signed_accounts as usize;
        let readonly_others = header.num_readonly_unsigned_accounts as usize;
        if index < signers {
            index + readonly_signers < signers
        } else if index < static_keys {
            index + readonly_others < static_keys
        } else {
            index < static_keys + self.meta.loaded_writable_addresses.len()
        }
    }
}
