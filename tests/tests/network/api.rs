//! The API over the mirror of a real chain.

use std::{collections::BTreeSet, process::Command, time::Duration};

use driftshield_sdk::{Market, rpc::Signer};
use driftshield_tests::{
    network::{Service, wait_for},
    world::TOKEN,
};
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::scene::{BETTORS, Scene};

/// A scene with an indexer and an API.
pub struct Served {
    pub scene: Scene,
    pub url: String,
    _services: [Service; 2],
}

impl Served {
    pub async fn start() -> Self {
        let scene = Scene::new().await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap().to_string();
        drop(listener);
        let indexer = scene.start_indexer();
        let api = scene.network.service("api", "api", &["--listen", &listen]);
        let served = Self {
            scene,
            url: format!("http://{listen}"),
            _services: [indexer, api],
        };
        wait_for("the API", Duration::from_secs(30), async || {
            let ready = reqwest::get(format!("{}/health/readiness", served.url)).await;
            (ready.ok()?.status() == StatusCode::OK).then_some(())
        })
        .await;
        served
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }

    pub async fn ok(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// The slot of the chain as it is now.
    pub async fn slot(&self) -> u64 {
        self.scene.network.client.rpc().get_slot().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_tells_what_the_chain_has() {
    // Given a bet more than the mirror began with
    let served = Served::start().await;
    let scene = &served.scene;
    scene.bet(1, 0, 2).await;
    let slot = served.slot().await;

    // Then who waits for that slot reads its own write
    let (model, market) = (scene.model.to_string(), scene.markets[1].to_string());
    let told = served
        .ok(&format!("/api/v1/markets/{market}?min_slot={slot}"))
        .await;
    let state: Market = scene.network.client.get(&scene.markets[1]).await.unwrap();
    assert_eq!(told["model"], model);
    assert_eq!(told["total"]["raw"], state.total.to_string());
    assert_eq!(told["total"]["scaled"], (state.total / TOKEN).to_string());
    assert_eq!(
        told["terms_hash"],
        driftshield_sdk::json::hex(&state.terms_hash)
    );
    for (outcome, pool) in told["outcomes"].as_array().unwrap().iter().zip(state.pools) {
        assert_eq!(outcome["pool"]["raw"], pool.to_string());
    }
    assert_eq!(told["outcomes"].as_array().unwrap().len(), state.outcomes());
    assert_eq!(
        (told["state"].as_str(), told["closed"].as_bool()),
        (Some("open"), Some(false))
    );

    let told = served.ok(&format!("/api/v1/models/{model}")).await;
    assert_eq!(
        told["oracles"][0]["oracle"],
        scene.oracle.pubkey().to_string()
    );
    assert_eq!(told["metric"], "psi");
    assert_eq!(
        told["at_risk"]["raw"],
        ((BETTORS as u64 + 1) * TOKEN).to_string()
    );
    let receipts = served.ok(&format!("/api/v1/models/{model}/receipts")).await;
    assert_eq!(receipts["items"], Value::Array(vec![]));
    assert_eq!(receipts["next_cursor"], Value::Null);

    // and the odds and the history have the bet
    let odds = served.ok(&format!("/api/v1/markets/{market}/odds")).await;
    assert_eq!(odds["total"]["raw"], state.total.to_string());
    let history = served
        .ok(&format!("/api/v1/markets/{market}/history"))
        .await;
    let names: Vec<_> = history["items"].as_array().unwrap().iter().collect();
    assert_eq!(names[0]["name"], "BetPlaced");
    assert_eq!(names[0]["body"]["amount"], TOKEN.to_string());

    paging_gives_everything_once(&served).await;
    conventions_hold(&served, &market).await;
    everything_documented_is_served(&served, &model, &market).await;
    the_mirror_cannot_be_written(&served).await;
    without_a_database_it_says_so(&served).await;
}

/// The first market's positions, one a page.
async fn paging_gives_everything_once(served: &Served) {
    let path = format!(
        "/api/v1/markets/{}/positions?limit=1",
        served.scene.markets[0]
    );
    let mut owners = BTreeSet::new();
    let mut cursor = String::new();
    for _ in 0..BETTORS {
        let page = served.ok(&format!("{path}{cursor}")).await;
        let [position] = &page["items"].as_array().unwrap()[..] else {
            panic!("one position a page: {page}");
        };
        assert!(owners.insert(position["owner"].as_str().unwrap().to_owned()));
        cursor = match page["next_cursor"].as_str() {
            Some(next) => format!("&cursor={next}"),
            None => String::new(),
        };
    }
    assert_eq!(cursor, "");
    let bettors = served
        .scene
        .bettors
        .iter()
        .map(|key| key.pubkey().to_string());
    assert_eq!(owners, bettors.collect());

    // A cursor of one list is none of another's.
    let page = served.ok("/api/v1/markets?limit=1").await;
    let next = page["next_cursor"].as_str().unwrap();
    let (status, problem) = served.get(&format!("{path}&cursor={next}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem["type"], "/problems/cursor-mismatch");
}

async fn conventions_hold(served: &Served, market: &str) {
    let path = format!("{}/api/v1/markets/{market}", served.url);
    let client = reqwest::Client::new();
    let response = client.get(&path).send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert!(0 < header("x-slot").parse::<u64>().unwrap());
    assert!(0 < header("x-seq").parse::<u64>().unwrap());
    let again = client.get(&path).header("if-none-match", header("etag"));
    assert_eq!(
        again.send().await.unwrap().status(),
        StatusCode::NOT_MODIFIED
    );

    let ahead = served.slot().await + 1_000_000;
    let (status, problem) = served
        .get(&format!("/api/v1/markets?min_slot={ahead}"))
        .await;
    assert_eq!(status, StatusCode::TOO_EARLY, "{problem}");
    for (path, status) in [
        ("/api/v1/markets/nonsense", StatusCode::BAD_REQUEST),
        ("/api/v1/markets?state=nonsense", StatusCode::BAD_REQUEST),
        ("/api/v1/markets?limit=0", StatusCode::BAD_REQUEST),
        ("/api/v1/markets?cursor=nonsense", StatusCode::BAD_REQUEST),
        (
            "/api/v1/markets/11111111111111111111111111111111",
            StatusCode::NOT_FOUND,
        ),
        ("/api/v1/nonsense", StatusCode::NOT_FOUND),
    ] {
        let (found, problem) = served.get(path).await;
        assert_eq!(found, status, "{path}: {problem}");
        assert_eq!(problem["status"], status.as_u16());
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/"));
        assert!(problem["request_id"].is_string() && problem["detail"].is_string());
    }
}

/// Every path of the OpenAPI document answers.
async fn everything_documented_is_served(served: &Served, model: &str, market: &str) {
    let document = served.ok("/api-docs/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(15 < paths.len());
    let reads = paths.iter().filter(|(_, item)| item["get"].is_object());
    for path in reads.map(|(path, _)| path) {
        let key = |name: &str| path.contains(&format!("{{{name}}}"));
        if ["receipt", "vault", "policy"].into_iter().any(key) {
            continue; // there is none yet
        }
        let filled = path
            .replace("{model}", model)
            .replace("{market}", market)
            .replace("{seq}", "1");
        let owner = served.scene.bettors[0].pubkey();
        let query = if path.ends_with("/positions") && !key("market") {
            format!("?owner={owner}")
        } else {
            String::new()
        };
        let response = reqwest::get(format!("{}{filled}{query}", served.url)).await;
        let status = response.unwrap().status();
        assert_eq!(status, StatusCode::OK, "{filled}{query}");
    }
}

/// With the rights that the API has.
async fn the_mirror_cannot_be_written(served: &Served) {
    let url = &served.scene.network.addresses.database_url;
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.options([("role", "driftshield_api")]);
    let pool: PgPool = PgPoolOptions::new().connect_with(options).await.unwrap();
    let read: i64 = sqlx::query_scalar("select count(*) from chain.market")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(0 < read);
    for statement in [
        "delete from chain.event",
        "update chain.market set total = 0",
        "update chain.cursor set slot = 0",
        "create table chain.another (id int)",
    ] {
        let refused = sqlx::query(statement).execute(&pool).await.unwrap_err();
        let refused = refused.into_database_error().unwrap();
        assert_eq!(refused.code().unwrap(), "42501", "{statement}"); // insufficient privilege
    }
}

/// An API whose database is not there starts, and says what is wrong.
async fn without_a_database_it_says_so(served: &Served) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut command: Command = served.scene.network.command("api");
    command.args(["--listen", &listen]);
    command.env("DATABASE_URL", "postgres://nobody@127.0.0.1:9/nothing");
    let mut api = Service::start("lost-api", &mut command, served.scene.network.dir.path());
    let status = wait_for("the lost API", Duration::from_secs(20), async || {
        let answer = reqwest::get(format!("http://{listen}/health/readiness")).await;
        Some(answer.ok()?.status())
    })
    .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let alive = reqwest::get(format!("http://{listen}/health/liveness")).await;
    assert_eq!(alive.unwrap().status(), StatusCode::OK);
    assert!(api.end(), "{}", api.output());
}
