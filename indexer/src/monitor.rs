//! The HTTP server for metrics, health and readiness.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use driftshield_service::metric;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use sqlx::PgPool;
use tokio::{
    net::TcpListener,
    time::{interval, timeout},
};

use crate::{
    config::Settings,
    metrics as names,
    status::{Health, Status},
};

/// Time limit for the database in a request.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(1);
/// Time between two drains of the samples that histograms have buffered.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What the server answers from.
pub struct Monitor {
    pub status: Arc<Status>,
    pub ready_age: Duration,
    /// Connections that nothing but the monitor and the audit use.
    pub db: PgPool,
    pub prometheus: PrometheusHandle,
}

/// The answer of `/ready`.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// Why the process is not ready; null if it is.
    reason: Option<String>,
}

/// Starts to listen, if the settings say so, and installs the recorder of the metrics.
pub async fn listen(
    settings: &Settings,
) -> anyhow::Result<Option<(TcpListener, PrometheusHandle)>> {
    let Some(address) = settings.listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another --listen"))?;
    let address = listener.local_addr().context("cannot listen")?;
    tracing::info!(%address, "serving /metrics, /health and /ready");
    Ok(Some((listener, metric::install(names::METRICS)?)))
}

/// Answers requests without an end.
pub async fn serve(listener: TcpListener, monitor: Monitor) {
    let prometheus = monitor.prometheus.clone();
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .with_state(Arc::new(monitor));
    let upkeep = async {
        let mut ticks = interval(UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            prometheus.run_upkeep();
        }
    };
    tokio::select! {
        served = axum::serve(listener, router).into_future() => {
            if let Err(error) = served {
                tracing::error!(%error, "the server of metrics and health has ended");
            }
        }
        () = upkeep => {}
    }
}

/// The answer of `/health`.
#[derive(Serialize)]
struct MonitoredHealth {
    #[serde(flatten)]
    health: Health,
    /// Unresolved rows of `chain.dead_letter`; null if the database doesn't answer.
    dead_letters: Option<i64>,
}

async fn health(State(monitor): State<Arc<Monitor>>) -> Json<MonitoredHealth> {
    Json(MonitoredHealth {
        health: monitor.status.health(),
        dead_letters: open_dead_letters(&monitor.db).await,
    })
}

async fn ready(State(monitor): State<Arc<Monitor>>) -> (StatusCode, Json<Readiness>) {
    let reason = monitor.status.health().unready_reason(monitor.ready_age);
    let status = match reason {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let ready = reason.is_none();
    (status, Json(Readiness { ready, reason }))
}

async fn metrics(State(monitor): State<Arc<Monitor>>) -> impl IntoResponse {
    let health = monitor.status.health();
    let is_ready = health.unready_reason(monitor.ready_age).is_none();
    gauge!(names::READY).set(f64::from(u8::from(is_ready)));
    for (name, value) in [
        (names::SLOT, health.slot),
        (names::TIP_SLOT, health.tip_slot),
        (names::LAG_SLOTS, health.lag_slots),
    ] {
        gauge!(name).set(value.unwrap_or_default() as f64);
    }
    gauge!(names::AGE_SECONDS).set(health.age_secs.unwrap_or_default());
    // If the database doesn't answer, the number stays as it was.
    if let Some(letters) = open_dead_letters(&monitor.db).await {
        gauge!(names::DEAD_LETTERS).set(letters as f64);
    }
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, format)], monitor.prometheus.render())
}

/// Number of unresolved dead letters. `None` if the database doesn't answer.
async fn open_dead_letters(db: &PgPool) -> Option<i64> {
    let count =
        sqlx::query_scalar("select count(*) from chain.dead_letter where resolved_at is null");
    let letters = timeout(DATABASE_TIMEOUT, count.fetch_one(db)).await;
    letters.ok()?.ok()
}
