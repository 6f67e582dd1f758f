//! Serves the mirror of the chain: reads over REST, changes over a WebSocket.
//!
//! The API holds no key and signs nothing. Its database role can read the schema `chain`, but not
//! write it. Each answer names the slot of its snapshot; only the chain is authoritative.

mod admission;
pub mod analysis;
mod analytics;
mod asks;
mod bytes;
mod cache;
mod calendar;
mod client_address;
pub mod config;
#[cfg(test)]
mod db_tests;
mod docs;
mod event_id;
mod events;
mod extract;
mod feed;
mod health;
mod lives;
mod markets;
mod mcp;
mod metrics;
mod mirror;
mod models;
mod odds;
mod oracles;
mod page;
mod policies;
mod positions;
mod problem;
mod quote;
mod ranked;
mod receipts;
mod reply;
mod rows;
mod series;
mod server;
mod signed;
mod socket;
mod sql;
mod state;
mod statistics;
mod tail;
mod updates;
mod users;
mod values;
mod vaults;
mod wallet;
mod withdrawals;

use std::{net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Router,
    error_handling::HandleErrorLayer,
    extract::DefaultBodyLimit,
    http::{
        HeaderName, HeaderValue, Method, Request, Uri,
        header::{
            CONTENT_SECURITY_POLICY, ETAG, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};
use driftshield_service::metric;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    net::TcpListener,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::{ServiceBuilder, timeout::TimeoutLayer};
use tower_http::{
    compression::CompressionLayer,
    cors::{Any, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    trace::TraceLayer,
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    problem::{Problem, ProblemTypes},
    server::Admission,
    state::AppState,
};

pub use config::{Options, Settings};

/// Time limit for open requests to finish at shutdown, and after that for open sockets to close.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two rounds of upkeep.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Pool of read-only connections, with the privileges of the role `driftshield_api`.
///
/// Connections are opened on first use, so that the process can start before the database does.
///
/// # Errors
///
/// If `url` is not a Postgres URL.
fn connect(url: &str) -> Result<PgPool, sqlx::Error> {
    Ok(pool(PgConnectOptions::from_str(url)?))
}

fn pool(options: PgConnectOptions) -> PgPool {
    let options = options.application_name("driftshield-api").options([
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
    PgPoolOptions::new()
        .max_connections(20)
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(options)
}

/// Serves until `shutdown` is cancelled.
///
/// # Errors
///
/// If an address cannot be listened on, or the poll loop panics.
pub async fn serve(settings: &Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let db = connect(&settings.database_url)
        .context("the database URL is not a Postgres URL; give postgres://USER@HOST/DATABASE")?;
    let listener = listen(settings.listen, "--listen").await?;
    let address = listener.local_addr().context("cannot listen")?;
    let state = AppState::new(db, settings, shutdown.clone());
    let operations = match settings.operations_listen {
        Some(address) => {
            let listener = listen(address, "--operations-listen").await?;
            let prometheus = metric::install(metrics::METRICS)?;
            Some((listener, operations(state.clone(), prometheus)))
        }
        None => None,
    };
    let tail = tokio::spawn(tail::tail(state.clone()));
    let upkeep = tokio::spawn(upkeep(state.clone()));
    let rankings = analytics::leaderboard::keeper::keep(state.db.clone(), shutdown.clone());
    let rankings = tokio::spawn(rankings);
    tracing::info!(%address, "listening");
    let public_url = settings.public_url.clone();
    let router = app(
        state.clone(),
        &public_url.unwrap_or_else(|| format!("http://{address}")),
    );
    let admission = Admission {
        connections: state.connections.clone(),
        trusted_proxies: Arc::new(settings.trusted_proxies.clone()),
        header_timeout: server::HEADER_TIMEOUT,
    };
    let serving = server::serve(listener, router, admission, shutdown, SHUTDOWN_TIMEOUT);
    match operations {
        Some((listener, router)) => {
            let operating = axum::serve(listener, router).into_future();
            tokio::select! {
                () = serving => {}
                served = operating => served.context("the server for operators has ended")?,
            }
        }
        None => serving.await,
    }
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
    upkeep.abort();
    // A computation that is under way is rolled back.
    rankings.abort();
    tail.await?;
    tracing::info!("stopped");
    Ok(())
}

async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another {option}"))
}

/// Routes for operators.
fn operations(state: AppState, prometheus: PrometheusHandle) -> Router {
    let metrics = get(metrics::exposition).with_state((state.clone(), prometheus));
    health::operations_router()
        .with_state(state)
        .route("/metrics", metrics)
}

/// Forgets what is not needed any more, from time to time.
async fn upkeep(app: AppState) {
    let mut ticks = interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        if let Some(limiter) = &app.rate_limiter {
            limiter.forget_idle();
        }
    }
}

/// All routes. Sockets get updates only while [`tail::tail`] runs.
fn app(state: AppState, public_url: &str) -> Router {
    let types = ProblemTypes {
        public_url: public_url.into(),
    };
    let resources = OpenApiRouter::new()
        .merge(models::router())
        .merge(receipts::router())
        .merge(markets::router())
        .merge(positions::router())
        .merge(vaults::router())
        .merge(policies::router())
        .merge(withdrawals::router())
        .merge(events::router())
        .merge(wallet::router())
        .merge(oracles::router())
        .merge(users::router())
        .merge(analytics::router())
        // These depend on the time or on the request: they are not given again.
        .merge(quote::router())
        .merge(models::untagged_router())
        .merge(wallet::untagged_router())
        .merge(analytics::untagged_router())
        .merge(oracles::untagged_router())
        .merge(calendar::router())
        .route_layer(from_fn_with_state(state.clone(), extract::limit_reads))
        .merge(wallet::waiting_router())
        .route_layer(from_fn_with_state(state.clone(), cache::answer));
    let (router, mut document) = OpenApiRouter::with_openapi(docs::info(public_url))
        .nest("/api/v1", resources)
        .merge(health::router())
        .split_for_parts();
    docs::complete(&mut document);
    let routes = router
        .route("/api/v1/ws", get(socket::upgrade))
        .merge(docs::router(document.clone()))
        .merge(socket::asyncapi::router())
        .merge(problem::kinds::router())
        .with_state(state.clone());
    let tools = mcp::router(&document, layered(routes.clone(), &state, &types));
    layered(routes.merge(tools), &state, &types)
}

/// The routes with what all requests pass.
fn layered(routes: Router, state: &AppState, types: &ProblemTypes) -> Router {
    let errors = ServiceBuilder::new()
        .layer(from_fn_with_state(types.clone(), problem::write_body))
        .layer(from_fn_with_state(state.clone(), admission::limit_rate))
        .layer(HandleErrorLayer::new(async |_| Problem::Timeout))
        .layer(TimeoutLayer::new(problem::REQUEST_TIMEOUT));
    routes
        .fallback(|uri: Uri| async move { Problem::NoRoute(uri.path().to_owned()) })
        .method_not_allowed_fallback(
            |method: Method| async move { Problem::MethodNotAllowed(method) },
        )
        .layer(DefaultBodyLimit::max(problem::MAX_BODY_BYTES))
        .layer(errors)
        .layer(from_fn(metrics::record_request))
        .layer(cors())
        .layer(CompressionLayer::new())
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_failure(()), // `write_body` logs failures
        )
        .layer(PropagateRequestIdLayer::new(problem::REQUEST_ID))
        .layer(SetRequestIdLayer::new(problem::REQUEST_ID, MakeRequestUuid))
        .layer(from_fn(problem::check_request_id))
        .layer(security_header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(security_header(REFERRER_POLICY, "no-referrer"))
        .layer(security_header(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ))
}

/// A header with which a browser uses an answer for nothing but what it is. Pages have values of their own.
fn security_header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

fn cors() -> CorsLayer {
    let exposed = reply::SNAPSHOT_HEADERS
        .into_iter()
        .chain(admission::RATE_HEADERS)
        .map(HeaderName::from_static)
        .chain([ETAG, RETRY_AFTER, problem::REQUEST_ID]);
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(Any)
        .expose_headers(exposed.collect::<Vec<_>>())
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
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;

    const KEY: &str = "DriftSh1e1d11111111111111111111111111111111";

    async fn get(path: &str) -> (StatusCode, Value) {
        send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// An app whose database is unreachable.
    fn unconnected() -> Router {
        let settings = Settings::of_tests();
        let db = connect(&settings.database_url).unwrap();
        let state = AppState::new(db, &settings, CancellationToken::new());
        app(state, "https://api.test")
    }

    async fn send(request: Request<Body>) -> (StatusCode, Value) {
        let response = unconnected().oneshot(request).await.unwrap();
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
            ("/api/v1/models?text=a%00", 400, "bad-request"),
            ("/api/v1/markets?state=asleep", 400, "bad-request"),
            ("/api/v1/positions", 400, "bad-request"),
            ("/api/v1/events/x", 400, "bad-request"),
            (&format!("/api/v1/markets/{KEY}?life=x"), 400, "bad-request"),
            ("/api/v1/insurance/vaults?sort=name", 400, "bad-request"),
            (
                &format!("/api/v1/models/{KEY}/drift-analysis?windows=367"),
                400,
                "bad-request",
            ),
            (
                &format!("/api/v1/models/{KEY}/drift-analysis?thresholds=0.2"),
                400,
                "bad-request",
            ),
            (
                &format!("/api/v1/models/{KEY}/metrics?interval=month"),
                400,
                "bad-request",
            ),
            (
                &format!("/api/v1/models/{KEY}/monitoring-agent/config"),
                405,
                "method-not-allowed",
            ),
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
            (
                &format!("/api/v1/markets/{KEY}/candles?interval=2h"),
                400,
                "bad-request",
            ),
            ("/api/v1/analytics/portfolio", 400, "bad-request"),
            (
                &format!("/api/v1/analytics/leaderboard/dogs?mint={KEY}"),
                400,
                "bad-request",
            ),
            ("/api/v1/analytics/leaderboard/bettors", 400, "bad-request"),
            ("/api/v1/calendar?until=never", 400, "bad-request"),
            (
                &format!("/api/v1/wallet/{KEY}/statement.csv?from=x"),
                400,
                "bad-request",
            ),
            (
                &format!("/api/v1/wallet/{KEY}/sync"),
                405,
                "method-not-allowed",
            ),
            ("/api/v1/ws", 400, "bad-request"),
        ] {
            let (got, problem) = get(path).await;
            assert_eq!(got.as_u16(), status, "{path}");
            let kind = format!("https://api.test/problems/{kind}");
            assert_eq!(problem["type"], kind, "{path}");
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
            ("text/plain", whole.as_str(), 415),
            (
                "application/json",
                &" ".repeat(problem::MAX_BODY_BYTES + 1),
                413,
            ),
        ] {
            let request = Request::post("/api/v1/insurance/quote")
                .header("content-type", kind)
                .body(Body::from(body.to_owned()))
                .unwrap();
            let (got, problem) = send(request).await;
            assert_eq!(got.as_u16(), status, "{kind} {body}: {problem}");
        }
    }

    /// The result of a call of the MCP endpoint.
    async fn mcp(method: &str, params: Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = Request::post("/mcp")
            .header("host", "api.test")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-06-18")
            .body(Body::from(call.to_string()))
            .unwrap();
        let (status, answer) = send(request).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["result"].clone()
    }

    #[tokio::test]
    async fn every_operation_of_the_document_is_a_tool_that_answers_the_same() {
        let tools = mcp("tools/list", json!({})).await;
        let tools = tools["tools"].as_array().unwrap();
        let names: Vec<_> = tools
            .iter()
            .map(|tool| tool["name"].as_str().unwrap())
            .collect();
        let (_, document) = get("/api-docs/openapi.json").await;
        let paths = document["paths"].as_object().unwrap();
        let paths = paths.keys().filter(|path| path.starts_with("/api/"));
        assert!(paths.count() <= names.len(), "{names:?}");
        let call = json!({ "name": "get_markets", "arguments": { "limit": 3 } });
        let failed = mcp("tools/call", call).await;
        assert_eq!(failed["isError"], true, "{failed}");
        let problem = failed["content"][0]["text"].as_str().unwrap();
        assert!(problem.contains("/problems/unavailable"), "{problem}");
    }

    #[tokio::test]
    async fn an_answer_carries_headers_that_protect_browsers() {
        let request = Request::get("/api/v1/models").body(Body::empty()).unwrap();
        let response = unconnected().oneshot(request).await.unwrap();
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(
            headers["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("default-src 'none'")
        );
        let request = Request::get("/api-docs/").body(Body::empty()).unwrap();
        let page = unconnected().oneshot(request).await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self'"), "{policy}");
    }

    #[tokio::test]
    async fn a_request_id_is_the_clients_if_it_is_fit_for_a_log() {
        for (id, is_kept) in [("a-1", true), ("a b", false), (&"a".repeat(200), false)] {
            let request = Request::get("/health/liveness").header("x-request-id", id);
            let request = request.body(Body::empty()).unwrap();
            let response = unconnected().oneshot(request).await.unwrap();
            let given = response.headers()["x-request-id"].to_str().unwrap();
            assert_eq!(given == id, is_kept, "{given}");
        }
    }

    #[tokio::test]
    async fn without_a_database_the_api_is_live_but_not_ready() {
        let (status, problem) = get("/api/v1/models").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem["type"], "https://api.test/problems/unavailable");
        assert_eq!(get("/health/liveness").await.0, StatusCode::OK);
        let (status, health) = get("/health/readiness").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(health["reason"].is_string());
    }

    #[tokio::test]
    async fn an_incomplete_request_does_not_block_the_shutdown() {
        use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap();
        let settings = Settings {
            listen: address,
            ..Settings::of_tests()
        };
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move { serve(&settings, stop).await });
        sleep(Duration::from_millis(200)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
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
