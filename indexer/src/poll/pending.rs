//! Blocks that are not sent yet, with what is known of the accounts that they touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use driftshield_sdk::{Account, Address};

use crate::{
    lives::RPC_VERSION,
    rpc::{AccountsAt, Blockhashes},
    slot::{AccountWrite, Blockhash, JoinedSlots, SealedSlot},
};

/// A block, and the lamports of the accounts that it may have changed, at its end.
pub struct PendingBlock {
    pub sealed: SealedSlot,
    pub touched: BTreeMap<Address, u64>,
}

/// Blocks that follow each other, and accounts that were read after some of them.
#[derive(Default)]
pub struct Pending {
    blocks: Vec<PendingBlock>,
    /// Hashes of these blocks and of those before them by slot, as far back as the accounts are.
    hashes: BTreeMap<i64, Blockhash>,
    shown: BTreeMap<Address, Shown>,
}

/// What a node showed of an account.
struct Shown {
    /// It has all writes up to the end of this slot.
    from: i64,
    /// It has no write after the block that follows this slot.
    to: i64,
    /// The node's blocks of these slots and of others that it answered with.
    hashes: Arc<Blockhashes>,
    /// `None` if the program has no such account.
    data: Option<Vec<u8>>,
}

impl Pending {
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The newest slot.
    pub fn newest(&self) -> Option<i64> {
        self.blocks.last().map(|block| block.sealed.slot)
    }

    /// Whether a block may have changed an account.
    pub fn touches(&self, address: &Address) -> bool {
        touch(&self.blocks, address)
    }

    /// Adds the next block. Returns whether it is the child of the newest one.
    #[must_use]
    pub fn push(&mut self, block: PendingBlock) -> bool {
        let last = self.blocks.last();
        let is_linked = last.is_none_or(|last| block.sealed.is_child_of(&last.sealed));
        if is_linked {
            self.hashes
                .insert(block.sealed.slot, block.sealed.blockhash);
            self.blocks.push(block);
        }
        is_linked
    }

    /// Accounts to be read. Those that were read after the newest block wait for the next one.
    pub fn unread(&self) -> BTreeSet<Address> {
        let newest = self.newest().unwrap_or_default();
        let waits = |address: &Address| {
            let shown = self.shown.get(address);
            shown.is_some_and(|shown| newest <= shown.to)
        };
        let touched = self.blocks.iter().flat_map(|block| block.touched.keys());
        touched.copied().filter(|address| !waits(address)).collect()
    }

    /// Takes note of what a node showed of the accounts that it was `asked` for.
    pub fn show(&mut self, asked: BTreeSet<Address>, found: AccountsAt, hashes: Blockhashes) {
        let hashes = Arc::new(hashes);
        let (from, to) = (found.slot(), found.newest_slot());
        let shown = |data| Shown {
            from,
            to,
            hashes: Arc::clone(&hashes),
            data,
        };
        let absent = asked.into_iter().map(|address| (address, shown(None)));
        self.shown.extend(absent);
        let found = found.accounts.into_iter();
        let found = found.map(|account| (account.address, shown(Some(account.data))));
        self.shown.extend(found);
    }

    /// Takes the blocks up to the newest one as of whose end all accounts are known that they changed.
    pub fn take_exact(&mut self) -> Option<JoinedSlots> {
        let last = (0..self.blocks.len()).rposition(|last| self.is_exact_after(last))?;
        let lamports = self.touched_up_to(last);
        let rest = self.blocks.split_off(last + 1);
        let taken = std::mem::replace(&mut self.blocks, rest);
        let mut slots: Vec<_> = taken.into_iter().map(|block| block.sealed).collect();
        let end = slots.last_mut()?;
        for (address, lamports) in lamports {
            match self
                .shown
                .get(&address)
                .and_then(|shown| shown.data.clone())
            {
                Some(data) => end.writes.push(AccountWrite {
                    address,
                    write_version: RPC_VERSION,
                    lamports,
                    data,
                }),
                None => drop(end.emptied.insert(address)),
            }
        }
        let rest = &self.blocks;
        self.shown.retain(|address, _| touch(rest, address));
        let oldest = self.shown.values().map(|shown| shown.from).min();
        self.hashes
            .retain(|slot, _| oldest.is_some_and(|oldest| oldest <= *slot));
        let blocks = self.blocks.iter().map(|block| &block.sealed);
        self.hashes
            .extend(blocks.map(|sealed| (sealed.slot, sealed.blockhash)));
        JoinedSlots::new(slots)
    }

    /// The accounts that the blocks up to `last` touched, with their lamports at its end.
    fn touched_up_to(&self, last: usize) -> BTreeMap<Address, u64> {
        let blocks = self.blocks[..=last].iter();
        blocks.flat_map(|block| block.touched.clone()).collect()
    }

    fn is_exact_after(&self, last: usize) -> bool {
        let touched = self.touched_up_to(last);
        let mut touched = touched.iter();
        touched.all(|(address, lamports)| self.is_as_of(last, address, *lamports))
    }

    /// Whether an account, which has these lamports at the end of the block `last`, is known as of then.
    fn is_as_of(&self, last: usize, address: &Address, lamports: u64) -> bool {
        let Some(shown) = self.shown.get(address) else {
            return false;
        };
        let after = |slot: i64| {
            self.blocks
                .iter()
                .position(|block| slot < block.sealed.slot)
        };
        // The node may have been on a fork that the cluster dropped.
        if !shown.is_of(&self.hashes) {
            return false;
        }
        // The node may have executed a part of the block after its slot.
        let (Some(first), Some(newest)) = (after(shown.from), after(shown.to)) else {
            return false;
        };
        if shown.data.is_some() && lamports == 0 {
            return false;
        }
        let end = self.blocks[last].sealed.slot;
        let is_named = (shown.from, shown.to) == (end, end);
        let missed = self.blocks[..=last].iter().skip(first);
        let later = self.blocks[..=newest].iter().skip(last + 1);
        let (Some(missed), Some(later)) = (numbers(missed, address), numbers(later, address))
        else {
            return is_named;
        };
        let before_later = || later.first().map(|next| next.saturating_sub(1));
        let Some(expected) = missed.last().copied().or_else(before_later) else {
            return true;
        };
        // The numbers of another life say nothing of this one.
        let begins_again = missed
            .iter()
            .chain(later.iter().skip(1))
            .any(|number| *number == 1);
        match shown.number() {
            Some(number) => number == expected && !begins_again,
            None => is_named,
        }
    }
}

/// Whether one of the blocks may have changed an account.
fn touch(blocks: &[PendingBlock], address: &Address) -> bool {
    let mut blocks = blocks.iter();
    blocks.any(|block| block.touched.contains_key(address))
}

/// Numbers of the events that an account has in the blocks, in order. `None` if events that may be the
/// account's can't be decoded.
fn numbers<'a>(
    blocks: impl Iterator<Item = &'a PendingBlock>,
    address: &Address,
) -> Option<Vec<u64>> {
    let mut numbers = vec![];
    for block in blocks.filter(|block| block.touched.contains_key(address)) {
        for emitted in &block.sealed.events {
            let changes = emitted.event.as_ref()?.changes().into_iter();
            let own = changes.filter(|change| change.address == *address);
            numbers.extend(own.map(|change| change.number));
        }
    }
    Some(numbers)
}

impl Shown {
    /// Whether the node was on the chain of these blocks whenever it answered.
    fn is_of(&self, hashes: &BTreeMap<i64, Blockhash>) -> bool {
        let mut shown = self.hashes.iter();
        shown.all(|(slot, hash)| hash.is_some() && hashes.get(slot) == hash.as_ref())
    }

    /// Number of the account's last event; 0 if it doesn't exist. `None` if this version can't decode the
    /// account.
    fn number(&self) -> Option<u64> {
        match &self.data {
            None => Some(0),
            Some(data) => Account::decode(data).ok().map(|account| account.seq()),
        }
    }
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::Event;

    use super::*;
    use crate::lives::test_data::{MARKET, bet, cancelled, created, market_bytes, slot};
    use crate::rpc::RpcAccount;

    const NOTHING: [i64; 0] = [];
    /// Hash of every block.
    const HASH: Blockhash = [0; 32];

    /// A block with events of the market, which leaves it with as many lamports as the block's slot.
    fn block(number: i64, events: Vec<Event>) -> PendingBlock {
        let touched = match events.is_empty() {
            true => [].into(),
            false => [(MARKET.into(), number.unsigned_abs())].into(),
        };
        PendingBlock {
            sealed: slot(number, events, vec![]),
            touched,
        }
    }

    /// A block that leaves the market without lamports.
    fn closing(number: i64, events: Vec<Event>) -> PendingBlock {
        let mut block = block(number, events);
        block.touched.insert(MARKET.into(), 0);
        block
    }

    /// A block that changes the market with an undecodable event, or sends lamports to it.
    fn without_number(number: i64, has_event: bool) -> PendingBlock {
        let mut block = block(number, vec![created(1)]);
        match has_event {
            true => block.sealed.events[0].event = None,
            false => block.sealed.events.clear(),
        }
        block
    }

    /// The blocks, after a node answered a request for the market at `slots` with `data`.
    fn pending(blocks: Vec<PendingBlock>, slots: [i64; 2], data: Option<Vec<u8>>) -> Pending {
        pending_of(blocks, slots.map(|slot| (slot, Some(HASH))), data)
    }

    /// As [`pending`], with the node's blocks of the slots.
    fn pending_of(
        blocks: Vec<PendingBlock>,
        answered: [(i64, Option<Blockhash>); 2],
        data: Option<Vec<u8>>,
    ) -> Pending {
        let mut pending = Pending::default();
        for block in blocks {
            assert!(pending.push(block));
        }
        let address = MARKET.into();
        let account = |data| RpcAccount {
            address,
            lamports: 1,
            data,
        };
        let found = AccountsAt {
            slots: answered.map(|(slot, _)| slot).into(),
            accounts: data.into_iter().map(account).collect(),
        };
        pending.show([address].into(), found, answered.into());
        pending
    }

    /// Slots that are sent, with the writes of the last one: lamports and data.
    fn taken(mut pending: Pending) -> (Vec<i64>, Vec<(u64, Vec<u8>)>) {
        let Some(joined) = pending.take_exact() else {
            return (vec![], vec![]);
        };
        let (last, before) = joined.slots().split_last().unwrap();
        assert!(before.iter().all(|slot| slot.writes.is_empty()));
        let writes = last.writes.iter().map(|w| (w.lamports, w.data.clone()));
        let slots = joined.slots().iter().map(|slot| slot.slot);
        (slots.collect(), writes.collect())
    }

    fn market(seq: u64) -> Option<Vec<u8>> {
        Some(market_bytes(seq, seq))
    }

    #[test]
    fn blocks_wait_until_the_block_after_the_reading_is_known() {
        let blocks = || vec![block(7, vec![bet(4, 1)]), block(8, vec![])];
        let mut waiting = pending(blocks(), [8, 8], market(4));
        assert!(waiting.take_exact().is_none());
        assert_eq!(waiting.unread(), [].into());
        assert!(waiting.push(block(9, vec![])));
        assert_eq!(
            taken(waiting),
            (vec![7, 8, 9], vec![(7, market_bytes(4, 4))])
        );
        // Blocks that touch no account need no reading.
        assert_eq!(
            taken(pending(vec![block(7, vec![])], [3, 3], None)),
            (vec![7], vec![])
        );
    }

    #[test]
    fn an_account_that_changed_later_is_told_by_its_number() {
        let blocks = || {
            vec![
                block(7, vec![bet(4, 1)]),
                block(8, vec![bet(5, 1), bet(6, 1)]),
            ]
        };
        let slots = |slots, data| taken(pending(blocks(), slots, data)).0;
        assert_eq!(slots([7, 7], market(4)), [7]);
        // The node had executed a part of the later slot, or all of it.
        assert_eq!(slots([7, 7], market(5)), NOTHING);
        assert_eq!(slots([7, 7], market(6)), [7, 8]);
        assert_eq!(slots([7, 7], None), NOTHING);
        // The answer is older than the end, unless the node had executed all of that slot.
        let older = |data| {
            let blocks = std::iter::once(block(6, vec![])).chain(blocks()).collect();
            taken(pending(blocks, [6, 6], data)).0
        };
        assert_eq!(older(market(3)), [6]);
        assert_eq!(older(market(4)), [6, 7]);
        // Parts of it are of several slots.
        assert_eq!(slots([7, 8], market(4)), NOTHING);
        let mut blocks = blocks();
        blocks.push(block(9, vec![]));
        assert_eq!(taken(pending(blocks, [7, 8], market(4))).0, [7]);
    }

    #[test]
    fn the_newest_slot_is_taken_for_which_all_accounts_are_known() {
        let blocks = || {
            vec![
                block(7, vec![bet(4, 1)]),
                block(8, vec![bet(5, 1)]),
                block(9, vec![bet(6, 1)]),
            ]
        };
        let expected = (vec![7, 8], vec![(8, market_bytes(5, 5))]);
        assert_eq!(taken(pending(blocks(), [8, 8], market(5))), expected);
        let mut rest = pending(blocks(), [8, 8], market(5));
        rest.take_exact();
        assert_eq!(rest.newest(), Some(9));
        assert_eq!(rest.unread(), [MARKET.into()].into());
        assert!(rest.take_exact().is_none());
    }

    #[test]
    fn an_account_that_is_created_again_later_is_read_again() {
        let again = vec![cancelled(2), created(1)];
        let blocks = vec![block(7, vec![created(1)]), block(8, again)];
        // It can be of either life.
        assert_eq!(taken(pending(blocks, [7, 7], market(1))).0, NOTHING);
    }

    #[test]
    fn an_account_that_is_closed_is_absent() {
        let blocks = || vec![closing(7, vec![created(1), cancelled(2)]), block(8, vec![])];
        let mut absent = pending(blocks(), [7, 7], None);
        let joined = absent.take_exact().unwrap();
        let last = joined.slots().last().unwrap();
        assert_eq!((last.slot, last.writes.len()), (8, 0));
        assert!(last.emptied.contains(&MARKET.into()));
        assert_eq!(taken(pending(blocks(), [7, 7], market(1))).0, NOTHING);
        // It is created later.
        let blocks = || vec![closing(7, vec![cancelled(9)]), block(8, vec![created(1)])];
        assert_eq!(taken(pending(blocks(), [7, 7], None)).0, [7]);
        assert_eq!(taken(pending(blocks(), [7, 7], market(1))).0, NOTHING);
    }

    #[test]
    fn lamports_are_those_of_the_blocks() {
        let blocks = vec![block(7, vec![bet(4, 1)]), without_number(8, false)];
        let expected = (vec![7, 8], vec![(8, market_bytes(4, 4))]);
        assert_eq!(taken(pending(blocks, [7, 7], market(4))), expected);
    }

    #[test]
    fn without_numbers_the_answer_counts_if_it_is_of_the_last_slot() {
        let blocks = || {
            vec![
                block(7, vec![bet(4, 1)]),
                without_number(8, true),
                block(9, vec![]),
            ]
        };
        assert_eq!(taken(pending(blocks(), [7, 7], market(4))).0, [7]);
        assert_eq!(taken(pending(blocks(), [8, 8], market(4))).0, [7, 8, 9]);
        let blocks = || vec![block(7, vec![bet(4, 1)]), block(8, vec![bet(5, 1)])];
        assert_eq!(taken(pending(blocks(), [7, 7], Some(vec![1]))).0, [7]);
    }

    #[test]
    fn an_answer_of_a_dropped_slot_proves_nothing() {
        let blocks = || {
            let mut last = block(9, vec![]);
            last.sealed.parent_slot = 7;
            vec![block(7, vec![bet(4, 1)]), last, block(10, vec![])]
        };
        assert_eq!(taken(pending(blocks(), [8, 8], market(4))).0, NOTHING);
        assert_eq!(taken(pending(blocks(), [7, 8], market(4))).0, NOTHING);
        assert_eq!(taken(pending(blocks(), [7, 7], market(4))).0, [7, 9, 10]);
    }

    #[test]
    fn an_answer_of_another_block_of_the_slot_proves_nothing() {
        let taken = |answered| {
            let blocks = vec![
                block(7, vec![bet(4, 1)]),
                block(8, vec![]),
                block(9, vec![]),
            ];
            taken(pending_of(blocks, answered, market(4))).0
        };
        let (right, sibling) = (Some(HASH), Some([9; 32]));
        assert_eq!(taken([(7, right), (8, right)]), [7, 8, 9]);
        for answered in [
            [(7, sibling), (8, right)],
            [(7, right), (8, sibling)],
            [(7, None), (8, right)],
        ] {
            assert_eq!(taken(answered), NOTHING);
        }
    }

    #[test]
    fn an_answer_counts_after_the_block_of_its_slot_is_sent() {
        let mut pending = pending(
            vec![block(7, vec![bet(4, 1)]), block(8, vec![bet(5, 1)])],
            [7, 7],
            market(4),
        );
        assert_eq!(pending.take_exact().unwrap().slots().len(), 1);
        pending.shown.get_mut(&MARKET.into()).unwrap().data = market(5);
        assert_eq!(taken(pending).0, [8]);
    }

    #[test]
    fn blocks_follow_each_other() {
        let mut pending = pending(vec![block(7, vec![])], [3, 3], None);
        assert!(!pending.push(block(9, vec![])));
        assert_eq!(pending.newest(), Some(7));
    }
}
