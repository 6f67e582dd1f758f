//! State shared by all handlers.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admission::RateLimiter, cache::Answers, config::Settings, connections::Connections, feed::Feed,
    socket::hub::Hub, transactions::Chain,
};

/// Number of requests that may read the database or wait for a connection to it.
const MAX_READS: usize = 200;

/// State shared by all handlers.
#[derive(Clone)]
pub struct AppState {
    pub db: PgPool,
    /// The RPC node from which transactions are built.
    pub chain: Arc<Chain>,
    pub feed: Arc<Feed>,
    /// Hands the feed on to the sockets.
    pub hub: Arc<Hub>,
    /// Answers that can be given again.
    pub answers: Arc<Answers>,
    /// Permits to read the database in a request.
    pub reads: Arc<Semaphore>,
    /// `None` without a limit.
    pub rate_limiter: Option<Arc<RateLimiter>>,
    pub connections: Arc<Connections>,
    /// Longest time that a request waits for its `min_slot`.
    pub min_slot_wait: Duration,
    /// Age of the data up to which the service is ready.
    pub ready_age: Duration,
    /// Tasks of the open WebSockets.
    pub sockets: TaskTracker,
    /// Cancelled when the process shuts down.
    pub shutdown: CancellationToken,
}

impl AppState {
    pub fn new(db: PgPool, settings: &Settings, shutdown: CancellationToken) -> Self {
        Self {
            db,
            chain: Arc::new(Chain::new(&settings.chain, settings.min_slot_wait)),
            feed: Arc::new(Feed::new()),
            hub: Arc::default(),
            answers: Arc::new(Answers::new(settings.cache_bytes)),
            reads: Arc::new(Semaphore::new(MAX_READS)),
            rate_limiter: settings.rate.map(|rate| Arc::new(RateLimiter::new(rate))),
            connections: Connections::new(settings.connections),
            min_slot_wait: settings.min_slot_wait,
            ready_age: settings.ready_age,
            sockets: TaskTracker::new(),
            shutdown,
        }
    }
}
