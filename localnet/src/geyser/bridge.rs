//! Collects Geyser events into sealed slots.

use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

use crossbeam_channel::Receiver;
use surfpool_core::surfnet::{GeyserBlockMetadata, GeyserEvent, GeyserSlotStatus};
use yellowstone_grpc_proto::{
    geyser::{
        SubscribeUpdateAccountInfo, SubscribeUpdateBlockMeta, SubscribeUpdateTransactionInfo,
    },
    solana::storage::confirmed_block::{BlockHeight, UnixTimestamp},
};

use super::{convert, faults::node::NodeFaults, feed::SealedSlot};

/// Processes events until Surfpool ends.
///
/// Surfpool blocks while its channel is full, so the bridge never waits for subscribers: a slow
/// subscriber loses events instead.
pub fn run(events: Receiver<GeyserEvent>, mut node: NodeFaults) {
    let mut bridge = Bridge::default();
    for event in events {
        bridge.apply(event, &mut node);
    }
}

#[derive(Default)]
struct Bridge {
    /// Content of slots that are not sealed yet, by slot.
    open: BTreeMap<u64, OpenSlot>,
    /// Parent of the next sealed slot.
    last_block: Option<Block>,
    /// Number of sealed slots, which serves as bank id.
    bank_id: u64,
}

#[derive(Default)]
struct OpenSlot {
    accounts: Vec<SubscribeUpdateAccountInfo>,
    transactions: Vec<SubscribeUpdateTransactionInfo>,
}

struct Block {
    slot: u64,
    blockhash: String,
}

impl Bridge {
    fn apply(&mut self, event: GeyserEvent, node: &mut NodeFaults) {
        match event {
            GeyserEvent::UpdateAccount(update) => {
                let open = self.open.entry(update.slot).or_default();
                open.accounts.push(convert::account(update));
            }
            GeyserEvent::NotifyTransaction(event) => {
                let slot = event.transaction_with_status_meta.slot;
                match convert::transaction(&event) {
                    Ok(transaction) => {
                        let open = self.open.entry(slot).or_default();
                        open.transactions.push(transaction);
                    }
                    Err(error) => tracing::error!(slot, %error, "transaction skipped"),
                }
            }
            GeyserEvent::NotifyBlockMetadata(block) => {
                let sealed = self.seal(block);
                node.confirm(sealed);
            }
            GeyserEvent::UpdateSlotStatus {
                slot,
                status: GeyserSlotStatus::Rooted,
                ..
            } => node.finalize(slot),
            // The status `Confirmed` adds nothing: the block metadata, which follows it, seals the
            // slot. There are no startup events, because Surfpool starts with an empty chain.
            GeyserEvent::UpdateSlotStatus { .. }
            | GeyserEvent::StartupAccountUpdate(_)
            | GeyserEvent::EndOfStartup
            | GeyserEvent::NotifyEntry(_) => {}
        }
    }

    fn seal(&mut self, block: GeyserBlockMetadata) -> SealedSlot {
        let open = self.open.remove(&block.slot).unwrap_or_default();
        let later = self.open.split_off(&block.slot);
        for slot in std::mem::replace(&mut self.open, later).into_keys() {
            tracing::error!(slot, "slot skipped: it has content but no block");
        }
        // Not `block.parent_slot`, which may be a slot without a block: the parent is the slot that
        // was sealed last.
        let parent = self.last_block.replace(Block {
            slot: block.slot,
            blockhash: block.blockhash.clone(),
        });
        let (parent_slot, parent_blockhash) = match parent {
            Some(parent) => (parent.slot, parent.blockhash),
            None => (block.parent_slot, block.parent_blockhash),
        };
        self.bank_id += 1;
        SealedSlot {
            slot: block.slot,
            accounts: last_writes(open.accounts),
            transactions: open.transactions,
            meta: SubscribeUpdateBlockMeta {
                slot: block.slot,
                blockhash: block.blockhash,
                rewards: None,
                block_time: block
                    .block_time
                    .map(|timestamp| UnixTimestamp { timestamp }),
                block_height: block
                    .block_height
                    .map(|block_height| BlockHeight { block_height }),
                parent_slot,
                parent_blockhash,
                executed_transaction_count: block.executed_transaction_count,
                entries_count: block.entry_count,
                bank_id: self.bank_id,
            },
            created_at: SystemTime::now().into(),
        }
    }
}

/// Returns the last write of each account, ordered by write version.
fn last_writes(writes: Vec<SubscribeUpdateAccountInfo>) -> Vec<SubscribeUpdateAccountInfo> {
    let mut last: HashMap<Vec<u8>, SubscribeUpdateAccountInfo> = HashMap::new();
    for write in writes {
        match last.get(&write.pubkey) {
            Some(known) if known.write_version > write.write_version => {}
            _ => {
                last.insert(write.pubkey.clone(), write);
            }
        }
    }
    let mut last: Vec<_> = last.into_values().collect();
    last.sort_by_key(|write| write.write_version);
    last
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::geyser::{faults::Faults, feed::Feed, test_data::account};

    fn block(slot: u64, parent_slot: u64) -> GeyserEvent {
        GeyserEvent::NotifyBlockMetadata(GeyserBlockMetadata {
            slot,
            blockhash: format!("hash of {slot}"),
            parent_slot,
            parent_blockhash: format!("hash of {parent_slot}"),
            block_time: Some(1_700_000_000),
            block_height: Some(slot),
            executed_transaction_count: 0,
            entry_count: 1,
        })
    }

    fn bridge_with_feed() -> (Bridge, NodeFaults, Arc<Feed>) {
        let feed = Arc::<Feed>::default();
        let node = NodeFaults::new(Faults::new(Arc::clone(&feed)));
        (Bridge::default(), node, feed)
    }

    #[test]
    fn only_the_last_write_of_an_account_is_kept() {
        let writes = [(1, 1), (2, 2), (1, 3), (3, 4)];
        let writes = writes.map(|(key, version)| SubscribeUpdateAccountInfo {
            write_version: version,
            ..account(key, 9)
        });
        let last: Vec<_> = last_writes(writes.to_vec())
            .iter()
            .map(|write| (write.pubkey[0], write.write_version))
            .collect();
        assert_eq!(last, [(2, 2), (1, 3), (3, 4)]);
    }

    #[test]
    fn the_parent_is_the_last_sealed_slot() {
        let (mut bridge, mut node, feed) = bridge_with_feed();
        bridge.apply(block(31, 30), &mut node);
        bridge.apply(block(50, 49), &mut node);
        let last = feed.last_confirmed().unwrap();
        assert_eq!(last.meta.parent_slot, 31);
        assert_eq!(last.meta.parent_blockhash, "hash of 31");
        assert_eq!(last.meta.bank_id, 2);
    }

    #[test]
    fn the_content_of_a_slot_is_sealed_with_its_block() {
        let (mut bridge, mut node, feed) = bridge_with_feed();
        let open = bridge.open.entry(31).or_default();
        open.accounts.push(account(1, 9));
        bridge.apply(block(31, 30), &mut node);
        bridge.apply(block(32, 31), &mut node);
        let replay = feed.subscribe(Some(31)).unwrap().replay;
        let accounts = replay.iter().map(|event| event.slot().accounts.len());
        assert_eq!(accounts.collect::<Vec<_>>(), [1, 0]);
    }
}
