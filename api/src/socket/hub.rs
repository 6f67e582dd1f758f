//! Hub: passes each record of the feed to the sockets that listen to its channels.
//!
//! A message is serialised once per channel, and shared by all listeners. The hub also keeps the latest
//! records, so that a subscription can begin at a position a little before the hub's own.

mod channels;
mod recent;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Semaphore;

use crate::{
    client_address::ClientAddress,
    connections::{ConnectionLimits, ConnectionSlot, Connections, LimitReached},
    feed::{FeedMessage, Gap, Position, Update},
    problem::Problem,
    tail::Change,
    updates::Record,
};

use super::{
    limits::{MAX_MISSED, REPLAYS, SOCKETS},
    message::ServerMessage,
    outbox::{Notice, Outbox, SubscriptionId},
    snapshots::Snapshots,
};

use channels::Channels;
use recent::Recent;

pub struct Hub {
    state: Mutex<State>,
    next_id: AtomicU64,
    open: Arc<Connections>,
    /// Snapshots that sockets share.
    pub snapshots: Snapshots,
    /// Permits for replays from the database.
    pub replays: Arc<Semaphore>,
    /// Sockets that were closed because the client was too slow.
    slow: AtomicU64,
}

#[derive(Default)]
struct State {
    /// All records up to here were passed on. `None` before the first poll.
    position: Option<Position>,
    channels: Channels,
    recent: Recent,
    /// `seq` of the latest rollback and of the latest gap in this epoch; 0 without one.
    last_rollback: i64,
    last_gap: i64,
    /// Outboxes of all sockets.
    sockets: HashMap<u64, Arc<Outbox>>,
}

/// A socket's registration, which ends when dropped.
pub struct Registration {
    hub: Arc<Hub>,
    id: u64,
    pub outbox: Arc<Outbox>,
}

/// A registration for the messages of a channel, which ends when dropped.
pub struct Listening {
    hub: Arc<Hub>,
    channel: Arc<str>,
    id: SubscriptionId,
}

/// A subscription that began.
pub struct Attached {
    pub listening: Listening,
    /// What came before the subscription began and is not in its outbox.
    pub missed: Vec<Missed>,
    /// Place at which the subscription began. Later messages are in its outbox.
    pub position: Position,
}

/// A record that a client has missed.
pub enum Missed {
    Update(Arc<Update>),
    Gap(Arc<Gap>),
}

/// Why a subscription cannot begin at a position.
#[derive(Debug, PartialEq, Eq)]
pub enum NotAttached {
    /// The hub has not begun, or has another epoch.
    OtherEpoch,
    /// The chain was rolled back since.
    RolledBack,
    /// The hub does not keep the records since.
    Behind,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new(SOCKETS)
    }
}

impl Hub {
    pub fn new(limits: ConnectionLimits) -> Self {
        Self {
            state: Mutex::default(),
            next_id: AtomicU64::new(1),
            open: Connections::new(limits),
            snapshots: Snapshots::new(),
            replays: Arc::new(Semaphore::new(REPLAYS)),
            slow: AtomicU64::new(0),
        }
    }

    /// Counts a socket that is closed because the client is too slow.
    pub fn count_slow(&self) {
        self.slow.fetch_add(1, Relaxed);
    }

    /// Number of sockets that were closed because the client was too slow.
    pub fn slow(&self) -> u64 {
        self.slow.load(Relaxed)
    }

    /// Admits a socket of the client; `None` if its address is unknown.
    ///
    /// # Errors
    ///
    /// If the process or the client has its maximum of sockets.
    pub fn admit(&self, client: Option<ClientAddress>) -> Result<ConnectionSlot, Problem> {
        let counted = client.filter(|client| !client.ip().is_loopback());
        self.open.admit(counted).map_err(|reached| match reached {
            LimitReached::Total(limit) => Problem::TooManySockets(limit),
            LimitReached::PerAddress(limit) => Problem::TooManySocketsOfAddress(limit),
        })
    }

    /// Registers a socket. It gets all notices from now on.
    pub fn register(self: &Arc<Self>) -> Registration {
        let (id, outbox) = (self.new_id(), Arc::default());
        self.lock().sockets.insert(id, Arc::clone(&outbox));
        Registration {
            hub: Arc::clone(self),
            id,
            outbox,
        }
    }

    /// An id that no subscription or socket has had.
    pub fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// Takes a change of the feed, and passes it on.
    pub fn take(&self, change: &Change<'_>) {
        let mut state = self.lock();
        match change {
            Change::Begun { position } => state.begin(*position),
            Change::Record(record) => state.publish(record),
            Change::Discontinued { position, reason } => {
                state.begin(*position);
                state.notify(&Notice::Discontinued(*position, reason));
            }
        }
    }

    /// Begins a subscription with the records after `from`. Its messages since then are returned or come
    /// into the outbox. With `gaps`, the gaps since then are returned, too.
    pub fn attach(
        self: &Arc<Self>,
        (channel, id): (&Arc<str>, SubscriptionId),
        outbox: &Arc<Outbox>,
        from: Position,
        gaps: bool,
    ) -> Result<Attached, NotAttached> {
        let mut state = self.lock();
        let (position, missed) = state.missed(channel, from, gaps)?;
        let has_missed = missed
            .iter()
            .any(|missed| matches!(missed, Missed::Update(_)));
        let last = (!has_missed).then_some(from.seq);
        state.channels.listen(channel, (id, outbox), last);
        Ok(Attached {
            listening: Listening {
                hub: Arc::clone(self),
                channel: Arc::clone(channel),
                id,
            },
            missed,
            position,
        })
    }

    /// Whether the position is one that was passed on.
    pub fn has(&self, position: Position) -> bool {
        let now = self.lock().position;
        now.is_some_and(|now| now.continues(position) && 0 <= position.seq)
    }

    /// Whether a channel is at its position as of now what it was at `position`.
    pub fn is_current(&self, channel: &str, position: Position) -> bool {
        let state = self.lock();
        let Some(now) = state.position else {
            return false;
        };
        let last = state.channels.last(channel).max(state.last_rollback);
        now.epoch == position.epoch && last <= position.seq
    }

    /// Position up to which a socket has sent everything; `None` if its outbox has something, or before
    /// the first poll.
    pub fn sent_by(&self, outbox: &Outbox) -> Option<Position> {
        // The hub fills outboxes under this lock.
        let state = self.lock();
        state.position.filter(|_| outbox.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins at a position, with nobody listening.
    fn begin(&mut self, position: Position) {
        self.position = Some(position);
        self.channels = Channels::new(position.seq);
        self.recent = Recent::new(position.seq);
        (self.last_rollback, self.last_gap) = (0, 0);
    }

    fn publish(&mut self, record: &Record) {
        match &record.message {
            Some(FeedMessage::Update(update)) => self.channels.deliver(&record.channels, update),
            Some(FeedMessage::Rollback(rollback)) => {
                self.last_rollback = record.seq;
                let text = ServerMessage::from(*rollback).text();
                self.notify(&Notice::Rollback(*rollback, text));
            }
            Some(FeedMessage::Gap(gap)) => {
                self.last_gap = record.seq;
                let text = ServerMessage::from(&**gap).text();
                self.notify(&Notice::Gap(record.seq, text));
            }
            Some(FeedMessage::Settled) => self.notify(&Notice::Settled),
            None => {}
        }
        self.recent.push(record.seq, record.message.as_ref());
        if let Some(position) = &mut self.position {
            position.seq = record.seq;
            self.channels.forget(position.seq);
        }
    }

    fn notify(&self, notice: &Notice) {
        for outbox in self.sockets.values() {
            outbox.notify(notice.clone());
        }
    }

    /// The position as of now, and what a client at `from` has missed since.
    fn missed(
        &self,
        channel: &str,
        from: Position,
        gaps: bool,
    ) -> Result<(Position, Vec<Missed>), NotAttached> {
        let position = self.position.ok_or(NotAttached::OtherEpoch)?;
        if position.epoch != from.epoch {
            return Err(NotAttached::OtherEpoch);
        }
        if from.seq < self.last_rollback {
            return Err(NotAttached::RolledBack);
        }
        let last_gap = if gaps { self.last_gap } else { 0 };
        if self.channels.last(channel).max(last_gap) <= from.seq {
            return Ok((position, vec![]));
        }
        let records = self.recent.after(from.seq).ok_or(NotAttached::Behind)?;
        let mut missed = vec![];
        for message in records {
            match message {
                FeedMessage::Update(update)
                    if update.channels.iter().any(|name| name == channel) =>
                {
                    missed.push(Missed::Update(Arc::clone(update)));
                }
                FeedMessage::Gap(gap) if gaps => missed.push(Missed::Gap(Arc::clone(gap))),
                _ => {}
            }
            if MAX_MISSED < missed.len() {
                return Err(NotAttached::Behind);
            }
        }
        Ok((position, missed))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.hub.lock().sockets.remove(&self.id);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.lock().channels.leave(&self.channel, self.id);
    }
}

#[cfg(test)]
mod tests;
