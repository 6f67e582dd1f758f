//! An `indexer run` that mirrors a [`Chain`], and the commits of its database.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use sqlx::{Connection, PgConnection, postgres::PgListener};
use tokio::task::JoinHandle;

use super::{chain::Chain, grpc, rpc};
use crate::network::{Service, binary};

/// Time without a commit after which a run is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);

pub struct Mirror {
    pub chain: Arc<Chain>,
    pub database_url: String,
    rpc_url: String,
    grpc_url: String,
    folder: PathBuf,
    name: String,
    pub indexer: Service,
    /// When commits were seen, each with the `seq` of the feed's last record.
    commits: Arc<Mutex<Vec<(Instant, u64)>>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What an indexer has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub peak_memory_mib: f64,
    /// Processor time in seconds.
    pub cpu_secs: f64,
}

impl Mirror {
    /// Starts to mirror a chain without slots into an empty database. Returns after the indexer has subscribed.
    pub async fn start(
        name: &str,
        chain: Arc<Chain>,
        database_url: String,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let program = binary("indexer");
        let migrated = Command::new(&program)
            .arg("migrate")
            .env("DATABASE_URL", &database_url)
            .status()?;
        ensure!(migrated.success(), "indexer migrate failed");
        let (rpc_url, rpc) = rpc::serve(Arc::clone(&chain)).await?;
        let (grpc_url, grpc) = grpc::serve(Arc::clone(&chain)).await?;
        let commits = Arc::default();
        let listener = listen(&database_url, Arc::clone(&commits)).await?;
        let name = format!("indexer-{name}");
        let indexer = run(
            &name,
            [&database_url, &rpc_url, &grpc_url].map(String::as_str),
            folder,
        );
        let mirror = Self {
            chain,
            database_url,
            rpc_url,
            grpc_url,
            folder: folder.to_owned(),
            name,
            indexer,
            commits,
            tasks: vec![rpc, grpc, listener],
        };
        mirror.wait_for_subscription(0).await?;
        Ok(mirror)
    }

    /// Sends SIGKILL to the indexer, and starts it again. Returns after it has subscribed.
    ///
    /// The mirror must have all slots: the RPC node has no blocks, so that a mirror of slots that were dropped
    /// meanwhile could not go on.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.indexer.kill();
        let before = *self.chain.subscriptions.borrow();
        let urls = [&self.database_url, &self.rpc_url, &self.grpc_url].map(String::as_str);
        self.indexer = run(&self.name, urls, &self.folder);
        self.wait_for_subscription(before).await
    }

    /// Waits until there were more than `before` subscriptions.
    async fn wait_for_subscription(&self, before: u64) -> anyhow::Result<()> {
        let mut subscriptions = self.chain.subscriptions.subscribe();
        let subscribed = subscriptions.wait_for(|count| before < *count);
        let subscribed = tokio::time::timeout(Duration::from_secs(30), subscribed).await;
        subscribed.with_context(|| self.indexer.output())??;
        Ok(())
    }

    /// `seq` of the last commit.
    pub fn seq(&self) -> u64 {
        let commits = self.commits.lock().expect("no holder panics");
        commits.last().map_or(0, |(_, seq)| *seq)
    }

    /// Waits until the mirror has the events of the chain's slots up to now. Returns when it had them.
    pub async fn wait_for(&mut self, events: u64) -> anyhow::Result<Instant> {
        let mut progress = (0, Instant::now());
        loop {
            if let Some(at) = self.committed_at(events) {
                return Ok(at);
            }
            let seq = self.seq();
            if progress.0 != seq {
                progress = (seq, Instant::now());
            }
            let is_stalled = STALL_TIMEOUT < progress.1.elapsed();
            ensure!(
                self.indexer.is_running() && !is_stalled,
                "the mirror stopped at event {seq} of {events}: {}",
                self.indexer.output()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// When the mirror had the first `events` events; `None` if it hasn't.
    pub fn committed_at(&self, events: u64) -> Option<Instant> {
        let commits = self.commits.lock().expect("no holder panics");
        let after = commits.partition_point(|(_, seq)| *seq < events);
        commits.get(after).map(|(at, _)| *at)
    }

    pub fn usage(&self) -> anyhow::Result<Usage> {
        let process = format!("/proc/{}", self.indexer.id());
        let status = fs::read_to_string(format!("{process}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        let stat = fs::read_to_string(format!("{process}/stat"))?;
        // After the name in parentheses, the 12th and 13th fields: user and system time in ticks of 10 ms.
        let (_, fields) = stat.rsplit_once(')').context("no name")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|text| text.parse::<f64>().ok()).sum();
        Ok(Usage {
            peak_memory_mib: peak.context("no VmHWM")? / 1024.0,
            cpu_secs: ticks / 100.0,
        })
    }

    /// Checks that the mirror has all events and the last bytes of all open accounts, and no others.
    pub async fn check(&self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.database_url).await?;
        let last = self.chain.last().context("the chain has no slot")?;
        let (events, letters, slot): (i64, i64, i64) = sqlx::query_as(
            "select (select count(*) from chain.event), (select count(*) from chain.dead_letter),
               (select slot from chain.cursor)",
        )
        .fetch_one(&mut connection)
        .await?;
        let expected = (last.events as i64, 0, last.block.slot as i64);
        ensure!(
            (events, letters, slot) == expected,
            "events, dead letters and slot are {:?}, not {expected:?}",
            (events, letters, slot)
        );
        let accounts = self.chain.recording.accounts(last.transactions.end);
        let open: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "select address, data from chain.account where is_current and closed_slot is null",
        )
        .fetch_all(&mut connection)
        .await?;
        let differing = open.iter().filter(|(address, data)| {
            let account = accounts.get(&address[..]);
            account.is_none_or(|account| account.data != *data)
        });
        let differing = differing.count();
        ensure!(differing == 0, "{differing} accounts differ from the chain");
        Ok(connection.close().await?)
    }

    /// Runs `indexer verify`. Returns whether it found no difference, and its output.
    pub fn verify(&self) -> anyhow::Result<(bool, String)> {
        let mut verify = Command::new(binary("indexer"));
        let output = verify
            .arg("verify")
            .env("DATABASE_URL", &self.database_url)
            .env("RPC_URL", &self.rpc_url)
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok((output.status.success(), text))
    }

    /// Stops the indexer and the servers. The database stays.
    pub fn stop(mut self) -> anyhow::Result<()> {
        ensure!(self.indexer.stop(), "indexer: {}", self.indexer.output());
        for task in &self.tasks {
            task.abort();
        }
        Ok(())
    }
}

/// Starts an indexer with the URLs of its database, its RPC node and its gRPC server.
fn run(name: &str, [database, rpc, grpc]: [&str; 3], folder: &Path) -> Service {
    let mut run = Command::new(binary("indexer"));
    run.arg("run")
        .env("DATABASE_URL", database)
        .env("RPC_URL", rpc)
        .env("GRPC_URL", grpc)
        .env("NO_COLOR", "1");
    Service::start(name, &mut run, folder)
}

/// Notes each commit that the indexer notifies readers of.
async fn listen(
    database_url: &str,
    commits: Arc<Mutex<Vec<(Instant, u64)>>>,
) -> anyhow::Result<JoinHandle<()>> {
    let mut listener = PgListener::connect(database_url).await?;
    listener.listen("driftshield").await?;
    Ok(tokio::spawn(async move {
        loop {
            // Fails when Postgres stops.
            let Ok(notification) = listener.recv().await else {
                return;
            };
            let now = Instant::now();
            let seq = notification.payload().parse().expect("a number");
            commits.lock().expect("no holder panics").push((now, seq));
        }
    }))
}
