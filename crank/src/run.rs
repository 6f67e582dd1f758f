//! `crank run`: repeats rounds until stopped.

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
    config::Config,
    due, evidence,
    oracle::{EvidencePublisher, Oracles},
    reader::{MissingModel, SnapshotReader},
    retry::exponential_backoff,
    send::Sender,
    spec_file::SpecMismatch,
};

/// Maximum delay after a failed round. Delays start again after a round that succeeds.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Serves the configured models until `stop` is cancelled. Fails if the configuration can't work;
/// retries if the RPC node can't be reached.
pub async fn run(config: Config, stop: CancellationToken) -> Result<()> {
    let keypair = read_keypair(&config.keypair).map_err(anyhow::Error::msg)?;
    let mut oracles = Oracles::open(&config)?;
    let server = match oracles.publisher() {
        Some(publisher) => serve(publisher, &stop).await?,
        None => None,
    };
    let client = Arc::new(Client::new(config.rpc_url.clone()));
    let rounds = rounds(&config, client, keypair, &mut oracles, &stop).await;
    stop.cancel(); // stops the server if the rounds failed
    if let Some(server) = server {
        server.await??;
    }
    rounds
}

/// Starts the evidence server if an address to listen on is configured.
async fn serve(
    publisher: &EvidencePublisher,
    stop: &CancellationToken,
) -> Result<Option<JoinHandle<std::io::Result<()>>>> {
    let Some(listen) = publisher.config.listen else {
        return Ok(None);
    };
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("evidence.listen: could not bind {listen}"))?;
    tracing::info!(%listen, url = publisher.config.url, "serving evidence");
    let serving = evidence::serve(publisher.store.clone(), listener, stop.clone());
    Ok(Some(tokio::spawn(serving)))
}

async fn rounds(
    config: &Config,
    client: Arc<Client>,
    keypair: Keypair,
    oracles: &mut Oracles,
    stop: &CancellationToken,
) -> Result<()> {
    let key = keypair.pubkey();
    let models: Vec<Address> = config.models.iter().map(|model| model.address).collect();
    tracing::info!(%key, models = models.len(), rpc_url = config.rpc_url, "running");
    let mut sender = Sender::new(client.clone(), Arc::new(keypair));
    let mut reader = None;
    let mut delays = exponential_backoff(MAX_RETRY_DELAY);
    loop {
        let started_at = Instant::now();
        let round = round(&client, key, &models, &mut reader, &mut sender, oracles);
        let result = tokio::select! {
            () = stop.cancelled() => break,
            result = round => result,
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
                tracing::warn!(wait_ms, error = format!("{error:#}"), "round failed");
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

/// Polls outcomes, reads the chain, counts windows, and sends the due actions.
async fn round(
    client: &Arc<Client>,
    key: Address,
    models: &[Address],
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
        // Counting a window blocks the thread for long.
        tokio::task::block_in_place(|| oracles.add_submissions(model, &key, snapshot.now))?;
    }
    sender.send(due::actions(snapshot), blockhash);
    Ok(())
}
