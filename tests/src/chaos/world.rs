//! A busy chain, its indexer, and the parts on which the indexer depends, each with its faults.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::time::{Instant, sleep, timeout};

use super::{
    TIME_SCALE,
    comparison::Chain,
    link::Link,
    node::{Node, NodeFault},
    schedule::{Counted, DatabaseFault, Disturbance},
    traffic::FAR_WINDOW,
};
use crate::network::{
    Service,
    faults::{Counts, Fault, Faults, Kind, Refusal, Request},
    fixture::Fixture,
    postgres::{MAX_CONNECTIONS, Postgres},
    wait_for,
};

/// Time between two pings of a server.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time until a fault has changed something on a busy chain.
const FAULT_TIMEOUT: Duration = Duration::from_secs(6);
/// Longest time until the indexer gives up a dead connection. Its time limit is 3 s, and it uses the
/// connection every second.
const DEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time until the mirror has caught up.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(120);
const DATABASE: &str = "driftshield";

pub struct World {
    pub fixture: Arc<Fixture>,
    pub chain: Chain,
    faults: Faults,
    postgres: Postgres,
    standby: Option<Postgres>,
    link: Link,
    node: Node,
    indexer: Service,
    /// Epoch before the last failover. The server after it lacks numbers of it, which must not be given again.
    epoch: i64,
    /// Faults that this process injects: how often, and how often they changed something.
    counts: Vec<(Counted, Counts)>,
}

impl World {
    pub async fn start() -> Self {
        let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
        fixture.create_market(FAR_WINDOW).await;
        let network = &fixture.network;
        let postgres = Postgres::start().await;
        let standby = Some(postgres.standby().await);
        let link = Link::start(postgres.port).await;
        let node = Node::start(&network.addresses.rpc_url).await;
        let mut command = network.command("indexer");
        command.env("DATABASE_URL", postgres.url(DATABASE));
        assert!(command.arg("migrate").status().unwrap().success());
        Self {
            chain: Chain::new(&network.addresses.rpc_url),
            faults: network.faults(),
            indexer: start_indexer(&fixture, &link, &node),
            fixture: Arc::new(fixture),
            postgres,
            standby,
            link,
            node,
            epoch: 0,
            counts: vec![],
        }
    }

    /// A connection to the indexer's database that no fault disturbs.
    pub async fn database(&self) -> PgConnection {
        let url = self.postgres.url(DATABASE);
        PgConnection::connect(&url).await.unwrap()
    }

    /// How often each kind of fault was injected, and how often it changed something.
    pub async fn counts(&self) -> Vec<(Counted, Counts)> {
        let mut counts = self.counts.clone();
        let report = self.faults.report().await;
        let of_stream = report.counts.into_iter();
        counts.extend(of_stream.map(|(kind, count)| (Counted::Stream(kind), count)));
        counts
    }

    /// Runs one of the indexer's commands on a database of the server. Returns whether it succeeded, and
    /// its output.
    pub fn run_indexer(&self, argument: &str, database: &str) -> (bool, String) {
        let mut command = self.fixture.network.command("indexer");
        command.env("DATABASE_URL", self.postgres.url(database));
        let output = command.arg(argument).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.success(), text)
    }

    pub async fn create_database(&self, name: &str) -> PgConnection {
        let mut connection = PgConnection::connect(&self.postgres.url("postgres"))
            .await
            .unwrap();
        let sql = format!("drop database if exists {name}");
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        let sql = format!("create database {name}");
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        let (migrated, output) = self.run_indexer("migrate", name);
        assert!(migrated, "{output}");
        PgConnection::connect(&self.postgres.url(name))
            .await
            .unwrap()
    }

    /// Lets a fault happen, and waits until it has changed something, if it does. Returns how long the
    /// mirror took to recover from it; zero if the schedule goes on meanwhile.
    pub async fn disturb(&mut self, disturbance: &Disturbance, seed: u64) -> Duration {
        self.indexer.assert_running();
        match disturbance {
            Disturbance::Stream { once, held } => self.disturb_stream(once, held, seed).await,
            Disturbance::Silence(length) => {
                let silence = request(Fault::Silence, None, Some(*length), seed);
                self.faults.arm(&silence).await;
                sleep(*length).await;
            }
            Disturbance::PingsOnly => {
                // Another fault could make the indexer leave the stream, which it has to do by itself.
                self.recover().await;
                let ping_ms = (PING_INTERVAL / TIME_SCALE).as_millis() as u64;
                let stall = Fault::PingsOnly { ping_ms };
                self.disturb_stream(&stall, &[], seed).await;
                return self.recover().await;
            }
            Disturbance::KillIndexer => {
                self.restart_indexer();
                self.count(Counted::KillIndexer, 1);
            }
            Disturbance::Database(fault) => self.disturb_database(*fault).await,
            Disturbance::Node(fault) => self.disturb_node(*fault).await,
        }
        Duration::ZERO
    }

    async fn disturb_stream(
        &mut self,
        once: &Fault,
        held: &[(Fault, Option<Duration>)],
        seed: u64,
    ) {
        let kinds: Vec<Kind> = held.iter().map(|(fault, _)| fault.kind()).collect();
        let kinds = [kinds, vec![once.kind()]].concat();
        let before = self.changes(&kinds).await;
        for (fault, length) in held {
            let hold = request(fault.clone(), None, *length, seed);
            self.faults.arm(&hold).await;
        }
        let once = request(once.clone(), Some(1), None, seed);
        self.faults.arm(&once).await;
        let changed = async {
            loop {
                let now = self.changes(&kinds).await;
                if before.iter().zip(&now).all(|(before, now)| before < now) {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        // Another fault can keep the stream away for longer.
        let _ = timeout(FAULT_TIMEOUT, changed).await;
    }

    /// How often faults of these kinds have changed the stream.
    async fn changes(&self, kinds: &[Kind]) -> Vec<u64> {
        let counts = self.faults.report().await.counts;
        let of_kind = |kind| counts.get(kind).map_or(0, |counts| counts.changed);
        kinds.iter().map(of_kind).collect()
    }

    async fn disturb_database(&mut self, fault: DatabaseFault) {
        let before = self.link.disturbed();
        match fault {
            DatabaseFault::Cut => self.link.cut(),
            DatabaseFault::HalfOpen => self.half_open_database().await,
            DatabaseFault::Kill => {
                self.postgres.kill();
                self.postgres.restart().await;
            }
            DatabaseFault::Restart => self.postgres.restart().await,
            DatabaseFault::Full => self.fill_database().await,
            DatabaseFault::Failover => self.fail_over().await,
        }
        // Connections that the server itself ended count in the link, too.
        sleep(Duration::from_millis(200)).await;
        let changed = self.link.disturbed() - before;
        self.count(Counted::Database(fault), changed);
    }

    /// Loses what the indexer and its database send each other, until the indexer gives it up by itself: a
    /// later fault must not do it for the indexer.
    async fn half_open_database(&self) {
        self.link.half_open();
        sleep(Duration::from_millis(200)).await;
        wait_for("the end of a dead connection", DEAD_TIMEOUT, async || {
            (self.link.half_open_left() == 0).then_some(())
        })
        .await;
    }

    /// Takes all connections while the indexer has to make a new one.
    async fn fill_database(&mut self) {
        let url = self.postgres.url(DATABASE);
        let mut taken = vec![];
        self.link.cut();
        for _ in 0..2 * MAX_CONNECTIONS {
            if let Ok(connection) = PgConnection::connect(&url).await {
                taken.push(connection);
            }
        }
        sleep(Duration::from_secs(1)).await;
    }

    /// Makes the standby the server. It lacks what the server has committed last.
    async fn fail_over(&mut self) {
        let standby = match self.standby.take() {
            Some(standby) => standby,
            None => self.postgres.standby().await,
        };
        standby.stop_following().await;
        self.epoch = Cursor::read(&self.postgres).await.epoch;
        // Another fault can keep the mirror where it is.
        let lost = async {
            let before = Cursor::read(&self.postgres).await;
            while Cursor::read(&self.postgres).await == before {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let _ = timeout(Duration::from_secs(2), lost).await;
        // The standby refuses to write.
        self.link.retarget(standby.port);
        sleep(Duration::from_millis(600)).await;
        self.postgres.kill();
        standby.promote().await;
        self.postgres = standby;
    }

    /// Makes the indexer read blocks and all accounts from a node with a fault.
    async fn disturb_node(&mut self, fault: NodeFault) {
        let before = self.node.changed();
        let refuse = Fault::RefuseReplay(Refusal::Unsupported);
        self.faults.arm(&request(refuse, None, None, 0)).await;
        self.node.set(Some(fault));
        self.indexer.kill();
        let mut database = self.database().await;
        let unsettle = "update chain.cursor set settled_slot = null";
        database.execute(unsettle).await.unwrap();
        self.indexer = start_indexer(&self.fixture, &self.link, &self.node);
        let changed = async {
            while self.node.changed() == before {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let _ = timeout(FAULT_TIMEOUT, changed).await;
        let after = self.node.changed();
        let kind = Disturbance::Node(fault).kinds()[0];
        let place = match fault {
            NodeFault::Slow(_) => 0,
            NodeFault::Busy => 1,
            NodeFault::Ghosts
            | NodeFault::Purged(_)
            | NodeFault::Lacks(_)
            | NodeFault::Silent
            | NodeFault::Hole(..) => 2,
        };
        self.count(kind, after[place] - before[place]);
    }

    fn restart_indexer(&mut self) {
        self.indexer.kill();
        self.indexer = start_indexer(&self.fixture, &self.link, &self.node);
    }

    fn count(&mut self, kind: Counted, changed: u64) {
        let place = self.counts.iter().position(|(counted, _)| *counted == kind);
        let place = place.unwrap_or_else(|| {
            self.counts.push((kind, Counts::default()));
            self.counts.len() - 1
        });
        let counts = &mut self.counts[place].1;
        counts.injected += 1;
        counts.changed += changed;
    }

    /// Ends all faults, and waits until the mirror has reached the chain's slot and has all accounts.
    /// Returns how long that took.
    pub async fn recover(&mut self) -> Duration {
        self.faults.release_all().await;
        self.node.recover();
        let started = Instant::now();
        // Transactions that are confirmed can be of the slot after it.
        let slot = self.chain.slot().await + 1;
        let mut database = self.database().await;
        while !self.has_reached(slot, &mut database).await {
            self.indexer.assert_running();
            assert!(
                started.elapsed() < RECOVERY_TIMEOUT,
                "no recovery within {RECOVERY_TIMEOUT:?}: {}",
                self.indexer.output()
            );
            sleep(Duration::from_millis(20)).await;
        }
        let recovery = started.elapsed();
        let epoch = Cursor::read(&self.postgres).await.epoch;
        assert!(self.epoch < epoch, "the epoch is that before the failover");
        recovery
    }

    /// Whether the mirror has all accounts at `slot` or later, on the fork that the node shows: a false
    /// slot can be the newest one.
    async fn has_reached(&self, slot: i64, database: &mut PgConnection) -> bool {
        let reached: Option<(i64, Vec<u8>)> = sqlx::query_as(
            "select slot, blockhash from chain.cursor where $1 <= slot and settled_slot is not null",
        )
        .bind(slot)
        .fetch_optional(database)
        .await
        .unwrap();
        let Some((slot, hash)) = reached else {
            return false;
        };
        let on_chain = self.chain.blockhash(slot).await;
        on_chain.is_some_and(|on_chain| on_chain == bs58::encode(hash).into_string())
    }

    /// Prepares a standby for the next failover.
    pub async fn make_standby(&mut self) {
        if self.standby.is_none() {
            self.standby = Some(self.postgres.standby().await);
        }
    }
}

fn start_indexer(fixture: &Fixture, link: &Link, node: &Node) -> Service {
    let url = format!("postgres://postgres@127.0.0.1:{}/{DATABASE}", link.port);
    let mut command = fixture.network.command("indexer");
    command
        .env("DATABASE_URL", url)
        .env("RPC_URL", &node.url)
        .env("DRIFTSHIELD_TIME_SCALE", TIME_SCALE.to_string())
        // The audit's idle connections are used again only after a minute.
        .args(["run", "--audit-interval-secs", "0"]);
    Service::start("indexer", &mut command, fixture.network.directory.path())
}

/// Position in the feed.
#[derive(Default, PartialEq, Eq, sqlx::FromRow)]
struct Cursor {
    epoch: i64,
    seq: i64,
}

impl Cursor {
    /// The mirror's; zero while it is empty.
    async fn read(postgres: &Postgres) -> Self {
        let url = postgres.url(DATABASE);
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let cursor = sqlx::query_as("select epoch, seq from chain.cursor");
        let cursor = cursor.fetch_optional(&mut connection).await.unwrap();
        cursor.unwrap_or_default()
    }
}

fn request(fault: Fault, times: Option<u32>, length: Option<Duration>, seed: u64) -> Request {
    Request {
        fault,
        times,
        for_ms: length.map(|length| length.as_millis() as u64),
        seed,
    }
}
