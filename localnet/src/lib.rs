//! The whole system on one machine: a validator and its Yellowstone gRPC feed in process, and
//! Postgres, `indexer` and `api` as child processes. Nothing outlives it.

pub mod children;
pub mod example;
pub mod faucet;
pub mod geyser;
pub mod ports;
pub mod postgres;
pub mod record;
pub mod validator;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use solana_keypair::{Keypair, write_keypair_file};
use solana_signer::Signer;
use tokio::{net::TcpStream, process::Command, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    children::{Ask, Children},
    geyser::feed::Feed,
    ports::Port,
    record::Record,
};

const ADDRESSES: &str = "localnet.json";
const LOGS: &str = "logs";
const PATIENCE: Duration = Duration::from_secs(60);

/// Brings the whole system up on this machine and keeps it up until Ctrl-C.
#[derive(Debug, clap::Parser)]
#[command(name = "localnet", version)]
pub struct Options {
    /// Where addresses (localnet.json), the payer's key and the logs go.
    #[arg(long, value_name = "DIR", default_value = "target/localnet")]
    pub dir: PathBuf,
    /// Start the chain, its gRPC feed and the database, with the program deployed, and nothing
    /// that uses them.
    #[arg(long)]
    pub bare: bool,
    /// End after the example.
    #[arg(long)]
    pub once: bool,
    /// The example's data: analysis.parquet and reference.parquet.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "examples/employment-ma/data"
    )]
    pub data: PathBuf,
    /// How long a window of the example takes.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub window_secs: u64,
    /// The program to deploy [default: ../deploy/driftshield.so beside this executable's folder].
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Use this database, which has to be empty, instead of starting a Postgres.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// JSON-RPC; 0 takes a free port, here and below.
    #[arg(long, value_name = "N", default_value_t = 8899)]
    pub rpc_port: u16,
    /// RPC subscriptions.
    #[arg(long, value_name = "N", default_value_t = 8900)]
    pub ws_port: u16,
    /// Yellowstone gRPC.
    #[arg(long, value_name = "N", default_value_t = 10000)]
    pub grpc_port: u16,
    /// REST and WebSocket of `api`.
    #[arg(long, value_name = "N", default_value_t = 8080)]
    pub api_port: u16,
}

/// The system, started.
pub struct Localnet {
    pub rpc_url: String,
    pub ws_url: String,
    pub grpc_url: String,
    pub database_url: String,
    /// None with `--bare`.
    pub api_url: Option<String>,
    /// It holds [`validator::PAYER_SOL`] SOL and may upgrade the program.
    pub payer: Keypair,
    pub payer_file: PathBuf,
    pub dir: PathBuf,
    /// Where the project's programs are: beside this one.
    programs: PathBuf,
    children: Children,
}

/// What `DIR/localnet.json` holds.
#[derive(Debug, Serialize)]
struct Addresses<'a> {
    rpc_url: &'a str,
    ws_url: &'a str,
    grpc_url: &'a str,
    database_url: &'a str,
    api_url: Option<&'a str>,
    payer: &'a Path,
    program_id: String,
}

/// Starts the system and runs it to its end: Ctrl-C or SIGTERM, the end of the example with
/// `--once`, or the first part that fails, which is the error.
pub async fn run(options: Options) -> anyhow::Result<()> {
    if !options.bare {
        example::find_data(&options.data)?;
    }
    let dir = make_folder(&options.dir)?;
    let (failed, mut failures) = mpsc::unbounded_channel();
    let record = Record::begin(&dir)?;
    let addresses = dir.join(ADDRESSES);
    // One that a killed localnet left says what is not so.
    let _ = fs::remove_file(&addresses);
    let children = Children::new(dir.join(LOGS), record, failed.clone())?;
    let stop = CancellationToken::new();
    let result = tokio::select! {
        // What a failure made fail is less to the point than the failure.
        biased;
        Some(failure) = failures.recv() => Err(failure),
        interrupted = interrupted() => interrupted,
        result = work(&options, dir, children.clone(), failed, stop.clone()) => result,
    };
    say("stopping");
    children.shutdown().await;
    stop.cancel();
    let _ = fs::remove_file(&addresses);
    result
}

async fn work(
    options: &Options,
    dir: PathBuf,
    children: Children,
    failed: mpsc::UnboundedSender<anyhow::Error>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut localnet = Localnet::start(options, dir, children, failed, stop).await?;
    localnet.announce()?;
    if !options.bare {
        example::run(&mut localnet, options).await?;
    }
    if !options.once {
        std::future::pending::<()>().await;
    }
    Ok(())
}

impl Localnet {
    async fn start(
        options: &Options,
        dir: PathBuf,
        children: Children,
        failed: mpsc::UnboundedSender<anyhow::Error>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let ports = Ports::take(options)?;
        let programs = executable_dir()?;
        let payer = Keypair::new();
        let payer_file = dir.join("payer.json");
        write_keypair_file(&payer, &payer_file)
            .map_err(|error| anyhow!("writing {}: {error}", payer_file.display()))?;
        let (rpc_port, ws_port) = (ports.rpc.port()?, ports.ws.port()?);
        let mut localnet = Self {
            rpc_url: format!("http://127.0.0.1:{rpc_port}"),
            ws_url: format!("ws://127.0.0.1:{ws_port}"),
            grpc_url: format!("http://127.0.0.1:{}", ports.grpc.port()?),
            database_url: String::new(),
            api_url: None,
            payer,
            payer_file,
            dir,
            programs,
            children,
        };
        let (grpc, api) = ports.give_back();

        localnet.say("starting the validator");
        let feed = validator::start(rpc_port, ws_port, &localnet.payer, failed.clone())?;
        let serving = geyser::server::run(grpc.listener()?, feed.clone(), stop);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                let _ = failed.send(error);
            }
        });
        let (database_url, ()) = tokio::try_join!(
            localnet.start_database(options),
            localnet.start_chain(options, &feed)
        )?;
        localnet.database_url = database_url;

        localnet.say("making the database's schema");
        let mut migrate = localnet.command("indexer");
        migrate.arg("migrate");
        localnet.children.run("migrate", &migrate, None).await?;
        if let Some(listen) = api {
            localnet.start_services(listen).await?;
            localnet.api_url = Some(format!("http://{listen}"));
        }
        Ok(localnet)
    }

    /// Returns the URL of an empty database.
    async fn start_database(&self, options: &Options) -> anyhow::Result<String> {
        match &options.database_url {
            Some(url) => Ok(url.clone()),
            None => {
                self.say("starting Postgres");
                postgres::start(&self.children).await
            }
        }
    }

    async fn start_chain(&self, options: &Options, feed: &Feed) -> anyhow::Result<()> {
        let beside = self.programs.join("../deploy/driftshield.so");
        let program = options.program.as_ref().unwrap_or(&beside);
        let rpc = validator::Rpc::new(&self.rpc_url)?;
        rpc.wait_until_up(&self.payer, feed).await?;
        self.say("deploying the program");
        let program_id = driftshield_sdk::ID.to_string();
        rpc.deploy(&program_id, program, &self.payer).await
    }

    async fn start_services(&self, api_listen: SocketAddr) -> anyhow::Result<()> {
        self.say("starting indexer and api");
        let mut indexer = self.command("indexer");
        indexer.arg("run");
        self.spawn("indexer", indexer)?;
        let mut api = self.command("api");
        api.env("LISTEN", api_listen.to_string());
        self.spawn("api", api)?;
        let since = Instant::now();
        while TcpStream::connect(api_listen).await.is_err() {
            if since.elapsed() > PATIENCE {
                bail!(
                    "the API does not answer: see {}",
                    self.logs().join("api.log").display()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// A command that runs one of the project's programs, told by its environment where
    /// everything is.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env("DATABASE_URL", &self.database_url)
            .env("RPC_URL", &self.rpc_url)
            .env("WS_URL", &self.ws_url)
            .env("GRPC_URL", &self.grpc_url);
        command
    }

    /// Runs a program until localnet ends; what it says goes to `NAME.log`. Should it end before,
    /// everything does.
    pub fn spawn(&self, name: &str, command: Command) -> anyhow::Result<()> {
        self.children.spawn(name, &command, None, Ask::Terminate)
    }

    /// Runs a program to its end and returns what it said, which goes to `commands.log` too;
    /// anything but success is an error that tells its last lines.
    pub async fn run(&self, command: Command) -> anyhow::Result<String> {
        self.children.run("commands", &command, None).await
    }

    /// Fails where a program has ended that should not.
    pub fn check(&self) -> anyhow::Result<()> {
        self.children.check()
    }

    /// The folder of the logs.
    pub fn logs(&self) -> PathBuf {
        self.dir.join(LOGS)
    }

    /// Tells the person who started localnet.
    pub fn say(&self, line: &str) {
        say(line);
    }

    /// Tells people and programs that all is up.
    fn announce(&self) -> anyhow::Result<()> {
        let addresses = Addresses {
            rpc_url: &self.rpc_url,
            ws_url: &self.ws_url,
            grpc_url: &self.grpc_url,
            database_url: &self.database_url,
            api_url: self.api_url.as_deref(),
            payer: &self.payer_file,
            program_id: driftshield_sdk::ID.to_string(),
        };
        let file = self.dir.join(ADDRESSES);
        let unfinished = file.with_extension("json.new");
        fs::write(&unfinished, serde_json::to_vec_pretty(&addresses)?)
            .and_then(|()| fs::rename(&unfinished, &file))
            .with_context(|| format!("writing {}", file.display()))?;
        self.say(&self.table());
        self.say("ready");
        Ok(())
    }

    fn table(&self) -> String {
        let Self {
            rpc_url,
            ws_url,
            grpc_url,
            database_url,
            ..
        } = self;
        let (api_line, api_try) = match &self.api_url {
            Some(url) => (
                format!("  API        {url}\n"),
                format!("  curl {url}/health\n"),
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
{api_try}  curl {rpc_url} -H 'content-type: application/json' -d '{{"jsonrpc":"2.0","id":1,"method":"getSlot"}}'
  websocat -n {ws_url} <<< '{{"jsonrpc":"2.0","id":1,"method":"slotSubscribe"}}'
  psql '{database_url}' -c '\dt chain.*'
"#,
            program = driftshield_sdk::ID,
            address = self.payer.pubkey(),
            sol = validator::PAYER_SOL,
            file = self.payer_file.display(),
            logs = self.logs().display(),
        )
    }
}

/// The ports of all parts. All are taken before any is given back, so that they differ.
struct Ports {
    rpc: Port,
    ws: Port,
    grpc: Port,
    api: Option<Port>,
}

impl Ports {
    fn take(options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            rpc: Port::take(options.rpc_port, "--rpc-port")?,
            ws: Port::take(options.ws_port, "--ws-port")?,
            grpc: Port::take(options.grpc_port, "--grpc-port")?,
            api: match options.bare {
                true => None,
                false => Some(Port::take(options.api_port, "--api-port")?),
            },
        })
    }

    /// Keeps the one that is served by this process itself; `api` is told its address.
    fn give_back(self) -> (Port, Option<SocketAddr>) {
        let api = self.api.and_then(|api| api.address().ok());
        (self.grpc, api)
    }
}

/// A port of this machine that is free.
pub fn free_port() -> anyhow::Result<u16> {
    Port::take(0, "")?.port()
}

/// The folder, made where it is missing, as an absolute path.
fn make_folder(dir: &Path) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(dir)
        .and_then(|()| dir.canonicalize())
        .with_context(|| format!("making {}", dir.display()))
}

fn executable_dir() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe().context("finding this executable")?;
    let dir = executable.parent().context("this executable's folder")?;
    Ok(dir.to_owned())
}

async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate()).context("listening to SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("listening to Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

/// A closed output is no reason to end.
fn say(line: &str) {
    use std::io::Write;

    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
