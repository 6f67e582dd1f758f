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

/// The block metadata of a numbered bank.
fn block_meta_in(slot: u64, bank_id: u64) -> UpdateOneof {
    let UpdateOneof::BlockMeta(meta) = block_meta(slot) else {
        unreachable!("block metadata");
    };
    UpdateOneof::BlockMeta(SubscribeUpdateBlockMeta { bank_id, ..meta })
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

fn finalized(slot: u64) -> UpdateOneof {
    UpdateOneof::Slot(SubscribeUpdateSlot {
        slot,
        status: SlotStatus::SlotFinalized.into(),
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

/// The slot that the message seals, as a whole.
fn sealed_by(assembler: &mut SlotAssembler, message: UpdateOneof) -> SealedSlot {
    match assembler.push(message).unwrap() {
        Some(SlotUpdate::Sealed(slot)) => *slot,
        other => panic!("not a sealed slot: {other:?}"),
    }
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
    let slot = sealed_by(&mut assembler, block_meta(7));
    assert_eq!((slot.slot, slot.parent_slot, slot.writes.len()), (7, 6, 1));
    let slot = sealed_by(&mut assembler, block_meta(8));
    assert_eq!((slot.slot, slot.writes.len()), (8, 1));
    assert!(assembler.pending.is_empty());
}

#[test]
fn late_content_without_the_number_of_its_bank_is_reported() {
    let mut assembler = SlotAssembler::default();
    assembler.push(block_meta_in(7, 3)).unwrap();
    let late = assembler.push(write(7, ID.as_ref())).unwrap();
    assert!(matches!(late, Some(SlotUpdate::Late(7))), "{late:?}");
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
    let meta = |bank_id| block_meta_in(7, bank_id);
    let mut assembler = SlotAssembler::default();
    for message in [write_in(7, 1), meta(1), write_in(7, 2), write_in(7, 2)] {
        assembler.push(message).unwrap();
    }
    assert_eq!(sealed_by(&mut assembler, meta(2)).writes.len(), 2);
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
    let mut assembler = SlotAssembler::default();
    assembler.push(big(7)).unwrap();
    assembler.push(finalized(40)).unwrap();
    assert_eq!((assembler.pending.len(), assembler.pending_bytes), (0, 0));
}

/// The slots that the messages seal, each with whether only a part of its content is there.
fn partial(messages: impl IntoIterator<Item = UpdateOneof>) -> Vec<(i64, bool)> {
    let mut assembler = SlotAssembler::default();
    let mut sealed = vec![];
    for message in messages {
        match assembler.push(message).unwrap() {
            Some(SlotUpdate::Sealed(slot)) => sealed.push((slot.slot, false)),
            Some(SlotUpdate::Partial(slot)) => sealed.push((slot.slot, true)),
            None | Some(SlotUpdate::Finalized(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    sealed
}

#[test]
fn a_slot_that_lost_content_to_the_status_of_a_finalized_slot_is_partial() {
    // The server replays the slots 7 to 9, and sends a new status amid the content of slot 8.
    let replay = |bank| {
        [
            write_in(7, bank),
            block_meta_in(7, bank),
            write_in(8, bank),
            finalized(40),
            write_in(8, bank),
            block_meta_in(8, bank),
            write_in(9, bank),
            block_meta_in(9, bank),
        ]
    };
    let expected = [(7, false), (8, true), (9, false)];
    assert_eq!(partial(replay(0)), expected);
    assert_eq!(partial(replay(3)), expected);
    // The rest of the content can be missing, too, and some servers number blocks alone.
    let unnumbered = [write_in(8, 0), finalized(8), block_meta_in(8, 3)];
    assert_eq!(partial(unnumbered), [(8, true)]);
}

#[test]
fn a_dropped_bank_says_nothing_of_another_one() {
    let dropped = |slot, bank| [write_in(7, 1), finalized(7), block_meta_in(slot, bank)];
    assert_eq!(partial(dropped(7, 2)), [(7, false)]);
    assert_eq!(partial(dropped(8, 1)), [(8, false)]);
    // Banks that are never sealed have a bound.
    let mut assembler = SlotAssembler::default();
    for slot in 1..=DROPPED_BANKS as u64 + 9 {
        assembler.push(write_in(slot, 1)).unwrap();
        assembler.push(finalized(slot)).unwrap();
    }
    assert_eq!(assembler.dropped.len(), DROPPED_BANKS);
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
fn missing_balances_are_an_error() {
    let sealed = |missing: usize, is_failed: bool| {
        let mut stripped = transaction(0, 5, &[]);
        let meta = stripped.meta.as_mut().unwrap();
        meta.post_balances.truncate(3 - missing);
        meta.err = is_failed.then(|| TransactionError { err: vec![1] });
        let mut assembler = SlotAssembler::default();
        assembler.push(in_slot(7, stripped)).unwrap();
        assembler.push(block_meta(7)).map(|update| update.is_some())
    };
    for missing in [1, 3] {
        let error = sealed(missing, false).unwrap_err();
        assert!(error.to_string().contains("its balances"), "{error}");
    }
    assert_eq!(sealed(0, false), Ok(true));
    // A failed transaction changes none of the program's accounts.
    assert_eq!(sealed(3, true), Ok(true));
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
