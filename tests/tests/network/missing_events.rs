//! Events and writes that a source lacks, although the accounts count them.

use std::time::Duration;

use driftshield_tests::{
    chaos::node::{Node, NodeFault},
    network::{
        Network, Service,
        faults::{Fault, Kind, Refusal},
        fixture::Fixture,
        free_address,
    },
};
use serde_json::Value;
use sqlx::PgPool;

use crate::{api_fixture, mirror};

/// Index of the market that stays open.
const MARKET: usize = 2;
const TIMEOUT: Duration = Duration::from_secs(60);

/// An indexer that reads blocks from `node` and serves its health.
struct Indexer {
    service: Service,
    url: String,
}

impl Indexer {
    fn start(network: &Network, node: &Node, command: &str) -> Self {
        let address = free_address().to_string();
        let mut process = network.command("indexer");
        process.env("RPC_URL", &node.url);
        process.args([command, "--listen", &address]);
        Self {
            service: Service::start("indexer", &mut process, network.directory.path()),
            url: format!("http://{address}"),
        }
    }

    async fn get(&self, path: &str) -> String {
        let response = reqwest::get(format!("{}/{path}", self.url)).await.unwrap();
        response.text().await.unwrap()
    }

    /// Number of open dead letters, which the health and the metrics show.
    async fn dead_letters(&self) -> u64 {
        let health: Value = serde_json::from_str(&self.get("health").await).unwrap();
        let letters = health["dead_letters"].as_u64().unwrap();
        let metric = format!("driftshield_indexer_dead_letters {letters}\n");
        let metrics = self.get("metrics").await;
        assert!(metrics.contains(&metric), "{metrics}");
        letters
    }
}

/// First slot with a complete history, as the API says to its operators.
async fn history_from(operations: &str) -> i64 {
    let health = reqwest::get(format!("{operations}/health/detailed"))
        .await
        .unwrap();
    let health: Value = health.json().await.unwrap();
    health["mirror"]["history_from"].as_i64().unwrap()
}

/// Asserts that the mirror is on record as incomplete because of the market, and nothing else is wrong.
async fn assert_on_record(fixture: &Fixture, indexer: &mut Indexer, pool: &PgPool) {
    let market = fixture.markets[MARKET].to_string();
    let reasons: Vec<(String, String)> = sqlx::query_as(
        "select subject, reason from chain.dead_letter where resolved_at is null order by id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(!reasons.is_empty());
    let is_of_market = |reason: &String| reason.contains(&market);
    assert!(reasons.iter().any(|(_, reason)| is_of_market(reason)));
    for (subject, reason) in &reasons {
        assert_eq!(subject, "history", "{reason}");
        assert!(reason.contains("lacks events"), "{reason}");
    }
    assert_eq!(indexer.dead_letters().await, reasons.len() as u64);
    indexer.service.assert_running();
    let differences = mirror::differences(&fixture.network);
    for (_, reason) in &reasons {
        mirror::assert_reported(&differences, reason);
    }
    mirror::assert_reported(&differences, &format!("account {market}: event number"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_lacks_a_transaction_is_read_again() {
    // Given an indexer that follows
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let pool = fixture.network.database().await;
    let mut indexer = fixture.start_indexer();
    mirror::wait_until_current(&fixture.network, &pool).await;
    let before = mirror::bets(&pool).await;

    // When the server loses a transaction, but not the accounts that it changed
    let faults = fixture.network.faults();
    faults.once(Fault::LoseTransaction { writes: false }).await;
    for bettor in 0..3 {
        fixture.place_bet(MARKET, bettor, bettor as u8).await;
    }
    faults
        .wait_for_changes(Kind::LoseTransaction, 1, TIMEOUT)
        .await;

    // Then the mirror has its event all the same
    mirror::wait_until_current(&fixture.network, &pool).await;
    assert_eq!(mirror::bets(&pool).await, before + 3);
    mirror::assert_matches_chain(&fixture.network);
    let output = indexer.output();
    assert!(output.contains("the slot is incomplete"), "{output}");
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_lacks_a_write_is_read_again() {
    // Given an indexer that follows
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let pool = fixture.network.database().await;
    let mut indexer = fixture.start_indexer();
    mirror::wait_until_current(&fixture.network, &pool).await;

    // When the server loses accounts that transactions changed, but not the transactions
    let faults = fixture.network.faults();
    for bettor in 0..3 {
        faults.once(Fault::LoseAccount).await;
        fixture.place_bet(MARKET, bettor, bettor as u8).await;
        faults
            .wait_for_changes(Kind::LoseAccount, bettor as u64 + 1, TIMEOUT)
            .await;
        // Then the mirror has their bytes all the same
        mirror::wait_until_current(&fixture.network, &pool).await;
        mirror::assert_matches_chain(&fixture.network);
    }
    let output = indexer.output();
    assert_eq!(
        output.matches("the slot is incomplete").count(),
        3,
        "{output}"
    );
    let put_together: i64 = sqlx::query_scalar(
        "select count(*) from chain.account where closed_slot is null and not is_exact",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(put_together, 0);
    assert!(indexer.stop(), "{}", indexer.output());
}

/// A mirror whose server has lost a bet on [`MARKET`], of the first bettor, with its writes. Also returns the number
/// of bets in the mirror.
async fn with_lost_bet() -> (Fixture, PgPool, Service, i64) {
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let pool = fixture.network.database().await;
    let indexer = fixture.start_indexer();
    fixture.place_bet(MARKET, 1, 0).await;
    mirror::wait_until_current(&fixture.network, &pool).await;
    let bets = mirror::bets(&pool).await;
    let faults = fixture.network.faults();
    faults.once(Fault::LoseTransaction { writes: true }).await;
    fixture.place_bet(MARKET, 0, 0).await;
    faults
        .wait_for_changes(Kind::LoseTransaction, 1, TIMEOUT)
        .await;
    mirror::pass_slots(&fixture.network).await;
    mirror::wait_until_current(&fixture.network, &pool).await;
    assert_eq!(mirror::bets(&pool).await, bets);
    (fixture, pool, indexer, bets)
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_before_the_one_that_shows_a_missing_event_are_read_again() {
    // Given a mirror that lacks a transaction of an earlier slot
    let (fixture, pool, mut indexer, bets) = with_lost_bet().await;

    // When the next event shows it
    fixture.place_bet(MARKET, 2, 1).await;

    // Then the mirror has all of it
    mirror::wait_until_current(&fixture.network, &pool).await;
    assert_eq!(mirror::bets(&pool).await, bets + 2);
    mirror::assert_matches_chain(&fixture.network);
    let output = indexer.output();
    assert!(output.contains("the slot is incomplete"), "{output}");
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_right_although_a_final_slot_lacks_a_transaction() {
    // Given a mirror that lacks a transaction of a slot that can't be undone any more
    let (fixture, pool, mut indexer, bets) = with_lost_bet().await;
    let network = &fixture.network;
    let last = mirror::pass_slots(network).await;
    mirror::wait_until_final(&pool, last as i64).await;

    // When the next event shows it
    fixture.place_bet(MARKET, 2, 1).await;
    mirror::wait_until_current(network, &pool).await;

    // Then its event is missing and on record, and the accounts that it changed are right
    assert_eq!(mirror::bets(&pool).await, bets + 1);
    let differences = mirror::differences(network);
    mirror::assert_reported(&differences, "lacks events");
    let of_bytes = ["data of slot", "lamports of slot", "is not in the mirror"];
    for line in &differences {
        assert!(!of_bytes.iter().any(|text| line.contains(text)), "{line}");
    }
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_keeps_what_readings_found() {
    // Given a mirror that has read an account after a slot, and not another one, and that did not find a third one
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let pool = fixture.network.database().await;
    let mut indexer = fixture.start_indexer();
    fixture.place_bet(MARKET, 0, 0).await;
    let last = mirror::pass_slots(&fixture.network).await;
    mirror::wait_for_slot(&pool, last).await;
    mirror::wait_until_current(&fixture.network, &pool).await;
    indexer.kill();
    let read = fixture.markets[MARKET].to_bytes();
    let other = fixture.model.to_bytes();
    let (slot, parent_slot): (i64, i64) = sqlx::query_as(
        "with read as (
           update chain.account set slot = cursor.slot, write_version = 9223372036854775807
           from chain.cursor where address = $1 returning account.slot),
         typed as (update chain.market set slot = cursor.slot from chain.cursor where address = $1)
         update chain.cursor set settled_slot = read.slot from read
         returning read.slot, (select parent_slot from chain.slot where slot.slot = read.slot)",
    )
    .bind(read)
    .fetch_one(&pool)
    .await
    .unwrap();

    let closed = fixture.markets[0].to_bytes();
    let life: i64 = sqlx::query_scalar(
        "with typed as (update chain.market set ended_slot = $2 where address = $1)
         update chain.account set closed_slot = $2, slot = $2, write_version = 9223372036854775807
         where address = $1 returning life",
    )
    .bind(closed)
    .bind(slot)
    .fetch_one(&pool)
    .await
    .unwrap();

    // and letters about all
    for (reason, subject, address, since) in [
        ("kept, bytes", "account", read, None),
        ("kept, before", "history", read, Some(parent_slot)),
        ("gone, after", "history", read, Some(slot)),
        ("gone, not read", "account", other, None),
        ("gone, open again", "history", closed, Some(parent_slot)),
    ] {
        sqlx::query(
            "insert into chain.dead_letter (subject, slot, address, reason, since, decoder_version)
             values ($1, $2, $3, $4, $5, 1000)",
        )
        .bind(subject)
        .bind(slot)
        .bind(address)
        .bind(reason)
        .bind(since)
        .execute(&pool)
        .await
        .unwrap();
    }

    // When the cluster drops the slot
    sqlx::raw_sql(
        "update chain.cursor set blockhash = decode(repeat('07', 32), 'hex');
         update chain.slot set blockhash = decode(repeat('07', 32), 'hex')
         where slot = (select slot from chain.cursor)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let mut indexer = fixture.start_indexer();
    mirror::wait_until_current(&fixture.network, &pool).await;

    // Then those are left that no slot and no reading brings again
    let letters: Vec<(String, i64)> =
        sqlx::query_as("select reason, slot from chain.dead_letter order by id")
            .fetch_all(&pool)
            .await
            .unwrap();
    let kept = |reason: &str| (reason.to_owned(), parent_slot);
    assert_eq!(letters, [kept("kept, bytes"), kept("kept, before")]);

    // and the third account is open again, in the same life
    let lives: Vec<(i64, bool, bool)> = sqlx::query_as(
        "select life, is_current and closed_slot is null, ended_slot is null
         from chain.account join chain.market using (address, life, is_current) where address = $1",
    )
    .bind(closed)
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(lives, [(life, true, true)]);
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_no_source_has_are_on_record() {
    // Given a mirror, and bets while the indexer is away
    let mut fixture = Fixture::start_with(&["--bare", "--faults-port", "0"]).await;
    fixture.create_market(300).await;
    let network = &fixture.network;
    let node = Node::start(&network.addresses.rpc_url).await;
    let pool = network.database().await;
    let mut indexer = Indexer::start(network, &node, "run");
    fixture.place_bet(MARKET, 0, 0).await;
    mirror::wait_until_current(network, &pool).await;
    let before = mirror::bets(&pool).await;
    assert_eq!(indexer.dead_letters().await, 0);
    let operations = free_address().to_string();
    let arguments = ["--operations-listen", &operations];
    let (_api, _) = api_fixture::start_api_with(network, &arguments).await;
    let api = format!("http://{operations}");
    let whole_from = history_from(&api).await;
    indexer.service.kill();
    let first = mirror::pass_slots(network).await;
    fixture.place_bet(MARKET, 1, 0).await;
    let last = mirror::pass_slots(network).await;
    fixture.place_bet(MARKET, 2, 1).await;
    mirror::pass_slots(network).await;

    // When neither a replay nor the block has a bet
    node.set(Some(NodeFault::Hole(first, last)));
    let refuse = Fault::RefuseReplay(Refusal::Unsupported);
    let refusal = network.faults().hold(refuse).await;
    let mut indexer = Indexer::start(network, &node, "run");
    fixture.place_bet(MARKET, 3, 2).await;
    mirror::wait_until_current(network, &pool).await;

    // Then the mirror has the others, and says that it lacks one
    assert_eq!(mirror::bets(&pool).await, before + 2);
    assert_on_record(&fixture, &mut indexer, &pool).await;
    assert!(whole_from < first as i64);
    assert!(first as i64 <= history_from(&api).await);
    network.faults().release(refusal).await;
    mirror::wait_until_final(&pool, last as i64 + 5).await;
    assert!(indexer.service.stop(), "{}", indexer.service.output());

    // When the mirror is made anew from the node, then it says so, too
    let mut rebuild = Indexer::start(network, &node, "rebuild");
    let code = rebuild.service.exit_code(TIMEOUT).await;
    assert_eq!(code, 0, "{}", rebuild.service.output());
    let mut indexer = Indexer::start(network, &node, "run");
    mirror::wait_until_current(network, &pool).await;
    assert_on_record(&fixture, &mut indexer, &pool).await;
    assert!(last as i64 <= history_from(&api).await);
    assert!(indexer.service.stop(), "{}", indexer.service.output());

    // When the node has all of it, then a new mirror is whole
    node.set(None);
    let mut rebuild = Indexer::start(network, &node, "rebuild");
    let code = rebuild.service.exit_code(TIMEOUT).await;
    assert_eq!(code, 0, "{}", rebuild.service.output());
    mirror::assert_matches_chain(network);
    assert!(history_from(&api).await < first as i64);
}
