//! Session of one client: handles its requests, and sends what its outbox has.
//!
//! A session is one task. It reads the database in a task of its own ([`loading`]), so that it answers
//! the client and empties its outbox meanwhile.

mod loading;
mod notices;
mod replay;
mod requests;
mod resumption;
mod subscriptions;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval_at};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{connections::ConnectionSlot, feed::Position, state::AppState};

use super::{
    bucket::TokenBucket,
    connection::{Connection, Disconnect},
    hub::Registration,
    limits::{BATCH_MESSAGES, CLIENT_TIMEOUT, HEARTBEAT_INTERVAL},
    message::ServerMessage,
    outbox::{Entry, Queued},
};

use loading::Loading;
use subscriptions::{State, Subscriptions};

pub struct Session {
    app: AppState,
    /// Kept until the connection has ended.
    _slot: ConnectionSlot,
    connection: Connection,
    registration: Registration,
    subscriptions: Subscriptions,
    loading: Loading,
    /// All messages up to here were sent on the subscriptions that neither begin nor resume.
    sent: Position,
    /// `seq` of the latest rollback or gap that was sent.
    noticed: i64,
    requests: TokenBucket,
    /// When the client last sent anything, including a pong.
    last_heard: Instant,
}

impl Session {
    pub fn new(app: AppState, slot: ConnectionSlot, connection: Connection) -> Self {
        let registration = app.hub.register();
        let sent = app.hub.sent_by(&registration.outbox).unwrap_or_default();
        Self {
            app,
            _slot: slot,
            connection,
            registration,
            subscriptions: Subscriptions::default(),
            loading: Loading::default(),
            sent,
            noticed: 0,
            requests: TokenBucket::new(Instant::now()),
            last_heard: Instant::now(),
        }
    }

    /// Serves the client until either side closes the connection.
    pub async fn run(mut self) {
        let shutdown = self.app.shutdown.clone();
        // Also if the client does not read, in the middle of a message.
        let disconnect = tokio::select! {
            () = shutdown.cancelled() => Disconnect::GoingAway("server shuts down; reconnect"),
            Err(disconnect) = self.serve() => disconnect,
        };
        if matches!(disconnect, Disconnect::TooSlow) {
            self.app.hub.count_slow();
        }
        let Position { epoch, seq } = self.position();
        let position = format!("{seq} of epoch {epoch}");
        let Self {
            connection,
            registration,
            subscriptions,
            loading,
            ..
        } = self;
        // Nothing needs to be kept for a client that is told to go.
        drop((subscriptions, loading, registration));
        connection.close(disconnect, &position).await;
    }

    async fn serve(&mut self) -> Result<Infallible, Disconnect> {
        let outbox = Arc::clone(&self.registration.outbox);
        let start = Instant::now() + HEARTBEAT_INTERVAL;
        let mut heartbeat = interval_at(start.into(), HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = self.connection.receive() => self.handle(received?).await?,
                () = outbox.ready() => self.send_outbox().await?,
                (id, loaded) = self.loading.next() => self.handle_loaded(id, loaded).await?,
                _ = heartbeat.tick() => self.send_heartbeat().await?,
            }
            self.begin_loading();
            self.connection.flush().await?;
        }
    }

    /// Sends what the outbox has, up to a limit.
    async fn send_outbox(&mut self) -> Result<(), Disconnect> {
        let batch = self.registration.outbox.take(BATCH_MESSAGES);
        if batch.is_lost {
            return Err(Disconnect::TooSlow);
        }
        for entry in batch.entries {
            match entry {
                Entry::Message(message) => self.send_update(message).await?,
                Entry::Notice(notice) => self.handle_notice(notice).await?,
            }
        }
        for id in batch.overflown {
            self.reset(id, "slow").await?;
        }
        Ok(())
    }

    /// Sends a message of a channel, unless the subscription has it or has ended.
    async fn send_update(&mut self, message: Queued) -> Result<(), Disconnect> {
        let Queued {
            subscription,
            seq,
            text,
        } = message;
        let subscription = self.subscriptions.get(subscription);
        let Some(State::Active { covered, .. }) =
            subscription.map(|subscription| &subscription.state)
        else {
            return Ok(());
        };
        if *covered < seq {
            self.connection.write(text).await?;
            // The record's other messages may still wait.
            self.sent.seq = self.sent.seq.max(seq - 1);
        }
        Ok(())
    }

    /// Sends a heartbeat, by which a client distinguishes a quiet channel from a stalled feed.
    async fn send_heartbeat(&mut self) -> Result<(), Disconnect> {
        if CLIENT_TIMEOUT < self.last_heard.elapsed() {
            return Err(Disconnect::Gone);
        }
        self.retry_waiting();
        let Position { epoch, seq } = self.position();
        let mirror = self.app.feed.mirror();
        let heartbeat = ServerMessage::Heartbeat {
            epoch,
            seq,
            slot: mirror.map_or(0, |mirror| mirror.slot),
            finalized_slot: mirror.map_or(0, |mirror| mirror.finalized_slot),
            lag_ms: mirror.map(|mirror| mirror.age_ms),
        };
        self.send(&heartbeat).await?;
        self.connection.ping().await
    }

    /// Position up to which the client has everything, of all channels of which it has anything.
    fn position(&mut self) -> Position {
        if let Some(sent) = self.app.hub.sent_by(&self.registration.outbox) {
            self.sent = sent;
        }
        let resuming = self.subscriptions.resuming(self.sent.epoch);
        let seq = resuming.fold(self.sent.seq, i64::min);
        Position { seq, ..self.sent }
    }

    async fn send(&mut self, message: &ServerMessage<'_>) -> Result<(), Disconnect> {
        self.connection.write(message.text()).await
    }

    /// Sends a rollback or a gap, unless a resumed subscription has sent it.
    async fn send_notice(&mut self, seq: i64, text: Utf8Bytes) -> Result<(), Disconnect> {
        if self.noticed < seq {
            self.noticed = seq;
            self.connection.write(text).await?;
        }
        Ok(())
    }

    async fn send_error(
        &mut self,
        id: &serde_json::Value,
        code: &str,
        detail: &str,
        retry_after: Option<Duration>,
    ) -> Result<(), Disconnect> {
        // Rounded up: an earlier retry would fail.
        let retry_after_ms = retry_after.map(|wait| wait.as_millis() as u64 + 1);
        self.send(&ServerMessage::Error {
            id,
            code,
            detail,
            retry_after_ms,
        })
        .await
    }
}
