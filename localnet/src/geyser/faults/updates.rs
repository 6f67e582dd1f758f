//! Faults of one stream: messages of a slot are cut, lost, late, doubled or reordered, or nothing follows.

use std::{collections::HashSet, sync::Arc, time::Duration};

use driftshield_sdk::ID;
use yellowstone_grpc_proto::geyser::{
    SubscribeUpdate, SubscribeUpdateTransactionInfo, subscribe_update::UpdateOneof,
};

use super::{
    Faults, Injection, Mark,
    node::{is_missed, names_program},
    random::Random,
    request::{Ending, Fault, Kind, Part},
};

/// The faults of one stream.
pub struct StreamFaults {
    faults: Arc<Faults>,
    delayed: Vec<DelayedMeta>,
    /// Whether the stream sends pings only.
    has_stalled: bool,
}

struct DelayedMeta {
    update: SubscribeUpdate,
    /// Number of later slots that are still to come before the update.
    slots: u32,
}

/// What a stream sends for an event.
pub struct FaultyUpdates {
    pub updates: Vec<SubscribeUpdate>,
    /// How the stream ends after the updates, if it does.
    pub ending: Option<Ending>,
    /// Faults that changed the updates, to count once the updates are sent.
    pub changed: Vec<Kind>,
}

impl StreamFaults {
    pub fn new(faults: Arc<Faults>) -> Self {
        Self {
            faults,
            delayed: Vec::new(),
            has_stalled: false,
        }
    }

    pub fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Stalls a stream that would send updates, if it is to send pings only from now on. Returns the time
    /// between two pings.
    pub fn stall(&mut self) -> Option<Duration> {
        let injection = self.faults.inject(|fault| match fault {
            Fault::PingsOnly { ping_ms } => Some(Duration::from_millis(*ping_ms)),
            _ => None,
        })?;
        self.has_stalled = true;
        self.faults.count_change(Kind::PingsOnly);
        Some(injection.value)
    }

    /// Injects faults into the updates that the stream sends for an event of a slot's bank.
    pub fn apply(&mut self, bank_id: u64, updates: Vec<SubscribeUpdate>) -> FaultyUpdates {
        let mut faulty = if self.faults.is_idle() && self.delayed.is_empty() {
            FaultyUpdates {
                updates,
                ending: None,
                changed: Vec::new(),
            }
        } else {
            self.inject(SlotMessages::new(updates))
        };
        if let Some(mark) = self.faults.mark_of(bank_id) {
            let kind = mark.kind_in(&faulty.updates);
            faulty.changed.extend(kind);
        }
        faulty
    }

    fn inject(&mut self, mut slot: SlotMessages) -> FaultyUpdates {
        let due = self.due_metas(&slot);
        if slot.content.is_empty() || slot.meta.is_none() {
            return FaultyUpdates {
                updates: slot.join(due),
                ending: None,
                changed: Vec::new(),
            };
        }
        let cut = self.faults.inject(|fault| match fault {
            Fault::Cut(ending) => Some(ending.clone()),
            _ => None,
        });
        if let Some(cut) = cut {
            return slot.cut(cut);
        }
        let duplicate = self.duplicate(&mut slot);
        let changes = [
            (Kind::Duplicate, duplicate.is_some()),
            (Kind::LoseTransaction, self.lose_transaction(&mut slot)),
            (Kind::LoseAccount, self.lose_account(&mut slot)),
            (Kind::Reorder, self.reorder(&mut slot)),
            (Kind::LateContent, self.delay_content(&mut slot)),
            (Kind::DropMeta, self.drop_meta(&mut slot)),
            (Kind::DelayMeta, self.delay_meta(&mut slot)),
        ];
        let mut updates = slot.join(due);
        if duplicate == Some(Part::Slot) {
            updates.extend(updates.clone());
        }
        let changed = changes.into_iter().filter(|(_, is_changed)| *is_changed);
        FaultyUpdates {
            updates,
            ending: None,
            changed: changed.map(|(kind, _)| kind).collect(),
        }
    }

    /// Doubles a part of the content, and returns which part. The caller doubles a whole slot.
    fn duplicate(&self, slot: &mut SlotMessages) -> Option<Part> {
        let injection = self.faults.inject(|fault| match fault {
            Fault::Duplicate(part) if slot.has(part) => Some(part.clone()),
            _ => None,
        })?;
        slot.duplicate(&injection.value);
        Some(injection.value)
    }

    /// Returns whether the order of the content has changed.
    fn reorder(&self, slot: &mut SlotMessages) -> bool {
        if slot.content.len() < 2 {
            return false;
        }
        let injection = self.faults.inject_exactly(&Fault::Reorder);
        injection.is_some_and(|mut injection| slot.reorder(&mut injection.random))
    }

    /// Removes a transaction. Returns whether it did.
    fn lose_transaction(&self, slot: &mut SlotMessages) -> bool {
        let missed = slot.missed_transactions();
        let injection = self.faults.inject(|fault| match fault {
            Fault::LoseTransaction { writes } if !missed.is_empty() => Some(*writes),
            _ => None,
        });
        let Some(mut injection) = injection else {
            return false;
        };
        let chosen = injection.random.within(0..missed.len());
        let removed = slot.content.remove(missed[chosen]);
        if let (true, Some(lost)) = (injection.value, transaction(&removed)) {
            slot.content
                .retain(|update| writer(update) != Some(&lost.signature));
        }
        true
    }

    /// Removes an account. Returns whether it did.
    fn lose_account(&self, slot: &mut SlotMessages) -> bool {
        let written = slot.written_by_program();
        if written.is_empty() {
            return false;
        }
        let Some(mut injection) = self.faults.inject_exactly(&Fault::LoseAccount) else {
            return false;
        };
        let chosen = injection.random.within(0..written.len());
        slot.content.remove(written[chosen]);
        true
    }

    /// Moves content behind the block metadata. Returns whether it did.
    fn delay_content(&self, slot: &mut SlotMessages) -> bool {
        match self.faults.inject_exactly(&Fault::LateContent) {
            Some(mut injection) => {
                slot.move_behind_meta(&mut injection.random);
                true
            }
            None => false,
        }
    }

    /// Removes the block metadata of a slot. Returns whether it did.
    fn drop_meta(&self, slot: &mut SlotMessages) -> bool {
        let is_dropped = self.faults.inject_exactly(&Fault::DropMeta).is_some();
        if is_dropped {
            slot.meta = None;
        }
        is_dropped
    }

    /// Holds the block metadata of a slot back. Returns whether it did.
    fn delay_meta(&mut self, slot: &mut SlotMessages) -> bool {
        if slot.meta.is_none() {
            return false;
        }
        let delay = self.faults.inject(|fault| match fault {
            Fault::DelayMeta { slots } => Some(*slots),
            _ => None,
        });
        let Some(Injection { value: slots, .. }) = delay else {
            return false;
        };
        let delayed = slot.meta.take().map(|update| DelayedMeta { update, slots });
        self.delayed.extend(delayed);
        true
    }

    /// Removes and returns the delayed block metadata that is due with a slot.
    fn due_metas(&mut self, slot: &SlotMessages) -> Vec<SubscribeUpdate> {
        if slot.meta.is_none() {
            return Vec::new();
        }
        for delayed in &mut self.delayed {
            delayed.slots -= 1;
        }
        let due = self.delayed.extract_if(.., |delayed| delayed.slots == 0);
        due.map(|delayed| delayed.update).collect()
    }
}

/// The messages that a stream sends for a slot, in four parts.
struct SlotMessages {
    /// Statuses before the content; all statuses if there is no content.
    before: Vec<SubscribeUpdate>,
    content: Vec<SubscribeUpdate>,
    meta: Option<SubscribeUpdate>,
    after: Vec<SubscribeUpdate>,
}

impl SlotMessages {
    fn new(updates: Vec<SubscribeUpdate>) -> Self {
        let mut slot = Self {
            before: Vec::new(),
            content: Vec::new(),
            meta: None,
            after: Vec::new(),
        };
        for update in updates {
            match &update.update_oneof {
                Some(UpdateOneof::BlockMeta(_)) => slot.meta = Some(update),
                Some(UpdateOneof::Slot(_)) if slot.content.is_empty() && slot.meta.is_none() => {
                    slot.before.push(update);
                }
                Some(UpdateOneof::Slot(_)) => slot.after.push(update),
                _ => slot.content.push(update),
            }
        }
        slot
    }

    /// The messages in their order, with delayed block metadata of other slots before that of this
    /// one.
    fn join(self, delayed: Vec<SubscribeUpdate>) -> Vec<SubscribeUpdate> {
        let content = self.before.into_iter().chain(self.content);
        let metas = delayed.into_iter().chain(self.meta);
        content.chain(metas).chain(self.after).collect()
    }

    fn has(&self, part: &Part) -> bool {
        *part == Part::Slot || self.content.iter().any(|update| belongs_to(update, part))
    }

    /// Ends the slot after a random part of its content.
    fn cut(mut self, mut cut: Injection<Ending>) -> FaultyUpdates {
        let sent = cut.random.within(1..self.content.len() + 1);
        self.content.truncate(sent);
        self.before.extend(self.content);
        FaultyUpdates {
            updates: self.before,
            ending: Some(cut.value),
            changed: vec![Kind::Cut],
        }
    }

    /// Doubles each message of a part of the content.
    fn duplicate(&mut self, part: &Part) {
        let content = std::mem::take(&mut self.content);
        for update in content {
            if belongs_to(&update, part) {
                self.content.push(update.clone());
            }
            self.content.push(update);
        }
    }

    /// Returns whether the new order is another one.
    fn reorder(&mut self, random: &mut Random) -> bool {
        let before = self.content.clone();
        random.shuffle(&mut self.content);
        before != self.content
    }

    /// Indexes of the transactions that a client can miss.
    fn missed_transactions(&self) -> Vec<usize> {
        let content = self.content.iter().enumerate();
        content
            .filter(|(_, update)| transaction(update).is_some_and(is_missed))
            .map(|(index, _)| index)
            .collect()
    }

    /// Indexes of the program's accounts that transactions with the program were the last to write. What else
    /// writes to them leaves no event.
    fn written_by_program(&self) -> Vec<usize> {
        let writers: HashSet<_> = self
            .content
            .iter()
            .filter_map(transaction)
            .filter(|info| names_program(info))
            .map(|info| &info.signature[..])
            .collect();
        let content = self.content.iter().enumerate();
        content
            .filter(|(_, update)| writer(update).is_some_and(|writer| writers.contains(writer)))
            .map(|(index, _)| index)
            .collect()
    }

    /// Moves at least one message of the content to the end.
    fn move_behind_meta(&mut self, random: &mut Random) {
        let chosen = random.within(0..self.content.len());
        let content = std::mem::take(&mut self.content);
        for (index, update) in content.into_iter().enumerate() {
            if index == chosen || random.within(0..2) == 0 {
                self.after.push(update);
            } else {
                self.content.push(update);
            }
        }
    }
}

/// The signature of the transaction that was the last to write to the program's account of the message.
fn writer(update: &SubscribeUpdate) -> Option<&[u8]> {
    let Some(UpdateOneof::Account(update)) = &update.update_oneof else {
        return None;
    };
    let account = update.account.as_ref()?;
    let writer = account.txn_signature.as_deref();
    writer.filter(|_| account.owner == ID.as_ref())
}

fn transaction(update: &SubscribeUpdate) -> Option<&SubscribeUpdateTransactionInfo> {
    match &update.update_oneof {
        Some(UpdateOneof::Transaction(update)) => update.transaction.as_ref(),
        _ => None,
    }
}

/// Whether a message belongs to a part of the content. [`Part::Slot`] is no such part.
fn belongs_to(update: &SubscribeUpdate, part: &Part) -> bool {
    matches!(
        (part, &update.update_oneof),
        (Part::Accounts, Some(UpdateOneof::Account(_)))
            | (
                Part::Transactions,
                Some(UpdateOneof::Transaction(_) | UpdateOneof::TransactionStatus(_))
            )
    )
}

impl Mark {
    /// The fault that is visible in these updates of the marked slot.
    fn kind_in(&self, updates: &[SubscribeUpdate]) -> Option<Kind> {
        let updates = updates.iter().map(|update| &update.update_oneof);
        match self {
            Self::Slot => updates
                .into_iter()
                .any(|update| !matches!(update, Some(UpdateOneof::Slot(_))))
                .then_some(Kind::DeadSlot),
            Self::Account { kind, address } => updates
                .into_iter()
                .any(|update| match update {
                    Some(UpdateOneof::Account(update)) => {
                        let account = update.account.as_ref();
                        account.is_some_and(|account| account.pubkey == *address)
                    }
                    _ => false,
                })
                .then_some(*kind),
        }
    }
}
