use std::process::ExitCode;

use clap::Parser;
use driftshield_api::{Options, serve};
use driftshield_service::{error_chain, init_log, shutdown};

#[tokio::main]
async fn main() -> ExitCode {
    init_log();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    serve(&options.settings()?, shutdown()?).await
}
