//! The example on real data, from the files to the payouts, seen live.

mod insurance;

use std::{fs, path::Path, time::Duration};

use driftshield_sdk::{Event, json};
use driftshield_tests::network::{Heard, Network, listen, repository, wait_for};
use futures::{SinkExt, StreamExt};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

const WINDOW_ROWS: usize = 5_000;

#[derive(Deserialize)]
struct Summary {
    windows: Vec<Window>,
    markets: Vec<Market>,
    policies: Vec<insurance::Policy>,
    vaults: Vec<insurance::Vault>,
}

#[derive(Deserialize)]
struct Window {
    window: u64,
    counts: Vec<u32>,
    value_micro: u64,
    state: String,
}

#[derive(Deserialize)]
struct Market {
    thresholds_micro: Vec<u64>,
    stakes: Vec<u64>,
    state: String,
    outcome: Option<usize>,
    fees: u64,
    dust: u64,
    payouts: Vec<Payout>,
}

#[derive(Deserialize)]
struct Payout {
    stakes: Vec<u64>,
    paid: u64,
}

/// `score` in order of `id`.
fn scores(file: &Path) -> Vec<f64> {
    let reader = SerializedFileReader::new(fs::File::open(file).unwrap()).unwrap();
    let names: Vec<_> = reader
        .metadata()
        .file_metadata()
        .schema()
        .get_fields()
        .iter()
        .map(|field| field.name().to_owned())
        .collect();
    let at = |name| names.iter().position(|known| known == name).unwrap();
    let (id, score) = (at("id"), at("score"));
    let mut rows: Vec<(i64, f64)> = reader
        .get_row_iter(None)
        .unwrap()
        .map(|row| {
            let row = row.unwrap();
            (row.get_long(id).unwrap(), row.get_double(score).unwrap())
        })
        .collect();
    rows.sort_by_key(|(id, _)| *id);
    rows.into_iter().map(|(_, score)| score).collect()
}

/// Deciles, by linear interpolation.
fn deciles(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    (1..10)
        .map(|k| {
            let at = (values.len() - 1) as f64 * f64::from(k) / 10.0;
            let (below, part) = (values[at as usize], at.fract());
            below + part * (values[at as usize + 1] - below)
        })
        .collect()
}

fn counts(edges: &[f64], scores: &[f64]) -> Vec<u32> {
    let mut counts = vec![0; edges.len() + 1];
    for score in scores {
        counts[edges.iter().filter(|edge| *edge <= score).count()] += 1;
    }
    counts
}

fn psi(reference: &[u32], current: &[u32]) -> f64 {
    let shares = |counts: &[u32]| {
        let sum = f64::from(counts.iter().sum::<u32>());
        let shares = counts.iter().map(move |&count| f64::from(count) / sum);
        shares.map(|share| share.max(0.0001)).collect::<Vec<_>>()
    };
    let (p, q) = (shares(reference), shares(current));
    p.iter().zip(&q).map(|(p, q)| (q - p) * (q / p).ln()).sum()
}

/// Every event so far, in the order of the chain: where it is, and its body.
fn events(heard: &Heard) -> Vec<(String, u32, u32, Event, Value)> {
    let succeeded = heard.transactions.iter().filter(|landed| !landed.failed);
    succeeded
        .flat_map(|landed| {
            landed.inner.iter().filter_map(|(outer, inner, data)| {
                let event = Event::decode_inner_instruction(data)?.unwrap();
                let body = json::event(&data[8..]).unwrap().fields;
                let signature = landed.signed.signature.clone();
                Some((signature, *outer, *inner, event, Value::Object(body)))
            })
        })
        .collect()
}

/// Collects everything that a socket says about `channels` until it is closed.
pub fn watch_socket(api_url: &str, channels: Vec<String>) -> watch::Receiver<Vec<Value>> {
    let url = api_url.replacen("http", "ws", 1) + "/api/v1/ws";
    let (sender, receiver) = watch::channel(vec![]);
    tokio::spawn(async move {
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        for (id, channel) in channels.iter().enumerate() {
            let subscribe = json!({"op": "subscribe", "id": id, "channel": channel});
            let text = Message::text(subscribe.to_string());
            socket.send(text).await.unwrap();
        }
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message {
                let value = serde_json::from_str(&text).unwrap();
                sender.send_modify(|messages| messages.push(value));
            }
        }
    });
    receiver
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_pays_what_the_data_say_and_everybody_can_watch() {
    // Given the example on a network of its own, and somebody who listens to the validator
    let data = repository().join("examples/employment-ma/data");
    let mut network = Network::start(&[
        "--once",
        "--window-secs",
        "2",
        "--data",
        data.to_str().unwrap(),
    ])
    .await;
    let api_url = network.addresses.api_url.clone().unwrap();
    let heard = listen(&network.addresses.grpc_url);

    // When somebody opens a socket in mid-run
    let model = wait_for("the first windows", Duration::from_secs(240), async || {
        assert!(
            network.localnet.is_running(),
            "{}",
            network.localnet.output()
        );
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
    let messages = watch_socket(&api_url, channels.clone());

    // Then the example comes to its end
    let code = network.localnet.exit_code(Duration::from_secs(400)).await;
    assert_eq!(code, 0, "{}", network.localnet.output());
    let output = network.localnet.output();
    assert!(output.contains(" differences 0."), "{output}");

    // and what it tells is what the data say
    let summary = fs::read(network.dir.path().join("summary.json")).unwrap();
    let summary: Summary = serde_json::from_slice(&summary).unwrap();
    check_windows(&summary.windows, &data);
    check_markets(&summary);
    let values: Vec<u64> = summary
        .windows
        .iter()
        .map(|window| window.value_micro)
        .collect();
    assert!(2_000_000 < *values.iter().max().unwrap());
    assert!(values.len() / 2 < values.iter().filter(|value| **value < 20_000).count());

    // and so is what policies came to: some paid, one renewed, one given up
    let told = insurance::Told::of(&heard.borrow());
    told.check(&summary);
    let states = |state| summary.policies.iter().filter(move |p| p.state == state);
    assert!(states("paid").count() > 0);
    assert!(states("cancelled").count() > 0);
    assert!(states("expired").any(|policy| 0 < policy.paid));
    assert!(states("expired").any(|policy| policy.paid == 0));
    assert!(told.renewals() > 0);

    // and the socket told every event once, in the order of the chain
    let events = events(&heard.borrow());
    for channel in channels {
        check_channel(&channel, &messages.borrow(), &events);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs_on_other_data_and_then_the_network_stays_up() {
    // Given other data: those of the reference, which can't drift from themselves
    let other = tempfile::tempdir().unwrap();
    let reference = repository().join("examples/employment-ma/data/reference.parquet");
    for name in ["reference.parquet", "analysis.parquet"] {
        fs::copy(&reference, other.path().join(name)).unwrap();
    }

    // When the example runs on them
    let data = other.path().to_str().unwrap();
    let mut network = Network::start(&["--window-secs", "2", "--data", data]).await;
    let heard = listen(&network.addresses.grpc_url);
    let file = network.dir.path().join("summary.json");
    let patience = Duration::from_secs(240);
    let summary: Summary = wait_for("the example's end", patience, async || {
        assert!(
            network.localnet.is_running(),
            "{}",
            network.localnet.output()
        );
        serde_json::from_slice(&fs::read(&file).ok()?).ok()
    })
    .await;

    // Then nothing drifted, the books balance, and everything goes on until it is told to end
    check_windows(&summary.windows, other.path());
    assert!(
        summary
            .windows
            .iter()
            .all(|window| window.value_micro < 20_000)
    );
    check_markets(&summary);
    insurance::Told::of(&heard.borrow()).check(&summary);
    assert!(!summary.policies.is_empty());
    assert!(summary.policies.iter().all(|policy| policy.paid == 0));
    insurance::check_mirror(&network.database().await, &summary.policies).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let api_url = network.addresses.api_url.clone().unwrap();
    let health = get(&format!("{api_url}/health")).await.unwrap();
    assert_eq!(health["status"], "ok");
    assert!(network.localnet.end(), "{}", network.localnet.output());
}

async fn get(url: &str) -> Option<Value> {
    let response = reqwest::get(url).await.ok()?.error_for_status().ok()?;
    response.json().await.ok()
}

fn check_windows(windows: &[Window], data: &Path) {
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

fn check_markets(summary: &Summary) {
    let values: Vec<u64> = summary
        .windows
        .iter()
        .map(|window| window.value_micro)
        .collect();
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
            let refunded = |payout: &Payout| payout.paid == payout.stakes.iter().sum::<u64>();
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

/// The messages of a subscription against the events of the chain.
fn check_channel(channel: &str, messages: &[Value], events: &[(String, u32, u32, Event, Value)]) {
    let own: Vec<_> = messages
        .iter()
        .filter(|message| message["channel"] == channel)
        .collect();
    assert_eq!(own[0]["type"], "snapshot", "{channel}");
    let since = own[0]["seq"].as_u64().unwrap();
    let mut last = since;
    let told: Vec<_> = own[1..]
        .iter()
        .inspect(|message| {
            assert_eq!(
                message["prev"].as_u64().unwrap(),
                last,
                "{channel}: {message}"
            );
            last = message["seq"].as_u64().unwrap();
        })
        .filter(|message| message.get("event").is_some())
        .collect();
    let key = channel.split_once(':').map(|(_, key)| key.to_owned());
    let expected: Vec<_> = (1u64..)
        .zip(events)
        .filter(|(seq, (.., event, _))| {
            let mut accounts = event.account_seqs().into_iter();
            let concerned = |key: &String| accounts.any(|(address, _)| address.to_string() == *key);
            since < *seq && key.as_ref().is_none_or(concerned)
        })
        .collect();
    assert!(!expected.is_empty(), "{channel}");
    assert_eq!(told.len(), expected.len(), "{channel}");
    for (message, (seq, (signature, outer, inner, event, body))) in told.iter().zip(expected) {
        let told = &message["event"];
        assert_eq!(message["seq"].as_u64(), Some(seq), "{channel}");
        assert_eq!(told["name"], event.name());
        assert_eq!(told["signature"], *signature);
        assert_eq!(told["instruction_index"].as_u64(), Some(u64::from(*outer)));
        assert_eq!(told["event_index"].as_u64(), Some(u64::from(*inner)));
        assert_eq!(told["body"], *body);
    }
}
