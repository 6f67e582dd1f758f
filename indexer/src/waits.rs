//! Long waits, which tests shorten.

use std::{sync::OnceLock, time::Duration};

/// Environment variable with the number by which long waits are divided.
const VARIABLE: &str = "DRIFTSHIELD_TIME_SCALE";

/// A wait for a service that may no longer answer, or before another attempt.
pub fn scaled(wait: Duration) -> Duration {
    static SCALE: OnceLock<u32> = OnceLock::new();
    let scale = SCALE.get_or_init(|| {
        let given = std::env::var(VARIABLE).ok();
        let scale = given.and_then(|scale| scale.parse().ok());
        scale.filter(|scale| 0 < *scale).unwrap_or(1)
    });
    wait / *scale
}
