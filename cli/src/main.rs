//! `driftshield`: administers the protocol and takes part in it, from a terminal.

mod address;
mod args;
mod capital;
mod collateral;
mod config;
mod exposure;
mod market;
mod model;
mod oracle;
mod policy;
mod position;
mod print;
mod receipt;
mod renewal;
mod send;
mod vault;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use driftshield_sdk::{error, rpc};
use serde_json::json;

use crate::send::Session;

const GLOBAL: &str = "Global options";

/// Administers the DriftShield protocol and takes part in it.
///
/// Amounts are in tokens, drift in decimals (0.25), durations like 90s, 12h or 1d12h; times are
/// RFC 3339, unix seconds, or ahead of the chain's clock (+30s).
#[derive(Parser)]
#[command(name = "driftshield", version, arg_required_else_help = true)]
struct Cli {
    /// RPC node: a URL, or localhost, devnet, testnet, mainnet-beta
    #[arg(
        long,
        short,
        env = "RPC_URL",
        global = true,
        help_heading = GLOBAL,
        default_value = "http://127.0.0.1:8899"
    )]
    url: String,
    /// Key that signs and pays [default: ~/.config/solana/id.json]
    #[arg(long, short, global = true, value_name = "FILE", help_heading = GLOBAL)]
    keypair: Option<PathBuf>,
    /// Only simulate the transaction and tell what it would do
    #[arg(long, global = true, help_heading = GLOBAL)]
    dry_run: bool,
    /// Print JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// Amounts are base units, not tokens: what is given and what is printed
    #[arg(long, global = true, help_heading = GLOBAL)]
    raw: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set the program up, once: signed by its upgrade authority
    Init(config::Init),
    /// Roles and settings
    #[command(subcommand)]
    Config(config::Config),
    /// Hand the admin role over, in two steps
    #[command(subcommand)]
    Admin(config::Admin),
    /// Stop new risk: the guardian or the admin
    Pause(config::Flags),
    /// Allow new risk again: the admin
    Unpause(config::Flags),
    /// Tokens that markets, cover and bonds settle in
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
    /// What oracles counted, window by window
    #[command(subcommand)]
    Receipt(receipt::Command),
    /// Markets on a model's drift
    #[command(subcommand)]
    Market(market::Command),
    /// Stakes in markets
    #[command(subcommand)]
    Position(position::Command),
    /// Capital that backs policies
    #[command(subcommand)]
    Vault(Box<vault::Command>),
    /// Cover on a model's drift
    #[command(subcommand)]
    Policy(policy::Command),
    /// Print where an account is, without asking the chain
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
            report(&error, json);
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let keypair = match cli.keypair {
        Some(path) => path,
        None => std::env::home_dir()
            .context("there is no home directory: name a key with --keypair")?
            .join(".config/solana/id.json"),
    };
    let url = args::url(&cli.url);
    let session = &Session::new(url, keypair, cli.dry_run, cli.json, cli.raw);
    match cli.command {
        Command::Init(command) => command.run(session).await,
        Command::Config(command) => command.run(session).await,
        Command::Admin(command) => command.run(session).await,
        Command::Pause(flags) => flags.pause(session).await,
        Command::Unpause(flags) => flags.unpause(session).await,
        Command::Collateral(command) => command.run(session).await,
        Command::Treasury(command) => command.run(session).await,
        Command::Model(command) => command.run(session).await,
        Command::Oracle(command) => command.run(session).await,
        Command::Receipt(command) => command.run(session).await,
        Command::Market(command) => command.run(session).await,
        Command::Position(command) => command.run(session).await,
        Command::Vault(command) => command.run(session).await,
        Command::Policy(command) => command.run(session).await,
        Command::Address(command) => command.run(session).await,
    }
}

fn report(error: &anyhow::Error, json: bool) {
    if !json {
        eprintln!("error: {error:#}");
        return;
    }
    let known = match error.downcast_ref() {
        Some(rpc::Error::TransactionFailed(refusal)) => refusal.code().and_then(error::by_code),
        _ => None,
    };
    let told = match known {
        Some(known) => {
            json!({ "code": known.code, "name": known.name, "message": known.message })
        }
        None => json!({ "code": null, "name": null, "message": format!("{error:#}") }),
    };
    eprintln!("{}", json!({ "error": told }));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn options_do_not_clash() {
        super::Cli::command().debug_assert();
    }
}
