//! A chain with forks that a seed determines: slots are confirmed, and others come in their place.

use std::{collections::BTreeSet, ops::Range};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::chain::{Block, FINALITY, NextSlot};

/// Most slots that a fork drops.
const MAX_DEPTH: usize = 8;
/// Slots between two forks, on average.
const FORK_INTERVAL: u32 = 10;
const MAX_TRANSACTIONS: usize = 5;
/// Most slots without a block between two blocks.
const MAX_SKIPPED: u64 = 3;

/// Slots in the order in which a server confirms them, those that are dropped later included.
pub struct Plan {
    pub slots: Vec<NextSlot>,
    /// Number of times that slots are dropped.
    pub forks: usize,
}

/// Puts `transactions` transactions into slots after `base`. In the end, each is on the chain once, in
/// order. Each of `dropped` is in a slot before that is dropped. No fork drops slots that are final.
pub fn plan(seed: u64, base: Block, transactions: usize, mut dropped: BTreeSet<usize>) -> Plan {
    let mut planner = Planner {
        rng: StdRng::seed_from_u64(seed),
        base,
        next_slot: base.slot + 1,
        slots: vec![],
        line: vec![],
        kept: 0,
    };
    let mut forks = 0;
    while planner.used() < transactions {
        let begin = planner.used();
        planner.add_slot(transactions);
        let must_drop = dropped.range(begin..planner.used()).next().is_some();
        if must_drop || planner.rng.random_ratio(1, FORK_INTERVAL) {
            let branch = planner.drop_slots();
            for slot in &branch {
                dropped.retain(|transaction| !slot.transactions.contains(transaction));
            }
            forks += usize::from(!branch.is_empty());
            planner.add_siblings(&branch);
        }
    }
    Plan {
        slots: planner.slots,
        forks,
    }
}

struct Planner {
    rng: StdRng,
    base: Block,
    /// Number of the next slot, unless slots without a block come before.
    next_slot: u64,
    slots: Vec<NextSlot>,
    /// The chain so far, without the slots that were dropped.
    line: Vec<NextSlot>,
    /// Number of slots of the chain that are final.
    kept: usize,
}

impl Planner {
    /// Number of transactions that are on the chain.
    fn used(&self) -> usize {
        self.line.last().map_or(0, |last| last.transactions.end)
    }

    fn tip(&self) -> Block {
        self.line.last().map_or(self.base, |last| last.block)
    }

    fn push(&mut self, transactions: Range<usize>) {
        let slot = NextSlot {
            block: Block {
                slot: self.next_slot,
                bank: self.base.bank + 1 + self.slots.len() as u64,
            },
            parent: self.tip(),
            transactions,
        };
        self.next_slot += 1;
        self.slots.push(slot.clone());
        self.line.push(slot);
        self.kept = self.kept.max(self.line.len().saturating_sub(FINALITY));
    }

    fn push_empty(&mut self) {
        let used = self.used();
        self.push(used..used);
    }

    /// Adds a slot with some of the next transactions, or none.
    fn add_slot(&mut self, transactions: usize) {
        if self.rng.random_ratio(1, 8) {
            self.next_slot += self.rng.random_range(1..=MAX_SKIPPED);
        }
        let used = self.used();
        let count = self.rng.random_range(0..=MAX_TRANSACTIONS);
        self.push(used..transactions.min(used + count));
    }

    /// Drops the last slots of the chain. The numbers of the next ones begin with that of the first
    /// dropped slot, or with one that no slot has.
    fn drop_slots(&mut self) -> Vec<NextSlot> {
        let depth = self.rng.random_range(1..=MAX_DEPTH);
        let depth = depth.min(self.line.len() - self.kept);
        let branch = self.line.split_off(self.line.len() - depth);
        if self.rng.random() {
            self.next_slot = self.tip().slot + 1;
        }
        branch
    }

    /// Adds slots in the place of others: with the same transactions, with none, or none at all, so that
    /// the transactions come in other slots later.
    fn add_siblings(&mut self, branch: &[NextSlot]) {
        match self.rng.random_range(0..3) {
            0 => {
                for slot in branch {
                    self.push(slot.transactions.clone());
                }
            }
            1 if !branch.is_empty() => {
                for _ in 0..self.rng.random_range(1..=branch.len()) {
                    self.push_empty();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const TRANSACTIONS: usize = 2_000;
    const BASE: Block = Block::unforked(7);

    fn planned() -> Plan {
        plan(1, BASE, TRANSACTIONS, BTreeSet::new())
    }

    /// The slots on the chain after all of `slots`.
    fn line(slots: &[NextSlot]) -> Vec<NextSlot> {
        let by_block: HashMap<_, _> = slots.iter().map(|slot| (slot.block, slot)).collect();
        let last = slots.last().map(|slot| slot.block);
        let back = std::iter::successors(last.and_then(|block| by_block.get(&block)), |slot| {
            by_block.get(&slot.parent)
        });
        let mut line: Vec<_> = back.map(|slot| (*slot).clone()).collect();
        line.reverse();
        line
    }

    #[test]
    fn each_transaction_is_on_the_chain_once_in_order() {
        let line = line(&planned().slots);
        let mut parent = (BASE, 0);
        for slot in line {
            assert_eq!((slot.parent, slot.transactions.start), parent);
            assert!(slot.parent.slot < slot.block.slot);
            parent = (slot.block, slot.transactions.end);
        }
        assert_eq!(parent.1, TRANSACTIONS);
    }

    #[test]
    fn forks_drop_up_to_the_most_slots_and_none_that_is_final() {
        let plan = planned();
        let mut depths = BTreeSet::new();
        let mut kept = 0;
        for index in 1..plan.slots.len() {
            let (before, next) = (line(&plan.slots[..index]), &plan.slots[index]);
            kept = kept.max(before.len().saturating_sub(FINALITY));
            let place = before.iter().position(|slot| slot.block == next.parent);
            let place = place.map_or(0, |place| place + 1);
            assert!(kept <= place);
            depths.insert(before.len() - place);
        }
        assert_eq!(depths, (0..=MAX_DEPTH).collect());
        assert!(50 < plan.forks, "{} forks", plan.forks);
    }

    #[test]
    fn siblings_have_the_same_transactions_others_or_none() {
        let plan = planned();
        let mut firsts: HashMap<Block, &NextSlot> = HashMap::new();
        let mut found = BTreeSet::new();
        for slot in &plan.slots {
            let Some(first) = firsts.insert(slot.parent, slot) else {
                continue;
            };
            let (dropped, next) = (&first.transactions, &slot.transactions);
            found.insert((
                first.block.slot == slot.block.slot,
                dropped == next,
                next.is_empty(),
            ));
        }
        for has_same_number in [false, true] {
            for sibling in [(true, false), (false, false), (false, true)] {
                let sibling = (has_same_number, sibling.0, sibling.1);
                assert!(found.contains(&sibling), "{sibling:?} is not in {found:?}");
            }
        }
    }

    #[test]
    fn the_transactions_that_must_be_dropped_are() {
        let dropped = BTreeSet::from([0, 1, 555, TRANSACTIONS - 1]);
        let plan = plan(1, BASE, TRANSACTIONS, dropped.clone());
        let line: BTreeSet<_> = line(&plan.slots)
            .iter()
            .map(|slot| slot.block.bank)
            .collect();
        let others = plan
            .slots
            .iter()
            .filter(|slot| !line.contains(&slot.block.bank));
        let found: BTreeSet<_> = others.flat_map(|slot| slot.transactions.clone()).collect();
        assert!(dropped.is_subset(&found));
    }
}
