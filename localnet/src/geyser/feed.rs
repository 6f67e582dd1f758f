//! The last slots, for replay, and the live ones, for everybody.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast;
use yellowstone_grpc_proto::{
    geyser::{
        SubscribeUpdateAccountInfo, SubscribeUpdateBlockMeta, SubscribeUpdateTransactionInfo,
    },
    prost_types::Timestamp,
};

/// How many slots can be replayed: 3 minutes and 24 seconds at 400 ms.
const RING_SLOTS: usize = 512;
/// How many events a subscriber may be behind: each slot makes two.
const LIVE_EVENTS: usize = 512;

/// A slot that will not change any more.
#[derive(Debug)]
pub struct SealedSlot {
    pub slot: u64,
    /// One of each account: its last write in the slot.
    pub accounts: Vec<SubscribeUpdateAccountInfo>,
    pub transactions: Vec<SubscribeUpdateTransactionInfo>,
    pub meta: SubscribeUpdateBlockMeta,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone)]
pub enum Event {
    Confirmed(Arc<SealedSlot>),
    Finalized(Arc<SealedSlot>),
}

/// A place in the feed: what is to be replayed first, then what comes.
#[derive(Debug)]
pub struct Subscription {
    pub replay: Vec<Event>,
    pub live: broadcast::Receiver<Event>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("from_slot {from_slot} is too old: first available slot is {first_available}")]
pub struct OutOfRange {
    pub from_slot: u64,
    pub first_available: u64,
}

#[derive(Debug)]
pub struct Feed {
    slots: Mutex<Slots>,
    live: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Slots {
    ring: VecDeque<Arc<SealedSlot>>,
    finalized: u64,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            live: broadcast::Sender::new(LIVE_EVENTS),
        }
    }
}

impl Feed {
    pub fn confirm(&self, slot: SealedSlot) {
        let slot = Arc::new(slot);
        let mut slots = self.slots();
        if slots.ring.len() == RING_SLOTS {
            slots.ring.pop_front();
        }
        slots.ring.push_back(Arc::clone(&slot));
        // Sent under the lock: a subscriber has the slot either in its replay or live.
        let _ = self.live.send(Event::Confirmed(slot));
    }

    /// Finalizes `root` and every slot before it.
    pub fn finalize(&self, root: u64) {
        let mut slots = self.slots();
        for slot in &slots.ring {
            if slots.finalized < slot.slot && slot.slot <= root {
                let _ = self.live.send(Event::Finalized(Arc::clone(slot)));
            }
        }
        slots.finalized = slots.finalized.max(root);
    }

    /// With `from_slot`, that slot is the first to be replayed. One that is not there yet has
    /// nothing to replay.
    pub fn subscribe(&self, from_slot: Option<u64>) -> Result<Subscription, OutOfRange> {
        let slots = self.slots();
        let replay = match from_slot {
            None => Vec::new(),
            Some(from_slot) => slots.replay(from_slot)?,
        };
        Ok(Subscription {
            replay,
            live: self.live.subscribe(),
        })
    }

    pub fn first_available(&self) -> Option<u64> {
        self.slots().ring.front().map(|slot| slot.slot)
    }

    pub fn last_confirmed(&self) -> Option<Arc<SealedSlot>> {
        self.slots().ring.back().cloned()
    }

    pub fn last_finalized(&self) -> Option<Arc<SealedSlot>> {
        let slots = self.slots();
        let mut from_the_last = slots.ring.iter().rev();
        from_the_last
            .find(|slot| slot.slot <= slots.finalized)
            .cloned()
    }

    /// The slot among those kept whose block has this hash.
    pub fn by_blockhash(&self, blockhash: &str) -> Option<Arc<SealedSlot>> {
        let slots = self.slots();
        let mut from_the_last = slots.ring.iter().rev();
        from_the_last
            .find(|slot| slot.meta.blockhash == blockhash)
            .cloned()
    }

    /// Nothing that holds the lock leaves the slots half changed, so a panic does not matter.
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn replay(&self, from_slot: u64) -> Result<Vec<Event>, OutOfRange> {
        if let Some(first) = self.ring.front()
            && from_slot < first.slot
        {
            return Err(OutOfRange {
                from_slot,
                first_available: first.slot,
            });
        }
        let wanted = self.ring.iter().filter(|slot| slot.slot >= from_slot);
        Ok(wanted
            .flat_map(|slot| {
                let confirmed = Event::Confirmed(Arc::clone(slot));
                let finalized = slot.slot <= self.finalized;
                let finalized = finalized.then(|| Event::Finalized(Arc::clone(slot)));
                [Some(confirmed), finalized].into_iter().flatten()
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geyser::test_data::sealed;

    fn feed(slots: std::ops::RangeInclusive<u64>) -> Feed {
        let feed = Feed::default();
        slots.for_each(|slot| feed.confirm(sealed(slot)));
        feed
    }

    fn tell(events: &[Event]) -> Vec<(char, u64)> {
        events
            .iter()
            .map(|event| match event {
                Event::Confirmed(slot) => ('c', slot.slot),
                Event::Finalized(slot) => ('f', slot.slot),
            })
            .collect()
    }

    fn drain(live: &mut broadcast::Receiver<Event>) -> Vec<Event> {
        std::iter::from_fn(|| live.try_recv().ok()).collect()
    }

    #[test]
    fn replay_begins_with_the_slot_asked_for_and_live_goes_on_from_it() {
        let feed = feed(10..=14);
        let mut subscription = feed.subscribe(Some(13)).unwrap();
        feed.confirm(sealed(15));
        assert_eq!(tell(&subscription.replay), [('c', 13), ('c', 14)]);
        assert_eq!(tell(&drain(&mut subscription.live)), [('c', 15)]);
    }

    #[test]
    fn replay_tells_which_slots_are_final() {
        let feed = feed(10..=12);
        feed.finalize(11);
        let replay = feed.subscribe(Some(11)).unwrap().replay;
        assert_eq!(tell(&replay), [('c', 11), ('f', 11), ('c', 12)]);
    }

    #[test]
    fn a_slot_to_come_is_no_error() {
        let subscription = feed(10..=12).subscribe(Some(20)).unwrap();
        assert_eq!(tell(&subscription.replay), []);
    }

    #[test]
    fn a_slot_that_is_gone_is_refused_with_the_first_that_is_there() {
        let last = 10 + RING_SLOTS as u64;
        let feed = feed(10..=last);
        let refused = feed.subscribe(Some(10)).unwrap_err();
        assert_eq!(refused.first_available, 11);
        assert_eq!(
            refused.to_string(),
            "from_slot 10 is too old: first available slot is 11"
        );
        assert_eq!(feed.subscribe(Some(11)).unwrap().replay.len(), RING_SLOTS);
    }

    #[test]
    fn a_root_finalizes_every_earlier_slot_once() {
        let feed = feed(10..=14);
        let mut live = feed.subscribe(None).unwrap().live;
        feed.finalize(11);
        feed.finalize(11);
        feed.finalize(13);
        let told = tell(&drain(&mut live));
        assert_eq!(told, [('f', 10), ('f', 11), ('f', 12), ('f', 13)]);
        assert_eq!(feed.last_finalized().unwrap().slot, 13);
        assert_eq!(feed.last_confirmed().unwrap().slot, 14);
    }
}
