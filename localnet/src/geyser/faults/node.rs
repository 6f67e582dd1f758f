//! Faults that all streams see: false forks, malformed accounts, and write versions that start
//! again.

use std::{collections::HashMap, sync::Arc};

use driftshield_sdk::{Account, AccountChange, Event, ID};
use yellowstone_grpc_proto::geyser::{SubscribeUpdateAccountInfo, SubscribeUpdateTransactionInfo};

use super::{
    Faults, Injection, Mark,
    random::Random,
    request::{Fault, Kind, Undecodable},
};
use crate::geyser::feed::{Feed, SealedSlot};

/// Added to the bank ids of true slots for those of false slots.
const FALSE_BANKS: u64 = 1 << 32;
/// Data of an account whose type nobody knows.
const UNKNOWN_DATA: [u8; 64] = [0xff; 64];

/// Passes the validator's slots to the feed, with faults.
pub struct NodeFaults {
    faults: Arc<Faults>,
    feed: Arc<Feed>,
    fork: Option<FalseFork>,
    /// Number of restarts that this has taken part in.
    restarts: u64,
    /// Subtracted from all write versions. `None` from a restart until the next write.
    version_base: Option<u64>,
}

/// A fork of false slots, which the feed has instead of the true ones.
struct FalseFork {
    /// Number of the first false slot, and of the first true one.
    first: u64,
    true_slots: Vec<SealedSlot>,
    /// Number and blockhash of the last false slot.
    tip: (u64, String),
    children_left: u32,
    random: Random,
}

impl NodeFaults {
    pub fn new(faults: Arc<Faults>) -> Self {
        Self {
            feed: Arc::clone(faults.feed()),
            faults,
            fork: None,
            restarts: 0,
            version_base: Some(0),
        }
    }

    /// Adds a slot to the feed, or what the armed faults make of it.
    pub fn confirm(&mut self, mut slot: SealedSlot) {
        self.follow_restart();
        self.rebase_write_versions(&mut slot);
        match self.fork.take() {
            Some(fork) if 0 < fork.children_left => self.fork = Some(self.extend(fork, slot)),
            Some(fork) => {
                self.end(fork);
                self.confirm_outside_fork(slot);
            }
            None => self.confirm_outside_fork(slot),
        }
    }

    /// Finalizes `root` and every slot before it, but no slot of a false fork.
    pub fn finalize(&self, root: u64) {
        let last = self
            .fork
            .as_ref()
            .map_or(u64::MAX, |fork| fork.first.saturating_sub(1));
        self.feed.finalize(root.min(last));
    }

    fn follow_restart(&mut self) {
        let restarts = self.faults.restarts();
        if self.restarts < restarts {
            self.restarts = restarts;
            self.version_base = None;
            // The restarted node has none of these slots, neither false nor true.
            self.fork = None;
        }
    }

    fn rebase_write_versions(&mut self, slot: &mut SealedSlot) {
        let lowest = slot.accounts.iter().map(|write| write.write_version).min();
        let Some(lowest) = lowest else { return };
        let base = *self.version_base.get_or_insert(lowest.saturating_sub(1));
        for write in &mut slot.accounts {
            write.write_version = write.write_version.saturating_sub(base);
        }
    }

    fn confirm_outside_fork(&mut self, mut slot: SealedSlot) {
        let dead_slot = self.faults.inject(|fault| match fault {
            Fault::DeadSlot { children } if slot.accounts.iter().any(is_ours) => Some(*children),
            _ => None,
        });
        match dead_slot {
            Some(injection) => {
                let parent = (slot.meta.parent_slot, slot.meta.parent_blockhash.clone());
                let fork = FalseFork {
                    first: slot.slot,
                    true_slots: Vec::new(),
                    tip: parent,
                    // `extend` counts the false slot itself.
                    children_left: injection.value + 1,
                    random: injection.random,
                };
                self.fork = Some(self.extend(fork, slot));
            }
            None => {
                self.add_malformed_account(&mut slot);
                self.feed.confirm(slot);
            }
        }
    }

    /// Confirms a false version of a slot on top of the fork, and keeps the true slot.
    fn extend(&self, mut fork: FalseFork, slot: SealedSlot) -> FalseFork {
        let false_slot = fork.falsify(&slot, &self.feed);
        fork.tip = (false_slot.slot, false_slot.meta.blockhash.clone());
        fork.children_left -= 1;
        fork.true_slots.push(slot);
        self.faults.mark(false_slot.meta.bank_id, Mark::Slot);
        self.feed.confirm(false_slot);
        fork
    }

    /// Replaces the false slots by the true ones.
    fn end(&self, fork: FalseFork) {
        self.feed.abandon(fork.first);
        for slot in fork.true_slots {
            self.feed.confirm(slot);
        }
    }

    fn add_malformed_account(&self, slot: &mut SealedSlot) {
        let oversized = self.faults.inject(|fault| match fault {
            Fault::OversizedAccount { bytes } => Some(vec![0xff; *bytes]),
            _ => None,
        });
        let (kind, injection) = match oversized {
            Some(injection) => (Kind::OversizedAccount, injection),
            None => {
                let undecodable = self.faults.inject(|fault| match fault {
                    Fault::UndecodableAccount(shape) => undecodable_data(shape, slot),
                    _ => None,
                });
                let Some(injection) = undecodable else { return };
                (Kind::UndecodableAccount, injection)
            }
        };
        let Injection {
            value: data,
            mut random,
            ..
        } = injection;
        let address = random.bytes().to_vec();
        self.faults.mark(
            slot.meta.bank_id,
            Mark::Account {
                kind,
                address: address.clone(),
            },
        );
        let last_version = slot.accounts.last().map_or(0, |write| write.write_version);
        slot.accounts.push(SubscribeUpdateAccountInfo {
            pubkey: address,
            lamports: 1_000_000,
            owner: ID.to_bytes().to_vec(),
            data,
            write_version: last_version + 1,
            ..Default::default()
        });
    }
}

/// Data of an account that cannot be decoded; `None` if the slot has no account to truncate.
fn undecodable_data(shape: &Undecodable, slot: &SealedSlot) -> Option<Vec<u8>> {
    match shape {
        Undecodable::Discriminator => Some(UNKNOWN_DATA.to_vec()),
        Undecodable::Truncated => {
            let real = slot.accounts.iter().find(|account| is_ours(account))?;
            let half = real.data.get(..real.data.len() / 2)?;
            Some(half.to_vec())
        }
    }
}

fn is_ours(account: &SubscribeUpdateAccountInfo) -> bool {
    account.owner == ID.as_ref()
}

impl FalseFork {
    /// A false version of a slot, whose parent is the last false slot. The fork's first slot has some of the
    /// program's changes, its children have none.
    fn falsify(&mut self, slot: &SealedSlot, feed: &Feed) -> SealedSlot {
        let mut false_slot = slot.clone();
        let meta = &mut false_slot.meta;
        meta.blockhash = bs58::encode(self.random.bytes()).into_string();
        (meta.parent_slot, meta.parent_blockhash) = self.tip.clone();
        meta.bank_id += FALSE_BANKS;
        if slot.slot == self.first {
            let removed = remove_last_transaction(&mut false_slot);
            falsify_accounts(&mut false_slot.accounts, feed, &removed);
        } else {
            while remove_last_transaction(&mut false_slot).is_some() {}
            false_slot.accounts.retain(|account| !is_ours(account));
        }
        false_slot
    }
}

/// Gives the program's accounts their states of an earlier slot, or wrong lamports if no earlier state is
/// known, but the counters that they have without the `removed` transaction.
fn falsify_accounts(
    accounts: &mut Vec<SubscribeUpdateAccountInfo>,
    feed: &Feed,
    removed: &Option<SubscribeUpdateTransactionInfo>,
) {
    let removed: Vec<_> = removed.iter().flat_map(changes).collect();
    accounts.retain_mut(|account| {
        if !is_ours(account) {
            return true;
        }
        let counter = Account::decode(&account.data).ok().map(|state| state.seq());
        match feed.last_write(&account.pubkey) {
            Some(earlier) => {
                account.lamports = earlier.lamports;
                account.data = earlier.data;
            }
            None => account.lamports += 1,
        }
        let Some(counter) = counter else {
            return true;
        };
        let is_own = |change: &&AccountChange| change.address.as_ref() == account.pubkey;
        // One that closed the account and created it again has more events than the new account.
        let counter = counter.saturating_sub(removed.iter().filter(is_own).count() as u64);
        if let Ok(mut state) = Account::decode(&account.data) {
            state.set_seq(counter);
            account.data = state.encode();
        }
        // Otherwise the removed transaction created it.
        0 < counter
    });
}

/// Removes the last transaction that names the program.
fn remove_last_transaction(slot: &mut SealedSlot) -> Option<SubscribeUpdateTransactionInfo> {
    let ours = (0..).zip(&slot.transactions);
    let ours = ours.filter(|(_, info)| names_program(info));
    let (last, _) = ours.max_by_key(|(_, info)| info.index)?;
    let count = &mut slot.meta.executed_transaction_count;
    *count = count.saturating_sub(1);
    Some(slot.transactions.remove(last))
}

pub fn names_program(info: &SubscribeUpdateTransactionInfo) -> bool {
    let transaction = info.transaction.as_ref();
    let message = transaction.and_then(|transaction| transaction.message.as_ref());
    message.is_some_and(|message| message.account_keys.iter().any(|key| key == ID.as_ref()))
}

/// Whether a client can miss the transaction: its events leave an account open and with a higher counter. Also true
/// without events.
pub fn is_missed(info: &SubscribeUpdateTransactionInfo) -> bool {
    let mut counters = HashMap::new();
    for change in changes(info) {
        let before = change.number.saturating_sub(1);
        let (_, after) = counters.entry(change.address).or_insert((before, None));
        *after = Some(change.number).filter(|_| !change.closes);
    }
    let mut counted = counters.values();
    counters.is_empty() || counted.any(|(before, after)| Some(*before) < *after)
}

/// What the events of a transaction say about accounts.
fn changes(info: &SubscribeUpdateTransactionInfo) -> Vec<AccountChange> {
    let meta = info.meta.as_ref();
    let is_failed = meta.is_some_and(|meta| meta.err.is_some());
    let inner = meta.into_iter().flat_map(|meta| &meta.inner_instructions);
    let instructions = inner.flat_map(|inner| &inner.instructions);
    // The program accepts an event's tag only from itself.
    let events = instructions
        .filter(|_| !is_failed)
        .filter_map(|instruction| Event::decode_inner_instruction(&instruction.data)?.ok());
    events.flat_map(|event| event.changes()).collect()
}
