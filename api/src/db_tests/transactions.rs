//! What transactions read from the mirror: who asks least, if the buyer names no seller.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{Api, key};
use crate::{config::Settings, pool, transactions::ChainSettings};

/// A wallet, and no address of a program.
const WALLET: &str = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin";

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_buyer_without_a_seller_gets_one_whose_ask_stands_and_suffices(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    // Given a node that does not answer: it is asked only once there is a seller
    let settings = Settings::of_tests();
    let chain = ChainSettings {
        rpc_url: Some("http://127.0.0.1:1".to_owned()),
        ..settings.chain.clone()
    };
    let api = Api::with_settings(pool(options), &Settings { chain, ..settings });
    let seller_found = (StatusCode::SERVICE_UNAVAILABLE, "rpc-unavailable");
    let nobody = (StatusCode::NOT_FOUND, "not-found");
    for (market, outcome, amount, (status, kind)) in [
        (1, 0, "500000", seller_found),
        (1, 0, "500001", nobody),
        (1, 1, "600000", seller_found),
        // Somebody has reported on the model since.
        (1, 2, "1", nobody),
        (1, 7, "1", nobody),
        (2, 0, "1", nobody),
    ] {
        let path = format!("/api/v1/markets/{}/buy", key(4, market));
        let body = json!({ "account": WALLET, "outcome": outcome, "amount": amount });
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        let (got, problem) = api.send(request.unwrap()).await;
        assert_eq!(got, status, "{body}: {problem}");
        let expected = format!("https://api.test/problems/{kind}");
        assert_eq!(problem["type"], expected, "{body}");
    }
}
