//! Addresses of the services that the indexer connects to.

use anyhow::{Context, ensure};

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
    /// Yellowstone gRPC URL: http://127.0.0.1:10000. Several, separated by commas, take turns: the next
    /// one is used when one fails
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_delimiter = ','
    )]
    pub grpc_url: Vec<String>,
    /// Access token of the Yellowstone gRPC server, sent as `x-token`: one for all servers, or one for
    /// each, separated by commas
    #[arg(
        long,
        env,
        hide_env_values = true,
        global = true,
        value_delimiter = ','
    )]
    pub grpc_token: Vec<String>,
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

    pub fn grpc(&self) -> anyhow::Result<Vec<GrpcServer>> {
        let (urls, tokens) = (&self.grpc_url, &self.grpc_token);
        ensure!(
            !urls.is_empty(),
            "no Yellowstone gRPC URL; set --grpc-url or GRPC_URL"
        );
        ensure!(
            tokens.len() <= 1 || tokens.len() == urls.len(),
            "{} tokens for {} gRPC servers; give --grpc-token or GRPC_TOKEN one token for all of them, \
             or one for each",
            tokens.len(),
            urls.len()
        );
        let token = |index: usize| {
            tokens
                .get(index.min(tokens.len().saturating_sub(1)))
                .cloned()
        };
        let servers = urls.iter().enumerate();
        Ok(servers
            .map(|(index, url)| GrpcServer {
                url: url.clone(),
                token: token(index),
            })
            .collect())
    }
}
