//! Tests on a database of their own, with rows in every table.
//!
//! `scripts/test` gives them a server; `scripts/with-postgres` gives it to any command.

mod aborts;
mod analytics;
mod caching;
mod calendar;
mod candles;
mod chain;
mod hostile;
mod leaderboard;
mod lists;
mod oracles;
mod refusals;
mod routes;
mod transactions;
mod walks;
mod wallets;

use std::{collections::BTreeSet, env, sync::LazyLock};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use driftshield_sdk::Address;
use serde_json::Value;
use sqlx::{PgPool, migrate::Migrator, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{app, cache::Front, config::Settings, pool, state::AppState};

/// The schema of each test's database.
pub static SCHEMA: LazyLock<Migrator> = LazyLock::new(|| {
    assert!(
        env::var_os("DATABASE_URL").is_some(),
        "DATABASE_URL is not set; run `scripts/test db_tests`, or put `scripts/with-postgres` before the command"
    );
    sqlx::migrate!("../migrations")
});

/// The API on a test's database.
struct Api {
    db: PgPool,
    state: AppState,
    front: Front,
}

/// The `number`-th address of a type in `fixtures/mirror.sql`.
pub fn address(kind: u8, number: u8) -> Address {
    let mut bytes = [7; 32];
    (bytes[0], bytes[1]) = (kind, number);
    bytes.into()
}

/// The same in base58.
pub fn key(kind: u8, number: u8) -> String {
    address(kind, number).to_string()
}

impl Api {
    fn new(options: PgConnectOptions) -> Self {
        Self::on(pool(options))
    }

    fn with_connections(options: PgConnectOptions, connections: u32) -> Self {
        let db = pool(options);
        let options = db.options().clone().max_connections(connections);
        Self::on(options.connect_lazy_with((*db.connect_options()).clone()))
    }

    fn on(db: PgPool) -> Self {
        Self::with_settings(db, &Settings::of_tests())
    }

    fn with_settings(db: PgPool, settings: &Settings) -> Self {
        let state = AppState::new(db.clone(), settings, CancellationToken::new());
        let front = app(state.clone(), "https://api.test");
        Self { db, state, front }
    }

    /// The OpenAPI document.
    async fn document(&self) -> Value {
        self.get("/api-docs/openapi.json").await.1
    }

    /// Documented routes that return one account or event.
    async fn routes_of_one_account(&self) -> BTreeSet<String> {
        let document = self.document().await;
        let paths = document["paths"].as_object().unwrap().iter();
        let is_of_one = |parameters: &Value| {
            let parameters = parameters.as_array().into_iter().flatten();
            let names: Vec<_> = parameters.map(|given| &given["name"]).collect();
            names.iter().any(|name| *name == "min_slot")
                && !names.iter().any(|name| *name == "cursor")
        };
        paths
            .filter(|(_, methods)| methods["get"]["tags"][0] != "actions")
            .filter(|(_, methods)| is_of_one(&methods["get"]["parameters"]))
            .map(|(path, _)| path.clone())
            .collect()
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    /// The body of a path that must answer `200 OK`.
    async fn ok(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let (status, _, text) = self.send_raw(request).await;
        let body = serde_json::from_str(&text);
        (status, body.unwrap_or_else(|_| panic!("no JSON: {text}")))
    }

    async fn send_raw(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let response = self.front.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, headers, String::from_utf8(body.into()).unwrap())
    }

    async fn get_raw(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        self.send_raw(Request::get(path).body(Body::empty()).unwrap())
            .await
    }
}
