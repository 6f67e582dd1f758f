//! The crank: see the library for what it does.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use anchor_lang::Address;
use anyhow::Result;
use clap::{Parser, Subcommand};
use driftshield_crank::{check, config::Config, run, spec};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Measures models, submits receipts and pushes every settlement and payout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks after the models of a configuration file until it is ended.
    Run {
        /// Configuration file, in TOML.
        #[arg(long)]
        config: PathBuf,
    },
    /// Makes a metric-spec document from reference data.
    Spec(spec::Options),
    /// Counts a window anew and says whether to challenge its receipt: exits with 0 where the
    /// counts agree, 2 where it is to be challenged, 1 where that can't be told.
    Check {
        /// The model's address.
        model: Address,
        /// The window's number.
        window: u64,
        /// Configuration file that names the model's spec and data.
        #[arg(long)]
        config: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // 2 says to challenge, so a wrong command line has to say something else.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match execute(cli.command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Run { config } => {
            let stop = CancellationToken::new();
            let mut terminate = signal(SignalKind::terminate())?;
            let token = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                token.cancel();
            });
            run::run(Config::read(&config)?, stop).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Spec(options) => {
            spec::write(&options)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check {
            model,
            window,
            config,
        } => {
            let verdict = check::check(&Config::read(&config)?, model, window).await?;
            Ok(match verdict {
                check::Verdict::Agree => ExitCode::SUCCESS,
                check::Verdict::Challenge => ExitCode::from(2),
            })
        }
    }
}
