//! RPC nodes that are missing, slow, behind or busy.

use std::time::Duration;

use driftshield_sdk::rpc::{self, Signer};
use driftshield_tests::{
    network::{Service, budget::RequestedBudget, free_address, wait_for},
    proxy::{Part, Proxy},
    world::TOKEN,
};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use solana_system_interface::instruction as system;

use super::wallet::{Wallet, decode};
use crate::api_fixture::ApiFixture;

/// Starts an API with these arguments and environment.
async fn start_api(
    api: &ApiFixture,
    rpc_url: Option<&str>,
    arguments: &[&str],
) -> (Service, String) {
    let network = &api.fixture.network;
    let listen = free_address().to_string();
    let mut command = network.command("api");
    command.args(["--listen", &listen]).args(arguments);
    match rpc_url {
        Some(url) => command.env("RPC_URL", url),
        None => command.env_remove("RPC_URL"),
    };
    let service = Service::start(
        &format!("api-{listen}"),
        &mut command,
        network.directory.path(),
    );
    let url = format!("http://{listen}");
    wait_for("the API", Duration::from_secs(30), async || {
        let response = reqwest::get(format!("{url}/health/readiness")).await;
        (response.ok()?.status() == StatusCode::OK).then_some(())
    })
    .await;
    (service, url)
}

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
    let (_without, url) = start_api(&api, None, &[]).await;
    let response = post(&format!("{url}{path}"), &body).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/no-rpc-node");
    let models = reqwest::get(format!("{url}/api/v1/models")).await.unwrap();
    assert_eq!(models.status(), StatusCode::OK);

    // A node that does not answer is given up in time
    let proxy = Proxy::start(&api.fixture.network.addresses.rpc_url).await;
    let (_proxied, url) = start_api(&api, Some(&proxy.url), &[]).await;
    proxy.hold(Part::Answer, "getMultipleAccounts");
    let started = std::time::Instant::now();
    let response = post(&format!("{url}{path}"), &body).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(started.elapsed() < Duration::from_secs(8));
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/rpc-unavailable");
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
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/slot-not-reached");

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
    let (_api, url) = start_api(&api, Some(&rpc_url), &options).await;
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
