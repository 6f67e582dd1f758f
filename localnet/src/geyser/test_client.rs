//! A server with a feed that a test fills, and clients of it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use driftshield_sdk::ID;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status, Streaming, transport::Channel};
use yellowstone_grpc_proto::geyser::{
    CommitmentLevel, GetSlotRequest, SubscribeReplayInfoRequest, SubscribeRequest,
    SubscribeRequestFilterSlots, SubscribeRequestPing, SubscribeUpdate, SubscribeUpdateAccountInfo,
    SubscribeUpdateBlockMeta, geyser_client::GeyserClient, subscribe_update::UpdateOneof,
};

use super::{
    faults::{
        Faults,
        node::NodeFaults,
        request::{Counts, Fault, Kind, Request},
    },
    feed::SealedSlot,
    server,
    test_data::{account, transaction},
};

/// Time limit for everything that a test waits for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A running server. The test fills its feed through `node`.
pub struct TestServer {
    pub faults: Arc<Faults>,
    pub node: NodeFaults,
    url: String,
    pub client: GeyserClient<Channel>,
    _stop: DropGuard,
}

impl TestServer {
    pub async fn start() -> Self {
        let faults = Faults::new(Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(server::run(listener, Arc::clone(&faults), stop.clone()));
        Self {
            client: connect(&url).await,
            node: NodeFaults::new(Arc::clone(&faults)),
            faults,
            url,
            _stop: stop.drop_guard(),
        }
    }

    /// A client with a connection of its own.
    pub async fn new_client(&self) -> GeyserClient<Channel> {
        connect(&self.url).await
    }

    pub fn confirm(&mut self, slots: impl IntoIterator<Item = u64>) {
        for number in slots {
            self.node.confirm(slot(number));
        }
    }

    /// Arms a fault for one injection.
    pub fn arm_once(&self, fault: Fault) -> u64 {
        self.arm(Request {
            times: Some(1),
            ..request(fault)
        })
    }

    pub fn arm(&self, request: Request) -> u64 {
        self.faults.arm(request).unwrap()
    }

    /// Waits until a kind of fault has these counts. They may change shortly after the client gets
    /// the updates.
    pub async fn assert_counts(&self, kind: Kind, injected: u64, changed: u64) {
        let expected = Counts { injected, changed };
        let counts = || {
            let counts = self.faults.report().counts;
            counts.get(&kind).copied().unwrap_or_default()
        };
        let reached = timeout(TIMEOUT, async {
            while counts() != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let is_reached = reached.await.is_ok();
        assert!(is_reached, "{kind:?}: {:?}, not {expected:?}", counts());
    }

    /// Subscribes and waits until the server has the filters.
    pub async fn subscribe(&mut self, from_slot: Option<u64>) -> Subscriber {
        let request = everything(from_slot);
        let mut subscriber = self.try_subscribe(request).await.unwrap();
        subscriber.wait_for_pong().await;
        subscriber
    }

    pub async fn try_subscribe(&mut self, request: SubscribeRequest) -> Result<Subscriber, Status> {
        Subscriber::open(&mut self.client, request).await
    }

    /// Subscribes with `from_slot` and returns the error that ends the stream.
    pub async fn replay_error(&mut self, from_slot: u64) -> (Code, String) {
        let request = everything(Some(from_slot));
        let mut subscriber = self.try_subscribe(request).await.unwrap();
        let (labels, status) = subscriber.until_end().await;
        assert!(labels.is_empty(), "{labels:?}");
        let status = status.expect("an error");
        (status.code(), status.message().to_owned())
    }

    /// The first slot that can be replayed, as the server reports it.
    pub async fn first_available(&mut self) -> Option<u64> {
        let request = SubscribeReplayInfoRequest {};
        let info = self.client.subscribe_replay_info(request).await.unwrap();
        info.into_inner().first_available
    }

    pub async fn slot(&mut self) -> Result<u64, Status> {
        let commitment = Some(CommitmentLevel::Confirmed.into());
        let answer = self.client.get_slot(GetSlotRequest { commitment }).await?;
        Ok(answer.into_inner().slot)
    }
}

async fn connect(url: &str) -> GeyserClient<Channel> {
    let client = GeyserClient::connect(url.to_owned()).await.unwrap();
    client.max_decoding_message_size(64 << 20)
}

/// A request without limits.
pub fn request(fault: Fault) -> Request {
    Request {
        fault,
        times: None,
        for_ms: None,
        seed: 1,
    }
}

/// A request for all content at confirmed commitment, for block metadata, and for the statuses
/// confirmed, finalized and dead.
pub fn everything(from_slot: Option<u64>) -> SubscribeRequest {
    let slots = SubscribeRequestFilterSlots {
        interslot_updates: Some(true),
        ..Default::default()
    };
    let name = || "all".to_owned();
    SubscribeRequest {
        accounts: [(name(), Default::default())].into(),
        transactions: [(name(), Default::default())].into(),
        blocks_meta: [(name(), Default::default())].into(),
        slots: [(name(), slots)].into(),
        commitment: Some(CommitmentLevel::Confirmed.into()),
        from_slot,
        ..Default::default()
    }
}

/// A slot with two accounts and two transactions of the program.
pub fn slot(number: u64) -> SealedSlot {
    let account = |key: u8| SubscribeUpdateAccountInfo {
        lamports: 100 + number,
        owner: ID.to_bytes().to_vec(),
        write_version: 1_000 * number + u64::from(key),
        ..account(key, 9)
    };
    let transaction = |index: u64| {
        let mut transaction = transaction(&[1, 2], &[]);
        transaction.index = index;
        let message = transaction.transaction.as_mut().unwrap().message.as_mut();
        let keys = &mut message.unwrap().account_keys;
        keys.push(ID.to_bytes().to_vec());
        transaction
    };
    SealedSlot {
        slot: number,
        accounts: vec![account(1), account(2)],
        transactions: vec![transaction(0), transaction(1)],
        meta: SubscribeUpdateBlockMeta {
            slot: number,
            blockhash: format!("true {number}"),
            parent_slot: number - 1,
            parent_blockhash: format!("true {}", number - 1),
            executed_transaction_count: 2,
            bank_id: number,
            ..Default::default()
        },
        created_at: Default::default(),
    }
}

/// Labels of the messages of [`slot`] without a fault.
pub fn whole(number: u64) -> Vec<String> {
    let content = content(number);
    let rest = [format!("meta {number}"), format!("confirmed {number}")];
    content.into_iter().chain(rest).collect()
}

/// Labels of the content of [`slot`].
pub fn content(number: u64) -> Vec<String> {
    ["account 1", "account 2", "transaction 0", "transaction 1"]
        .map(|message| format!("{message} of {number}"))
        .to_vec()
}

/// The stream of one client.
pub struct Subscriber {
    requests: mpsc::Sender<SubscribeRequest>,
    stream: Streaming<SubscribeUpdate>,
    /// Received while waiting for something else.
    waiting: VecDeque<SubscribeUpdate>,
}

impl Subscriber {
    pub async fn open(
        client: &mut GeyserClient<Channel>,
        request: SubscribeRequest,
    ) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(4);
        requests.send(request).await.unwrap();
        let stream = client.subscribe(ReceiverStream::new(receiver)).await?;
        Ok(Self {
            requests,
            stream: stream.into_inner(),
            waiting: VecDeque::new(),
        })
    }

    pub async fn send(&self, request: SubscribeRequest) {
        self.requests.send(request).await.unwrap();
    }

    pub async fn ping(&self) {
        self.send(SubscribeRequest {
            ping: Some(SubscribeRequestPing { id: 7 }),
            ..Default::default()
        })
        .await;
    }

    /// Sends a ping and waits for the answer. Returns how many updates came before it.
    pub async fn wait_for_pong(&mut self) -> usize {
        self.ping().await;
        loop {
            let update = self.message().await.unwrap().expect("an open stream");
            match update.update_oneof {
                Some(UpdateOneof::Pong(pong)) => {
                    assert_eq!(pong.id, 7);
                    return self.waiting.len();
                }
                Some(UpdateOneof::Ping(_)) => {}
                _ => self.waiting.push_back(update),
            }
        }
    }

    /// Waits for the ping that a server sends first.
    pub async fn wait_for_ping(&mut self) {
        let update = self.message().await.unwrap().expect("an open stream");
        assert!(matches!(update.update_oneof, Some(UpdateOneof::Ping(_))));
    }

    /// Fails if any message arrives before `duration` has passed.
    pub async fn assert_silent(&mut self, duration: Duration) {
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
        let message = timeout(duration, self.stream.message()).await;
        assert!(message.is_err(), "{message:?}");
    }

    /// The next update that is neither ping nor pong; `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<SubscribeUpdate>, Status> {
        if let Some(update) = self.waiting.pop_front() {
            return Ok(Some(update));
        }
        loop {
            let message = self.message().await?;
            let is_ping = message.as_ref().is_some_and(|update| {
                matches!(
                    update.update_oneof,
                    Some(UpdateOneof::Ping(_) | UpdateOneof::Pong(_))
                )
            });
            if !is_ping {
                return Ok(message);
            }
        }
    }

    /// The next updates that have a label.
    pub async fn updates(&mut self, count: usize) -> Vec<SubscribeUpdate> {
        let mut updates = Vec::new();
        while updates.len() < count {
            let update = self.next().await.unwrap().expect("an open stream");
            if label(&update).is_some() {
                updates.push(update);
            }
        }
        updates
    }

    pub async fn labels(&mut self, count: usize) -> Vec<String> {
        labels(&self.updates(count).await)
    }

    /// Labels of all updates until the end of the stream, and the error that ends it.
    pub async fn until_end(&mut self) -> (Vec<String>, Option<Status>) {
        let mut received = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(update)) => received.extend(label(&update)),
                Ok(None) => return (received, None),
                Err(status) => return (received, Some(status)),
            }
        }
    }

    async fn message(&mut self) -> Result<Option<SubscribeUpdate>, Status> {
        let message = timeout(TIMEOUT, self.stream.message()).await;
        message.expect("a message in time")
    }
}

pub fn labels(updates: &[SubscribeUpdate]) -> Vec<String> {
    updates.iter().filter_map(label).collect()
}

/// Kind and slot of an update, with the first byte of an account's address or the index of a
/// transaction. `None` for statuses that a slot has before its content.
fn label(update: &SubscribeUpdate) -> Option<String> {
    let label = match update.update_oneof.as_ref()? {
        UpdateOneof::Account(update) => {
            let address = &update.account.as_ref()?.pubkey;
            format!("account {} of {}", address.first()?, update.slot)
        }
        UpdateOneof::Transaction(update) => {
            let index = update.transaction.as_ref()?.index;
            format!("transaction {index} of {}", update.slot)
        }
        UpdateOneof::BlockMeta(meta) => format!("meta {}", meta.slot),
        UpdateOneof::Slot(update) => {
            let status = update.status().as_str_name();
            let status = status.trim_start_matches("SLOT_").to_lowercase();
            if !["confirmed", "finalized", "dead"].contains(&status.as_str()) {
                return None;
            }
            format!("{status} {}", update.slot)
        }
        _ => return None,
    };
    Some(label)
}
