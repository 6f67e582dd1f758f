//! Delays before retries.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Delays of 1 s, 2 s, 4 s and so on, up to `max_delay`, without end.
pub fn exponential_backoff(max_delay: Duration) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(max_delay)
        .without_max_times()
        .build()
}
