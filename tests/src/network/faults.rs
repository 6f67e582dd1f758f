//! Client of the interface through which `localnet` injects faults into its gRPC feed.

// The same source, because a dependency on localnet would make every test wait for the
// compilation of the validator.
#[path = "../../../localnet/src/geyser/faults/request.rs"]
mod request;

pub use request::*;

use std::time::Duration;

use super::wait_for;

/// The faults of a network that was started with `--faults-port 0`.
pub struct Faults {
    url: String,
    http: reqwest::Client,
}

impl Faults {
    /// `url` is `faults_url` of the network's addresses.
    pub fn new(url: String) -> Self {
        Self {
            url,
            http: reqwest::Client::new(),
        }
    }

    /// Arms a fault for one injection. Returns its id.
    pub async fn once(&self, fault: Fault) -> u64 {
        self.arm(&Request {
            fault,
            times: Some(1),
            for_ms: None,
            seed: 0,
        })
        .await
    }

    /// Arms a fault until it is released. Returns its id.
    pub async fn hold(&self, fault: Fault) -> u64 {
        self.arm(&Request {
            fault,
            times: None,
            for_ms: None,
            seed: 0,
        })
        .await
    }

    /// Arms a fault, or restarts the node. Returns the fault's id.
    pub async fn arm(&self, request: &Request) -> u64 {
        let posted = self.http.post(&self.url).json(request);
        let accepted: Accepted = answer(posted).await.json().await.unwrap();
        accepted.id
    }

    /// Ends a fault that is still armed.
    pub async fn release(&self, id: u64) {
        answer(self.http.delete(format!("{}/{id}", self.url))).await;
    }

    /// Ends all faults.
    pub async fn release_all(&self) {
        answer(self.http.delete(&self.url)).await;
    }

    pub async fn report(&self) -> Report {
        let report = answer(self.http.get(&self.url)).await;
        report.json().await.unwrap()
    }

    pub async fn counts(&self, kind: Kind) -> Counts {
        let report = self.report().await;
        report.counts.get(&kind).copied().unwrap_or_default()
    }

    /// Waits until a kind of fault has changed what clients get this number of times.
    pub async fn wait_for_changes(&self, kind: Kind, changed: u64, timeout: Duration) {
        wait_for(&format!("{changed} × {kind:?}"), timeout, async || {
            (changed <= self.counts(kind).await.changed).then_some(())
        })
        .await;
    }
}

/// Panics with the reason if the request is refused.
async fn answer(request: reqwest::RequestBuilder) -> reqwest::Response {
    let response = request.send().await.unwrap();
    if !response.status().is_success() {
        panic!("{}: {}", response.status(), response.text().await.unwrap());
    }
    response
}
