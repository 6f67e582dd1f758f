//! Polling of services until they are ready.

use std::time::Duration;

use backon::ConstantBuilder;

const INTERVAL: Duration = Duration::from_millis(50);

/// A retry every 50 ms until `timeout`. The timeout does not count the time that the attempts
/// take.
pub fn schedule(timeout: Duration) -> ConstantBuilder {
    let retries = timeout.as_millis() / INTERVAL.as_millis();
    ConstantBuilder::default()
        .with_delay(INTERVAL)
        .with_max_times(usize::try_from(retries).unwrap_or(usize::MAX))
}
