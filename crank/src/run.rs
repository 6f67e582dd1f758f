//! `crank run`: repeats rounds until stopped. A round reads the chain and sends the due actions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anchor_lang::Address;
use anyhow::{Context, Result};
use driftshield_sdk::rpc::{Client, Keypair, Signer, read_keypair};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, ModelConfig},
    due, evidence,
    oracle::{EvidencePublisher, Oracles},
    reader::{MissingModel, SnapshotReader},
    retry::exponential_backoff,
    send::Sender,
    spec_file::SpecMismatch,
};

/// Maximum delay after a failed round. A successful round resets the delay to 1 s.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Runs rounds for the configured models until `stop` is cancelled.
///
/// Returns an error if the keypair, a spec file, the evidence store or the listen address cannot
/// be used, if a model does not exist or if it pins another spec document. Retries a round that
/// fails for any other reason.
pub async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let keypair = read_keypair(&config.keypair).map_err(anyhow::Error::msg)?;
    let mut oracles = Oracles::open(&config)?;
    let server = match oracles.publisher() {
        Some(publisher) => serve(publisher, &stop).await?,
        None => None,
    };
    let client = Client::new(config.rpc_url.clone()).with_priority_fee(config.priority_fee);
    let client = Arc::new(client);
    let result = rounds(&config, client, keypair, &mut oracles, &stop).await;
    stop.cancel(); // stops the server if the rounds failed
    if let Some(server) = server {
        server.await??;
    }
    result
}

/// Starts the evidence server if `evidence.listen` is configured.
async fn serve(
    publisher: &EvidencePublisher,
    stop: &CancellationToken,
) -> Result<Option<JoinHandle<std::io::Result<()>>>> {
    let Some(listen) = publisher.config.listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("evidence.listen: could not listen on {listen}; choose a free address and port")
    })?;
    tracing::info!(%listen, url = publisher.config.url, "serving evidence");
    let serving = evidence::serve(publisher.store.clone(), listener, stop.clone());
    Ok(Some(tokio::spawn(serving)))
}

/// Repeats rounds until `stop` is cancelled, then waits until every queued transaction is sent.
async fn rounds(
    config: &Config,
    client: Arc<Client>,
    keypair: Keypair,
    oracles: &mut Oracles,
    stop: &CancellationToken,
) -> Result<()> {
    let key = keypair.pubkey();
    let models = &config.models;
    tracing::info!(%key, models = models.len(), rpc_url = config.rpc_url, "running");
    let mut sender = Sender::new(client.clone(), Arc::new(keypair));
    let mut reader = None;
    let mut delays = exponential_backoff(MAX_RETRY_DELAY);
    loop {
        let started_at = Instant::now();
        let pending_round = round(&client, key, models, &mut reader, &mut sender, oracles);
        let result = tokio::select! {
            () = stop.cancelled() => break,
            result = pending_round => result,
        };
        let pause = match result {
            Ok(()) => {
                delays = exponential_backoff(MAX_RETRY_DELAY);
                config.poll.saturating_sub(started_at.elapsed())
            }
            Err(error) if error.is::<MissingModel>() || error.is::<SpecMismatch>() => {
                return Err(error);
            }
            Err(error) => {
                let delay = delays.next().unwrap_or(MAX_RETRY_DELAY);
                let wait_ms = delay.as_millis();
                tracing::warn!(
                    wait_ms,
                    error = format!("{error:#}"),
                    "round failed; retrying"
                );
                delay
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    sender.finish().await;
    tracing::info!("stopped");
    Ok(())
}

/// Polls the outcomes of sent transactions, reads the chain, counts the rows of due windows, and
/// queues the due actions for sending.
async fn round(
    client: &Arc<Client>,
    key: Address,
    models: &[ModelConfig],
    reader: &mut Option<SnapshotReader>,
    sender: &mut Sender,
    oracles: &mut Oracles,
) -> Result<()> {
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(SnapshotReader::start(client.clone(), key, models).await?),
    };
    sender.poll_outcomes().await?;
    let blockhash = reader.read().await?;
    let snapshot = &mut reader.snapshot;
    for model in &mut snapshot.models {
        // Counting the rows of a window blocks the thread.
        tokio::task::block_in_place(|| oracles.add_submissions(model, &key, snapshot.now))?;
    }
    sender.send(due::actions(snapshot), blockhash);
    Ok(())
}
