//! The whole system as processes: a local network and the services on it.

pub mod budget;
pub mod faults;
pub mod fixture;
pub mod observer;
pub mod postgres;
pub mod relay;
mod service;
mod wait;

pub use service::Service;
pub use wait::wait_for;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use driftshield_sdk::rpc::{Client, Keypair, read_keypair};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use self::faults::Faults;
use crate::paths::root;

/// Path of one of the workspace's binaries, which must be built.
pub fn binary(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("path of this binary");
    // A test binary is in target/debug/deps, others are in target/debug.
    let directories = this.ancestors().skip(1).take(2);
    let mut files = directories.map(|directory| directory.join(name));
    files
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is missing: run scripts/build-services"))
}

/// A loopback address with a free port.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Which kind of problem the body of an error is: the last segment of its `type`.
pub fn problem_kind(problem: &Value) -> &str {
    let url = problem["type"].as_str().unwrap_or_default();
    url.rsplit_once("/problems/").map_or("", |(_, kind)| kind)
}

/// Addresses of a network's parts, from `localnet.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Addresses {
    pub rpc_url: String,
    pub grpc_url: String,
    pub database_url: String,
    pub api_url: Option<String>,
    pub faults_url: Option<String>,
    pub payer: PathBuf,
}

/// A running `localnet`.
pub struct Network {
    pub localnet: Service,
    pub addresses: Addresses,
    pub client: Client,
    pub payer: Keypair,
    /// Directory of the network's files and of the test's working files.
    pub directory: TempDir,
}

impl Network {
    /// Starts `localnet` with these arguments in a temporary directory, on free ports.
    pub async fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary("localnet"));
        command
            .arg("--dir")
            .arg(directory.path())
            .args(["--rpc-port", "0", "--ws-port", "0"])
            .args(["--grpc-port", "0", "--api-port", "0"])
            .args(arguments)
            .current_dir(root())
            .env("API_REQUESTS_PER_SECOND", "0")
            // Tests share the machine, and a debug build of the indexer is slow.
            .env("API_MIN_SLOT_WAIT_MS", "5000")
            .env_remove("DATABASE_URL");
        let mut localnet = Service::start("localnet", &mut command, directory.path());
        let file = directory.path().join("localnet.json");
        let addresses: Addresses = wait_for("the network", Duration::from_secs(120), async || {
            localnet.assert_running();
            serde_json::from_slice(&fs::read(&file).ok()?).ok()
        })
        .await;
        Self {
            client: Client::new(addresses.rpc_url.clone()),
            payer: read_keypair(&addresses.payer).unwrap(),
            localnet,
            addresses,
            directory,
        }
    }

    /// A command for one of the project's binaries. Its environment has the network's addresses.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(binary(name));
        command
            .env("RPC_URL", &self.addresses.rpc_url)
            .env("GRPC_URL", &self.addresses.grpc_url)
            .env("DATABASE_URL", &self.addresses.database_url)
            // Surfpool's clock stands still while the machine is too busy to make slots.
            .env("INDEXER_BLOCK_TIME_TOLERANCE_SECS", "86400")
            .env("RUST_LOG", "info")
            // Tests send more requests than a client should.
            .env("API_REQUESTS_PER_SECOND", "0");
        command
    }

    /// Starts one of the project's binaries.
    pub fn service(&self, name: &str, binary: &str, arguments: &[&str]) -> Service {
        let mut command = self.command(binary);
        Service::start(name, command.args(arguments), self.directory.path())
    }

    /// Runs one of the project's binaries to its end. Returns the exit code, or -1 if a signal
    /// ended the process, and the output.
    pub fn run(&self, name: &str, arguments: &[&str]) -> (i32, String) {
        let output = self.command(name).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.code().unwrap_or(-1), text)
    }

    /// The faults of a network that was started with `--faults-port 0`.
    pub fn faults(&self) -> Faults {
        let url = self.addresses.faults_url.clone();
        Faults::new(url.expect("localnet runs with --faults-port"))
    }

    /// Connects to the network's database.
    pub async fn database(&self) -> sqlx::PgPool {
        sqlx::PgPool::connect(&self.addresses.database_url)
            .await
            .unwrap()
    }
}
