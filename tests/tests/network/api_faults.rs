//! The API without its database, and under clients that ask for too much.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    time::{Duration, Instant},
};

use driftshield_tests::{
    chaos::link::Link,
    network::{
        Service, fixture::Fixture, free_address, postgres::Postgres, problem_kind, wait_for,
    },
};
use futures::future::join_all;
use reqwest::{Client, Response, StatusCode, header::HeaderMap};
use serde_json::Value;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{MissedTickBehavior, interval, sleep, timeout},
};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Address of a client who asks for too much.
const GREEDY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Address of a client who asks for little.
const MODEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// Pause between two requests of the modest client.
const PACE: Duration = Duration::from_millis(20);
/// First window of a market that is open as long as the test lasts, and its index.
const LATE_WINDOW: u64 = 300;
const MARKET: usize = 2;

/// A chain, its mirror and an API that reaches the mirror through a link.
struct Stage {
    fixture: Fixture,
    link: Link,
    postgres: Postgres,
    address: SocketAddr,
    _indexer: Service,
    _api: Service,
}

impl Stage {
    async fn start() -> Self {
        let mut fixture = Fixture::start_with(&["--bare"]).await;
        fixture.create_market(LATE_WINDOW).await;
        let postgres = Postgres::start().await;
        let link = Link::start(postgres.port).await;
        let address = free_address();
        let database_url = postgres.url("driftshield");
        let network = &fixture.network;
        let service = |name: &str, command: &mut Command, url: &str| {
            let command = command.env("DATABASE_URL", url);
            Service::start(name, command, network.directory.path())
        };
        let mut migrate = network.command("indexer");
        migrate.env("DATABASE_URL", &database_url).arg("migrate");
        assert!(migrate.status().unwrap().success());
        let indexer = service(
            "indexer",
            network.command("indexer").arg("run"),
            &database_url,
        );
        let ports = [postgres.port, link.port].map(|port| format!(":{port}/"));
        let mut command = network.command("api");
        command.args(["--listen", &address.to_string()]);
        command.env_remove("API_REQUESTS_PER_SECOND");
        let api = service(
            "api",
            &mut command,
            &database_url.replace(&ports[0], &ports[1]),
        );
        let stage = Self {
            fixture,
            link,
            postgres,
            address,
            _indexer: indexer,
            _api: api,
        };
        stage.wait_for_readiness(StatusCode::OK).await;
        stage
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn wait_for_readiness(&self, status: StatusCode) {
        let what = format!("a readiness of {status}");
        wait_for(&what, TIMEOUT, async || {
            let response = reqwest::get(self.url("/health/readiness")).await.ok()?;
            (response.status() == status).then_some(())
        })
        .await;
    }

    fn market(&self) -> String {
        let market = self.fixture.markets[MARKET];
        self.url(&format!("/api/v1/markets/{market}"))
    }
}

fn age_ms(headers: &HeaderMap) -> u64 {
    let age = headers["x-data-age-ms"].to_str().unwrap();
    age.parse().unwrap()
}

async fn get_if_changed(url: &str, tag: &str) -> Response {
    let request = Client::new().get(url).header("if-none-match", tag);
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_api_answers_what_it_knows() {
    // Given a market that was read once
    let stage = Stage::start().await;
    let known = reqwest::get(stage.market()).await.unwrap();
    assert_eq!(known.status(), StatusCode::OK);
    let (headers, body) = (known.headers().clone(), known.bytes().await.unwrap());
    let tag = headers["etag"].to_str().unwrap();

    // When the database is cut off
    stage.link.retarget(free_address().port());
    stage
        .wait_for_readiness(StatusCode::SERVICE_UNAVAILABLE)
        .await;

    // Then the market is still served, with the age that the data has
    let first = reqwest::get(stage.market()).await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    let age = age_ms(first.headers());
    assert_eq!(first.headers()["etag"], tag);
    assert_eq!(first.bytes().await.unwrap(), body);
    sleep(Duration::from_secs(2)).await;
    let later = get_if_changed(&stage.market(), tag).await;
    assert_eq!(later.status(), StatusCode::NOT_MODIFIED);
    assert!(age + 2_000 <= age_ms(later.headers()));

    // and what was not read is refused
    let list = stage.url("/api/v1/markets?limit=7");
    let refused = reqwest::get(&list).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem_kind(&problem), "unavailable", "{problem}");

    // and all of it recovers by itself
    stage.link.retarget(stage.postgres.port);
    stage.wait_for_readiness(StatusCode::OK).await;
    assert_eq!(reqwest::get(&list).await.unwrap().status(), StatusCode::OK);
    stage.fixture.place_bet(MARKET, 0, 1).await;
    wait_for("the bet", TIMEOUT, async || {
        let response = get_if_changed(&stage.market(), tag).await;
        (response.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greedy_client_takes_nothing_from_others() {
    let stage = Stage::start().await;

    // A client who sends nothing on 700 connections gets only as many as the limit is
    let silent = join_all((0..700).map(|_| connect(&stage, GREEDY))).await;
    wait_for("the limit of connections", TIMEOUT, async || {
        let open = join_all(silent.iter().flatten().map(is_open)).await;
        let open = open.iter().filter(|open| **open).count();
        (open == 500).then_some(())
    })
    .await;
    drop(silent);

    // A client who sends large bodies is refused before the end of them
    let quote = stage.url("/api/v1/insurance/quote");
    let refused = Client::new()
        .post(&quote)
        .header("content-type", "application/json")
        .body(vec![b' '; 10 << 20])
        .send()
        .await;
    // The server ends the connection, which the client can notice before it reads the answer.
    assert!(refused.is_err() || refused.is_ok_and(|r| r.status() == StatusCode::PAYLOAD_TOO_LARGE));

    // While one client sends as much as it can, another one is answered as before
    let before = modest_latencies(&stage, Duration::from_secs(3)).await;
    let flood = tokio::spawn(flood(stage.market(), Duration::from_secs(4)));
    sleep(Duration::from_millis(500)).await;
    let during = modest_latencies(&stage, Duration::from_secs(3)).await;
    let (sent, limited) = flood.await.unwrap();
    assert!(sent / 2 < limited, "{limited} of {sent} were limited");
    // A debug build, which shares the machine with the flood, is slower by more than a service build.
    let most = 10 * p99(&before) + Duration::from_millis(100);
    let during = p99(&during);
    assert!(during < most, "{during:?}, before {:?}", p99(&before));
}

/// Connects from a loopback address.
async fn connect(stage: &Stage, from: Ipv4Addr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    socket.connect(stage.address).await.ok()
}

/// Whether the server keeps a connection open for a while.
async fn is_open(stream: &TcpStream) -> bool {
    let ended = async {
        stream.readable().await.is_err() || stream.try_read(&mut [0; 1]).is_ok_and(|read| read == 0)
    };
    timeout(Duration::from_secs(2), ended).await.is_err()
}

fn client(from: Ipv4Addr) -> Client {
    let client = Client::builder().local_address(IpAddr::V4(from));
    client.build().unwrap()
}

/// Times of the answers to a client that sends 50 requests a second.
async fn modest_latencies(stage: &Stage, time: Duration) -> Vec<Duration> {
    let (client, url) = (client(MODEST), stage.market());
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + time;
    let mut latencies = vec![];
    while Instant::now() < end {
        ticks.tick().await;
        let start = Instant::now();
        let response = client.get(&url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap();
        latencies.push(start.elapsed());
    }
    latencies
}

fn p99(latencies: &[Duration]) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) * 99 / 100]
}

/// Sends requests on 50 connections, each as soon as the one before is answered. Returns how many, and how
/// many of them were limited.
async fn flood(url: String, time: Duration) -> (usize, usize) {
    let end = Instant::now() + time;
    let client = client(GREEDY);
    let senders = (0..50).map(|_| async {
        let (mut sent, mut limited) = (0, 0);
        while Instant::now() < end {
            let response = client.get(&url).send().await.unwrap();
            sent += 1;
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                assert!(response.headers().contains_key("retry-after"));
                assert!(response.headers().contains_key("ratelimit"));
                limited += 1;
            }
            response.bytes().await.unwrap();
        }
        (sent, limited)
    });
    let counts = join_all(senders).await;
    counts
        .into_iter()
        .fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}
