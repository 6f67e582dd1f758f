//! Slots for tests.

use yellowstone_grpc_proto::{
    geyser::{
        SubscribeUpdateAccountInfo, SubscribeUpdateBlockMeta, SubscribeUpdateTransactionInfo,
    },
    prost_types::Timestamp,
    solana::storage::confirmed_block::{Message, Transaction, TransactionStatusMeta},
};

use super::feed::SealedSlot;

/// An address that consists of one repeated byte.
pub fn key(byte: u8) -> Vec<u8> {
    vec![byte; 32]
}

/// [`key`] in base58.
pub fn base58(byte: u8) -> String {
    bs58::encode(key(byte)).into_string()
}

/// An account with 10 lamports and the data `[1, 2, 3, 4]`.
pub fn account(pubkey: u8, owner: u8) -> SubscribeUpdateAccountInfo {
    SubscribeUpdateAccountInfo {
        pubkey: key(pubkey),
        lamports: 10,
        owner: key(owner),
        data: vec![1, 2, 3, 4],
        write_version: 1,
        txn_signature: Some(vec![7; 64]),
        ..Default::default()
    }
}

/// A transaction with static account keys, and keys loaded from an address lookup table.
pub fn transaction(keys: &[u8], loaded: &[u8]) -> SubscribeUpdateTransactionInfo {
    SubscribeUpdateTransactionInfo {
        signature: vec![7; 64],
        is_vote: false,
        transaction: Some(Transaction {
            signatures: vec![vec![7; 64]],
            message: Some(Message {
                account_keys: keys.iter().map(|byte| key(*byte)).collect(),
                ..Default::default()
            }),
        }),
        meta: Some(TransactionStatusMeta {
            loaded_writable_addresses: loaded.iter().map(|byte| key(*byte)).collect(),
            ..Default::default()
        }),
        index: 0,
    }
}

/// A slot with account 1 of owner 9, and a transaction with the keys 1, 2 and 3.
pub fn sealed_slot(slot: u64) -> SealedSlot {
    SealedSlot {
        slot,
        accounts: vec![account(1, 9)],
        transactions: vec![transaction(&[1, 2], &[3])],
        meta: SubscribeUpdateBlockMeta {
            slot,
            parent_slot: slot - 1,
            bank_id: slot,
            ..Default::default()
        },
        created_at: Timestamp::default(),
    }
}
