//! Mirroring of the chain until stopped.
//!
//! The mirror follows a gRPC stream, or an RPC node that is polled, by configuration or while no gRPC server
//! works. What the stream can't give is fetched from an RPC node, in this order: slots that the server no
//! longer replays, or never as a whole, as blocks; if the node no longer has the blocks either, the accounts
//! as they are now, in a new epoch of the mirror.

mod attempts;
mod error;
mod fallback;
mod follow;
mod refetch;
mod remedies;
mod settle;
mod task;

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures::TryFutureExt;
use metrics::counter;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    apply::{ApplyError, MirrorWriter, WriterMemory},
    audit::Audit,
    config::{Settings, Source},
    cursor::Cursor,
    endpoints::Endpoints,
    history,
    metrics::RECONNECTS,
    migrate,
    monitor::{self, Monitor},
    poll,
    retention::Ages,
    rpc::Rpc,
    shutdown::end_soon_after,
    status::{State, Status},
    stream::{self, GrpcServer, Updates},
    waits::scaled,
};
use attempts::{Attempts, Reached, Retry};
use error::RunError;
use fallback::poll_until_recovered;
use follow::Follower;
use refetch::Refetcher;
use settle::Settler;

/// Capacity of the queue between the stream and the database. A full queue stops the stream from
/// reading (backpressure).
const QUEUE_CAPACITY: usize = 128;
/// Delay after the first failure; doubles with each further failure.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(250);
/// Longest delay between retries. A connection over which the mirror caught up resets the delay.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Addresses of all services that mirroring needs.
struct Sources {
    database_url: String,
    rpc: Arc<Rpc>,
    /// The gRPC servers that the slots come from, in turns; none if the RPC node is polled.
    grpc: Vec<GrpcServer>,
    /// Options of the connections beside the writer's.
    observer_options: PgConnectOptions,
}

impl Sources {
    fn new(endpoints: &Endpoints, settings: &Settings) -> anyhow::Result<Self> {
        let grpc = match settings.source {
            Source::Grpc => endpoints.grpc()?,
            Source::Rpc => vec![],
        };
        Ok(Self {
            database_url: endpoints.database()?.to_owned(),
            rpc: Arc::new(Rpc::new(endpoints.rpc()?)),
            grpc,
            observer_options: observer_options(endpoints.database()?)?,
        })
    }
}

/// What mirroring needs for as long as the process runs.
struct Process {
    sources: Sources,
    ages: Ages,
    block_time_tolerance: Duration,
    status: Arc<Status>,
    stop: CancellationToken,
    _observers: JoinSet<()>,
}

/// Mirrors the chain until `stop` is cancelled, then applies the updates already received and
/// returns; what takes longer than [`shutdown::STOP_GRACE`] is given up. Retries transient failures, such as
/// an unreachable service, without limit. Meanwhile it serves metrics and health, and audits the mirror, as
/// the settings say.
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
    let process = Process::start(endpoints, settings, stop).await?;
    end_soon_after(&process.stop, process.mirror(false)).await
}

/// Empties the mirror and makes it anew: fills it with the program's past slots and its accounts, and
/// returns once it has all of them. Otherwise as [`run`].
///
/// # Errors
///
/// As of [`run`].
pub async fn rebuild(
    endpoints: &Endpoints,
    settings: &Settings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let process = Process::start(endpoints, settings, stop).await?;
    let rebuilt = async {
        let cleared = process.clear().await;
        cleared.map_err(|error| with_advice(error.into()))?;
        process.mirror(true).await
    };
    end_soon_after(&process.stop, rebuilt).await
}

/// Starts the server of metrics and health, and the audit. They end with the set.
async fn observe(
    sources: &Sources,
    settings: &Settings,
    status: &Arc<Status>,
) -> anyhow::Result<JoinSet<()>> {
    let db = observer_connections(sources.observer_options.clone());
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
            rpc: Arc::clone(&sources.rpc),
            accounts: settings.audit_accounts,
            compared: 0,
        };
        observers.spawn(audit.run(interval));
    }
    Ok(observers)
}

fn observer_options(database_url: &str) -> anyhow::Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(database_url)
        .context("the Postgres URL is malformed; give postgres://USER@HOST/DATABASE")?;
    Ok(options.options([("statement_timeout", "10000")]))
}

/// Connections beside the writer's, opened on first use.
fn observer_connections(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(options)
}

impl Process {
    async fn start(
        endpoints: &Endpoints,
        settings: &Settings,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let sources = Sources::new(endpoints, settings)?;
        let status = Arc::default();
        Ok(Self {
            _observers: observe(&sources, settings, &status).await?,
            sources,
            ages: settings.ages,
            block_time_tolerance: settings.block_time_tolerance,
            status,
            stop,
        })
    }

    fn memory(&self) -> WriterMemory {
        WriterMemory::new(self.ages, self.block_time_tolerance)
    }

    /// Connects to the database, unless `stop` is cancelled first.
    async fn open<'a>(
        &'a self,
        memory: &'a mut WriterMemory,
    ) -> Result<Option<MirrorWriter<'a>>, ApplyError> {
        let database_url = &self.sources.database_url;
        MirrorWriter::open(database_url, memory, &self.status, &self.stop).await
    }

    /// Empties the mirror, unless `stop` is cancelled first.
    async fn clear(&self) -> Result<(), ApplyError> {
        match self.open(&mut self.memory()).await? {
            Some(mut mirror) => mirror.clear().await,
            None => Ok(()),
        }
    }

    /// Mirrors the chain until `stop` is cancelled or a failure that a retry cannot fix, or, if
    /// `until_settled`, until the mirror has all accounts.
    async fn mirror(&self, until_settled: bool) -> anyhow::Result<()> {
        let mut attempts = Attempts::default();
        let mut delays = retry_delays();
        let mut memory = self.memory();
        let mut settler = None;
        loop {
            let mut reached = Reached::default();
            let kept = Kept {
                memory: &mut memory,
                settler: &mut settler,
                reached: &mut reached,
            };
            let mirrored = self.mirror_until_failure(&attempts, kept, until_settled);
            let error = match mirrored.await {
                Ok(()) | Err(RunError::Stopped) => return Ok(()),
                Err(error) => error,
            };
            if attempts.get_to(self.status.health().slot, reached) {
                delays = retry_delays();
            }
            let servers = self.sources.grpc.len().max(1);
            let retry = attempts.learn(&error, servers, Instant::now());
            if retry == Retry::Never {
                return Err(with_advice(error));
            }
            counter!(RECONNECTS, "reason" => error.reason()).increment(1);
            self.status.interrupt(error.to_string());
            let delay = match retry {
                Retry::Slowly => scaled(MAX_RETRY_DELAY),
                _ => delays.next().unwrap_or(MAX_RETRY_DELAY),
            };
            let retry_ms = delay.as_millis();
            match retry {
                Retry::Slowly => {
                    tracing::error!(%error, retry_ms, "mirroring interrupted; retrying")
                }
                _ => tracing::warn!(%error, retry_ms, "mirroring interrupted; retrying"),
            }
            let sleep = tokio::time::sleep(delay);
            if self.stop.run_until_cancelled(sleep).await.is_none() {
                return Ok(());
            }
        }
    }

    /// Mirrors the chain over one database connection and one source of slots, until `stop` is
    /// cancelled or a connection or an update fails.
    async fn mirror_until_failure(
        &self,
        attempts: &Attempts,
        kept: Kept<'_>,
        until_settled: bool,
    ) -> Result<(), RunError> {
        let Self {
            sources,
            status,
            stop,
            ..
        } = self;
        let Some(mut mirror) = self.open(kept.memory).await? else {
            return Ok(());
        };
        let cursor = mirror.cursor().await?;
        status.observe(cursor.as_ref());
        if !cursor.as_ref().is_some_and(|cursor| cursor.is_following) {
            status.enter(State::Filling);
            let accepts_loss = attempts.accepts_loss(Instant::now());
            history::fill(&sources.rpc.patient(), &mut mirror, accepts_loss, stop).await?;
        }
        let due = mirror.due().await?;
        status.hold_back(!due.is_empty());
        let cursor = mirror.cursor().await?;
        status.observe(cursor.as_ref());
        status.enter(State::CatchingUp);
        let (slots, updates) = mpsc::channel(QUEUE_CAPACITY);
        let (tip_sender, tip) = watch::channel(None);
        let updates_sender = Updates {
            slots,
            tip: tip_sender,
            status: Arc::clone(status),
        };
        let stream_stop = stop.child_token();
        let stream = forward(
            sources,
            attempts,
            cursor.as_ref(),
            updates_sender,
            &stream_stop,
        );

        let mut follower = Follower {
            rpc: Arc::clone(&sources.rpc),
            settler: take_up(kept.settler, &sources.rpc, cursor.as_ref()),
            refetcher: Refetcher::new(Arc::clone(&sources.rpc)),
            due,
            is_final: false,
            accepts_loss: attempts.accepts_loss(Instant::now()),
            late_slot: attempts.late_slot(),
            stop,
            status,
            mirror: &mut mirror,
            updates,
            tip,
            caught_up: false,
            is_linked: false,
        };
        let followed = follower.follow(until_settled).await;
        *kept.reached = match (follower.caught_up, follower.is_linked) {
            (true, _) => Reached::End,
            (false, true) => Reached::Linked,
            (false, false) => Reached::Nothing,
        };
        // Of a database that fails, nothing is known.
        if !matches!(followed, Err(RunError::Apply(_)))
            && let Ok(Some(cursor)) = follower.mirror.cursor().await
        {
            *kept.settler = Some((cursor, follower.settler));
        }
        stream_stop.cancel();
        let streamed = stream.await;
        followed?;
        match streamed {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

/// What an attempt leaves to the next one.
struct Kept<'a> {
    memory: &'a mut WriterMemory,
    /// The reading of accounts, and the mirror's state that it is for.
    settler: &'a mut Option<(Cursor, Settler)>,
    /// How far it got with its stream.
    reached: &'a mut Reached,
}

/// The reading of accounts that the attempt before began, or a new one if somebody has written the mirror since.
fn take_up(
    kept: &mut Option<(Cursor, Settler)>,
    rpc: &Arc<Rpc>,
    cursor: Option<&Cursor>,
) -> Settler {
    match (kept.take(), cursor) {
        (Some((before, settler)), Some(cursor)) if cursor.is_at(&before) => settler,
        _ => Settler::new(Arc::clone(rpc), cursor),
    }
}

/// Exponential backoff without an end.
fn retry_delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(MIN_RETRY_DELAY)
        .with_max_delay(scaled(MAX_RETRY_DELAY))
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

/// Starts to forward the slots after the cursor's.
fn forward(
    sources: &Sources,
    attempts: &Attempts,
    cursor: Option<&Cursor>,
    updates: Updates,
    stop: &CancellationToken,
) -> JoinHandle<Result<(), RunError>> {
    let (stop, slot) = (stop.clone(), cursor.map(|cursor| cursor.slot));
    if let Some(server) = sources.grpc.get(attempts.server)
        && !attempts.is_polling
    {
        // The stream repeats the cursor's own slot: the blockhash of that slot proves that the chain
        // is the same, and the server may not have a later slot yet.
        let from_slot = slot.filter(|_| !attempts.is_live()).map(i64::unsigned_abs);
        let stream = stream::forward_until_stopped(server.clone(), from_slot, updates, stop);
        return tokio::spawn(stream.map_err(RunError::from));
    }
    // They end with the polling: nobody would notice that an idle one is dead.
    let db = observer_connections(sources.observer_options.clone());
    let rpc = Arc::clone(&sources.rpc);
    let status = Arc::clone(&updates.status);
    // Without the slots whose blocks are gone, which the writer records.
    let after = slot.filter(|_| !attempts.accepts_loss(Instant::now()));
    let poller = poll::forward_until_stopped(rpc, db, after, updates, stop);
    if sources.grpc.is_empty() {
        return tokio::spawn(poller.map_err(RunError::from));
    }
    tracing::warn!("no gRPC server works; polling the RPC node until one does");
    let (servers, interval) = (sources.grpc.clone(), attempts.probe_interval());
    tokio::spawn(poll_until_recovered(servers, interval, status, poller))
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

    #[tokio::test]
    async fn errors_contain_no_password_key_or_token() {
        const SECRET: &str = "hunter2";
        let assert_hidden = |error: anyhow::Error| {
            let message = driftshield_service::error_chain(error.as_ref());
            assert!(!message.contains(SECRET), "{message}");
        };
        let malformed = format!("postgres://user:{SECRET}@host:port/database");
        assert_hidden(observer_options(&malformed).expect_err("malformed"));
        // Nothing listens on port 1.
        let (status, stop) = (Arc::default(), CancellationToken::new());
        let mut memory = WriterMemory::new(
            Ages {
                feed: Duration::ZERO,
                history: None,
            },
            Duration::ZERO,
        );
        for url in [
            malformed,
            format!("postgres://user:{SECRET}@127.0.0.1:1/database"),
        ] {
            let opened = MirrorWriter::open(&url, &mut memory, &status, &stop).await;
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
}
