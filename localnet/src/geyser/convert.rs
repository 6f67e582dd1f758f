//! Conversion of Surfpool's Geyser events to Yellowstone messages.

use anyhow::Context;
use solana_message::VersionedMessage;
use solana_transaction::{
    simple_vote_transaction_checker::is_simple_vote_transaction_impl,
    versioned::VersionedTransaction,
};
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types::{TransactionStatusMeta, TransactionTokenBalance};
use surfpool_core::{surfnet::GeyserTransactionEvent, types::GeyserAccountUpdate};
use yellowstone_grpc_proto::{
    geyser::{SubscribeUpdateAccountInfo, SubscribeUpdateTransactionInfo},
    solana::storage::confirmed_block as storage,
};

pub fn account(update: GeyserAccountUpdate) -> SubscribeUpdateAccountInfo {
    SubscribeUpdateAccountInfo {
        pubkey: update.pubkey.to_bytes().to_vec(),
        lamports: update.account.lamports,
        owner: update.account.owner.to_bytes().to_vec(),
        executable: update.account.executable,
        rent_epoch: update.account.rent_epoch,
        data: update.account.data,
        write_version: update.write_version,
        txn_signature: update
            .sanitized_transaction
            .map(|transaction| transaction.signature().as_ref().to_vec()),
    }
}

/// Fails if the transaction's error cannot be encoded.
pub fn transaction(
    event: &GeyserTransactionEvent,
) -> anyhow::Result<SubscribeUpdateTransactionInfo> {
    let executed = &event.transaction_with_status_meta;
    let message = &executed.transaction.message;
    let signatures: Vec<Vec<u8>> = executed
        .transaction
        .signatures
        .iter()
        .map(|signature| signature.as_ref().to_vec())
        .collect();
    Ok(SubscribeUpdateTransactionInfo {
        signature: signatures.first().cloned().unwrap_or_default(),
        is_vote: is_vote(&executed.transaction),
        transaction: Some(storage::Transaction {
            signatures,
            message: Some(self::message(message)),
        }),
        meta: Some(meta(&executed.meta)?),
        index: event.index as u64,
    })
}

fn is_vote(transaction: &VersionedTransaction) -> bool {
    let message = &transaction.message;
    let keys = message.static_account_keys();
    let programs = message.instructions().iter();
    is_simple_vote_transaction_impl(
        &transaction.signatures,
        matches!(message, VersionedMessage::Legacy(_)),
        programs.filter_map(|instruction| keys.get(usize::from(instruction.program_id_index))),
    )
}

fn message(message: &VersionedMessage) -> storage::Message {
    let header = message.header();
    storage::Message {
        header: Some(storage::MessageHeader {
            num_required_signatures: header.num_required_signatures.into(),
            num_readonly_signed_accounts: header.num_readonly_signed_accounts.into(),
            num_readonly_unsigned_accounts: header.num_readonly_unsigned_accounts.into(),
        }),
        account_keys: message
            .static_account_keys()
            .iter()
            .map(|key| key.to_bytes().to_vec())
            .collect(),
        recent_blockhash: message.recent_blockhash().to_bytes().to_vec(),
        instructions: message
            .instructions()
            .iter()
            .map(|instruction| storage::CompiledInstruction {
                program_id_index: instruction.program_id_index.into(),
                accounts: instruction.accounts.clone(),
                data: instruction.data.clone(),
            })
            .collect(),
        versioned: !matches!(message, VersionedMessage::Legacy(_)),
        address_table_lookups: message
            .address_table_lookups()
            .unwrap_or_default()
            .iter()
            .map(|lookup| storage::MessageAddressTableLookup {
                account_key: lookup.account_key.to_bytes().to_vec(),
                writable_indexes: lookup.writable_indexes.clone(),
                readonly_indexes: lookup.readonly_indexes.clone(),
            })
            .collect(),
        config: match message {
            VersionedMessage::V1(message) => Some(storage::TransactionConfig {
                priority_fee: message.config.priority_fee,
                compute_unit_limit: message.config.compute_unit_limit,
                loaded_accounts_data_size_limit: message.config.loaded_accounts_data_size_limit,
                heap_size: message.config.heap_size,
            }),
            VersionedMessage::Legacy(_) | VersionedMessage::V0(_) => None,
        },
    }
}

fn meta(meta: &TransactionStatusMeta) -> anyhow::Result<storage::TransactionStatusMeta> {
    Ok(storage::TransactionStatusMeta {
        err: meta.status.as_ref().err().map(error).transpose()?,
        fee: meta.fee,
        pre_balances: meta.pre_balances.clone(),
        post_balances: meta.post_balances.clone(),
        inner_instructions: meta
            .inner_instructions
            .iter()
            .flatten()
            .map(|inner| storage::InnerInstructions {
                index: inner.index.into(),
                instructions: inner
                    .instructions
                    .iter()
                    .map(|inner| storage::InnerInstruction {
                        program_id_index: inner.instruction.program_id_index.into(),
                        accounts: inner.instruction.accounts.clone(),
                        data: inner.instruction.data.clone(),
                        stack_height: inner.stack_height,
                    })
                    .collect(),
            })
            .collect(),
        inner_instructions_none: meta.inner_instructions.is_none(),
        log_messages: meta.log_messages.clone().unwrap_or_default(),
        log_messages_none: meta.log_messages.is_none(),
        pre_token_balances: token_balances(meta.pre_token_balances.as_deref()),
        post_token_balances: token_balances(meta.post_token_balances.as_deref()),
        // Only blocks have rewards.
        rewards: Vec::new(),
        loaded_writable_addresses: meta
            .loaded_addresses
            .writable
            .iter()
            .map(|key| key.to_bytes().to_vec())
            .collect(),
        loaded_readonly_addresses: meta
            .loaded_addresses
            .readonly
            .iter()
            .map(|key| key.to_bytes().to_vec())
            .collect(),
        return_data: meta.return_data.as_ref().map(|data| storage::ReturnData {
            program_id: data.program_id.to_bytes().to_vec(),
            data: data.data.clone(),
        }),
        return_data_none: meta.return_data.is_none(),
        compute_units_consumed: meta.compute_units_consumed,
        cost_units: meta.cost_units,
    })
}

fn error(error: &TransactionError) -> anyhow::Result<storage::TransactionError> {
    let err = bincode::serialize(error).context("encoding a transaction's error")?;
    Ok(storage::TransactionError { err })
}

fn token_balances(balances: Option<&[TransactionTokenBalance]>) -> Vec<storage::TokenBalance> {
    balances
        .unwrap_or_default()
        .iter()
        .map(|balance| storage::TokenBalance {
            account_index: balance.account_index.into(),
            mint: balance.mint.clone(),
            ui_token_amount: Some(storage::UiTokenAmount {
                ui_amount: balance.ui_token_amount.ui_amount.unwrap_or_default(),
                decimals: balance.ui_token_amount.decimals.into(),
                amount: balance.ui_token_amount.amount.clone(),
                ui_amount_string: balance.ui_token_amount.ui_amount_string.clone(),
            }),
            owner: balance.owner.clone(),
            program_id: balance.program_id.clone(),
        })
        .collect()
}
