//! What the indexer reads from an RPC node can be of a later life than the one that it knows: no life
//! has the bytes of another.

use driftshield_tests::{
    network::faults::{Fault, Refusal},
    proxy::Part,
};

use super::{
    REFETCH, SNAPSHOT,
    expected::{CANCELLED, CREATED, Expected, Life},
    gaps,
    stage::{Api, Sent, Stage},
};
use crate::mirror;

/// Two lives of a market: the first ends before the second begins.
struct Reborn {
    market: u64,
    created: Sent,
    cancelled: Sent,
    again: Sent,
}

impl Reborn {
    /// Cancels a market, and creates another one at its address.
    async fn play(stage: &Stage, market: u64, created: Sent) -> Self {
        Self {
            market,
            created,
            cancelled: stage.send(&[stage.cancel(market)]).await,
            again: stage.send(&[stage.create(market, "second")]).await,
        }
    }

    fn expect(&self, expected: &mut Expected, scene: &'static str, stage: &Stage) {
        expected.market(
            scene,
            stage.address(self.market),
            &[
                Life::cancelled("first", &self.created, &self.cancelled),
                Life::open("second", &self.again),
            ],
            &[CREATED, CANCELLED, CREATED],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_snapshot_can_be_of_a_later_life() {
    // Given a market, and an indexer that has the stream but not the accounts
    let stage = Stage::set().await;
    let mut expected = Expected::default();
    let proxy = &stage.fixture.proxy;
    let [old, new] = [(); 2].map(|()| stage.new_market());
    let created = stage.send(&[stage.create(old, "first")]).await;
    proxy.hold(Part::Request, SNAPSHOT);
    let mut indexer = stage.start_indexer();
    let api = Api::start(&stage);
    proxy.wait_for_call().await;

    // When it is closed and created again before the snapshot is taken, and another one as well
    let old = Reborn::play(&stage, old, created).await;
    let scene = "closed and created again before the snapshot";
    old.expect(&mut expected, scene, &stage);
    let created = stage.send(&[stage.create(new, "first")]).await;
    let new = Reborn::play(&stage, new, created).await;
    new.expect(&mut expected, "created twice before the snapshot", &stage);
    proxy.release();
    stage.catch_up().await;

    // Then the mirror has both lives
    expected.check(&stage, &api).await;
    mirror::assert_matches_chain(&stage.fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_missing_slots_can_be_of_a_later_life() {
    // Given a market, an indexer that knows it and is killed, and a node that replays nothing
    let stage = Stage::set().await;
    let mut expected = Expected::default();
    let (proxy, faults) = (&stage.fixture.proxy, stage.fixture.network.faults());
    let mut indexer = stage.start_indexer();
    let api = Api::start(&stage);
    stage.catch_up().await;
    let [standing, filled, killed] = [(); 3].map(|()| stage.new_market());
    let standing_created = stage.send(&[stage.create(standing, "first")]).await;
    stage.catch_up().await;
    indexer.kill();
    faults.hold(Fault::RefuseReplay(Refusal::Unsupported)).await;

    // When a market of the missing slots is closed and created again before the indexer reads the
    // accounts that these slots changed
    let created = stage.send(&[stage.create(filled, "first")]).await;
    proxy.hold(Part::Request, REFETCH);
    indexer = stage.start_indexer();
    proxy.wait_for_call().await;
    let reborn = Reborn::play(&stage, filled, created).await;
    let scene = "closed and created again before it was read again";
    reborn.expect(&mut expected, scene, &stage);
    proxy.release();
    stage.catch_up().await;

    // and others after the indexer was killed before it had stored these accounts
    indexer.kill();
    let created = stage.send(&[stage.create(killed, "first")]).await;
    proxy.hold(Part::Answer, REFETCH);
    indexer = stage.start_indexer();
    proxy.wait_for_call().await;
    indexer.kill();
    let reborn = Reborn::play(&stage, killed, created).await;
    let scene = "closed and created again after a kill";
    reborn.expect(&mut expected, scene, &stage);
    let reborn = Reborn::play(&stage, standing, standing_created).await;
    let scene = "known before the missing slots, and created again after a kill";
    reborn.expect(&mut expected, scene, &stage);
    proxy.release();
    indexer = stage.start_indexer();
    stage.catch_up().await;
    faults.release_all().await;
    assert_eq!(gaps(&stage).await, ["filled"]);

    // Then the mirror has both lives of each
    expected.check(&stage, &api).await;
    mirror::assert_matches_chain(&stage.fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
}
