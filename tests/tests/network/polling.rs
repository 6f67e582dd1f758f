//! An indexer without a gRPC server, which polls the RPC node.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use driftshield_sdk::rpc::Signer;
use driftshield_tests::network::{
    Service,
    faults::Fault,
    fixture::{BETTORS, Fixture},
    wait_for,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use crate::mirror;

/// Index of the market that stays open.
const MARKET: usize = 2;
const KILLS: usize = 6;
/// More slots than are mirrored at once.
const MANY_SLOTS: i64 = 140;
const NO_GAP: [String; 0] = [];

pub fn start_indexer(fixture: &Fixture) -> Service {
    let mut command = fixture.network.command("indexer");
    command
        .env_remove("GRPC_URL")
        .args(["run", "--source", "rpc"]);
    Service::start("indexer", &mut command, fixture.network.directory.path())
}

/// Places bets as fast as they go, and sends lamports to the market without naming the program.
async fn keep_busy(fixture: Arc<Fixture>, stop: Arc<AtomicBool>) {
    let mut random = StdRng::seed_from_u64(3);
    let (client, payer) = (&fixture.network.client, &fixture.network.payer);
    while !stop.load(Ordering::Relaxed) {
        let (bettor, outcome) = (random.random_range(0..BETTORS), random.random_range(0..3));
        fixture.place_bet(MARKET, bettor, outcome).await;
        if random.random_ratio(1, 3) {
            let (market, lamports) = (fixture.markets[MARKET], random.random_range(1..1_000));
            let transfer = solana_system_interface::instruction::transfer;
            let send = transfer(&payer.pubkey(), &market, lamports);
            client.send(&[send], &[payer]).await.unwrap();
        }
    }
}

/// Whether the mirror has all accounts, and the number of open ones that are not as on chain.
async fn settled_and_inexact(pool: &PgPool) -> (bool, i64) {
    sqlx::query_as(
        "select settled_slot is not null, (select count(*) from chain.account
           where is_current and closed_slot is null and not is_exact) from chain.cursor",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// States of the slots that were left to be filled.
async fn gaps(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select distinct state from chain.gap")
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn catch_up(fixture: &Fixture, pool: &PgPool, what: &str) {
    let slot = fixture.network.client.rpc().get_slot().await.unwrap() as i64;
    wait_for(what, Duration::from_secs(30), async || {
        sqlx::query("select from chain.cursor")
            .fetch_optional(pool)
            .await
            .ok()?
    })
    .await;
    mirror::wait_until_settled(pool, slot, what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polled_node_is_mirrored_exactly_through_kills() {
    // Given an indexer without a gRPC server, and bets during the whole run
    let mut fixture = Fixture::start().await;
    fixture.create_market(300).await;
    let fixture = Arc::new(fixture);
    let pool = fixture.network.database().await;
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = tokio::spawn(keep_busy(Arc::clone(&fixture), Arc::clone(&stop)));
    let mut indexer = start_indexer(&fixture);
    catch_up(&fixture, &pool, "the mirror").await;

    // When it is killed at random moments
    let mut random = StdRng::seed_from_u64(5);
    for _ in 0..KILLS {
        let pause = Duration::from_millis(random.random_range(300..3_000));
        tokio::time::sleep(pause).await;
        assert!(indexer.is_running(), "{}", indexer.output());
        indexer.kill();
        assert_eq!(settled_and_inexact(&pool).await, (true, 0));
        let pause = Duration::from_millis(random.random_range(0..2_000));
        tokio::time::sleep(pause).await;
        indexer = start_indexer(&fixture);
    }

    // Then the mirror keeps up with the bets and has all accounts as they are on chain, at any time
    for _ in 0..10 {
        catch_up(&fixture, &pool, "the mirror after the kills").await;
        assert_eq!(settled_and_inexact(&pool).await, (true, 0));
    }
    assert_eq!(gaps(&pool).await, NO_GAP, "{}", indexer.output());
    let totals = tokio::task::block_in_place(|| mirror::assert_matches_chain(&fixture.network));
    assert!(0 < totals.events);

    // When it is away for more slots than are mirrored at once
    indexer.kill();
    let mirrored = sqlx::query_scalar("select slot from chain.cursor");
    let mirrored: i64 = mirrored.fetch_one(&pool).await.unwrap();
    wait_for("many slots", Duration::from_secs(180), async || {
        let slot = fixture.network.client.rpc().get_slot().await.ok()? as i64;
        (mirrored + MANY_SLOTS < slot).then_some(())
    })
    .await;
    indexer = start_indexer(&fixture);

    // Then it fills the gap, and the mirror has all accounts again
    catch_up(&fixture, &pool, "the mirror after a long pause").await;
    assert_eq!(settled_and_inexact(&pool).await, (true, 0));
    assert_eq!(gaps(&pool).await, ["filled"]);

    // and it equals the chain after the last bet
    stop.store(true, Ordering::Relaxed);
    traffic.await.unwrap();
    catch_up(&fixture, &pool, "the last bets").await;
    mirror::assert_matches_chain(&fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_is_polled_while_no_grpc_server_works() {
    // Given an indexer that follows a gRPC server, with its waits a tenth as long
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let network = &fixture.network;
    let pool = network.database().await;
    let mut command = network.command("indexer");
    command.env("DRIFTSHIELD_TIME_SCALE", "10").arg("run");
    let mut indexer = Service::start("indexer", &mut command, network.directory.path());
    catch_up(&fixture, &pool, "the mirror").await;
    assert!(!indexer.output().contains("polling the RPC node"));

    // When the server goes down for good
    let faults = network.faults();
    let down = faults.hold(Fault::RefuseSubscriptions).await;
    faults.once(Fault::Restart).await;
    fixture.place_bet(MARKET, 0, 1).await;

    // Then the mirror goes on with the RPC node
    for bettor in 1..BETTORS {
        catch_up(&fixture, &pool, "the mirror without the server").await;
        fixture.place_bet(MARKET, bettor, 1).await;
    }
    catch_up(&fixture, &pool, "the mirror without the server").await;
    assert!(
        indexer.output().contains("polling the RPC node"),
        "{}",
        indexer.output()
    );
    mirror::assert_matches_chain(&fixture.network);

    // When the server is back, then the indexer follows it again
    faults.release(down).await;
    let timeout = Duration::from_secs(30);
    wait_for("the server", timeout, async || {
        let output = indexer.output();
        let (_, later) = output.split_once("sends slots again")?;
        later.contains("caught up with the source").then_some(())
    })
    .await;
    fixture.place_bet(MARKET, 0, 2).await;
    catch_up(&fixture, &pool, "the mirror with the server").await;
    mirror::assert_matches_chain(&fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
}
