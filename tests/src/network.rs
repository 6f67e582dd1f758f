//! The whole system, as processes: a local network and the services on it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use driftshield_sdk::{
    ID,
    rpc::{Client, Keypair, read_keypair},
};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::sync::watch;
use yellowstone_grpc_client::GeyserGrpcBuilder;
use yellowstone_grpc_proto::prelude::{
    CommitmentLevel, SubscribeRequest, SubscribeRequestFilterBlocksMeta,
    SubscribeRequestFilterTransactions, SubscribeRequestPing, SubscribeUpdateTransactionInfo,
    subscribe_update::UpdateOneof,
};

/// A built binary of the workspace.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own file");
    let target = test.ancestors().nth(2).expect("target/debug/deps");
    let file = target.join(name);
    assert!(
        file.exists(),
        "{} is missing: run scripts/build-services",
        file.display()
    );
    file
}

/// The repository's folder.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Waits until `ready` gives something; panics with `what` after `patience`.
pub async fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut ready: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(
            started.elapsed() < patience,
            "{what}: not within {patience:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A process of the system. Ended with the test, by force if need be.
pub struct Service {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Service {
    /// Starts `command` with its output in `dir`.
    pub fn start(name: &str, command: &mut Command, dir: &Path) -> Self {
        let log = dir.join(format!("{name}.log"));
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        Self {
            name: name.to_owned(),
            log,
            child,
        }
    }

    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL: it gets no chance to put anything in order.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; whether it ended well within ten seconds.
    pub fn end(&mut self) -> bool {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(10) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.kill();
        false
    }

    /// Waits for the process to end by itself; its exit code.
    pub async fn exit_code(&mut self, patience: Duration) -> i32 {
        let what = format!("the end of {}", self.name);
        let status = wait_for(&what, patience, async || self.child.try_wait().unwrap()).await;
        status.code().unwrap_or(-1)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.is_running() {
            self.end();
        }
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<_> = output.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            eprintln!("--- last lines of {}:\n{}", self.name, last.join("\n"));
        }
    }
}

/// Where the parts of a network are.
#[derive(Clone, Debug, Deserialize)]
pub struct Addresses {
    pub rpc_url: String,
    pub grpc_url: String,
    pub database_url: String,
    pub api_url: Option<String>,
    pub payer: PathBuf,
}

/// A running `localnet`.
pub struct Network {
    pub localnet: Service,
    pub addresses: Addresses,
    pub client: Client,
    pub payer: Keypair,
    pub dir: TempDir,
}

impl Network {
    /// Starts a network of its own with these arguments, on free ports.
    pub async fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary("localnet"));
        command
            .arg("--dir")
            .arg(dir.path())
            .args([
                "--rpc-port",
                "0",
                "--ws-port",
                "0",
                "--grpc-port",
                "0",
                "--api-port",
                "0",
            ])
            .args(arguments)
            .current_dir(repository())
            .env_remove("DATABASE_URL");
        let mut localnet = Service::start("localnet", &mut command, dir.path());
        let file = dir.path().join("localnet.json");
        let addresses: Addresses = wait_for("the network", Duration::from_secs(120), async || {
            assert!(
                localnet.is_running(),
                "localnet ended: {}",
                localnet.output()
            );
            serde_json::from_slice(&fs::read(&file).ok()?).ok()
        })
        .await;
        Self {
            client: Client::new(addresses.rpc_url.clone()),
            payer: read_keypair(&addresses.payer).unwrap(),
            localnet,
            addresses,
            dir,
        }
    }

    /// A command for one of the system's binaries.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(binary(name));
        command
            .env("RPC_URL", &self.addresses.rpc_url)
            .env("GRPC_URL", &self.addresses.grpc_url)
            .env("DATABASE_URL", &self.addresses.database_url)
            .env("RUST_LOG", "info");
        command
    }

    /// Starts one of the system's binaries.
    pub fn service(&self, name: &str, binary: &str, arguments: &[&str]) -> Service {
        let mut command = self.command(binary);
        Service::start(name, command.args(arguments), self.dir.path())
    }

    /// Runs one of the system's binaries to its end: its exit code and output.
    pub fn run(&self, name: &str, arguments: &[&str]) -> (i32, String) {
        let output = self.command(name).args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.code().unwrap_or(-1), text)
    }

    pub async fn database(&self) -> sqlx::PgPool {
        sqlx::PgPool::connect(&self.addresses.database_url)
            .await
            .unwrap()
    }
}

/// Who signed what.
#[derive(Clone, Debug)]
pub struct Signed {
    pub signature: String,
    pub blockhash: String,
    /// The first signer.
    pub payer: String,
    /// Keys that the message marks as writable.
    pub writable: Vec<String>,
}

/// A transaction that named the program, as the validator's feed has it.
#[derive(Clone, Debug)]
pub struct Landed {
    pub slot: u64,
    pub index: u64,
    pub failed: bool,
    pub signed: Signed,
    /// `data` of the program's own inner instructions, in order: where each is, and its bytes.
    pub inner: Vec<(u32, u32, Vec<u8>)>,
}

/// What the validator's feed has told so far.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// In order, without those of slots that are not sealed.
    pub transactions: Vec<Landed>,
    /// The slot of each blockhash.
    pub slots: HashMap<String, u64>,
    /// When each slot was, in unix seconds.
    pub times: HashMap<u64, i64>,
    pub last_slot: u64,
}

/// Listens to every transaction of the program, failed ones too, straight from the validator: as
/// far back as it can tell, then as they land.
pub fn listen(grpc_url: &str) -> watch::Receiver<Heard> {
    let (sender, receiver) = watch::channel(Heard::default());
    let url = grpc_url.to_owned();
    tokio::spawn(async move {
        let transactions = SubscribeRequestFilterTransactions {
            vote: Some(false),
            account_include: vec![ID.to_string()],
            ..Default::default()
        };
        let builder = GeyserGrpcBuilder::from_shared(url).unwrap();
        let builder = builder.max_decoding_message_size(64 << 20);
        let mut client = builder.connect().await.unwrap();
        let replay = client.subscribe_replay_info().await.unwrap();
        let request = SubscribeRequest {
            commitment: Some(CommitmentLevel::Confirmed as i32),
            from_slot: replay.first_available,
            transactions: [("program".to_owned(), transactions)].into(),
            blocks_meta: [("all".to_owned(), SubscribeRequestFilterBlocksMeta {})].into(),
            ..Default::default()
        };
        let (mut sink, mut stream) = client.subscribe_with_request(Some(request)).await.unwrap();
        let mut slot = vec![];
        while let Some(Ok(update)) = stream.next().await {
            match update.update_oneof {
                Some(UpdateOneof::Transaction(update)) => {
                    let info = update.transaction.expect("a transaction in its update");
                    slot.push(landed(update.slot, info));
                }
                Some(UpdateOneof::BlockMeta(meta)) => sender.send_modify(|heard| {
                    heard.slots.insert(meta.blockhash, meta.slot);
                    let time = meta.block_time.expect("a block's time");
                    heard.times.insert(meta.slot, time.timestamp);
                    heard.last_slot = meta.slot;
                    heard.transactions.append(&mut slot);
                }),
                Some(UpdateOneof::Ping(_)) => {
                    let ping = SubscribeRequest {
                        ping: Some(SubscribeRequestPing { id: 1 }),
                        ..Default::default()
                    };
                    let _ = sink.send(ping).await;
                }
                _ => {}
            }
        }
    });
    receiver
}

/// The writable ones of a message's keys, by the numbers of its header.
pub fn writable(
    keys: &[String],
    signed: usize,
    readonly_signed: usize,
    readonly_unsigned: usize,
) -> Vec<String> {
    let (signers, others) = keys.split_at(signed);
    let signers = &signers[..signed - readonly_signed];
    [signers, &others[..others.len() - readonly_unsigned]].concat()
}

fn landed(slot: u64, info: SubscribeUpdateTransactionInfo) -> Landed {
    let meta = info.meta.expect("a transaction's meta");
    let message = info.transaction.and_then(|transaction| transaction.message);
    let message = message.expect("a transaction's message");
    let header = message.header.expect("a message's header");
    let program = message
        .account_keys
        .iter()
        .position(|key| key == ID.as_ref());
    let key = |bytes: &Vec<u8>| bs58::encode(bytes).into_string();
    let keys: Vec<_> = message.account_keys.iter().map(key).collect();
    let inner = meta.inner_instructions.iter().flat_map(|outer| {
        let own = outer.instructions.iter().enumerate();
        own.filter(|(_, inner)| Some(inner.program_id_index as usize) == program)
            .map(|(at, inner)| (outer.index, at as u32, inner.data.clone()))
    });
    Landed {
        slot,
        index: info.index,
        failed: meta.err.is_some(),
        signed: Signed {
            signature: bs58::encode(&info.signature).into_string(),
            blockhash: bs58::encode(&message.recent_blockhash).into_string(),
            payer: keys[0].clone(),
            writable: writable(
                &keys,
                header.num_required_signatures as usize,
                header.num_readonly_signed_accounts as usize,
                header.num_readonly_unsigned_accounts as usize,
            ),
        },
        inner: inner.collect(),
    }
}
