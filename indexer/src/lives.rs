//! Lives of accounts: what the writes and events of slots make of them.
//!
//! An account that is closed can be created again at the same address, and each time is a life of its
//! own. The bytes on chain show a life while it is open. Its last state is never written: the
//! instruction that closes an account only emits an event. So the state of a life is its last bytes,
//! with the events after them folded in.

mod facts;
mod fold;
mod holes;
#[cfg(test)]
pub mod test_data;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use driftshield_sdk::{Account, AccountChange, AccountKind, Address, Event, Market, TokenProgram};
use metrics::counter;

use crate::{
    event_id::{EventId, first_id},
    metrics::GUARD_REJECTIONS,
    slot::{AccountWrite, EmittedEvent, SealedSlot},
};

pub use facts::{End, Facts, Settled};
pub use fold::{fold, vault_totals};
pub use holes::{Count, Hole, Sign};

/// Write version of a close: newer than all writes of its slot. On chain, a close has no write
/// version.
pub const CLOSE_VERSION: i64 = i64::MAX - 1;
/// Write version of accounts as of the end of a slot, from an RPC node: newer than all writes and closes
/// of the slot.
pub const RPC_VERSION: i64 = i64::MAX;
/// Write version of accounts from an RPC node as of a slot that was undone since.
pub const UNDONE_VERSION: i64 = i64::MAX - 2;

/// Decimals and token program of the registered mints, which accounts copy when they are created.
pub type Mints = HashMap<Address, (u8, TokenProgram)>;

/// A life of an account.
#[derive(Clone, Debug)]
pub struct Life {
    pub address: Address,
    /// Id of the event that created the account; 0 if unknown.
    pub life: i64,
    pub is_current: bool,
    /// `None` if this version does not know the type.
    pub kind: Option<AccountKind>,
    /// Slot of the last write or close.
    pub slot: i64,
    pub write_version: i64,
    pub closed_slot: Option<i64>,
    pub lamports: u64,
    /// Last bytes on chain or, if not `is_exact`, bytes put together from events.
    pub data: Vec<u8>,
    pub is_exact: bool,
    pub facts: Facts,
}

/// A life that slots change.
struct Tracked<'a> {
    life: Life,
    /// Events that the bytes may not include yet, each with its number.
    events: Vec<(u64, &'a Event)>,
    count: Count,
    is_changed: bool,
}

/// A changed life, with its final state.
pub struct ChangedLife {
    pub life: Life,
    /// Bytes with the events after them folded in. `None` if that takes decoding them and this version
    /// cannot.
    pub state: Option<Vec<u8>>,
}

impl From<Life> for ChangedLife {
    /// A life without events after its bytes.
    fn from(life: Life) -> Self {
        Self {
            state: Some(life.data.clone()),
            life,
        }
    }
}

/// The lives that a batch of slots changes.
pub struct Lives<'a> {
    /// Current life by address, for all accounts that the batch can touch.
    current: BTreeMap<Address, Tracked<'a>>,
    /// Earlier lives of these accounts that ended in the batch.
    earlier: Vec<Tracked<'a>>,
    /// Lives that had ended before the batch and are no longer current. Their rows show their final
    /// state and stay.
    superseded: Vec<Life>,
    /// What the batch shows to be missing, in the order of the slots.
    holes: Vec<Hole>,
    mints: Mints,
}

/// What a batch of slots makes of the accounts.
pub struct Changes {
    /// Lives that are no longer current but didn't change otherwise.
    pub superseded: Vec<Life>,
    /// The changed lives, earlier ones first.
    pub changed: Vec<ChangedLife>,
}

/// Slot and block time of a change.
#[derive(Clone, Copy)]
struct Moment {
    slot: i64,
    time: Option<DateTime<Utc>>,
}

/// Addresses whose lives the slots can change.
pub fn touched_addresses(slots: &[&SealedSlot]) -> Vec<Address> {
    let mut addresses: Vec<_> = slots.iter().copied().flat_map(touched_by).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn touched_by(slot: &SealedSlot) -> impl Iterator<Item = Address> {
    let events = slot.events.iter();
    let changes = events
        .filter_map(|emitted| emitted.event.as_ref())
        .flat_map(Event::changes);
    let writes = slot.writes.iter().map(|write| write.address);
    changes
        .map(|change| change.address)
        .chain(writes)
        .chain(slot.emptied.iter().copied())
}

/// The model of a receipt that an event settles, and the bits of its oracles that earn a part of the pay. `None`
/// if none of them does.
pub fn earning(event: &Event) -> Option<(&Address, u8)> {
    let (model, bits) = match event {
        Event::ReceiptRuled(e) => (&e.model, e.earners),
        Event::ReceiptFinalized(e) => (&e.model, e.earners),
        _ => return None,
    };
    (bits != 0).then_some((model, bits))
}

impl<'a> Lives<'a> {
    /// `current` are the current lives of all [`touched_addresses`] that have one.
    pub fn new(current: Vec<Life>, mints: Mints) -> Self {
        let tracked = |life: Life| (life.address, Tracked::new(life));
        Self {
            current: current.into_iter().map(tracked).collect(),
            earlier: vec![],
            superseded: vec![],
            holes: vec![],
            mints,
        }
    }

    /// Applies the changes of the next slot. `before` is told each event, with the lives right before it.
    pub fn apply(&mut self, slot: &'a SealedSlot, mut before: impl FnMut(&EmittedEvent, &Self)) {
        let moment = Moment {
            slot: slot.slot,
            time: slot.block_time,
        };
        for emitted in &slot.events {
            before(emitted, self);
            if let Some(event) = &emitted.event {
                self.apply_event(event, emitted.id, moment);
            }
        }
        for write in &slot.writes {
            self.write(write, moment);
        }
        for address in &slot.emptied {
            self.close_if_emptied(address, slot, moment);
        }
        self.compare_counters(slot);
    }

    /// Takes what the slots so far show to be missing.
    pub fn take_holes(&mut self) -> Vec<Hole> {
        std::mem::take(&mut self.holes)
    }

    /// The market as the last bytes before the batch show it. `None` if they can't be decoded or the
    /// market is new.
    pub fn market(&self, address: &Address) -> Option<Box<Market>> {
        match Account::decode(&self.current.get(address)?.life.data) {
            Ok(Account::Market(market)) => Some(market),
            _ => None,
        }
    }

    /// The account after the events so far; of a closed one, the last state. `None` if it is unknown or can't
    /// be decoded.
    pub fn account(&self, address: &Address) -> Option<Account> {
        let tracked = self.current.get(address)?;
        let state = tracked.life.state(&tracked.events, &self.mints)?;
        Account::decode(&state).ok()
    }

    /// The oracles that an event pays for the receipt that it settles; none if the model is unknown.
    pub fn earners(&self, event: &Event) -> Vec<Address> {
        let Some((model, bits)) = earning(event) else {
            return vec![];
        };
        let Some(Account::Model(model)) = self.account(model) else {
            return vec![];
        };
        let oracles = (0..).zip(model.oracles);
        oracles
            .filter(|(index, _)| bits >> index & 1 == 1)
            .map(|(_, oracle)| oracle)
            .collect()
    }

    pub fn into_changes(self) -> Changes {
        let Self {
            current,
            earlier,
            superseded,
            mints,
            ..
        } = self;
        let changed = earlier
            .into_iter()
            .chain(current.into_values())
            .filter(|tracked| tracked.is_changed)
            .map(|tracked| tracked.finish(&mints))
            .collect();
        Changes {
            superseded,
            changed,
        }
    }

    fn apply_event(&mut self, event: &'a Event, id: EventId, moment: Moment) {
        if let Event::CollateralRegistered(event) = event {
            self.mints
                .insert(event.mint, (event.decimals, event.token_program));
        }
        for change in event.changes() {
            let tracked = self.life_of(&change, id, moment);
            let hole = tracked.count.event(&change, id);
            tracked.apply_event(event, &change, id, moment);
            self.holes.extend(hole);
        }
    }

    /// The life that the change is of. A first event begins a life.
    fn life_of(&mut self, change: &AccountChange, id: EventId, moment: Moment) -> &mut Tracked<'a> {
        let begins = change.number == 1;
        if begins || !self.current.contains_key(&change.address) {
            let life = if begins { id.get() } else { 0 };
            let begun_at = moment.time.filter(|_| begins);
            let kind = Some(change.kind);
            self.begin(Life::new(change.address, life, kind, begun_at), moment);
        }
        self.current
            .get_mut(&change.address)
            .expect("the life is known or was begun")
    }

    /// Makes `life` the current one. The life before it, if any, has ended.
    fn begin(&mut self, life: Life, moment: Moment) {
        let mut tracked = Tracked::new(life);
        let address = tracked.life.address;
        let Some(mut before) = self.current.remove(&address) else {
            self.current.insert(address, tracked);
            return;
        };
        tracked.count.follow(&before.count);
        self.current.insert(address, tracked);
        before.life.is_current = false;
        if before.life.closed_slot.is_none() {
            self.holes.extend(before.count.end(address, moment.slot));
        }
        if before.is_changed || before.life.closed_slot.is_none() {
            before.end(moment);
            self.earlier.push(before);
        } else {
            self.superseded.push(before.life);
        }
    }

    fn write(&mut self, write: &AccountWrite, moment: Moment) {
        let version = (moment.slot, write.write_version);
        let is_newer =
            |life: &Life| (life.slot, life.write_version) < version || life.slot == moment.slot;
        match self.current.get_mut(&write.address) {
            // An account can change after its last write of the slot, when it is closed.
            Some(tracked) if tracked.life.closed_slot == Some(moment.slot) => {
                tracked.receive(write, None);
            }
            Some(tracked) if tracked.life.closed_slot.is_none() => {
                if is_newer(&tracked.life) {
                    tracked.receive(write, Some(version));
                } else {
                    counter!(GUARD_REJECTIONS).increment(1);
                }
            }
            Some(tracked) if version <= (tracked.life.slot, tracked.life.write_version) => {
                counter!(GUARD_REJECTIONS).increment(1);
            }
            // The account was created without an event that this version can decode.
            _ => {
                let kind = AccountKind::of_data(&write.data);
                let life = Life::new(write.address, first_id(moment.slot), kind, moment.time);
                self.begin(life, moment);
                if let Some(tracked) = self.current.get_mut(&write.address) {
                    tracked.receive(write, Some(version));
                }
            }
        }
    }

    /// Closes an account whose close no event reports, as far as this version can decode the events.
    fn close_if_emptied(&mut self, address: &Address, slot: &SealedSlot, moment: Moment) {
        if let Some(tracked) = self.current.get_mut(address)
            // Anybody can name the address of a closed account in a transaction.
            && tracked.life.closed_slot.is_none()
            && tracked.life.slot <= moment.slot
            // Its address may have been empty before that.
            && tracked.life.life < first_id(moment.slot)
            // A write in the slot shows that the account exists at its end.
            && !slot.writes.iter().any(|write| write.address == *address)
        {
            self.holes.extend(tracked.count.end(*address, moment.slot));
            tracked.end(moment);
        }
    }

    /// Compares the counters of the open accounts that the slot touched with their last events.
    fn compare_counters(&mut self, slot: &SealedSlot) {
        let touched: BTreeSet<_> = touched_by(slot).collect();
        for address in touched {
            if let Some(Tracked { life, count, .. }) = self.current.get_mut(&address)
                && life.closed_slot.is_none()
            {
                self.holes
                    .extend(count.bytes(address, &life.data, slot.slot));
            }
        }
    }
}

impl Life {
    /// A life whose bytes are not known.
    pub fn new(
        address: Address,
        life: i64,
        kind: Option<AccountKind>,
        began_at: Option<DateTime<Utc>>,
    ) -> Self {
        let state = kind.map(Account::zeroed);
        Self {
            address,
            life,
            is_current: true,
            kind,
            slot: 0,
            write_version: 0,
            closed_slot: None,
            lamports: 0,
            data: state.map(|state| state.encode()).unwrap_or_default(),
            is_exact: false,
            facts: Facts {
                began_at,
                ..Facts::default()
            },
        }
    }

    /// Takes over an event that may be older than others of the life, and that the bytes may include.
    pub fn note_late(
        &mut self,
        event: &Event,
        change: &AccountChange,
        id: EventId,
        at: Option<DateTime<Utc>>,
    ) {
        let slot = id.slot();
        self.kind.get_or_insert(change.kind);
        self.facts.note_late(event, &self.address, id, at);
        if self.slot < slot {
            (self.slot, self.write_version) = (slot, 0);
        }
        // An RPC node may have shown the close later than it was.
        if change.closes && self.closed_slot != Some(slot) {
            self.closed_slot = Some(slot);
            self.facts.ended_at = at;
            (self.slot, self.write_version) = (slot, CLOSE_VERSION);
        }
    }

    /// The life with its state: its bytes, and those of the numbered events that are later than the bytes.
    pub fn with_events(self, events: &[(u64, &Event)], mints: &Mints) -> ChangedLife {
        let mut tracked = Tracked::new(self);
        tracked.events.extend(events);
        tracked.finish(mints)
    }

    /// The bytes with later events folded in. `None` if there are events and this version cannot decode
    /// the bytes.
    fn state(&self, events: &[(u64, &Event)], mints: &Mints) -> Option<Vec<u8>> {
        if events.is_empty() {
            return Some(self.data.clone());
        }
        let mut account = Account::decode(&self.data).ok()?;
        for &(number, event) in events {
            if account.seq() < number {
                fold(&mut account, &self.address, event, mints);
                account.set_seq(number);
            }
        }
        Some(account.encode())
    }
}

impl<'a> Tracked<'a> {
    fn new(life: Life) -> Self {
        Self {
            count: Count::of(&life),
            life,
            events: vec![],
            is_changed: false,
        }
    }

    fn apply_event(
        &mut self,
        event: &'a Event,
        change: &AccountChange,
        id: EventId,
        moment: Moment,
    ) {
        self.is_changed = true;
        self.events.push((change.number, event));
        self.life.kind.get_or_insert(change.kind);
        self.life
            .facts
            .note(event, &self.life.address, id, moment.time);
        if self.life.slot < moment.slot {
            (self.life.slot, self.life.write_version) = (moment.slot, 0);
        }
        if change.closes {
            self.end(moment);
        }
    }

    /// Takes over the bytes of a write. `version` is `None` for the last write before a close.
    fn receive(&mut self, write: &AccountWrite, version: Option<(i64, i64)>) {
        self.is_changed = true;
        self.life.data.clone_from(&write.data);
        self.life.is_exact = true;
        self.life.lamports = write.lamports;
        if let Some(kind) = AccountKind::of_data(&write.data) {
            self.life.kind = Some(kind);
        }
        if let Some((slot, write_version)) = version {
            (self.life.slot, self.life.write_version) = (slot, write_version);
        }
    }

    /// Ends the life, unless it has ended.
    fn end(&mut self, moment: Moment) {
        if self.life.closed_slot.is_none() {
            self.is_changed = true;
            self.life.closed_slot = Some(moment.slot);
            self.life.facts.ended_at = moment.time;
            (self.life.slot, self.life.write_version) = (moment.slot, CLOSE_VERSION);
            self.count.close(moment.slot);
        }
    }

    fn finish(mut self, mints: &Mints) -> ChangedLife {
        let state = self.life.state(&self.events, mints);
        // Events without the write that belongs to them come from blocks. Until the account is read
        // again, later events are folded into what the earlier ones have made of it.
        let awaits_write = self.life.closed_slot.is_none();
        if let Some(state) = &state
            && (awaits_write || !self.life.is_exact)
            && *state != self.life.data
        {
            self.life.data.clone_from(state);
            self.life.is_exact = false;
        }
        ChangedLife {
            life: self.life,
            state,
        }
    }
}
