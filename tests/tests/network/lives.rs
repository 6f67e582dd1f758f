//! Accounts that are closed, and created again at the same address: the mirror has every life, and
//! exactly the program's own events, however the slots reached the indexer.

mod expected;
mod insured;
mod later;
mod payouts;
mod policies;
mod scenes;
mod stage;

use driftshield_tests::{
    network::faults::{Fault, Refusal},
    proxy::Part,
};

use self::{
    expected::{CANCELLED, CREATED, Expected, Life},
    insured::Insured,
    policies::AroundSnapshot,
    stage::{Api, Stage},
};
use crate::mirror;

/// Method by which the indexer reads all accounts.
const SNAPSHOT: &str = "getProgramAccounts";
/// Method by which the indexer reads the accounts that missing slots changed.
const REFETCH: &str = "getMultipleAccounts";

#[tokio::test(flavor = "multi_thread")]
async fn every_life_is_mirrored_live_after_a_kill_and_from_blocks() {
    // Given an indexer and an API
    let stage = Stage::set().await;
    let mut indexer = stage.start_indexer();
    let api = Api::start(&stage);
    stage.catch_up().await;
    let insured = Insured::open(&stage).await;
    let [for_live, for_replayed, for_blocks] = scenes::prepare(&stage, &insured).await;

    // When accounts are closed while the indexer follows, then it shows what happened
    let live = scenes::play(&stage, &insured, &for_live).await;
    stage.catch_up().await;
    live.check(&stage, &api).await;

    // When they are closed while it is away, and the node replays the slots
    indexer.kill();
    let replayed = scenes::play(&stage, &insured, &for_replayed).await;
    indexer = stage.start_indexer();
    stage.catch_up().await;
    replayed.check(&stage, &api).await;

    // When they are closed while it is away, and the slots are only in the RPC node's blocks
    indexer.kill();
    let faults = stage.fixture.network.faults();
    faults.hold(Fault::RefuseReplay(Refusal::Unsupported)).await;
    let from_blocks = scenes::play(&stage, &insured, &for_blocks).await;
    insured.close().await;
    indexer = stage.start_indexer();
    stage.catch_up().await;
    faults.release_all().await;
    assert_eq!(gaps(&stage).await, ["filled"]);
    from_blocks.check(&stage, &api).await;

    // Then it still shows all of it, and equals the chain
    live.check(&stage, &api).await;
    replayed.check(&stage, &api).await;
    mirror::assert_matches_chain(&stage.fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_life_is_mirrored_by_polling() {
    // Given an indexer that polls the RPC node, and an API
    let stage = Stage::set().await;
    let mut indexer = stage.start_indexer_on("rpc");
    let api = Api::start(&stage);
    stage.catch_up().await;
    let insured = Insured::open(&stage).await;
    let [for_live, for_missed] = scenes::prepare(&stage, &insured).await;

    // When accounts are closed while the indexer follows, then it shows what happened
    let live = scenes::play(&stage, &insured, &for_live).await;
    stage.catch_up().await;
    live.check(&stage, &api).await;

    // When they are closed while it is away
    indexer.kill();
    let missed = scenes::play(&stage, &insured, &for_missed).await;
    insured.close().await;
    indexer = stage.start_indexer_on("rpc");
    stage.catch_up().await;

    // Then it shows all of it, and equals the chain
    missed.check(&stage, &api).await;
    live.check(&stage, &api).await;
    mirror::assert_matches_chain(&stage.fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
}

/// States of the slots that the stream did not deliver.
async fn gaps(stage: &Stage) -> Vec<String> {
    sqlx::query_scalar("select distinct state from chain.gap")
        .fetch_all(&stage.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_are_closed_during_the_first_snapshot_are_mirrored() {
    // Given markets and policies, some of them closed before the indexer starts
    let stage = Stage::set().await;
    let insured = Insured::open(&stage).await;
    let policies = AroundSnapshot::buy(&insured).await;
    let mut expected = Expected::default();
    let [kept, gone, reborn, early, late, renewed] = [(); 6].map(|()| stage.new_market());
    let mut created = vec![];
    for market in [kept, gone, reborn, early, late, renewed] {
        created.push(stage.send(&[stage.create(market, "first")]).await);
    }
    let gone_closed = stage.send(&[stage.cancel(gone)]).await;
    let reborn_closed = stage.send(&[stage.cancel(reborn)]).await;
    let before = |question, index: usize| Life::open(question, &created[index]);
    expected.market(
        "open all the time",
        stage.address(kept),
        &[before("first", 0)],
        &[CREATED],
    );
    expected.market(
        "closed before the mirror began",
        stage.address(gone),
        &[before("first", 1).ended("cancelled", &gone_closed)],
        &[CREATED, CANCELLED],
    );

    // When the indexer has the stream, and its request for the accounts has not reached the node
    let proxy = &stage.fixture.proxy;
    proxy.hold(Part::Request, SNAPSHOT);
    let mut indexer = stage.start_indexer();
    proxy.wait_for_call().await;
    let early_closed = stage.send(&[stage.cancel(early)]).await;
    expected.market(
        "closed before the snapshot",
        stage.address(early),
        &[before("first", 3).ended("cancelled", &early_closed)],
        &[CREATED, CANCELLED],
    );
    let [whole, new, twice] = [(); 3].map(|()| stage.new_market());
    let both = [stage.create(whole, "first"), stage.cancel(whole)];
    let sent = stage.send(&both).await;
    expected.market(
        "created and closed before the snapshot",
        stage.address(whole),
        &[Life::cancelled("first", &sent, &sent)],
        &[CREATED, CANCELLED],
    );
    let policies = policies.cancel_before().await;
    let new_created = stage.send(&[stage.create(new, "first")]).await;
    let twice_created = stage.send(&[stage.create(twice, "first")]).await;

    // and the node has answered, but the indexer does not have the answer
    proxy.hold(Part::Answer, SNAPSHOT);
    proxy.wait_for_call().await;
    let late_closed = stage.send(&[stage.cancel(late)]).await;
    expected.market(
        "closed after the snapshot",
        stage.address(late),
        &[before("first", 4).ended("cancelled", &late_closed)],
        &[CREATED, CANCELLED],
    );
    let renewed_closed = stage.send(&[stage.cancel(renewed)]).await;
    let renewed_created = stage.send(&[stage.create(renewed, "second")]).await;
    expected.market(
        "closed and created again after the snapshot",
        stage.address(renewed),
        &[
            before("first", 5).ended("cancelled", &renewed_closed),
            Life::open("second", &renewed_created),
        ],
        &[CREATED, CANCELLED, CREATED],
    );
    let reborn_created = stage.send(&[stage.create(reborn, "second")]).await;
    expected.market(
        "closed before the mirror began, and created again after the snapshot",
        stage.address(reborn),
        &[
            before("first", 2).ended("cancelled", &reborn_closed),
            Life::open("second", &reborn_created),
        ],
        &[CREATED, CANCELLED, CREATED],
    );
    let new_closed = stage.send(&[stage.cancel(new)]).await;
    expected.market(
        "created before the snapshot and closed after it",
        stage.address(new),
        &[Life::cancelled("first", &new_created, &new_closed)],
        &[CREATED, CANCELLED],
    );
    let again = [stage.cancel(twice), stage.create(twice, "second")];
    let twice_again = stage.send(&again).await;
    expected.market(
        "created before the snapshot, closed and created again after it",
        stage.address(twice),
        &[
            Life::cancelled("first", &twice_created, &twice_again),
            Life::open("second", &twice_again),
        ],
        &[CREATED, CANCELLED, CREATED],
    );
    policies.cancel_after(&mut expected).await;
    insured.close().await;
    proxy.release();
    let api = Api::start(&stage);
    stage.catch_up().await;

    // Then the mirror has every life, and equals the chain
    expected.check(&stage, &api).await;
    mirror::assert_matches_chain(&stage.fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
}
