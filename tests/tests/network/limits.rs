//! Services that accept what the indexer sends and never answer.

use std::{process::Command, time::Duration};

use driftshield_tests::{
    chaos::{
        link::Link,
        node::{Node, NodeFault},
    },
    network::{
        Network, Service,
        faults::{Fault, Refusal},
        postgres::Postgres,
        wait_for,
    },
};
use sqlx::PgPool;
use tokio::time::sleep;

use crate::mirror;

const TIMEOUT: Duration = Duration::from_secs(30);
/// The indexer's long waits are this much shorter.
const TIME_SCALE: u32 = 10;
/// A scale at which the grace after SIGTERM, 5 s, is shorter than what a test waits for it, and the time
/// limits of services, 15 s, are longer.
const STOP_SCALE: u32 = 2;
/// Time limit of a database access at [`TIME_SCALE`].
const LIMIT: Duration = Duration::from_secs(3);

/// An empty program's chain, and what an indexer of it needs.
struct Parts {
    network: Network,
    /// Stopped when dropped.
    _postgres: Postgres,
    /// Connections that no fault disturbs.
    pool: PgPool,
    link: Link,
    node: Node,
}

impl Parts {
    /// With a mirror that has all accounts.
    async fn start() -> Self {
        let network = Network::start(&["--bare", "--faults-port", "0"]).await;
        let postgres = Postgres::start().await;
        let url = postgres.url("driftshield");
        let mut migrate = network.command("indexer");
        migrate.env("DATABASE_URL", &url).arg("migrate");
        assert!(migrate.status().unwrap().success());
        let parts = Self {
            pool: PgPool::connect(&url).await.unwrap(),
            link: Link::start(postgres.port).await,
            node: Node::start(&network.addresses.rpc_url).await,
            network,
            _postgres: postgres,
        };
        let mut indexer = parts.start_indexer("first", TIME_SCALE);
        parts.wait_until_settled().await;
        assert!(indexer.stop(), "{}", indexer.output());
        parts
    }

    fn start_indexer(&self, name: &str, scale: u32) -> Service {
        let port = self.link.port;
        let url = format!("postgres://postgres@127.0.0.1:{port}/driftshield");
        let mut command: Command = self.network.command("indexer");
        command
            .env("DATABASE_URL", url)
            .env("RPC_URL", &self.node.url)
            .env("DRIFTSHIELD_TIME_SCALE", scale.to_string())
            .args(["run", "--audit-interval-secs", "0"]);
        Service::start(name, &mut command, self.network.directory.path())
    }

    /// Starts an indexer that has to read blocks from a node that doesn't answer, because the stream
    /// replays nothing. Returns it once it waits for the node, with the fault of the stream.
    async fn start_in_a_gap(&self, scale: u32) -> (Service, u64) {
        let refuse = Fault::RefuseReplay(Refusal::Unsupported);
        let refusal = self.network.faults().hold(refuse).await;
        let before = self.slot().await;
        wait_for("some slots", TIMEOUT, async || {
            (before + 2 < self.slot().await).then_some(())
        })
        .await;
        self.node.set(Some(NodeFault::Silent));
        let indexer = self.start_indexer("in-a-gap", scale);
        wait_for("a request", TIMEOUT, async || {
            (0 < self.node.unanswered()).then_some(())
        })
        .await;
        assert!(indexer.output().contains("reading their blocks by RPC"));
        (indexer, refusal)
    }

    async fn slot(&self) -> u64 {
        self.network.client.rpc().get_slot().await.unwrap()
    }

    async fn wait_until_settled(&self) {
        let slot = self.slot().await as i64;
        mirror::wait_until_settled(&self.pool, slot, "the mirror").await;
    }

    /// Whether a statement waits for the lock of `chain.gap`.
    async fn waits_for_gaps(&self) -> bool {
        let waits = "select exists (select from pg_locks
                     where relation = 'chain.gap'::regclass and not granted)";
        let waits = sqlx::query_scalar(waits);
        waits.fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_step_is_given_up_if_its_connection_is_dead_and_not_while_postgres_works() {
    // Given an indexer whose last step before the mirror is complete has to wait in Postgres
    let parts = Parts::start().await;
    let unsettle = sqlx::query("update chain.cursor set settled_slot = null");
    unsettle.execute(&parts.pool).await.unwrap();
    let mut blocker = parts.pool.begin().await.unwrap();
    let lock = sqlx::query("lock table chain.gap in share mode");
    lock.execute(&mut *blocker).await.unwrap();
    let mut indexer = parts.start_indexer("indexer", TIME_SCALE);
    wait_for("the last step", TIMEOUT, async || {
        parts.waits_for_gaps().await.then_some(())
    })
    .await;

    // Then it waits for much longer than the time limit of other steps
    sleep(4 * LIMIT).await;
    assert!(parts.waits_for_gaps().await);
    let output = indexer.output();
    assert!(!output.contains("interrupted"), "{output}");

    // When Postgres is done, and its answer is lost, then the indexer connects again
    parts.link.half_open();
    blocker.rollback().await.unwrap();
    parts.wait_until_settled().await;
    let output = indexer.output();
    for line in ["takes long", "the database has not answered for 3 s"] {
        assert!(output.contains(line), "{line} is not in {output}");
    }
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_process_that_waits_for_a_service() {
    let assert_ends = |indexer: &mut Service| {
        assert!(indexer.stop(), "{}", indexer.output());
        let output = indexer.output();
        assert!(output.contains("the current work was given up"), "{output}");
    };
    // The database
    let parts = Parts::start().await;
    let mut indexer = parts.start_indexer("indexer", STOP_SCALE);
    wait_for("an indexer that follows", TIMEOUT, async || {
        indexer.output().contains("caught up").then_some(())
    })
    .await;
    parts.link.half_open();
    // It stores something every second.
    sleep(Duration::from_secs(2)).await;
    assert_ends(&mut indexer);

    // The RPC node
    let (mut indexer, _) = parts.start_in_a_gap(STOP_SCALE).await;
    assert_ends(&mut indexer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_fills_a_gap_for_which_the_rpc_node_does_not_answer() {
    // Given an indexer that waits for blocks
    let parts = Parts::start().await;
    let (mut indexer, refusal) = parts.start_in_a_gap(TIME_SCALE).await;

    // When the server replays again
    parts.network.faults().release(refusal).await;

    // Then the mirror follows the chain, although the node stays silent
    let slot = parts.slot().await;
    mirror::wait_for_slot(&parts.pool, slot).await;
    assert!(indexer.stop(), "{}", indexer.output());
}
