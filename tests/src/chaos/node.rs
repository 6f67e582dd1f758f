//! An RPC node that a test can make slow, busy or wrong.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use driftshield_sdk::{Account, AccountKind, ID};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Forwards requests to a node.
#[derive(Clone)]
pub struct Node {
    pub url: String,
    node_url: String,
    client: reqwest::Client,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    fault: Mutex<Option<NodeFault>>,
    /// Every account that a list has had, by address.
    seen: Mutex<HashMap<String, Value>>,
    slow: AtomicU64,
    unanswered: AtomicU64,
    busy: AtomicU64,
    ghosts: AtomicU64,
}

/// A fault of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeFault {
    /// A snapshot takes this long, until one has been answered: the list of markets comes so late.
    Slow(Duration),
    /// Every other request is refused as too many.
    Busy,
    /// Lists have accounts that are closed, and lack one that is not.
    Ghosts,
    /// Blocks before this slot are gone.
    Purged(u64),
    /// Requests are accepted and never answered.
    Silent,
    /// The block of this slot is gone, although the list of blocks has it.
    Lacks(u64),
    /// The node has nothing of the program in the slots from the first to the second one.
    Hole(u64, u64),
}

impl Node {
    pub async fn start(node_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            node_url: node_url.to_owned(),
            client: reqwest::Client::new(),
            shared: Arc::default(),
        };
        let app = Router::new()
            .route("/", post(answer))
            .with_state(node.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        node
    }

    pub fn set(&self, fault: Option<NodeFault>) {
        *self.shared.fault.lock().unwrap() = fault;
    }

    /// Ends a fault, unless a slow list has not been answered yet: whoever needs it must wait for it.
    pub fn recover(&self) {
        let mut fault = self.shared.fault.lock().unwrap();
        fault.take_if(|fault| !matches!(fault, NodeFault::Slow(_)));
    }

    /// Number of requests that were not answered.
    pub fn unanswered(&self) -> u64 {
        self.shared.unanswered.load(Relaxed)
    }

    /// How often a fault changed an answer: of the kinds slow, busy and ghosts.
    pub fn changed(&self) -> [u64; 3] {
        let Shared {
            slow, busy, ghosts, ..
        } = &*self.shared;
        [slow, busy, ghosts].map(|count| count.load(Relaxed))
    }
}

async fn answer(State(node): State<Node>, Json(request): Json<Value>) -> Response {
    let shared = &node.shared;
    let fault = *shared.fault.lock().unwrap();
    let is_list = request["method"] == "getProgramAccounts";
    match fault {
        Some(NodeFault::Busy) if shared.busy.fetch_add(1, Relaxed).is_multiple_of(2) => {
            return StatusCode::TOO_MANY_REQUESTS.into_response();
        }
        Some(NodeFault::Slow(delay)) if is_list && lists_markets(&request) => {
            shared.slow.fetch_add(1, Relaxed);
            let answer = node.forward(&request).await;
            // If the client gives up, this function ends here.
            tokio::time::sleep(delay).await;
            let mut fault = shared.fault.lock().unwrap();
            fault.take_if(|fault| matches!(fault, NodeFault::Slow(_)));
            return answer.into_response();
        }
        Some(NodeFault::Silent) => {
            shared.unanswered.fetch_add(1, Relaxed);
            return std::future::pending().await;
        }
        Some(NodeFault::Purged(first)) => {
            if let Some(answer) = purged(&request, first) {
                return Json(answer).into_response();
            }
        }
        Some(NodeFault::Lacks(slot)) if is_block(&request, |asked| asked == slot) => {
            let message = "Slot was skipped, or missing in long-term storage";
            return Json(refusal(&request, -32009, message)).into_response();
        }
        _ => {}
    }
    let mut answer = node.forward(&request).await;
    if let Some(NodeFault::Purged(first)) = fault
        && let Some(items) = answer.0["result"].as_array_mut()
    {
        let is_left = |slot: &Value| slot.as_u64().is_some_and(|slot| first <= slot);
        match request["method"].as_str() {
            Some("getBlocks") => items.retain(is_left),
            Some("getSignaturesForAddress") => items.retain(|item| is_left(&item["slot"])),
            _ => {}
        }
    }
    if let Some(NodeFault::Hole(first, last)) = fault {
        lose(&request, &mut answer.0["result"], first..=last);
    }
    if is_list && let Json(Value::Object(_)) = &answer {
        shared.note(&answer.0);
        if fault == Some(NodeFault::Ghosts) {
            shared.haunt(&request, &mut answer.0);
        }
    }
    answer.into_response()
}

/// Whether a list has the accounts that the traffic opens, closes and opens again.
fn lists_markets(request: &Value) -> bool {
    let data = Account::zeroed(AccountKind::Market).encode();
    let discriminator = bs58::encode(&data[..8]).into_string();
    request["params"][1]["filters"][0]["memcmp"]["bytes"] == discriminator
}

/// The answer of a node without the blocks before `first`; `None` if it is that of a node with them.
fn purged(request: &Value, first: u64) -> Option<Value> {
    let id = &request["id"];
    if request["method"] == "getFirstAvailableBlock" {
        return Some(json!({ "jsonrpc": "2.0", "id": id, "result": first }));
    }
    let is_gone = is_block(request, |asked| asked < first);
    is_gone.then(|| refusal(request, -32001, "Block cleaned up"))
}

/// Whether the request is for the block of a slot that is chosen.
fn is_block(request: &Value, is_chosen: impl Fn(u64) -> bool) -> bool {
    let slot = request["params"][0].as_u64();
    request["method"] == "getBlock" && slot.is_some_and(is_chosen)
}

fn refusal(request: &Value, code: i64, message: &str) -> Value {
    let error = json!({ "code": code, "message": message });
    json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })
}

/// Removes what the answer has of the program in these slots.
fn lose(request: &Value, result: &mut Value, slots: RangeInclusive<u64>) {
    let is_lost = |slot: &Value| slot.as_u64().is_some_and(|slot| slots.contains(&slot));
    match request["method"].as_str() {
        Some("getSignaturesForAddress") => {
            let listed = result.as_array_mut().into_iter();
            listed.for_each(|listed| listed.retain(|item| !is_lost(&item["slot"])));
        }
        Some("getBlock") if is_lost(&request["params"][0]) => {
            let program = Value::from(ID.to_string());
            let is_of_program = |transaction: &Value| {
                let keys = transaction["transaction"]["message"]["accountKeys"].as_array();
                keys.is_some_and(|keys| keys.contains(&program))
            };
            let all = result["transactions"].as_array_mut().into_iter();
            all.for_each(|all| all.retain(|transaction| !is_of_program(transaction)));
        }
        _ => {}
    }
}

impl Node {
    async fn forward(&self, request: &Value) -> Json<Value> {
        let sent = self.client.post(&self.node_url).json(request).send().await;
        let answer = async { sent?.json().await };
        Json(answer.await.unwrap_or_else(|error: reqwest::Error| {
            json!({ "jsonrpc": "2.0", "id": request["id"],
                    "error": { "code": -32603, "message": error.to_string() } })
        }))
    }
}

impl Shared {
    fn note(&self, answer: &Value) {
        let mut seen = self.seen.lock().unwrap();
        for account in answer["result"]["value"].as_array().into_iter().flatten() {
            let address = account["pubkey"].as_str().unwrap_or_default().to_owned();
            seen.insert(address, account.clone());
        }
    }

    /// Adds accounts that the node had once, if the list would have them, and removes its first one.
    fn haunt(&self, request: &Value, answer: &mut Value) {
        let Some(accounts) = answer["result"]["value"].as_array_mut() else {
            return;
        };
        let is_sliced = !request["params"][1]["dataSlice"].is_null();
        let Some(first) = accounts.first().cloned() else {
            return;
        };
        let has = |address: &Value| accounts.iter().any(|account| account["pubkey"] == *address);
        let seen = self.seen.lock().unwrap();
        let kind = |account: &Value| {
            let data = account["account"]["data"][0].as_str().unwrap_or_default();
            data.get(..10).unwrap_or_default().to_owned()
        };
        let gone: Vec<Value> = seen
            .values()
            .filter(|account| !is_sliced && kind(account) == kind(&first))
            .filter(|account| !has(&account["pubkey"]))
            .cloned()
            .collect();
        accounts.remove(0);
        accounts.extend(gone);
        self.ghosts.fetch_add(1, Relaxed);
    }
}
