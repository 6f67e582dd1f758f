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
#[derive(Clone, Debug)]
pub struct SealedSlot {
    pub slot: u64,
    /// The last write of each account in the slot.
    pub accounts: Vec<SubscribeUpdateAccountInfo>,
    pub transactions: Vec<SubscribeUpdateTransactionInfo>,
    pub meta: SubscribeUpdateBlockMeta,
    pub created_at: Timestamp,
}

/// Progress of a slot.
#[derive(Debug, Clone)]
pub enum SlotEvent {
    Confirmed(Arc<SealedSlot>),
    Finalized(Arc<SealedSlot>),
    /// The slot was confirmed, but the chain does not contain it.
    Dead(Arc<SealedSlot>),
    /// The slot reached its commitment level before the subscription began.
    Replayed {
        slot: Arc<SealedSlot>,
        finalized: bool,
    },
}

impl SlotEvent {
    pub fn slot(&self) -> &Arc<SealedSlot> {
        match self {
            Self::Confirmed(slot)
            | Self::Finalized(slot)
            | Self::Dead(slot)
            | Self::Replayed { slot, .. } => slot,
        }
    }
}

/// A position in the feed: the events to replay, and a receiver of the events after them.
#[derive(Debug)]
pub struct Subscription {
    pub replay: Vec<SlotEvent>,
    pub live: broadcast::Receiver<SlotEvent>,
}

/// The feed cannot start a replay with the requested slot. The messages are those of the
/// Yellowstone plugin, which clients recognise.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReplayError {
    #[error("broadcast from {from_slot} is not available, last available: {first_available}")]
    TooOld {
        from_slot: u64,
        first_available: u64,
    },
    /// There is no slot from the requested one on.
    #[error("failed to get replay response")]
    Empty,
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

    /// Removes a slot and all later slots, and reports the slot dead.
    pub fn abandon(&self, first: u64) {
        let mut recent = self.recent();
        let kept = recent.slots.partition_point(|slot| slot.slot < first);
        if let Some(dead) = recent.slots.drain(kept..).next() {
            let _ = self.live.send(SlotEvent::Dead(dead));
        }
    }

    /// Removes all slots, without a report to subscribers.
    pub fn clear(&self) {
        self.recent().slots.clear();
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

    /// Subscribes to live events. With `from_slot`, the replay starts with that slot.
    pub fn subscribe(&self, from_slot: Option<u64>) -> Result<Subscription, ReplayError> {
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

    /// The last write of an account in the recent slots.
    pub fn last_write(&self, pubkey: &[u8]) -> Option<SubscribeUpdateAccountInfo> {
        let recent = self.recent();
        let mut newest_first = recent.slots.iter().rev();
        newest_first
            .find_map(|slot| slot.accounts.iter().find(|write| write.pubkey == pubkey))
            .cloned()
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
    fn replay(&self, from_slot: u64) -> Result<Vec<SlotEvent>, ReplayError> {
        if let Some(first) = self.slots.front()
            && from_slot < first.slot
        {
            return Err(ReplayError::TooOld {
                from_slot,
                first_available: first.slot,
            });
        }
        let wanted = self.slots.iter().filter(|slot| slot.slot >= from_slot);
        let replay: Vec<_> = wanted
            .map(|slot| SlotEvent::Replayed {
                slot: Arc::clone(slot),
                finalized: slot.slot <= self.finalized,
            })
            .collect();
        match replay.is_empty() {
            true => Err(ReplayError::Empty),
            false => Ok(replay),
        }
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

    /// The initial of the event and the slot; in a replay, the initial of the commitment level.
    fn summary(events: &[SlotEvent]) -> Vec<(char, u64)> {
        events
            .iter()
            .map(|event| match event {
                SlotEvent::Confirmed(slot) => ('c', slot.slot),
                SlotEvent::Finalized(slot) => ('f', slot.slot),
                SlotEvent::Dead(slot) => ('d', slot.slot),
                SlotEvent::Replayed { slot, finalized } => match finalized {
                    true => ('f', slot.slot),
                    false => ('c', slot.slot),
                },
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
    fn replay_states_which_slots_are_finalized() {
        let feed = feed(10..=12);
        feed.finalize(11);
        let replay = feed.subscribe(Some(11)).unwrap().replay;
        assert_eq!(summary(&replay), [('f', 11), ('c', 12)]);
    }

    #[test]
    fn a_future_slot_is_refused() {
        let error = feed(10..=12).subscribe(Some(13)).unwrap_err();
        assert_eq!(error, ReplayError::Empty);
        let error = Feed::default().subscribe(Some(13)).unwrap_err();
        assert_eq!(error, ReplayError::Empty);
    }

    #[test]
    fn an_expired_slot_is_refused_with_the_first_available_slot() {
        let last = 10 + REPLAY_SLOTS as u64;
        let feed = feed(10..=last);
        let error = feed.subscribe(Some(10)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "broadcast from 10 is not available, last available: 11"
        );
        assert_eq!(feed.first_available(), Some(11));
        assert_eq!(feed.subscribe(Some(11)).unwrap().replay.len(), REPLAY_SLOTS);
    }

    #[test]
    fn abandoned_slots_are_not_replayed_and_the_first_is_reported_dead() {
        let feed = feed(10..=14);
        let mut live = feed.subscribe(None).unwrap().live;
        feed.abandon(13);
        assert_eq!(summary(&drain(&mut live)), [('d', 13)]);
        let replay = feed.subscribe(Some(12)).unwrap().replay;
        assert_eq!(summary(&replay), [('c', 12)]);
    }

    #[test]
    fn the_last_write_of_an_account_is_the_newest() {
        let feed = Feed::default();
        for (slot, lamports) in [(10, 1), (11, 2)] {
            let mut sealed = sealed_slot(slot);
            sealed.accounts[0].lamports = lamports;
            feed.confirm(sealed);
        }
        let known = sealed_slot(10).accounts.remove(0).pubkey;
        assert_eq!(feed.last_write(&known).unwrap().lamports, 2);
        assert!(feed.last_write(&[0; 32]).is_none());
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
