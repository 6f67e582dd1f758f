//! The transactions of a recording in slots, as far as they are confirmed.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex},
    time::Instant,
};

use anchor_lang::hash::sha256;
use tokio::sync::watch;
use yellowstone_grpc_proto::prelude::{
    BlockHeight, SlotStatus, SubscribeUpdate, SubscribeUpdateAccount, SubscribeUpdateBlockMeta,
    SubscribeUpdateSlot, SubscribeUpdateTransaction, UnixTimestamp, subscribe_update::UpdateOneof,
};

use super::recording::Recording;

/// Number of the first slot.
pub const FIRST_SLOT: u64 = 1_000;
/// Slots after which a slot is finalized.
const FINALITY: u64 = 32;

/// A slot of the chain.
#[derive(Clone)]
pub struct Slot {
    /// Its transactions in the recording.
    pub transactions: Range<usize>,
    /// Number of events of the chain up to and including the slot.
    pub events: u64,
    /// When a server sent its block metadata for the first time.
    pub sealed_at: Option<Instant>,
}

pub struct Chain {
    pub recording: Arc<Recording>,
    slots: Mutex<Vec<Slot>>,
    /// Number of confirmed slots.
    pub confirmed: watch::Sender<u64>,
    /// Whether servers refuse clients.
    pub is_down: watch::Sender<bool>,
    /// Number of subscriptions so far.
    pub subscriptions: watch::Sender<u64>,
}

impl Chain {
    pub fn new(recording: Arc<Recording>) -> Self {
        Self {
            recording,
            slots: Mutex::default(),
            confirmed: watch::Sender::new(0),
            is_down: watch::Sender::new(false),
            subscriptions: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().expect("no holder panics")
    }

    pub fn slots(&self) -> Vec<Slot> {
        self.lock().clone()
    }

    pub fn last(&self) -> Option<Slot> {
        self.lock().last().cloned()
    }

    /// Newest confirmed slot; the one before the first if there is none.
    pub fn tip(&self) -> u64 {
        FIRST_SLOT - 1 + *self.confirmed.borrow()
    }

    /// Number of transactions that are not in a slot yet.
    pub fn left(&self) -> usize {
        let used = self.last().map_or(0, |slot| slot.transactions.end);
        self.recording.transactions.len() - used
    }

    /// Confirms `count` slots of up to `transactions` transactions each, as far as the recording goes.
    pub fn confirm(&self, count: usize, transactions: usize) {
        let mut slots = self.lock();
        let all = &self.recording.transactions;
        for _ in 0..count {
            let (start, events) = slots
                .last()
                .map_or((0, 0), |slot| (slot.transactions.end, slot.events));
            let end = all.len().min(start + transactions);
            if start == end {
                break;
            }
            let own: u64 = all[start..end].iter().map(|each| each.events).sum();
            slots.push(Slot {
                transactions: start..end,
                events: events + own,
                sealed_at: None,
            });
        }
        self.confirmed.send_replace(slots.len() as u64);
    }

    /// Notes that a slot's block metadata is sent now.
    pub fn note_sealed(&self, index: u64) {
        let mut slots = self.lock();
        slots[index as usize]
            .sealed_at
            .get_or_insert_with(Instant::now);
    }

    /// Last updates of the accounts in a slot, as indexes of a transaction and an account. Like the
    /// Yellowstone plugin at confirmed commitment, a server sends no others.
    pub fn last_updates(&self, transactions: Range<usize>) -> Vec<(usize, usize)> {
        let mut last = HashMap::new();
        let mut updates = vec![];
        for index in transactions {
            let accounts = &self.recording.transactions[index].accounts;
            for (place, account) in accounts.iter().enumerate() {
                if let Some(earlier) = last.insert(&account.pubkey, updates.len()) {
                    updates[earlier] = None;
                }
                updates.push(Some((index, place)));
            }
        }
        updates.into_iter().flatten().collect()
    }

    /// The accounts and transactions of the slot with this index.
    pub fn content(&self, index: u64) -> Vec<SubscribeUpdate> {
        let transactions = self.lock()[index as usize].transactions.clone();
        let slot = FIRST_SLOT + index;
        let recorded = &self.recording.transactions;
        let accounts =
            self.last_updates(transactions.clone())
                .into_iter()
                .map(|(transaction, account)| {
                    UpdateOneof::Account(SubscribeUpdateAccount {
                        account: Some(recorded[transaction].accounts[account].clone()),
                        slot,
                        is_startup: false,
                        bank_id: Some(slot),
                    })
                });
        let transactions = recorded[transactions].iter().enumerate();
        let transactions = transactions.map(|(place, transaction)| {
            let mut info = transaction.info.clone();
            info.index = place as u64;
            UpdateOneof::Transaction(SubscribeUpdateTransaction {
                transaction: Some(info),
                slot,
                bank_id: slot,
            })
        });
        accounts.chain(transactions).map(update).collect()
    }

    /// The metadata that seals the slot with this index.
    pub fn block_meta(&self, index: u64) -> SubscribeUpdate {
        let transactions = self.lock()[index as usize].transactions.clone();
        let last = &self.recording.transactions[transactions.end - 1];
        let time = UnixTimestamp {
            timestamp: last.seconds,
        };
        block_meta(FIRST_SLOT + index, Some(time), transactions.len() as u64)
    }

    /// The metadata of the empty block before the first slot.
    pub fn base_meta() -> SubscribeUpdate {
        block_meta(FIRST_SLOT - 1, None, 0)
    }

    /// The statuses that are reported after the slot with this index.
    pub fn statuses(&self, index: u64) -> Vec<SubscribeUpdate> {
        let slot = FIRST_SLOT + index;
        let mut statuses = vec![status(slot, SlotStatus::SlotConfirmed)];
        if FIRST_SLOT + FINALITY <= slot {
            statuses.push(status(slot - FINALITY, SlotStatus::SlotFinalized));
        }
        statuses
    }
}

fn status(slot: u64, status: SlotStatus) -> SubscribeUpdate {
    update(UpdateOneof::Slot(SubscribeUpdateSlot {
        slot,
        parent: Some(slot - 1),
        status: status.into(),
        dead_error: None,
        bank_id: Some(slot),
    }))
}

fn block_meta(
    slot: u64,
    block_time: Option<UnixTimestamp>,
    executed_transaction_count: u64,
) -> SubscribeUpdate {
    update(UpdateOneof::BlockMeta(SubscribeUpdateBlockMeta {
        slot,
        blockhash: blockhash(slot),
        rewards: None,
        block_time,
        block_height: Some(BlockHeight { block_height: slot }),
        parent_slot: slot - 1,
        parent_blockhash: blockhash(slot - 1),
        executed_transaction_count,
        entries_count: 0,
        bank_id: slot,
    }))
}

fn update(update: UpdateOneof) -> SubscribeUpdate {
    SubscribeUpdate {
        filters: vec!["driftshield".to_owned()],
        update_oneof: Some(update),
        created_at: None,
    }
}

pub fn blockhash(slot: u64) -> String {
    bs58::encode(sha256(&slot.to_le_bytes())).into_string()
}

#[cfg(test)]
mod tests {
    use yellowstone_grpc_proto::prelude::SubscribeUpdateAccountInfo;

    use super::*;
    use crate::ingest::{load::Summary, recording::RecordedTransaction};

    /// A transaction with one event that writes these accounts.
    fn transaction(keys: &[u8]) -> RecordedTransaction {
        let account = |key: &u8| SubscribeUpdateAccountInfo {
            pubkey: vec![*key; 32],
            ..Default::default()
        };
        RecordedTransaction {
            accounts: keys.iter().map(account).collect(),
            info: Default::default(),
            seconds: 0,
            events: 1,
        }
    }

    fn chain(transactions: Vec<RecordedTransaction>) -> Chain {
        let summary = Summary {
            seed: 0,
            transactions: transactions.len() as u64,
            account_updates: 0,
            events: 0,
            event_kinds: 0,
            markets: 0,
            positions: 0,
            busy_from: 0,
        };
        Chain::new(Arc::new(Recording {
            summary,
            transactions,
        }))
    }

    #[test]
    fn a_slot_has_the_last_update_of_each_account() {
        let chain = chain(vec![
            transaction(&[1, 2]),
            transaction(&[2, 3]),
            transaction(&[1]),
        ]);
        assert_eq!(chain.last_updates(0..3), [(1, 0), (1, 1), (2, 0)]);
        assert_eq!(chain.last_updates(0..1), [(0, 0), (0, 1)]);
    }

    #[test]
    fn slots_take_the_transactions_in_order_until_none_is_left() {
        let chain = chain((0..5).map(|_| transaction(&[1])).collect());
        chain.confirm(1, 2);
        chain.confirm(usize::MAX, 2);
        let slots = chain.slots();
        let ends = slots
            .iter()
            .map(|slot| (slot.transactions.clone(), slot.events));
        assert_eq!(ends.collect::<Vec<_>>(), [(0..2, 2), (2..4, 4), (4..5, 5)]);
        assert_eq!((chain.tip(), chain.left()), (FIRST_SLOT + 2, 0));
    }

    #[test]
    fn each_block_names_the_one_before_as_its_parent() {
        let chain = chain((0..2).map(|_| transaction(&[1])).collect());
        chain.confirm(2, 1);
        let [first, second] = [0, 1].map(|index| match chain.block_meta(index).update_oneof {
            Some(UpdateOneof::BlockMeta(meta)) => meta,
            other => panic!("{other:?}"),
        });
        assert_eq!(second.parent_slot, first.slot);
        assert_eq!(second.parent_blockhash, first.blockhash);
    }
}
