//! The fixture's oracle, which measures every window, and lets one drift.

use std::time::Duration;

use driftshield_sdk::{
    Address, Model, Receipt, address, instruction,
    rpc::{Client, Keypair, Signer},
};
use driftshield_tests::network::{fixture::Fixture, wait_for};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

/// Counts of a window that drifts no more than the reference data, and of one that does.
const CALM: [u32; 4] = [100; 4];
const DRIFTING: [u32; 4] = [250, 50, 50, 50];

/// Waits until the cluster's time is past `time`.
pub async fn wait_until(fixture: &Fixture, time: i64) {
    wait_for("the time", Duration::from_secs(120), async || {
        let now = fixture.network.client.unix_timestamp().await.ok()?;
        (time <= now).then_some(())
    })
    .await;
}

pub async fn model(fixture: &Fixture) -> Model {
    fixture.network.client.get(&fixture.model).await.unwrap()
}

/// A task that measures the windows of the fixture's model until it is dropped.
pub struct Oracle {
    task: JoinHandle<()>,
    drifting: watch::Sender<Option<u64>>,
}

impl Oracle {
    pub fn start(fixture: &Fixture) -> Self {
        let drifting = watch::Sender::new(None);
        let measuring = Measuring {
            client: Client::new(fixture.network.addresses.rpc_url.clone()),
            key: fixture.oracle.insecure_clone(),
            model: fixture.model,
            drifting: drifting.subscribe(),
            open: vec![],
        };
        Self {
            task: tokio::spawn(measuring.run()),
            drifting,
        }
    }

    /// Lets a window drift that is not over.
    pub fn let_drift(&self, window: u64) {
        self.drifting.send_replace(Some(window));
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Measuring {
    client: Client,
    key: Keypair,
    model: Address,
    drifting: watch::Receiver<Option<u64>>,
    /// Windows whose receipts aren't final.
    open: Vec<u64>,
}

impl Measuring {
    async fn run(mut self) {
        let model: Model = self.client.get(&self.model).await.unwrap();
        let mut next = 0;
        loop {
            let now = self.client.unix_timestamp().await.unwrap();
            let over = model.windows_over(now);
            for window in next..over {
                self.submit(window).await;
            }
            next = over;
            self.finalize().await;
            sleep(Duration::from_millis(300)).await;
        }
    }

    /// A window whose time for submissions is over stays without a value.
    async fn submit(&mut self, window: u64) {
        let drifts = *self.drifting.borrow() == Some(window);
        let counts = if drifts { DRIFTING } else { CALM };
        let (key, uri) = (self.key.pubkey(), String::new());
        let counts = counts.to_vec();
        let submit = instruction::submit_receipt(key, self.model, window, counts, [0; 32], uri);
        if self.client.send(&[submit], &[&self.key]).await.is_ok() {
            self.open.push(window);
        }
    }

    /// Makes the receipts final that nobody can challenge any more.
    async fn finalize(&mut self) {
        for window in std::mem::take(&mut self.open) {
            let receipt = address::receipt(&self.model, window);
            let found = self.client.find::<Receipt>(&receipt).await.unwrap();
            let Some(receipt) = found else { continue };
            let finalize = instruction::finalize_receipt(&receipt);
            if self.client.send(&[finalize], &[&self.key]).await.is_err() {
                self.open.push(window);
            }
        }
    }
}
