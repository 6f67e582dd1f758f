//! Removal of what readers no longer need.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use sqlx::PgConnection;

use crate::ranks;

/// Time for which replaced ranks are kept. The pages of a sorted list are of one moment, for ten
/// minutes.
const RANKS: Duration = Duration::from_secs(15 * 60);
/// Most rows that one statement removes.
const CHUNK: i64 = 20_000;
/// Time between two removals.
const INTERVAL: Duration = Duration::from_secs(60);

/// When the feed reached which `seq`, as far as this process has seen it.
pub struct Retention {
    /// Time for which records of the feed are kept, so that a client can resume.
    feed_age: Duration,
    /// Once an interval, oldest first.
    marks: VecDeque<(Instant, i64)>,
}

impl Retention {
    pub fn new(feed_age: Duration) -> Self {
        Self {
            feed_age,
            marks: VecDeque::new(),
        }
    }

    /// Notes the feed's `seq`. Returns whether it is time to remove something.
    pub fn mark(&mut self, now: Instant, seq: i64) -> bool {
        // Another process has made the mirror anew.
        if self.marks.back().is_some_and(|(_, last)| seq < *last) {
            self.marks.clear();
        }
        let last = self.marks.back();
        if last.is_some_and(|(at, _)| now.duration_since(*at) < INTERVAL) {
            return false;
        }
        self.marks.push_back((now, seq));
        true
    }

    /// Removes what is older than it must be kept.
    pub async fn remove_old(
        &mut self,
        now: Instant,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        if let Some(seq) = self.reached_before(now, RANKS) {
            ranks::remove_past(connection, seq, CHUNK).await?;
        }
        if let Some(seq) = self.reached_before(now, self.feed_age) {
            sqlx::query(
                "delete from chain.feed where seq in (
                   select seq from chain.feed where seq <= $1 order by seq limit $2)",
            )
            .bind(seq)
            .bind(CHUNK)
            .execute(connection)
            .await?;
            let kept = self.feed_age + INTERVAL;
            self.marks.retain(|(at, _)| now.duration_since(*at) < kept);
        }
        Ok(())
    }

    /// The `seq` that the feed had this long ago or longer.
    fn reached_before(&self, now: Instant, age: Duration) -> Option<i64> {
        let mut marks = self.marks.iter().rev();
        let found = marks.find(|(at, _)| age <= now.duration_since(*at));
        found.map(|(_, seq)| *seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_enough_is_removed() {
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let mut retention = Retention::new(Duration::from_secs(600));
        assert!(retention.mark(start, 10));
        assert!(!retention.mark(after(59), 11));
        assert!(retention.mark(after(60), 12));
        let reached = |secs| retention.reached_before(after(secs), Duration::from_secs(100));
        assert_eq!(reached(99), None);
        assert_eq!(reached(100), Some(10));
        assert_eq!(reached(159), Some(10));
        assert_eq!(reached(160), Some(12));
        // The feed of a new mirror
        assert!(retention.mark(after(161), 3));
        let reached = retention.reached_before(after(300), Duration::from_secs(100));
        assert_eq!(reached, Some(3));
    }
}
