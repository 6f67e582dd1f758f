//! What the process is doing, for its health, its readiness and its metrics.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use metrics::histogram;
use serde::Serialize;

use crate::{cursor::Cursor, metrics::SLOT_TO_ROW_SECONDS};

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It connects to the database.
    Starting,
    /// Another process holds the writer lock.
    StandingBy,
    /// It applies the slots that it missed.
    CatchingUp,
    /// It reads past slots, or slots that the source lacks, from the RPC node.
    Filling,
    /// It applies each slot as it comes.
    Following,
    /// It was interrupted and connects again.
    Retrying,
}

/// The last interruption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub message: String,
    pub at: DateTime<Utc>,
}

/// Status of the process, which its tasks share.
pub struct Status(Mutex<Inner>);

struct Inner {
    state: State,
    last_error: Option<Failure>,
    /// The cursor as last committed; `None` if the mirror is empty, and until it was read.
    cursor: Option<Cursor>,
    /// Whether only finalized slots are applied.
    holds_back: bool,
    /// Slots of the stream that are not committed, each with the time of its last message.
    arrived: VecDeque<(i64, Instant)>,
}

impl Default for Status {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            state: State::Starting,
            last_error: None,
            cursor: None,
            holds_back: false,
            arrived: VecDeque::new(),
        }))
    }
}

impl Status {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn enter(&self, state: State) {
        self.lock().state = state;
    }

    /// Whether the process follows the source and the mirror has all accounts.
    pub fn is_settled(&self) -> bool {
        let inner = self.lock();
        let cursor = inner.cursor.as_ref();
        inner.state == State::Following
            && cursor.is_some_and(|cursor| cursor.settled_slot.is_some())
    }

    /// Records an interruption. The slots of its stream arrive again.
    pub fn interrupt(&self, message: String) {
        let at = Utc::now();
        let mut inner = self.lock();
        inner.state = State::Retrying;
        inner.last_error = Some(Failure { message, at });
        inner.arrived.clear();
    }

    /// Records that all messages of a slot have arrived.
    pub fn arrive(&self, slot: i64) {
        self.lock().arrived.push_back((slot, Instant::now()));
    }

    /// Whether the mirror has reached a slot.
    pub fn has_committed(&self, slot: i64) -> bool {
        let inner = self.lock();
        let cursor = inner.cursor.as_ref();
        cursor.is_some_and(|cursor| slot <= cursor.slot)
    }

    /// Records whether only finalized slots are applied.
    pub fn hold_back(&self, holds_back: bool) {
        self.lock().holds_back = holds_back;
    }

    /// Whether only finalized slots are applied.
    pub fn holds_back(&self) -> bool {
        self.lock().holds_back
    }

    /// Records the cursor of the database.
    pub fn observe(&self, cursor: Option<&Cursor>) {
        self.lock().cursor = cursor.cloned();
    }

    /// Records the cursor of a commit, and how long its slots took.
    pub fn commit(&self, cursor: &Cursor) {
        let mut inner = self.lock();
        let before = inner.cursor.replace(cursor.clone());
        while let Some((slot, at)) = inner.arrived.front().copied()
            && slot <= cursor.slot
        {
            inner.arrived.pop_front();
            // Slots that the stream repeats are committed already.
            if before.as_ref().is_none_or(|before| before.slot < slot) {
                histogram!(SLOT_TO_ROW_SECONDS).record(at.elapsed());
            }
        }
    }

    pub fn health(&self) -> Health {
        let inner = self.lock();
        let cursor = inner.cursor.as_ref();
        // Before, the mirror knows of no tip.
        let following = cursor.filter(|cursor| cursor.is_following);
        Health {
            state: inner.state,
            slot: cursor.map(|cursor| cursor.slot),
            tip_slot: following.map(|cursor| cursor.tip_slot),
            lag_slots: following.map(Cursor::lag_slots),
            age_secs: following.map(|cursor| age(cursor, Utc::now()).as_secs_f64()),
            settled_slot: cursor.and_then(|cursor| cursor.settled_slot),
            last_error: inner.last_error.clone(),
        }
    }
}

/// Age of the mirror's data; zero if clocks differ.
fn age(cursor: &Cursor, now: DateTime<Utc>) -> Duration {
    (now - cursor.as_of()).to_std().unwrap_or_default()
}

/// The answer of `/health`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    pub state: State,
    /// Last applied slot; null if the mirror is empty.
    pub slot: Option<i64>,
    /// Newest slot that the source has reached.
    pub tip_slot: Option<i64>,
    pub lag_slots: Option<i64>,
    /// Age of the data in seconds.
    pub age_secs: Option<f64>,
    /// Slot at which the mirror last had all accounts; null while it may miss some.
    pub settled_slot: Option<i64>,
    /// The last interruption, which may be over; null if there was none.
    pub last_error: Option<Failure>,
}

impl Health {
    /// Why the process isn't ready; `None` if it is.
    pub fn unready_reason(&self, max_age: Duration) -> Option<String> {
        let lag = self.lag_slots.unwrap_or_default();
        let reason = match self.state {
            State::Following if self.settled_slot.is_none() => {
                "it reads accounts that the mirror can miss from the RPC node".to_owned()
            }
            State::Following => {
                let age = self.age_secs.unwrap_or(f64::INFINITY);
                return (max_age.as_secs_f64() < age).then(|| {
                    format!(
                        "the data is {age:.1} s old, more than {} s, and {lag} slots behind the source",
                        max_age.as_secs()
                    )
                });
            }
            State::Starting => "it connects to the database".to_owned(),
            State::StandingBy => "another indexer holds the writer lock".to_owned(),
            State::CatchingUp => format!("it catches up with the source, {lag} slots behind"),
            State::Filling => "it reads what the source lacks from the RPC node".to_owned(),
            State::Retrying => {
                let error = self.last_error.as_ref();
                let message = error.map_or("an error", |error| &error.message);
                format!("it tries again after: {message}")
            }
        };
        Some(reason)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::slot::SealedSlot;

    fn cursor(slot: i64, tip_slot: i64, block_time: Option<i64>) -> Cursor {
        let at = |secs| DateTime::from_timestamp(secs, 0).expect("a time");
        Cursor {
            epoch: 1,
            slot,
            blockhash: [0; 32],
            block_time: block_time.map(at),
            seq: 0,
            finalized_slot: 0,
            tip_slot,
            tip_at: at(1_000),
            settled_slot: Some(0),
            history_from: 0,
            is_following: true,
            block_time_tolerance: TimeDelta::seconds(200),
        }
    }

    #[test]
    fn the_age_counts_from_the_cursor_s_time_and_is_never_negative() {
        let age = |slot, block_time, now| {
            let now = DateTime::from_timestamp(now, 0).expect("a time");
            age(&cursor(slot, 20, block_time), now).as_secs()
        };
        assert_eq!(age(20, Some(900), 1_003), 3);
        assert_eq!(age(19, Some(900), 1_003), 103);
        assert_eq!(age(20, Some(799), 1_003), 204);
        assert_eq!(age(20, None, 990), 0);
    }

    #[test]
    fn a_catch_up_on_blocks_without_time_is_not_ready() {
        let now = Utc::now();
        let mut cursor = Cursor {
            tip_slot: 20,
            tip_at: now,
            block_time: Some(now - TimeDelta::seconds(60)),
            ..cursor(10, 20, None)
        };
        let status = Status::default();
        status.enter(State::Following);
        let next = crate::lives::test_data::slot(11, vec![], vec![]);
        cursor.advance(&SealedSlot {
            block_time: None,
            ..next
        });
        status.commit(&cursor);
        let reason = status.health().unready_reason(Duration::from_secs(30));
        assert!(reason.is_some_and(|reason| reason.contains("60.")));
    }

    #[test]
    fn only_a_process_that_follows_recent_slots_is_ready() {
        let status = Status::default();
        let reason = || status.health().unready_reason(Duration::from_secs(30));
        let named = |part: &str| reason().is_some_and(|reason| reason.contains(part));
        assert!(named("database"));
        status.enter(State::StandingBy);
        assert!(named("writer lock"));
        status.observe(Some(&cursor(17, 20, None)));
        status.enter(State::CatchingUp);
        assert!(named("3 slots behind"));
        status.enter(State::Filling);
        assert!(named("RPC node"));
        status.enter(State::Following);
        assert!(named("more than 30 s, and 3 slots behind"));
        let recent = Cursor {
            tip_at: Utc::now(),
            ..cursor(20, 20, None)
        };
        status.commit(&recent);
        assert_eq!(reason(), None);
        assert!(status.is_settled());
        status.commit(&Cursor {
            settled_slot: None,
            ..recent
        });
        assert!(named("the mirror can miss"));
        assert!(!status.is_settled());
        status.interrupt("the stream ended".to_owned());
        assert!(named("the stream ended"));
        assert_eq!(status.health().slot, Some(20));
    }

    #[test]
    fn a_commit_counts_the_slots_that_arrived_and_were_not_committed_before() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let counted = || {
            let exposed = recorder.handle().render();
            let name = format!("{SLOT_TO_ROW_SECONDS}_count ");
            let count = exposed.lines().find_map(|line| line.strip_prefix(&name));
            count.map_or(0, |count| count.parse::<u64>().expect("a number"))
        };
        metrics::with_local_recorder(&recorder, || {
            let status = Status::default();
            status.observe(Some(&cursor(10, 20, None)));
            for slot in [10, 11, 13, 14] {
                status.arrive(slot);
            }
            status.commit(&cursor(13, 20, None));
            assert_eq!(counted(), 2);
            status.commit(&cursor(14, 20, None));
            assert_eq!(counted(), 3);
            status.arrive(15);
            status.interrupt(String::new());
            status.commit(&cursor(15, 20, None));
            assert_eq!(counted(), 3);
        });
    }
}
