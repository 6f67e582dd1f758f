//! Measures how long messages take to many sockets, and the memory of a socket.
//!
//! Run in the release profile, with room for two files a socket:
//! `ulimit -n 20000; cargo test --release … --lib -- --ignored --nocapture measure_the_fan_out`

use std::{
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::AsyncReadExt,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Server, client::Client};
use crate::{
    feed::{FeedMessage, Position, Update},
    mirror::MirrorStatus,
    tail::Change,
    updates::Record,
};

const SOCKETS: usize = 5_000;
const MARKETS: usize = 100;
const SECONDS: u64 = 10;
const TICK: Duration = Duration::from_millis(10);

/// A number from the environment.
fn setting(name: &str, default: usize) -> usize {
    let setting = std::env::var(name).ok();
    setting.map_or(default, |setting| setting.parse().unwrap())
}

/// Resident memory of the process, in KiB.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

fn channel(index: usize) -> String {
    format!(
        "wallet:{}",
        bs58::encode([index as u8 + 1; 32]).into_string()
    )
}

/// Reads events, and notes how old they are in microseconds.
async fn read(mut client: Client, started: Instant, delays: Arc<Mutex<Vec<u32>>>) {
    let mut buffer = vec![0; 2048];
    let mut own = vec![];
    while let Ok(count) = client.stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        let now = started.elapsed().as_micros() as u64;
        let text = String::from_utf8_lossy(&buffer[..count]);
        let times = text.split("\"at\":\"").skip(1);
        let times = times.filter_map(|rest| rest.split_once('"')?.0.parse::<u64>().ok());
        own.extend(times.map(|at| now.saturating_sub(at) as u32));
        if 64 < own.len() {
            delays.lock().unwrap().append(&mut own);
        }
    }
}

fn publish(server: &Server, seq: i64, started: Instant) {
    let channels = vec![channel(seq as usize % MARKETS), "events".to_owned()];
    let at = started.elapsed().as_micros().to_string();
    let update = Update {
        epoch: 1,
        seq,
        slot: 90,
        kind: "market:bet_placed",
        channels: channels.clone(),
        json: json!({ "name": "BetPlaced", "at": at, "body": "x".repeat(400) }).to_string(),
        states: vec![],
    };
    server.app.hub.take(&Change::Record(&Record {
        seq,
        channels,
        message: Some(FeedMessage::Update(Arc::new(update))),
    }));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for many seconds"]
async fn measure_the_fan_out() {
    let (sockets, rate) = (
        setting("SOCKETS", SOCKETS),
        setting("RECORDS_PER_SECOND", 200),
    );
    let server = Server::start().await;
    let position = Position { epoch: 1, seq: 0 };
    server.app.hub.take(&Change::Begun { position });
    server.app.feed.record_poll(Some(MirrorStatus::example(0)));
    let (started, delays) = (Instant::now(), Arc::default());
    let before = memory();
    let mut clients = vec![];
    for index in 0..sockets {
        let mut client = Client::open(server.address).await;
        let channel = channel(index % MARKETS);
        client
            .send(&json!({ "op": "subscribe", "channel": channel }))
            .await;
        client.find("snapshot").await;
        server.app.feed.record_poll(Some(MirrorStatus::example(0)));
        clients.push(client);
    }
    let opened = memory();
    for client in clients {
        tokio::spawn(read(client, started, Arc::clone(&delays)));
    }
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let a_tick = rate * TICK.as_millis() as usize / 1000;
    let mut seq = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(SECONDS) {
        ticks.tick().await;
        for _ in 0..a_tick {
            seq += 1;
            publish(&server, seq, started);
        }
    }
    sleep(Duration::from_secs(2)).await;
    let mut delays = delays.lock().unwrap();
    delays.sort_unstable();
    let at = |share: f64| f64::from(delays[(delays.len() as f64 * share) as usize]) / 1000.0;
    let kib = |memory: u64| memory.saturating_sub(before) as f64 / sockets as f64;
    println!(
        "{sockets} sockets, {rate} records/s, {} messages/s: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms; \
         memory of a socket and its client {:.1} KiB, under load {:.1} KiB",
        delays.len() as u64 / SECONDS,
        at(0.5),
        at(0.99),
        at(0.999),
        kib(opened),
        kib(memory()),
    );
}
