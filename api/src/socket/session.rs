//! Session of one client: handles its requests, and passes on the updates of its channels.
//!
//! A session is one task. It subscribes to the feed before it reads the database, and skips updates
//! that a snapshot already includes, so no update is lost or sent twice.

mod resumption;
mod subscriptions;

use std::{
    collections::HashMap,
    convert::Infallible,
    time::{Duration, Instant},
};

use axum::extract::ws::{Message, WebSocket};
use metrics::counter;
use serde_json::Value;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{MissedTickBehavior, interval_at},
};

use crate::{
    feed::{FeedMessage, Update},
    metrics::SLOW_SOCKETS,
    mirror::MirrorStatus,
    state::AppState,
};

use super::{
    channel::Channel,
    connection::{Connection, Disconnect},
    message::{ClientMessage, ServerMessage},
};

/// Time between two heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Silence after which a client is considered gone. Clients answer pings, so a live client is never
/// silent for this long.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Close codes.
const GOING_AWAY: u16 = 1001;
const TOO_SLOW: u16 = 4008;

pub struct Session {
    app: AppState,
    connection: Connection,
    feed: Receiver<FeedMessage>,
    subscriptions: HashMap<String, Subscription>,
    /// Subscriptions that were reset and begin anew once the mirror has all accounts: each with the id of
    /// the client's message.
    waiting: HashMap<String, (Value, Channel)>,
    /// Epoch of `seq`.
    epoch: i64,
    /// All updates of the subscribed channels up to this sequence number were sent.
    seq: i64,
    /// Sequence number of the latest rollback or gap that was sent.
    noticed: i64,
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

/// Loop of the session.
impl Session {
    pub fn new(app: AppState, socket: WebSocket) -> Self {
        let feed = app.feed.subscribe();
        let mirror = app.feed.mirror();
        Self {
            app,
            connection: Connection(socket),
            feed,
            subscriptions: HashMap::new(),
            waiting: HashMap::new(),
            epoch: mirror_epoch(mirror),
            seq: mirror_seq(mirror),
            noticed: 0,
            last_heard: Instant::now(),
        }
    }

    /// Serves the client until either side closes the connection.
    pub async fn run(mut self) {
        let Err(disconnect) = self.serve().await;
        match disconnect {
            Disconnect::ClientGone => {}
            Disconnect::TooSlow => {
                counter!(SLOW_SOCKETS).increment(1);
                let Self { epoch, seq, .. } = self;
                let reason =
                    format!("too slow; reconnect and subscribe from {seq} of epoch {epoch}");
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
                _ = heartbeat.tick() => {
                    self.subscribe_waiting().await?;
                    self.send_heartbeat().await?;
                }
            }
        }
    }

    async fn handle_client(&mut self, message: Message) -> Result<(), Disconnect> {
        self.last_heard = Instant::now();
        match message {
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(ClientMessage::Subscribe {
                    id,
                    channel,
                    from,
                    epoch,
                }) => self.handle_subscribe(&id, &channel, from, epoch).await,
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
            Ok(FeedMessage::Update(update)) => self.handle_update(&update).await,
            Ok(FeedMessage::Rollback(rollback)) => {
                self.seq = rollback.seq;
                self.send_notice(rollback.seq, &rollback.into()).await?;
                let reason = format!("chain was rolled back to slot {}", rollback.to_slot);
                self.reset_before(rollback.seq, &reason).await
            }
            Ok(FeedMessage::Gap(gap)) => {
                self.seq = gap.seq;
                self.send_notice(gap.seq, &gap.as_ref().into()).await
            }
            Ok(FeedMessage::Settled) => self.subscribe_waiting().await,
            Ok(FeedMessage::Discontinued(reason)) => {
                (self.epoch, self.seq) = (mirror_epoch(self.app.feed.mirror()), 0);
                self.noticed = 0;
                self.reset_before(i64::MAX, reason).await
            }
            Err(RecvError::Lagged(_)) => Err(Disconnect::TooSlow),
            Err(RecvError::Closed) => Err(Disconnect::ClientGone),
        }
    }

    async fn handle_update(&mut self, update: &Update) -> Result<(), Disconnect> {
        for channel in &update.channels {
            if self.subscriptions.contains_key(channel) {
                self.send_update(channel, update).await?;
            }
        }
        self.seq = update.seq;
        Ok(())
    }

    /// Sends a rollback or a gap, unless a resumed subscription has sent it.
    async fn send_notice(
        &mut self,
        seq: i64,
        notice: &ServerMessage<'_>,
    ) -> Result<(), Disconnect> {
        if self.noticed < seq {
            self.noticed = seq;
            self.connection.send(notice).await?;
        }
        Ok(())
    }

    /// Sends a heartbeat, by which a client distinguishes a quiet channel from a stalled feed.
    async fn send_heartbeat(&mut self) -> Result<(), Disconnect> {
        if CLIENT_TIMEOUT < self.last_heard.elapsed() {
            return Err(Disconnect::ClientGone);
        }
        let mirror = self.app.feed.mirror();
        // With no update in the queue, the session has sent everything up to the mirror's status.
        if self.feed.is_empty() {
            (self.epoch, self.seq) = (mirror_epoch(mirror), mirror_seq(mirror));
        }
        let heartbeat = ServerMessage::Heartbeat {
            epoch: self.epoch,
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

/// Sequence number of the mirror; 0 while it is empty.
fn mirror_seq(mirror: Option<MirrorStatus>) -> i64 {
    mirror.map_or(0, |mirror| mirror.seq)
}

/// Slot of the mirror; 0 while it is empty.
fn mirror_slot(mirror: Option<MirrorStatus>) -> i64 {
    mirror.map_or(0, |mirror| mirror.slot)
}

/// Epoch of the mirror; 0 while it is empty.
fn mirror_epoch(mirror: Option<MirrorStatus>) -> i64 {
    mirror.map_or(0, |mirror| mirror.epoch)
}
