//! The same transactions as Solana Actions.

use driftshield_sdk::{Market, Position, address, rpc::Signer};
use driftshield_tests::world::TOKEN;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::wallet::{Wallet, decode};
use crate::api_fixture::ApiFixture;

/// Checks the headers that every answer needs, and returns its body.
async fn body(response: Response) -> (StatusCode, Value) {
    let headers = response.headers();
    assert_eq!(headers["access-control-allow-origin"], "*");
    assert_eq!(
        headers["access-control-allow-methods"],
        "GET,POST,PUT,OPTIONS"
    );
    assert_eq!(headers["x-action-version"], "2.4");
    let id = headers["x-blockchain-ids"].to_str().unwrap();
    assert!(id.starts_with("solana:") && id.len() == 39, "{id}");
    assert_eq!(headers["content-type"], "application/json");
    (response.status(), response.json().await.unwrap_or_default())
}

async fn request(api: &ApiFixture, method: Method, path: &str, json: Value) -> (StatusCode, Value) {
    let request = Client::new().request(method, format!("{}{path}", api.url));
    let request = match json {
        Value::Null => request,
        json => request.json(&json),
    };
    body(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_bets_through_an_action() {
    let mut api = ApiFixture::start().await;
    api.fixture.create_market(300).await; // betting goes on for ten minutes
    let market = *api.fixture.markets.last().unwrap();
    let wallet = Wallet::funded(&api).await;
    let path = format!("/api/v1/actions/bet?market={market}");

    // The rules and the description
    let (status, rules) = request(&api, Method::GET, "/actions.json", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(rules["rules"][0]["apiPath"], "/api/v1/actions/**");
    for path in [path.as_str(), "/actions.json"] {
        let (status, _) = request(&api, Method::OPTIONS, path, Value::Null).await;
        assert_eq!(status, StatusCode::OK);
    }
    let (status, card) = request(&api, Method::GET, &path, Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{card}");
    assert_eq!(
        (&card["type"], &card["disabled"]),
        (&json!("action"), &json!(false))
    );
    assert_eq!(card["title"], "How far will it drift?");
    let linked = &card["links"]["actions"][0];
    let href = linked["href"].as_str().unwrap();
    assert_eq!(
        linked["parameters"][0]["options"][2]["label"],
        "0.5 or more"
    );
    let icon = reqwest::get(card["icon"].as_str().unwrap()).await.unwrap();
    assert_eq!(icon.headers()["content-type"], "image/svg+xml");

    // A bet with the inputs in the link, which lands
    let filled = href.replace("{outcome}", "2").replace("{tokens}", "1.5");
    let account = json!({ "account": wallet.address() });
    let (status, reply) = request(&api, Method::POST, &filled, account.clone()).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    assert_eq!(reply["type"], "transaction");
    assert!(
        reply["message"]
            .as_str()
            .unwrap()
            .starts_with("Bets 1.5 tokens")
    );
    wallet.send(&decode(&reply["transaction"])).await;
    let position = address::position(&market, &wallet.key.pubkey());
    let client = &api.fixture.network.client;
    let position: Position = client.get(&position).await.unwrap();
    assert_eq!(position.stakes[2], 3 * TOKEN / 2);

    // Inputs in the body's data, and errors that are messages
    let with_data = json!({
        "account": wallet.address(), "type": "transaction", "data": { "outcome": "2", "tokens": "1" }
    });
    let (status, reply) = request(&api, Method::POST, &path, with_data).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    for (path, status, text) in [
        (format!("{path}&outcome=2&tokens=x"), 422, "`tokens`"),
        (format!("{path}&tokens=1"), 422, "outcome"),
        (
            "/api/v1/actions/bet?outcome=1".to_owned(),
            422,
            "`market` is missing",
        ),
        (format!("{path}&outcome=7&tokens=1"), 422, "outcome"),
        (
            "/api/v1/actions/dance".to_owned(),
            404,
            "/api/v1/actions/dance",
        ),
    ] {
        let (got, error) = request(&api, Method::POST, &path, account.clone()).await;
        assert_eq!(got.as_u16(), status, "{error}");
        assert!(error["message"].as_str().unwrap().contains(text), "{error}");
        assert_eq!(error.as_object().unwrap().len(), 1);
    }
    let claim = format!("/api/v1/actions/claim?market={market}");
    let (_, card) = request(&api, Method::GET, &claim, Value::Null).await;
    assert_eq!(card["disabled"], true);
    let state: Market = client.get(&market).await.unwrap();
    assert!(!state.is_settled());
}
