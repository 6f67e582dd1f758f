//! Mirroring of the chain until stopped.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    apply::{ApplyError, MirrorWriter},
    endpoints::Endpoints,
    slot::{SealedSlot, SlotUpdate},
    snapshot::{self, SnapshotError},
    stream::{self, GrpcServer, StreamError},
};

/// Capacity of the queue between the stream and the database. A full queue stops the stream from
/// reading (backpressure).
const QUEUE_CAPACITY: usize = 256;
/// Maximum number of updates in one database transaction.
const MAX_BATCH: usize = 64;
/// Delay after the first failure; doubles with each further failure.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(250);
/// Longest delay between retries. A connection that lasted longer resets the delay.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl RunError {
    /// Whether a retry from the cursor can succeed.
    fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) | Self::Apply(ApplyError::Database(error)) => is_transient(error),
            Self::Apply(_) => false,
            Self::Snapshot(error) => !matches!(error, SnapshotError::NoData(_)),
            Self::Stream(error) => error.is_transient(),
        }
    }
}

/// Whether the server or the network caused the error, rather than the statement.
fn is_transient(error: &sqlx::Error) -> bool {
    /// SQLSTATE prefixes: connection exception, insufficient resources, server shutdown,
    /// transaction rollback (serialization failure, deadlock).
    const TRANSIENT: [&str; 4] = ["08", "53", "57P", "40"];
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| TRANSIENT.iter().any(|prefix| code.starts_with(prefix))),
        _ => false,
    }
}

/// Addresses of all services that mirroring needs.
struct Sources {
    database_url: String,
    rpc_url: String,
    grpc: GrpcServer,
}

/// Mirrors the chain until `stop` is cancelled, then applies the updates already received and
/// returns. Retries transient failures, such as an unreachable service, without limit.
///
/// # Errors
///
/// Failures that a retry cannot fix: a missing option, refused credentials, missing slots, another
/// cluster's chain, a database without the tables.
pub async fn run(endpoints: &Endpoints, stop: CancellationToken) -> anyhow::Result<()> {
    let sources = Sources {
        database_url: endpoints.database()?.to_string(),
        rpc_url: endpoints.rpc()?.to_string(),
        grpc: endpoints.grpc()?,
    };
    let mut delays = retry_delays();
    loop {
        let started = Instant::now();
        let error = match mirror_until_failure(&sources, &stop).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_transient() => error,
            Err(error) => return Err(with_advice(error)),
        };
        if MAX_RETRY_DELAY < started.elapsed() {
            delays = retry_delays();
        }
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
    const UNDEFINED_TABLE: &str = "42P01";
    let code = match &error {
        RunError::Database(sqlx::Error::Database(error))
        | RunError::Apply(ApplyError::Database(sqlx::Error::Database(error))) => error.code(),
        _ => None,
    };
    if code.as_deref() == Some(UNDEFINED_TABLE) {
        return anyhow::anyhow!("{error}; run `indexer migrate` first");
    }
    error.into()
}

/// Mirrors the chain over one database connection and one gRPC connection, until `stop` is
/// cancelled or a connection or an update fails.
async fn mirror_until_failure(sources: &Sources, stop: &CancellationToken) -> Result<(), RunError> {
    let Some(mut mirror) = MirrorWriter::open(&sources.database_url, stop).await? else {
        return Ok(());
    };
    let cursor = mirror.cursor().await?;
    // The stream repeats the cursor's own slot: the blockhash of that slot proves that the chain is
    // the same, and the server may not have a later slot yet.
    let from_slot = cursor.map(|cursor| cursor.slot.unsigned_abs());
    let (sender, mut updates) = mpsc::channel(QUEUE_CAPACITY);
    let stream_stop = stop.child_token();
    let stream =
        stream::forward_until_stopped(sources.grpc.clone(), from_slot, sender, stream_stop.clone());
    let stream = tokio::spawn(stream);

    let applied = apply_all(
        sources,
        stop,
        &mut mirror,
        from_slot.is_none(),
        &mut updates,
    )
    .await;
    stream_stop.cancel();
    let streamed = stream.await;
    applied?;
    match streamed {
        Ok(result) => Ok(result?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Applies updates until the channel is closed and empty. Initializes an empty mirror first.
async fn apply_all(
    sources: &Sources,
    stop: &CancellationToken,
    mirror: &mut MirrorWriter,
    is_empty: bool,
    updates: &mut mpsc::Receiver<SlotUpdate>,
) -> Result<(), RunError> {
    let mut batch = vec![];
    if is_empty {
        let Some(first) = first_sealed(updates).await else {
            return Ok(());
        };
        let rpc = snapshot::client(&sources.rpc_url);
        let accounts = snapshot::initial_accounts(&rpc, &first);
        let Some(accounts) = stop.run_until_cancelled(accounts).await else {
            return Ok(());
        };
        mirror.initialize(accounts?, &first).await?;
        batch.push(SlotUpdate::Sealed(first));
    }
    let mut caught_up = false;
    loop {
        if !batch.is_empty() {
            let cursor = mirror.apply(std::mem::take(&mut batch)).await?;
            tracing::debug!(slot = cursor.slot, seq = cursor.seq, "batch applied");
            if !caught_up && updates.is_empty() {
                caught_up = true;
                tracing::info!(
                    slot = cursor.slot,
                    seq = cursor.seq,
                    "caught up with the stream"
                );
            }
        }
        if updates.recv_many(&mut batch, MAX_BATCH).await == 0 {
            return Ok(());
        }
    }
}

/// Returns the first sealed slot and drops the updates before it; `None` if the channel closes.
async fn first_sealed(updates: &mut mpsc::Receiver<SlotUpdate>) -> Option<Box<SealedSlot>> {
    loop {
        if let SlotUpdate::Sealed(first) = updates.recv().await? {
            return Some(first);
        }
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
}
