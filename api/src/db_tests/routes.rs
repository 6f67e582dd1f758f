//! Every route, on a mirror with accounts in every state: each statement runs, and each row decodes.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use driftshield_sdk::{Account, AccountKind, Address, address};
use serde_json::{Value, json};
use sqlx::{
    ConnectOptions, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{Api, key, lists};
use lists::List;

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn the_mirror_has_rows_in_every_table(_: PgPoolOptions, options: PgConnectOptions) {
    let mut database = options.connect().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class
         where relnamespace = 'chain'::regnamespace and relkind in ('r', 'p')
           and not relispartition and relname <> 'life'",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    for table in tables {
        let sql = sqlx::AssertSqlSafe(format!("select exists (select from chain.{table})"));
        let has_rows: bool = sqlx::query_scalar(sql)
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert!(
            has_rows,
            "chain.{table} is empty; add rows to fixtures/mirror.sql"
        );
    }
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn the_pages_of_every_list_have_its_items_in_order(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    // Given the API with one connection
    let api = Api::with_connections(options, 1);
    let (mut refused, mut read) = (0, 0);
    for list in lists::all(&api).await {
        // When a list is read as a whole
        let (status, body) = api.get(&list.with("limit=500")).await;
        if body["type"] == "https://api.test/problems/unsupported-combination" {
            refused += 1;
            continue;
        }
        assert_eq!(status, StatusCode::OK, "{list:?}: {body}");
        let whole = List::page(&body)["items"].as_array().unwrap().clone();
        assert!(!list.has_items() || !whole.is_empty(), "{list:?} is empty");

        // and item by item
        let mut items = vec![];
        let mut cursor = None;
        let mut statements = None;
        loop {
            let parameter = match &cursor {
                Some(cursor) => format!("limit=1&cursor={cursor}"),
                None => "limit=1".to_owned(),
            };
            let (status, body) = api.get(&list.with(&parameter)).await;
            assert_eq!(
                status,
                StatusCode::OK,
                "{list:?} after {}: {body}",
                items.len()
            );
            items.extend(
                List::page(&body)["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .cloned(),
            );
            if items.len() == 2 {
                statements = prepared(&api).await;
            }
            match List::next_cursor(&body) {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }

        // Then both have the same items, and a page is the same statement as the one before
        assert_eq!(items, whole, "{list:?}");
        assert!(
            items.len() < 3 || prepared(&api).await == statements,
            "{list:?}"
        );
        read += 1;
    }
    assert!(
        100 < read && 20 < refused,
        "{read} lists, {refused} refused"
    );
}

/// Number of the last statement that the API's only connection has prepared.
async fn prepared(api: &Api) -> Option<i32> {
    sqlx::query_scalar(
        "select max(substring(name from '[0-9]+$')::int) from pg_prepared_statements",
    )
    .fetch_one(&api.db)
    .await
    .unwrap()
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn each_item_of_a_list_has_a_route_of_its_own(_: PgPoolOptions, options: PgConnectOptions) {
    let api = Api::new(options);
    let mut routes = api.routes_of_one_account().await;
    for (list, route, key, differing) in [
        ("/models", "/models/{model}", "key", vec![]),
        // The items of the list lack the events of the submissions.
        (
            "/models/{model}/receipts",
            "/receipts/{receipt}",
            "key",
            vec!["submissions"],
        ),
        ("/markets", "/markets/{market}", "key", vec![]),
        (
            "/insurance/vaults",
            "/insurance/vaults/{vault}",
            "key",
            vec![],
        ),
        (
            "/insurance/policies",
            "/insurance/policies/{policy}",
            "key",
            vec![],
        ),
        ("/events", "/events/{id}", "id", vec![]),
    ] {
        assert!(
            routes.remove(&format!("/api/v1{route}")),
            "{route} is not documented"
        );
        let list = format!("/api/v1{}?limit=500", lists::example(list));
        let (status, body) = api.get(&list).await;
        assert_eq!(status, StatusCode::OK, "{list}: {body}");
        let (start, _) = route.split_once('{').unwrap();
        for item in body["items"].as_array().unwrap() {
            let path = format!("/api/v1{start}{}", item[key].as_str().unwrap());
            let path = match item["life"].as_str() {
                Some(life) => format!("{path}?life={life}"),
                None => path,
            };
            let (status, one) = api.get(&path).await;
            assert_eq!(status, StatusCode::OK, "{path}: {one}");
            for (name, value) in item.as_object().unwrap() {
                if !differing.contains(&name.as_str()) {
                    assert_eq!(one[name], *value, "{path}: {name}");
                }
            }
        }
    }
    // No list has these: `wallets.rs` and `analytics.rs` read them from accounts that have bytes.
    for route in [
        "/analytics/markets/performance",
        "/analytics/models/{model}",
        "/analytics/platform/stats",
        "/analytics/portfolio",
        "/users/{user}",
        "/users/{user}/balance",
        "/wallet/{wallet}/balance",
        "/wallet/{wallet}/statement.csv",
    ] {
        let is_documented = routes.remove(&format!("/api/v1{route}"));
        assert!(is_documented, "{route} is not documented");
    }
    // Nor the analyses.
    let analysis = "/models/{model}/drift-analysis";
    assert!(routes.remove(&format!("/api/v1{analysis}")));
    let (_, models) = api.get("/api/v1/models").await;
    for model in models["items"].as_array().unwrap() {
        let path = analysis.replace("{model}", model["key"].as_str().unwrap());
        let (status, body) = api.get(&format!("/api/v1{path}")).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
    }
    assert!(
        routes.is_empty(),
        "{routes:?} are not tested here; add them"
    );
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn what_belongs_to_an_account_comes_with_it(_: PgPoolOptions, options: PgConnectOptions) {
    let api = Api::new(options);
    let (_, receipt) = api.get(&format!("/api/v1/receipts/{}", key(11, 2))).await;
    let told: Vec<_> = receipt["submissions"].as_array().unwrap().iter().collect();
    assert_eq!(told[0]["told"]["oracle"], "one");
    assert_eq!(told[1]["told"]["counts"], json!([2, 1]));
    assert_eq!(told[1]["value"], Value::Null);
    let (_, policy) = api
        .get(&format!("/api/v1/insurance/policies/{}", key(10, 2)))
        .await;
    assert_eq!(policy["payouts"].as_array().unwrap().len(), 2);
    assert_eq!(policy["due"]["raw"], "700000");
    let (_, market) = api.get(&format!("/api/v1/markets/{}", key(4, 1))).await;
    assert_eq!(market["outcomes"][0]["multiple"]["scaled"], "1.323");
    let (_, model) = api.get(&format!("/api/v1/models/{}", key(2, 1))).await;
    assert_eq!(model["oracles"][1]["penalty"]["raw"], "3");
    assert_eq!(model["oracles"].as_array().unwrap().len(), 2);
    assert_eq!(
        model["last"],
        json!({ "window": "4", "value": { "raw": "310000", "scaled": "0.31" } })
    );
    let (_, model) = api.get(&format!("/api/v1/models/{}", key(2, 2))).await;
    assert_eq!(
        (&model["last"], &model["metadata_hash"]),
        (&Value::Null, &Value::Null)
    );
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_quote_is_computed_from_the_bytes_of_the_accounts(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    // Given the accounts of a vault and a model, without an exposure
    let mut database = options.connect().await.unwrap();
    let (vault, model) = (Address::from([1; 32]), Address::from([2; 32]));
    let api = Api::new(options);
    let quote = async || {
        let body = json!({
            "vault": vault.to_string(), "model": model.to_string(), "cover": "1", "trigger": "1",
            "exhaustion": "1", "persistence": 1, "windows": "1",
        });
        let request = Request::post("/api/v1/insurance/quote")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        api.send(request.unwrap()).await
    };
    let mint = Address::default();
    for (address, kind, expected) in [
        (None, None, (StatusCode::NOT_FOUND, "not-found")),
        (
            Some(vault),
            Some(AccountKind::Vault),
            (StatusCode::NOT_FOUND, "not-found"),
        ),
        // A mirror with a vault has the two others.
        (
            Some(model),
            Some(AccountKind::Model),
            (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        ),
        (
            Some(address::config()),
            Some(AccountKind::Config),
            (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        ),
        // The collateral is not enabled.
        (
            Some(address::collateral(&mint)),
            Some(AccountKind::Collateral),
            (StatusCode::UNPROCESSABLE_ENTITY, "program-error"),
        ),
    ] {
        if let (Some(address), Some(kind)) = (address, kind) {
            insert(&mut database, address, kind).await;
        }
        let (status, body) = quote().await;
        assert_eq!(status, expected.0, "{kind:?}: {body}");
        assert_eq!(
            body["type"],
            format!("https://api.test/problems/{}", expected.1)
        );
    }
}

async fn insert(database: &mut PgConnection, address: Address, kind: AccountKind) {
    let insert = "insert into chain.account (address, life, is_current, kind, data) values ($1, 1, true, $2, $3)";
    sqlx::query(insert)
        .bind(address.to_bytes())
        .bind(kind.name())
        .bind(Account::zeroed(kind).encode())
        .execute(database)
        .await
        .unwrap();
}
