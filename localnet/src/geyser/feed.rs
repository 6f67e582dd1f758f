//! Recent slots for replay, and live slots for all subscribers.

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

/// Number of slots kept for replay: 3 minutes and 24 seconds at 400 ms.
const REPLAY_SLOTS: usize = 512;
/// Number of events that a subscriber may fall behind. Each slot causes two events.
const LIVE_QUEUE: usize = 512;

/// A complete slot, whose content does not change any more.
#[derive(Debug)]
pub struct SealedSlot {
    pub slot: u64,
    /// The last write of each account in the slot.
    pub accounts: Vec<SubscribeUpdateAccountInfo>,
    pub transactions: Vec<SubscribeUpdateTransactionInfo>,
    pub meta: SubscribeUpdateBlockMeta,
    pub created_at: Timestamp,
}

/// A commitment level that a slot has reached.
#[derive(Debug, Clone)]
pub enum SlotEvent {
    Confirmed(Arc<SealedSlot>),
    Finalized(Arc<SealedSlot>),
}

/// A position in the feed: the events to replay, and a receiver of the events after them.
#[derive(Debug)]
pub struct Subscription {
    pub replay: Vec<SlotEvent>,
    pub live: broadcast::Receiver<SlotEvent>,
}

/// The feed no longer has the slot that a replay should start with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("from_slot {from_slot} is too old: first available slot is {first_available}")]
pub struct SlotTooOld {
    pub from_slot: u64,
    pub first_available: u64,
}

/// The validator's sealed slots: the recent ones for replay, and new ones as they are sealed.
#[derive(Debug)]
pub struct Feed {
    recent: Mutex<RecentSlots>,
    live: broadcast::Sender<SlotEvent>,
}

#[derive(Debug, Default)]
struct RecentSlots {
    /// In ascending order, at most [`REPLAY_SLOTS`].
    slots: VecDeque<Arc<SealedSlot>>,
    /// The latest finalized slot; 0 if there is none.
    finalized: u64,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            recent: Mutex::default(),
            live: broadcast::Sender::new(LIVE_QUEUE),
        }
    }
}

impl Feed {
    /// Adds a slot and sends it to all subscribers.
    pub fn confirm(&self, slot: SealedSlot) {
        let slot = Arc::new(slot);
        let mut recent = self.recent();
        if recent.slots.len() == REPLAY_SLOTS {
            recent.slots.pop_front();
        }
        recent.slots.push_back(Arc::clone(&slot));
        // Send while holding the lock: a concurrent subscriber then gets the slot exactly once,
        // either replayed or live.
        let _ = self.live.send(SlotEvent::Confirmed(slot));
    }

    /// Finalizes `root` and every slot before it.
    pub fn finalize(&self, root: u64) {
        let mut recent = self.recent();
        for slot in &recent.slots {
            if recent.finalized < slot.slot && slot.slot <= root {
                let _ = self.live.send(SlotEvent::Finalized(Arc::clone(slot)));
            }
        }
        recent.finalized = recent.finalized.max(root);
    }

    /// Subscribes to live events. With `from_slot`, the replay starts with that slot; it is empty
    /// if the slot is in the future.
    pub fn subscribe(&self, from_slot: Option<u64>) -> Result<Subscription, SlotTooOld> {
        let recent = self.recent();
        let replay = match from_slot {
            None => Vec::new(),
            Some(from_slot) => recent.replay(from_slot)?,
        };
        Ok(Subscription {
            replay,
            live: self.live.subscribe(),
        })
    }

    /// The oldest slot that can be replayed.
    pub fn first_available(&self) -> Option<u64> {
        self.recent().slots.front().map(|slot| slot.slot)
    }

    pub fn last_confirmed(&self) -> Option<Arc<SealedSlot>> {
        self.recent().slots.back().cloned()
    }

    pub fn last_finalized(&self) -> Option<Arc<SealedSlot>> {
        let recent = self.recent();
        let mut newest_first = recent.slots.iter().rev();
        newest_first
            .find(|slot| slot.slot <= recent.finalized)
            .cloned()
    }

    /// Finds the slot with this blockhash among the recent slots.
    pub fn by_blockhash(&self, blockhash: &str) -> Option<Arc<SealedSlot>> {
        let recent = self.recent();
        let mut newest_first = recent.slots.iter().rev();
        newest_first
            .find(|slot| slot.meta.blockhash == blockhash)
            .cloned()
    }

    /// Locks despite poisoning: no code panics halfway through a change to the slots.
    fn recent(&self) -> MutexGuard<'_, RecentSlots> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecentSlots {
    fn replay(&self, from_slot: u64) -> Result<Vec<SlotEvent>, SlotTooOld> {
        if let Some(first) = self.slots.front()
            && from_slot < first.slot
        {
            return Err(SlotTooOld {
                from_slot,
                first_available: first.slot,
            });
        }
        let wanted = self.slots.iter().filter(|slot| slot.slot >= from_slot);
        Ok(wanted
            .flat_map(|slot| {
                let confirmed = SlotEvent::Confirmed(Arc::clone(slot));
                let finalized = slot.slot <= self.finalized;
                let finalized = finalized.then(|| SlotEvent::Finalized(Arc::clone(slot)));
                [Some(confirmed), finalized].into_iter().flatten()
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geyser::test_data::sealed_slot;

    fn feed(slots: std::ops::RangeInclusive<u64>) -> Feed {
        let feed = Feed::default();
        slots.for_each(|slot| feed.confirm(sealed_slot(slot)));
        feed
    }

    /// `c` or `f` for confirmed or finalized, and the slot.
    fn summary(events: &[SlotEvent]) -> Vec<(char, u64)> {
        events
            .iter()
            .map(|event| match event {
                SlotEvent::Confirmed(slot) => ('c', slot.slot),
                SlotEvent::Finalized(slot) => ('f', slot.slot),
            })
            .collect()
    }

    fn drain(live: &mut broadcast::Receiver<SlotEvent>) -> Vec<SlotEvent> {
        std::iter::from_fn(|| live.try_recv().ok()).collect()
    }

    #[test]
    fn replay_starts_at_the_requested_slot_and_live_events_follow_it() {
        let feed = feed(10..=14);
        let mut subscription = feed.subscribe(Some(13)).unwrap();
        feed.confirm(sealed_slot(15));
        assert_eq!(summary(&subscription.replay), [('c', 13), ('c', 14)]);
        assert_eq!(summary(&drain(&mut subscription.live)), [('c', 15)]);
    }

    #[test]
    fn replay_includes_finalized_events() {
        let feed = feed(10..=12);
        feed.finalize(11);
        let replay = feed.subscribe(Some(11)).unwrap().replay;
        assert_eq!(summary(&replay), [('c', 11), ('f', 11), ('c', 12)]);
    }

    #[test]
    fn a_future_slot_has_an_empty_replay() {
        let subscription = feed(10..=12).subscribe(Some(20)).unwrap();
        assert_eq!(summary(&subscription.replay), []);
    }

    #[test]
    fn an_expired_slot_is_refused_with_the_first_available_slot() {
        let last = 10 + REPLAY_SLOTS as u64;
        let feed = feed(10..=last);
        let error = feed.subscribe(Some(10)).unwrap_err();
        assert_eq!(error.first_available, 11);
        assert_eq!(
            error.to_string(),
            "from_slot 10 is too old: first available slot is 11"
        );
        assert_eq!(feed.subscribe(Some(11)).unwrap().replay.len(), REPLAY_SLOTS);
    }

    #[test]
    fn a_root_finalizes_every_earlier_slot_once() {
        let feed = feed(10..=14);
        let mut live = feed.subscribe(None).unwrap().live;
        feed.finalize(11);
        feed.finalize(11);
        feed.finalize(13);
        let events = summary(&drain(&mut live));
        assert_eq!(events, [('f', 10), ('f', 11), ('f', 12), ('f', 13)]);
        assert_eq!(feed.last_finalized().unwrap().slot, 13);
        assert_eq!(feed.last_confirmed().unwrap().slot, 14);
    }
}
