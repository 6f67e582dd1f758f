//! The transactions of a recording in slots, as far as they are confirmed.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex},
    time::Instant,
};

use anchor_lang::hash::sha256;
use tokio::sync::watch;

use super::recording::Recording;

/// Number of the first slot.
pub const FIRST_SLOT: u64 = 1_000;
/// Number of slots after which a slot is final.
pub const FINALITY: usize = 32;

/// A block of a slot. A slot whose block is dropped can have another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    pub slot: u64,
    /// Tells the blocks of a slot apart; rises from each block that a server sends to the next.
    pub bank: u64,
}

impl Block {
    /// The empty block before the first slot.
    pub const BASE: Self = Self::unforked(FIRST_SLOT - 1);

    /// The only block of a slot.
    pub const fn unforked(slot: u64) -> Self {
        Self { slot, bank: slot }
    }

    pub fn hash(self) -> String {
        bs58::encode(sha256(&self.bank.to_le_bytes())).into_string()
    }
}

/// A slot that is to be confirmed.
#[derive(Clone, Debug)]
pub struct NextSlot {
    pub block: Block,
    pub parent: Block,
    /// Its transactions in the recording.
    pub transactions: Range<usize>,
}

/// A slot that was confirmed.
#[derive(Clone)]
pub struct Slot {
    pub block: Block,
    pub parent: Block,
    /// Its transactions in the recording.
    pub transactions: Range<usize>,
    /// Newest slot that is final once this one is confirmed.
    pub finalized: Option<u64>,
    /// Number of events of the chain up to and including the slot.
    pub events: u64,
    /// When a server sent its block metadata for the first time.
    pub sealed_at: Option<Instant>,
}

pub struct Chain {
    pub recording: Arc<Recording>,
    /// In the order in which they were confirmed. One whose parent is not the slot before it drops the
    /// slots after its parent.
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

    /// The block that was confirmed last; the one before the first if there is none.
    pub fn tip(&self) -> Block {
        self.last().map_or(Block::BASE, |slot| slot.block)
    }

    /// The slot that was confirmed last, and the number of transactions on the chain then.
    pub fn progress(&self) -> (u64, usize) {
        self.last().map_or((Block::BASE.slot, 0), |last| {
            (last.block.slot, last.transactions.end)
        })
    }

    /// The slots that were not dropped, in order.
    pub fn line(&self) -> Vec<Slot> {
        let slots = self.lock();
        let Some(last) = slots.last() else {
            return vec![];
        };
        let mut line: Vec<_> = line(&slots, last.block).cloned().collect();
        line.reverse();
        line
    }

    /// The block of a slot, unless it was dropped.
    pub fn block(&self, slot: u64) -> Option<Block> {
        let line = self.line().into_iter().map(|slot| slot.block);
        let mut blocks = line.chain([Block::BASE]);
        blocks.find(|block| block.slot == slot)
    }

    /// Index of the first slot to send to a client that is at `slot`: that of its newest block.
    pub fn index_of(&self, slot: u64) -> u64 {
        let slots = self.lock();
        let newest = slots.iter().rposition(|sent| sent.block.slot == slot);
        let after_earlier = || {
            let earlier = slots.iter().rposition(|sent| sent.block.slot < slot);
            earlier.map(|index| index + 1)
        };
        newest.or_else(after_earlier).unwrap_or(0) as u64
    }

    /// Number of transactions that are not in a slot yet.
    pub fn left(&self) -> usize {
        let (_, used) = self.progress();
        self.recording.transactions.len() - used
    }

    /// Confirms `count` slots of up to `transactions` transactions each, as far as the recording goes.
    pub fn confirm(&self, count: usize, transactions: usize) {
        let all = self.recording.transactions.len();
        let (mut parent, mut start) = self
            .last()
            .map_or((Block::BASE, 0), |last| (last.block, last.transactions.end));
        let next = std::iter::from_fn(|| {
            let end = all.min(start + transactions);
            let slot = NextSlot {
                block: Block::unforked(parent.slot + 1),
                parent,
                transactions: start..end,
            };
            let has_any = start < end;
            (parent, start) = (slot.block, end);
            has_any.then_some(slot)
        });
        self.confirm_all(next.take(count));
    }

    /// Confirms a slot without transactions.
    pub fn confirm_empty(&self) {
        let (parent, (_, used)) = (self.tip(), self.progress());
        self.confirm_all([NextSlot {
            block: Block::unforked(parent.slot + 1),
            parent,
            transactions: used..used,
        }]);
    }

    /// Confirms these slots, in this order.
    pub fn confirm_all(&self, next: impl IntoIterator<Item = NextSlot>) {
        let mut slots = self.lock();
        for slot in next {
            let slot = self.confirmed(&slots, slot);
            slots.push(slot);
        }
        self.confirmed.send_replace(slots.len() as u64);
    }

    fn confirmed(&self, slots: &[Slot], next: NextSlot) -> Slot {
        let NextSlot {
            block,
            parent,
            transactions,
        } = next;
        let own = self.recording.transactions[transactions.clone()].iter();
        let own: u64 = own.map(|each| each.events).sum();
        let before = line(slots, parent).next().map_or(0, |slot| slot.events);
        let finalized = line(slots, parent).nth(FINALITY - 1);
        Slot {
            finalized: finalized.map(|slot| slot.block.slot),
            block,
            parent,
            transactions,
            events: before + own,
            sealed_at: None,
        }
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
            let transaction = &self.recording.transactions[index];
            // The last update of a closed account names another owner, whose accounts nobody asks for.
            for key in &transaction.closed {
                if let Some(earlier) = last.remove(key) {
                    updates[earlier] = None;
                }
            }
            for (place, account) in transaction.accounts.iter().enumerate() {
                if let Some(earlier) = last.insert(&account.pubkey, updates.len()) {
                    updates[earlier] = None;
                }
                updates.push(Some((index, place)));
            }
        }
        updates.into_iter().flatten().collect()
    }

    /// The slot with this index.
    pub fn slot(&self, index: u64) -> Slot {
        self.lock()[index as usize].clone()
    }
}

/// The slot with the block `last` and its ancestors, newest first.
fn line(slots: &[Slot], last: Block) -> impl Iterator<Item = &Slot> {
    let mut next = last;
    let mut newest_first = slots.iter().rev();
    std::iter::from_fn(move || {
        let slot = newest_first.find(|slot| slot.block == next)?;
        next = slot.parent;
        Some(slot)
    })
}

#[cfg(test)]
pub mod tests {
    use yellowstone_grpc_proto::prelude::SubscribeUpdateAccountInfo;

    use super::*;
    use crate::ingest::{load::Summary, recording::RecordedTransaction};

    /// A transaction with one event that writes these accounts.
    pub fn transaction(keys: &[u8]) -> RecordedTransaction {
        let account = |key: &u8| SubscribeUpdateAccountInfo {
            pubkey: vec![*key; 32],
            ..Default::default()
        };
        RecordedTransaction {
            accounts: keys.iter().map(account).collect(),
            closed: vec![],
            info: Default::default(),
            seconds: 0,
            events: 1,
        }
    }

    pub fn chain(transactions: Vec<RecordedTransaction>) -> Chain {
        Chain::new(Arc::new(Recording {
            summary: Summary::default(),
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
    fn a_slot_has_no_update_of_an_account_that_is_closed_in_it() {
        let closing = RecordedTransaction {
            closed: vec![vec![1; 32]],
            ..transaction(&[])
        };
        let again = transaction(&[1]);
        let chain = chain(vec![transaction(&[1, 2]), closing, again]);
        assert_eq!(chain.last_updates(0..2), [(0, 1)]);
        assert_eq!(chain.last_updates(0..3), [(0, 1), (2, 0)]);
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
        assert_eq!((chain.tip().slot, chain.left()), (FIRST_SLOT + 2, 0));
    }

    #[test]
    fn a_fork_drops_the_slots_after_its_ancestor() {
        let chain = chain((0..9).map(|_| transaction(&[1])).collect());
        chain.confirm(2, 1);
        let slots = chain.slots();
        let sibling = Block {
            bank: 9_000,
            ..slots[1].block
        };
        chain.confirm_all([NextSlot {
            block: sibling,
            parent: slots[0].block,
            transactions: 1..4,
        }]);
        let line = chain.line().into_iter();
        let line: Vec<_> = line.map(|slot| (slot.block, slot.events)).collect();
        assert_eq!(line, [(slots[0].block, 1), (sibling, 4)]);
        assert_eq!(chain.block(sibling.slot), Some(sibling));
        assert_ne!(sibling.hash(), slots[1].block.hash());
        // A client that is at the sibling needs none of the dropped slots.
        let asked = [FIRST_SLOT - 1, FIRST_SLOT, sibling.slot, sibling.slot + 1];
        assert_eq!(asked.map(|slot| chain.index_of(slot)), [0, 0, 2, 3]);
    }

    #[test]
    fn slots_are_final_after_enough_of_their_own_chain() {
        let chain = chain((0..60).map(|_| transaction(&[1])).collect());
        chain.confirm(FINALITY + 2, 1);
        let finalized = chain.slots().into_iter().map(|slot| slot.finalized);
        let finalized: Vec<_> = finalized.flatten().collect();
        assert_eq!(finalized, [FIRST_SLOT, FIRST_SLOT + 1]);
        let slots = chain.slots();
        chain.confirm_all([NextSlot {
            block: Block {
                slot: 5_000,
                bank: 5_000,
            },
            parent: slots[FINALITY - 1].block,
            transactions: FINALITY..FINALITY,
        }]);
        assert_eq!(
            chain.last().and_then(|slot| slot.finalized),
            Some(FIRST_SLOT)
        );
    }
}
