//! The running system: starts its parts in order and runs the project's programs on it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use backon::Retryable;
use nix::sys::signal::Signal;
use serde::Serialize;
use solana_keypair::{Keypair, write_keypair_file};
use solana_signer::Signer;
use tokio::{net::TcpStream, process::Command, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    children::Children,
    console::print_line,
    geyser::{
        self,
        faults::{self, Faults, node::NodeFaults},
        feed::Feed,
    },
    options::Options,
    poll,
    ports::Ports,
    postgres, validator,
};

/// File in the network's directory with the [`Addresses`], written once everything is up.
pub const ADDRESS_FILE: &str = "localnet.json";
pub const LOG_DIRECTORY: &str = "logs";
const API_TIMEOUT: Duration = Duration::from_secs(60);

/// The started system.
pub struct Localnet {
    pub rpc_url: String,
    pub ws_url: String,
    pub grpc_url: String,
    pub database_url: String,
    /// `None` with `--bare`.
    pub api_url: Option<String>,
    /// `None` without `--faults-port`.
    faults_url: Option<String>,
    /// Holds [`validator::PAYER_SOL`] SOL at the start and is the program's upgrade authority.
    pub payer: Keypair,
    pub payer_file: PathBuf,
    pub directory: PathBuf,
    /// Directory of the project's programs: the directory of this executable.
    program_directory: PathBuf,
    children: Children,
}

/// Content of [`ADDRESS_FILE`].
#[derive(Debug, Serialize)]
struct Addresses<'a> {
    rpc_url: &'a str,
    ws_url: &'a str,
    grpc_url: &'a str,
    database_url: &'a str,
    api_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    faults_url: Option<&'a str>,
    payer: &'a Path,
    program_id: String,
}

impl Localnet {
    /// Starts all parts. Parts that fail later report to `failures`; `stop` stops the servers of this
    /// process.
    pub async fn start(
        options: &Options,
        directory: PathBuf,
        children: Children,
        failures: mpsc::UnboundedSender<anyhow::Error>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let ports = Ports::reserve(options)?;
        let payer = Keypair::new();
        let payer_file = directory.join("payer.json");
        write_keypair_file(&payer, &payer_file)
            .map_err(|error| anyhow!("writing {}: {error}", payer_file.display()))?;
        let (rpc_port, ws_port) = (ports.rpc.number()?, ports.ws.number()?);
        let mut localnet = Self {
            rpc_url: format!("http://127.0.0.1:{rpc_port}"),
            ws_url: format!("ws://127.0.0.1:{ws_port}"),
            grpc_url: format!("http://127.0.0.1:{}", ports.grpc.number()?),
            database_url: String::new(),
            api_url: None,
            faults_url: None,
            payer,
            payer_file,
            directory,
            program_directory: executable_directory()?,
            children,
        };
        let api_address = ports.api.map(|port| port.address()).transpose()?;
        drop((ports.rpc, ports.ws));

        print_line("starting the validator");
        let feed = Arc::<Feed>::default();
        let faults = Faults::new(Arc::clone(&feed));
        let node = NodeFaults::new(Arc::clone(&faults));
        validator::start(rpc_port, ws_port, &localnet.payer, node, failures.clone())?;
        let grpc_listener = ports.grpc.into_listener()?;
        let grpc_server = geyser::server::run(grpc_listener, Arc::clone(&faults), stop.clone());
        spawn_server(grpc_server, failures.clone());
        if let Some(port) = ports.faults {
            localnet.faults_url = Some(format!("http://{}/faults", port.address()?));
            let control = faults::control::run(port.into_listener()?, faults, stop);
            spawn_server(control, failures);
        }
        let (database_url, ()) = tokio::try_join!(
            localnet.start_database(options),
            localnet.deploy_program(options, &feed)
        )?;
        localnet.database_url = database_url;

        print_line("creating the database schema");
        let mut migrate = localnet.command("indexer");
        migrate.arg("migrate");
        localnet.children.run("migrate", &migrate, None).await?;
        if let Some(address) = api_address {
            localnet.start_services(address).await?;
            localnet.api_url = Some(format!("http://{address}"));
        }
        Ok(localnet)
    }

    /// Returns the URL of an empty database.
    async fn start_database(&self, options: &Options) -> anyhow::Result<String> {
        match &options.database_url {
            Some(url) => Ok(url.clone()),
            None => {
                print_line("starting Postgres");
                postgres::start(&self.children).await
            }
        }
    }

    /// Waits for the validator and deploys the program to it.
    async fn deploy_program(&self, options: &Options, feed: &Feed) -> anyhow::Result<()> {
        let default = self.program_directory.join("../deploy/driftshield.so");
        let program = options.program.as_ref().unwrap_or(&default);
        let rpc = validator::Rpc::new(&self.rpc_url);
        rpc.wait_until_ready(&self.payer.pubkey(), feed).await?;
        print_line("deploying the program");
        rpc.deploy(&driftshield_sdk::ID, program, &self.payer.pubkey())
            .await
    }

    async fn start_services(&self, api_address: SocketAddr) -> anyhow::Result<()> {
        print_line("starting indexer and api");
        let mut indexer = self.command("indexer");
        indexer.args(["run", "--listen", "127.0.0.1:0"]);
        self.spawn("indexer", indexer)?;
        let mut api = self.command("api");
        api.env("API_LISTEN", api_address.to_string());
        self.spawn("api", api)?;
        (|| TcpStream::connect(api_address))
            .retry(poll::schedule(API_TIMEOUT))
            .await
            .with_context(|| {
                let log = self.log_directory().join("api.log");
                format!("the API does not answer: see {}", log.display())
            })?;
        Ok(())
    }

    /// A command for one of the project's programs. Its environment has the addresses of the
    /// network.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.program_directory.join(program));
        command
            .env("DATABASE_URL", &self.database_url)
            .env("RPC_URL", &self.rpc_url)
            .env("WS_URL", &self.ws_url)
            .env("GRPC_URL", &self.grpc_url)
            // Surfpool's clock stands still while the machine is too busy to make slots.
            .env("INDEXER_BLOCK_TIME_TOLERANCE_SECS", "86400");
        command
    }

    /// Runs a program until localnet ends, with its output in `NAME.log`. If the program ends
    /// earlier, localnet fails.
    pub fn spawn(&self, name: &str, command: Command) -> anyhow::Result<()> {
        self.children.spawn(name, &command, None, Signal::SIGTERM)
    }

    /// Stops a program that [`Self::spawn`] started.
    pub async fn stop(&self, name: &str) {
        self.children.stop(name).await;
    }

    /// Runs a program to its end, returns its output and appends it to `commands.log`. Any exit
    /// status but success is an error that quotes the last lines of the output.
    pub async fn run(&self, command: Command) -> anyhow::Result<String> {
        self.children.run("commands", &command, None).await
    }

    /// Fails if a program that [`Self::spawn`] started has ended.
    pub fn check_children(&self) -> anyhow::Result<()> {
        self.children.check_running()
    }

    pub fn log_directory(&self) -> PathBuf {
        self.directory.join(LOG_DIRECTORY)
    }

    /// Writes the addresses to [`ADDRESS_FILE`] and prints them.
    pub fn announce(&self) -> anyhow::Result<()> {
        let addresses = Addresses {
            rpc_url: &self.rpc_url,
            ws_url: &self.ws_url,
            grpc_url: &self.grpc_url,
            database_url: &self.database_url,
            api_url: self.api_url.as_deref(),
            faults_url: self.faults_url.as_deref(),
            payer: &self.payer_file,
            program_id: driftshield_sdk::ID.to_string(),
        };
        let file = self.directory.join(ADDRESS_FILE);
        // Readers poll for the file: the rename makes it appear with its full content.
        let temporary = file.with_extension("json.new");
        fs::write(&temporary, serde_json::to_vec_pretty(&addresses)?)
            .and_then(|()| fs::rename(&temporary, &file))
            .with_context(|| format!("writing {}", file.display()))?;
        print_line(&self.address_table());
        print_line("ready");
        Ok(())
    }

    fn address_table(&self) -> String {
        let Self {
            rpc_url,
            ws_url,
            grpc_url,
            database_url,
            ..
        } = self;
        let (api_line, api_example) = match &self.api_url {
            Some(url) => (
                format!("  API        {url}\n"),
                format!("  curl {url}/health/readiness\n  curl {url}/api/v1/models\n"),
            ),
            None => Default::default(),
        };
        format!(
            r#"
  RPC        {rpc_url}
  WebSocket  {ws_url}
  gRPC       {grpc_url}  (for Yellowstone clients)
{api_line}  Postgres   {database_url}
  program    {program}
  payer      {address}, {sol} SOL, {file}
  logs       {logs}

To try:
{api_example}  curl {rpc_url} -H 'content-type: application/json' -d '{{"jsonrpc":"2.0","id":1,"method":"getSlot"}}'
  websocat -n {ws_url} <<< '{{"jsonrpc":"2.0","id":1,"method":"slotSubscribe"}}'
  psql '{database_url}' -c '\dv readable.*'
"#,
            program = driftshield_sdk::ID,
            address = self.payer.pubkey(),
            sol = validator::PAYER_SOL,
            file = self.payer_file.display(),
            logs = self.log_directory().display(),
        )
    }
}

/// Runs a server in the background. If it fails, `failures` receives the reason.
fn spawn_server(
    server: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    failures: mpsc::UnboundedSender<anyhow::Error>,
) {
    tokio::spawn(async move {
        if let Err(error) = server.await {
            let _ = failures.send(error);
        }
    });
}

fn executable_directory() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe().context("finding this executable")?;
    let directory = executable
        .parent()
        .context("this executable has no parent directory")?;
    Ok(directory.to_owned())
}
