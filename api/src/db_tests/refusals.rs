//! Requests that are refused, with what their clients read.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, StatusCode, header::CONTENT_TYPE},
};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::sleep;

use super::{Api, key};
use crate::config::Settings;

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_wrong_parameter_is_named_with_the_values_that_it_can_have(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let api = Api::new(options);
    let (wallet, market, mint) = (key(9, 6), key(4, 1), key(1, 1));
    for (path, detail) in [
        (
            "wallet/abc/balance",
            "`abc` is not an address; give 32 bytes in base58",
        ),
        (
            "wallet/abc/statement.csv",
            "`abc` is not an address; give 32 bytes in base58",
        ),
        (
            "users/abc",
            "`abc` is not an address; give 32 bytes in base58",
        ),
        (
            "oracles/abc",
            "`abc` is not an address; give 32 bytes in base58",
        ),
        (
            "oracles?limit=0",
            "`limit` is `0`; give a whole number from 1 to 500",
        ),
        (
            &format!("wallet/{wallet}/transactions?limit=501"),
            "`limit` is `501`; give a whole number from 1 to 500",
        ),
        (
            &format!("wallet/{wallet}/transactions?kind=bet"),
            "unknown parameter `kind`; accepted are cursor, limit, min_slot",
        ),
        (
            &format!("wallet/{wallet}/statement.csv?from=2026"),
            "`from` is `2026`; give a time such as 2026-10-01T12:00:00Z",
        ),
        (
            &format!("wallet/{wallet}/statement.csv?year=2026"),
            "unknown parameter `year`; accepted are from, until, min_slot",
        ),
        (
            &format!("markets/{market}/candles?interval=2h"),
            "`interval` is `2h`; give one of 5m, 1h, 1d",
        ),
        (
            "calendar?until=never",
            "`until` is `never`; give a time such as 2026-10-01T12:00:00Z",
        ),
        (
            "calendar?model=abc",
            "`model` is `abc`; `abc` is not an address; give 32 bytes in base58",
        ),
        ("analytics/portfolio", "`wallet` is missing; give it"),
        (
            "analytics/markets/performance?period=month",
            "`period` is `month`; give one of day, week, all",
        ),
        (
            "analytics/leaderboard/bettors",
            "`mint` is missing; give it",
        ),
        (
            &format!("analytics/leaderboard/dogs?mint={mint}"),
            "`dogs` is no ranking; give one of bettors, underwriters, oracles, models",
        ),
    ] {
        let (status, body) = api.get(&format!("/api/v1/{path}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
        assert_eq!(
            body["type"], "https://api.test/problems/bad-request",
            "{path}"
        );
        assert_eq!(body["detail"], detail, "{path}");
    }
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_cursor_is_of_one_list(_: PgPoolOptions, options: PgConnectOptions) {
    let api = Api::new(options);
    let (one, other) = (key(9, 6), key(9, 2));
    let page = api
        .ok(&format!("/api/v1/wallet/{one}/transactions?limit=1"))
        .await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for path in [
        format!("wallet/{other}/transactions"),
        format!("oracles/{other}"),
        "oracles".to_owned(),
        "calendar".to_owned(),
        format!("markets/{}/candles", key(4, 1)),
    ] {
        let (status, body) = api.get(&format!("/api/v1/{path}?cursor={cursor}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {body}");
        assert_eq!(
            body["type"], "https://api.test/problems/cursor-mismatch",
            "{path}"
        );
    }
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn only_requests_that_read_the_database_count_as_reads(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    // Given a quote that waits for a slot
    let settings = Settings {
        min_slot_wait: Duration::from_secs(1),
        ..Settings::of_tests()
    };
    let api = Api::with_settings(crate::pool(options), &settings);
    let quote = json!({
        "vault": key(6, 1), "model": key(2, 1), "cover": "1", "trigger": "200000", "windows": "3"
    });
    let post = Request::post("/api/v1/insurance/quote?min_slot=999999999");
    let post = post.header(CONTENT_TYPE, "application/json");
    let waiting = api.send(post.body(Body::from(quote.to_string())).unwrap());

    // when all permits but one are taken, that one is left to another request
    let reads = api.state.reads.clone();
    let taken = reads.try_acquire_many(reads.available_permits() as u32 - 1);
    let markets = async {
        sleep(Duration::from_millis(200)).await;
        api.get("/api/v1/markets").await.0
    };
    let ((waited, _), read) = tokio::join!(waiting, markets);
    assert_eq!((waited, read), (StatusCode::TOO_EARLY, StatusCode::OK));

    // and without a permit, a read is refused
    let last = reads.try_acquire();
    let (status, body) = api.get("/api/v1/models").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    drop((last, taken));
    api.ok("/api/v1/models").await;
}
