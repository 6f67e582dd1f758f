use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
};

use anyhow::Context;
use clap::Parser;
use driftshield_api::ChainOptions;
use tokio::{net::TcpListener, signal::unix};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Serves the mirror of the chain over REST and WebSocket.
#[derive(Parser)]
#[command(name = "api", version)]
struct Options {
    /// Address to listen on; with port 0, a free port, which the log reports.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// URL of the Postgres database that the indexer writes; the login in the URL must be a member
    /// of the role driftshield_api.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[command(flatten)]
    chain: ChainOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let options = Options::parse();

    let db = driftshield_api::connect(&options.database_url)
        .context("--database-url is not a Postgres URL; give postgres://USER@HOST/DATABASE")?;
    let listener = TcpListener::bind(options.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; choose another --listen",
            options.listen
        )
    })?;
    let shutdown = CancellationToken::new();
    cancel_on_signals(shutdown.clone())?;
    driftshield_api::serve(listener, db, &options.chain, shutdown).await
}

/// Cancels `shutdown` on SIGINT or SIGTERM.
fn cancel_on_signals(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        shutdown.cancel();
    });
    Ok(())
}
