//! Values that no client sends by mistake: whatever a client sends, it is a bad request or an answer, and
//! never an error of the database.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Api, key, lists};
use lists::List;

/// Values in the place of each one of a cursor.
fn forgeries() -> Vec<Value> {
    let texts = [
        "",
        "a",
        "\0",
        "-1",
        "1e400000",
        "NaN",
        "18446744073709551615",
    ];
    let numbers = [i64::MIN, -1, 0, 1 << 16, i64::MAX];
    let mut values: Vec<_> = texts.map(Value::from).into();
    values.extend(numbers.map(Value::from));
    values.extend(numbers.map(|number| number.to_string().into()));
    values.push("9".repeat(10_000).into());
    values.push(json!([1]));
    values.push(Value::Null);
    values
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_forged_cursor_is_no_error_of_the_server(_: PgPoolOptions, options: PgConnectOptions) {
    let api = Api::new(options);
    let (mut orders, mut forged) = (BTreeSet::new(), 0);
    for list in lists::all(&api).await {
        let (_, page) = api.get(&list.with("limit=1")).await;
        let Some(cursor) = List::next_cursor(&page) else {
            continue;
        };
        if !orders.insert(list.order()) {
            continue;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).unwrap();
        let (fingerprint, key) = bytes.split_at(8);
        let key: Value = serde_json::from_slice(key).unwrap();
        for pointer in places(&key) {
            for value in forgeries() {
                let mut key = key.clone();
                *key.pointer_mut(&pointer).unwrap() = value;
                let cursor = [fingerprint, &serde_json::to_vec(&key).unwrap()].concat();
                let cursor = URL_SAFE_NO_PAD.encode(cursor);
                let (status, body) = api.get(&list.with(&format!("cursor={cursor}"))).await;
                let expected = [
                    StatusCode::OK,
                    StatusCode::UNPROCESSABLE_ENTITY,
                    StatusCode::GONE,
                ];
                assert!(expected.contains(&status), "{list:?} {key}: {body}");
                forged += 1;
            }
        }
    }
    assert!(500 < forged, "only {forged} cursors");
}

/// Pointers to all values in `value` that have no parts.
fn places(value: &Value) -> Vec<String> {
    let below = |name: String, value: &Value| {
        let places = places(value).into_iter();
        places.map(move |place| format!("/{name}{place}"))
    };
    match value {
        Value::Array(items) => (0..)
            .zip(items)
            .flat_map(|(index, item): (usize, _)| below(index.to_string(), item))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| below(name.clone(), field))
            .collect(),
        _ => vec![String::new()],
    }
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn an_extreme_parameter_is_no_error_of_the_server(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let api = Api::new(options);
    let (model, key) = (key(2, 1), key(4, 1));
    for number in [i64::MIN, -1, 0, i64::MAX] {
        for path in [
            format!("/api/v1/markets/{key}?life={number}"),
            format!("/api/v1/markets/{key}/odds?life={number}"),
            format!("/api/v1/markets/{key}/candles?life={number}"),
            format!("/api/v1/events/{number}"),
        ] {
            let (status, body) = api.get(&path).await;
            let expected = match number {
                ..0 => StatusCode::BAD_REQUEST,
                0.. => StatusCode::NOT_FOUND,
            };
            assert_eq!(status, expected, "{path}: {body}");
        }
    }
    for query in [
        "models?text=%00",
        "models?text=%25%5C%27%22",
        "markets?sort=closing&closing_after=-262143-01-01T00:00:00Z",
        "markets?sort=closing&closing_before=%2B262142-12-31T23:59:59Z",
        "markets?sort=closing&closing_before=9999-12-31T23:59:59Z",
        "calendar?from=-262143-01-01T00:00:00Z",
        "calendar?from=%2B262142-12-31T23:59:59Z",
        "calendar?until=-262143-01-01T00:00:00Z",
        &format!("calendar?from=-262143-01-01T00:00:00Z&model={model}"),
        &format!("calendar?from=%2B262142-12-31T23:59:59Z&model={model}"),
        &format!("calendar?until=%2B262142-12-31T23:59:59Z&model={model}"),
        &format!("wallet/{key}/statement.csv?until=-262143-01-01T00:00:00Z"),
        &format!("wallet/{key}/statement.csv?from=%2B262142-12-31T23:59:59Z"),
    ] {
        let (status, _, body) = api.get_raw(&format!("/api/v1/{query}")).await;
        assert!(!status.is_server_error(), "{query}: {body}");
    }
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn wrong_data_in_the_mirror_is_an_error_of_the_server(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    // Given a request whose value can't be computed
    let mut database = options.connect().await.unwrap();
    let api = Api::new(options);
    let broken = sqlx::raw_sql("update chain.withdraw_request set scale = -9223372036854775808");
    broken.execute(&mut database).await.unwrap();

    // Then the client hears that it isn't its fault
    let (status, body) = api.get("/api/v1/insurance/withdrawals").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    assert_eq!(body["type"], "https://api.test/problems/internal");
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA")]
async fn a_refused_connection_is_no_error_of_the_client(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    // The server ends it with a data exception (22023), because the role doesn't exist.
    let api = Api::new(options.options([("role", "nobody")]));
    let (status, body) = api.get("/api/v1/models").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
}
