//! A wallet that uses only the API and its key.

use std::time::Duration;

use driftshield_sdk::{
    Model, error,
    faucet::Faucet,
    rpc::{Keypair, Signature, Signer, VersionedTransaction},
};
use driftshield_tests::{
    network::{budget::RequestedBudget, problem_kind, wait_for},
    world::TOKEN,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use solana_transaction_status_client_types::{EncodedTransaction, TransactionBinaryEncoding};

use crate::api_fixture::ApiFixture;

const SOL: u64 = 1_000_000_000;
/// Tokens of a new wallet, in base units.
pub const FUNDS: u64 = 5_000 * TOKEN;

pub struct Wallet<'a> {
    pub key: Keypair,
    api: &'a ApiFixture,
}

impl<'a> Wallet<'a> {
    /// A new wallet with SOL and tokens of the fixture's mint, from the local faucet.
    pub async fn funded(api: &'a ApiFixture) -> Self {
        let network = &api.fixture.network;
        let (client, payer) = (&network.client, &network.payer);
        let model: Model = client.get(&api.fixture.model).await.unwrap();
        let wallet = Self::empty(api);
        let faucet = Faucet::of_mint(client, payer, model.bond_mint);
        let funded = faucet.fund(&wallet.key.pubkey(), 10 * SOL, FUNDS).await;
        funded.unwrap();
        wallet
    }

    /// A new wallet that has nothing.
    pub fn empty(api: &'a ApiFixture) -> Self {
        Self {
            key: Keypair::new(),
            api,
        }
    }

    pub fn address(&self) -> String {
        self.key.pubkey().to_string()
    }

    /// Sends a request with the wallet's address, at or after the current slot.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        mut body: Value,
    ) -> (StatusCode, Value) {
        body["account"] = json!(self.address());
        let slot = self.api.current_slot().await;
        let url = format!("{}/api/v1{path}?min_slot={slot}", self.api.url);
        let request = reqwest::Client::new().request(method, url).json(&body);
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// Requests a transaction, checks it, signs and sends it, and waits until it is confirmed. Returns
    /// the answer.
    pub async fn transact(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, reply) = self.request(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {reply}");
        self.sign_and_send(&reply).await;
        reply
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.transact(Method::POST, path, body).await
    }

    /// Signs and sends the transaction of an answer.
    pub async fn sign_and_send(&self, reply: &Value) {
        let unsigned = decode(&reply["transaction"]);
        assert_eq!(unsigned.signatures, [Signature::default()]);
        let keys = unsigned.message.static_account_keys();
        assert_eq!(keys[0], self.key.pubkey(), "the fee payer");
        self.check_answer(reply, &unsigned);
        self.send(&unsigned).await;
    }

    /// Compares what the answer says with the transaction.
    fn check_answer(&self, reply: &Value, transaction: &VersionedTransaction) {
        let budget = RequestedBudget::of(transaction);
        assert!(budget.is_limited(), "{budget:?}");
        assert_eq!(reply["limits"]["units"], budget.units.unwrap());
        assert_eq!(
            reply["limits"]["loaded_bytes"],
            budget.loaded_bytes.unwrap()
        );
        assert_eq!(budget.price, None, "an idle chain");
        assert_eq!(reply["fee"]["total"]["raw"], "5000");
        assert_eq!(reply["fee_payer"], self.address());
        let blockhash = transaction.message.recent_blockhash().to_string();
        assert_eq!(reply["blockhash"], blockhash);
        let slots = [&reply["slot"], &reply["simulation"]["slot"]].map(|s| s.as_u64().unwrap());
        assert!(slots[0] <= slots[1], "{slots:?}");
        assert!(0 < reply["last_valid_block_height"].as_u64().unwrap());
        assert_ne!(reply["summary"], "");
    }

    /// Signs and sends a transaction, and waits until it is confirmed.
    pub async fn send(&self, unsigned: &VersionedTransaction) {
        let client = &self.api.fixture.network.client;
        let message = unsigned.message.clone();
        let signed = VersionedTransaction::try_new(message, &[&self.key]).unwrap();
        let signature = client.submit(&signed).await.unwrap();
        let result = wait_for("the transaction", Duration::from_secs(30), async || {
            let statuses = client.signature_statuses(&[signature]).await.ok()?;
            statuses.into_iter().next().flatten()
        })
        .await;
        assert_eq!(result, Ok(()));
    }

    /// Requests a transaction that the program would refuse. Returns the name of the program's error.
    pub async fn refused(&self, method: Method, path: &str, body: Value) -> String {
        let (status, problem) = self.request(method, path, body).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{path}: {problem}"
        );
        assert_eq!(problem_kind(&problem), "program-error", "{problem}");
        let reported = &problem["program_error"];
        let number = reported["number"].as_u64().unwrap();
        let known = error::by_code(number.try_into().unwrap()).unwrap();
        assert_eq!(reported["message"], known.message);
        known.name.clone()
    }

    pub async fn post_refused(&self, path: &str, body: Value) -> String {
        self.refused(Method::POST, path, body).await
    }

    /// Requests a transaction that another program would refuse. Returns what failed.
    pub async fn fails(&self, path: &str, body: Value) -> String {
        let (status, problem) = self.request(Method::POST, path, body).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{path}: {problem}"
        );
        assert_eq!(problem_kind(&problem), "transaction-fails", "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    }

    /// Base units of the fixture's mint.
    pub async fn tokens(&self) -> u64 {
        let client = &self.api.fixture.network.client;
        let model: Model = client.get(&self.api.fixture.model).await.unwrap();
        let program = model.token_program.into();
        let account =
            driftshield_sdk::address::token_account(&self.key.pubkey(), &model.bond_mint, program);
        client.token_balance(&account).await.unwrap()
    }
}

/// The transaction of an answer.
pub fn decode(base64: &Value) -> VersionedTransaction {
    let text = base64.as_str().expect("a transaction").to_owned();
    EncodedTransaction::Binary(text, TransactionBinaryEncoding::Base64)
        .decode()
        .expect("a serialized transaction")
}

/// The bound of this name in an answer, in its raw unit.
pub fn bound(reply: &Value, name: &str) -> u64 {
    let bounds = reply["bounds"].as_array().unwrap();
    let bound = bounds.iter().find(|bound| bound["name"] == name).unwrap();
    let raw = bound["value"]["raw"].as_str().unwrap();
    raw.parse().unwrap()
}

/// The event of this name in the simulation of an answer.
pub fn event<'a>(reply: &'a Value, name: &str) -> &'a Value {
    let events = reply["simulation"]["events"].as_array().unwrap();
    let event = events.iter().find(|event| event["name"] == name);
    &event.unwrap_or_else(|| panic!("no {name} in {events:?}"))["fields"]
}

/// The address of the account of this kind that an answer's transaction creates.
pub fn created(reply: &Value, kind: &str) -> String {
    let created = reply["created"].as_array().unwrap();
    let account = created.iter().find(|account| account["kind"] == kind);
    account.unwrap()["key"].as_str().unwrap().to_owned()
}
