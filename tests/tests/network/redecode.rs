//! What an older decoder could not decode is decoded by a newer one, as if it had always been there.

mod older;
mod traffic;

use std::{collections::BTreeSet, time::Duration};

use driftshield_tests::network::{Service, fixture::Fixture, wait_for};
use sqlx::{AssertSqlSafe, PgPool};

use self::traffic::Traffic;
use crate::{mirror, polling};

/// Tables that hold what accounts and events say, each with the columns that tell how the mirror came by it.
const TABLES: [(&str, &str); 20] = [
    ("account", "decoder_version"),
    ("market", ""),
    ("position", ""),
    ("model", ""),
    ("seat", ""),
    ("vault", ""),
    ("withdraw_request", ""),
    ("config", ""),
    ("collateral", ""),
    ("ask", ""),
    ("market_volume", "valid_from"),
    ("vault_assets", "valid_from"),
    ("event", ""),
    ("event_account", ""),
    ("event_party", ""),
    ("odds", ""),
    ("sale", ""),
    ("penalty", ""),
    ("capital", ""),
    ("hourly", ""),
];

/// All rows of the tables, in an order that does not depend on how they were stored.
async fn rows(pool: &PgPool) -> Vec<String> {
    let mut rows = vec![];
    for (table, left_out) in TABLES {
        let sql = format!(
            "select '{table} ' || (to_jsonb(t) - '{left_out}')::text from chain.{table} t order by 1"
        );
        let of_table: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(pool)
            .await
            .unwrap();
        rows.extend(of_table);
    }
    rows
}

/// Asserts that the mirror has exactly these rows.
async fn assert_rows(pool: &PgPool, expected: &[String]) {
    let found = rows(pool).await;
    let lacking: Vec<_> = expected.iter().filter(|row| !found.contains(row)).collect();
    let wrong: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
    assert!(
        lacking.is_empty() && wrong.is_empty(),
        "the mirror lacks {lacking:#?}\nand has {wrong:#?}"
    );
}

/// Waits until the mirror has all that the chain has now, and it can't be undone any more.
async fn wait_until_final(fixture: &Fixture, pool: &PgPool) {
    let slot = fixture.network.client.rpc().get_slot().await.unwrap() as i64;
    mirror::wait_until_settled(pool, slot, "the mirror").await;
    mirror::wait_until_final(pool, slot).await;
}

/// Starts an indexer and waits until the mirror is ahead of the chain as it is now.
async fn restart(fixture: &Fixture, pool: &PgPool) -> Service {
    let mut indexer = fixture.start_indexer();
    let slot = fixture.network.client.rpc().get_slot().await.unwrap() as i64;
    mirror::wait_until_settled(pool, slot + 2, "the mirror after a restart").await;
    indexer.assert_running();
    indexer
}

/// Open letters: subject, version and reason.
async fn open_letters(pool: &PgPool) -> Vec<(String, i32, String)> {
    sqlx::query_as(
        "select subject, decoder_version, reason from chain.dead_letter where resolved_at is null
         order by id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_decoder_could_not_decode_is_decoded_by_a_newer_one() {
    // Given a mirror with bets, sales, closed accounts and a vault
    let mut fixture = Fixture::start().await;
    let pool = fixture.network.database().await;
    let mut indexer = fixture.start_indexer();
    let traffic = Traffic::play(&mut fixture).await;
    wait_until_final(&fixture, &pool).await;
    mirror::assert_matches_chain(&fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
    let expected = rows(&pool).await;

    // When it is as an older decoder would have left it, which knew fewer events and accounts
    let undecoded = traffic.forget_events(&pool).await;
    traffic.forget_accounts(&pool).await;
    assert!(undecoded.len() < open_letters(&pool).await.len());
    let forgotten = rows(&pool).await;
    let lacking = expected.iter().filter(|row| !forgotten.contains(row));
    assert!(4 * undecoded.len() < lacking.count());

    // Then an indexer decodes all of it
    indexer = restart(&fixture, &pool).await;
    assert_eq!(open_letters(&pool).await, []);
    assert_rows(&pool, &expected).await;
    mirror::assert_matches_chain(&fixture.network);

    // and tells its readers of each event
    let (announced, again): (i64, i64) = sqlx::query_as(
        "select count(*) filter (where event_id = any($1) and body ->> 'name' is not null),
           count(*) filter (where kind = 'event' and event_id is null)
         from chain.feed",
    )
    .bind(&undecoded)
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(
        (announced, again),
        (undecoded.len() as i64, undecoded.len() as i64)
    );

    // When there are letters that it can't decode either
    assert!(indexer.stop(), "{}", indexer.output());
    older::add_malformed_event(&pool).await;
    older::add_letter_of_a_late_slot(&pool).await;
    indexer = restart(&fixture, &pool).await;

    // Then they stay open with its version, and nothing else has changed
    let letters = open_letters(&pool).await;
    let letter = |(subject, version, _): &(String, i32, String)| (subject.clone(), *version);
    let versions: Vec<_> = letters.iter().map(letter).collect();
    let expected_versions = [("event".to_owned(), 1), ("slot".to_owned(), 1)];
    assert_eq!(versions, expected_versions, "{letters:?}");
    let differences = mirror::differences(&fixture.network);
    assert_eq!(differences.len(), 2, "{differences:?}");
    for (subject, _, reason) in &letters {
        mirror::assert_reported(&differences, &format!("dead letter: {reason}"));
        assert!(!reason.is_empty(), "{subject}");
    }
    older::remove_malformed_event(&pool).await;
    assert_rows(&pool, &expected).await;
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_that_are_refused_while_an_event_is_decoded_are_not_those_of_an_older_letter() {
    // Given a mirror with a bet that an older decoder could not decode, and with refused totals
    let mut fixture = Fixture::start().await;
    fixture.create_market(300).await;
    let pool = fixture.network.database().await;
    let mut indexer = fixture.start_indexer();
    fixture.place_bet(2, 0, 0).await;
    wait_until_final(&fixture, &pool).await;
    assert!(indexer.stop(), "{}", indexer.output());
    let expected = rows(&pool).await;
    let older = older::Older::new(&pool);
    let bet = older.event("BetPlaced", &fixture.markets[2], 0).await;
    older.forget_event(bet).await;
    older::add_letter_of_totals(&pool).await;

    // When Postgres refuses totals of the bet, too
    older::refuse_totals_of_bets(&pool).await;
    indexer = restart(&fixture, &pool).await;

    // Then there are letters about both
    let letters = open_letters(&pool).await;
    let subjects: Vec<_> = letters.iter().map(|(subject, ..)| &subject[..]).collect();
    assert_eq!(subjects, ["chain.hourly"; 2], "{letters:?}");

    // and a newer decoder adds what Postgres accepts then.
    assert!(indexer.stop(), "{}", indexer.output());
    older::accept_totals_of_bets(&pool).await;
    indexer = restart(&fixture, &pool).await;
    assert_eq!(open_letters(&pool).await, []);
    assert_rows(&pool, &expected).await;
    assert!(indexer.stop(), "{}", indexer.output());
}

/// The mirror's slot, its finalized slot, and the number of letters that an older decoder left.
async fn progress(pool: &PgPool) -> (i64, i64, i64) {
    sqlx::query_as(
        "select slot, finalized_slot, (select count(*) from chain.dead_letter
           where resolved_at is null and decoder_version = 0)
         from chain.cursor",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

/// Lets an indexer that `start` starts decode letters that take some seconds.
async fn decode_slow_letters(start: fn(&Fixture) -> Service) {
    // Given a mirror with such letters
    let fixture = Fixture::start().await;
    let pool = fixture.network.database().await;
    let mut indexer = start(&fixture);
    wait_until_final(&fixture, &pool).await;
    wait_for("finalized slots", Duration::from_secs(60), async || {
        let finalized =
            "select count(*) from chain.slot join chain.cursor on slot.slot <= finalized_slot";
        let finalized: i64 = sqlx::query_scalar(finalized)
            .fetch_one(&pool)
            .await
            .unwrap();
        (older::SLOW_SLOTS <= finalized).then_some(())
    })
    .await;
    assert!(indexer.stop(), "{}", indexer.output());
    let letters = older::add_slow_letters(&pool).await;

    // When an indexer tries them
    indexer = start(&fixture);
    let mut slots = BTreeSet::new();
    wait_for("all letters", Duration::from_secs(90), async || {
        let (slot, finalized_slot, left) = progress(&pool).await;
        if (1..letters).contains(&left) {
            // Then it takes finalized slots meanwhile,
            assert!(slot <= finalized_slot, "{slot} can be undone");
            slots.insert(slot);
        }
        (left == 0).then_some(())
    })
    .await;
    assert!(5 <= slots.len(), "{slots:?}");

    // and no slot was undone.
    let rollbacks: i64 =
        sqlx::query_scalar("select count(*) from chain.feed where kind = 'rollback'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(rollbacks, 0);
    older::remove_slow_letters(&pool).await;
    fixture.place_bet(1, 0, 0).await;
    let slot = fixture.network.client.rpc().get_slot().await.unwrap() as i64;
    mirror::wait_until_settled(&pool, slot, "the mirror without letters").await;
    mirror::assert_matches_chain(&fixture.network);
    assert!(indexer.stop(), "{}", indexer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_followed_while_letters_are_decoded() {
    decode_slow_letters(Fixture::start_indexer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polled_slots_are_followed_while_letters_are_decoded() {
    decode_slow_letters(polling::start_indexer).await;
}
