//! A client that subscribes, pauses, leaves and comes back at random.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use super::{schema::Schemas, view::View};

/// Most channels of a client.
const MAX_CHANNELS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the mirror ends.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub epoch: i64,
    pub seq: i64,
}

pub struct Follower {
    rng: StdRng,
    address: SocketAddr,
    all: Arc<Vec<String>>,
    schemas: Arc<Schemas>,
    wanted: BTreeSet<String>,
    pub views: BTreeMap<String, View>,
    /// Channels whose messages may be those of a subscription that was ended.
    ignored: BTreeSet<String>,
    /// Id of the last request for each channel.
    last_ids: BTreeMap<String, u64>,
    /// Whether a subscription failed, so that the client comes back for it.
    has_failed: bool,
    pub resumptions: u64,
    pub resets: u64,
}

type Socket = WebSocketStream<TcpStream>;

/// How a connection ended.
enum Ended {
    /// The client or the server left.
    Disconnected,
    /// The client has everything.
    Complete,
}

impl Follower {
    pub fn new(seed: u64, url: &str, all: &Arc<Vec<String>>, schemas: &Arc<Schemas>) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        let mut rng = StdRng::seed_from_u64(seed);
        let wanted = all.choose_multiple(&mut rng, 3).cloned().collect();
        Self {
            rng,
            address: address.parse().unwrap(),
            all: Arc::clone(all),
            schemas: Arc::clone(schemas),
            wanted,
            views: BTreeMap::new(),
            ignored: BTreeSet::new(),
            last_ids: BTreeMap::new(),
            has_failed: false,
            resumptions: 0,
            resets: 0,
        }
    }

    /// Follows until it has everything up to the end.
    pub async fn follow(mut self, end: watch::Receiver<Option<End>>) -> Self {
        loop {
            let Some(socket) = self.connect().await else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let ended = self.serve(socket, &end).await;
            for view in self.views.values_mut() {
                view.is_live = false;
            }
            if let Ended::Complete = ended {
                return self;
            }
            let pause = self.rng.random_range(0..800);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    async fn connect(&mut self) -> Option<Socket> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(self.address).await.ok()?;
        let url = format!("ws://{}/api/v1/ws", self.address);
        Some(client_async(url, stream).await.ok()?.0)
    }

    async fn serve(&mut self, mut socket: Socket, end: &watch::Receiver<Option<End>>) -> Ended {
        self.ignored.clear();
        self.has_failed = false;
        for channel in self.wanted.clone() {
            if self.subscribe(&mut socket, &channel, true).await.is_none() {
                return Ended::Disconnected;
            }
        }
        loop {
            let end = *end.borrow();
            if end.is_some_and(|end| self.has_all(end)) {
                return Ended::Complete;
            }
            let patience = Duration::from_millis(self.rng.random_range(50..400));
            let heard = timeout(patience, socket.next()).await;
            match heard {
                Ok(Some(Ok(Message::Text(text)))) => {
                    self.take(&serde_json::from_str(&text).unwrap());
                }
                Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return Ended::Disconnected,
                Ok(Some(Ok(_))) | Err(_) => {}
            }
            if self.has_failed {
                return Ended::Disconnected;
            }
            if end.is_none()
                && self.rng.random_ratio(1, 40)
                && self.act(&mut socket).await.is_none()
            {
                return Ended::Disconnected;
            }
        }
    }

    pub fn is_wanted(&self, channel: &str) -> bool {
        self.wanted.contains(channel)
    }

    /// Whether the client has everything, of channels to which it is subscribed now.
    fn has_all(&self, end: End) -> bool {
        self.wanted.iter().all(|channel| {
            let view = self.views.get(channel);
            view.is_some_and(|view| {
                view.is_live && view.epoch == end.epoch && end.seq <= view.position
            })
        })
    }

    /// Does something at random. Returns nothing if the connection ends.
    async fn act(&mut self, socket: &mut Socket) -> Option<()> {
        match self.rng.random_range(0..10) {
            0 | 1 => None,
            2 | 3 => {
                let pause = self.rng.random_range(100..2_000);
                sleep(Duration::from_millis(pause)).await;
                Some(())
            }
            4 if 1 < self.wanted.len() => {
                let index = self.rng.random_range(0..self.wanted.len());
                let channel = self.wanted.iter().nth(index).unwrap().clone();
                self.wanted.remove(&channel);
                self.leave(&channel);
                let message = json!({ "op": "unsubscribe", "channel": channel });
                send(socket, &message).await
            }
            5..=7 if self.wanted.len() < MAX_CHANNELS => {
                let channel = self.all.choose(&mut self.rng).unwrap().clone();
                self.wanted.insert(channel.clone());
                self.leave(&channel);
                // A second subscription, or one after an unsubscription.
                self.subscribe(socket, &channel, false).await
            }
            _ => Some(()),
        }
    }

    /// Forgets what the client has of a channel.
    fn leave(&mut self, channel: &str) {
        self.views.remove(channel);
        self.ignored.insert(channel.to_owned());
    }

    async fn subscribe(&mut self, socket: &mut Socket, channel: &str, resume: bool) -> Option<()> {
        let id = self.last_ids.entry(channel.to_owned()).or_default();
        *id += 1;
        let mut message = json!({ "op": "subscribe", "id": id, "channel": channel });
        if resume && let Some(view) = self.views.get(channel) {
            message["epoch"] = view.epoch.into();
            message["from"] = view.position.into();
            self.resumptions += 1;
        }
        send(socket, &message).await
    }

    fn take(&mut self, message: &Value) {
        self.schemas.check(message);
        let channel = message["channel"].as_str().unwrap_or_default();
        match message["type"].as_str().unwrap() {
            "heartbeat" => self.views.values_mut().for_each(|view| view.hear(message)),
            "rollback" | "gap" => {}
            "snapshot" => {
                let is_newest = message["id"] == self.last_ids.get(channel).copied().unwrap_or(0);
                if self.ignored.contains(channel) && !(is_newest && self.wanted.contains(channel)) {
                    return;
                }
                self.ignored.remove(channel);
                self.views.insert(channel.to_owned(), View::of(message));
            }
            "reset" => {
                self.resets += 1;
                self.views.remove(channel);
            }
            "unsubscribed" => {}
            "error" => {
                let code = message["code"].as_str().unwrap();
                let is_passing = [
                    "mirror-settling",
                    "unavailable",
                    "timeout",
                    "not-subscribed",
                ];
                assert!(is_passing.contains(&code), "{message}");
                self.has_failed = true;
            }
            kind => {
                let Some(view) = self.views.get_mut(channel) else {
                    assert!(
                        self.ignored.contains(channel),
                        "no snapshot before {message}"
                    );
                    return;
                };
                assert!(
                    view.is_live || kind == "resumed",
                    "before it resumed: {message}"
                );
                view.take(message);
            }
        }
    }
}

/// Sends a message. Returns nothing if the connection has ended.
async fn send(socket: &mut Socket, message: &Value) -> Option<()> {
    let sent = timeout(PATIENCE, socket.send(Message::text(message.to_string()))).await;
    sent.expect("the server reads").ok()
}
