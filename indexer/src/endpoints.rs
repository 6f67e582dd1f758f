//! Addresses of the services that the indexer connects to.

use anyhow::Context;

use crate::stream::GrpcServer;

/// Command-line options for Postgres, the RPC node and the gRPC server.
#[derive(Clone, clap::Args)]
pub struct Endpoints {
    /// Postgres URL: postgres://user:password@host/database
    #[arg(long, env, hide_env_values = true, global = true)]
    pub database_url: Option<String>,
    /// JSON-RPC URL of a Solana node: http://127.0.0.1:8899
    #[arg(long, env, hide_env_values = true, global = true)]
    pub rpc_url: Option<String>,
    /// Yellowstone gRPC URL: http://127.0.0.1:10000
    #[arg(long, env, hide_env_values = true, global = true)]
    pub grpc_url: Option<String>,
    /// Access token of the Yellowstone gRPC server, sent as `x-token`
    #[arg(long, env, hide_env_values = true, global = true)]
    pub grpc_token: Option<String>,
}

/// Each accessor fails if its option is missing, and names the option.
impl Endpoints {
    pub fn database(&self) -> anyhow::Result<&str> {
        self.database_url
            .as_deref()
            .context("no Postgres URL; set --database-url or DATABASE_URL")
    }

    pub fn rpc(&self) -> anyhow::Result<&str> {
        self.rpc_url
            .as_deref()
            .context("no RPC URL; set --rpc-url or RPC_URL")
    }

    pub fn grpc(&self) -> anyhow::Result<GrpcServer> {
        let url = self
            .grpc_url
            .clone()
            .context("no Yellowstone gRPC URL; set --grpc-url or GRPC_URL")?;
        let token = self.grpc_token.clone();
        Ok(GrpcServer { url, token })
    }
}
