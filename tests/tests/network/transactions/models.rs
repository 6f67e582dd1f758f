//! A wallet registers, changes, funds and retires a model.

use std::fs;

use driftshield_sdk::{Address, Model, ModelStatus, rpc::Signer};
use driftshield_tests::world::TOKEN;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::types::chrono::{DateTime, Utc};

use super::{
    oracle::model,
    wallet::{Wallet, created, event},
};
use crate::api_fixture::ApiFixture;

async fn read(api: &ApiFixture, key: &str) -> Model {
    let client = &api.fixture.network.client;
    client.get(&key.parse::<Address>().unwrap()).await.unwrap()
}

fn time(unix: i64) -> String {
    DateTime::<Utc>::from_timestamp(unix, 0)
        .unwrap()
        .to_rfc3339()
}

/// A model with the fixture's metric and oracle.
async fn registration(api: &ApiFixture) -> Value {
    let fixture = &api.fixture;
    let spec = fs::read_to_string(fixture.network.directory.path().join("spec.json")).unwrap();
    let now = fixture.network.client.unix_timestamp().await.unwrap();
    json!({
        "mint": model(fixture).await.bond_mint.to_string(),
        "spec": spec,
        "genesis": time(now + 3_600),
        "window_secs": 60,
        "oracles": [fixture.oracle.pubkey().to_string()],
        "quorum": 1,
        "name": "By the API",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_owns_a_model_with_the_api_and_its_key_alone() {
    let api = ApiFixture::start().await;
    let [owner, other] = [Wallet::funded(&api).await, Wallet::funded(&api).await];

    // Given a model that is registered with the largest spread that its metric allows
    let request = registration(&api).await;
    refuse_registrations(&owner, &request).await;
    let reply = owner.post("/models", request).await;
    let key = created(&reply, "model");
    let state = read(&api, &key).await;
    assert_eq!(state.owner, owner.key.pubkey());
    assert_eq!(state.spec_hash, model(&api.fixture).await.spec_hash);
    assert_eq!(state.max_spread, state.noise_floor / 8);
    assert_eq!(
        (state.security_rent_bps, state.cover_budget_bps),
        (200, 5_000)
    );

    // When its owner changes its name, then the other terms stay
    let path = format!("/models/{key}");
    let change = json!({ "name": "Renamed" });
    let refused = other.refused(Method::PATCH, &path, change.clone()).await;
    assert_eq!(refused, "NotModelOwner");
    owner.transact(Method::PATCH, &path, change).await;
    let changed = read(&api, &key).await;
    assert!(changed.name.starts_with(b"Renamed\0"));
    assert_eq!((changed.version, changed.oracles), (2, state.oracles));

    // and others pay its oracles, who have earned nothing yet
    fund(&api, &other, &key).await;
    let collect = format!("/oracles/{}/collect", api.fixture.oracle.pubkey());
    let of_model = json!({ "model": key });
    assert_eq!(
        other.post_refused(&collect, of_model.clone()).await,
        "NothingToCollect"
    );
    let nobody = format!("/oracles/{}/collect", other.address());
    let (status, problem) = other.request(Method::POST, &nobody, of_model).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");

    // and only its owner retires it
    let refused = other.refused(Method::DELETE, &path, json!({})).await;
    assert_eq!(refused, "NotModelOwner");
    owner.transact(Method::DELETE, &path, json!({})).await;
    assert_eq!(read(&api, &key).await.status, ModelStatus::Retired);
    let again = owner.refused(Method::DELETE, &path, json!({})).await;
    assert_eq!(again, "ModelRetired");
}

async fn refuse_registrations(owner: &Wallet<'_>, request: &Value) {
    let with = |name: &str, value: Value| {
        let mut request = request.clone();
        request[name] = value;
        request
    };
    let late = with("genesis", json!("2020-01-01T00:00:00Z"));
    assert_eq!(owner.post_refused("/models", late).await, "InvalidGenesis");
    let short = with("window_secs", json!(0));
    assert_eq!(
        owner.post_refused("/models", short).await,
        "InvalidWindowLength"
    );
    let quorum = with("quorum", json!(2));
    assert_eq!(owner.post_refused("/models", quorum).await, "InvalidQuorum");
    for (name, value, expected) in [
        ("spec", json!("{}"), StatusCode::UNPROCESSABLE_ENTITY),
        (
            "name",
            json!("n".repeat(33)),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("oracles", json!([]), StatusCode::BAD_REQUEST),
        ("genesis", json!("tomorrow"), StatusCode::BAD_REQUEST),
        ("artifact_hash", json!("12"), StatusCode::BAD_REQUEST),
    ] {
        let (status, problem) = owner
            .request(Method::POST, "/models", with(name, value))
            .await;
        assert_eq!(status, expected, "{problem}");
        assert!(
            problem["detail"].as_str().unwrap().contains(name),
            "{problem}"
        );
    }
    let mint = with("mint", json!(owner.address()));
    let (status, problem) = owner.request(Method::POST, "/models", mint).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
}

async fn fund(api: &ApiFixture, wallet: &Wallet<'_>, key: &str) {
    let path = format!("/models/{key}/fund");
    let now = api.fixture.network.client.unix_timestamp().await.unwrap();
    let payment = |until: i64| json!({ "amount": (5 * TOKEN).to_string(), "until": time(until) });
    let past = wallet.post_refused(&path, payment(now - 60)).await;
    assert_eq!(past, "InvalidFundingEnd");
    let before = wallet.tokens().await;
    let reply = wallet.post(&path, payment(now + 86_400)).await;
    assert_eq!(
        event(&reply, "OraclesFunded")["amount"],
        (5 * TOKEN).to_string()
    );
    assert_eq!(before - wallet.tokens().await, 5 * TOKEN);
}
