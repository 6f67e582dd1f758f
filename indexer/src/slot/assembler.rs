//! Assembly of Yellowstone's messages into sealed slots.

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
                let sealed = self.seal(meta)?;
                return Ok(Some(SlotUpdate::Sealed(Box::new(sealed))));
            }
            UpdateOneof::Slot(update) if update.status() == SlotStatus::SlotFinalized => {
                // A slot that is still pending when a later one is finalized was dropped.
                self.drop_pending(|bank| bank.slot <= update.slot);
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

    fn seal(&mut self, meta: SubscribeUpdateBlockMeta) -> Result<SealedSlot, SlotError> {
        let bank = Bank {
            slot: meta.slot,
            id: meta.bank_id,
        };
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

    fn drop_pending(&mut self, is_dropped: impl Fn(&Bank) -> bool) {
        let dropped: Vec<_> = self
            .pending
            .keys()
            .copied()
            .filter(|bank| is_dropped(bank))
            .collect();
        for bank in dropped {
            self.take(bank);
        }
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

#[cfg(test)]
mod tests {
    use yellowstone_grpc_proto::prelude::{
        CompiledInstruction, InnerInstruction, InnerInstructions, Message, MessageHeader,
        SubscribeUpdateAccount, SubscribeUpdateSlot, SubscribeUpdateTransaction, Transaction,
        TransactionError, TransactionStatusMeta,
    };

    use super::*;
    use crate::{event_id::EventId, slot::transaction::EVENT_TAG_BYTES};

    /// Anchor's tag of event instructions, `e445a52e51cb9a1d`.
    const EVENT_TAG: [u8; EVENT_TAG_BYTES] = [0xe4, 0x45, 0xa5, 0x2e, 0x51, 0xcb, 0x9a, 0x1d];
    const PAYER: [u8; 32] = [1; 32];
    const ACCOUNT: [u8; 32] = [2; 32];

    /// A made-up blockhash.
    fn hash(slot: u64) -> String {
        bs58::encode([slot as u8; 32]).into_string()
    }

    fn block_meta(slot: u64) -> UpdateOneof {
        UpdateOneof::BlockMeta(SubscribeUpdateBlockMeta {
            slot,
            parent_slot: slot - 1,
            blockhash: hash(slot),
            parent_blockhash: hash(slot - 1),
            ..Default::default()
        })
    }

    fn write(slot: u64, owner: &[u8]) -> UpdateOneof {
        UpdateOneof::Account(SubscribeUpdateAccount {
            account: Some(SubscribeUpdateAccountInfo {
                pubkey: ACCOUNT.to_vec(),
                owner: owner.to_vec(),
                lamports: 1,
                ..Default::default()
            }),
            slot,
            ..Default::default()
        })
    }

    /// A transaction with the keys payer, account and program, after which the account has
    /// `balance` lamports. The program calls itself once with each element of `inner` as data.
    fn transaction(index: u64, balance: u64, inner: &[&[u8]]) -> SubscribeUpdateTransactionInfo {
        let to_self = |data: &&[u8]| InnerInstruction {
            program_id_index: 2,
            data: data.to_vec(),
            ..Default::default()
        };
        SubscribeUpdateTransactionInfo {
            signature: vec![index as u8; 64],
            index,
            transaction: Some(Transaction {
                message: Some(Message {
                    header: Some(MessageHeader {
                        num_required_signatures: 1,
                        num_readonly_signed_accounts: 0,
                        num_readonly_unsigned_accounts: 1,
                    }),
                    account_keys: vec![PAYER.to_vec(), ACCOUNT.to_vec(), ID.to_bytes().to_vec()],
                    instructions: vec![CompiledInstruction {
                        program_id_index: 2,
                        ..Default::default()
                    }],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            meta: Some(TransactionStatusMeta {
                post_balances: vec![9, balance, 0],
                inner_instructions: vec![InnerInstructions {
                    index: 0,
                    instructions: inner.iter().map(to_self).collect(),
                }],
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn in_slot(slot: u64, transaction: SubscribeUpdateTransactionInfo) -> UpdateOneof {
        UpdateOneof::Transaction(SubscribeUpdateTransaction {
            transaction: Some(transaction),
            slot,
            ..Default::default()
        })
    }

    /// Pushes the messages, and returns the last slot that they seal.
    fn sealed(messages: Vec<UpdateOneof>) -> SealedSlot {
        let mut assembler = SlotAssembler::default();
        let mut sealed = None;
        for message in messages {
            if let Some(SlotUpdate::Sealed(slot)) = assembler.push(message).unwrap() {
                sealed = Some(*slot);
            }
        }
        sealed.unwrap()
    }

    fn account() -> Address {
        ACCOUNT.into()
    }

    #[test]
    fn block_metadata_seals_its_own_slot_only() {
        let mut assembler = SlotAssembler::default();
        for message in [write(7, ID.as_ref()), write(8, ID.as_ref())] {
            assert!(assembler.push(message).unwrap().is_none());
        }
        let Some(SlotUpdate::Sealed(slot)) = assembler.push(block_meta(7)).unwrap() else {
            panic!("not sealed");
        };
        assert_eq!((slot.slot, slot.parent_slot, slot.writes.len()), (7, 6, 1));
        let Some(SlotUpdate::Sealed(slot)) = assembler.push(block_meta(8)).unwrap() else {
            panic!("not sealed");
        };
        assert_eq!((slot.slot, slot.writes.len()), (8, 1));
        assert!(assembler.pending.is_empty());
    }

    #[test]
    fn late_content_without_the_number_of_its_bank_is_reported() {
        let UpdateOneof::BlockMeta(meta) = block_meta(7) else {
            unreachable!("block metadata");
        };
        let meta = UpdateOneof::BlockMeta(SubscribeUpdateBlockMeta { bank_id: 3, ..meta });
        let mut assembler = SlotAssembler::default();
        assembler.push(meta).unwrap();
        let late = assembler.push(write(7, ID.as_ref())).unwrap();
        assert!(matches!(late, Some(SlotUpdate::Late(7))), "{late:?}");
    }

    /// A write in a numbered bank.
    fn write_in(slot: u64, bank_id: u64) -> UpdateOneof {
        let UpdateOneof::Account(update) = write(slot, ID.as_ref()) else {
            unreachable!("an account update");
        };
        UpdateOneof::Account(SubscribeUpdateAccount {
            bank_id: Some(bank_id),
            ..update
        })
    }

    #[test]
    fn content_after_its_block_metadata_is_reported() {
        let mut assembler = SlotAssembler::default();
        assembler.push(block_meta(7)).unwrap();
        let late = assembler.push(write(7, ID.as_ref())).unwrap();
        assert!(matches!(late, Some(SlotUpdate::Late(7))), "{late:?}");
        assert!(assembler.pending.is_empty());
    }

    #[test]
    fn the_content_of_a_slots_next_bank_is_not_late() {
        let meta = |bank_id| {
            let UpdateOneof::BlockMeta(meta) = block_meta(7) else {
                unreachable!("block metadata");
            };
            UpdateOneof::BlockMeta(SubscribeUpdateBlockMeta { bank_id, ..meta })
        };
        let mut assembler = SlotAssembler::default();
        for message in [write_in(7, 1), meta(1), write_in(7, 2), write_in(7, 2)] {
            assembler.push(message).unwrap();
        }
        let Some(SlotUpdate::Sealed(slot)) = assembler.push(meta(2)).unwrap() else {
            panic!("not sealed");
        };
        assert_eq!(slot.writes.len(), 2);
    }

    #[test]
    fn slots_that_are_never_sealed_have_a_bound() {
        let mut assembler = SlotAssembler::default();
        let big = |slot| {
            let UpdateOneof::Account(mut update) = write(slot, ID.as_ref()) else {
                unreachable!("an account update");
            };
            if let Some(account) = &mut update.account {
                account.data = vec![0; 8 << 20];
            }
            UpdateOneof::Account(update)
        };
        let errors = (0..40).find_map(|slot| assembler.push(big(slot)).err());
        assert_eq!(errors, Some(SlotError::NeverSealed));
        // A finalized slot frees those that were dropped.
        let finalized = UpdateOneof::Slot(SubscribeUpdateSlot {
            slot: 40,
            status: SlotStatus::SlotFinalized.into(),
            ..Default::default()
        });
        let mut assembler = SlotAssembler::default();
        assembler.push(big(7)).unwrap();
        assembler.push(finalized).unwrap();
        assert_eq!((assembler.pending.len(), assembler.pending_bytes), (0, 0));
    }

    #[test]
    fn writes_to_accounts_of_other_programs_are_ignored() {
        let slot = sealed(vec![write(7, &PAYER), block_meta(7)]);
        assert!(slot.writes.is_empty());
    }

    #[test]
    fn an_account_without_lamports_after_a_transaction_is_emptied() {
        let slot = sealed(vec![in_slot(7, transaction(0, 0, &[])), block_meta(7)]);
        assert_eq!(slot.emptied, [account()].into());
    }

    #[test]
    fn an_account_without_lamports_in_a_write_is_emptied() {
        let emptied = UpdateOneof::Account(SubscribeUpdateAccount {
            account: Some(SubscribeUpdateAccountInfo {
                pubkey: ACCOUNT.to_vec(),
                owner: ID.to_bytes().to_vec(),
                ..Default::default()
            }),
            slot: 7,
            ..Default::default()
        });
        let slot = sealed(vec![
            in_slot(7, transaction(0, 0, &[])),
            emptied,
            block_meta(7),
        ]);
        assert!(slot.writes.is_empty());
        assert_eq!(slot.emptied, [account()].into());
    }

    #[test]
    fn a_readonly_account_without_lamports_is_not_emptied() {
        // The program's own account is read-only and has a balance of 0 in these transactions.
        let slot = sealed(vec![in_slot(7, transaction(0, 5, &[])), block_meta(7)]);
        assert!(slot.emptied.is_empty());
    }

    #[test]
    fn a_failed_transaction_empties_nothing() {
        let mut failed = transaction(0, 0, &[]);
        let meta = failed.meta.as_mut().unwrap();
        meta.err = Some(TransactionError { err: vec![1] });
        let slot = sealed(vec![in_slot(7, failed), block_meta(7)]);
        assert!(slot.emptied.is_empty());
    }

    #[test]
    fn events_are_ordered_by_transaction_and_carry_their_positions() {
        let mut event = EVENT_TAG.to_vec();
        event.extend([7; 9]);
        let slot = sealed(vec![
            in_slot(7, transaction(3, 5, &[&event])),
            in_slot(7, transaction(1, 5, &[&[0; 8], &event])),
            in_slot(7, transaction(1, 5, &[&[0; 8], &event])),
            block_meta(7),
        ]);
        let ids: Vec<_> = slot.events.iter().map(|e| e.id).collect();
        let expected = [(1, 1), (3, 0)];
        assert_eq!(
            ids,
            expected.map(|(index, inner)| EventId::new(7, index, 0, inner).unwrap())
        );
        assert_eq!(slot.events[0].data, [7; 9]);
        assert_eq!(slot.events[0].event, None);
    }

    #[test]
    fn replayed_transactions_are_recognised_by_signature() {
        let mut event = EVENT_TAG.to_vec();
        event.extend([7; 9]);
        let mut another = transaction(1, 5, &[&event]);
        another.signature = vec![9; 64];
        let one = || in_slot(7, transaction(1, 5, &[&event]));
        let slot = sealed(vec![one(), in_slot(7, another), one(), block_meta(7)]);
        let signatures: Vec<_> = slot.events.iter().map(|e| e.signature).collect();
        assert_eq!(signatures, [[1; 64], [9; 64]]);
    }

    #[test]
    fn events_of_other_programs_are_ignored() {
        let mut foreign = transaction(0, 5, &[&EVENT_TAG]);
        let meta = foreign.meta.as_mut().unwrap();
        meta.inner_instructions[0].instructions[0].program_id_index = 1;
        let slot = sealed(vec![in_slot(7, foreign), block_meta(7)]);
        assert!(slot.events.is_empty());
    }

    #[test]
    fn missing_inner_instructions_are_an_error() {
        let mut incomplete = transaction(0, 5, &[]);
        let meta = incomplete.meta.as_mut().unwrap();
        meta.inner_instructions = vec![];
        meta.inner_instructions_none = true;
        let mut assembler = SlotAssembler::default();
        assembler.push(in_slot(7, incomplete)).unwrap();
        let signature = bs58::encode([0; 64]).into_string();
        assert_eq!(
            assembler.push(block_meta(7)).unwrap_err(),
            SlotError::NoInnerInstructions(signature)
        );
    }
}
