//! Prometheus metrics of the process. `docs/api.md` lists them.

use std::time::{Duration, Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use driftshield_service::metric::{
    Kind::{Counter as IsCounter, Gauge as IsGauge, Histogram as IsHistogram},
    Metric,
};
use metrics::{Counter, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{health::degraded_reason, mirror::MirrorStatus, state::AppState};

pub const REQUESTS: &str = "driftshield_api_requests_total";
pub const REQUEST_SECONDS: &str = "driftshield_api_request_seconds";
pub const CACHED: &str = "driftshield_api_cached_answers_total";
pub const CACHE_BYTES: &str = "driftshield_api_cache_bytes";
pub const REFUSED_CONNECTIONS: &str = "driftshield_api_refused_connections_total";
pub const CONNECTIONS: &str = "driftshield_api_connections";
pub const SOCKETS: &str = "driftshield_api_sockets";
pub const SLOW_SOCKETS: &str = "driftshield_api_slow_sockets_total";
pub const DATABASE_UP: &str = "driftshield_api_database_up";
pub const POOL_CONNECTIONS: &str = "driftshield_api_pool_connections";
pub const POOL_IDLE: &str = "driftshield_api_pool_idle_connections";
pub const READY: &str = "driftshield_api_ready";
pub const MIRROR_EPOCH: &str = "driftshield_api_mirror_epoch";
pub const MIRROR_SLOT: &str = "driftshield_api_mirror_slot";
pub const MIRROR_FINALIZED_SLOT: &str = "driftshield_api_mirror_finalized_slot";
pub const MIRROR_LAG_SLOTS: &str = "driftshield_api_mirror_lag_slots";
pub const MIRROR_SEQ: &str = "driftshield_api_mirror_seq";
pub const MIRROR_AGE_SECONDS: &str = "driftshield_api_mirror_age_seconds";
pub const MIRROR_SETTLING: &str = "driftshield_api_mirror_settling";
pub const MIRROR_OPEN_GAPS: &str = "driftshield_api_mirror_open_gaps";
pub const MIRROR_LOST_GAPS: &str = "driftshield_api_mirror_lost_gaps";

/// All metrics, in the order of the documentation.
pub const METRICS: &[Metric] = &[
    Metric::new(
        REQUESTS,
        IsCounter,
        "Requests by route and HTTP status. A path that is no route has the route `none`.",
    )
    .labelled(&[("route", &[]), ("status", &[])]),
    Metric::new(
        REQUEST_SECONDS,
        IsHistogram(&[
            0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
        ]),
        "Seconds from a request's headers to the headers of its answer.",
    )
    .labelled(&[("route", &[])]),
    Metric::new(
        CACHED,
        IsCounter,
        "Reads by where the answer came from: the cache, or the database.",
    )
    .labelled(&[("from", &["cache", "database"])]),
    Metric::new(CACHE_BYTES, IsGauge, "Memory of the cached answers."),
    Metric::new(
        CONNECTIONS,
        IsGauge,
        "Open connections, WebSockets included.",
    ),
    Metric::new(
        REFUSED_CONNECTIONS,
        IsCounter,
        "Connections that were closed at once, because their address, or all together, had too many.",
    ),
    Metric::new(SOCKETS, IsGauge, "Open WebSockets."),
    Metric::new(
        SLOW_SOCKETS,
        IsCounter,
        "WebSockets closed because the client was too slow.",
    ),
    Metric::new(
        DATABASE_UP,
        IsGauge,
        "1 if the database has answered within the last 2 s, else 0.",
    ),
    Metric::new(
        POOL_CONNECTIONS,
        IsGauge,
        "Open connections to the database.",
    ),
    Metric::new(POOL_IDLE, IsGauge, "Idle connections to the database."),
    Metric::new(
        READY,
        IsGauge,
        "1 if `/health/readiness` answers 200, 0 if it doesn't.",
    ),
    Metric::new(MIRROR_EPOCH, IsGauge, "Epoch of the mirror."),
    Metric::new(MIRROR_SLOT, IsGauge, "Latest mirrored slot."),
    Metric::new(MIRROR_FINALIZED_SLOT, IsGauge, "Latest finalized slot."),
    Metric::new(
        MIRROR_LAG_SLOTS,
        IsGauge,
        "Slots by which the mirror is behind its source.",
    ),
    Metric::new(
        MIRROR_SEQ,
        IsGauge,
        "Number of the latest record of the feed.",
    ),
    Metric::new(MIRROR_AGE_SECONDS, IsGauge, "Age of the data in seconds."),
    Metric::new(
        MIRROR_SETTLING,
        IsGauge,
        "1 while the mirror still reads accounts that it has missed.",
    ),
    Metric::new(
        MIRROR_OPEN_GAPS,
        IsGauge,
        "Ranges of slots that the mirror will still get.",
    ),
    Metric::new(
        MIRROR_LOST_GAPS,
        IsGauge,
        "Ranges of slots that no source has any more.",
    ),
];

/// Requests of a route that are answered from the cache before anything else is done for them.
pub struct CachedRequests {
    cached: Counter,
    seconds: Histogram,
    ok: Counter,
    not_modified: Counter,
}

impl CachedRequests {
    pub fn of(route: &str) -> Self {
        let requests = |status| counter!(REQUESTS, "route" => route.to_owned(), "status" => status);
        Self {
            cached: counter!(CACHED, "from" => "cache"),
            seconds: histogram!(REQUEST_SECONDS, "route" => route.to_owned()),
            ok: requests("200"),
            not_modified: requests("304"),
        }
    }

    /// Counts a request, and the time until its answer.
    pub fn record(&self, status: StatusCode, time: Duration) {
        self.cached.increment(1);
        self.seconds.record(time);
        let requests = match status {
            StatusCode::NOT_MODIFIED => &self.not_modified,
            _ => &self.ok,
        };
        requests.increment(1);
    }
}

/// Counts a request by route and status, and the time until its answer.
pub async fn record_request(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route
        .as_ref()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    histogram!(REQUEST_SECONDS, "route" => route.clone()).record(start.elapsed());
    let status = response.status().as_u16().to_string();
    counter!(REQUESTS, "route" => route, "status" => status).increment(1);
    response
}

/// Metrics in the Prometheus text format.
pub async fn exposition(
    State((app, prometheus)): State<(AppState, PrometheusHandle)>,
) -> impl IntoResponse {
    record_gauges(&app);
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, format)], prometheus.render())
}

fn record_gauges(app: &AppState) {
    let flag = |name, is_set: bool| gauge!(name).set(f64::from(u8::from(is_set)));
    flag(DATABASE_UP, app.feed.is_connected());
    flag(READY, degraded_reason(app).is_none());
    gauge!(CACHE_BYTES).set(app.answers.size() as f64);
    gauge!(CONNECTIONS).set(app.connections.len() as f64);
    gauge!(SOCKETS).set(app.sockets.len() as f64);
    counter!(SLOW_SOCKETS).absolute(app.hub.slow());
    gauge!(POOL_CONNECTIONS).set(app.db.size());
    gauge!(POOL_IDLE).set(app.db.num_idle() as f64);
    if let Some(mirror) = app.feed.mirror() {
        record_mirror(&mirror);
    }
}

fn record_mirror(mirror: &MirrorStatus) {
    for (name, value) in [
        (MIRROR_EPOCH, mirror.epoch),
        (MIRROR_SLOT, mirror.slot),
        (MIRROR_FINALIZED_SLOT, mirror.finalized_slot),
        (MIRROR_LAG_SLOTS, mirror.lag_slots),
        (MIRROR_SEQ, mirror.seq),
        (MIRROR_SETTLING, mirror.settling.into()),
        (MIRROR_OPEN_GAPS, mirror.open_gaps),
        (MIRROR_LOST_GAPS, mirror.lost_gaps),
    ] {
        gauge!(name).set(value as f64);
    }
    gauge!(MIRROR_AGE_SECONDS).set(mirror.age_ms as f64 / 1000.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/api.md");

    #[test]
    fn the_page_lists_exactly_the_metrics_of_the_process() {
        let rows: Vec<_> = METRICS.iter().map(Metric::row).collect();
        let listed = PAGE.lines().filter(|line| line.starts_with("| `drift"));
        assert_eq!(listed.collect::<Vec<_>>(), rows);
    }
}
