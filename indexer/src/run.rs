//! Mirroring of the chain until stopped.
//!
//! The mirror follows a gRPC stream. What the stream can't give is fetched from an RPC node, in this
//! order: slots that the server no longer replays, as blocks; if the node no longer has the blocks
//! either, the accounts as they are now, in a new epoch of the mirror.

mod follow;

use std::{str::FromStr, sync::Arc, time::Duration};

use anyhow::Context;
use backon::{BackoffBuilder, ExponentialBuilder};
use metrics::counter;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    apply::{ApplyError, MirrorWriter, Obstacle},
    audit::Audit,
    config::Settings,
    endpoints::Endpoints,
    metrics::RECONNECTS,
    migrate,
    monitor::{self, Monitor},
    retention::Retention,
    rpc::{ReadError, Rpc},
    snapshot::SnapshotError,
    status::{State, Status},
    stream::{self, GrpcServer, StreamError, Updates},
};
use follow::Follower;

/// Capacity of the queue between the stream and the database. A full queue stops the stream from
/// reading (backpressure).
const QUEUE_CAPACITY: usize = 256;
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

    /// The reason in the metrics: one of `RECONNECT_REASONS`.
    fn reason(&self) -> &'static str {
        match self {
            Self::Apply(_) => "database",
            Self::Stream(StreamError::Connect(_)) => "connect",
            Self::Stream(StreamError::Ended) | Self::Stopped => "ended",
            Self::Stream(StreamError::Silent) => "silent",
            Self::Stream(StreamError::Stalled) => "stalled",
            Self::Stream(StreamError::Behind { .. }) => "behind",
            Self::Stream(StreamError::Status(_)) => "status",
            Self::Stream(StreamError::NoReplay { .. }) => "no_replay",
            Self::Stream(StreamError::Slot(_)) => "malformed",
            Self::UnknownFork { .. } => "fork",
            Self::Late(_) => "late",
            Self::Snapshot(_) | Self::Read(_) | Self::RpcBehind(_) | Self::Filling(_) => "rpc",
            Self::SlowSnapshot(_) => "slow_snapshot",
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
/// returns. Retries transient failures, such as an unreachable service, without limit. Meanwhile it
/// serves metrics and health, and audits the mirror, as the settings say.
///
/// # Errors
///
/// Failures that a retry cannot fix: a missing option, an address in use, refused credentials, another
/// cluster's chain, a database without the tables.
pub async fn run(
    endpoints: &Endpoints,
    settings: &Settings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let sources = Sources {
        database_url: endpoints.database()?.to_string(),
        rpc: Rpc::new(endpoints.rpc()?),
        grpc: endpoints.grpc()?,
    };
    let status = Arc::new(Status::default());
    let observers = observe(endpoints, settings, &status).await?;
    let mirrored = mirror(&sources, settings, &status, stop).await;
    drop(observers); // ends them
    mirrored
}

/// Starts the server of metrics and health, and the audit.
async fn observe(
    endpoints: &Endpoints,
    settings: &Settings,
    status: &Arc<Status>,
) -> anyhow::Result<JoinSet<()>> {
    let db = observer_connections(endpoints.database()?)?;
    let mut observers = JoinSet::new();
    if let Some((listener, prometheus)) = monitor::listen(settings).await? {
        let monitor = Monitor {
            status: Arc::clone(status),
            ready_age: settings.ready_age,
            db: db.clone(),
            prometheus,
        };
        observers.spawn(monitor::serve(listener, monitor));
    }
    if let Some(interval) = settings.audit_interval {
        let audit = Audit {
            status: Arc::clone(status),
            db,
            rpc: Rpc::new(endpoints.rpc()?),
            accounts: settings.audit_accounts,
        };
        observers.spawn(audit.run(interval));
    }
    Ok(observers)
}

/// Connections beside the writer's, opened on first use.
fn observer_connections(database_url: &str) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(database_url)
        .context("the Postgres URL is malformed; give postgres://USER@HOST/DATABASE")?
        .options([("statement_timeout", "10000")]);
    Ok(PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(options))
}

/// Mirrors the chain until `stop` is cancelled or a failure that a retry cannot fix.
async fn mirror(
    sources: &Sources,
    settings: &Settings,
    status: &Arc<Status>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut attempts = Attempts::default();
    let mut delays = retry_delays();
    let mut retention = Retention::new(settings.feed_age);
    loop {
        let mut caught_up = false;
        let mirrored = mirror_until_failure(
            sources,
            &attempts,
            &mut retention,
            status,
            &stop,
            &mut caught_up,
        )
        .await;
        let error = match mirrored {
            Ok(()) | Err(RunError::Stopped) => return Ok(()),
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(with_advice(error)),
        };
        if caught_up {
            delays = retry_delays();
        }
        attempts.learn(&error, sources.grpc.len());
        counter!(RECONNECTS, "reason" => error.reason()).increment(1);
        status.interrupt(error.to_string());
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
    status: &Arc<Status>,
    stop: &CancellationToken,
    caught_up: &mut bool,
) -> Result<(), RunError> {
    let opened = MirrorWriter::open(&sources.database_url, retention, status, stop);
    let Some(mut mirror) = opened.await? else {
        return Ok(());
    };
    let cursor = mirror.cursor().await?;
    status.observe(cursor.as_ref());
    status.enter(State::CatchingUp);
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
            status: Arc::clone(status),
        },
        stream_stop.clone(),
    );
    let stream = tokio::spawn(stream);

    let mut follower = Follower {
        rpc: &sources.rpc,
        stop,
        status,
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
    use std::collections::BTreeSet;

    use yellowstone_grpc_proto::tonic;

    use super::*;
    use crate::{metrics::RECONNECT_REASONS, slot::SlotError};

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

    #[tokio::test]
    async fn errors_contain_no_password_key_or_token() {
        const SECRET: &str = "hunter2";
        let assert_hidden = |error: anyhow::Error| {
            let message = crate::error_chain(error.as_ref());
            assert!(!message.contains(SECRET), "{message}");
        };
        let malformed = format!("postgres://user:{SECRET}@host:port/database");
        assert_hidden(observer_connections(&malformed).expect_err("malformed"));
        // Nothing listens on port 1.
        let (status, stop) = (Arc::default(), CancellationToken::new());
        let mut retention = Retention::new(Duration::ZERO);
        for url in [
            malformed,
            format!("postgres://user:{SECRET}@127.0.0.1:1/database"),
        ] {
            let opened = MirrorWriter::open(&url, &mut retention, &status, &stop).await;
            assert_hidden(opened.err().expect("no database").into());
        }
        for (url, token) in [
            (format!("http://127.0.0.1:1/{SECRET}?key={SECRET}"), SECRET),
            (format!("http://host:port/{SECRET}"), SECRET),
            ("http://127.0.0.1:1".to_owned(), "hunter2\n"),
        ] {
            let (slots, _received) = mpsc::channel(1);
            let updates = Updates {
                slots,
                tip: watch::channel(None).0,
                status: Arc::clone(&status),
            };
            let server = GrpcServer {
                url,
                token: Some(token.to_owned()),
            };
            let streamed = stream::forward_until_stopped(server, None, updates, stop.clone());
            assert_hidden(streamed.await.expect_err("no server").into());
        }
    }

    #[test]
    fn the_metrics_have_every_reason_of_an_interruption() {
        let status = tonic::Status::unavailable("down");
        let streams = [
            StreamError::Connect(String::new()),
            StreamError::Ended,
            StreamError::Silent,
            StreamError::Stalled,
            StreamError::Behind {
                server_slot: 1,
                from_slot: 2,
            },
            StreamError::Status(Box::new(status)),
            StreamError::NoReplay {
                from_slot: 7,
                reason: String::new(),
            },
            StreamError::Slot(SlotError::NeverSealed),
        ];
        let others = [
            RunError::Apply(ApplyError::NoCursor),
            RunError::Snapshot(SnapshotError::Rpc(String::new())),
            RunError::Read(ReadError::NoBlock(1)),
            RunError::UnknownFork {
                slot: 2,
                parent_slot: 1,
            },
            RunError::Late(1),
            RunError::RpcBehind(1),
            RunError::Filling(Obstacle::Gap {
                slot: 3,
                parent_slot: 2,
            }),
            RunError::SlowSnapshot(1),
        ];
        let errors = streams.into_iter().map(RunError::Stream).chain(others);
        let reasons: BTreeSet<_> = errors.map(|error| error.reason()).collect();
        assert_eq!(reasons, RECONNECT_REASONS.iter().copied().collect());
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
