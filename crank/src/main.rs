//! Command line of the crank.

use std::{path::PathBuf, process::ExitCode};

use anchor_lang::Address;
use anyhow::Result;
use clap::{Parser, Subcommand};
use driftshield_crank::{check, config::Config, run, spec};
use driftshield_service::{init_log, shutdown};

/// Measures models, submits receipts and pushes every settlement and payout.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs keeper and oracle for the models of a configuration file, until stopped.
    Run {
        /// Configuration file (TOML).
        #[arg(long)]
        config: PathBuf,
    },
    /// Creates a metric-spec document from reference data.
    Spec(spec::Options),
    /// Recounts a window and compares its receipt. Exit code: 0 if the receipt's value is within
    /// the model's max_spread of the recount, 2 if it is not, 1 if the check failed.
    Check {
        /// Address of the model.
        model: Address,
        /// Number of the window.
        window: u64,
        /// Configuration file (TOML) with the model's spec and data.
        #[arg(long)]
        config: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    init_log();
    // clap exits with 2 on a usage error. Here 2 means that a receipt differs from the recount, so
    // usage errors exit with 1.
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
            run::run(Config::read(&config)?, shutdown()?).await?;
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
