//! Metrics endpoint, for Prometheus.

use std::fmt::Write;

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{feed::STALE_AFTER, mirror::MirrorStatus, state::AppState};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Metrics in the Prometheus text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
async fn metrics(State(app): State<AppState>) -> String {
    let mut text = String::new();
    push_database(&mut text, &app);
    push_sockets(&mut text, &app);
    push_requests(&mut text, &app);
    text
}

fn push_database(text: &mut String, app: &AppState) {
    let up = app.feed.is_connected().into();
    let help = format!(
        "Whether the database has answered within the last {} s.",
        STALE_AFTER.as_secs()
    );
    push_metric(text, "database_up", "gauge", &help, up);
    if let Some(mirror) = app.feed.mirror() {
        for (name, help, value) in mirror_gauges(&mirror) {
            push_metric(text, name, "gauge", help, value);
        }
    }
    let help = "Open connections to the database.";
    push_metric(
        text,
        "pool_connections",
        "gauge",
        help,
        app.db.size().into(),
    );
    let help = "Idle database connections in the pool.";
    let idle = saturating_i64(app.db.num_idle());
    push_metric(text, "pool_idle_connections", "gauge", help, idle);
}

fn mirror_gauges(mirror: &MirrorStatus) -> [(&'static str, &'static str, i64); 9] {
    [
        ("mirror_epoch", "Epoch of the mirror.", mirror.epoch),
        ("mirror_slot", "Latest mirrored slot.", mirror.slot),
        (
            "mirror_finalized_slot",
            "Latest finalized slot.",
            mirror.finalized_slot,
        ),
        (
            "mirror_lag_slots",
            "Slots by which the mirror is behind its source.",
            mirror.lag_slots,
        ),
        (
            "mirror_seq",
            "Sequence number of the latest record of the feed.",
            mirror.seq,
        ),
        (
            "mirror_age_milliseconds",
            "Age of the data in milliseconds.",
            mirror.age_ms,
        ),
        (
            "mirror_settling",
            "Whether accounts may be newer than the events.",
            mirror.settling.into(),
        ),
        (
            "mirror_open_gaps",
            "Ranges of slots that the mirror will still get.",
            mirror.open_gaps,
        ),
        (
            "mirror_lost_gaps",
            "Ranges of slots that no source has any more.",
            mirror.lost_gaps,
        ),
    ]
}

fn push_sockets(text: &mut String, app: &AppState) {
    let open = saturating_i64(app.sockets.len());
    push_metric(text, "sockets", "gauge", "Open WebSockets.", open);
    let slow = saturating_i64(app.counters.slow_sockets());
    let help = "WebSockets closed because the client was too slow.";
    push_metric(text, "slow_sockets_total", "counter", help, slow);
}

fn push_requests(text: &mut String, app: &AppState) {
    let name = "driftshield_api_requests_total";
    let _ = writeln!(
        text,
        "# HELP {name} Requests by route and status.\n# TYPE {name} counter"
    );
    for ((route, status), count) in &*app.counters.requests() {
        let _ = writeln!(
            text,
            "{name}{{route=\"{route}\",status=\"{status}\"}} {count}"
        );
    }
}

/// Appends a metric without labels.
fn push_metric(text: &mut String, name: &str, kind: &str, help: &str, value: i64) {
    let name = format!("driftshield_api_{name}");
    let _ = writeln!(
        text,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
    );
}

fn saturating_i64<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
