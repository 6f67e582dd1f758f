//! Counters since the process started, for the metrics endpoint.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};

/// Number of requests by route and HTTP status.
type RequestCounts = BTreeMap<(String, u16), u64>;

/// Counters since the process started.
#[derive(Default)]
pub struct Counters {
    requests: Mutex<RequestCounts>,
    slow_sockets: AtomicU64,
}

impl Counters {
    pub fn requests(&self) -> MutexGuard<'_, RequestCounts> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of WebSockets closed because the client was too slow.
    pub fn slow_sockets(&self) -> u64 {
        self.slow_sockets.load(Ordering::Relaxed)
    }

    /// Counts a WebSocket that was closed because the client was too slow.
    pub fn count_slow_socket(&self) {
        self.slow_sockets.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts every request by route and status. A request without a route has the route `none`.
pub async fn count_requests(
    State(counters): State<Arc<Counters>>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    *counters.requests().entry((route, status)).or_default() += 1;
    response
}
