//! A client that sends far more than it may, and what another one notices of it.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::ensure;
use futures::future::try_join_all;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::{Options, processes::Api, quantile, requests::Client, round};

const GREEDY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const MODEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Connections of the greedy client.
const CONNECTIONS: u32 = 50;
/// Requests a second of the greedy client, and of the modest one.
const GREEDY_PER_SEC: u32 = 5_000;
const MODEST_PER_SEC: u32 = 50;
/// What the modest client reads in turns: an answer that the cache has, and one that is read from the database.
const PATHS: [&str; 2] = ["/api/v1/markets?limit=5", "/api/v1/calendar?limit=5"];

/// Measures the modest client alone, and then beside the greedy one. The API has its limits.
pub async fn measure(options: &Options, api: &Api) -> anyhow::Result<Value> {
    let time = Duration::from_secs(options.greedy_secs);
    let alone = modest(api, time).await?;
    let (beside, greedy) = tokio::try_join!(modest(api, time), greedy(api, time))?;
    let refused = greedy.iter().filter(|status| **status == 429).count();
    let per_sec = greedy.len() as f64 / time.as_secs_f64();
    let p99 = |millis: &[f64]| quantile(millis, 0.99).map(round);
    println!(
        "modest client: p99 {:?} ms alone, {:?} ms beside one that sends {per_sec:.0} requests/s",
        p99(&alone),
        p99(&beside)
    );
    Ok(json!({
        "greedy": {
            "per_sec": per_sec.round(),
            "refused_share": round(refused as f64 / greedy.len() as f64),
        },
        "modest": {
            "per_sec": MODEST_PER_SEC,
            "alone": { "p50_millis": quantile(&alone, 0.5).map(round), "p99_millis": p99(&alone) },
            "beside": { "p50_millis": quantile(&beside, 0.5).map(round), "p99_millis": p99(&beside) },
        },
    }))
}

/// Times of the answers to the modest client, in milliseconds, sorted.
async fn modest(api: &Api, time: Duration) -> anyhow::Result<Vec<f64>> {
    let mut clients = vec![];
    for path in PATHS {
        clients.push(Client::connect_from(MODEST, api.0.address, path).await?);
    }
    let mut ticks = interval(Duration::from_secs(1) / MODEST_PER_SEC);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + time;
    let mut millis = vec![];
    while Instant::now() < end {
        ticks.tick().await;
        let turn = millis.len() % clients.len();
        let sent = Instant::now();
        let status = clients[turn].ask().await?;
        ensure!(status == 200, "the modest client is answered {status}");
        millis.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    millis.sort_by(f64::total_cmp);
    Ok(millis)
}

/// The statuses that the greedy client gets.
async fn greedy(api: &Api, time: Duration) -> anyhow::Result<Vec<u16>> {
    let end = Instant::now() + time;
    let connections = (0..CONNECTIONS).map(|_| async {
        let mut client = Client::connect_from(GREEDY, api.0.address, PATHS[0]).await?;
        let mut ticks = interval(Duration::from_secs(1) * CONNECTIONS / GREEDY_PER_SEC);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut statuses = vec![];
        while Instant::now() < end {
            ticks.tick().await;
            statuses.push(client.ask().await?);
        }
        anyhow::Ok(statuses)
    });
    Ok(try_join_all(connections).await?.concat())
}
