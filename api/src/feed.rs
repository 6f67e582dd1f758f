//! Feed: what the mirror announces, and the mirror's status at the latest poll.
//!
//! `tail` reads the feed; sockets and requests use it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::timeout};

use crate::mirror::MirrorStatus;

/// Age from which the latest complete poll of the database counts as stale.
pub const STALE_AFTER: Duration = Duration::from_secs(2);

/// Place in the feed: all records up to `seq` of the numbering `epoch`. Both are 0 while the mirror is
/// empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub epoch: i64,
    pub seq: i64,
}

impl Position {
    /// Whether a feed at `self` continues one at `earlier`. If not, the mirror was rebuilt.
    pub fn continues(self, earlier: Self) -> bool {
        self.epoch == earlier.epoch && earlier.seq <= self.seq
    }
}

/// What a record of the feed announces.
#[derive(Clone)]
pub enum FeedMessage {
    Update(Arc<Update>),
    Rollback(Rollback),
    Gap(Arc<Gap>),
    /// The mirror has all accounts again.
    Settled,
}

/// An event and the states derived from it, serialised for the sockets.
pub struct Update {
    pub epoch: i64,
    pub seq: i64,
    pub slot: i64,
    /// Message type of the event.
    pub kind: &'static str,
    /// Channels that the event belongs to, each once.
    pub channels: Vec<String>,
    /// The event in JSON.
    pub json: String,
    pub states: Vec<DerivedState>,
}

impl Update {
    /// Approximate memory, in bytes.
    pub fn size(&self) -> usize {
        let channels = |channels: &[String]| channels.iter().map(|name| 24 + name.len()).sum();
        let states = self.states.iter();
        let states: usize = states
            .map(|state| state.json.len() + channels(&state.channels))
            .sum();
        let own: usize = channels(&self.channels);
        own + states + self.json.len() + size_of::<Self>()
    }
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
    /// What the state is of, if a newer state of the same makes this one obsolete.
    pub key: Option<Arc<str>>,
    /// Channels that the state belongs to.
    pub channels: Vec<String>,
    /// The state in JSON.
    pub json: String,
}

/// Latest complete poll of the database: one that left no records to hand out.
#[derive(Clone, Copy)]
struct LatestPoll {
    mirror: Option<MirrorStatus>,
    /// `None` before the first complete poll.
    at: Option<Instant>,
}

/// Status of the mirror at the latest complete poll.
pub struct Feed {
    latest_poll: watch::Sender<LatestPoll>,
}

impl Feed {
    pub fn new() -> Self {
        Self {
            latest_poll: watch::Sender::new(LatestPoll {
                mirror: None,
                at: None,
            }),
        }
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

    /// Status of the mirror; `None` if the latest complete poll is stale.
    pub fn fresh_mirror(&self) -> Option<MirrorStatus> {
        self.is_connected().then(|| self.mirror()).flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuilt_mirror_does_not_continue_the_earlier_one() {
        let position = |epoch, seq| Position { epoch, seq };
        assert!(position(7, 3).continues(position(7, 3)));
        assert!(position(7, 4).continues(position(7, 3)));
        assert!(!position(7, 2).continues(position(7, 3)));
        assert!(!position(9, 4).continues(position(7, 3)));
        assert!(!position(7, 0).continues(position(0, 0)));
        assert!(!position(0, 0).continues(position(7, 3)));
    }

    #[test]
    fn the_age_grows_while_no_poll_completes() {
        let feed = Feed::new();
        let at = Instant::now().checked_sub(Duration::from_secs(7));
        let mirror = Some(MirrorStatus::example(3));
        feed.latest_poll.send_replace(LatestPoll { mirror, at });
        let age = feed.mirror().unwrap().age_ms;
        assert!((7_000..8_000).contains(&age), "{age}");
        assert!(feed.fresh_mirror().is_none());
    }
}
