//! Feed: broadcasts updates of the mirror to all sockets, and keeps its latest status.
//!
//! `tail` writes the feed; sockets and requests read it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{broadcast, watch},
    time::timeout,
};

use crate::mirror::MirrorStatus;

/// Age from which the latest complete poll of the database counts as stale.
pub const STALE_AFTER: Duration = Duration::from_secs(2);
/// Number of messages that a socket may fall behind before it is closed.
const CAPACITY: usize = 1024;

/// A message to all sockets.
#[derive(Clone)]
pub enum FeedMessage {
    Update(Arc<Update>),
    Rollback(Rollback),
    Gap(Arc<Gap>),
    /// The mirror has all accounts again.
    Settled,
    /// The mirror does not continue what was broadcast so far, for the reason given.
    Discontinued(&'static str),
}

/// An event and the states derived from it, serialised for the sockets.
pub struct Update {
    pub epoch: i64,
    pub seq: i64,
    pub slot: i64,
    /// Message type of the event.
    pub kind: &'static str,
    /// Channels that the event belongs to.
    pub channels: Vec<String>,
    /// The event in JSON.
    pub json: String,
    pub states: Vec<DerivedState>,
}

/// The chain went back: events of slots after `to_slot` are no longer part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollback {
    pub epoch: i64,
    pub seq: i64,
    pub to_slot: i64,
}

/// Change of a gap: slots that the mirror misses, from `from_slot` to `to_slot`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub epoch: i64,
    pub seq: i64,
    pub from_slot: i64,
    pub to_slot: i64,
    /// `open`, `filled` or `lost`.
    pub state: String,
}

/// State derived from an event.
pub struct DerivedState {
    /// Message type of the state.
    pub kind: &'static str,
    /// Channels that the state belongs to.
    pub channels: Vec<String>,
    /// The state in JSON.
    pub json: String,
}

/// Latest complete poll of the database: one that left no events to broadcast.
#[derive(Clone, Copy)]
struct LatestPoll {
    mirror: Option<MirrorStatus>,
    /// `None` before the first complete poll.
    at: Option<Instant>,
}

pub struct Feed {
    latest_poll: watch::Sender<LatestPoll>,
    messages: broadcast::Sender<FeedMessage>,
}

impl Feed {
    pub fn new() -> Self {
        Self {
            latest_poll: watch::Sender::new(LatestPoll {
                mirror: None,
                at: None,
            }),
            messages: broadcast::Sender::new(CAPACITY),
        }
    }

    pub fn subscribe(&self) -> broadcast::Receiver<FeedMessage> {
        self.messages.subscribe()
    }

    /// Sends a message to all sockets.
    pub fn broadcast(&self, message: FeedMessage) {
        // Sending fails if there is no socket, which is fine.
        let _ = self.messages.send(message);
    }

    /// Records the mirror's status after a complete poll.
    pub fn record_poll(&self, mirror: Option<MirrorStatus>) {
        self.latest_poll.send_replace(LatestPoll {
            mirror,
            at: Some(Instant::now()),
        });
    }

    /// Status of the mirror at the latest complete poll, with its age as of now. `None` before the
    /// first complete poll, and while the mirror is empty.
    pub fn mirror(&self) -> Option<MirrorStatus> {
        let LatestPoll { mirror, at } = *self.latest_poll.borrow();
        let elapsed = at.map_or(Duration::ZERO, |at| at.elapsed());
        mirror.map(|mirror| mirror.aged(elapsed))
    }

    /// Whether a poll of the database has completed within [`STALE_AFTER`].
    pub fn is_connected(&self) -> bool {
        let LatestPoll { at, .. } = *self.latest_poll.borrow();
        at.is_some_and(|at| at.elapsed() < STALE_AFTER)
    }

    /// Waits up to `max_wait` until the mirror has reached `slot`. Returns the mirror's slot; 0
    /// while the mirror is empty.
    pub async fn wait_for(&self, slot: i64, max_wait: Duration) -> i64 {
        let reached = |poll: &LatestPoll| poll.mirror.map_or(0, |mirror| mirror.slot);
        let mut polls = self.latest_poll.subscribe();
        let waited = timeout(max_wait, polls.wait_for(|poll| slot <= reached(poll))).await;
        drop(waited);
        reached(&self.latest_poll.borrow())
    }
}
