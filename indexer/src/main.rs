use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use driftshield_indexer::{
    ConfigFile, Endpoints, RunOptions, Settings, migrate, rebuild, run, verify,
};
use driftshield_service::{error_chain, init_log, shutdown};
use tokio::runtime::Runtime;

/// Mirrors the program's accounts and events into Postgres.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Configuration file (TOML); flags and environment variables take precedence
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    endpoints: Endpoints,
}

#[derive(Subcommand)]
enum Command {
    /// Create the database tables, or update them to the current schema.
    Migrate,
    /// Mirror the chain until stopped.
    Run(RunOptions),
    /// Empty the mirror and make it anew from the RPC node, with the program's past events; ends once it
    /// is complete. Readers of the database wait meanwhile.
    Rebuild(RunOptions),
    /// Compare the mirror with the chain byte by byte; exits with 1 if they differ.
    Verify,
}

fn main() -> ExitCode {
    init_log();
    let runtime = Runtime::new().expect("threads can be started");
    let executed = runtime.block_on(execute(Cli::parse()));
    // A look-up of a name that hangs can't be cancelled, and nothing needs it any more.
    runtime.shutdown_background();
    match executed {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let file = cli.config.as_deref().map(ConfigFile::read).transpose()?;
    let file = file.unwrap_or_default();
    match cli.command {
        Command::Migrate => migrate(&cli.endpoints.or_file(file)).await?,
        Command::Run(options) => {
            let settings = Settings::new(&options, &file);
            run(&cli.endpoints.or_file(file), &settings, shutdown()?).await?;
        }
        Command::Rebuild(options) => {
            let settings = Settings::new(&options, &file);
            rebuild(&cli.endpoints.or_file(file), &settings, shutdown()?).await?;
        }
        Command::Verify => {
            let report = verify(&cli.endpoints.or_file(file)).await?;
            print!("{report}");
            if !report.differences.is_empty() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
