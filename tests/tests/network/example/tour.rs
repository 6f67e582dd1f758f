//! The README's tour of the API, and all of its routes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use driftshield_tests::paths::root;
use serde_json::Value;

/// Number of requests in the tour.
const REQUESTS: usize = 10;

/// Runs the tour's commands in the network's directory. Each answer has the fields that the README names.
pub fn check(directory: &Path) {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let variables = directory.join("tour.sh");
    let requests: Vec<_> = readme
        .lines()
        .filter(|line| line.starts_with("curl -s \"$API"))
        .collect();
    assert_eq!(requests.len(), REQUESTS);
    for request in requests {
        let (command, fields) = request.split_once("  # ").unwrap();
        let script = format!(". '{}'\n{command} --fail-with-body", variables.display());
        let output = Command::new("bash")
            .args(["-euc", &script])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{request}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let answer = answer.as_object().unwrap();
        let has: BTreeSet<&str> = answer.keys().map(String::as_str).collect();
        let mut named: BTreeSet<&str> = fields.trim().split(", ").collect();
        let names_all = !named.remove("…");
        let is_right = if names_all {
            named == has
        } else {
            named.is_subset(&has)
        };
        assert!(is_right, "{request}: {has:?}");
        let items = answer.get("items").map(|items| items.as_array().unwrap());
        assert!(
            items.is_none_or(|items| !items.is_empty()),
            "{request}: no items"
        );
    }
}

/// Every route that reads answers about the example: with the parameters that it requires, and no others.
pub async fn check_routes(api: &str, directory: &Path) {
    let document = get(&format!("{api}/api-docs/openapi.json")).await;
    let values = parameters(api, directory).await;
    let mut read = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let Some(operation) = methods.get("get") else {
            continue;
        };
        let (mut url, mut separator) = (format!("{api}{path}"), '?');
        let required = operation["parameters"].as_array().into_iter().flatten();
        for parameter in required.filter(|parameter| parameter["required"] == true) {
            let name = parameter["name"].as_str().unwrap();
            let value = values.get(name);
            let value =
                value.unwrap_or_else(|| panic!("{path}: {name} has no value here; add one"));
            if parameter["in"] == "path" {
                url = url.replace(&format!("{{{name}}}"), value);
            } else {
                url.push_str(&format!("{separator}{name}={value}"));
                separator = '&';
            }
        }
        let response = reqwest::get(&url).await.unwrap();
        let status = response.status();
        let body = response.text().await.unwrap();
        assert!(status.is_success(), "{url}: {status} {body}");
        read += 1;
    }
    assert!(30 < read, "{read} routes");
}

/// Parameters of routes: the addresses of the tour, and what the API says about them.
async fn parameters(api: &str, directory: &Path) -> BTreeMap<&'static str, String> {
    let variables = std::fs::read_to_string(directory.join("tour.sh")).unwrap();
    let variable = |name: &str| {
        let mut lines = variables.lines().filter_map(|line| line.split_once('='));
        let line = lines.find(|(variable, _)| *variable == name);
        line.unwrap_or_else(|| panic!("{name} is missing: {variables}"))
            .1
            .to_owned()
    };
    let api = format!("{api}/api/v1");
    let (model, vault, wallet) = (variable("MODEL"), variable("VAULT"), variable("WALLET"));
    let first = async |path: String, field: &str| {
        let list = get(&format!("{api}/{path}")).await;
        list["items"][0][field].as_str().unwrap().to_owned()
    };
    let state = get(&format!("{api}/models/{model}")).await;
    BTreeMap::from([
        (
            "receipt",
            first(format!("models/{model}/receipts"), "key").await,
        ),
        (
            "policy",
            first(format!("insurance/policies?vault={vault}"), "key").await,
        ),
        ("mint", first("insurance/vaults".to_owned(), "mint").await),
        ("id", first("events".to_owned(), "id").await),
        (
            "oracle",
            state["oracles"][0]["oracle"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        ),
        ("board", "bettors".to_owned()),
        // An action requires what it is about.
        ("name", format!("bet?market={}", variable("MARKET"))),
        ("market", variable("MARKET")),
        ("owner", wallet.clone()),
        ("user", wallet.clone()),
        ("wallet", wallet),
        ("model", model),
        ("vault", vault),
    ])
}

async fn get(url: &str) -> Value {
    let response = reqwest::get(url).await.unwrap();
    response.error_for_status().unwrap().json().await.unwrap()
}
