//! The messages by which a Yellowstone server sends a [`Chain`].

use yellowstone_grpc_proto::prelude::{
    BlockHeight, SlotStatus, SubscribeUpdate, SubscribeUpdateAccount, SubscribeUpdateBlockMeta,
    SubscribeUpdateSlot, SubscribeUpdateTransaction, UnixTimestamp, subscribe_update::UpdateOneof,
};

use super::chain::{Block, Chain, FIRST_SLOT, Slot};

/// Bits of a write version that number the writes of a block.
const WRITE_BITS: u32 = 24;

impl Chain {
    /// The accounts and transactions of the slot with this index.
    pub fn content(&self, index: u64) -> Vec<SubscribeUpdate> {
        let Slot {
            block,
            transactions,
            ..
        } = self.slot(index);
        let Block { slot, bank } = block;
        let recorded = &self.recording.transactions;
        let accounts = (0..).zip(self.last_updates(transactions.clone()));
        let accounts = accounts.map(|(place, (transaction, account))| {
            let mut account = recorded[transaction].accounts[account].clone();
            // A node numbers the writes of a fork after those of the dropped slots.
            account.write_version = bank << WRITE_BITS | place;
            UpdateOneof::Account(SubscribeUpdateAccount {
                account: Some(account),
                slot,
                is_startup: false,
                bank_id: Some(bank),
            })
        });
        let transactions = recorded[transactions].iter().enumerate();
        let transactions = transactions.map(|(place, transaction)| {
            let mut info = transaction.info.clone();
            info.index = place as u64;
            UpdateOneof::Transaction(SubscribeUpdateTransaction {
                transaction: Some(info),
                slot,
                bank_id: bank,
            })
        });
        accounts.chain(transactions).map(update).collect()
    }

    /// The metadata that seals the slot with this index.
    pub fn block_meta(&self, index: u64) -> SubscribeUpdate {
        let slot = self.slot(index);
        // A slot without transactions has the time of the one before.
        let last = slot.transactions.end.saturating_sub(1);
        let last = self.recording.transactions.get(last);
        let time = last.map(|transaction| UnixTimestamp {
            timestamp: transaction.seconds,
        });
        let transactions = slot.transactions.len() as u64;
        block_meta(slot.block, slot.parent, time, transactions)
    }

    /// The metadata of the empty block before the first slot.
    pub fn base_meta() -> SubscribeUpdate {
        block_meta(Block::BASE, Block::unforked(FIRST_SLOT - 2), None, 0)
    }

    /// The statuses that are reported after the slot with this index.
    pub fn statuses(&self, index: u64) -> Vec<SubscribeUpdate> {
        let slot = self.slot(index);
        let finalized = slot.finalized.into_iter();
        let finalized = finalized.map(|slot| status(slot, SlotStatus::SlotFinalized));
        [status(slot.block.slot, SlotStatus::SlotConfirmed)]
            .into_iter()
            .chain(finalized)
            .collect()
    }
}

fn status(slot: u64, status: SlotStatus) -> SubscribeUpdate {
    update(UpdateOneof::Slot(SubscribeUpdateSlot {
        slot,
        status: status.into(),
        ..Default::default()
    }))
}

fn block_meta(
    block: Block,
    parent: Block,
    block_time: Option<UnixTimestamp>,
    executed_transaction_count: u64,
) -> SubscribeUpdate {
    update(UpdateOneof::BlockMeta(SubscribeUpdateBlockMeta {
        slot: block.slot,
        blockhash: block.hash(),
        rewards: None,
        block_time,
        block_height: Some(BlockHeight {
            block_height: block.slot,
        }),
        parent_slot: parent.slot,
        parent_blockhash: parent.hash(),
        executed_transaction_count,
        entries_count: 0,
        bank_id: block.bank,
    }))
}

fn update(update: UpdateOneof) -> SubscribeUpdate {
    SubscribeUpdate {
        filters: vec!["driftshield".to_owned()],
        update_oneof: Some(update),
        created_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::chain::tests::{chain, transaction};

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
