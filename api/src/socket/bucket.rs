//! Token bucket: limits how often a client may send messages.

use std::time::{Duration, Instant};

use super::limits::{MESSAGE_BURST, MESSAGES_PER_SECOND};

/// Time in which a message becomes allowed again.
const REFILL: Duration = Duration::from_nanos(1_000_000_000 / MESSAGES_PER_SECOND as u64);

/// Full at first.
pub struct TokenBucket {
    /// When the bucket is, or was, full.
    full_at: Instant,
}

impl TokenBucket {
    pub fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    ///
    /// The time until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + REFILL;
        let excess = full_at
            .duration_since(now)
            .saturating_sub(REFILL * MESSAGE_BURST);
        if !excess.is_zero() {
            return Err(excess);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_only_what_is_refilled() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(start);
        assert!((0..MESSAGE_BURST).all(|_| bucket.take(start).is_ok()));
        let wait = bucket.take(start).unwrap_err();
        assert_eq!(wait, REFILL);
        assert!(bucket.take(start + wait / 2).is_err());
        assert!(bucket.take(start + wait).is_ok());
        assert!(bucket.take(start + wait).is_err());
        let rested = start + REFILL * MESSAGE_BURST * 2;
        assert!((0..MESSAGE_BURST).all(|_| bucket.take(rested).is_ok()));
        assert!(bucket.take(rested).is_err());
    }
}
