//! RPC nodes that are missing, slow, behind or busy.

use std::time::Duration;

use driftshield_sdk::rpc::{self, Signer};
use driftshield_tests::{
    network::{budget::RequestedBudget, problem_kind},
    proxy::{Part, Proxy},
    world::TOKEN,
};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use solana_system_interface::instruction as system;

use super::wallet::{Wallet, decode};
use crate::api_fixture::{ApiFixture, start_api_of, start_api_with};

async fn post(url: &str, body: &Value) -> Response {
    Client::new().post(url).json(body).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_fails_is_a_problem_of_its_own() {
    let mut api = ApiFixture::start().await;
    api.fixture.create_market(300).await;
    let market = *api.fixture.markets.last().unwrap();
    let wallet = Wallet::funded(&api).await;
    let path = format!("/api/v1/markets/{market}/bet");
    let body = json!({ "account": wallet.address(), "outcome": 0, "amount": TOKEN.to_string() });

    // Without a node there are no transactions, and all reads
    let network = &api.fixture.network;
    let mut command = network.command("api");
    command.env_remove("RPC_URL");
    let (_without, url) = start_api_of(network, command).await;
    let response = post(&format!("{url}{path}"), &body).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem_kind(&problem), "no-rpc-node");
    let models = reqwest::get(format!("{url}/api/v1/models")).await.unwrap();
    assert_eq!(models.status(), StatusCode::OK);

    // A node that does not answer is given up in time
    let proxy = Proxy::start(&network.addresses.rpc_url).await;
    let (_proxied, url) = start_api_with(network, &["--rpc-url", &proxy.url]).await;
    proxy.hold(Part::Answer, "getMultipleAccounts");
    let started = std::time::Instant::now();
    let response = post(&format!("{url}{path}"), &body).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(started.elapsed() < Duration::from_secs(8));
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem_kind(&problem), "rpc-unavailable");
    proxy.release();
    let response = post(&format!("{url}{path}"), &body).await;
    assert_eq!(response.status(), StatusCode::OK);

    // A slot that the node reaches is waited for, and one that it doesn't is a 425
    let slot = api.current_slot().await;
    let at = |slot: u64| format!("{url}{path}?min_slot={slot}");
    let response = post(&at(slot + 2), &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    let reply: Value = response.json().await.unwrap();
    assert!(slot + 2 <= reply["slot"].as_u64().unwrap());
    let response = post(&at(slot + 1_000_000), &body).await;
    assert_eq!(response.status(), StatusCode::TOO_EARLY);
    assert_eq!(response.headers()["retry-after"], "1");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem_kind(&problem), "slot-not-reached");

    // Nothing was sent
    assert!(proxy.sent().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_busy_chain_a_transaction_pays_for_priority_up_to_the_limit() {
    let mut api = ApiFixture::start().await;
    api.fixture.create_market(300).await;
    let market = *api.fixture.markets.last().unwrap();
    let wallet = Wallet::funded(&api).await;
    let rpc_url = api.fixture.network.addresses.rpc_url.clone();
    let options = [
        "--max-priority-fee",
        "1500",
        "--priority-fee-percentile",
        "100",
    ];
    let (_api, url) = start_api_with(&api.fixture.network, &options).await;
    let path = format!("{url}/api/v1/markets/{market}/bet");
    let body = json!({ "account": wallet.address(), "outcome": 0, "amount": TOKEN.to_string() });

    // Given another transaction that writes the wallet's account and pays much for priority
    let client = rpc::Client::new(rpc_url).with_priority_fee(2_000);
    let payer = &api.fixture.network.payer;
    let transfer = system::transfer(&payer.pubkey(), &wallet.key.pubkey(), 1_000_000);
    client.send(&[transfer], &[payer]).await.unwrap();

    // Then a transaction pays the limit
    let response = post(&path, &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    let reply: Value = response.json().await.unwrap();
    let transaction = decode(&reply["transaction"]);
    let budget = RequestedBudget::of(&transaction);
    assert_eq!(budget.price, Some(1_500));
    let fee = 5_000 + budget.priority_fee();
    assert_eq!(reply["fee"]["total"]["raw"], fee.to_string());
    wallet.send(&transaction).await;
}
