//! Command-line options.

use std::path::PathBuf;

/// Run the whole DriftShield system on this machine until Ctrl-C.
#[derive(Debug, clap::Parser)]
#[command(name = "localnet", version)]
pub struct Options {
    /// Directory for the addresses (localnet.json), the payer's key and the logs.
    #[arg(long, value_name = "DIR", default_value = "target/localnet")]
    pub dir: PathBuf,
    /// Start only the validator with the program deployed, its gRPC feed and the database: no
    /// indexer, no API, no example.
    #[arg(long)]
    pub bare: bool,
    /// Exit after the example.
    #[arg(long)]
    pub once: bool,
    /// Directory with the example's data: analysis.parquet and reference.parquet.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "examples/employment-ma/data"
    )]
    pub data: PathBuf,
    /// Length of one window of the example.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub window_secs: u64,
    /// Program to deploy [default: ../deploy/driftshield.so, relative to this executable's
    /// directory].
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Use this database, which must be empty, instead of starting Postgres.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Port of JSON-RPC; 0 picks a free port, as for the other ports.
    #[arg(long, value_name = "N", default_value_t = 8899)]
    pub rpc_port: u16,
    /// Port of RPC subscriptions (WebSocket).
    #[arg(long, value_name = "N", default_value_t = 8900)]
    pub ws_port: u16,
    /// Port of Yellowstone gRPC.
    #[arg(long, value_name = "N", default_value_t = 10000)]
    pub grpc_port: u16,
    /// Port of REST and WebSocket of `api`.
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub api_port: u16,
    /// Port of the interface that injects faults into the gRPC feed, for tests; closed by default.
    #[arg(long, value_name = "N", hide = true)]
    pub faults_port: Option<u16>,
}
