//! Health endpoints, for people and for orchestrators.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{mirror::MirrorStatus, state::AppState};

/// Age above which the mirror counts as stale, in milliseconds.
const MAX_AGE_MS: i64 = 60_000;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(detailed))
        .routes(routes!(readiness))
        .routes(routes!(liveness))
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HealthStatus {
    Ok,
    /// The data is missing or stale; see `reason`.
    Degraded,
}

#[derive(Serialize, ToSchema)]
struct Health {
    status: HealthStatus,
    /// Version of the API.
    version: &'static str,
    /// Why the service is degraded; null if it is not.
    reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Details)]
struct DetailedHealth {
    #[serde(flatten)]
    health: Health,
    /// Whether a poll of the database has completed within the last 2 s.
    database: bool,
    /// Position of the mirror on the chain; null while the mirror is empty.
    mirror: Option<MirrorStatus>,
    pool: Pool,
    /// Number of open WebSockets.
    sockets: usize,
}

/// Connections to the database.
#[derive(Serialize, ToSchema)]
struct Pool {
    /// Number of open connections.
    connections: u32,
    /// Number of idle connections.
    idle: usize,
}

impl Health {
    fn of(app: &AppState) -> Self {
        let reason = degraded_reason(app);
        Self {
            status: match reason {
                Some(_) => HealthStatus::Degraded,
                None => HealthStatus::Ok,
            },
            version: env!("CARGO_PKG_VERSION"),
            reason,
        }
    }
}

fn degraded_reason(app: &AppState) -> Option<String> {
    if !app.feed.is_connected() {
        return Some("database does not answer or is not migrated; see the log".to_owned());
    }
    match app.feed.mirror() {
        None => Some("mirror is empty; wait for the indexer's first snapshot".to_owned()),
        Some(mirror) if MAX_AGE_MS < mirror.age_ms => Some(format!(
            "mirror is {} s old; check that the indexer follows the chain",
            mirror.age_ms / 1000
        )),
        Some(_) => None,
    }
}

/// Whether the service is ok or degraded, and why.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Health)))]
async fn health(State(app): State<AppState>) -> Json<Health> {
    Json(Health::of(&app))
}

/// Health of the service, with the state of its database, mirror, connection pool and sockets.
#[utoipa::path(get, path = "/health/detailed", tag = "health", responses((status = 200, body = DetailedHealth)))]
async fn detailed(State(app): State<AppState>) -> Json<DetailedHealth> {
    Json(DetailedHealth {
        health: Health::of(&app),
        database: app.feed.is_connected(),
        mirror: app.feed.mirror(),
        pool: Pool {
            connections: app.db.size(),
            idle: app.db.num_idle(),
        },
        sockets: app.sockets.len(),
    })
}

/// Readiness: 503 while the service is degraded.
#[utoipa::path(
    get,
    path = "/health/readiness",
    tag = "health",
    responses((status = 200, body = Health), (status = 503, body = Health))
)]
async fn readiness(State(app): State<AppState>) -> (StatusCode, Json<Health>) {
    let health = Health::of(&app);
    let status = match health.status {
        HealthStatus::Ok => StatusCode::OK,
        HealthStatus::Degraded => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(health))
}

/// Liveness: 200 as long as the process runs.
#[utoipa::path(get, path = "/health/liveness", tag = "health", responses((status = 200, body = Health)))]
async fn liveness() -> Json<Health> {
    Json(Health {
        status: HealthStatus::Ok,
        version: env!("CARGO_PKG_VERSION"),
        reason: None,
    })
}
