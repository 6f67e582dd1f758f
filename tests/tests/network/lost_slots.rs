//! Slots that no source has any more.

use std::time::{Duration, Instant};

use driftshield_tests::{
    chaos::node::{Node, NodeFault},
    network::{
        Network, Service,
        faults::{Fault, Refusal},
        fixture::{BETTORS, Fixture},
        wait_for,
    },
};
use sqlx::Executor;

use crate::{mirror, tampering};

/// Index of the market that stays open.
const MARKET: usize = 2;
const TIMEOUT: Duration = Duration::from_secs(60);

fn start_indexer(network: &Network, node: &Node, argument: &str) -> Service {
    let mut command = network.command("indexer");
    command.env("RPC_URL", &node.url).arg(argument);
    Service::start("indexer", &mut command, network.directory.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_no_source_has_are_on_record_and_the_accounts_are_right() {
    // Given a mirror, and bets while the indexer is away
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let network = &fixture.network;
    let node = Node::start(&network.addresses.rpc_url).await;
    let pool = network.database().await;
    let mut indexer = start_indexer(network, &node, "run");
    fixture.place_bet(MARKET, 0, 0).await;
    mirror::wait_until_current(network, &pool).await;
    let before = mirror::bets(&pool).await;
    // What is not finalized is lost with the slots after it.
    let slot = network.client.rpc().get_slot().await.unwrap() as i64;
    mirror::wait_until_final(&pool, slot + 1).await;
    let epoch: i64 = sqlx::query_scalar("select epoch from chain.cursor")
        .fetch_one(&pool)
        .await
        .unwrap();
    indexer.kill();
    fixture.place_bet(MARKET, 1, 0).await;
    let available = mirror::pass_slots(network).await;
    fixture.place_bet(MARKET, 2, 1).await;
    mirror::pass_slots(network).await;

    // When neither a replay nor all of the blocks are left
    node.set(Some(NodeFault::Purged(available)));
    let refuse = Fault::RefuseReplay(Refusal::Unsupported);
    network.faults().hold(refuse).await;
    let mut indexer = start_indexer(network, &node, "run");
    fixture.place_bet(MARKET, 3, 2).await;
    mirror::wait_until_current(network, &pool).await;

    // Then a new epoch has the bets whose blocks are left, the other slots are on record as lost, and
    // clients are told
    let (now, history_from): (i64, i64) =
        sqlx::query_as("select epoch, history_from from chain.cursor")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(epoch < now);
    assert!(history_from as u64 <= available);
    assert_eq!(mirror::bets(&pool).await, before + 2);
    let lost: Vec<(i64, i64)> =
        sqlx::query_as("select from_slot, to_slot from chain.gap where state = 'lost'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].1, history_from - 1);
    let told: i64 = sqlx::query_scalar(
        "select count(*) from chain.feed where kind = 'gap' and body ->> 'state' = 'lost'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(told, 1);

    // and the accounts are those on chain, and verification compares the record of the loss
    mirror::assert_matches_chain(network);
    tampering::lost_slots_are_compared(network, &pool).await;
    assert!(indexer.stop(), "{}", indexer.output());

    // When a mirror is made anew from the node
    let mut rebuild = start_indexer(network, &node, "rebuild");
    assert_eq!(rebuild.exit_code(TIMEOUT).await, 0, "{}", rebuild.output());

    // Then it has the events from the first block on, and all accounts
    let history_from: i64 = sqlx::query_scalar("select history_from from chain.cursor")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(history_from as u64, available);
    assert_eq!(mirror::bets(&pool).await, 2);
    let mut indexer = start_indexer(network, &node, "run");
    mirror::wait_until_current(network, &pool).await;
    mirror::assert_matches_chain(network);
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_the_node_lists_and_lacks_counts_as_lost_after_minutes() {
    /// Five minutes, a tenth as long.
    const PATIENCE: Duration = Duration::from_secs(30);
    let start = |network: &Network, node: &Node, argument: &str| {
        let mut command = network.command("indexer");
        command
            .env("RPC_URL", &node.url)
            .env("DRIFTSHIELD_TIME_SCALE", "10")
            .arg(argument);
        Service::start("indexer", &mut command, network.directory.path())
    };

    // Given a mirror, and bets while the indexer is away
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let network = &fixture.network;
    let node = Node::start(&network.addresses.rpc_url).await;
    let pool = network.database().await;
    let mut indexer = start(network, &node, "run");
    mirror::wait_until_current(network, &pool).await;
    indexer.kill();
    let mirrored = sqlx::query_scalar("select slot from chain.cursor");
    let mirrored: i64 = mirrored.fetch_one(&pool).await.unwrap();
    let passed = mirror::pass_slots(network).await;
    fixture.place_bet(MARKET, 1, 0).await;
    mirror::pass_slots(network).await;
    let rpc = network.client.rpc();
    let blocks = rpc.get_blocks(mirrored as u64 + 1, Some(passed)).await;
    let lacking = *blocks.unwrap().last().expect("a block");

    // When a block of that time is not to be had, and no replay
    node.set(Some(NodeFault::Lacks(lacking)));
    let refuse = Fault::RefuseReplay(Refusal::Unsupported);
    let refusal = network.faults().hold(refuse).await;
    let started = Instant::now();
    let mut indexer = start(network, &node, "run");
    let lost: Vec<i64> = wait_for("the loss", 4 * PATIENCE, async || {
        let lost = "select to_slot from chain.gap where state = 'lost'";
        let lost = sqlx::query_scalar(lost).fetch_all(&pool).await.ok()?;
        Some(lost).filter(|lost| !lost.is_empty())
    })
    .await;

    // Then it counts as lost, but not at once, and the mirror has all else
    assert!(PATIENCE <= started.elapsed(), "{:?}", started.elapsed());
    assert_eq!(lost, [lacking as i64]);
    mirror::wait_until_current(network, &pool).await;
    assert_eq!(mirror::bets(&pool).await, 1);
    mirror::assert_matches_chain(network);
    network.faults().release(refusal).await;
    let bet: i64 =
        sqlx::query_scalar("select max(id >> 31) from chain.event where name = 'BetPlaced'")
            .fetch_one(&pool)
            .await
            .unwrap();
    mirror::wait_until_final(&pool, bet).await;
    assert!(indexer.stop(), "{}", indexer.output());

    // When a mirror is made anew, and the node lacks a block with an event of the program
    node.set(Some(NodeFault::Lacks(bet as u64)));
    let started = Instant::now();
    let mut rebuild = start(network, &node, "rebuild");
    let code = rebuild.exit_code(4 * PATIENCE).await;
    assert_eq!(code, 0, "{}", rebuild.output());

    // Then that block counts as lost as late, and the mirror has all else
    assert!(PATIENCE <= started.elapsed(), "{:?}", started.elapsed());
    let lost: (i64, i64, i64) = sqlx::query_as(
        "select from_slot, to_slot, history_from from chain.gap, chain.cursor where state = 'lost'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(lost, (bet, bet, bet + 1));
    assert_eq!(mirror::bets(&pool).await, BETTORS as i64);
    node.set(None);
    mirror::assert_matches_chain(network);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_whose_first_slot_was_dropped_goes_back_to_the_one_before_it() {
    // Given a mirror that has only the slot after the one that it began with
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let network = &fixture.network;
    let node = Node::start(&network.addresses.rpc_url).await;
    let pool = network.database().await;
    let mut indexer = start_indexer(network, &node, "run");
    fixture.place_bet(MARKET, 0, 0).await;
    mirror::wait_until_current(network, &pool).await;
    assert!(indexer.stop(), "{}", indexer.output());

    // which the cluster dropped, and a node that no longer has the one before
    pool.execute(
        "delete from chain.slot where slot < (select slot from chain.cursor);
         update chain.slot set blockhash = decode(repeat('07', 32), 'hex');
         update chain.cursor set (blockhash, finalized_slot) =
           (select blockhash, parent_slot from chain.slot)",
    )
    .await
    .unwrap();
    let slot = sqlx::query_scalar("select slot from chain.cursor");
    let slot: i64 = slot.fetch_one(&pool).await.unwrap();
    node.set(Some(NodeFault::Purged(slot as u64)));

    // When the stream shows only later slots
    mirror::pass_slots(network).await;
    let refuse = Fault::RefuseReplay(Refusal::Unsupported);
    network.faults().hold(refuse).await;
    let mut indexer = start_indexer(network, &node, "run");
    fixture.place_bet(MARKET, 1, 0).await;
    mirror::wait_until_current(network, &pool).await;

    // Then the mirror equals the chain, and its readers were told
    mirror::assert_matches_chain(network);
    let undone: Vec<i64> = sqlx::query_scalar(
        "select (body ->> 'to_slot')::bigint from chain.feed where kind = 'rollback'",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(undone.len(), 1);
    assert!(undone[0] < slot);
    assert!(indexer.stop(), "{}", indexer.output());
}
