//! Subscriptions of a session.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    super::{channel::Channel, hub::Listening, outbox::SubscriptionId},
    resumption::ClientPosition,
};

/// Each subscription has an id, and a new one after a reset: what was loaded or queued for the old one
/// counts no more.
#[derive(Default)]
pub struct Subscriptions {
    by_id: HashMap<SubscriptionId, Subscription>,
    ids: HashMap<Arc<str>, SubscriptionId>,
}

pub struct Subscription {
    pub name: Arc<str>,
    pub channel: Channel,
    pub state: State,
}

/// `id` is that of the client's request, or null.
pub enum State {
    /// A snapshot is being read.
    Snapshot {
        id: Value,
        /// Number of snapshots that came too early or too late to continue from.
        attempts: u32,
        /// Whether the client was sent a reset, and not an error if the snapshot fails.
        is_reset: bool,
    },
    /// The client was sent a reset. The snapshot is read once the mirror has all accounts.
    Waiting { id: Value },
    /// It is being read whether the subscription can continue.
    Resume { id: Value, from: ClientPosition },
    /// Records that the client has missed are being read.
    Replay(Replay),
    /// The hub passes messages on.
    Active {
        _listening: Listening,
        /// Messages up to this one were sent, or are in the snapshot.
        covered: i64,
    },
}

pub struct Replay {
    pub id: Value,
    pub epoch: i64,
    /// All messages up to this record were sent.
    pub covered: i64,
    /// `seq` of the last message that the client has.
    pub last: i64,
    pub deadline: Instant,
    pub _permit: OwnedSemaphorePermit,
}

impl State {
    pub fn snapshot(id: Value, is_reset: bool) -> Self {
        Self::Snapshot {
            id,
            attempts: 0,
            is_reset,
        }
    }
}

impl Subscriptions {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn has(&self, name: &str) -> bool {
        self.ids.contains_key(name)
    }

    pub fn get(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.by_id.get(&id)
    }

    pub fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.by_id.get_mut(&id)
    }

    pub fn insert(&mut self, id: SubscriptionId, subscription: Subscription) {
        self.ids.insert(Arc::clone(&subscription.name), id);
        self.by_id.insert(id, subscription);
    }

    pub fn remove(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let subscription = self.by_id.remove(&id)?;
        self.ids.remove(&subscription.name);
        Some(subscription)
    }

    /// Returns whether there was a subscription.
    pub fn end(&mut self, name: &str) -> bool {
        let id = self.ids.get(name).copied();
        id.is_some_and(|id| self.remove(id).is_some())
    }

    /// Subscriptions with something from before the record `seq` that the client was not told to discard.
    pub fn begun_before(&self, seq: i64) -> Vec<SubscriptionId> {
        let begun = self.by_id.iter().filter(|(_, subscription)| {
            match &subscription.state {
                State::Active { covered, .. } => *covered < seq,
                State::Replay(replay) => replay.covered < seq,
                // Whatever is being read is compared with the hub's position afterwards.
                State::Resume { .. } | State::Snapshot { .. } | State::Waiting { .. } => false,
            }
        });
        begun.map(|(id, _)| *id).collect()
    }

    pub fn waiting(&self) -> Vec<SubscriptionId> {
        let is_waiting =
            |subscription: &Subscription| matches!(subscription.state, State::Waiting { .. });
        let waiting = self.by_id.iter();
        let waiting = waiting.filter(|(_, subscription)| is_waiting(subscription));
        waiting.map(|(id, _)| *id).collect()
    }

    /// Up to where clients that resume in this epoch have everything.
    pub fn resuming(&self, epoch: i64) -> impl Iterator<Item = i64> {
        self.by_id
            .values()
            .filter_map(move |subscription| match &subscription.state {
                State::Replay(replay) if replay.epoch == epoch => Some(replay.covered),
                State::Resume { from, .. } if from.epoch == Some(epoch) => Some(from.seq.max(0)),
                _ => None,
            })
    }
}
