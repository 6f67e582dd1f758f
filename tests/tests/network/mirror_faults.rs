//! The mirror equals the chain after every fault of the gRPC server.

use std::{collections::BTreeSet, time::Duration};

use driftshield_tests::network::{
    faults::{Ending, Fault, Kind, Part, Refusal, Request, Undecodable},
    fixture::{BETTORS, Fixture},
    wait_for,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use crate::mirror;

/// Faults that act together: those that last, and the one that hits the stream.
struct Disturbance {
    held: Vec<Fault>,
    once: Fault,
    kind: Kind,
}

fn alone(kind: Kind, once: Fault) -> Disturbance {
    Disturbance {
        held: vec![],
        once,
        kind,
    }
}

/// A restart or cut while replays are refused in some way.
fn without_replay(refusal: Refusal) -> Disturbance {
    Disturbance {
        held: vec![Fault::RefuseReplay(refusal)],
        once: Fault::Cut(Ending::Status(14)),
        kind: Kind::Cut,
    }
}

fn disturbances() -> Vec<Disturbance> {
    vec![
        alone(Kind::Cut, Fault::Cut(Ending::Status(14))),
        alone(Kind::Cut, Fault::Cut(Ending::Connection)),
        alone(Kind::DropMeta, Fault::DropMeta),
        alone(Kind::DelayMeta, Fault::DelayMeta { slots: 2 }),
        alone(Kind::Duplicate, Fault::Duplicate(Part::Accounts)),
        alone(Kind::Duplicate, Fault::Duplicate(Part::Transactions)),
        alone(Kind::Duplicate, Fault::Duplicate(Part::Slot)),
        alone(Kind::Reorder, Fault::Reorder),
        alone(Kind::LateContent, Fault::LateContent),
        alone(Kind::DeadSlot, Fault::DeadSlot { children: 0 }),
        alone(Kind::DeadSlot, Fault::DeadSlot { children: 3 }),
        alone(Kind::Restart, Fault::Restart),
        without_replay(Refusal::Unsupported),
        without_replay(Refusal::Ignored),
        without_replay(Refusal::Error { internal: 50 }),
        Disturbance {
            held: vec![Fault::FalseReplayInfo { slots_early: 9 }],
            once: Fault::Restart,
            kind: Kind::Restart,
        },
        Disturbance {
            held: vec![Fault::Behind { slots: 5 }],
            once: Fault::Cut(Ending::Status(14)),
            kind: Kind::Cut,
        },
    ]
}

/// A network with an indexer, bets as fast as they go, and faults.
struct Disturbed {
    fixture: Fixture,
    pool: PgPool,
    random: StdRng,
}

impl Disturbed {
    async fn start() -> Self {
        let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
        // The other markets close soon.
        fixture.create_market(300).await;
        let url = &fixture.network.addresses.database_url;
        let pool = PgPool::connect(url).await.unwrap();
        Self {
            fixture,
            pool,
            random: StdRng::seed_from_u64(5),
        }
    }

    async fn bet(&mut self) {
        let (bettor, outcome) = (
            self.random.random_range(0..BETTORS),
            self.random.random_range(0..3),
        );
        self.fixture.place_bet(2, bettor, outcome).await;
    }

    /// Places bets until the fault has changed the stream, then until the mirror has caught up.
    async fn disturb(&mut self, disturbance: Disturbance, seed: u64) {
        let faults = self.fixture.network.faults();
        let before = faults.counts(disturbance.kind).await.changed;
        for fault in disturbance.held {
            faults.hold(fault).await;
        }
        faults
            .arm(&Request {
                fault: disturbance.once.clone(),
                times: Some(1),
                for_ms: None,
                seed,
            })
            .await;
        for _ in 0..40 {
            if before < faults.counts(disturbance.kind).await.changed {
                break;
            }
            self.bet().await;
        }
        let after = faults.counts(disturbance.kind).await.changed;
        assert!(before < after, "{:?} changed nothing", disturbance.once);
        self.bet().await;
        // Replays stay refused until the indexer has found another way.
        self.catch_up(&format!("{:?}", disturbance.once)).await;
        faults.release_all().await;
    }

    async fn catch_up(&self, after: &str) {
        let slot = self.fixture.network.client.rpc().get_slot().await.unwrap();
        let what = format!("the mirror after {after}");
        mirror::wait_until_settled(&self.pool, slot as i64, &what).await;
    }

    /// Numbers of records in the feed by kind.
    async fn records(&self, kind: &str) -> i64 {
        sqlx::query_scalar("select count(*) from chain.feed where kind = $1")
            .bind(kind)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_equals_the_chain_after_every_fault_of_the_stream() {
    // Given an indexer on a busy chain
    let mut disturbed = Disturbed::start().await;
    let mut indexer = disturbed.fixture.start_indexer();
    wait_for("the mirror", Duration::from_secs(30), async || {
        let slot: i64 = sqlx::query_scalar("select slot from chain.cursor")
            .fetch_optional(&disturbed.pool)
            .await
            .ok()??;
        Some(slot)
    })
    .await;

    // When the stream has every fault in turn
    for (seed, disturbance) in (0..).zip(disturbances()) {
        let name = format!("{:?}", disturbance.once);
        println!("{name}");
        disturbed.disturb(disturbance, seed).await;
        assert!(indexer.is_running(), "{name}: {}", indexer.output());
    }

    // Then the mirror equals the chain, and its readers were told of the dropped slots
    mirror::assert_matches_chain(&disturbed.fixture.network);
    assert!(2 <= disturbed.records("rollback").await);
    let gaps: i64 = sqlx::query_scalar("select count(*) from chain.gap")
        .fetch_one(&disturbed.pool)
        .await
        .unwrap();
    assert!(
        2 * gaps <= disturbed.records("gap").await,
        "opened and filled"
    );
    let gaps: Vec<String> = sqlx::query_scalar("select distinct state from chain.gap")
        .fetch_all(&disturbed.pool)
        .await
        .unwrap();
    assert_eq!(gaps, ["filled"], "slots that were fetched by RPC");

    // When accounts come that can't be decoded
    let accounts = [
        alone(
            Kind::OversizedAccount,
            Fault::OversizedAccount { bytes: 12 << 20 },
        ),
        alone(
            Kind::UndecodableAccount,
            Fault::UndecodableAccount(Undecodable::Discriminator),
        ),
        alone(
            Kind::UndecodableAccount,
            Fault::UndecodableAccount(Undecodable::Truncated),
        ),
    ];
    for (seed, disturbance) in (0..).zip(accounts) {
        disturbed.disturb(disturbance, seed).await;
    }

    // Then the mirror sets them aside, names them, and goes on
    assert!(indexer.is_running(), "{}", indexer.output());
    let differences = mirror::differences(&disturbed.fixture.network);
    let (letters, others): (Vec<_>, Vec<_>) = differences
        .iter()
        .partition(|line| line.contains("dead letter"));
    assert_eq!(letters.len(), 3, "{differences:?}");
    let accounts: BTreeSet<_> = others
        .iter()
        .filter_map(|line| line.split([' ', ':']).nth(1))
        .collect();
    assert_eq!(accounts.len(), 3, "{differences:?}");
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_content_comes_late_in_every_replay_is_read_as_a_block() {
    // Given an indexer that follows the chain
    let mut disturbed = Disturbed::start().await;
    let mut indexer = disturbed.fixture.start_indexer();
    disturbed.catch_up("its start").await;

    // When the content of a slot comes late however often it is replayed
    let faults = disturbed.fixture.network.faults();
    faults.hold(Fault::LateContent).await;
    disturbed.bet().await;
    let timeout = Duration::from_secs(30);
    faults.wait_for_changes(Kind::LateContent, 2, timeout).await;

    // Then the mirror has it, goes on, and equals the chain
    let slot = disturbed.fixture.network.client.rpc().get_slot().await;
    let later = slot.unwrap() as i64 + 5;
    mirror::wait_until_settled(&disturbed.pool, later, "the mirror with the slot").await;
    mirror::assert_matches_chain(&disturbed.fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
}
