//! A [`Fixture`] with an indexer and an API.

use std::{process::Command, time::Duration};

use driftshield_tests::network::{Network, Service, fixture::Fixture, free_address, wait_for};
use reqwest::StatusCode;
use serde_json::Value;

pub struct ApiFixture {
    pub fixture: Fixture,
    /// Base URL of the API.
    pub url: String,
    pub indexer: Service,
    _api: Service,
}

/// Starts an API, and waits until it is ready. Returns its base URL, too.
pub async fn start_api(network: &Network) -> (Service, String) {
    start_api_with(network, &[]).await
}

/// Starts an API with these arguments, and waits until it is ready. Returns its base URL, too.
pub async fn start_api_with(network: &Network, arguments: &[&str]) -> (Service, String) {
    let mut command = network.command("api");
    command.args(arguments);
    start_api_of(network, command).await
}

/// Starts an API by this command, to which it adds the address, and waits until it is ready. Returns its base
/// URL, too.
pub async fn start_api_of(network: &Network, mut command: Command) -> (Service, String) {
    let listen = free_address().to_string();
    command.args(["--listen", &listen]);
    let api = Service::start("api", &mut command, network.directory.path());
    let url = format!("http://{listen}");
    wait_for("the API", Duration::from_secs(30), async || {
        let response = reqwest::get(format!("{url}/health/readiness")).await;
        (response.ok()?.status() == StatusCode::OK).then_some(())
    })
    .await;
    (api, url)
}

impl ApiFixture {
    pub async fn start() -> Self {
        Self::start_with(&["--bare"]).await
    }

    /// `options` are those of `localnet`.
    pub async fn start_with(options: &[&str]) -> Self {
        let fixture = Fixture::start_with(options).await;
        let indexer = fixture.start_indexer();
        let (api, url) = start_api(&fixture.network).await;
        Self {
            fixture,
            url,
            indexer,
            _api: api,
        }
    }

    /// Requests a path. Returns the status and the JSON body, or `null` for another body.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }

    /// Requests a path that must return `200 OK`.
    pub async fn get_ok(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Current slot of the chain.
    pub async fn current_slot(&self) -> u64 {
        self.fixture.network.client.rpc().get_slot().await.unwrap()
    }
}
