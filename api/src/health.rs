//! How the service is: for people, for what keeps it running, and for Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json,
    extract::{MatchedPath, Request, State},
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{AppState, read::Mirror};

/// A mirror older than this serves what may be long past.
const MAX_AGE_MS: i64 = 60_000;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(detailed))
        .routes(routes!(readiness))
        .routes(routes!(liveness))
        .routes(routes!(metrics))
}

/// Counts since the process began.
#[derive(Default)]
pub struct Metrics {
    /// By route and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    slow_sockets: AtomicU64,
}

impl Metrics {
    /// A socket was closed because it did not keep up.
    pub fn slow_sockets(&self) {
        self.slow_sockets.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts every request.
pub async fn count(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    let mut requests = app
        .metrics
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *requests.entry((route, status)).or_default() += 1;
    drop(requests);
    response
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthStatus)]
enum Status {
    Ok,
    /// It serves what it has, if anything: `reason` says what is wrong.
    Degraded,
}

#[derive(Serialize, ToSchema)]
struct Health {
    status: Status,
    version: &'static str,
    /// What is wrong; null where nothing is.
    reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Details {
    #[serde(flatten)]
    health: Health,
    /// Whether the database has answered lately.
    database: bool,
    /// How far the mirror has come; null while it's empty.
    mirror: Option<Mirror>,
    pool: Pool,
    /// Open WebSockets.
    sockets: usize,
}

/// Connections to the database.
#[derive(Serialize, ToSchema)]
struct Pool {
    connections: u32,
    idle: usize,
}

/// Why nothing sound can be served.
fn trouble(app: &AppState) -> Option<String> {
    if !app.feed.is_connected() {
        return Some("the database does not answer, or is not set up: see the log".to_owned());
    }
    match app.feed.mirror() {
        None => Some("the mirror is empty: the indexer has to take its first snapshot".to_owned()),
        Some(mirror) if MAX_AGE_MS < mirror.age_ms => Some(format!(
            "the mirror is {} s old: the indexer does not follow the chain",
            mirror.age_ms / 1000
        )),
        Some(_) => None,
    }
}

fn state(app: &AppState) -> Health {
    let reason = trouble(app);
    Health {
        status: if reason.is_some() {
            Status::Degraded
        } else {
            Status::Ok
        },
        version: env!("CARGO_PKG_VERSION"),
        reason,
    }
}

/// How it is, in short.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Health)))]
async fn health(State(app): State<AppState>) -> Json<Health> {
    Json(state(&app))
}

/// How each part is.
#[utoipa::path(get, path = "/health/detailed", tag = "health", responses((status = 200, body = Details)))]
async fn detailed(State(app): State<AppState>) -> Json<Details> {
    Json(Details {
        health: state(&app),
        database: app.feed.is_connected(),
        mirror: app.feed.mirror(),
        pool: Pool {
            connections: app.db.size(),
            idle: app.db.num_idle(),
        },
        sockets: app.sockets.len(),
    })
}

/// Whether to send it requests.
#[utoipa::path(
    get,
    path = "/health/readiness",
    tag = "health",
    responses((status = 200, body = Health), (status = 503, body = Health))
)]
async fn readiness(State(app): State<AppState>) -> (StatusCode, Json<Health>) {
    let health = state(&app);
    let status = match health.status {
        Status::Ok => StatusCode::OK,
        Status::Degraded => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(health))
}

/// Whether the process runs.
#[utoipa::path(get, path = "/health/liveness", tag = "health", responses((status = 200, body = Health)))]
async fn liveness() -> Json<Health> {
    Json(Health {
        status: Status::Ok,
        version: env!("CARGO_PKG_VERSION"),
        reason: None,
    })
}

/// Prometheus text.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
async fn metrics(State(app): State<AppState>) -> String {
    let mut text = String::new();
    let mut single = |name: &str, kind: &str, help: &str, value: i64| {
        let name = format!("driftshield_api_{name}");
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        );
    };
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    single(
        "database_up",
        "gauge",
        "Whether the database has answered lately.",
        app.feed.is_connected().into(),
    );
    if let Some(mirror) = app.feed.mirror() {
        single(
            "mirror_slot",
            "gauge",
            "Last slot of the mirror.",
            mirror.slot,
        );
        let help = "Last finalized slot of the mirror.";
        single(
            "mirror_finalized_slot",
            "gauge",
            help,
            mirror.finalized_slot,
        );
        single(
            "mirror_seq",
            "gauge",
            "Number of the mirror's last event.",
            mirror.seq,
        );
        let help = "Milliseconds since the last slot came into the mirror.";
        single("mirror_age_milliseconds", "gauge", help, mirror.age_ms);
    }
    single(
        "pool_connections",
        "gauge",
        "Connections to the database.",
        app.db.size().into(),
    );
    let help = "Connections to the database that nobody uses.";
    single(
        "pool_idle_connections",
        "gauge",
        help,
        number(app.db.num_idle()),
    );
    single(
        "sockets",
        "gauge",
        "Open WebSockets.",
        number(app.sockets.len()),
    );
    let slow = app.metrics.slow_sockets.load(Ordering::Relaxed);
    let help = "WebSockets closed because they did not keep up.";
    single(
        "slow_sockets_total",
        "counter",
        help,
        i64::try_from(slow).unwrap_or(i64::MAX),
    );

    text.push_str("# HELP driftshield_api_requests_total Requests by route and status.\n");
    text.push_str("# TYPE driftshield_api_requests_total counter\n");
    let requests = app
        .metrics
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    for ((route, status), count) in &*requests {
        let _ = writeln!(
            text,
            "driftshield_api_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
        );
    }
    text
}
