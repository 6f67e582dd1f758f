//! The whole DriftShield system on one machine: a validator and its Yellowstone gRPC feed in this
//! process, and Postgres, `indexer` and `api` as child processes, which end with this process.

mod children;
mod console;
mod example;
mod geyser;
mod network;
mod options;
mod pid_file;
mod poll;
mod ports;
mod postgres;
mod validator;

pub use options::Options;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    children::Children,
    console::print_line,
    network::{ADDRESS_FILE, LOG_DIRECTORY, Localnet},
    pid_file::PidFile,
};

/// Starts the system and runs it until Ctrl-C, SIGTERM, or with `--once` the end of the example.
/// Fails as soon as one part of the system fails.
pub async fn run(options: Options) -> anyhow::Result<()> {
    if !options.bare {
        example::check_data(&options.data)?;
    }
    let directory = create_directory(&options.dir)?;
    let (failure_sender, mut failures) = mpsc::unbounded_channel();
    let pid_file = PidFile::create(&directory)?;
    let address_file = directory.join(ADDRESS_FILE);
    // Left by a killed localnet: stale.
    let _ = fs::remove_file(&address_file);
    let children = Children::new(
        directory.join(LOG_DIRECTORY),
        pid_file,
        failure_sender.clone(),
    )?;
    let stop = CancellationToken::new();
    let system = run_system(
        &options,
        directory,
        children.clone(),
        failure_sender,
        stop.clone(),
    );
    let result = tokio::select! {
        // Report the root cause first: a failed part also makes `run_system` fail.
        biased;
        Some(failure) = failures.recv() => Err(failure),
        interrupted = wait_for_interrupt() => interrupted,
        result = system => result,
    };
    print_line("stopping");
    children.shutdown().await;
    stop.cancel();
    let _ = fs::remove_file(&address_file);
    result
}

async fn run_system(
    options: &Options,
    directory: PathBuf,
    children: Children,
    failures: mpsc::UnboundedSender<anyhow::Error>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let localnet = Localnet::start(options, directory, children, failures, stop).await?;
    localnet.announce()?;
    if !options.bare {
        example::run(&localnet, options).await?;
    }
    if !options.once {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Creates the directory if it is missing; returns its absolute path.
fn create_directory(directory: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(directory)
        .and_then(|()| directory.canonicalize())
        .with_context(|| format!("creating directory {}", directory.display()))
}

/// Waits for Ctrl-C or SIGTERM.
async fn wait_for_interrupt() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("listening for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
