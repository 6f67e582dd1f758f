//! A proxy in front of an RPC node that records the transactions sent through it, and can hold calls.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::post,
};
use driftshield_sdk::rpc::VersionedTransaction;
use serde_json::Value;
use solana_transaction_status_client_types::{EncodedTransaction, TransactionBinaryEncoding};
use tokio::{net::TcpListener, sync::watch};

use crate::network::observer::{SignedTransaction, writable_keys};

/// Longest wait for a call that is to be held.
const HOLD_TIMEOUT: Duration = Duration::from_secs(30);

/// Forwards every request to a node and records each transaction that is sent.
#[derive(Clone)]
pub struct Proxy {
    pub url: String,
    node_url: String,
    client: reqwest::Client,
    sent: Arc<Mutex<Vec<VersionedTransaction>>>,
    hold: watch::Sender<Hold>,
}

/// What part of a call the proxy holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The node doesn't get it.
    Request,
    /// The node has answered, and the caller doesn't get it.
    Answer,
}

/// Calls that wait in the proxy.
#[derive(Clone, Copy, Default)]
struct Hold {
    /// Part and method of the calls.
    of: Option<(Part, &'static str)>,
    has_call: bool,
}

impl Proxy {
    pub async fn start(node_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            node_url: node_url.to_owned(),
            client: reqwest::Client::new(),
            sent: Arc::default(),
            hold: watch::Sender::default(),
        };
        let app = Router::new()
            .route("/", post(forward))
            .with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        proxy
    }

    /// All transactions that were sent, whether they landed or not.
    pub fn transactions(&self) -> Vec<VersionedTransaction> {
        self.sent.lock().unwrap().clone()
    }

    /// What [`Self::transactions`] name and write.
    pub fn sent(&self) -> Vec<SignedTransaction> {
        self.transactions().iter().map(signed).collect()
    }

    /// Holds this part of all calls of a method from now on, and releases those held before.
    pub fn hold(&self, part: Part, method: &'static str) {
        self.hold.send_replace(Hold {
            of: Some((part, method)),
            has_call: false,
        });
    }

    /// Waits until a call is held.
    pub async fn wait_for_call(&self) {
        let mut changes = self.hold.subscribe();
        let waits = changes.wait_for(|hold| hold.has_call);
        tokio::time::timeout(HOLD_TIMEOUT, waits)
            .await
            .expect("a call in time")
            .expect("the proxy keeps the sender");
    }

    /// Releases all held calls.
    pub fn release(&self) {
        self.hold.send_replace(Hold::default());
    }

    /// Waits while this part of the call is to be held.
    async fn pass(&self, part: Part, method: &str) {
        let holds = |hold: &Hold| hold.of.is_some_and(|of| of == (part, method));
        self.hold.send_if_modified(|hold| {
            hold.has_call |= holds(hold);
            holds(hold)
        });
        let mut changes = self.hold.subscribe();
        let released = changes.wait_for(|hold| !holds(hold));
        released.await.expect("the proxy keeps the sender");
    }
}

async fn forward(State(proxy): State<Proxy>, body: Bytes) -> impl IntoResponse {
    let call: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = call["method"].as_str().unwrap_or_default();
    if let Some(transaction) = sent_transaction(&call) {
        proxy.sent.lock().unwrap().push(transaction);
    }
    proxy.pass(Part::Request, method).await;
    let request = proxy.client.post(&proxy.node_url).body(body);
    let response = match request
        .header(CONTENT_TYPE, "application/json")
        .send()
        .await
    {
        Ok(response) => response.bytes().await,
        Err(error) => Err(error),
    };
    proxy.pass(Part::Answer, method).await;
    match response {
        Ok(bytes) => (StatusCode::OK, [(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// The transaction of a `sendTransaction` request. `None` for other requests, and for transactions that
/// can't be decoded.
fn sent_transaction(request: &Value) -> Option<VersionedTransaction> {
    if request["method"] != "sendTransaction" {
        return None;
    }
    let encoded = request["params"][0].as_str()?.to_owned();
    EncodedTransaction::Binary(encoded, TransactionBinaryEncoding::Base64).decode()
}

fn signed(transaction: &VersionedTransaction) -> SignedTransaction {
    let message = &transaction.message;
    let header = message.header();
    let keys = message.static_account_keys();
    let keys: Vec<_> = keys.iter().map(|key| key.to_string()).collect();
    SignedTransaction {
        signature: transaction.signatures[0].to_string(),
        blockhash: message.recent_blockhash().to_string(),
        fee_payer: keys[0].clone(),
        writable: writable_keys(
            &keys,
            header.num_required_signatures.into(),
            header.num_readonly_signed_accounts.into(),
            header.num_readonly_unsigned_accounts.into(),
        ),
    }
}
