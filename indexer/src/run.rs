//! Following the chain until stopped.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    Endpoints,
    apply::{ApplyError, Mirror},
    slot::{SealedSlot, Update},
    snapshot::{self, SnapshotError},
    stream::{self, Server, StreamError},
};

/// How many updates may wait for the database before the stream does.
const QUEUE: usize = 256;
/// How many updates one transaction takes while catching up.
const BATCH: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl RunError {
    /// Whether beginning again from the cursor can help.
    fn passes(&self) -> bool {
        match self {
            Self::Database(error) | Self::Apply(ApplyError::Database(error)) => passes(error),
            Self::Apply(_) => false,
            Self::Snapshot(error) => !matches!(error, SnapshotError::NoData(_)),
            Self::Stream(error) => error.passes(),
        }
    }
}

/// Whether the server or the network is at fault, not what was asked of it.
fn passes(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        // Connections, resources, shutdown, conflicts.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "53", "57P", "40"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

struct Sources {
    database_url: String,
    rpc_url: String,
    grpc: Server,
}

/// Mirrors the chain until `stop` is cancelled; then applies what has come and returns. Waits for
/// whatever is out of reach.
///
/// # Errors
///
/// What trying again can't mend: slots that are missing, another chain, a database without tables.
pub async fn run(endpoints: &Endpoints, stop: CancellationToken) -> anyhow::Result<()> {
    let sources = Sources {
        database_url: endpoints.database()?.to_string(),
        rpc_url: endpoints.rpc()?.to_string(),
        grpc: endpoints.grpc()?,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        match follow(&sources, &stop).await {
            Ok(()) => return Ok(()),
            Err(error) if error.passes() => {
                if LONGEST_PAUSE < began.elapsed() {
                    pause = FIRST_PAUSE;
                }
                tracing::warn!(%error, retry_ms = pause.as_millis(), "interrupted");
            }
            Err(error) => return Err(explain(error)),
        }
        let slept = tokio::time::sleep(pause);
        if stop.run_until_cancelled(slept).await.is_none() {
            return Ok(());
        }
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

fn explain(error: RunError) -> anyhow::Error {
    const UNDEFINED_TABLE: &str = "42P01";
    let code = match &error {
        RunError::Database(sqlx::Error::Database(error))
        | RunError::Apply(ApplyError::Database(sqlx::Error::Database(error))) => error.code(),
        _ => None,
    };
    if code.as_deref() == Some(UNDEFINED_TABLE) {
        return anyhow::anyhow!("{error}: run `indexer migrate` first");
    }
    error.into()
}

/// Follows the chain over one connection to the database and one to the gRPC server.
async fn follow(sources: &Sources, stop: &CancellationToken) -> Result<(), RunError> {
    let Some(mut mirror) = Mirror::open(&sources.database_url, stop).await? else {
        return Ok(());
    };
    let cursor = mirror.cursor().await?;
    // The slot itself is asked for again: it shows that the chain is the same, and a server has
    // it where it may not have a later one yet.
    let from_slot = cursor.map(|cursor| cursor.slot.unsigned_abs());
    let (sender, mut updates) = mpsc::channel(QUEUE);
    let stream_stop = stop.child_token();
    let stream = stream::follow(sources.grpc.clone(), from_slot, sender, stream_stop.clone());
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

/// Applies updates until there are no more to come.
async fn apply_all(
    sources: &Sources,
    stop: &CancellationToken,
    mirror: &mut Mirror,
    is_empty: bool,
    updates: &mut mpsc::Receiver<Update>,
) -> Result<(), RunError> {
    let mut batch = vec![];
    if is_empty {
        let Some(first) = first_sealed(updates).await else {
            return Ok(());
        };
        let rpc = snapshot::client(&sources.rpc_url);
        let snapshot = snapshot::before(&rpc, &first);
        let Some(accounts) = stop.run_until_cancelled(snapshot).await else {
            return Ok(());
        };
        mirror.begin(accounts?, &first).await?;
        batch.push(Update::Sealed(first));
    }
    let mut caught_up = false;
    loop {
        if !batch.is_empty() {
            let cursor = mirror.apply(std::mem::take(&mut batch)).await?;
            tracing::debug!(slot = cursor.slot, seq = cursor.seq, "applied");
            if !caught_up && updates.is_empty() {
                caught_up = true;
                tracing::info!(slot = cursor.slot, seq = cursor.seq, "following");
            }
        }
        if updates.recv_many(&mut batch, BATCH).await == 0 {
            return Ok(());
        }
    }
}

async fn first_sealed(updates: &mut mpsc::Receiver<Update>) -> Option<Box<SealedSlot>> {
    loop {
        if let Update::Sealed(first) = updates.recv().await? {
            return Some(first);
        }
    }
}
