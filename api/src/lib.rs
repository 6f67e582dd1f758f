//! Serves the mirror of the chain: reads over REST, changes over a WebSocket.
//!
//! It holds no key and signs nothing. Its database role reads schema `chain` and can't write it,
//! and what it serves says which slot it is from: only the chain is authoritative.

mod docs;
mod events;
mod feed;
mod health;
mod markets;
mod models;
mod page;
mod policies;
mod positions;
mod problem;
mod quote;
mod read;
mod receipts;
mod socket;
mod values;
mod vaults;
mod withdrawals;

use std::{str::FromStr, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderName, Method, Request, Uri},
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::{
    compression::CompressionLayer,
    cors::{Any, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};
use utoipa_axum::router::OpenApiRouter;

use crate::{feed::Feed, health::Metrics, problem::Problem};

/// How long open requests get to end when the process ends, and then open sockets.
const GOODBYE: Duration = Duration::from_secs(5);

/// What all handlers share.
#[derive(Clone)]
pub struct AppState {
    db: PgPool,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    turns: Arc<Semaphore>,
    sockets: TaskTracker,
    stop: CancellationToken,
}

impl AppState {
    /// `stop` ends the sockets.
    pub fn new(db: PgPool, stop: CancellationToken) -> Self {
        Self {
            db,
            feed: Arc::new(Feed::new()),
            metrics: Arc::default(),
            turns: Arc::new(Semaphore::new(read::TURNS)),
            sockets: TaskTracker::new(),
            stop,
        }
    }
}

/// A pool whose connections can only read, and take the role that has no right to do more.
///
/// It connects when it is first used: the process starts before its database, and outlives its
/// restarts.
///
/// # Errors
///
/// Where `url` is no Postgres URL.
pub fn connect(url: &str) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?
        .application_name("driftshield-api")
        .options([
            ("role", "driftshield_api"),
            ("default_transaction_read_only", "on"),
            ("statement_timeout", "5000"),
            ("idle_in_transaction_session_timeout", "15000"),
        ]);
    Ok(PgPoolOptions::new()
        .max_connections(20)
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(options))
}

/// Serves until `stop`.
///
/// # Errors
///
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    db: PgPool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let state = AppState::new(db, stop.clone());
    let tailing = tokio::spawn(feed::tail(state.clone()));
    tracing::info!(address = %listener.local_addr()?, "listening");

    let serving = axum::serve(listener, app(state.clone()))
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    // No client keeps the process up by not ending its request, or by not reading the answer.
    let overtime = async {
        stop.cancelled().await;
        sleep(GOODBYE).await;
    };
    tokio::select! {
        served = serving.into_future() => served?,
        () = overtime => tracing::warn!("connections did not end in time"),
    }
    stop.cancel();
    state.sockets.close();
    if timeout(GOODBYE, state.sockets.wait()).await.is_err() {
        tracing::warn!(
            sockets = state.sockets.len(),
            "sockets did not close in time"
        );
    }
    tailing.await?;
    tracing::info!("stopped");
    Ok(())
}

/// All routes. What the sockets tell comes from [`serve`]'s tailing of the mirror.
pub fn app(state: AppState) -> Router {
    let resources = OpenApiRouter::new()
        .merge(models::router())
        .merge(receipts::router())
        .merge(markets::router())
        .merge(positions::router())
        .merge(vaults::router())
        .merge(policies::router())
        .merge(withdrawals::router())
        .merge(events::router())
        .route_layer(from_fn_with_state(state.clone(), read::not_modified))
        // What depends on the time is never not modified.
        .merge(quote::router());
    let (router, document) = OpenApiRouter::with_openapi(docs::info())
        .nest("/api/v1", resources)
        .merge(health::router())
        .split_for_parts();

    router
        .route("/api/v1/ws", get(socket::upgrade))
        .merge(docs::router(&document))
        .fallback(|uri: Uri| async move { Problem::NoRoute(uri.path().to_owned()) })
        .method_not_allowed_fallback(|method: Method| async move { Problem::Method(method) })
        .layer(from_fn(problem::complete))
        .layer(from_fn_with_state(state.clone(), health::count))
        .layer(cors())
        .layer(CompressionLayer::new())
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_failure(()), // problems are logged where they are written out
        )
        .layer(PropagateRequestIdLayer::new(problem::REQUEST_ID))
        .layer(SetRequestIdLayer::new(problem::REQUEST_ID, MakeRequestUuid))
        .with_state(state)
}

fn cors() -> CorsLayer {
    let told = read::HEADERS.map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(Any)
        .expose_headers(
            told.into_iter()
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
        answer(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Of an app whose database is not there.
    async fn answer(request: Request<Body>) -> (StatusCode, Value) {
        let db = connect("postgres://nobody@localhost:1/nothing").unwrap();
        let app = app(AppState::new(db, CancellationToken::new()));
        let response = app.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_a_problem() {
        for (path, status, kind) in [
            ("/nowhere", 404, "no-such-route"),
            ("/api/v1/models/abc", 400, "bad-request"),
            ("/api/v1/models?limit=501", 400, "bad-request"),
            ("/api/v1/models?colour=red", 400, "bad-request"),
            ("/api/v1/markets?state=asleep", 400, "bad-request"),
            ("/api/v1/positions", 400, "bad-request"),
            ("/api/v1/insurance/vaults?sort=name", 400, "bad-request"),
            ("/api/v1/insurance/policies?state=void", 400, "bad-request"),
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
    async fn a_quote_is_asked_in_json() {
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
            let (got, problem) = answer(request).await;
            assert_eq!(got.as_u16(), status, "{kind} {body}: {problem}");
        }
    }

    #[tokio::test]
    async fn without_a_database_it_lives_but_is_not_ready() {
        let (status, problem) = get("/api/v1/models").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(problem["type"], "/problems/unavailable");
        assert_eq!(get("/health/liveness").await.0, StatusCode::OK);
        let (status, health) = get("/health/readiness").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(health["reason"].is_string());
    }

    #[tokio::test]
    async fn half_a_request_does_not_keep_the_process() {
        use tokio::{io::AsyncWriteExt, net::TcpStream};

        let db = connect("postgres://nobody@localhost:1/nothing").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, db, stop.clone()));
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        sleep(Duration::from_millis(200)).await;
        stop.cancel();
        timeout(4 * GOODBYE, serving)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    #[tokio::test]
    async fn the_document_defines_what_it_refers_to() {
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
