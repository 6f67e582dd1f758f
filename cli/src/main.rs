//! `driftshield`: the command line of the DriftShield protocol.

mod address;
mod args;
mod collateral;
mod config;
mod error;
mod market;
mod model;
mod oracle;
mod policy;
mod position;
mod print;
mod receipt;
mod send;
mod series;
mod session;
mod vault;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use driftshield_sdk::rpc::Client;

use crate::session::Session;

const GLOBAL_HEADING: &str = "Global options";

/// Administer the DriftShield protocol and take part in it.
///
/// Amounts are in tokens, drift values are decimals (0.25), durations are written like 90s, 12h or
/// 1d12h. Times are RFC 3339, unix seconds, or relative to the cluster's clock (+30s).
#[derive(Parser)]
#[command(name = "driftshield", version, arg_required_else_help = true)]
struct Cli {
    /// RPC node: a URL, or localhost, devnet, testnet, mainnet-beta
    #[arg(
        long,
        short,
        env = "RPC_URL",
        global = true,
        help_heading = GLOBAL_HEADING,
        default_value = "http://127.0.0.1:8899"
    )]
    url: String,
    /// Keypair file of the signer and fee payer [default: ~/.config/solana/id.json]
    #[arg(long, short, global = true, value_name = "FILE", help_heading = GLOBAL_HEADING)]
    keypair: Option<PathBuf>,
    /// Priority fee in micro-lamports per compute unit of the transaction's limit
    #[arg(
        long,
        env = "PRIORITY_FEE",
        global = true,
        value_name = "MICRO_LAMPORTS",
        help_heading = GLOBAL_HEADING,
        default_value_t = 0
    )]
    priority_fee: u64,
    /// Only simulate the transaction and print its effects
    #[arg(long, global = true, help_heading = GLOBAL_HEADING)]
    dry_run: bool,
    /// Print JSON
    #[arg(long, global = true, help_heading = GLOBAL_HEADING)]
    json: bool,
    /// Read and print amounts in base units instead of tokens
    #[arg(long, global = true, help_heading = GLOBAL_HEADING)]
    raw: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set up the program, once (signed by its upgrade authority)
    Init(config::Init),
    /// Roles and settings
    #[command(subcommand)]
    Config(config::Command),
    /// Transfer the admin role in two steps
    #[command(subcommand)]
    Admin(config::Admin),
    /// Transfer the arbiter's role in two steps
    #[command(subcommand)]
    Arbiter(config::Arbiter),
    /// Pause new risk (signed by the guardian or the admin)
    Pause(config::PauseArgs),
    /// Allow new risk again (signed by the admin)
    Unpause(config::PauseArgs),
    /// Tokens that bonds, markets and cover are denominated in
    #[command(subcommand)]
    Collateral(collateral::Command),
    /// The protocol's earnings
    #[command(subcommand)]
    Treasury(collateral::Treasury),
    /// Models whose drift is measured
    #[command(subcommand)]
    Model(model::Command),
    /// Oracles' seats and bonds
    #[command(subcommand)]
    Oracle(oracle::Command),
    /// Submissions of a window that isn't settled yet, and their disputes
    #[command(subcommand)]
    Receipt(receipt::Command),
    /// A model's drift by window
    #[command(subcommand)]
    Series(series::Command),
    /// Markets on a model's drift
    #[command(subcommand)]
    Market(market::Command),
    /// Stakes in markets
    #[command(subcommand)]
    Position(position::Command),
    /// Capital that backs policies
    #[command(subcommand)]
    Vault(Box<vault::Command>),
    /// Cover against a model's drift
    #[command(subcommand)]
    Policy(policy::Command),
    /// Compute the address of an account
    #[command(subcommand)]
    Address(address::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error::report(&error, json);
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let keypair_file = match cli.keypair {
        Some(path) => path,
        None => std::env::home_dir()
            .context("there is no home directory; pass a keypair file with --keypair")?
            .join(".config/solana/id.json"),
    };
    let session = &Session {
        client: Client::new(args::cluster_url(&cli.url)).with_priority_fee(cli.priority_fee),
        keypair_file,
        dry_run: cli.dry_run,
        json: cli.json,
        raw: cli.raw,
    };
    match cli.command {
        Command::Init(command) => command.run(session).await,
        Command::Config(command) => command.run(session).await,
        Command::Admin(command) => command.run(session).await,
        Command::Arbiter(command) => command.run(session).await,
        Command::Pause(args) => args.pause(session).await,
        Command::Unpause(args) => args.unpause(session).await,
        Command::Collateral(command) => command.run(session).await,
        Command::Treasury(command) => command.run(session).await,
        Command::Model(command) => command.run(session).await,
        Command::Oracle(command) => command.run(session).await,
        Command::Receipt(command) => command.run(session).await,
        Command::Series(command) => command.run(session).await,
        Command::Market(command) => command.run(session).await,
        Command::Position(command) => command.run(session).await,
        Command::Vault(command) => command.run(session).await,
        Command::Policy(command) => command.run(session).await,
        Command::Address(command) => command.run(session).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn command_line_definition_is_valid() {
        super::Cli::command().debug_assert();
    }
}
