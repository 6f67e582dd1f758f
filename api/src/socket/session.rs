//! Session of one client: handles its requests, and passes on the updates of its channels.
//!
//! A session is one task. It subscribes to the feed before it reads the database, and skips updates
//! that a snapshot already includes, so no update is lost or sent twice.

use std::{
    collections::HashMap,
    convert::Infallible,
    mem,
    time::{Duration, Instant},
};

use axum::extract::ws::{Message, WebSocket};
use serde_json::Value;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{MissedTickBehavior, interval_at, timeout},
};

use crate::{
    feed::{FeedMessage, Update},
    mirror::{MirrorStatus, Snapshot},
    problem::Problem,
    state::AppState,
    updates::BATCH,
};

use super::{
    channel::{self, Channel},
    connection::{Connection, Disconnect},
    message::{ClientMessage, ServerMessage, update_messages},
};

/// Maximum number of subscriptions in a session.
const MAX_SUBSCRIPTIONS: usize = 200;
/// Time between two heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Silence after which a client is considered gone. Clients answer pings, so a live client is never
/// silent for this long.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit of a database access, during which the session handles neither client nor feed.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Close codes.
const GOING_AWAY: u16 = 1001;
const TOO_SLOW: u16 = 4008;

pub struct Session {
    app: AppState,
    connection: Connection,
    feed: Receiver<FeedMessage>,
    subscriptions: HashMap<String, Subscription>,
    /// All updates of the subscribed channels up to this sequence number were sent.
    seq: i64,
    /// When the client last sent anything, including a pong.
    last_heard: Instant,
}

struct Subscription {
    channel: Channel,
    /// Sequence number of the last update sent; before the first one, that of the snapshot or the
    /// client's `from`.
    sent: i64,
    /// Updates up to this sequence number were sent, are in the snapshot, or are of other channels.
    covered: i64,
}

/// Why a subscription failed.
enum SubscribeError {
    Database(Problem),
    Disconnected(Disconnect),
}

impl From<Problem> for SubscribeError {
    fn from(problem: Problem) -> Self {
        Self::Database(problem)
    }
}

impl From<Disconnect> for SubscribeError {
    fn from(disconnect: Disconnect) -> Self {
        Self::Disconnected(disconnect)
    }
}

/// Loop of the session.
impl Session {
    pub fn new(app: AppState, socket: WebSocket) -> Self {
        let feed = app.feed.subscribe();
        let seq = mirror_seq(app.feed.mirror());
        Self {
            app,
            connection: Connection(socket),
            feed,
            subscriptions: HashMap::new(),
            seq,
            last_heard: Instant::now(),
        }
    }

    /// Serves the client until either side closes the connection.
    pub async fn run(mut self) {
        let Err(disconnect) = self.serve().await;
        match disconnect {
            Disconnect::ClientGone => {}
            Disconnect::TooSlow => {
                self.app.counters.count_slow_socket();
                let reason = format!("too slow; reconnect and subscribe from {}", self.seq);
                self.connection.close(TOO_SLOW, reason).await;
            }
            Disconnect::ServerGoingAway(reason) => {
                self.connection.close(GOING_AWAY, reason.to_owned()).await;
            }
        }
    }

    async fn serve(&mut self) -> Result<Infallible, Disconnect> {
        let shutdown = self.app.shutdown.clone();
        let start = Instant::now() + HEARTBEAT_INTERVAL;
        let mut heartbeat = interval_at(start.into(), HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {
                    return Err(Disconnect::ServerGoingAway("server shuts down; reconnect"));
                }
                message = self.connection.receive() => self.handle_client(message?).await?,
                message = self.feed.recv() => self.handle_feed(message).await?,
                _ = heartbeat.tick() => self.send_heartbeat().await?,
            }
        }
    }

    async fn handle_client(&mut self, message: Message) -> Result<(), Disconnect> {
        self.last_heard = Instant::now();
        match message {
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(ClientMessage::Subscribe { id, channel, from }) => {
                    self.handle_subscribe(&id, &channel, from).await
                }
                Ok(ClientMessage::Unsubscribe { id, channel }) => {
                    self.handle_unsubscribe(&id, &channel).await
                }
                Err(error) => {
                    let id = serde_json::from_str::<Value>(&text)
                        .map(|message| message["id"].clone())
                        .unwrap_or_default();
                    let detail = format!(
                        "invalid message: {error}; send {{\"op\":\"subscribe\",\"channel\":…}}"
                    );
                    self.send_error(&id, "bad-message", &detail).await
                }
            },
            Message::Binary(_) => {
                let detail = "message is binary; send text";
                self.send_error(&Value::Null, "bad-message", detail).await
            }
            Message::Close(_) => Err(Disconnect::ClientGone),
            // The WebSocket library answers pings.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    async fn handle_feed(
        &mut self,
        message: Result<FeedMessage, RecvError>,
    ) -> Result<(), Disconnect> {
        match message {
            Ok(FeedMessage::Update(update)) => {
                for channel in &update.channels {
                    if self.subscriptions.contains_key(channel) {
                        self.send_update(channel, &update).await?;
                    }
                }
                self.seq = update.seq;
                Ok(())
            }
            Ok(FeedMessage::Rebuilt) => self.reset_all().await,
            Err(RecvError::Lagged(_)) => Err(Disconnect::TooSlow),
            Err(RecvError::Closed) => Err(Disconnect::ClientGone),
        }
    }

    /// Sends a heartbeat, by which a client distinguishes a quiet channel from a stalled feed.
    async fn send_heartbeat(&mut self) -> Result<(), Disconnect> {
        if CLIENT_TIMEOUT < self.last_heard.elapsed() {
            return Err(Disconnect::ClientGone);
        }
        let mirror = self.app.feed.mirror();
        // With no update in the queue, the session has sent everything up to the mirror's status.
        if self.feed.is_empty() {
            self.seq = mirror_seq(mirror);
        }
        let heartbeat = ServerMessage::Heartbeat {
            seq: self.seq,
            slot: mirror_slot(mirror),
            finalized_slot: mirror.map_or(0, |mirror| mirror.finalized_slot),
            lag_ms: mirror.map(|mirror| mirror.age_ms),
        };
        self.connection.send(&heartbeat).await?;
        self.connection.ping().await
    }

    async fn send_error(&mut self, id: &Value, code: &str, detail: &str) -> Result<(), Disconnect> {
        let error = ServerMessage::Error { id, code, detail };
        self.connection.send(&error).await
    }
}

/// Subscriptions.
impl Session {
    async fn handle_subscribe(
        &mut self,
        id: &Value,
        name: &str,
        from: Option<i64>,
    ) -> Result<(), Disconnect> {
        let Some(channel) = Channel::parse(name) else {
            let detail = format!("no channel `{name}`; {}", channel::NAMES);
            return self.send_error(id, "no-such-channel", &detail).await;
        };
        if MAX_SUBSCRIPTIONS <= self.subscriptions.len() && !self.subscriptions.contains_key(name) {
            let detail = format!(
                "this socket has its maximum of {MAX_SUBSCRIPTIONS} subscriptions; open another socket"
            );
            return self.send_error(id, "too-many-subscriptions", &detail).await;
        }
        let subscribed = match from {
            None => self.subscribe(id, name, channel).await,
            Some(from) => self.resume(id, name, channel, from).await,
        };
        // Time spent on the subscription does not count as silence of the client.
        self.last_heard = Instant::now();
        match subscribed {
            Ok(()) => Ok(()),
            Err(SubscribeError::Disconnected(disconnect)) => Err(disconnect),
            Err(SubscribeError::Database(problem)) => {
                tracing::error!(error = ?problem, "subscription failed");
                self.subscriptions.remove(name);
                self.send_error(id, problem.code(), &problem.to_string())
                    .await
            }
        }
    }

    async fn handle_unsubscribe(&mut self, id: &Value, name: &str) -> Result<(), Disconnect> {
        if self.subscriptions.remove(name).is_none() {
            let detail = format!("no subscription to {name}; subscribe first");
            return self.send_error(id, "not-subscribed", &detail).await;
        }
        let unsubscribed = ServerMessage::Unsubscribed { id, channel: name };
        self.connection.send(&unsubscribed).await
    }

    /// Sends a snapshot of the channel, and subscribes to the updates after it.
    async fn subscribe(
        &mut self,
        id: &Value,
        name: &str,
        channel: Channel,
    ) -> Result<(), SubscribeError> {
        let (mirror, data) = with_read_timeout(async {
            let mut snapshot = Snapshot::begin(&self.app.db).await?;
            let data = channel.data(&mut snapshot).await?;
            Ok((snapshot.close().await?, data))
        })
        .await?;
        let seq = mirror_seq(mirror);
        let snapshot = ServerMessage::Snapshot {
            id,
            channel: name,
            seq,
            slot: mirror_slot(mirror),
            data: &data,
        };
        self.connection.send(&snapshot).await?;
        self.insert_subscription(name, channel, seq);
        Ok(())
    }

    /// Subscribes to the updates after `from`, and sends those that the client has missed.
    async fn resume(
        &mut self,
        id: &Value,
        name: &str,
        channel: Channel,
        from: i64,
    ) -> Result<(), SubscribeError> {
        let mirror = with_read_timeout(async {
            let snapshot = Snapshot::begin(&self.app.db).await?;
            Ok(snapshot.close().await?)
        })
        .await?;
        let mirrored = mirror_seq(mirror);
        if !(0..=mirrored).contains(&from) {
            let reason = format!("mirror is at seq {mirrored} and has no seq {from}");
            return self.reset(id, name, channel, &reason).await;
        }
        let resumed = ServerMessage::Resumed {
            id,
            channel: name,
            seq: from,
            slot: mirror_slot(mirror),
        };
        self.connection.send(&resumed).await?;
        self.insert_subscription(name, channel.clone(), from);
        let covered = self.send_missed(name, &channel, from).await?;
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            subscription.covered = covered;
        }
        Ok(())
    }

    /// Sends the channel's updates after `from` that are in the mirror. Returns the sequence number
    /// up to which they are sent.
    async fn send_missed(
        &mut self,
        name: &str,
        channel: &Channel,
        from: i64,
    ) -> Result<i64, SubscribeError> {
        let mut covered = from;
        loop {
            let (mirror, updates) = with_read_timeout(async {
                let mut snapshot = Snapshot::begin(&self.app.db).await?;
                let updates = channel.updates_after(covered, &mut snapshot).await?;
                Ok((snapshot.close().await?, updates))
            })
            .await?;
            for update in &updates {
                self.send_update(name, update).await?;
                covered = update.seq;
            }
            if updates.len() < BATCH as usize {
                // The channel has no further update in this snapshot.
                return Ok(mirror.map_or(covered, |mirror| covered.max(mirror.seq)));
            }
        }
    }

    /// Sends a reset, upon which the client discards the channel's state, and then a new snapshot.
    async fn reset(
        &mut self,
        id: &Value,
        name: &str,
        channel: Channel,
        reason: &str,
    ) -> Result<(), SubscribeError> {
        let reset = ServerMessage::Reset {
            id,
            channel: name,
            reason,
        };
        self.connection.send(&reset).await?;
        self.subscribe(id, name, channel).await
    }

    /// Resets all subscriptions after the mirror was rebuilt: the mirror may not have the updates
    /// that were sent so far.
    async fn reset_all(&mut self) -> Result<(), Disconnect> {
        self.seq = 0;
        for (name, subscription) in mem::take(&mut self.subscriptions) {
            let reason = "mirror was rebuilt";
            let reset = self.reset(&Value::Null, &name, subscription.channel, reason);
            match reset.await {
                Ok(()) => {}
                Err(SubscribeError::Disconnected(disconnect)) => return Err(disconnect),
                Err(SubscribeError::Database(_)) => {
                    return Err(Disconnect::ServerGoingAway("mirror was rebuilt; reconnect"));
                }
            }
        }
        Ok(())
    }

    fn insert_subscription(&mut self, name: &str, channel: Channel, seq: i64) {
        let subscription = Subscription {
            channel,
            sent: seq,
            covered: seq,
        };
        self.subscriptions.insert(name.to_owned(), subscription);
    }

    /// Sends an update on a channel, unless it is covered.
    async fn send_update(&mut self, name: &str, update: &Update) -> Result<(), Disconnect> {
        let Some(subscription) = self.subscriptions.get_mut(name) else {
            return Ok(());
        };
        if update.seq <= subscription.covered {
            return Ok(());
        }
        let prev = mem::replace(&mut subscription.sent, update.seq);
        subscription.covered = update.seq;
        for message in update_messages(name, update, prev) {
            self.connection.send_text(message).await?;
        }
        Ok(())
    }
}

async fn with_read_timeout<T>(
    access: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let result = timeout(READ_TIMEOUT, access).await;
    result.unwrap_or(Err(Problem::Timeout))
}

/// Sequence number of the mirror; 0 while it is empty.
fn mirror_seq(mirror: Option<MirrorStatus>) -> i64 {
    mirror.map_or(0, |mirror| mirror.seq)
}

/// Slot of the mirror; 0 while it is empty.
fn mirror_slot(mirror: Option<MirrorStatus>) -> i64 {
    mirror.map_or(0, |mirror| mirror.slot)
}
