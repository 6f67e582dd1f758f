//! Health endpoints, for people and for orchestrators.

mod machine;

use std::time::Duration;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::machine::Machine;
use crate::{mirror::MirrorStatus, problem::Problem, state::AppState};

/// What an orchestrator or a load balancer asks.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(readiness))
        .routes(routes!(liveness))
}

/// What operators ask. It names what only they should know.
pub fn operations_router() -> Router<AppState> {
    Router::new()
        .route("/health", get(health))
        .route("/health/detailed", get(detailed))
        .merge(Router::from(router()))
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HealthStatus {
    Ok,
    /// The data is missing, incomplete or stale; see `reason`.
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

#[derive(Serialize)]
struct DetailedHealth {
    #[serde(flatten)]
    health: Health,
    /// Whether a poll of the database has completed within the last 2 s.
    database: bool,
    /// Position of the mirror on the chain; null while the mirror is empty.
    mirror: Option<MirrorStatus>,
    pool: Pool,
    /// Number of open connections, WebSockets included.
    connections: usize,
    /// Number of open WebSockets.
    sockets: usize,
    /// The RPC node; null if none is configured.
    rpc: Option<Rpc>,
    /// Null if `/proc` can't be read.
    machine: Option<Machine>,
}

/// The RPC node from which transactions are built.
#[derive(Serialize)]
struct Rpc {
    /// Slot of the node; null if it doesn't answer.
    slot: Option<u64>,
    /// Why the node doesn't answer; null if it does.
    problem: Option<String>,
}

/// Connections to the database.
#[derive(Serialize)]
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

/// Why the service cannot be relied on; `None` if it can.
pub fn degraded_reason(app: &AppState) -> Option<String> {
    if !app.feed.is_connected() {
        return Some("database does not answer or is not migrated; see the log".to_owned());
    }
    match app.feed.mirror() {
        None => Some("mirror is empty; wait for the indexer's first snapshot".to_owned()),
        Some(mirror) => degraded_mirror(&mirror, app.ready_age),
    }
}

/// Why the mirror cannot be relied on; `None` if it can.
fn degraded_mirror(mirror: &MirrorStatus, ready_age: Duration) -> Option<String> {
    if mirror.settling {
        return Some(Problem::MirrorSettling { slot: mirror.slot }.to_string());
    }
    let age = Duration::from_millis(mirror.age_ms.unsigned_abs());
    if ready_age < age {
        return Some(format!(
            "data is {} s old, and the mirror is {} slots behind its source; check that the indexer \
             follows the chain",
            age.as_secs(),
            mirror.lag_slots
        ));
    }
    (0 < mirror.open_gaps).then(|| {
        format!(
            "mirror misses slots (open gaps: {}); wait until the indexer has them, or see its log",
            mirror.open_gaps
        )
    })
}

/// Whether the service is ok or degraded, and why.
async fn health(State(app): State<AppState>) -> Json<Health> {
    Json(Health::of(&app))
}

/// Health of the service, with the state of its database, mirror, connection pool, sockets, RPC node and machine.
async fn detailed(State(app): State<AppState>) -> Json<DetailedHealth> {
    let rpc = app.chain.slot().await.map(|slot| match slot {
        Ok(slot) => Rpc {
            slot: Some(slot),
            problem: None,
        },
        Err(problem) => Rpc {
            slot: None,
            problem: Some(problem.to_string()),
        },
    });
    Json(DetailedHealth {
        health: Health::of(&app),
        database: app.feed.is_connected(),
        mirror: app.feed.mirror(),
        pool: Pool {
            connections: app.db.size(),
            idle: app.db.num_idle(),
        },
        connections: app.connections.len(),
        sockets: app.sockets.len(),
        rpc,
        machine: Machine::read().ok(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror() -> MirrorStatus {
        MirrorStatus {
            epoch: 1,
            slot: 100,
            finalized_slot: 70,
            tip_slot: 103,
            lag_slots: 3,
            seq: 5,
            history_from: 1,
            settling: false,
            open_gaps: 0,
            lost_gaps: 1,
            block_time: None,
            age_ms: 60_000,
        }
    }

    #[test]
    fn a_mirror_that_is_settling_old_or_incomplete_is_degraded() {
        assert_eq!(degraded_mirror(&mirror(), Duration::from_secs(60)), None);
        let settling = MirrorStatus {
            settling: true,
            ..mirror()
        };
        let old = MirrorStatus {
            age_ms: 60_001,
            ..mirror()
        };
        let incomplete = MirrorStatus {
            open_gaps: 2,
            ..mirror()
        };
        for (mirror, part) in [
            (settling, "slot 100 and still reads accounts"),
            (old, "60 s old, and the mirror is 3 slots behind"),
            (incomplete, "open gaps: 2"),
        ] {
            let reason = degraded_mirror(&mirror, Duration::from_secs(60)).unwrap();
            assert!(reason.contains(part), "{reason}");
        }
    }
}
