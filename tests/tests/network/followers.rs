//! Clients that follow the WebSocket through forks, restarts and disconnects, on the primary and on a
//! standby: what each has got equals the database.
//!
//! `FOLLOWERS_SEED` chooses the random numbers.

mod client;
mod compared;
mod schema;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    process::Command,
    sync::{Arc, OnceLock},
    time::Duration,
};

use driftshield_sdk::{Event, MarketState};
use driftshield_tests::{
    ingest::{
        chain::{Block, Chain, NextSlot},
        forks,
        mirror::Mirror,
        recording::Recording,
    },
    network::{Service, binary, free_address, postgres::Postgres, wait_for},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::{sync::watch, time::sleep};

use client::{End, Follower};
use schema::Schemas;

use crate::socket::record_messages;

/// The actions of this seed have every kind of event.
const RECORDING_SEED: u64 = 3;
const TIMEOUT: Duration = Duration::from_secs(300);
const FOLLOWERS: u64 = 24;
/// Slots that are followed.
const SLOTS: usize = 400;
/// Slots that are confirmed at once, and the pause after them.
const CHUNK: usize = 16;
const PAUSE: Duration = Duration::from_millis(500);

fn recording() -> Arc<Recording> {
    static RECORDING: OnceLock<Arc<Recording>> = OnceLock::new();
    let recorded = RECORDING.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        Arc::new(Recording::of_every_kind(folder.path(), RECORDING_SEED).unwrap())
    });
    Arc::clone(recorded)
}

/// A mirror of a recorded stream.
struct Stage {
    folder: TempDir,
    postgres: Postgres,
    mirror: Mirror,
    database: PgConnection,
}

/// An API process, which always has the same address.
struct Api {
    name: String,
    url: String,
    listen: String,
    database_url: String,
    service: Service,
}

impl Stage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let postgres = Postgres::start().await;
        let chain = Arc::new(Chain::new(recording()));
        let url = postgres.url("driftshield");
        let mirror = Mirror::start("followed", chain, url, folder.path()).await;
        let mirror = mirror.unwrap();
        let database = PgConnection::connect(&mirror.database_url).await.unwrap();
        let mut stage = Self {
            folder,
            postgres,
            mirror,
            database,
        };
        wait_for("the accounts", TIMEOUT, async || {
            stage.mirror.chain.confirm_empty();
            let settled = "select settled_slot from chain.cursor";
            let settled = sqlx::query_scalar::<_, Option<i64>>(settled);
            settled.fetch_optional(&mut stage.database).await.unwrap()?
        })
        .await;
        stage
    }

    fn api(&self, name: &str, database_url: &str) -> Api {
        let listen = free_address().to_string();
        Api {
            service: start_api(name, &listen, database_url, &self.folder),
            url: format!("http://{listen}"),
            name: name.to_owned(),
            listen,
            database_url: database_url.to_owned(),
        }
    }

    /// Waits until the mirror has all slots. Returns its epoch and its last record.
    async fn reach_tip(&mut self) -> (i64, i64) {
        let tip = self.mirror.chain.tip();
        wait_for("the last slot", TIMEOUT, async || {
            self.mirror.indexer.assert_running();
            let cursor = sqlx::query_as("select blockhash, epoch, seq from chain.cursor");
            let cursor: (Vec<u8>, i64, i64) = cursor.fetch_one(&mut self.database).await.unwrap();
            let is_tip = bs58::encode(cursor.0).into_string() == tip.hash();
            is_tip.then_some((cursor.1, cursor.2))
        })
        .await
    }
}

fn start_api(name: &str, listen: &str, database_url: &str, folder: &TempDir) -> Service {
    let mut command = Command::new(binary("api"));
    command
        .args(["--listen", listen])
        .env("DATABASE_URL", database_url)
        .env("RUST_LOG", "info")
        .env("NO_COLOR", "1");
    Service::start(name, &mut command, folder.path())
}

impl Api {
    fn kill(&mut self) {
        self.service.kill();
    }

    fn start_again(&mut self, folder: &TempDir) {
        self.service = start_api(&self.name, &self.listen, &self.database_url, folder);
    }

    async fn wait_until_ready(&self) {
        wait_for("the API", TIMEOUT, async || {
            let response = reqwest::get(format!("{}/health/readiness", self.url)).await;
            response.ok()?.status().is_success().then_some(())
        })
        .await;
    }

    async fn get(&self, path: &str) -> Value {
        let response = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        response.json().await.unwrap()
    }
}

/// Channels with many events in the recording, and the two of all events.
fn channels() -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let recording = recording();
    let events = recording.transactions.iter();
    for event in events.flat_map(|transaction| transaction.decoded_events()) {
        for (wallet, _) in event.parties() {
            *counts.entry(format!("wallet:{wallet}")).or_default() += 1;
        }
        for change in event.changes() {
            let kind = match change.kind.name() {
                "Market" => "market",
                "Model" => "model",
                "Vault" => "vault",
                "Policy" => "policy",
                _ => continue,
            };
            *counts
                .entry(format!("{kind}:{}", change.address))
                .or_default() += 1;
        }
    }
    let mut channels = vec!["markets".to_owned(), "events".to_owned()];
    for kind in ["market:", "model:", "vault:", "policy:", "wallet:"] {
        let of_kind = counts.iter().filter(|(name, _)| name.starts_with(kind));
        let mut of_kind: Vec<_> = of_kind
            .map(|(name, count)| (*count, name.clone()))
            .collect();
        of_kind.sort_unstable_by(|one, other| other.cmp(one));
        channels.extend(of_kind.into_iter().take(8).map(|(_, name)| name));
    }
    channels
}

fn seed() -> u64 {
    let seed = std::env::var("FOLLOWERS_SEED");
    seed.map_or(7, |seed| seed.parse().expect("FOLLOWERS_SEED is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_followers_got_equals_the_database() {
    let seed = seed();
    println!("FOLLOWERS_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    // Given a mirror, a standby of its database, and an API on each
    let mut stage = Stage::start().await;
    let standby = stage.postgres.standby().await;
    let mut apis = [
        stage.api("api-primary", &stage.mirror.database_url),
        stage.api("api-standby", &standby.url("driftshield")),
    ];
    for api in &apis {
        api.wait_until_ready().await;
    }
    let schemas = Arc::new(Schemas::of(&apis[0].get("/api-docs/asyncapi.json").await));

    // When clients follow the mirror while slots are dropped, and processes are killed
    let (end, ends) = watch::channel(None);
    let channels = Arc::new(channels());
    let followers: Vec<_> = (0..FOLLOWERS)
        .map(|index| {
            let api = &apis[usize::from(index % 4 == 0)];
            let follower = Follower::new(seed + index, &api.url, &channels, &schemas);
            tokio::spawn(follower.follow(ends.clone()))
        })
        .collect();
    let transactions = recording().transactions.len();
    let base = stage.mirror.chain.tip();
    let plan = forks::plan(seed, base, transactions, BTreeSet::new());
    for chunk in plan.slots[..SLOTS].chunks(CHUNK) {
        stage.mirror.chain.confirm_all(chunk.iter().cloned());
        sleep(PAUSE).await;
        match rng.random_range(0..12) {
            0 => {
                stage.reach_tip().await;
                stage.mirror.restart().await.unwrap();
            }
            1 | 2 => {
                let api = &mut apis[rng.random_range(0..2)];
                api.kill();
                sleep(PAUSE).await;
                api.start_again(&stage.folder);
            }
            _ => {}
        }
    }
    let (epoch, seq) = stage.reach_tip().await;
    end.send_replace(Some(End { epoch, seq }));

    // Then what each client has got equals the database
    let mut all = vec![];
    for follower in followers {
        all.push(follower.await.unwrap());
    }
    for api in &apis {
        api.wait_until_ready().await;
    }
    compared::compare(&all, &mut stage.database, &apis[0]).await;
    for api in &mut apis {
        assert!(api.service.stop(), "{}", api.service.output());
    }
    let standby_output = apis[1].service.output();
    assert!(standby_output.contains("polling only"), "{standby_output}");
    stage.mirror.stop().unwrap();
}

/// Transactions from the settlement of a market up to its closing.
fn settled_and_closed() -> (String, Range<usize>) {
    let mut settled: BTreeMap<String, usize> = BTreeMap::new();
    let mut shortest: Option<(String, Range<usize>)> = None;
    for (index, transaction) in recording().transactions.iter().enumerate() {
        for event in transaction.decoded_events() {
            match event {
                Event::MarketSettled(event) if event.state != MarketState::Open => {
                    settled.insert(event.market.to_string(), index);
                }
                Event::MarketClosed(event) => {
                    let market = event.market.to_string();
                    let Some(first) = settled.get(&market).copied() else {
                        continue;
                    };
                    let range = first..index + 1;
                    if shortest
                        .as_ref()
                        .is_none_or(|(_, found)| range.len() < found.len())
                    {
                        shortest = Some((market, range));
                    }
                }
                _ => {}
            }
        }
    }
    shortest.expect("the recording has every kind of event")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_market_that_settles_and_closes_in_one_slot_is_announced() {
    // Given clients of a market that is about to be settled
    let (market, slot) = settled_and_closed();
    let mut stage = Stage::start().await;
    let chain = Arc::clone(&stage.mirror.chain);
    let mut begin = 0;
    let confirm = |transactions: Range<usize>| {
        let parent = chain.tip();
        chain.confirm_all([NextSlot {
            block: Block::unforked(parent.slot + 1),
            parent,
            transactions,
        }]);
    };
    while begin < slot.start {
        let end = slot.start.min(begin + 20);
        confirm(begin..end);
        begin = end;
    }
    stage.reach_tip().await;
    let api = stage.api("api", &stage.mirror.database_url);
    api.wait_until_ready().await;
    let channels = [format!("market:{market}"), "markets".to_owned()];
    let clients = channels
        .clone()
        .map(|channel| record_messages(&api.url, vec![channel]));
    for client in &clients {
        wait_for("a snapshot", TIMEOUT, async || {
            let messages = client.borrow();
            messages
                .iter()
                .any(|message| message["type"] == "snapshot")
                .then_some(())
        })
        .await;
    }

    // When one slot settles and closes it
    confirm(slot);
    stage.reach_tip().await;

    // Then both are announced, in order
    for (client, channel) in clients.iter().zip(channels) {
        let names = wait_for("the end of the market", TIMEOUT, async || {
            let messages = client.borrow();
            let of_market = messages.iter().filter(|message| {
                message["event"]["body"]["market"] == market && message["channel"] == channel
            });
            let of_market = of_market
                .map(|message| json!([message["type"], message["event"]["name"]]))
                .collect::<Vec<_>>();
            let is_closed = of_market.iter().any(|message| message[1] == "MarketClosed");
            is_closed.then_some(of_market)
        })
        .await;
        let place = |message: Value| names.iter().position(|name| *name == message);
        let resolved = place(json!(["market:resolved", "MarketSettled"]));
        let closed = place(json!(["event", "MarketClosed"]));
        assert!(
            resolved.is_some() && resolved < closed,
            "{channel}: {names:?}"
        );
    }
    stage.mirror.stop().unwrap();
}
