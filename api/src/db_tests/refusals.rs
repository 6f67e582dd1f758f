//! Requests that are refused, with what their clients read.

use axum::http::StatusCode;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{Api, key};

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
