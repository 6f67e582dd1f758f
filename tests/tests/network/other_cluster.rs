//! A gRPC server of another cluster among the configured ones.

use std::{sync::Arc, time::Duration};

use driftshield_sdk::rpc::Client;
use driftshield_tests::{
    chaos::node::{Node, NodeFault},
    ingest::{
        chain::{Block, Chain, NextSlot},
        grpc,
        recording::Recording,
    },
    network::{
        Network, Service,
        faults::{Fault, Refusal},
        fixture::Fixture,
        wait_for,
    },
};
use sqlx::PgPool;

use crate::mirror;

/// Index of the market that stays open.
const MARKET: usize = 2;
const TIMEOUT: Duration = Duration::from_secs(120);
/// Numbers of slots by which the other clusters are ahead: the network reaches the one soon, and the other one never.
const NEAR: u64 = 10;
const FAR: u64 = 100_000;
/// Number of the slots that are lost after the newest one of the other cluster.
const LOST: u64 = 20;

/// A cluster without transactions, which is always `ahead` slots ahead of the network. Returns the URL of its
/// server.
async fn start_other(network: &Network, ahead: u64) -> (Arc<Chain>, String) {
    let chain = Arc::new(Chain::new(Arc::new(Recording::default())));
    let (url, _) = grpc::serve(Arc::clone(&chain)).await.unwrap();
    let client = Client::new(network.addresses.rpc_url.clone());
    let first = client.rpc().get_slot().await.unwrap() + ahead;
    let (confirmed, mut parent) = (Arc::clone(&chain), Block::unforked(first));
    tokio::spawn(async move {
        loop {
            let slot = client.rpc().get_slot().await.unwrap_or_default() + ahead;
            for slot in parent.slot + 1..=slot {
                let block = Block::unforked(slot);
                confirmed.confirm_all([NextSlot {
                    block,
                    parent,
                    transactions: 0..0,
                }]);
                parent = block;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    wait_for("the other cluster", TIMEOUT, async || {
        (!chain.slots().is_empty()).then_some(())
    })
    .await;
    (chain, url)
}

/// Starts an indexer with the server of another cluster first.
fn start_indexer(network: &Network, other: &str, node: &Node) -> Service {
    let mut command = network.command("indexer");
    command
        .env("RPC_URL", &node.url)
        .env("GRPC_URL", [other, &network.addresses.grpc_url].join(","))
        .arg("run");
    Service::start("indexer", &mut command, network.directory.path())
}

/// The mirror's slot.
async fn slot(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select slot from chain.cursor")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// Slots that are on record as lost.
async fn lost(pool: &PgPool) -> Vec<(i64, i64)> {
    sqlx::query_as("select from_slot, to_slot from chain.gap where state = 'lost'")
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_slot_of_another_cluster_is_stored_even_if_slots_are_lost() {
    // Given a mirror with the servers of two clusters, of which the other one comes first and is far ahead
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let network = &fixture.network;
    let node = Node::start(&network.addresses.rpc_url).await;
    let pool = network.database().await;
    let (_, far) = start_other(network, FAR).await;
    let mut indexer = start_indexer(network, &far, &node);
    fixture.place_bet(MARKET, 0, 0).await;
    mirror::wait_until_current(network, &pool).await;
    mirror::assert_matches_chain(network);
    mirror::wait_until_final(&pool, slot(&pool).await).await;
    indexer.kill();
    assert_eq!(lost(&pool).await, []);
    let before = mirror::bets(&pool).await;

    // When the slots since are lost, up to one that the other cluster, a little ahead now, doesn't have yet
    let (other, near) = start_other(network, NEAR).await;
    fixture.place_bet(MARKET, 1, 0).await;
    let first = other.tip().slot + LOST;
    assert!(slot(&pool).await < other.tip().slot as i64);
    node.set(Some(NodeFault::Purged(first)));
    let refuse = Fault::RefuseReplay(Refusal::Unsupported);
    network.faults().hold(refuse).await;
    let mut indexer = start_indexer(network, &near, &node);
    wait_for("the first slot that is left", TIMEOUT, async || {
        let reached = network.client.rpc().get_slot().await.ok()?;
        (first + 1 < reached).then_some(())
    })
    .await;
    fixture.place_bet(MARKET, 2, 1).await;
    mirror::wait_until_current(network, &pool).await;

    // Then the mirror goes on with its own cluster, and has what is left
    mirror::assert_matches_chain(network);
    assert_eq!(mirror::bets(&pool).await, before + 1);
    let lost = lost(&pool).await;
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(first as i64 <= lost[0].1 + 1, "{lost:?}");
    let output = indexer.output();
    assert!(output.contains("is not on the mirrored chain"), "{output}");
    assert!(indexer.stop(), "{output}");
}
