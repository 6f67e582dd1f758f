//! The drift analysis of a model that a configured agent measures.

use std::{fs, time::Duration};

use driftshield_sdk::rpc::Signer;
use driftshield_tests::network::{Service, free_address, problem_kind, wait_for};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::api_fixture::ApiFixture;

/// Number of windows with a value that the test waits for.
const VALUES: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_agent_measures_a_model_whose_drift_is_analysed() {
    // Given a model without a window, which can't be analysed
    let api = ApiFixture::start().await;
    let path = format!("/api/v1/models/{}", api.fixture.model);
    let young = api.get_ok(&format!("{path}/drift-analysis")).await;
    assert_eq!(
        (&young["values"], &young["trend"]),
        (&0.into(), &Value::Null)
    );
    assert_eq!(young["refusals"].as_array().unwrap().len(), 4, "{young}");
    let none = api.get_ok(&format!("{path}/metrics")).await;
    assert_eq!(none["items"], json!([]));
    wrong_configurations_are_refused(&api).await;

    // When a crank runs with the configuration that the API returns
    let _crank = start_agent(&api).await;
    let analysis = wait_for(
        "windows with a value",
        Duration::from_secs(120),
        async || {
            let analysis = api
                .get_ok(&format!("{path}/drift-analysis?windows=5"))
                .await;
            (VALUES <= analysis["values"].as_u64()?).then_some(analysis)
        },
    )
    .await;

    // Then the analysis is that of the windows that the API lists
    assert_eq!(analysis["refusals"], json!([]), "{analysis}");
    let last_window = number(&analysis["last_window"]);
    let windows = api.get_ok(&format!("{path}/windows?limit=500")).await;
    let mut windows: Vec<_> = windows["items"].as_array().unwrap().clone();
    windows.reverse();
    windows.retain(|window| number(&window["window"]) <= last_window);
    let drift: Vec<f64> = windows
        .iter()
        .filter(|window| window["state"] == "final")
        .map(|window| number(&window["value"]["raw"]) as f64)
        .collect();
    assert_eq!(analysis["values"], drift.len());
    // None is missing, so all changes are between consecutive windows.
    assert_eq!(drift.len(), windows.len());
    let expected = standard_deviation_of_changes(&drift);
    let found = statistic(&analysis["volatility"]["standard_deviation"]);
    assert!(
        (found - expected).abs() <= 1.0,
        "{found} instead of {expected}"
    );
    // The data drift more and more.
    assert!(0.0 < statistic(&analysis["trend"]["slope"]), "{analysis}");

    // and its chances are for the thresholds of the open markets
    let chances = &analysis["chances"];
    assert_eq!(number(&chances["first_window"]), last_window + 1);
    let thresholds = chances["thresholds"].as_array().unwrap();
    let raw = thresholds.iter().map(|of| number(&of["threshold"]["raw"]));
    assert_eq!(raw.collect::<Vec<_>>(), [200_000, 500_000]);
    for threshold in thresholds {
        let chances = threshold["chances"].as_array().unwrap();
        assert_eq!(chances.len(), 5);
        let max: Vec<f64> = chances.iter().map(|c| c["max"].as_f64().unwrap()).collect();
        assert!(max.is_sorted() && max.iter().all(|c| (0.0..=1.0).contains(c)));
        assert_eq!(chances[4]["persistence"].as_array().unwrap().len(), 4);
    }
    given_thresholds_are_used(&api, &path).await;
    buckets_have_every_window(&api, &path, &drift).await;
}

/// Asks for an oracle's configuration, saves it and runs the crank with it.
async fn start_agent(api: &ApiFixture) -> Service {
    let fixture = &api.fixture;
    let directory = fixture.network.directory.path();
    fs::write(
        directory.join("agent.json"),
        format!("{:?}", fixture.oracle.to_bytes()),
    )
    .unwrap();
    let listen = free_address();
    let request = json!({
        "rpc_url": fixture.network.addresses.rpc_url,
        "keypair": "agent.json",
        "poll_ms": 300,
        "oracle": {
            "key": fixture.oracle.pubkey().to_string(),
            "data": "analysis.csv",
            "windows": { "order_by": "id", "rows": 400 },
            "evidence_url": format!("http://{listen}"),
            "evidence_listen": listen,
        },
    });
    let (status, config) = post_config(api, &request).await;
    assert_eq!(status, StatusCode::OK, "{config}");
    assert_eq!(config["file_name"], "crank.toml");
    assert_eq!(config["steps"].as_array().unwrap().len(), 5);
    let file = directory.join("crank.toml");
    fs::write(&file, config["content"].as_str().unwrap()).unwrap();
    let arguments = ["run", "--config", file.to_str().unwrap()];
    fixture.network.service("agent", "crank", &arguments)
}

async fn post_config(api: &ApiFixture, request: &Value) -> (StatusCode, Value) {
    let model = api.fixture.model;
    let url = format!("{}/api/v1/models/{model}/monitoring-agent/config", api.url);
    let client = reqwest::Client::new();
    let response = client.post(url).json(request).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn wrong_configurations_are_refused(api: &ApiFixture) {
    let oracle = |changes: Value| {
        let mut oracle = json!({
            "data": "a.csv", "windows": { "time": "t" }, "evidence_url": "http://evidence",
        });
        for (name, value) in changes.as_object().unwrap() {
            oracle[name] = value.clone();
        }
        json!({ "rpc_url": "http://node", "oracle": oracle })
    };
    for (request, kind) in [
        (json!({}), "bad-request"),
        (json!({ "rpc_url": "node" }), "bad-request"),
        (
            json!({ "rpc_url": "http://node", "poll_ms": 0 }),
            "bad-request",
        ),
        (
            oracle(json!({ "windows": { "order_by": "id", "rows": 0 } })),
            "bad-request",
        ),
        (
            oracle(json!({ "key": api.fixture.bettors[0].pubkey().to_string() })),
            "invalid-value",
        ),
        (
            oracle(json!({ "evidence_url": format!("http://{}", "x".repeat(43)) })),
            "invalid-value",
        ),
        (
            oracle(json!({ "windows": { "time": "t", "rows": 1 } })),
            "invalid-value",
        ),
        (
            oracle(json!({ "windows": { "order_by": "id" } })),
            "invalid-value",
        ),
    ] {
        let (status, problem) = post_config(api, &request).await;
        let expected = match kind {
            "bad-request" => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        assert_eq!(status, expected, "{request}: {problem}");
        assert_eq!(problem_kind(&problem), kind, "{request}");
    }
    let (status, config) = post_config(api, &oracle(json!({}))).await;
    assert_eq!(status, StatusCode::OK, "{config}");
}

async fn given_thresholds_are_used(api: &ApiFixture, path: &str) {
    let query = "drift-analysis?windows=1&thresholds=99000000,1,1";
    let analysis = api.get_ok(&format!("{path}/{query}")).await;
    let thresholds = analysis["chances"]["thresholds"].as_array().unwrap();
    let max = |index: usize| thresholds[index]["chances"][0]["max"].as_f64().unwrap();
    assert_eq!(thresholds.len(), 2, "{analysis}");
    assert!(0.99 < max(0) && max(1) < 0.05, "{analysis}");
}

/// Pages through the buckets, one a page. They have the windows up to the analysed ones, and later ones.
async fn buckets_have_every_window(api: &ApiFixture, path: &str, drift: &[f64]) {
    for interval in ["hour", "day"] {
        let (mut buckets, mut cursor) = (vec![], String::new());
        loop {
            let query = format!("metrics?interval={interval}&limit=1{cursor}");
            let page = api.get_ok(&format!("{path}/{query}")).await;
            buckets.extend(page["items"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let finals = buckets
            .iter()
            .map(|bucket| bucket["final"].as_u64().unwrap());
        assert!(drift.len() as u64 <= finals.sum(), "{buckets:?}");
        assert!(buckets.iter().all(|bucket| bucket["disputes"] == 0));
        let max = buckets
            .iter()
            .map(|bucket| number(&bucket["max"]["raw"]))
            .max();
        let highest = drift.iter().copied().fold(0.0, f64::max);
        assert!(highest as u64 <= max.unwrap());
        let first = buckets.last().unwrap();
        assert_eq!(first["first_window"], "0");
        for pair in buckets.windows(2) {
            let (later, earlier) = (&pair[0], &pair[1]);
            let next = number(&earlier["last_window"]) + 1;
            assert_eq!(number(&later["first_window"]), next, "{buckets:?}");
        }
    }
}

fn standard_deviation_of_changes(drift: &[f64]) -> f64 {
    let changes: Vec<f64> = drift.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let count = changes.len() as f64;
    let mean = changes.iter().sum::<f64>() / count;
    let squares: f64 = changes.iter().map(|change| (change - mean).powi(2)).sum();
    (squares / (count - 1.0)).sqrt()
}

fn number(text: &Value) -> u64 {
    text.as_str().unwrap().parse().unwrap()
}

/// A statistic in micro-units.
fn statistic(text: &Value) -> f64 {
    1e6 * text.as_str().unwrap().parse::<f64>().unwrap()
}
