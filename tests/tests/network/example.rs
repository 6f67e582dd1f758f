//! The example of `localnet`: its payouts are recomputed from the data, and its events are compared
//! with the messages of the socket.

mod insurance;
mod tour;

use std::{fs, path::Path, time::Duration};

use driftshield_sdk::{Event, json};
use driftshield_tests::{
    calibration::example::{counts, deciles, scores},
    chaos::comparison::compare_mirrors,
    network::{
        Network,
        observer::{ObservedChain, observe},
        wait_for,
    },
    paths::root,
};
use serde::Deserialize;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::socket::record_messages;

const WINDOW_ROWS: usize = 5_000;
/// What an oracle loses for a window that it misses, in base units.
const ABSENCE_PENALTY: u64 = 5_000_000;

/// The fields of `summary.json` that the tests check.
#[derive(Deserialize)]
struct Summary {
    windows: Vec<WindowSummary>,
    markets: Vec<MarketSummary>,
    policies: Vec<insurance::PolicySummary>,
    vaults: Vec<insurance::VaultSummary>,
    oracles: Vec<OracleSummary>,
    sales: Vec<SaleSummary>,
}

#[derive(Deserialize)]
struct SaleSummary {
    seller: String,
    buyer: String,
    amount: u64,
    price: u64,
    paid: u64,
}

#[derive(Deserialize)]
struct WindowSummary {
    window: u64,
    counts: Vec<u32>,
    value_micro: u64,
    state: String,
}

#[derive(Deserialize)]
struct MarketSummary {
    thresholds_micro: Vec<u64>,
    stakes: Vec<u64>,
    state: String,
    outcome: Option<usize>,
    fees: u64,
    dust: u64,
    payouts: Vec<PayoutSummary>,
}

#[derive(Deserialize)]
struct PayoutSummary {
    stakes: Vec<u64>,
    paid: u64,
}

#[derive(Deserialize)]
struct OracleSummary {
    bonded: u64,
    rewarded: u64,
    penalised: u64,
    submitted: u64,
    missed: u64,
}

impl Summary {
    /// Drift of each window.
    fn values(&self) -> Vec<u64> {
        let windows = self.windows.iter();
        windows.map(|window| window.value_micro).collect()
    }
}

/// Population stability index of two histograms. Shares below 0.0001 count as 0.0001.
fn psi(reference: &[u32], current: &[u32]) -> f64 {
    let shares = |counts: &[u32]| {
        let sum = f64::from(counts.iter().sum::<u32>());
        let shares = counts.iter().map(move |&count| f64::from(count) / sum);
        shares.map(|share| share.max(0.0001)).collect::<Vec<_>>()
    };
    let (p, q) = (shares(reference), shares(current));
    p.iter().zip(&q).map(|(p, q)| (q - p) * (q / p).ln()).sum()
}

/// An event on chain with its position.
struct ChainEvent {
    slot: u64,
    transaction_index: u64,
    signature: String,
    instruction_index: u32,
    event_index: u32,
    event: Event,
    body: Value,
}

impl ChainEvent {
    /// The id that every mirror gives to the event.
    fn id(&self) -> String {
        let outer = u64::from(self.instruction_index) << 6;
        let inner = u64::from(self.event_index);
        let id = (self.slot << 31) + (self.transaction_index << 12) + outer + inner;
        id.to_string()
    }
}

/// The events so far, in the order of the chain.
fn events(chain: &ObservedChain) -> Vec<ChainEvent> {
    let succeeded = chain.transactions.iter().filter(|landed| !landed.failed);
    succeeded
        .flat_map(|landed| {
            landed.inner_instructions.iter().filter_map(|inner| {
                Some(ChainEvent {
                    slot: landed.slot,
                    transaction_index: landed.index,
                    signature: landed.signed.signature.clone(),
                    instruction_index: inner.outer_index,
                    event_index: inner.inner_index,
                    event: Event::decode_inner_instruction(&inner.data)?.unwrap(),
                    body: Value::Object(json::event(&inner.data[8..]).unwrap().fields),
                })
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_match_the_data_and_the_socket_reports_every_event() {
    // Given the example on a network of its own, and an observer of the chain
    let data = root().join("examples/employment-ma/data");
    let mut network = Network::start(&[
        "--once",
        "--window-secs",
        "2",
        "--data",
        data.to_str().unwrap(),
    ])
    .await;
    let api_url = network.addresses.api_url.clone().unwrap();
    let observer = observe(&network.addresses.grpc_url);

    // When a socket is opened in the middle of the run
    let channels = wait_for_channels(&mut network, &api_url).await;
    let messages = record_messages(&api_url, channels.clone());

    // Then the example ends with success
    let code = network.localnet.exit_code(Duration::from_secs(400)).await;
    let output = network.localnet.output();
    assert_eq!(code, 0, "{output}");
    assert!(output.contains(" differences 0."), "{output}");

    // and its summary matches the data
    let summary = fs::read(network.directory.path().join("summary.json")).unwrap();
    let summary: Summary = serde_json::from_slice(&summary).unwrap();
    check_windows(&summary.windows, &data);
    check_markets(&summary);
    check_oracles(&summary);
    check_sales(&summary);
    let values = summary.values();
    assert!(2_000_000 < *values.iter().max().unwrap());
    assert!(values.len() / 2 < values.iter().filter(|value| **value < 20_000).count());

    // and its policies match the events: some are paid, one is renewed, one is cancelled, one is void
    let log = insurance::EventLog::new(&observer.borrow());
    log.check(&summary);
    let in_state = |state| summary.policies.iter().filter(move |p| p.state == state);
    assert!(in_state("paid").count() > 0);
    assert!(in_state("cancelled").count() > 0);
    assert!(in_state("void").count() > 0);
    assert!(in_state("expired").any(|policy| 0 < policy.paid));
    assert!(in_state("expired").any(|policy| policy.paid == 0));
    assert!(log.count_renewals() > 0);

    // and the socket reported every event once, in the order of the chain
    let events = events(&observer.borrow());
    for channel in channels {
        check_channel(&channel, &messages.borrow(), &events);
    }
}

/// Waits until a few windows are settled and the vault is open. Returns the channels of the model,
/// the vault and all markets, and the channel of all events.
async fn wait_for_channels(network: &mut Network, api_url: &str) -> Vec<String> {
    let model = wait_for("the first windows", Duration::from_secs(240), async || {
        network.localnet.assert_running();
        let models = get(&format!("{api_url}/api/v1/models")).await?;
        let address = models["items"][0]["key"].as_str()?.to_owned();
        let receipts = get(&format!("{api_url}/api/v1/models/{address}/receipts")).await?;
        (receipts["items"].as_array()?.len() > 4).then_some(address)
    })
    .await;
    let markets = get(&format!("{api_url}/api/v1/markets")).await.unwrap();
    let markets: Vec<_> = markets["items"].as_array().unwrap().iter().collect();
    assert_eq!(markets.len(), 4);
    let keys = markets.iter().map(|market| market["key"].as_str().unwrap());
    let mut channels: Vec<_> = keys.map(|key| format!("market:{key}")).collect();
    channels.push(format!("model:{model}"));
    let vaults = wait_for("the vault", Duration::from_secs(60), async || {
        get(&format!("{api_url}/api/v1/insurance/vaults")).await
    })
    .await;
    let vault = vaults["items"][0]["key"].as_str().unwrap();
    channels.push(format!("vault:{vault}"));
    channels.push("events".into());
    channels
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs_on_other_data_and_the_network_stays_up() {
    // Given the reference data as analysis data, so that nothing drifts
    let data = tempfile::tempdir().unwrap();
    let reference = root().join("examples/employment-ma/data/reference.parquet");
    for name in ["reference.parquet", "analysis.parquet"] {
        fs::copy(&reference, data.path().join(name)).unwrap();
    }

    // When the example runs on these data
    let arguments = [
        "--window-secs",
        "2",
        "--data",
        data.path().to_str().unwrap(),
    ];
    let mut network = Network::start(&arguments).await;
    let observer = observe(&network.addresses.grpc_url);
    let file = network.directory.path().join("summary.json");
    let timeout = Duration::from_secs(240);
    let summary: Summary = wait_for("the end of the example", timeout, async || {
        network.localnet.assert_running();
        serde_json::from_slice(&fs::read(&file).ok()?).ok()
    })
    .await;

    // Then nothing drifted, all amounts add up, the README's tour works, and the network stays up until SIGTERM
    check_windows(&summary.windows, data.path());
    assert!(summary.values().iter().all(|value| *value < 20_000));
    check_markets(&summary);
    insurance::EventLog::new(&observer.borrow()).check(&summary);
    assert!(!summary.policies.is_empty());
    assert!(summary.policies.iter().all(|policy| policy.paid == 0));
    insurance::check_mirror(&network.database().await, &summary.policies).await;
    check_totals(&network).await;
    check_rebuilt_mirror(&network).await;
    let api_url = network.addresses.api_url.clone().unwrap();
    let health = get(&format!("{api_url}/health/readiness")).await.unwrap();
    assert_eq!(health["status"], "ok");
    tour::check(network.directory.path());
    tour::check_routes(&api_url, network.directory.path()).await;
    assert!(network.localnet.stop(), "{}", network.localnet.output());
}

/// All markets are settled and all positions claimed: what their owners staked went to them and to the
/// fees, but for less than a base unit a position.
async fn check_totals(network: &Network) {
    let pool = network.database().await;
    let sums =
        "select sum(staked)::bigint, sum(settled - payouts - fees)::bigint, sum(claims)::bigint
                from chain.daily where kind = 'platform'";
    let (staked, dust, claims): (i64, i64, i64) =
        sqlx::query_as(sums).fetch_one(&pool).await.unwrap();
    assert!(0 < staked && 0 < claims, "{staked} staked, {claims} claims");
    assert!((0..=claims).contains(&dust), "{dust} of {claims} claims");
    let profits = "select sum(settled - staked)::bigint,
                     sum(payouts - settled + sold_for - sold + bought - bought_for)::bigint
                   from chain.hourly where kind = 'wallet'";
    let (open, profits): (i64, i64) = sqlx::query_as(profits).fetch_one(&pool).await.unwrap();
    let fees = "select sum(fees)::bigint from chain.hourly where kind = 'platform'";
    let fees: i64 = sqlx::query_scalar(fees).fetch_one(&pool).await.unwrap();
    assert_eq!((open, profits), (0, -fees - dust));
}

/// A mirror that is made from the chain's past equals the one that followed the chain.
async fn check_rebuilt_mirror(network: &Network) {
    let mut live = network.database().await.acquire().await.unwrap();
    sqlx::query("create database rebuilt")
        .execute(&mut *live)
        .await
        .unwrap();
    let url = &network.addresses.database_url;
    let url = url.replace("/driftshield?", "/rebuilt?");
    for argument in ["migrate", "rebuild"] {
        let mut command = network.command("indexer");
        let output = command.env("DATABASE_URL", &url).arg(argument).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let mut rebuilt = PgConnection::connect(&url).await.unwrap();
    let differences = compare_mirrors(&mut live, &mut rebuilt).await;
    assert_eq!(differences, [""; 0]);
    let events = sqlx::query_scalar("select count(*) from chain.event");
    let events: i64 = events.fetch_one(&mut rebuilt).await.unwrap();
    assert!(100 < events, "{events} events");
}

async fn get(url: &str) -> Option<Value> {
    let response = reqwest::get(url).await.ok()?.error_for_status().ok()?;
    response.json().await.ok()
}

/// Recomputes all windows from the data.
fn check_windows(windows: &[WindowSummary], data: &Path) {
    let reference = scores(&data.join("reference.parquet"));
    let analysis = scores(&data.join("analysis.parquet"));
    let edges = deciles(reference.clone());
    let reference = counts(&edges, &reference);
    assert_eq!(windows.len(), analysis.len() / WINDOW_ROWS);
    for (expected, (window, rows)) in (0u64..).zip(windows.iter().zip(analysis.chunks(WINDOW_ROWS)))
    {
        assert_eq!(window.window, expected);
        assert_eq!(window.state, "final");
        assert_eq!(window.counts, counts(&edges, rows), "window {expected}");
        let value = psi(&reference, &window.counts) * 1e6;
        assert!(
            (value - window.value_micro as f64).abs() < 2.0,
            "window {expected}: {value}"
        );
    }
}

/// Checks that one oracle was silent and paid for it, that every oracle has the rest of its bond, and
/// that the pay is shared.
fn check_oracles(summary: &Summary) {
    assert_eq!(summary.oracles.len(), 3);
    for oracle in &summary.oracles {
        assert_eq!(oracle.bonded + oracle.penalised, 40_000_000_000);
        assert_eq!(oracle.penalised % ABSENCE_PENALTY, 0);
        assert!(oracle.penalised / ABSENCE_PENALTY <= oracle.missed);
        assert!(0 < oracle.rewarded);
        let windows = summary.windows.len() as u64;
        assert_eq!(oracle.submitted + oracle.missed, windows);
    }
    let silent = summary.oracles.iter().filter(|oracle| 0 < oracle.penalised);
    assert_eq!(silent.count(), 1);
    // The owner's funding, and a little rent.
    let rewarded: u64 = summary.oracles.iter().map(|oracle| oracle.rewarded).sum();
    assert!(rewarded < 301_000_000, "{rewarded}");
}

/// Recomputes outcomes, fees and payouts from the windows and the stakes.
fn check_markets(summary: &Summary) {
    let values = summary.values();
    let mean = values.iter().sum::<u64>() / values.len() as u64;
    let settled_at = [values.iter().max(), Some(&mean), values.last(), None];
    assert_eq!(summary.markets.len(), settled_at.len());
    for (market, value) in summary.markets.iter().zip(settled_at) {
        let staked: u64 = market.stakes.iter().sum();
        let paid: u64 = market.payouts.iter().map(|payout| payout.paid).sum();
        assert!(market.payouts.len() > 2);
        assert_eq!(staked, paid + market.fees + market.dust);
        let Some(value) = value else {
            assert_eq!((market.state.as_str(), market.outcome), ("void", None));
            assert_eq!((market.fees, market.dust), (0, 0));
            let refunded =
                |payout: &PayoutSummary| payout.paid == payout.stakes.iter().sum::<u64>();
            assert!(market.payouts.iter().all(refunded));
            continue;
        };
        let outcome = market
            .thresholds_micro
            .iter()
            .filter(|t| *t <= value)
            .count();
        assert_eq!(
            (market.state.as_str(), market.outcome),
            ("resolved", Some(outcome))
        );
        let winning = market.stakes[outcome];
        let losing = u128::from(staked - winning);
        // 2 % to the protocol, 1 % to the creator, each rounded down.
        let fees = losing * 200 / 10_000 + losing * 100 / 10_000;
        assert_eq!(u128::from(market.fees), fees);
        for payout in &market.payouts {
            let stake = u128::from(payout.stakes[outcome]);
            let share = stake * (losing - fees) / u128::from(winning);
            assert_eq!(u128::from(payout.paid), stake + share);
        }
    }
}

/// Recomputes the payments for stakes.
fn check_sales(summary: &Summary) {
    assert_eq!(summary.sales.len(), 2);
    for sale in &summary.sales {
        assert_ne!(sale.seller, sale.buyer);
        assert_eq!(sale.paid, (sale.amount * sale.price).div_ceil(1_000));
    }
}

/// Checks that a channel's messages report, after its snapshot, exactly the channel's events on
/// chain.
fn check_channel(channel: &str, messages: &[Value], events: &[ChainEvent]) {
    let own: Vec<_> = messages
        .iter()
        .filter(|message| message["channel"] == channel)
        .collect();
    assert_eq!(own[0]["type"], "snapshot", "{channel}");
    let since = own[0]["slot"].as_u64().unwrap();
    let mut last = own[0]["seq"].as_u64().unwrap();
    let reports: Vec<_> = own[1..]
        .iter()
        .inspect(|message| {
            assert_eq!(message["epoch"], own[0]["epoch"], "{channel}");
            // A server that did not see the channel's last event names an earlier one.
            assert!(
                message["prev"].as_u64().unwrap() <= last,
                "{channel}: {message}"
            );
            last = message["seq"].as_u64().unwrap();
        })
        .filter(|message| message.get("event").is_some())
        .collect();
    let key = channel.split_once(':').map(|(_, key)| key.to_owned());
    let expected: Vec<_> = events
        .iter()
        .filter(|expected| {
            let mut changes = expected.event.changes().into_iter();
            let concerned = |key: &String| changes.any(|c| c.address.to_string() == *key);
            since < expected.slot && key.as_ref().is_none_or(concerned)
        })
        .collect();
    assert!(!expected.is_empty(), "{channel}");
    assert_eq!(reports.len(), expected.len(), "{channel}");
    for (message, expected) in reports.iter().zip(expected) {
        let reported = &message["event"];
        assert_eq!(reported["id"], expected.id(), "{channel}");
        assert_eq!(reported["slot"].as_u64(), Some(expected.slot), "{channel}");
        assert_eq!(reported["name"], expected.event.name());
        assert_eq!(reported["signature"], expected.signature);
        assert_eq!(
            reported["transaction_index"].as_u64(),
            Some(expected.transaction_index)
        );
        assert_eq!(
            reported["instruction_index"].as_u64(),
            Some(expected.instruction_index.into())
        );
        assert_eq!(
            reported["event_index"].as_u64(),
            Some(expected.event_index.into())
        );
        assert_eq!(reported["body"], expected.body);
    }
}
