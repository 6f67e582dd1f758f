//! `bench api`: how fast the API serves the mirror of a busy chain, beside handlers that answer a constant body.
//!
//! The servers that are measured have CPU 0 for themselves. Everything else shares CPU 1, to which
//! `scripts/bench` pins this process: the clients, the indexer, Postgres, and the stream that the indexer
//! follows.

mod greedy;
mod hot;
mod processes;
mod requests;
mod sockets;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::ingest::{chain::Chain, database::Postgres, mirror::Mirror, recording::Recording};

pub use processes::serve_constant;

const SLOT: Duration = Duration::from_millis(400);
/// Models that the updates are about, with 26 markets each.
const MODELS: usize = 4;
/// Transactions in a slot while the mirror is filled.
const FILLING: usize = 1_000;

/// Options of the API that let one address send everything.
const UNLIMITED: &[&str] = &[
    "--requests-per-second",
    "0",
    "--connections-per-address",
    "20000",
];

pub struct Options {
    pub seed: u64,
    /// Number of transactions of the recording.
    pub transactions: u64,
    /// Events a second while the API is measured.
    pub updates_per_sec: u64,
    /// Times that each answer is measured, and how long each time.
    pub rounds: usize,
    pub round_secs: u64,
    /// Clients that send requests at the same time.
    pub clients: usize,
    pub sockets: usize,
    /// How long the messages of the sockets are measured.
    pub socket_secs: u64,
    /// How long a client sends far more than it may.
    pub greedy_secs: u64,
}

/// The results as JSON, without machine and versions.
pub async fn run(options: &Options, target: &Path) -> anyhow::Result<Value> {
    let folder = target.join("bench");
    let recording = Recording::load_or_record(&folder, options.seed, options.transactions)?;
    let (recording, markets) = hot::only_hot_models(recording, MODELS)?;
    let postgres = Postgres::start().await?;
    let chain = Arc::new(Chain::new(Arc::new(recording)));
    let database_url = postgres.create("api").await?;
    let mut mirror = Mirror::start("api", Arc::clone(&chain), database_url, &folder).await?;
    let growth = chain.recording.summary.busy_from as usize;
    chain.confirm(growth.div_ceil(FILLING), FILLING);
    let events = chain.last().context("the recording is empty")?.events;
    mirror.wait_for(events).await?;

    // The mirror is whole when later slots are final.
    let updates = tokio::spawn(update(Arc::clone(&chain), options.updates_per_sec));
    let api = processes::Api::start(&mirror.database_url, &folder, UNLIMITED).await?;
    let requests = requests::measure(options, &api, &markets[0]).await?;
    let fan_out = sockets::measure(options, &api, &markets, &mirror).await?;
    drop(api);
    let api = processes::Api::start(&mirror.database_url, &folder, &[]).await?;
    let greedy = greedy::measure(options, &api).await?;
    ensure!(
        !updates.is_finished(),
        "the recording has ended; raise --transactions"
    );
    updates.abort();
    drop(api);

    let events = chain.last().context("the chain has no slot")?.events;
    mirror.wait_for(events).await?;
    mirror.stop()?;
    let own = std::env::current_exe()?;
    let profile = own.parent().and_then(|folder| folder.file_name()?.to_str());
    Ok(json!({
        "updates_per_sec": options.updates_per_sec,
        "markets": markets.len(),
        "requests": requests,
        "fan_out": fan_out,
        "greedy_client": greedy,
        "postgres": { "version": postgres.version().await? },
        "build_profile": profile,
        "cpu_pinning": "API or bare handler: CPU 0; clients, indexer, Postgres and the indexer's source: CPU 1",
    }))
}

/// Confirms slots with as many events a second, until the recording ends.
async fn update(chain: Arc<Chain>, per_sec: u64) {
    let per_slot = (per_sec * SLOT.as_millis() as u64 / 1_000) as usize;
    let mut clock = interval(SLOT);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while per_slot <= chain.left() {
        clock.tick().await;
        chain.confirm(1, per_slot);
    }
}

/// The value below which a share of the sorted values is.
fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let index = sorted.len().checked_sub(1)? as f64 * share;
    sorted.get(index.round() as usize).copied()
}

/// The number with two decimal places.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
