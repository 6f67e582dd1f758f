//! Assembly of Yellowstone's messages into sealed slots.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use chrono::DateTime;
use driftshield_sdk::{Address, ID};
use yellowstone_grpc_proto::prelude::{
    SlotStatus, SubscribeUpdateAccountInfo, SubscribeUpdateBlockMeta,
    SubscribeUpdateTransactionInfo, subscribe_update::UpdateOneof,
};

use yellowstone_grpc_proto::prost::Message as _;

use super::{
    AccountWrite, SealedSlot, SlotError, SlotUpdate, blockhash, bytes, to_i64,
    transaction::ExecutedTransaction,
};

/// Most bytes of account data and messages that unsealed slots may have together.
const MAX_PENDING_BYTES: usize = 256 << 20;
/// Number of sealed slots that are remembered, to recognise content that arrives after its slot's
/// block metadata. A slot is final after some 32.
const SEALED_SLOTS: usize = 512;
/// Number of banks that are remembered because their content was dropped. A bank that is sealed after all is
/// sealed soon: its content arrives together.
const DROPPED_BANKS: usize = 512;

/// Collects the messages of each slot. The block metadata of a slot, which the server sends last,
/// seals the slot.
///
/// Each connection has its own assembler: a new connection repeats all messages of the slots that
/// the previous one left incomplete.
///
/// The status of dead slots (`SlotDead`) isn't asked for: one node's dead bank can be another's confirmed one,
/// whose content must not be dropped. What a server without numbered banks sends for the next bank of a
/// sealed slot is late.
#[derive(Default)]
pub struct SlotAssembler {
    pending: HashMap<Bank, SlotMessages>,
    pending_bytes: usize,
    /// The latest sealed banks, oldest first.
    sealed: VecDeque<Bank>,
    /// The latest banks whose content was dropped, and which are not sealed, oldest first.
    dropped: VecDeque<Bank>,
}

/// A version of a slot. A slot whose bank was dropped gets another one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Bank {
    slot: u64,
    /// 0 if the server doesn't number banks.
    id: u64,
}

/// Messages of a slot that is not sealed yet.
#[derive(Default)]
struct SlotMessages {
    accounts: Vec<SubscribeUpdateAccountInfo>,
    transactions: Vec<SubscribeUpdateTransactionInfo>,
    bytes: usize,
}

impl SlotAssembler {
    /// Adds a message; returns an update if the message seals or finalizes a slot, or belongs to a
    /// slot that is sealed already.
    pub fn push(&mut self, message: UpdateOneof) -> Result<Option<SlotUpdate>, SlotError> {
        match message {
            UpdateOneof::Account(update) => {
                let account = update.account.ok_or(SlotError::Incomplete {
                    message: "an account update",
                    missing: "its account",
                })?;
                let id = update.bank_id.unwrap_or(0);
                let bytes = account.data.len();
                return self.add(
                    Bank {
                        slot: update.slot,
                        id,
                    },
                    bytes,
                    |messages| {
                        messages.accounts.push(account);
                    },
                );
            }
            UpdateOneof::Transaction(update) => {
                let transaction = update.transaction.ok_or(SlotError::Incomplete {
                    message: "a transaction update",
                    missing: "its transaction",
                })?;
                let id = update.bank_id;
                let bytes = transaction.encoded_len();
                return self.add(
                    Bank {
                        slot: update.slot,
                        id,
                    },
                    bytes,
                    |messages| {
                        messages.transactions.push(transaction);
                    },
                );
            }
            UpdateOneof::BlockMeta(meta) => {
                let bank = Bank {
                    slot: meta.slot,
                    id: meta.bank_id,
                };
                let lacks_content = self.forget_dropped(bank);
                let sealed = Box::new(self.seal(bank, meta)?);
                return Ok(Some(match lacks_content {
                    true => SlotUpdate::Partial(sealed),
                    false => SlotUpdate::Sealed(sealed),
                }));
            }
            UpdateOneof::Slot(update) if update.status() == SlotStatus::SlotFinalized => {
                self.drop_pending(update.slot);
                let slot = to_i64("slot", update.slot)?;
                return Ok(Some(SlotUpdate::Finalized(slot)));
            }
            _ => {}
        }
        Ok(None)
    }

    fn add(
        &mut self,
        bank: Bank,
        bytes: usize,
        push: impl FnOnce(&mut SlotMessages),
    ) -> Result<Option<SlotUpdate>, SlotError> {
        // Without a number, the content can be of the bank that is sealed.
        let is_sealed = |sealed: &Bank| *sealed == bank || sealed.slot == bank.slot && bank.id == 0;
        if self.sealed.iter().any(is_sealed) {
            return Ok(Some(SlotUpdate::Late(to_i64("slot", bank.slot)?)));
        }
        self.pending_bytes += bytes;
        if MAX_PENDING_BYTES < self.pending_bytes {
            return Err(SlotError::NeverSealed);
        }
        let messages = self.pending.entry(bank).or_default();
        messages.bytes += bytes;
        push(messages);
        Ok(None)
    }

    fn seal(
        &mut self,
        bank: Bank,
        meta: SubscribeUpdateBlockMeta,
    ) -> Result<SealedSlot, SlotError> {
        let mut messages = self.take(bank);
        if bank.id != 0 {
            // Some servers number the banks of blocks, but not those of account updates.
            let unnumbered = self.take(Bank { id: 0, ..bank });
            messages.accounts.extend(unnumbered.accounts);
            messages.transactions.extend(unnumbered.transactions);
        }
        if self.sealed.len() == SEALED_SLOTS {
            self.sealed.pop_front();
        }
        self.sealed.push_back(bank);
        seal(meta, messages)
    }

    fn take(&mut self, bank: Bank) -> SlotMessages {
        let messages = self.pending.remove(&bank).unwrap_or_default();
        self.pending_bytes -= messages.bytes;
        messages
    }

    /// Drops the content of slots that are not sealed when a later one, or they themselves, are finalized: the
    /// cluster dropped them.
    ///
    /// A server can also send the status of a new slot amid the content of one that it replays. So the banks are
    /// remembered: one that is sealed later lacks what was dropped.
    fn drop_pending(&mut self, finalized: u64) {
        let pending = self.pending.keys().copied();
        let dropped: Vec<_> = pending.filter(|bank| bank.slot <= finalized).collect();
        for bank in dropped {
            self.take(bank);
            if self.dropped.contains(&bank) {
                continue;
            }
            if self.dropped.len() == DROPPED_BANKS {
                self.dropped.pop_front();
            }
            self.dropped.push_back(bank);
        }
    }

    /// Forgets that content of a bank was dropped. Returns whether it was.
    fn forget_dropped(&mut self, bank: Bank) -> bool {
        let before = self.dropped.len();
        // Content without a number can be of any bank of its slot.
        let is_of_bank = |other: &Bank| *other == bank || *other == Bank { id: 0, ..bank };
        self.dropped.retain(|other| !is_of_bank(other));
        self.dropped.len() < before
    }
}

fn seal(meta: SubscribeUpdateBlockMeta, messages: SlotMessages) -> Result<SealedSlot, SlotError> {
    let SlotMessages {
        accounts,
        mut transactions,
        ..
    } = messages;
    // Drop replayed duplicates.
    let mut seen = HashSet::new();
    transactions.retain(|transaction| seen.insert(transaction.signature.clone()));
    transactions.sort_by_key(|transaction| transaction.index);

    let ours = accounts
        .into_iter()
        .filter(|account| account.owner == ID.as_ref());
    // An account without lamports at the end of the slot no longer exists, although the program
    // still owns it.
    let (without_lamports, kept): (Vec<_>, Vec<_>) =
        ours.partition(|account| account.lamports == 0);
    let mut writes = kept
        .into_iter()
        .map(account_write)
        .collect::<Result<Vec<_>, _>>()?;
    writes.sort_by_key(|write| write.write_version);
    let mut emptied = without_lamports
        .iter()
        .map(|account| address(&account.pubkey))
        .collect::<Result<BTreeSet<_>, _>>()?;
    let mut events = vec![];
    for transaction in transactions {
        let transaction = ExecutedTransaction::from_grpc(meta.slot, transaction)?;
        if transaction.failed {
            continue;
        }
        emptied.extend(transaction.emptied_accounts());
        events.extend(transaction.events()?);
    }
    let block_time = meta.block_time.map(|time| time.timestamp);
    Ok(SealedSlot {
        slot: to_i64("slot", meta.slot)?,
        blockhash: blockhash(&meta.blockhash)?,
        parent_slot: to_i64("slot", meta.parent_slot)?,
        parent_blockhash: blockhash(&meta.parent_blockhash)?,
        block_time: block_time.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        writes,
        emptied,
        events,
    })
}

fn account_write(account: SubscribeUpdateAccountInfo) -> Result<AccountWrite, SlotError> {
    Ok(AccountWrite {
        address: address(&account.pubkey)?,
        write_version: to_i64("write version", account.write_version)?,
        lamports: account.lamports,
        data: account.data,
    })
}

fn address(key: &[u8]) -> Result<Address, SlotError> {
    bytes("account key", key).map(Address::from)
}
