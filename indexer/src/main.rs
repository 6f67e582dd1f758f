use std::{io::IsTerminal, process::ExitCode};

use clap::{Parser, Subcommand};
use driftshield_indexer::{Endpoints, error_chain, migrate, rebuild, run, shutdown, verify};
use tracing_subscriber::EnvFilter;

/// Mirrors the program's accounts and events into Postgres.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    endpoints: Endpoints,
}

#[derive(Subcommand)]
enum Command {
    /// Create the database tables, or update them to the current schema.
    Migrate,
    /// Mirror the chain until stopped.
    Run,
    /// Empty the mirror and make it anew from the RPC node, with the program's past events; ends once it
    /// is complete. Readers of the database wait meanwhile.
    Rebuild,
    /// Compare the mirror with the chain byte by byte; exits with 1 if they differ.
    Verify,
}

#[tokio::main]
async fn main() -> ExitCode {
    let level = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into());
    tracing_subscriber::fmt()
        .with_env_filter(level.from_env_lossy())
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match execute(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Migrate => migrate(&cli.endpoints).await?,
        Command::Run => run(&cli.endpoints, shutdown()?).await?,
        Command::Rebuild => rebuild(&cli.endpoints, shutdown()?).await?,
        Command::Verify => {
            let report = verify(&cli.endpoints).await?;
            print!("{report}");
            if !report.differences.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
