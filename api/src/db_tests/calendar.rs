//! The calendar: its order, its pages, and the windows of a model.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{Api, chain::Chain, key};

/// Time, kind, account and window of each date.
fn dates(page: &Value) -> Vec<Value> {
    let dates = page["items"].as_array().unwrap().iter();
    let date = |date: &Value| json!([date["time"], date["kind"], date["address"], date["window"]]);
    dates.map(date).collect()
}

fn of(time: &str, kind: &str, address: String) -> Value {
    json!([format!("2026-01-01T{time}Z"), kind, address, null])
}

fn window(time: &str, kind: &str, window: &str) -> Value {
    json!([format!("2026-01-02T{time}Z"), kind, key(2, 1), window])
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn dates_are_in_order_of_time_kind_and_account(_: PgPoolOptions, options: PgConnectOptions) {
    let api = Api::new(options);
    let path = "/api/v1/calendar?from=2026-01-01T00:00:00Z&until=2026-01-02T01:00:00Z";
    let whole = api.ok(path).await;
    assert_eq!(
        dates(&whole),
        [
            of("00:00:00", "withdrawal_unlocks", key(8, 1)),
            of("00:00:00", "withdrawal_unlocks", key(8, 2)),
            of("02:00:00", "withdrawal_lapses", key(8, 2)),
            of("02:00:01", "market_closes", key(4, 1)),
            of("02:00:03", "market_closes", key(4, 2)),
            of("06:46:40", "policy_ends", key(10, 1)),
            of("06:46:40", "policy_ends", key(10, 2)),
        ]
    );
    let markets = &whole["items"][3];
    assert_eq!(
        (&markets["model"], &markets["vault"], &markets["life"]),
        (
            &json!(key(2, 1)),
            &Value::Null,
            &json!((1_201_i64 << 31).to_string())
        )
    );
    let policy = &whole["items"][5];
    assert_eq!(
        (&policy["model"], &policy["vault"]),
        (&json!(key(2, 1)), &json!(key(6, 1)))
    );

    // The start belongs to the list, and the end doesn't.
    let path = "/api/v1/calendar?from=2026-01-01T02:00:01Z&until=2026-01-01T02:00:03Z";
    assert_eq!(
        dates(&api.ok(path).await),
        [of("02:00:01", "market_closes", key(4, 1))]
    );
    let path = "/api/v1/calendar?from=2026-01-01T02:00:01.5Z&until=2026-01-01T02:00:03.5Z";
    assert_eq!(
        dates(&api.ok(path).await),
        [of("02:00:03", "market_closes", key(4, 2))]
    );
    // By default, it begins with the mirror's latest block.
    assert_eq!(
        dates(&api.ok("/api/v1/calendar").await),
        [json!([
            "2026-01-02T01:00:00Z",
            "withdrawal_lapses",
            key(8, 1),
            null
        ])]
    );
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn kinds_at_one_time_are_on_pages_of_their_own(_: PgPoolOptions, options: PgConnectOptions) {
    // Given dates of all kinds at the end of a window of an hour, and an hour after that of another one
    let mut chain = Chain::connect(&options).await;
    chain
        .run(
            "update chain.market set close_ts = 1767319200 where status = 'open';
             update chain.withdraw_request set unlock_at = 1767319200, lapses_at = 1767319200;
             update chain.policy set term = '{\"end\": \"1767319200\"}', pending = '{\"end\": \"0\"}';
             update chain.model set submit_secs = 3600",
        )
        .await;
    let api = Api::new(options);
    for (query, expected) in [
        (
            "",
            vec![
                "market_closes",
                "market_closes",
                "policy_ends",
                "policy_ends",
                "withdrawal_unlocks",
                "withdrawal_unlocks",
                "withdrawal_lapses",
                "withdrawal_lapses",
            ],
        ),
        (
            &format!("&model={}", key(2, 1)),
            vec![
                "market_closes",
                "market_closes",
                "window_ends",
                "window_due",
                "policy_ends",
                "policy_ends",
            ],
        ),
    ] {
        let path =
            format!("/api/v1/calendar?from=2026-01-02T02:00:00Z&until=2026-01-02T02:00:01Z{query}");
        let whole = api.ok(&path).await;
        let (mut kinds, mut items, mut cursor) = (vec![], vec![], String::new());
        loop {
            let page = api.ok(&format!("{path}&limit=1{cursor}")).await;
            let date = page["items"][0].clone();
            kinds.push(date["kind"].as_str().unwrap().to_owned());
            items.push(date);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(kinds, expected);
        assert_eq!(json!(items), whole["items"]);
    }
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn windows_of_a_model_end_and_become_due(_: PgPoolOptions, options: PgConnectOptions) {
    let api = Api::new(options);
    let calendar = format!("/api/v1/calendar?model={}", key(2, 1));
    // The first window of an hour begins with the year, and oracles submit for ten minutes.
    let page = api
        .ok(&format!("{calendar}&until=2026-01-02T02:00:00Z"))
        .await;
    assert_eq!(
        dates(&page),
        [
            window("00:00:00", "window_ends", "23"),
            window("00:10:00", "window_due", "23"),
            window("01:00:00", "window_ends", "24"),
            window("01:10:00", "window_due", "24"),
        ]
    );
    // Without an end, it has the windows of seven days.
    let page = api.ok(&format!("{calendar}&limit=500")).await;
    let all = dates(&page);
    assert_eq!(
        (all.len(), &page["next_cursor"]),
        (2 * 7 * 24, &Value::Null)
    );
    let last = &all[all.len() - 1];
    assert_eq!(last[0], "2026-01-08T23:10:00Z");

    // A model that takes no receipts has no windows, and one that doesn't exist has nothing.
    let retired = format!("/api/v1/calendar?model={}", key(2, 2));
    assert_eq!(dates(&api.ok(&retired).await), Vec::<Value>::new());
    let (status, body) = api
        .get(&format!("/api/v1/calendar?model={}", key(2, 99)))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
}
