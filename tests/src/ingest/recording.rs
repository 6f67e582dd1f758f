//! A recording in memory.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use anyhow::Context;
use driftshield_sdk::{DecodeError, Event, ID};
use yellowstone_grpc_proto::{
    prelude::{
        SubscribeUpdate, SubscribeUpdateAccountInfo, SubscribeUpdateTransactionInfo,
        subscribe_update::UpdateOneof,
    },
    prost::Message as _,
};

use super::{
    actions,
    load::{self, Summary},
};

/// A transaction, and the program's accounts that it may have written.
pub struct RecordedTransaction {
    pub accounts: Vec<SubscribeUpdateAccountInfo>,
    /// Keys of accounts that are no longer the program's.
    pub closed: Vec<Vec<u8>>,
    pub info: SubscribeUpdateTransactionInfo,
    /// Unix time.
    pub seconds: i64,
    /// Number of the program's events.
    pub events: u64,
}

impl RecordedTransaction {
    /// The events that the program emitted.
    pub fn decoded_events(&self) -> impl Iterator<Item = Event> {
        events(&self.info).filter_map(Result::ok)
    }
}

#[derive(Default)]
pub struct Recording {
    pub summary: Summary,
    pub transactions: Vec<RecordedTransaction>,
}

impl Recording {
    /// Reads the recording of a seed with at least `transactions` transactions from a folder. Records it
    /// if it is missing.
    pub fn load_or_record(folder: &Path, seed: u64, transactions: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{seed}-{transactions}.pb"));
        let summary_file = file.with_extension("json");
        if !summary_file.exists() {
            eprintln!(
                "recording {transactions} transactions into {}",
                file.display()
            );
            let summary = load::record(&file, seed, transactions)?;
            // Last, because it marks the recording as complete.
            fs::write(&summary_file, serde_json::to_vec_pretty(&summary)?)?;
        }
        let summary = serde_json::from_slice(&fs::read(&summary_file)?)?;
        Self::read(&file, summary)
    }

    /// Records random actions in which every kind of event happens, in a new file of the folder.
    pub fn of_every_kind(folder: &Path, seed: u64) -> anyhow::Result<Self> {
        let file = folder.join(format!("{seed}.pb"));
        let summary = actions::record(&file, seed)?;
        Self::read(&file, summary)
    }

    fn read(file: &Path, summary: Summary) -> anyhow::Result<Self> {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        Ok(Self {
            summary,
            transactions: decode(&bytes)?,
        })
    }

    /// The program's accounts after the first `transactions` transactions.
    pub fn accounts(&self, transactions: usize) -> HashMap<&[u8], &SubscribeUpdateAccountInfo> {
        let mut accounts = HashMap::new();
        for transaction in &self.transactions[..transactions] {
            for key in &transaction.closed {
                accounts.remove(&key[..]);
            }
            for account in &transaction.accounts {
                accounts.insert(&account.pubkey[..], account);
            }
        }
        accounts
    }
}

fn decode(mut bytes: &[u8]) -> anyhow::Result<Vec<RecordedTransaction>> {
    let mut transactions = vec![];
    let mut accounts: Vec<SubscribeUpdateAccountInfo> = vec![];
    let mut open = HashSet::new();
    while !bytes.is_empty() {
        let update = SubscribeUpdate::decode_length_delimited(&mut bytes)?;
        let seconds = update.created_at.map_or(0, |time| time.seconds);
        match update.update_oneof {
            Some(UpdateOneof::Account(update)) => accounts.extend(update.account),
            Some(UpdateOneof::Transaction(update)) => {
                let info = update.transaction.context("a transaction is empty")?;
                let accounts = std::mem::take(&mut accounts);
                // The recorder has no update of an account that isn't the program's.
                open.extend(accounts.iter().map(|account| account.pubkey.clone()));
                let is_written =
                    |key: &&[u8]| accounts.iter().any(|account| account.pubkey == *key);
                let others = writable_keys(&info).filter(|key| !is_written(key));
                transactions.push(RecordedTransaction {
                    closed: others.filter_map(|key| open.take(key)).collect(),
                    accounts,
                    events: count_events(&info),
                    info,
                    seconds,
                });
            }
            other => anyhow::bail!("unexpected {other:?}; delete the recording"),
        }
    }
    Ok(transactions)
}

fn count_events(info: &SubscribeUpdateTransactionInfo) -> u64 {
    events(info).count() as u64
}

fn events(
    info: &SubscribeUpdateTransactionInfo,
) -> impl Iterator<Item = Result<Event, DecodeError>> {
    let message = info.transaction.iter().flat_map(|t| &t.message);
    let keys: Vec<_> = message.flat_map(|message| &message.account_keys).collect();
    let inner = info.meta.iter().flat_map(|meta| &meta.inner_instructions);
    let inner = inner.flat_map(|inner| &inner.instructions);
    inner.filter_map(move |inner| {
        let program = keys.get(inner.program_id_index as usize)?;
        if program[..] != *ID.as_ref() {
            return None;
        }
        Event::decode_inner_instruction(&inner.data)
    })
}

fn writable_keys(info: &SubscribeUpdateTransactionInfo) -> impl Iterator<Item = &[u8]> {
    let message = info.transaction.as_ref().and_then(|t| t.message.as_ref());
    message.into_iter().flat_map(|message| {
        let header = message.header.unwrap_or_default();
        let signers = header.num_required_signatures as usize;
        let others = message.account_keys.len() - header.num_readonly_unsigned_accounts as usize;
        let writable_signers = signers - header.num_readonly_signed_accounts as usize;
        let is_writable = move |index: &usize| *index < writable_signers || signers <= *index;
        let indexes = (0..others).filter(is_writable);
        indexes.map(|index| &message.account_keys[index][..])
    })
}
