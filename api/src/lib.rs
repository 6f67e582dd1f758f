//! Serves the mirror of the chain: reads over REST, changes over a WebSocket. Builds transactions for
//! wallets to sign.
//!
//! The API holds no key, and can neither sign nor send. Its database role can read the schema `chain`, but
//! not write it. Each answer names the slot of its snapshot; only the chain is authoritative.

mod actions;
mod asks;
mod bytes;
mod columns;
mod counters;
mod docs;
mod event_id;
mod events;
mod extract;
mod feed;
mod health;
mod lives;
mod markets;
mod metrics;
mod mirror;
mod models;
mod odds;
mod page;
mod policies;
mod positions;
mod problem;
mod quote;
mod ranked;
mod receipts;
mod reply;
mod series;
mod socket;
mod sql;
mod state;
mod tail;
mod transactions;
mod updates;
mod values;
mod vaults;
mod withdrawals;

use std::{str::FromStr, time::Duration};

use axum::{
    Router,
    http::{HeaderName, Method, Request, Uri},
    middleware::{from_fn, from_fn_with_state},
    routing::get,
    serve::ListenerExt,
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower_http::{
    compression::CompressionLayer,
    cors::{Any, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};
use utoipa_axum::router::OpenApiRouter;

use crate::{problem::Problem, state::AppState, transactions::Chain};

pub use crate::transactions::ChainOptions;

/// Time limit for open requests to finish at shutdown, and after that for open sockets to close.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Pool of read-only connections, with the privileges of the role `driftshield_api`.
///
/// Connections are opened on first use, so that the process can start before the database does.
///
/// # Errors
///
/// If `url` is not a Postgres URL.
pub fn connect(url: &str) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?
        .application_name("driftshield-api")
        .options([
            ("role", "driftshield_api"),
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "5000"),
            ("idle_in_transaction_session_timeout", "15000"),
            // Every list is a range of an index that has the list's filter and order, and Postgres has
            // to choose that index whatever it estimates. It must not take a plan for all values of a
            // filter, which is right for the common ones only; nor sort what matches, because there can
            // be much more than it estimates; nor read another index and drop what doesn't match, because
            // the rows of that one lie together.
            ("plan_cache_mode", "force_custom_plan"),
            ("enable_sort", "off"),
            // A sort costs so much then that Postgres would compile the query, which takes longer than it.
            ("jit", "off"),
            ("seq_page_cost", "0"),
            ("random_page_cost", "0"),
            // What a row of a page is joined with is found by its key.
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
        ]);
    Ok(PgPoolOptions::new()
        .max_connections(20)
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(options))
}

/// Serves until `shutdown` is cancelled.
///
/// # Errors
///
/// If the listener fails or the poll loop panics.
pub async fn serve(
    listener: TcpListener,
    db: PgPool,
    chain: &ChainOptions,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let state = AppState::new(db, Chain::new(chain), shutdown.clone());
    let tail = tokio::spawn(tail::tail(state.clone()));
    tracing::info!(address = %listener.local_addr()?, "listening");

    // Small messages of a socket would wait for the acknowledgement of those before them.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY is not set");
        }
    });
    let serving = axum::serve(listener, app(state.clone()))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    // A client that never completes its request, or never reads the response, must not keep the
    // process running.
    let deadline = async {
        shutdown.cancelled().await;
        sleep(SHUTDOWN_TIMEOUT).await;
    };
    tokio::select! {
        served = serving.into_future() => served?,
        () = deadline => tracing::warn!("dropped connections that did not end in time"),
    }
    shutdown.cancel();
    state.sockets.close();
    if timeout(SHUTDOWN_TIMEOUT, state.sockets.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            sockets = state.sockets.len(),
            "dropped sockets that did not close in time"
        );
    }
    tail.await?;
    tracing::info!("stopped");
    Ok(())
}

/// All routes. Sockets get updates only while [`tail::tail`] runs.
fn app(state: AppState) -> Router {
    let resources = OpenApiRouter::new()
        .merge(models::router())
        .merge(receipts::router())
        .merge(markets::router())
        .merge(positions::router())
        .merge(vaults::router())
        .merge(policies::router())
        .merge(withdrawals::router())
        .merge(events::router())
        .route_layer(from_fn_with_state(state.clone(), reply::not_modified))
        // Quotes and transactions depend on the time, so they have no `ETag`.
        .merge(quote::router())
        .merge(transactions::router());
    let (actions, actions_document) = actions::router().split_for_parts();
    let (router, mut document) = OpenApiRouter::with_openapi(docs::info())
        .nest("/api/v1", resources)
        .merge(health::router())
        .merge(metrics::router())
        .split_for_parts();
    document.merge(actions_document);
    // Any web page may use the actions, and their errors have another body.
    let actions = actions
        .layer(from_fn(problem::limit_time))
        .layer(from_fn_with_state(state.clone(), actions::finish))
        .layer(from_fn_with_state(
            state.counters.clone(),
            counters::count_requests,
        ));

    router
        .route("/api/v1/ws", get(socket::upgrade))
        .merge(docs::router(&document))
        .fallback(|uri: Uri| async move { Problem::NoRoute(uri.path().to_owned()) })
        .method_not_allowed_fallback(
            |method: Method| async move { Problem::MethodNotAllowed(method) },
        )
        .layer(from_fn(problem::limit_time))
        .layer(from_fn(problem::write_body))
        .layer(from_fn_with_state(
            state.counters.clone(),
            counters::count_requests,
        ))
        .layer(cors())
        .merge(actions)
        .layer(CompressionLayer::new())
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_failure(()), // `write_body` logs failures
        )
        .layer(PropagateRequestIdLayer::new(problem::REQUEST_ID))
        .layer(SetRequestIdLayer::new(problem::REQUEST_ID, MakeRequestUuid))
        .with_state(state)
}

fn cors() -> CorsLayer {
    let snapshot_headers = reply::SNAPSHOT_HEADERS.map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(Any)
        .expose_headers(
            snapshot_headers
                .into_iter()
                .chain([axum::http::header::ETAG, problem::REQUEST_ID])
                .collect::<Vec<_>>(),
        )
}

fn span<B>(request: &Request<B>) -> tracing::Span {
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        id = problem::request_id(request.headers()),
    )
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::StatusCode,
    };
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    const KEY: &str = "DriftSh1e1d11111111111111111111111111111111";

    async fn get(path: &str) -> (StatusCode, Value) {
        send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Sends a request to an app whose database is unreachable.
    async fn send(request: Request<Body>) -> (StatusCode, Value) {
        let db = connect("postgres://nobody@localhost:1/nothing").unwrap();
        let state = AppState::new(db, Chain::default(), CancellationToken::new());
        let app = app(state);
        let response = app.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn invalid_requests_get_a_problem() {
        for (path, status, kind) in [
            ("/nowhere", 404, "no-such-route"),
            ("/api/v1/models/abc", 400, "bad-request"),
            ("/api/v1/models?limit=501", 400, "bad-request"),
            ("/api/v1/models?colour=red", 400, "bad-request"),
            ("/api/v1/markets?state=asleep", 400, "bad-request"),
            ("/api/v1/positions", 400, "bad-request"),
            ("/api/v1/events/x", 400, "bad-request"),
            (&format!("/api/v1/markets/{KEY}?life=x"), 400, "bad-request"),
            ("/api/v1/insurance/vaults?sort=name", 400, "bad-request"),
            ("/api/v1/insurance/policies?state=lost", 400, "bad-request"),
            (
                "/api/v1/insurance/withdrawals?owner=abc",
                400,
                "bad-request",
            ),
            ("/api/v1/insurance/quote", 405, "method-not-allowed"),
            (
                &format!("/api/v1/markets/{KEY}?min_slot=x"),
                400,
                "bad-request",
            ),
            ("/api/v1/ws", 400, "bad-request"),
        ] {
            let (got, problem) = get(path).await;
            assert_eq!(got.as_u16(), status, "{path}");
            assert_eq!(problem["type"], format!("/problems/{kind}"), "{path}");
            assert_eq!(problem["status"], status, "{path}");
            assert_ne!(problem["request_id"], "", "{path}");
        }
    }

    #[tokio::test]
    async fn a_quote_request_is_json() {
        let whole = format!(
            r#"{{"vault":"{KEY}","model":"{KEY}","cover":"1","trigger":"1","exhaustion":"1",
                "persistence":1,"windows":"1"}}"#
        );
        for (kind, body, status) in [
            ("application/json", whole.as_str(), 503),
            ("application/json", "{}", 400),
            ("application/json", "", 400),
            ("text/plain", whole.as_str(), 400),
        ] {
            let request = Request::post("/api/v1/insurance/quote")
                .header("content-type", kind)
                .body(Body::from(body.to_owned()))
                .unwrap();
            let (got, problem) = send(request).await;
            assert_eq!(got.as_u16(), status, "{kind} {body}: {problem}");
        }
    }

    #[tokio::test]
    async fn a_transaction_needs_a_valid_request_and_a_node() {
        let bet = |amount: &str| format!(r#"{{"account":"{KEY}","outcome":0,"amount":{amount}}}"#);
        let path = format!("/api/v1/markets/{KEY}/bet");
        for (body, status, kind, named) in [
            (bet(r#""1""#), 503, "no-rpc-node", "RPC_URL"),
            (bet("1"), 400, "bad-request", "amount"),
            (bet(r#""1","colour":1"#), 400, "bad-request", "colour"),
            ("{}".to_owned(), 400, "bad-request", "account"),
        ] {
            let request = Request::post(&path)
                .header("content-type", "application/json")
                .body(Body::from(body))
                .unwrap();
            let (got, problem) = send(request).await;
            assert_eq!(got.as_u16(), status, "{problem}");
            assert_eq!(problem["type"], format!("/problems/{kind}"));
            assert!(
                problem["detail"].as_str().unwrap().contains(named),
                "{problem}"
            );
        }
    }

    #[tokio::test]
    async fn errors_of_actions_are_messages_for_any_origin() {
        for (method, path, status) in [
            ("GET", "/api/v1/actions/dance", 404),
            ("GET", "/api/v1/actions/bet", 503),
            ("OPTIONS", "/api/v1/actions/bet", 200),
            ("OPTIONS", "/actions.json", 200),
        ] {
            let db = connect("postgres://nobody@localhost:1/nothing").unwrap();
            let state = AppState::new(db, Chain::default(), CancellationToken::new());
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Body::empty()).unwrap();
            let response = app(state).oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{path}");
            let headers = response.headers();
            assert_eq!(headers["access-control-allow-origin"], "*", "{path}");
            assert_eq!(headers["x-action-version"], "2.4", "{path}");
            assert_eq!(headers["content-type"], "application/json", "{path}");
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            if status != 200 {
                let error: Value = serde_json::from_slice(&body).unwrap();
                assert_ne!(error["message"], "", "{path}");
                assert_eq!(error.as_object().unwrap().len(), 1, "{path}");
            }
        }
    }

    #[tokio::test]
    async fn every_transaction_is_documented_with_an_example() {
        let (_, document) = get("/api-docs/openapi.json").await;
        let paths = document["paths"].as_object().unwrap();
        let operations = paths
            .values()
            .flat_map(|item| item.as_object().unwrap().values());
        let transactions: Vec<_> = operations
            .filter(|operation| operation["tags"][0] == "transactions")
            .collect();
        assert_eq!(transactions.len(), 18);
        for operation in transactions {
            let content = &operation["requestBody"]["content"]["application/json"];
            let reference = content["schema"]["$ref"].as_str().unwrap();
            let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
            let has_example = content["example"].is_object() || schema["example"].is_object();
            assert!(has_example, "{reference}");
            assert!(operation["summary"].is_string());
        }
    }

    #[tokio::test]
    async fn without_a_database_the_api_is_live_but_not_ready() {
        let (status, problem) = get("/api/v1/models").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem["type"], "/problems/unavailable");
        assert_eq!(get("/health/liveness").await.0, StatusCode::OK);
        let (status, health) = get("/health/readiness").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(health["reason"].is_string());
    }

    #[tokio::test]
    async fn an_incomplete_request_does_not_block_the_shutdown() {
        use tokio::{io::AsyncWriteExt, net::TcpStream};

        let db = connect("postgres://nobody@localhost:1/nothing").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let shutdown = CancellationToken::new();
        let shutdown_of_server = shutdown.clone();
        let serving = tokio::spawn(async move {
            let chain = ChainOptions::default();
            serve(listener, db, &chain, shutdown_of_server).await
        });
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        sleep(Duration::from_millis(200)).await;
        shutdown.cancel();
        timeout(4 * SHUTDOWN_TIMEOUT, serving)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    #[tokio::test]
    async fn all_references_of_the_document_resolve() {
        let (_, document) = get("/api-docs/openapi.json").await;
        let mut references = Vec::new();
        collect_references(&document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let parameters = &document["paths"]["/api/v1/models"]["get"]["parameters"];
        let names: Vec<_> = parameters
            .as_array()
            .unwrap()
            .iter()
            .map(|p| &p["name"])
            .collect();
        assert_eq!(
            names,
            [
                "owner", "metric", "status", "text", "cursor", "limit", "min_slot"
            ]
        );
    }

    fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object
                    .values()
                    .for_each(|value| collect_references(value, found));
            }
            Value::Array(array) => array
                .iter()
                .for_each(|value| collect_references(value, found)),
            _ => {}
        }
    }
}
