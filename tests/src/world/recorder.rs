//! Recording of the program's transactions as a Yellowstone server sends them.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use driftshield_sdk::{Event, ID};
use litesvm::{LiteSVM, types::TransactionMetadata};
use solana_account::ReadableAccount;
use solana_clock::Clock;
use solana_transaction::versioned::VersionedTransaction;
use yellowstone_grpc_proto::{
    prelude::{
        CompiledInstruction, InnerInstruction, InnerInstructions, Message, MessageHeader,
        SubscribeUpdate, SubscribeUpdateAccount, SubscribeUpdateAccountInfo,
        SubscribeUpdateTransaction, SubscribeUpdateTransactionInfo, Transaction,
        TransactionStatusMeta, subscribe_update::UpdateOneof,
    },
    prost::Message as _,
    prost_types::Timestamp,
};

/// Writes the transactions of a world to a file, each as the updates of the program's accounts that it may
/// write, followed by the transaction itself: length-delimited `SubscribeUpdate` messages in slot 0, whose
/// `created_at` is the time of the world.
pub struct Recorder {
    file: BufWriter<File>,
    /// Number of account updates so far, which numbers them.
    pub updates: u64,
    pub transactions: u64,
    /// Number of events by name.
    pub events: BTreeMap<&'static str, u64>,
}

impl Recorder {
    /// Creates the file, or empties it.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, File::create(path)?),
            updates: 0,
            transactions: 0,
            events: BTreeMap::new(),
        })
    }

    /// Names of the events that have not been recorded.
    pub fn missing_events(&self) -> Vec<&'static str> {
        let names = Event::NAMES.iter().copied();
        names
            .filter(|name| !self.events.contains_key(name))
            .collect()
    }

    pub fn finish(mut self) -> std::io::Result<()> {
        self.file.flush()
    }

    /// Writes a transaction that has succeeded, unless it doesn't name the program.
    pub(super) fn record(
        &mut self,
        svm: &LiteSVM,
        transaction: &VersionedTransaction,
        metadata: &TransactionMetadata,
        events: &[Event],
    ) {
        let keys = transaction.message.static_account_keys();
        if !keys.contains(&ID) {
            return;
        }
        let seconds = svm.get_sysvar::<Clock>().unix_timestamp;
        let signature = transaction.signatures[0].as_ref().to_vec();
        for (index, key) in keys.iter().enumerate() {
            let message = &transaction.message;
            if !message.is_maybe_writable_with_reserved_addresses(index, None::<&HashSet<_>>) {
                continue;
            }
            let account = svm.accounts_db().get_account(key);
            let Some(account) = account.filter(|account| *account.owner() == ID) else {
                continue;
            };
            self.updates += 1;
            let account = SubscribeUpdateAccountInfo {
                pubkey: key.to_bytes().to_vec(),
                lamports: account.lamports(),
                owner: ID.to_bytes().to_vec(),
                executable: false,
                rent_epoch: account.rent_epoch(),
                data: account.data().to_vec(),
                write_version: self.updates,
                txn_signature: Some(signature.clone()),
            };
            self.write(seconds, account_update(account));
        }
        let info = SubscribeUpdateTransactionInfo {
            signature,
            is_vote: false,
            transaction: Some(wire_transaction(transaction)),
            meta: Some(wire_meta(svm, transaction, metadata)),
            index: 0,
        };
        self.write(seconds, transaction_update(info));
        self.transactions += 1;
        for event in events {
            *self.events.entry(event.name()).or_default() += 1;
        }
    }

    fn write(&mut self, seconds: i64, update: UpdateOneof) {
        let update = SubscribeUpdate {
            filters: vec!["driftshield".to_owned()],
            update_oneof: Some(update),
            created_at: Some(Timestamp { seconds, nanos: 0 }),
        };
        let bytes = update.encode_length_delimited_to_vec();
        self.file
            .write_all(&bytes)
            .expect("the recording is writable");
    }
}

fn account_update(account: SubscribeUpdateAccountInfo) -> UpdateOneof {
    UpdateOneof::Account(SubscribeUpdateAccount {
        account: Some(account),
        slot: 0,
        is_startup: false,
        bank_id: None,
    })
}

fn transaction_update(transaction: SubscribeUpdateTransactionInfo) -> UpdateOneof {
    UpdateOneof::Transaction(SubscribeUpdateTransaction {
        transaction: Some(transaction),
        slot: 0,
        bank_id: 0,
    })
}

fn wire_transaction(transaction: &VersionedTransaction) -> Transaction {
    let message = &transaction.message;
    let header = message.header();
    let keys = message.static_account_keys().iter();
    let instructions = message.instructions().iter();
    Transaction {
        signatures: transaction
            .signatures
            .iter()
            .map(|signature| signature.as_ref().to_vec())
            .collect(),
        message: Some(Message {
            header: Some(MessageHeader {
                num_required_signatures: header.num_required_signatures.into(),
                num_readonly_signed_accounts: header.num_readonly_signed_accounts.into(),
                num_readonly_unsigned_accounts: header.num_readonly_unsigned_accounts.into(),
            }),
            account_keys: keys.map(|key| key.to_bytes().to_vec()).collect(),
            recent_blockhash: message.recent_blockhash().to_bytes().to_vec(),
            instructions: instructions
                .map(|instruction| CompiledInstruction {
                    program_id_index: instruction.program_id_index.into(),
                    accounts: instruction.accounts.clone(),
                    data: instruction.data.clone(),
                })
                .collect(),
            ..Default::default()
        }),
    }
}

/// The balances before the transaction and the token balances are left out: the virtual machine doesn't
/// report them.
fn wire_meta(
    svm: &LiteSVM,
    transaction: &VersionedTransaction,
    metadata: &TransactionMetadata,
) -> TransactionStatusMeta {
    let keys = transaction.message.static_account_keys().iter();
    let inner = metadata.inner_instructions.iter().enumerate();
    TransactionStatusMeta {
        fee: metadata.fee,
        post_balances: keys
            .map(|key| svm.get_balance(key).unwrap_or_default())
            .collect(),
        inner_instructions: inner
            .filter(|(_, inner)| !inner.is_empty())
            .map(|(outer, inner)| InnerInstructions {
                index: u32::try_from(outer).expect("a transaction has at most 64 instructions"),
                instructions: inner
                    .iter()
                    .map(|inner| InnerInstruction {
                        program_id_index: inner.instruction.program_id_index.into(),
                        accounts: inner.instruction.accounts.clone(),
                        data: inner.instruction.data.clone(),
                        stack_height: Some(inner.stack_height.into()),
                    })
                    .collect(),
            })
            .collect(),
        log_messages: metadata.logs.clone(),
        compute_units_consumed: Some(metadata.compute_units_consumed),
        ..Default::default()
    }
}
