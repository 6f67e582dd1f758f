//! Mirrors the program's accounts and events into Postgres, schema `chain`.
//!
//! Yellowstone's stream at confirmed commitment gives whole slots ([`stream`], [`slot`]); a slot
//! goes into the database with the cursor that says so, in one transaction ([`apply`]). What was
//! there before the first slot comes from an RPC node ([`snapshot`]). Whatever is killed at any
//! moment goes on from the cursor.

pub mod accounts;
pub mod apply;
pub mod events;
mod rows;
pub mod run;
pub mod slot;
pub mod snapshot;
pub mod stream;
pub mod verify;

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use run::run;
pub use verify::verify;

/// Where the chain and the database are.
#[derive(Clone, clap::Args)]
pub struct Endpoints {
    /// Postgres: postgres://user:password@host/database
    #[arg(long, env, hide_env_values = true, global = true)]
    pub database_url: Option<String>,
    /// JSON-RPC of a Solana node: http://127.0.0.1:8899
    #[arg(long, env, hide_env_values = true, global = true)]
    pub rpc_url: Option<String>,
    /// Yellowstone gRPC: http://127.0.0.1:10000
    #[arg(long, env, hide_env_values = true, global = true)]
    pub grpc_url: Option<String>,
    /// What the Yellowstone server wants as `x-token`
    #[arg(long, env, hide_env_values = true, global = true)]
    pub grpc_token: Option<String>,
}

impl Endpoints {
    fn database(&self) -> anyhow::Result<&str> {
        self.database_url
            .as_deref()
            .context("say where Postgres is: --database-url or DATABASE_URL")
    }

    fn rpc(&self) -> anyhow::Result<&str> {
        self.rpc_url
            .as_deref()
            .context("say where the RPC node is: --rpc-url or RPC_URL")
    }

    fn grpc(&self) -> anyhow::Result<stream::Server> {
        let url = self
            .grpc_url
            .clone()
            .context("say where Yellowstone gRPC is: --grpc-url or GRPC_URL")?;
        let token = self.grpc_token.clone();
        Ok(stream::Server { url, token })
    }
}

/// Makes the tables, or brings them up to date.
pub async fn migrate(endpoints: &Endpoints) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(endpoints.database()?)
        .await
        .context("could not connect to Postgres")?;
    sqlx::migrate!("../migrations")
        .run(&mut connection)
        .await
        .context("could not migrate the database")
}

/// A token that Ctrl-C and SIGTERM cancel.
pub fn shutdown() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind).context("could not listen to signals")?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(stop)
}
