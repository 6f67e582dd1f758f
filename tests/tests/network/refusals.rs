//! Rows that Postgres refuses, and statements that it cancels.

use std::{collections::BTreeSet, time::Duration};

use driftshield_sdk::rpc::Signer;
use driftshield_tests::{
    network::{Network, Service, fixture::BETTORS, free_address, wait_for},
    world::TOKEN,
};
use futures::future::join_all;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::sync::watch;

use crate::{api_fixture::ApiFixture, mirror, socket::record_messages};

const TIMEOUT: Duration = Duration::from_secs(60);
/// Indexes of markets that stay open. Postgres refuses rows of the second one.
const ACCEPTED: usize = 2;
const REFUSED: usize = 3;
/// Indexes of bettors of whom Postgres refuses whole events, the fields of events, records of the feed, and
/// totals.
const WHOLE_EVENTS_OF: usize = 0;
const EVENTS_OF: usize = 1;
const RECORDS_OF: usize = 2;
const TOTALS_OF: usize = 3;

async fn execute(pool: &PgPool, statement: &str) {
    let executed = sqlx::raw_sql(AssertSqlSafe(statement)).execute(pool).await;
    executed.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The table of each constraint, and what its rows must satisfy. They refuse new values, and no row that
/// exists.
fn constraints(api: &ApiFixture) -> [(&'static str, String); 5] {
    let fixture = &api.fixture;
    let bettor = |index: usize| fixture.bettors[index].pubkey();
    let bytes = |key: &[u8]| format!("'\\x{}'", const_hex::encode(key));
    let market = bytes(fixture.markets[REFUSED].as_ref());
    let is_not =
        |body: &str, index| format!("({body} ->> 'owner') is distinct from '{}'", bettor(index));
    [
        (
            "chain.event",
            format!(
                "{} and position({} in data) = 0",
                is_not("body", EVENTS_OF),
                bytes(bettor(WHOLE_EVENTS_OF).as_ref())
            ),
        ),
        (
            "chain.market",
            format!("address <> {market} or total <= {}", 4 * TOKEN),
        ),
        ("chain.feed", is_not("(body -> 'body')", RECORDS_OF)),
        (
            "chain.odds",
            format!("market <> {market} or pools[1] <= {}", 4 * TOKEN),
        ),
        (
            "chain.hourly",
            format!(
                "kind <> 'wallet' or subject <> {} or bets = 0",
                bytes(bettor(TOTALS_OF).as_ref())
            ),
        ),
    ]
}

/// Places a bet of each bettor on both markets at once, so that a slot has several.
async fn bet(api: &ApiFixture) {
    let bets = (0..BETTORS).flat_map(|bettor| [ACCEPTED, REFUSED].map(|market| (market, bettor)));
    join_all(bets.map(|(market, bettor)| api.fixture.place_bet(market, bettor, 0))).await;
}

/// Ids of events that clients were told of, by whether with their name.
fn told(messages: &watch::Receiver<Vec<Value>>, is_named: bool) -> BTreeSet<i64> {
    let messages = messages.borrow();
    let events = messages.iter().map(|message| &message["event"]);
    let events = events.filter(|event| event["id"].is_string());
    events
        .filter(|event| event["name"].is_string() == is_named)
        .map(|event| event["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

async fn ids(pool: &PgPool, condition: &str) -> BTreeSet<i64> {
    let sql = format!("select id from chain.event where {condition}");
    let ids: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(pool)
        .await
        .unwrap();
    ids.into_iter().collect()
}

async fn count(pool: &PgPool, sql: &str) -> i64 {
    let counted = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await;
    counted.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_refuses_is_set_aside_and_stored_once_it_accepts_it() {
    // Given an indexer that follows a chain with bets, and a client
    let mut api = ApiFixture::start().await;
    for _ in [ACCEPTED, REFUSED] {
        api.fixture.create_market(300).await;
    }
    let pool = api.fixture.network.database().await;
    assert!(api.indexer.stop(), "{}", api.indexer.output());
    let address = free_address().to_string();
    let network = &api.fixture.network;
    let mut indexer = network.service("indexer", "indexer", &["run", "--listen", &address]);
    api.fixture.place_bet(REFUSED, 0, 1).await;
    mirror::wait_until_current(&api.fixture.network, &pool).await;
    let messages = record_messages(&api.url, vec!["events".to_owned()]);
    wait_for("the client", TIMEOUT, async || {
        (!messages.borrow().is_empty()).then_some(())
    })
    .await;

    // When Postgres refuses some of the rows of its slots
    let constraints = constraints(&api);
    for (table, accepted) in &constraints {
        let add =
            format!("alter table {table} add constraint accepted check ({accepted}) not valid");
        execute(&pool, &add).await;
    }
    let before = ids(&pool, "true").await;
    for _ in 0..4 {
        bet(&api).await;
    }
    mirror::wait_until_current(&api.fixture.network, &pool).await;

    // Then the indexer goes on with the other rows, also of the same slots
    indexer.assert_running();
    let refused = ids(&pool, "name is null").await;
    let all = ids(&pool, "true").await;
    let new: BTreeSet<i64> = all.difference(&before).copied().collect();
    let of_event = "select distinct event_id from chain.dead_letter where subject = 'chain.event'";
    let of_event: Vec<i64> = sqlx::query_scalar(of_event).fetch_all(&pool).await.unwrap();
    let whole: BTreeSet<i64> = of_event
        .into_iter()
        .filter(|id| !refused.contains(id))
        .collect();
    assert_eq!((whole.len(), refused.len(), new.len()), (8, 8, 24));
    assert!(whole.is_disjoint(&new));
    assert!(refused.is_subset(&new));
    let slots = |ids: &BTreeSet<i64>| ids.iter().map(|id| id >> 31).collect::<BTreeSet<_>>();
    let stored = new.difference(&refused).copied().collect();
    assert!(!slots(&refused).is_disjoint(&slots(&stored)));
    assert_eq!(
        count(&pool, "select count(*) from chain.market where is_stale").await,
        1
    );

    // and each refused row has a letter, which the metrics and `verify` report
    let letters: Vec<(String, String)> = sqlx::query_as(
        "select distinct subject, reason from chain.dead_letter where resolved_at is null",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let subjects: BTreeSet<_> = letters
        .iter()
        .map(|(subject, _)| subject.replace('"', ""))
        .collect();
    let expected = constraints.iter().map(|(table, _)| (*table).to_owned());
    assert_eq!(subjects, expected.collect());
    let open = count(
        &pool,
        "select count(*) from chain.dead_letter where resolved_at is null",
    )
    .await;
    let metrics = reqwest::get(format!("http://{address}/metrics"))
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    let metric = format!("driftshield_indexer_dead_letters {open}\n");
    assert!(metrics.contains(&metric), "{metrics}");
    let differences = mirror::differences(&api.fixture.network);
    for (_, reason) in &letters {
        mirror::assert_reported(&differences, reason);
    }
    for part in [
        "columns of chain.event differ",
        "lives in chain.account and chain.\"market\"",
    ] {
        mirror::assert_reported(&differences, part);
    }

    // and nothing else is wrong: the feed has no hole, no event is lost, and all accounts are right
    let of_others = [
        "feed:",
        "slot ",
        "data of slot",
        "event number",
        "not in the mirror",
    ];
    for part in of_others {
        let is_whole = |line: &str| whole.iter().any(|id| line.contains(&id.to_string()));
        let wrong = differences.iter().find(|line| {
            line.contains(part)
                && !line.contains("letter")
                && !line.starts_with("totals")
                && !is_whole(line)
        });
        assert_eq!(wrong, None);
    }
    wait_for("all events at the client", TIMEOUT, async || {
        let told: BTreeSet<_> = told(&messages, true)
            .union(&told(&messages, false))
            .copied()
            .collect();
        new.is_subset(&told).then_some(())
    })
    .await;
    assert_eq!(told(&messages, false), refused);

    // When Postgres accepts the rows, and the decoder has a newer version
    mirror::wait_until_final(&pool, api.current_slot().await as i64).await;
    assert!(indexer.stop(), "{}", indexer.output());
    for (table, _) in &constraints {
        execute(
            &pool,
            &format!("alter table {table} drop constraint accepted"),
        )
        .await;
    }
    execute(&pool, "update chain.dead_letter set decoder_version = 0").await;
    let mut indexer = api.fixture.start_indexer();
    mirror::wait_until_current(&api.fixture.network, &pool).await;

    // Then all of it is there, and clients are told of the events again, with their fields
    mirror::assert_matches_chain(&api.fixture.network);
    let announced = "select count(*) from chain.feed
        where kind = 'event' and event_id = any($1) and body ->> 'name' = 'BetPlaced'";
    let announced: i64 = sqlx::query_scalar(announced)
        .bind(Vec::from_iter(refused.union(&whole).copied()))
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(announced, 16);
    let before = "select count(*) from chain.feed where kind = 'event' and event_id is null";
    assert_eq!(count(&pool, before).await, 16);
    assert!(indexer.stop(), "{}", indexer.output());
}

/// Waits until the indexer's connection waits for a lock. Returns its process in the server.
async fn waiting_backend(pool: &PgPool) -> i32 {
    wait_for("a statement that waits", TIMEOUT, async || {
        sqlx::query_scalar(
            "select pid from pg_stat_activity
             where wait_event_type = 'Lock' and datname = current_database()",
        )
        .fetch_optional(pool)
        .await
        .unwrap()
    })
    .await
}

/// Waits until the indexer reports an error, and from then on until it has the newest slot.
async fn assert_goes_on(network: &Network, pool: &PgPool, indexer: &mut Service) {
    let slot = network.client.rpc().get_slot().await.unwrap();
    mirror::wait_until_settled(pool, slot as i64 + 2, "the mirror").await;
    indexer.assert_running();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_statement_and_a_database_that_refuses_writes_are_tried_again() {
    // Given an indexer that follows
    let network = Network::start(&["--bare"]).await;
    let pool = network.database().await;
    let mut indexer = network.service("indexer", "indexer", &["run"]);
    assert_goes_on(&network, &pool, &mut indexer).await;

    // When its statement is cancelled while it waits
    let mut blocker = PgConnection::connect(&network.addresses.database_url)
        .await
        .unwrap();
    let mut lock = blocker.begin().await.unwrap();
    let sql = "lock table chain.slot in access exclusive mode";
    sqlx::raw_sql(sql).execute(&mut *lock).await.unwrap();
    let pid = waiting_backend(&pool).await;
    let cancelled: bool = sqlx::query_scalar("select pg_cancel_backend($1)")
        .bind(pid)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(cancelled);
    wait_for("the error", TIMEOUT, async || {
        indexer
            .output()
            .contains("canceling statement")
            .then_some(())
    })
    .await;
    lock.rollback().await.unwrap();

    // Then it goes on
    assert_goes_on(&network, &pool, &mut indexer).await;

    // When the database accepts no writes for a while, as during a failover
    execute(
        &pool,
        "alter database driftshield set default_transaction_read_only = on;
         select pg_terminate_backend(pid) from pg_stat_activity
         where pid <> pg_backend_pid() and datname = current_database() and pid in (
           select pid from pg_locks where locktype = 'advisory')",
    )
    .await;
    wait_for("the error", TIMEOUT, async || {
        indexer
            .output()
            .contains("read-only transaction")
            .then_some(())
    })
    .await;
    // This session began before.
    let reset = "alter database driftshield reset default_transaction_read_only";
    sqlx::raw_sql(reset).execute(&mut blocker).await.unwrap();

    // Then it goes on
    assert_goes_on(&network, &pool, &mut indexer).await;
    mirror::assert_matches_chain(&network);
    assert!(indexer.stop(), "{}", indexer.output());
}
