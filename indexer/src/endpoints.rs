//! Addresses of the services that the indexer connects to.

use anyhow::{Context, ensure};

use crate::{config::ConfigFile, stream::GrpcServer};

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
    /// Servers of the configuration file, for a command line without any.
    #[arg(skip)]
    grpc_of_file: Vec<GrpcServer>,
}

/// Each accessor fails if its option is missing, and names the option.
impl Endpoints {
    /// Fills in what the command line and the environment leave out.
    pub fn or_file(mut self, file: ConfigFile) -> Self {
        self.database_url = self.database_url.or(file.database_url);
        self.rpc_url = self.rpc_url.or(file.rpc_url);
        self.grpc_of_file = file.grpc;
        self
    }

    pub fn database(&self) -> anyhow::Result<&str> {
        self.database_url.as_deref().context(
            "no Postgres URL; set --database-url, DATABASE_URL, or database_url in the file of --config",
        )
    }

    pub fn rpc(&self) -> anyhow::Result<&str> {
        self.rpc_url
            .as_deref()
            .context("no RPC URL; set --rpc-url, RPC_URL, or rpc_url in the file of --config")
    }

    pub fn grpc(&self) -> anyhow::Result<Vec<GrpcServer>> {
        let (urls, tokens) = (&self.grpc_url, &self.grpc_token);
        let mut servers = match urls.is_empty() {
            true => self.grpc_of_file.clone(),
            // A token of the file belongs to a server of the file.
            false => urls
                .iter()
                .cloned()
                .map(GrpcServer::without_token)
                .collect(),
        };
        ensure!(
            !servers.is_empty(),
            "no Yellowstone gRPC URL; set --grpc-url, GRPC_URL, or [[grpc]] in the file of --config, or \
             poll the RPC node, which is slower, with --source rpc"
        );
        ensure!(
            tokens.len() <= 1 || tokens.len() == servers.len(),
            "{} tokens for {} gRPC servers; give --grpc-token or GRPC_TOKEN one token for all of them, \
             or one for each",
            tokens.len(),
            servers.len()
        );
        for (index, server) in servers.iter_mut().enumerate() {
            let token = tokens.get(index.min(tokens.len().saturating_sub(1)));
            server.token = token.cloned().or_else(|| server.token.take());
        }
        Ok(servers)
    }
}
