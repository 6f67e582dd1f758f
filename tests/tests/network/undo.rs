//! Forks that undo every kind of event: the mirror ends as one that never saw the dropped slots.

use std::collections::BTreeSet;

use driftshield_sdk::Event;
use driftshield_tests::{
    chaos::comparison::{compare_mirrors, empty_tables},
    ingest::{
        chain::{Chain, NextSlot},
        mirror::Mirror,
    },
};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::recorded::{Stage, reach_tip, settle, settled};

/// Of the stops at which the mirror's accounts are compared, one of this many is verified as a whole.
const VERIFIED_STOPS: usize = 12;
/// Tables that tell how the mirror came about.
const OF_THE_WAY: [&str; 7] = [
    "cursor",
    "dead_letter",
    "feed",
    "gap",
    "mark",
    "market_volume_past",
    "vault_assets_past",
];

/// A record of an event that was not undone: its slot, event, channels and fields.
type Record = (i64, Option<i64>, Vec<String>, String);

#[tokio::test(flavor = "multi_thread")]
async fn dropped_slots_with_every_kind_of_event_leave_no_trace() {
    let stage = Stage::start().await;
    let (mut forked, mut database) = stage.mirror("forked").await;
    let settled_slot = settle(&forked.chain, &mut database).await;
    let plan = stage.plan(forked.chain.tip());
    follow(&mut forked, &mut database, plan.slots).await;
    // The mirror restored all accounts itself.
    assert_eq!(settled(&mut database).await, Some(settled_slot));
    assert_forks(&mut database, plan.forks).await;
    assert_verified(&forked);

    let (mut straight, mut other) = stage.mirror("straight").await;
    let line = forked.chain.line().into_iter();
    straight.chain.confirm_all(line.map(|slot| NextSlot {
        block: slot.block,
        parent: slot.parent,
        transactions: slot.transactions,
    }));
    reach_tip(&mut straight, &mut other).await;
    assert_eq!(empty_tables(&mut other).await, [""; 0]);
    assert_eq!(compare_mirrors(&mut database, &mut other).await, [""; 0]);
    compare_tables(&mut database, &mut other).await;
    assert_eq!(records(&mut database).await, records(&mut other).await);
    for mirror in [forked, straight] {
        mirror.stop().unwrap();
    }
}

/// Confirms the slots. Waits for the mirror after each fork that begins with an empty slot, because it shows
/// there what it restored.
async fn follow(mirror: &mut Mirror, database: &mut PgConnection, slots: Vec<NextSlot>) {
    let mut stops = 0;
    let mut tip = mirror.chain.tip();
    for slot in slots {
        let is_stop = slot.parent != tip && slot.transactions.is_empty();
        tip = slot.block;
        mirror.chain.confirm_all([slot]);
        if !is_stop {
            continue;
        }
        reach_tip(mirror, database).await;
        compare_accounts(&mirror.chain, database).await;
        assert_one_current_life(database).await;
        stops += 1;
        if stops % VERIFIED_STOPS == 0 {
            assert_verified(mirror);
        }
    }
    assert!(2 * VERIFIED_STOPS <= stops, "{stops} stops");
    reach_tip(mirror, database).await;
}

fn assert_verified(mirror: &Mirror) {
    let (is_right, output) = mirror.verify().unwrap();
    assert!(is_right, "{output}");
}

/// Asserts that the mirror has the program's accounts as they are on the chain, and no others.
async fn compare_accounts(chain: &Chain, database: &mut PgConnection) {
    let (slot, used) = chain.progress();
    let accounts = chain.recording.accounts(used).into_values();
    let due: BTreeSet<_> = accounts
        .map(|account| {
            let lamports = account.lamports.to_string();
            (account.pubkey.clone(), lamports, account.data.clone())
        })
        .collect();
    let open: Vec<(Vec<u8>, String, Vec<u8>)> = sqlx::query_as(
        "select address, lamports::text, data from chain.account where is_current and closed_slot is null",
    )
    .fetch_all(database)
    .await
    .unwrap();
    let open = open.into_iter().collect();
    let differing: BTreeSet<_> = due
        .symmetric_difference(&open)
        .map(|(address, ..)| bs58::encode(address).into_string())
        .collect();
    assert_eq!(differing, BTreeSet::new(), "in slot {slot}");
}

async fn assert_one_current_life(database: &mut PgConnection) {
    let wrong: Vec<String> = sqlx::query_scalar(
        "select public.base58(address) from chain.account
         group by address having count(*) filter (where is_current) <> 1",
    )
    .fetch_all(database)
    .await
    .unwrap();
    assert_eq!(wrong, [""; 0]);
}

/// Asserts that the mirror undid slots this many times, every kind of event among them, and set nothing aside.
async fn assert_forks(database: &mut PgConnection, forks: usize) {
    let counts = sqlx::query_as(
        "select (select count(*) from chain.feed where kind = 'rollback'), count(*) from chain.dead_letter",
    );
    let counts: (i64, i64) = counts.fetch_one(&mut *database).await.unwrap();
    assert_eq!(counts, (forks as i64, 0));
    let kinds: BTreeSet<_> = Event::NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(undone_kinds(database).await, kinds);
}

/// Kinds of the events that were announced and undone.
async fn undone_kinds(database: &mut PgConnection) -> BTreeSet<String> {
    let names: Vec<String> = sqlx::query_scalar(
        "select distinct body ->> 'name' from chain.feed announced
         where kind = 'event' and exists (
           select from chain.feed rollback
           where kind = 'rollback' and announced.seq < seq and (body ->> 'to_slot')::bigint < announced.slot)",
    )
    .fetch_all(database)
    .await
    .unwrap();
    names.into_iter().collect()
}

/// The records of the events that were not undone.
async fn records(database: &mut PgConnection) -> Vec<Record> {
    sqlx::query_as(
        "select slot, event_id, channels, body::text from chain.feed announced
         where kind = 'event' and not exists (
           select from chain.feed rollback
           where kind = 'rollback' and announced.seq < seq and (body ->> 'to_slot')::bigint < announced.slot)
         order by seq",
    )
    .fetch_all(database)
    .await
    .unwrap()
}

/// Asserts that every column of every table is the same, but for those that tell of the way.
async fn compare_tables(one: &mut PgConnection, other: &mut PgConnection) {
    let tables: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class
         where relnamespace = 'chain'::regnamespace and relkind in ('r', 'p')
           and not relispartition and relname <> all ($1) order by 1",
    )
    .bind(OF_THE_WAY.map(str::to_owned).to_vec())
    .fetch_all(&mut *one)
    .await
    .unwrap();
    for table in tables {
        // `valid_from` is a `seq` of the feed, which numbers what was undone, too.
        let sql = format!(
            "select (to_jsonb(compared) - 'valid_from')::text as row from chain.{table} compared
             order by 1"
        );
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(&*sql))
            .fetch_all(&mut *one)
            .await
            .unwrap();
        let due: Vec<String> = sqlx::query_scalar(AssertSqlSafe(&*sql))
            .fetch_all(&mut *other)
            .await
            .unwrap();
        let first = rows.iter().zip(&due).find(|(row, due)| row != due);
        assert_eq!(first, None, "{table}");
        assert_eq!(rows.len(), due.len(), "{table}");
    }
}
