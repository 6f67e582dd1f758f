//! The WebSocket: a snapshot of what a client subscribes to, then every change of it in order.
//!
//! A socket is one task. It begins to receive the feed before it reads anything, and skips of the
//! feed what a snapshot already holds: so nothing is missed or told twice. docs/websocket.md says
//! what is sent.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::{
    extract::{
        State,
        ws::{
            CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade,
            rejection::WebSocketUpgradeRejection,
        },
    },
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{MissedTickBehavior, interval_at, timeout},
};

use crate::{
    AppState,
    feed::{self, BATCH, FeedEvent, MARKET_EVENTS, News},
    markets, models, policies,
    problem::Problem,
    read::{Mirror, Read},
    values::Key,
    vaults,
};

const MAX_SUBSCRIPTIONS: usize = 200;
/// Longest message that a client may send, in bytes.
const MAX_MESSAGE: usize = 16 * 1024;
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A client that has not even answered a ping for this long is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// A client that takes no message for this long is too slow.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A read of the database that takes longer is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Close codes.
const GOING_AWAY: u16 = 1001;
const TOO_SLOW: u16 = 4008;

pub async fn upgrade(
    State(app): State<AppState>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| Problem::BadRequest(rejection.body_text()))?;
    Ok(upgrade
        .max_message_size(MAX_MESSAGE)
        // Memory is taken by the frame.
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |socket| {
            let tracker = app.sockets.clone();
            tracker.track_future(Session::new(app, socket).run()).await;
        }))
}

/// What a client may subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Channel {
    Model(Key),
    Market(Key),
    Vault(Key),
    Policy(Key),
    Markets,
    Events,
}

const CHANNELS: &str = "channels are model:<address>, market:<address>, vault:<address>, \
     policy:<address>, markets and events";

impl Channel {
    fn parse(name: &str) -> Option<Self> {
        match name.split_once(':') {
            None if name == "markets" => Some(Self::Markets),
            None if name == "events" => Some(Self::Events),
            Some(("model", key)) => Key::parse(key).map(Self::Model),
            Some(("market", key)) => Key::parse(key).map(Self::Market),
            Some(("vault", key)) => Key::parse(key).map(Self::Vault),
            Some(("policy", key)) => Key::parse(key).map(Self::Policy),
            _ => None,
        }
    }
}

/// What a client may send.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Subscribe {
        #[serde(default)]
        id: Value,
        channel: String,
        /// The last `seq` that the client has.
        from: Option<i64>,
    },
    Unsubscribe {
        #[serde(default)]
        id: Value,
        channel: String,
    },
}

struct Subscription {
    channel: Channel,
    /// The last `seq` sent.
    sent: i64,
    /// Events up to here are sent or in the snapshot.
    covered: i64,
}

/// Why a socket ends.
enum End {
    /// The client left or can't be reached.
    Gone,
    Close(u16, String),
}

impl From<axum::Error> for End {
    fn from(_: axum::Error) -> Self {
        Self::Gone
    }
}

struct Session {
    app: AppState,
    socket: WebSocket,
    news: Receiver<News>,
    subscriptions: HashMap<String, Subscription>,
    /// The last event of the feed that went through here.
    seq: i64,
    heard: Instant,
}

impl Session {
    fn new(app: AppState, socket: WebSocket) -> Self {
        let news = app.feed.subscribe();
        let seq = app.feed.mirror().map_or(0, |mirror| mirror.seq);
        Self {
            app,
            socket,
            news,
            subscriptions: HashMap::new(),
            seq,
            heard: Instant::now(),
        }
    }

    async fn run(mut self) {
        let Err(end) = self.serve().await;
        if let End::Close(code, reason) = end {
            if code == TOO_SLOW {
                self.app.metrics.slow_sockets();
            }
            let frame = CloseFrame {
                code,
                reason: reason.into(),
            };
            let _ = self.send(Message::Close(Some(frame))).await;
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let stop = self.app.stop.clone();
        let mut heartbeat = interval_at((Instant::now() + HEARTBEAT).into(), HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => {
                    return Err(End::Close(GOING_AWAY, "the server stops: connect again".to_owned()));
                }
                message = self.socket.recv() => self.receive(message.ok_or(End::Gone)??).await?,
                news = self.news.recv() => self.pass_on(news).await?,
                _ = heartbeat.tick() => self.beat().await?,
            }
        }
    }

    async fn receive(&mut self, message: Message) -> Result<(), End> {
        self.heard = Instant::now();
        match message {
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(request) => self.answer(request).await,
                Err(error) => {
                    let id = serde_json::from_str::<Value>(&text)
                        .map(|message| message["id"].clone())
                        .unwrap_or_default();
                    self.refuse(
                        &id,
                        "bad-message",
                        &format!("send {{\"op\":\"subscribe\",\"channel\":…}}: {error}"),
                    )
                    .await
                }
            },
            Message::Binary(_) => self.refuse(&Value::Null, "bad-message", "send text").await,
            Message::Close(_) => Err(End::Gone),
            // Answered below us.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    async fn answer(&mut self, request: Request) -> Result<(), End> {
        match request {
            Request::Subscribe {
                id,
                channel: name,
                from,
            } => {
                let Some(channel) = Channel::parse(&name) else {
                    return self.refuse(&id, "no-such-channel", CHANNELS).await;
                };
                if MAX_SUBSCRIPTIONS <= self.subscriptions.len()
                    && !self.subscriptions.contains_key(&name)
                {
                    let full =
                        format!("a socket takes {MAX_SUBSCRIPTIONS} subscriptions: open another");
                    return self.refuse(&id, "too-many-subscriptions", &full).await;
                }
                let subscribed = match from {
                    None => self.snapshot(&id, &name, channel).await,
                    Some(from) => self.resume(&id, &name, channel, from).await,
                };
                // What the client sent meanwhile is still to be heard.
                self.heard = Instant::now();
                match subscribed {
                    Err(Failed::Database(problem)) => {
                        tracing::error!(error = ?problem, "subscription failed");
                        self.subscriptions.remove(&name);
                        self.refuse(&id, problem.code(), &problem.to_string()).await
                    }
                    Err(Failed::End(end)) => Err(end),
                    Ok(()) => Ok(()),
                }
            }
            Request::Unsubscribe { id, channel } => {
                if self.subscriptions.remove(&channel).is_none() {
                    let detail = format!("there is no subscription to {channel}");
                    return self.refuse(&id, "not-subscribed", &detail).await;
                }
                self.send_json(&json!({ "type": "unsubscribed", "id": id, "channel": channel }))
                    .await
            }
        }
    }

    async fn refuse(&mut self, id: &Value, code: &str, detail: &str) -> Result<(), End> {
        self.send_json(&json!({ "type": "error", "id": id, "code": code, "detail": detail }))
            .await
    }

    /// Sends what is so now; what comes after it follows from the feed.
    async fn snapshot(&mut self, id: &Value, name: &str, channel: Channel) -> Result<(), Failed> {
        let (mirror, data) = in_time(async {
            let mut read = Read::begin(&self.app.db).await?;
            let data = data(&mut read, &channel).await?;
            read.tx.rollback().await?;
            Ok((read.mirror, data))
        })
        .await?;
        let seq = mirror.map_or(0, |mirror| mirror.seq);
        let message = json!({
            "type": "snapshot",
            "id": id,
            "channel": name,
            "seq": seq,
            "slot": slot(mirror),
            "data": data,
        });
        self.send_json(&message).await?;
        let subscription = Subscription {
            channel,
            sent: seq,
            covered: seq,
        };
        self.subscriptions.insert(name.to_owned(), subscription);
        Ok(())
    }

    /// Sends what the client has missed since `from`.
    async fn resume(
        &mut self,
        id: &Value,
        name: &str,
        channel: Channel,
        from: i64,
    ) -> Result<(), Failed> {
        let mirror = in_time(async {
            let read = Read::begin(&self.app.db).await?;
            read.tx.rollback().await?;
            Ok(read.mirror)
        })
        .await?;
        let mirrored = mirror.map_or(0, |mirror| mirror.seq);
        if !(0..=mirrored).contains(&from) {
            let reason = format!("the mirror is at seq {mirrored} and knows nothing of {from}");
            return self.reset(id, name, channel, &reason).await;
        }
        let message = json!({
            "type": "resumed",
            "id": id,
            "channel": name,
            "seq": from,
            "slot": slot(mirror),
        });
        self.send_json(&message).await?;
        let subscription = Subscription {
            channel: channel.clone(),
            sent: from,
            covered: from,
        };
        self.subscriptions.insert(name.to_owned(), subscription);
        let mut covered = from;
        loop {
            let (mirror, events) = in_time(async {
                let mut read = Read::begin(&self.app.db).await?;
                let events = missed(&mut read, &channel, covered).await?;
                read.tx.rollback().await?;
                Ok((read.mirror, events))
            })
            .await?;
            for event in &events {
                self.tell(name, event).await?;
                covered = event.seq;
            }
            if events.len() < BATCH as usize {
                // Of what this moment of the mirror holds, the channel has no more.
                covered = mirror.map_or(covered, |mirror| covered.max(mirror.seq));
                break;
            }
        }
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            subscription.covered = covered;
        }
        Ok(())
    }

    /// Begins a channel anew.
    async fn reset(
        &mut self,
        id: &Value,
        name: &str,
        channel: Channel,
        reason: &str,
    ) -> Result<(), Failed> {
        self.send_json(&json!({ "type": "reset", "id": id, "channel": name, "reason": reason }))
            .await?;
        self.snapshot(id, name, channel).await
    }

    async fn pass_on(&mut self, news: Result<News, RecvError>) -> Result<(), End> {
        match news {
            Ok(News::Event(event)) => {
                let channels = event.channels.iter();
                for channel in channels {
                    if self.subscriptions.contains_key(channel) {
                        self.tell(channel, &event).await?;
                    }
                }
                self.seq = event.seq;
                Ok(())
            }
            Ok(News::Rewound) => self.rewind().await,
            Err(RecvError::Lagged(_)) => Err(self.too_slow()),
            Err(RecvError::Closed) => Err(End::Gone),
        }
    }

    /// The mirror was made anew: what was sent of it may never have been.
    async fn rewind(&mut self) -> Result<(), End> {
        self.seq = 0;
        for (name, subscription) in std::mem::take(&mut self.subscriptions) {
            let reset = self.reset(
                &Value::Null,
                &name,
                subscription.channel,
                "the mirror was made anew",
            );
            match reset.await {
                Ok(()) => {}
                Err(Failed::End(end)) => return Err(end),
                Err(Failed::Database(_)) => {
                    let reason = "the mirror was made anew: connect again".to_owned();
                    return Err(End::Close(GOING_AWAY, reason));
                }
            }
        }
        Ok(())
    }

    /// Sends an event and what follows from it on a channel, unless it's covered.
    async fn tell(&mut self, name: &str, event: &FeedEvent) -> Result<(), End> {
        let Some(subscription) = self.subscriptions.get_mut(name) else {
            return Ok(());
        };
        if event.seq <= subscription.covered {
            return Ok(());
        }
        let prev = std::mem::replace(&mut subscription.sent, event.seq);
        subscription.covered = event.seq;
        let told = delta(event.kind, name, event, prev, "event", &event.json);
        self.send(Message::text(told)).await?;
        for state in event
            .states
            .iter()
            .filter(|state| state.channels.iter().any(|channel| channel == name))
        {
            let told = delta(state.kind, name, event, event.seq, "data", &state.json);
            self.send(Message::text(told)).await?;
        }
        Ok(())
    }

    /// Tells a quiet market from a frozen feed.
    async fn beat(&mut self) -> Result<(), End> {
        if SILENCE < self.heard.elapsed() {
            return Err(End::Gone);
        }
        let mirror = self.app.feed.mirror();
        // Before anything has passed, the feed itself says where it is.
        if self.news.is_empty() {
            self.seq = mirror.map_or(0, |mirror| mirror.seq);
        }
        let message = json!({
            "type": "heartbeat",
            "seq": self.seq,
            "slot": slot(mirror),
            "finalized_slot": mirror.map_or(0, |mirror| mirror.finalized_slot),
            "lag_ms": mirror.map(|mirror| mirror.age_ms),
        });
        self.send_json(&message).await?;
        self.send(Message::Ping(Default::default())).await
    }

    fn too_slow(&self) -> End {
        let reason = format!("too slow: connect again and subscribe from {}", self.seq);
        End::Close(TOO_SLOW, reason)
    }

    async fn send_json(&mut self, message: &Value) -> Result<(), End> {
        self.send(Message::Text(Utf8Bytes::from(message.to_string())))
            .await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(self.too_slow()),
        }
    }
}

/// Why a subscription was not made.
enum Failed {
    Database(Problem),
    End(End),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Database(problem)
    }
}

impl From<End> for Failed {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// While a socket reads the database it hears neither its client nor the feed.
async fn in_time<T>(read: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let read = timeout(READ_TIMEOUT, read).await;
    read.unwrap_or(Err(Problem::Timeout))
}

fn slot(mirror: Option<Mirror>) -> i64 {
    mirror.map_or(0, |mirror| mirror.slot)
}

/// What a snapshot holds; null for what is not there yet.
async fn data(read: &mut Read, channel: &Channel) -> Result<Value, Problem> {
    let data = match channel {
        Channel::Model(key) => serde_json::to_value(models::find(&mut read.tx, key).await?),
        Channel::Market(key) => serde_json::to_value(markets::find(&mut read.tx, key).await?),
        Channel::Vault(key) => serde_json::to_value(vaults::find(&mut read.tx, key).await?),
        Channel::Policy(key) => serde_json::to_value(policies::find(&mut read.tx, key).await?),
        Channel::Markets => {
            let open = markets::ListQuery::open();
            serde_json::to_value(markets::page(read, &open).await?)
        }
        Channel::Events => Ok(Value::Null),
    };
    Ok(data.expect("keys are strings"))
}

/// The events of a channel after `covered`, one batch.
async fn missed(
    read: &mut Read,
    channel: &Channel,
    covered: i64,
) -> Result<Vec<FeedEvent>, sqlx::Error> {
    let mut sql = feed::select();
    sql.push("e.seq > ").push_bind(covered);
    let mut of_account = |field: &str, key: &Key| {
        sql.push(" and e.seq in (select seq from chain.event_account where account = ")
            .push_bind(key.as_str().to_owned())
            // Postgres doesn't conclude it, and would read the account's earlier events as well.
            .push(" and seq > ")
            .push_bind(covered)
            .push(format!(") and e.body->>'{field}' = "))
            .push_bind(key.as_str().to_owned());
    };
    match channel {
        Channel::Model(key) => of_account("model", key),
        Channel::Market(key) => of_account("market", key),
        Channel::Vault(key) => of_account("vault", key),
        Channel::Policy(key) => of_account("policy", key),
        Channel::Markets => {
            sql.push(" and e.name = any(")
                .push_bind(MARKET_EVENTS.map(str::to_owned).to_vec())
                .push(")");
        }
        Channel::Events => {}
    }
    feed::load(&mut read.tx, sql).await
}

/// A message of which the payload is serialised already. Names need no escaping: they are kinds and
/// channels.
fn delta(
    kind: &str,
    channel: &str,
    event: &FeedEvent,
    prev: i64,
    payload: &str,
    json: &str,
) -> String {
    let FeedEvent { seq, slot, .. } = event;
    format!(
        r#"{{"type":"{kind}","channel":"{channel}","seq":{seq},"prev":{prev},"slot":{slot},"{payload}":{json}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "DriftSh1e1d11111111111111111111111111111111";

    #[test]
    fn channels_are_told_apart() {
        let key = || Key::parse(KEY).unwrap();
        assert_eq!(Channel::parse("markets"), Some(Channel::Markets));
        for (kind, channel) in [
            ("model", Channel::Model(key())),
            ("market", Channel::Market(key())),
            ("vault", Channel::Vault(key())),
            ("policy", Channel::Policy(key())),
        ] {
            assert_eq!(Channel::parse(&format!("{kind}:{KEY}")), Some(channel));
        }
        for unknown in [
            "", "model", "model:", "model:x", "wallet:x", "markets:", "\"", "events:x",
        ] {
            assert_eq!(Channel::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_delta_is_json() {
        let event = FeedEvent {
            seq: 9,
            slot: 100,
            kind: "event",
            channels: Vec::new(),
            json: r#"{"name":"Claimed"}"#.to_owned(),
            states: Vec::new(),
        };
        let told = delta(event.kind, "events", &event, 7, "event", &event.json);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            told,
            json!({
                "type": "event", "channel": "events", "seq": 9, "prev": 7, "slot": 100,
                "event": { "name": "Claimed" },
            })
        );
    }

    #[test]
    fn a_request_needs_no_more_than_its_channel() {
        let request = |text| serde_json::from_str::<Request>(text);
        assert!(request(r#"{"op":"subscribe","channel":"events"}"#).is_ok());
        assert!(request(r#"{"op":"subscribe","id":1,"channel":"events","from":3}"#).is_ok());
        assert!(request(r#"{"op":"unsubscribe","id":"a","channel":"events"}"#).is_ok());
        assert!(request(r#"{"op":"shout","channel":"events"}"#).is_err());
        assert!(request(r#"{"op":"subscribe"}"#).is_err());
    }
}
