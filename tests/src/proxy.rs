//! A proxy in front of an RPC node that records the transactions sent through it.

use std::sync::{Arc, Mutex};

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
use tokio::net::TcpListener;

use crate::network::observer::{SignedTransaction, writable_keys};

/// Forwards every request to a node and records each transaction that is sent.
#[derive(Clone)]
pub struct Proxy {
    pub url: String,
    node_url: String,
    client: reqwest::Client,
    sent: Arc<Mutex<Vec<VersionedTransaction>>>,
}

impl Proxy {
    pub async fn start(node_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            node_url: node_url.to_owned(),
            client: reqwest::Client::new(),
            sent: Arc::default(),
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
}

async fn forward(State(proxy): State<Proxy>, body: Bytes) -> impl IntoResponse {
    if let Some(transaction) = sent_transaction(&body) {
        proxy.sent.lock().unwrap().push(transaction);
    }
    let request = proxy.client.post(&proxy.node_url).body(body);
    let response = match request
        .header(CONTENT_TYPE, "application/json")
        .send()
        .await
    {
        Ok(response) => response.bytes().await,
        Err(error) => Err(error),
    };
    match response {
        Ok(bytes) => (StatusCode::OK, [(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

/// The transaction of a `sendTransaction` request. `None` for other requests, and for transactions that
/// can't be decoded.
fn sent_transaction(body: &[u8]) -> Option<VersionedTransaction> {
    let request: Value = serde_json::from_slice(body).ok()?;
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
