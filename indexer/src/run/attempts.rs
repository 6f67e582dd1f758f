//! What the next attempt does differently because of the attempts before.

use std::time::{Duration, Instant};

use super::error::RunError;
use crate::{
    apply::ApplyError, history::HistoryError, poll::PollError, rpc::ReadError, stream::StreamError,
    waits::scaled,
};

/// Number of refused replays after which the slots are fetched from the RPC node instead.
const MAX_REFUSALS: u32 = 2;
/// Number of times that messages of the same slot come late, after which its block is fetched from the RPC
/// node instead.
const MAX_LATE: u32 = 2;
/// Time, and number of attempts, after which blocks count as gone that the RPC node lacks, although it says
/// that it has them. The loss is for good, so that nodes behind one address have the time to catch up.
const MISSING_TIMEOUT: Duration = Duration::from_secs(300);
const MIN_MISSING: u32 = 5;
/// Time that the gRPC servers fail after which the RPC node is polled.
const GRPC_TIMEOUT: Duration = Duration::from_secs(60);
/// First time between two looks at the gRPC servers meanwhile, and how often it doubles at most.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
const MAX_DOUBLINGS: u32 = 5;

/// What is known from the attempts so far.
#[derive(Default)]
pub struct Attempts {
    /// Index of the gRPC server to use.
    pub server: usize,
    /// Whether the RPC node is polled because the gRPC servers fail.
    pub is_polling: bool,
    /// Whether the end of a stream was reached once: then the configuration is right.
    has_worked: bool,
    /// Highest slot of the mirror after an attempt.
    reached: Option<i64>,
    hindrances: Hindrances,
    /// Since when no gRPC server has brought the mirror further.
    failing_since: Option<Instant>,
    /// Number of times since then that a server seemed to work again.
    recoveries: u32,
    /// Number of servers in a row that refused to be followed, in a way that a retry can't change.
    refused: usize,
}

/// What kept the attempts since the last progress from going on.
#[derive(Default)]
struct Hindrances {
    /// Number of times that a server refused to replay slots.
    refusals: u32,
    /// When the RPC node first lacked blocks that it says it has, and how often it did.
    missing: Option<(Instant, u32)>,
    /// The last slot with messages that came late, and how often in a row they did.
    late: Option<(i64, u32)>,
}

/// How far an attempt got with its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reached {
    /// Nothing shows that it is of the mirrored chain.
    #[default]
    Nothing,
    /// A slot that continues the mirror.
    Linked,
    /// Its end, once.
    End,
}

/// How to go on after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    Soon,
    /// After the longest pause: another attempt succeeds only once somebody has changed something.
    Slowly,
    /// Not at all: the configuration makes it impossible.
    Never,
}

impl Attempts {
    /// Whether to subscribe without a replay.
    pub fn is_live(&self) -> bool {
        let Hindrances { refusals, late, .. } = self.hindrances;
        MAX_REFUSALS <= refusals || late.is_some_and(|(_, times)| MAX_LATE <= times)
    }

    /// Whether blocks that the RPC node lacks count as gone, although it says that it has them.
    pub fn accepts_loss(&self, now: Instant) -> bool {
        self.hindrances.missing.is_some_and(|(since, times)| {
            MIN_MISSING <= times && scaled(MISSING_TIMEOUT) <= now - since
        })
    }

    /// The last slot whose messages were late or missing, if the mirror has not got beyond it.
    pub fn late_slot(&self) -> Option<i64> {
        self.hindrances.late.map(|(slot, _)| slot)
    }

    /// Time between two looks at the gRPC servers while the RPC node is polled. It doubles each time that a
    /// server seemed to work and didn't bring the mirror further.
    pub fn probe_interval(&self) -> Duration {
        scaled(PROBE_INTERVAL * 2u32.pow(self.recoveries.min(MAX_DOUBLINGS)))
    }

    /// Takes note of how far an attempt got: the mirror's slot, and its stream. Returns whether the mirror got
    /// further.
    pub fn get_to(&mut self, slot: Option<i64>, stream: Reached) -> bool {
        let is_further = self.reached < slot;
        if is_further {
            self.reached = slot;
            self.hindrances.missing = None;
            self.hindrances.late = None;
        }
        // Otherwise the mirror got further by blocks of the RPC node, or the stream goes nowhere.
        if is_further && Reached::Linked <= stream {
            self.hindrances.refusals = 0;
            if !self.is_polling {
                self.failing_since = None;
                self.recoveries = 0;
            }
        }
        if stream == Reached::End {
            self.has_worked = true;
            self.refused = 0;
        }
        is_further
    }

    /// Takes note of why an attempt ended at `now`.
    pub fn learn(&mut self, error: &RunError, servers: usize, now: Instant) -> Retry {
        let is_transient = error.is_transient();
        let is_refused = !is_transient && is_of_server(error);
        // Another server may accept what one refuses.
        self.refused = if is_refused { self.refused + 1 } else { 0 };
        if is_of_server(error) {
            self.server = (self.server + 1) % servers;
        }
        self.note(error, now);
        if is_transient || is_refused && self.refused < servers {
            Retry::Soon
        } else if self.has_worked || error.is_of_rpc() {
            Retry::Slowly
        } else {
            Retry::Never
        }
    }

    fn note(&mut self, error: &RunError, now: Instant) {
        // After a failure of the RPC node, a gRPC server has its turn.
        let was_polling = std::mem::take(&mut self.is_polling);
        if !was_polling && is_failure_of_server(error) {
            let since = *self.failing_since.get_or_insert(now);
            self.is_polling = scaled(GRPC_TIMEOUT) <= now - since;
        }
        let hindrances = &mut self.hindrances;
        match error {
            RunError::Stream(StreamError::NoReplay { .. }) => hindrances.refusals += 1,
            RunError::Recovered(server) => {
                self.server = *server;
                self.recoveries += 1;
            }
            RunError::Late(slot) => {
                let before = hindrances.late.filter(|(before, _)| before == slot);
                hindrances.late = Some((*slot, before.map_or(1, |(_, times)| times + 1)));
            }
            RunError::Missing(_)
            | RunError::Poll(PollError::Read(ReadError::NoBlock(_)))
            | RunError::History(HistoryError::Read(ReadError::NoBlock(_))) => {
                let (since, times) = hindrances.missing.unwrap_or((now, 0));
                hindrances.missing = Some((since, times + 1));
            }
            // A server may replay the slots by now.
            RunError::Read(_) => hindrances.refusals = 0,
            _ => {}
        }
    }
}

/// Whether a gRPC server doesn't work, or may be of another fork or cluster: the RPC node may bring the mirror
/// further. Slots that the server lacks are fetched from that node anyway.
fn is_failure_of_server(error: &RunError) -> bool {
    match error {
        RunError::Stream(StreamError::NoReplay { .. }) => false,
        RunError::Stream(_) | RunError::UnknownFork { .. } | RunError::RpcBehind(_) => true,
        RunError::Apply(ApplyError::Finalized { .. } | ApplyError::NotApplied(_)) => true,
        _ => false,
    }
}

/// Whether another gRPC server may show the slots as they are.
fn is_of_server(error: &RunError) -> bool {
    matches!(
        error,
        RunError::Stream(_)
            | RunError::Late(_)
            | RunError::UnknownFork { .. }
            | RunError::Filling(_)
            | RunError::Missing(_)
            | RunError::RpcBehind(_)
            | RunError::Apply(ApplyError::Finalized { .. } | ApplyError::NotApplied(_))
    )
}

#[cfg(test)]
mod tests {
    use yellowstone_grpc_proto::tonic::{Code, Status};

    use super::*;
    use crate::slot::SlotError;

    const MINUTE: Duration = Duration::from_secs(60);

    fn no_replay() -> RunError {
        RunError::Stream(StreamError::NoReplay {
            from_slot: 7,
            reason: String::new(),
        })
    }

    fn down() -> RunError {
        RunError::Stream(StreamError::Connect(String::new()))
    }

    fn refused(code: Code) -> RunError {
        let status = Status::new(code, "");
        RunError::Stream(StreamError::Status(Box::new(status)))
    }

    fn unreadable() -> RunError {
        let error = SlotError::NoInnerInstructions(String::new());
        RunError::Read(ReadError::Slot(error))
    }

    #[test]
    fn a_server_that_refuses_to_replay_is_followed_live_and_each_server_has_its_turn() {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        for (error, server, is_live) in [
            (no_replay(), 1, false),
            (RunError::Late(7), 2, false),
            (no_replay(), 0, true),
            (down(), 1, true),
            (RunError::Stopped, 1, true),
        ] {
            attempts.get_to(Some(7), Reached::Linked);
            attempts.learn(&error, 3, now);
            let learnt = (attempts.server, attempts.is_live());
            assert_eq!(learnt, (server, is_live), "{error}");
        }
        attempts.get_to(Some(8), Reached::Linked);
        assert!(!attempts.is_live());
    }

    #[test]
    fn a_server_that_is_down_does_not_hide_that_the_other_one_refuses_to_replay() {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        for error in [no_replay(), down(), no_replay(), down()] {
            attempts.learn(&error, 2, now);
        }
        assert_eq!((attempts.server, attempts.is_live()), (0, true));
    }

    #[test]
    fn a_server_of_another_cluster_does_not_hide_that_the_other_one_refuses_to_replay() {
        let (now, mut attempts) = (Instant::now(), Attempts::default());
        let other = || RunError::UnknownFork {
            slot: 9,
            parent_slot: 8,
        };
        // Blocks of the RPC node bring the mirror further meanwhile.
        for (slot, error) in [
            (6, other()),
            (6, no_replay()),
            (7, other()),
            (7, no_replay()),
        ] {
            attempts.get_to(Some(slot), Reached::Nothing);
            attempts.learn(&error, 2, now);
        }
        assert!(attempts.is_live());
        let later = now + 2 * MINUTE;
        attempts.get_to(Some(8), Reached::Nothing);
        attempts.learn(&other(), 2, later);
        assert!(attempts.is_polling);
    }

    #[test]
    fn a_slot_that_is_late_twice_comes_from_its_block() {
        let now = Instant::now();
        let mut attempts = Attempts::default();
        // The slot is undone before the attempt ends.
        for (slot, late, is_live) in [(6, 7, false), (8, 9, false), (8, 9, true), (9, 10, false)] {
            attempts.get_to(Some(slot), Reached::End);
            attempts.learn(&RunError::Late(late), 2, now);
            assert_eq!(attempts.late_slot(), Some(late));
            assert_eq!(attempts.is_live(), is_live, "{late}");
        }
    }

    #[test]
    fn blocks_count_as_gone_only_after_minutes_without_progress() {
        let begun = Instant::now();
        let lacking = [
            RunError::Missing(7),
            RunError::Poll(PollError::Read(ReadError::NoBlock(7))),
            RunError::History(HistoryError::Read(ReadError::NoBlock(7))),
        ];
        for error in lacking {
            let mut attempts = Attempts::default();
            let miss = |attempts: &mut Attempts, minutes| {
                let now = begun + minutes * MINUTE;
                attempts.learn(&error, 2, now);
                attempts.learn(&down(), 2, now);
                attempts.accepts_loss(now)
            };
            let accepted: Vec<_> = (0..7).map(|minutes| miss(&mut attempts, minutes)).collect();
            assert_eq!(accepted, [false, false, false, false, false, true, true]);
            attempts.get_to(Some(8), Reached::Linked);
            // A pause alone, such as that of a database, is no proof.
            assert!(!miss(&mut attempts, 7) && !miss(&mut attempts, 70));
        }
    }

    #[test]
    fn the_rpc_node_is_polled_after_a_minute_without_a_grpc_server_until_one_works() {
        let begun = Instant::now();
        let mut attempts = Attempts::default();
        let fail = |attempts: &mut Attempts, error: RunError, seconds| {
            attempts.learn(&error, 2, begun + Duration::from_secs(seconds));
            attempts.is_polling
        };
        assert!(!fail(&mut attempts, down(), 0));
        assert!(!fail(&mut attempts, down(), 59));
        assert!(fail(&mut attempts, down(), 60));
        // While the node is polled, progress is none of the servers'.
        attempts.get_to(Some(8), Reached::End);
        assert!(!fail(&mut attempts, RunError::Poll(PollError::Stalled), 70));
        assert!(fail(&mut attempts, down(), 71));
        assert!(!fail(&mut attempts, RunError::Recovered(1), 80));
        assert_eq!(attempts.server, 1);
        assert!(fail(&mut attempts, down(), 81));
        assert!(!fail(&mut attempts, RunError::Recovered(1), 90));
        attempts.get_to(Some(9), Reached::Linked);
        assert!(!fail(&mut attempts, down(), 200));
    }

    #[test]
    fn only_what_never_worked_ends_the_process() {
        let now = Instant::now();
        let other_chain = || {
            RunError::Apply(ApplyError::Finalized {
                ancestor: 6,
                finalized_slot: 7,
            })
        };
        let mut attempts = Attempts::default();
        // Each server is asked before it is hopeless, and one that is down may accept what the other refuses.
        let unauthenticated = || refused(Code::Unauthenticated);
        for (error, retry) in [
            (unauthenticated(), Retry::Soon),
            (down(), Retry::Soon),
            (other_chain(), Retry::Soon),
            (unauthenticated(), Retry::Never),
            (unreadable(), Retry::Slowly),
        ] {
            assert_eq!(attempts.learn(&error, 2, now), retry, "{error}");
        }
        attempts.get_to(Some(7), Reached::End);
        for error in [
            refused(Code::PermissionDenied),
            refused(Code::Unimplemented),
            other_chain(),
            unreadable(),
            RunError::Apply(ApplyError::NotApplied(7)),
        ] {
            let retry = attempts.learn(&error, 1, now);
            assert_eq!(retry, Retry::Slowly, "{error}");
        }
    }
}
