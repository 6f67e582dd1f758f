//! Mirroring of the chain until stopped.
//!
//! The mirror follows a gRPC stream. What the stream can't give is fetched from an RPC node, in this
//! order: slots that the server no longer replays, as blocks; if the node no longer has the blocks
//! either, the accounts as they are now, in a new epoch of the mirror.

mod follow;

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    apply::{ApplyError, MirrorWriter, Obstacle},
    endpoints::Endpoints,
    migrate,
    retention::Retention,
    rpc::{ReadError, Rpc},
    snapshot::SnapshotError,
    stream::{self, GrpcServer, StreamError, Updates},
};
use follow::Follower;

/// Capacity of the queue between the stream and the database. A full queue stops the stream from
/// reading (backpressure).
const QUEUE_CAPACITY: usize = 128;
/// Delay after the first failure; doubles with each further failure.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(250);
/// Longest delay between retries. A connection over which the mirror caught up resets the delay.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);
/// Number of refused replays after which the slots are fetched from the RPC node instead.
const MAX_REFUSALS: u32 = 2;

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("slot {slot} is not on the mirrored chain, and its parent {parent_slot} isn't either")]
    UnknownFork { slot: i64, parent_slot: i64 },
    #[error("messages of slot {0} arrived after its block metadata; the slot is read again")]
    Late(i64),
    #[error("stopped")]
    Stopped,
    #[error("the RPC node has no block after slot {0} yet")]
    RpcBehind(i64),
    #[error("the blocks of the RPC node don't continue the mirror: {0:?}")]
    Filling(Obstacle),
    #[error("the first snapshot took so long that the queue of {0} updates is full")]
    SlowSnapshot(usize),
}

impl RunError {
    /// Whether a retry from the cursor can succeed.
    fn is_transient(&self) -> bool {
        match self {
            Self::Apply(error) => error.is_transient(),
            Self::Snapshot(error) => !matches!(error, SnapshotError::NoData(_)),
            Self::Stream(error) => error.is_transient(),
            Self::Read(ReadError::Slot(_)) => false,
            Self::Read(_)
            | Self::UnknownFork { .. }
            | Self::Late(_)
            | Self::Filling(_)
            | Self::RpcBehind(_)
            | Self::Stopped
            | Self::SlowSnapshot(_) => true,
        }
    }
}

/// Addresses of all services that mirroring needs.
struct Sources {
    database_url: String,
    rpc: Rpc,
    grpc: Vec<GrpcServer>,
}

/// What the next attempt does differently because of the attempts before.
#[derive(Default)]
struct Attempts {
    /// Index of the gRPC server to use.
    server: usize,
    /// Number of times in a row that a server refused to replay slots.
    refusals: u32,
}

impl Attempts {
    /// Whether to subscribe without a replay.
    fn is_live(&self) -> bool {
        MAX_REFUSALS <= self.refusals
    }

    /// Takes note of the result of an attempt.
    fn learn(&mut self, error: &RunError, servers: usize) {
        match error {
            RunError::Stream(error) => {
                self.server = (self.server + 1) % servers;
                match error {
                    StreamError::NoReplay { .. } => self.refusals += 1,
                    _ => self.refusals = 0,
                }
            }
            // Another server may show the slots as they are.
            RunError::Late(_) | RunError::UnknownFork { .. } | RunError::Filling(_) => {
                self.server = (self.server + 1) % servers;
            }
            _ => self.refusals = 0,
        }
    }
}

/// Mirrors the chain until `stop` is cancelled, then applies the updates already received and
/// returns. Retries transient failures, such as an unreachable service, without limit.
///
/// # Errors
///
/// Failures that a retry cannot fix: a missing option, refused credentials, another cluster's chain, a
/// database without the tables.
pub async fn run(endpoints: &Endpoints, stop: CancellationToken) -> anyhow::Result<()> {
    let sources = Sources {
        database_url: endpoints.database()?.to_string(),
        rpc: Rpc::new(endpoints.rpc()?),
        grpc: endpoints.grpc()?,
    };
    let mut attempts = Attempts::default();
    let mut delays = retry_delays();
    let mut retention = Retention::default();
    loop {
        let mut caught_up = false;
        let mirrored =
            mirror_until_failure(&sources, &attempts, &mut retention, &stop, &mut caught_up).await;
        let error = match mirrored {
            Ok(()) | Err(RunError::Stopped) => return Ok(()),
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(with_advice(error)),
        };
        if caught_up {
            delays = retry_delays();
        }
        attempts.learn(&error, sources.grpc.len());
        let delay = delays.next().unwrap_or(MAX_RETRY_DELAY);
        tracing::warn!(%error, retry_ms = delay.as_millis(), "mirroring interrupted; retrying");
        let sleep = tokio::time::sleep(delay);
        if stop.run_until_cancelled(sleep).await.is_none() {
            return Ok(());
        }
    }
}

/// Exponential backoff without an end.
fn retry_delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(MIN_RETRY_DELAY)
        .with_max_delay(MAX_RETRY_DELAY)
        .without_max_times()
        .build()
}

/// Adds what to do if the tables don't exist.
fn with_advice(error: RunError) -> anyhow::Error {
    match error {
        RunError::Apply(ApplyError::Database(error)) => migrate::with_advice(error),
        error => error.into(),
    }
}

/// Mirrors the chain over one database connection and one gRPC connection, until `stop` is
/// cancelled or a connection or an update fails. Sets `caught_up` once the mirror has reached the end
/// of the stream.
async fn mirror_until_failure(
    sources: &Sources,
    attempts: &Attempts,
    retention: &mut Retention,
    stop: &CancellationToken,
    caught_up: &mut bool,
) -> Result<(), RunError> {
    let Some(mut mirror) = MirrorWriter::open(&sources.database_url, retention, stop).await? else {
        return Ok(());
    };
    let cursor = mirror.cursor().await?;
    // The stream repeats the cursor's own slot: the blockhash of that slot proves that the chain is
    // the same, and the server may not have a later slot yet.
    let from_slot = cursor.as_ref().map(|cursor| cursor.slot.unsigned_abs());
    let replay_from = from_slot.filter(|_| !attempts.is_live());
    let (slots, updates) = mpsc::channel(QUEUE_CAPACITY);
    let (tip_sender, tip) = watch::channel(None);
    let server = sources.grpc[attempts.server].clone();
    let stream_stop = stop.child_token();
    let stream = stream::forward_until_stopped(
        server,
        replay_from,
        Updates {
            slots,
            tip: tip_sender,
        },
        stream_stop.clone(),
    );
    let stream = tokio::spawn(stream);

    let mut follower = Follower {
        rpc: &sources.rpc,
        stop,
        mirror: &mut mirror,
        updates,
        tip,
        caught_up: false,
        is_linked: false,
    };
    let followed = match from_slot {
        None => follower.begin_and_follow().await,
        Some(_) => follower.follow(vec![]).await,
    };
    *caught_up = follower.caught_up;
    stream_stop.cancel();
    let streamed = stream.await;
    followed?;
    match streamed {
        Ok(result) => Ok(result?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays_double_up_to_the_longest_without_an_end() {
        let milliseconds: Vec<_> = retry_delays()
            .take(100)
            .map(|delay| delay.as_millis())
            .collect();
        let (rising, longest) = milliseconds.split_at(6);
        assert_eq!(rising, [250, 500, 1000, 2000, 4000, 8000]);
        assert_eq!(longest, [10_000; 94]);
    }

    #[test]
    fn a_server_that_refuses_to_replay_is_followed_live_and_each_server_has_its_turn() {
        let no_replay = || {
            RunError::Stream(StreamError::NoReplay {
                from_slot: 7,
                reason: String::new(),
            })
        };
        let mut attempts = Attempts::default();
        attempts.learn(&no_replay(), 3);
        assert_eq!((attempts.server, attempts.is_live()), (1, false));
        attempts.learn(&no_replay(), 3);
        assert_eq!((attempts.server, attempts.is_live()), (2, true));
        attempts.learn(&RunError::Stream(StreamError::Ended), 3);
        assert_eq!((attempts.server, attempts.is_live()), (0, false));
        attempts.learn(&RunError::Late(7), 3);
        assert_eq!((attempts.server, attempts.is_live()), (1, false));
        attempts.learn(&RunError::Stopped, 3);
        assert_eq!((attempts.server, attempts.is_live()), (1, false));
    }
}
