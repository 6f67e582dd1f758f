//! A recording in memory.

use std::{fs, path::Path};

use anyhow::Context;
use driftshield_sdk::{Event, ID};
use yellowstone_grpc_proto::{
    prelude::{
        SubscribeUpdate, SubscribeUpdateAccountInfo, SubscribeUpdateTransactionInfo,
        subscribe_update::UpdateOneof,
    },
    prost::Message as _,
};

use super::load::{self, Summary};

/// A transaction, and the program's accounts that it may have written.
pub struct RecordedTransaction {
    pub accounts: Vec<SubscribeUpdateAccountInfo>,
    pub info: SubscribeUpdateTransactionInfo,
    /// Unix time.
    pub seconds: i64,
    /// Number of the program's events.
    pub events: u64,
}

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
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        Ok(Self {
            summary,
            transactions: decode(&bytes)?,
        })
    }
}

fn decode(mut bytes: &[u8]) -> anyhow::Result<Vec<RecordedTransaction>> {
    let mut transactions = vec![];
    let mut accounts = vec![];
    while !bytes.is_empty() {
        let update = SubscribeUpdate::decode_length_delimited(&mut bytes)?;
        let seconds = update.created_at.map_or(0, |time| time.seconds);
        match update.update_oneof {
            Some(UpdateOneof::Account(update)) => accounts.extend(update.account),
            Some(UpdateOneof::Transaction(update)) => {
                let info = update.transaction.context("a transaction is empty")?;
                transactions.push(RecordedTransaction {
                    accounts: std::mem::take(&mut accounts),
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
    let message = info.transaction.iter().flat_map(|t| &t.message);
    let keys: Vec<_> = message.flat_map(|message| &message.account_keys).collect();
    let inner = info.meta.iter().flat_map(|meta| &meta.inner_instructions);
    let events = inner.flat_map(|inner| &inner.instructions).filter(|inner| {
        let program = keys.get(inner.program_id_index as usize);
        program.is_some_and(|key| key[..] == *ID.as_ref())
            && Event::decode_inner_instruction(&inner.data).is_some()
    });
    events.count() as u64
}
