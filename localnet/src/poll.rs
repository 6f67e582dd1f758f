//! Polling of services until they are ready.

use std::time::Duration;

use backon::ConstantBuilder;

const INTERVAL: Duration = Duration::from_millis(50);

/// Retries every 50 ms. Gives up after `timeout`, not counting the time that the attempts
/// themselves take.
pub fn schedule(timeout: Duration) -> ConstantBuilder {
    let retries = timeout.as_millis() / INTERVAL.as_millis();
    ConstantBuilder::default()
        .with_delay(INTERVAL)
        .with_max_times(usize::try_from(retries).unwrap_or(usize::MAX))
}
