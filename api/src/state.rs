//! State shared by all handlers.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{counters::Counters, feed::Feed, transactions::Chain};

/// Number of expensive queries that may run at the same time.
const MAX_EXPENSIVE_QUERIES: usize = 4;

/// State shared by all handlers.
#[derive(Clone)]
pub struct AppState {
    pub db: PgPool,
    /// The RPC node from which transactions are built.
    pub chain: Arc<Chain>,
    pub feed: Arc<Feed>,
    pub counters: Arc<Counters>,
    /// Permits for expensive queries.
    pub expensive_queries: Arc<Semaphore>,
    /// Tasks of the open WebSockets.
    pub sockets: TaskTracker,
    /// Cancelled when the process shuts down.
    pub shutdown: CancellationToken,
}

impl AppState {
    pub fn new(db: PgPool, chain: Chain, shutdown: CancellationToken) -> Self {
        Self {
            db,
            chain: Arc::new(chain),
            feed: Arc::new(Feed::new()),
            counters: Arc::default(),
            expensive_queries: Arc::new(Semaphore::new(MAX_EXPENSIVE_QUERIES)),
            sockets: TaskTracker::new(),
            shutdown,
        }
    }
}
