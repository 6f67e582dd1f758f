//! Assembly of Yellowstone's messages into sealed slots.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::DateTime;
use driftshield_sdk::ID;
use yellowstone_grpc_proto::prelude::{
    SlotStatus, SubscribeUpdateAccountInfo, SubscribeUpdateBlockMeta,
    SubscribeUpdateTransactionInfo, subscribe_update::UpdateOneof,
};

use super::{
    AccountWrite, SealedSlot, SlotError, SlotUpdate, base58, closes::closed_account, to_i64,
    transaction::ExecutedTransaction,
};

/// Collects the messages of each slot. The block metadata of a slot, which the server sends last,
/// seals the slot.
///
/// Each connection has its own assembler: a new connection repeats all messages of the slots that
/// the previous one left incomplete.
#[derive(Default)]
pub struct SlotAssembler {
    pending: HashMap<u64, SlotMessages>,
    last_sealed: u64,
}

/// Messages of a slot that is not sealed yet.
#[derive(Default)]
struct SlotMessages {
    accounts: Vec<SubscribeUpdateAccountInfo>,
    transactions: Vec<SubscribeUpdateTransactionInfo>,
}

impl SlotAssembler {
    /// Adds a message; returns an update if the message seals or finalizes a slot.
    pub fn push(&mut self, message: UpdateOneof) -> Result<Option<SlotUpdate>, SlotError> {
        match message {
            UpdateOneof::Account(update) => {
                let account = update.account.ok_or(SlotError::Incomplete {
                    message: "an account update",
                    missing: "its account",
                })?;
                self.messages(update.slot).accounts.push(account);
            }
            UpdateOneof::Transaction(update) => {
                let transaction = update.transaction.ok_or(SlotError::Incomplete {
                    message: "a transaction update",
                    missing: "its transaction",
                })?;
                self.messages(update.slot).transactions.push(transaction);
            }
            UpdateOneof::BlockMeta(meta) => {
                self.last_sealed = meta.slot;
                let messages = self.pending.remove(&meta.slot).unwrap_or_default();
                let sealed = seal(meta, messages)?;
                return Ok(Some(SlotUpdate::Sealed(Box::new(sealed))));
            }
            UpdateOneof::Slot(status) if status.status() == SlotStatus::SlotFinalized => {
                // A slot that is still pending when a later one is finalized was dropped.
                self.pending.retain(|&slot, _| status.slot < slot);
                let slot = to_i64("slot", status.slot)?;
                return Ok(Some(SlotUpdate::Finalized(slot)));
            }
            _ => {}
        }
        Ok(None)
    }

    fn messages(&mut self, slot: u64) -> &mut SlotMessages {
        if slot <= self.last_sealed {
            tracing::error!(slot, "message of a sealed slot; run `indexer verify`");
        }
        self.pending.entry(slot).or_default()
    }
}

fn seal(meta: SubscribeUpdateBlockMeta, messages: SlotMessages) -> Result<SealedSlot, SlotError> {
    let SlotMessages {
        accounts,
        mut transactions,
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
    let (emptied, kept): (Vec<_>, Vec<_>) = ours.partition(|account| account.lamports == 0);
    let writes = kept
        .into_iter()
        .map(account_write)
        .collect::<Result<Vec<_>, _>>()?;
    let mut closed: BTreeSet<_> = emptied
        .iter()
        .map(|account| base58(&account.pubkey))
        .collect();
    let mut events = vec![];
    for transaction in transactions {
        let transaction = ExecutedTransaction::new(transaction)?;
        if transaction.failed() {
            continue;
        }
        closed.extend(transaction.emptied_accounts());
        let emitted = transaction.events()?;
        let decoded = emitted.iter().filter_map(|emitted| emitted.event.as_ref());
        closed.extend(decoded.filter_map(closed_account));
        events.extend(emitted);
    }
    // An account that was closed and recreated belongs to the program at the end of the slot, and
    // the slot has a write for it.
    let written: HashSet<_> = writes.iter().map(|write| &write.address).collect();
    closed.retain(|address| !written.contains(address));

    let block_time = meta.block_time.map(|time| time.timestamp);
    Ok(SealedSlot {
        slot: to_i64("slot", meta.slot)?,
        blockhash: meta.blockhash,
        parent_slot: to_i64("slot", meta.parent_slot)?,
        parent_blockhash: meta.parent_blockhash,
        block_time: block_time.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
        writes,
        closed,
        events,
    })
}

fn account_write(account: SubscribeUpdateAccountInfo) -> Result<AccountWrite, SlotError> {
    Ok(AccountWrite {
        address: base58(&account.pubkey),
        write_version: to_i64("write version", account.write_version)?,
        lamports: account.lamports,
        data: account.data,
    })
}

#[cfg(test)]
mod tests {
    use yellowstone_grpc_proto::prelude::{
        CompiledInstruction, InnerInstruction, InnerInstructions, Message, MessageHeader,
        SubscribeUpdateAccount, SubscribeUpdateTransaction, Transaction, TransactionError,
        TransactionStatusMeta,
    };

    use super::*;
    use crate::slot::transaction::EVENT_TAG_BYTES;

    /// Anchor's tag of event instructions, `e445a52e51cb9a1d`.
    const EVENT_TAG: [u8; EVENT_TAG_BYTES] = [0xe4, 0x45, 0xa5, 0x2e, 0x51, 0xcb, 0x9a, 0x1d];
    const PAYER: [u8; 32] = [1; 32];
    const ACCOUNT: [u8; 32] = [2; 32];

    fn block_meta(slot: u64) -> UpdateOneof {
        UpdateOneof::BlockMeta(SubscribeUpdateBlockMeta {
            slot,
            parent_slot: slot - 1,
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

    fn account() -> String {
        base58(&ACCOUNT)
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
    fn writes_to_accounts_of_other_programs_are_ignored() {
        let slot = sealed(vec![write(7, &PAYER), block_meta(7)]);
        assert!(slot.writes.is_empty());
    }

    #[test]
    fn a_transaction_that_empties_an_account_closes_it() {
        let slot = sealed(vec![in_slot(7, transaction(0, 0, &[])), block_meta(7)]);
        assert_eq!(slot.closed, [account()].into());
    }

    #[test]
    fn a_write_without_lamports_closes_the_account() {
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
        assert_eq!(slot.closed, [account()].into());
    }

    #[test]
    fn a_readonly_account_without_lamports_is_not_closed() {
        // The program's own account is read-only and has a balance of 0 in these transactions.
        let slot = sealed(vec![in_slot(7, transaction(0, 5, &[])), block_meta(7)]);
        assert!(slot.closed.is_empty());
    }

    #[test]
    fn a_failed_transaction_closes_nothing() {
        let mut failed = transaction(0, 0, &[]);
        let meta = failed.meta.as_mut().unwrap();
        meta.err = Some(TransactionError { err: vec![1] });
        let slot = sealed(vec![in_slot(7, failed), block_meta(7)]);
        assert!(slot.closed.is_empty());
    }

    #[test]
    fn an_account_recreated_in_the_same_slot_is_not_closed() {
        let slot = sealed(vec![
            in_slot(7, transaction(0, 0, &[])),
            in_slot(7, transaction(1, 5, &[])),
            write(7, ID.as_ref()),
            block_meta(7),
        ]);
        assert!(slot.closed.is_empty());
        assert_eq!(slot.writes.len(), 1);
    }

    #[test]
    fn lamports_sent_after_a_close_do_not_reopen_the_account() {
        let slot = sealed(vec![
            in_slot(7, transaction(0, 0, &[])),
            in_slot(7, transaction(1, 5, &[])),
            block_meta(7),
        ]);
        assert_eq!(slot.closed, [account()].into());
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
        let positions: Vec<_> = slot
            .events
            .iter()
            .map(|e| (e.transaction_index, e.instruction_index, e.event_index))
            .collect();
        assert_eq!(positions, [(1, 0, 1), (3, 0, 0)]);
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
        let signatures: Vec<_> = slot.events.iter().map(|e| e.signature.as_str()).collect();
        assert_eq!(signatures, [base58(&[1; 64]), base58(&[9; 64])]);
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
        let signature = base58(&[0; 64]);
        assert_eq!(
            assembler.push(block_meta(7)).unwrap_err(),
            SlotError::NoInnerInstructions(signature)
        );
    }
}
