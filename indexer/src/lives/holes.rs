//! Events and writes that the mirror lacks. Each account counts its events, and each event has its number: a
//! missing event shows at the next event of the account, or in the account's bytes. A missing write shows in
//! the bytes, which are older than the last event then.

use std::fmt;

use driftshield_sdk::{Account, AccountChange, Address};

use super::{Life, UNDONE_VERSION};
use crate::event_id::EventId;

/// What shows that the mirror lacks an event or a write of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    pub address: Address,
    /// Slot that shows it.
    pub slot: i64,
    /// Slot up to which the mirror has all events; 0 if it did not know the account.
    pub since: i64,
    /// Whether the mirror's bytes may be of slots that were undone.
    pub is_undone: bool,
    pub sign: Sign,
}

/// How a hole shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The numbers of two events that follow each other. `last` is 0 before the first event.
    Event { last: u64, number: u64 },
    /// The number of the last event, and the account's counter, which is higher.
    Counter { last: u64, counter: u64 },
    /// The number of the account's last event in the slot, and the counter of its bytes, which is lower although
    /// the slot must have bytes from after its events. Blocks have no bytes, so it proves something of slots of a
    /// stream alone.
    Write { last: u64, counter: u64 },
    /// The account was closed, or created again, and no event closed it.
    Close,
}

/// How far the events of a life are known.
#[derive(Debug)]
pub struct Count {
    /// Number of the last event. `None` if the bytes that say it can't be decoded.
    last: Option<u64>,
    /// The last event, if it is of the batch.
    event: Option<EventId>,
    since: i64,
    is_undone: bool,
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, since, .. } = self;
        write!(f, "account {address}: ")?;
        match self.sign {
            Sign::Event { last, number } => {
                write!(f, "event number {number} follows event number {last}")?;
            }
            Sign::Counter { last, counter } => write!(
                f,
                "last event number is {last}, but the account's counter is {counter}"
            )?,
            Sign::Write { last, counter } => write!(
                f,
                "last event number is {last}, but the counter of the bytes is {counter}"
            )?,
            Sign::Close => write!(f, "it ended, but no event closed it")?,
        }
        write!(f, " (since slot {since})")
    }
}

impl Count {
    /// Of an account that does not exist or has not begun.
    pub fn none() -> Self {
        Self {
            last: Some(0),
            event: None,
            since: 0,
            is_undone: false,
        }
    }

    /// Of a life as the mirror has it. A closed account begins again with its first event.
    pub fn of(life: &Life) -> Self {
        let counter = || Account::decode(&life.data).ok().map(|data| data.seq());
        Self {
            last: life.closed_slot.map_or_else(counter, |_| Some(0)),
            since: life.slot,
            is_undone: life.write_version == UNDONE_VERSION,
            ..Self::none()
        }
    }

    /// Takes note that the account began after this life, and whatever the mirror lacks came after it.
    pub fn follow(&mut self, before: &Self) {
        (self.since, self.is_undone) = (before.since, before.is_undone);
    }

    /// Takes note that the account was closed in `slot`.
    pub fn close(&mut self, slot: i64) {
        *self = Self {
            since: slot,
            ..Self::none()
        };
    }

    /// Counts an event.
    pub fn event(&mut self, change: &AccountChange, id: EventId) -> Option<Hole> {
        let number = change.number;
        // An event can change an account in two ways.
        let is_repeated = self.event == Some(id) && self.last == Some(number);
        let last = self.last.filter(|last| *last + 1 != number && !is_repeated);
        let hole = last.map(|last| {
            let sign = Sign::Event { last, number };
            self.hole(change.address, id.slot(), sign)
        });
        self.know(number, id.slot());
        self.event = Some(id);
        hole
    }

    /// Compares the bytes of the open account at the end of `slot` with the events. The bytes may be earlier:
    /// that is a hole if the account has an event in the slot.
    pub fn bytes(&mut self, address: Address, data: &[u8], slot: i64) -> Option<Hole> {
        let counter = Account::decode(data).ok()?.seq();
        let has_event = self.event.is_some_and(|event| event.slot() == slot);
        let sign = match self.last {
            Some(last) if last < counter => Some(Sign::Counter { last, counter }),
            Some(last) if counter < last && has_event => Some(Sign::Write { last, counter }),
            _ => None,
        };
        let hole = sign.map(|sign| self.hole(address, slot, sign));
        if self.last.is_none_or(|last| last <= counter) {
            self.know(counter, slot);
        }
        hole
    }

    /// A hole if the account ended in `slot` without an event. Of bytes that can't be decoded nothing is
    /// known.
    pub fn end(&self, address: Address, slot: i64) -> Option<Hole> {
        self.last.map(|_| self.hole(address, slot, Sign::Close))
    }

    fn know(&mut self, last: u64, slot: i64) {
        *self = Self {
            last: Some(last),
            event: self.event,
            since: slot,
            is_undone: false,
        };
    }

    fn hole(&self, address: Address, slot: i64, sign: Sign) -> Hole {
        Hole {
            address,
            slot,
            since: self.since,
            is_undone: self.is_undone,
            sign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Sign::*, *};
    use crate::{
        lives::{Lives, Mints, test_data::*},
        slot::SealedSlot,
    };

    /// The events that the slots show to be missing of the market: signs, and the slots from and to.
    fn holes(slots: &[SealedSlot]) -> Vec<(Sign, i64, i64)> {
        let mut holes = all_holes(slots);
        holes.retain(|(sign, ..)| !matches!(sign, Write { .. }));
        holes
    }

    /// As [`holes`], and the missing writes.
    fn all_holes(slots: &[SealedSlot]) -> Vec<(Sign, i64, i64)> {
        let mut lives = Lives::new(vec![], Mints::new());
        for slot in slots {
            lives.apply(slot, |_, _| {});
        }
        let holes = lives.take_holes().into_iter();
        let of_market = holes.filter(|hole| hole.address == MARKET.into());
        of_market
            .map(|hole| (hole.sign, hole.since, hole.slot))
            .collect()
    }

    /// Slot 6, in which the market is created, and another one.
    fn after_creation(then: SealedSlot) -> Vec<(Sign, i64, i64)> {
        let creation = slot(6, vec![created(1)], vec![write(1, market_bytes(1, 0))]);
        holes(&[creation, then])
    }

    #[test]
    fn a_whole_slot_has_no_hole() {
        let bytes = |seq| vec![write(9, market_bytes(seq, 40))];
        assert_eq!(
            after_creation(slot(7, vec![bet(2, 4), bet(3, 40)], bytes(3))),
            []
        );
        assert_eq!(after_creation(slot(7, vec![], bytes(1))), []);
        let again = vec![bet(2, 40), cancelled(3), created(1)];
        assert_eq!(after_creation(slot(7, again, bytes(1))), []);
        let closed = vec![bet(2, 40), cancelled(3)];
        assert_eq!(after_creation(slot(7, closed, bytes(2))), []);
    }

    #[test]
    fn a_missing_event_shows_at_the_next_one_and_in_the_bytes() {
        let later = slot(7, vec![bet(3, 40)], vec![write(9, market_bytes(3, 40))]);
        let event = |last, number| Event { last, number };
        assert_eq!(after_creation(later.clone()), [(event(1, 3), 6, 7)]);
        let bytes = slot(7, vec![], vec![write(9, market_bytes(3, 40))]);
        let expected = Counter {
            last: 1,
            counter: 3,
        };
        assert_eq!(after_creation(bytes.clone()), [(expected, 6, 7)]);
        // The mirror does not know the account at all.
        assert_eq!(holes(&[later]), [(event(0, 3), 0, 7)]);
        let expected = Counter {
            last: 0,
            counter: 3,
        };
        assert_eq!(holes(&[bytes]), [(expected, 0, 7)]);
    }

    #[test]
    fn an_account_ends_with_an_event() {
        let mut emptied = slot(7, vec![], vec![]);
        emptied.emptied = [MARKET.into()].into();
        assert_eq!(after_creation(emptied), [(Close, 6, 7)]);
        let again = slot(7, vec![created(1)], vec![write(9, market_bytes(1, 0))]);
        assert_eq!(after_creation(again), [(Close, 6, 7)]);
        // What comes after the end is of another life, whose beginning is missing.
        let events = vec![cancelled(2), bet(2, 40)];
        let sign = Event { last: 0, number: 2 };
        assert_eq!(after_creation(slot(7, events, vec![])), [(sign, 7, 7)]);
    }

    #[test]
    fn bytes_of_before_the_last_event_of_the_slot_lack_a_write() {
        let created = slot(6, vec![created(1)], vec![write(1, market_bytes(1, 0))]);
        let bets = || vec![bet(2, 4), bet(3, 40)];
        let missing = |counter| {
            let sign = Write { last: 3, counter };
            vec![(sign, 7, 7)]
        };
        let after = |then: SealedSlot| all_holes(&[created.clone(), then]);
        assert_eq!(after(slot(7, bets(), vec![])), missing(1));
        let between = vec![write(9, market_bytes(2, 4))];
        assert_eq!(after(slot(7, bets(), between)), missing(2));
        assert_eq!(
            after(slot(7, bets(), vec![write(9, market_bytes(3, 40))])),
            []
        );
        // The stream need not have the bytes of an account that was closed, nor can unknown bytes tell.
        assert_eq!(after(slot(7, vec![bet(2, 40), cancelled(3)], vec![])), []);
        let unknown = vec![write(9, vec![0xff; 40])];
        assert_eq!(after(slot(7, bets(), unknown)), []);
        // Of a slot without events nothing is expected.
        let block = slot(7, bets(), vec![]);
        let empty = slot(8, vec![], vec![write(9, market_bytes(2, 4))]);
        assert_eq!(all_holes(&[created, block, empty]), missing(1));
    }

    #[test]
    fn bytes_that_cannot_be_decoded_prove_nothing() {
        let unknown = slot(7, vec![], vec![write(9, vec![0xff; 40])]);
        assert_eq!(after_creation(unknown.clone()), []);
        let later = slot(8, vec![], vec![write(9, vec![0xff; 40])]);
        assert_eq!(holes(&[unknown, later]), []);
        let life = Life::new(MARKET.into(), 1, None, None);
        let mut count = Count::of(&life);
        assert_eq!(count.end(MARKET.into(), 9), None);
        assert_eq!(count.bytes(MARKET.into(), &market_bytes(7, 0), 9), None);
    }

    #[test]
    fn a_life_is_counted_from_its_bytes() {
        let mut life = Life::new(MARKET.into(), 1, None, None);
        (life.slot, life.data) = (6, market_bytes(4, 0));
        life.write_version = UNDONE_VERSION;
        let bytes = market_bytes(7, 0);
        let hole = Count::of(&life).bytes(MARKET.into(), &bytes, 9);
        let hole = hole.expect("three events are missing");
        assert_eq!((hole.since, hole.is_undone), (6, true));
        let text = hole.to_string();
        assert!(text.contains("last event number is 4"), "{text}");
    }
}
