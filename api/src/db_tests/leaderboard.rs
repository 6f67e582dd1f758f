//! Rankings: their values, their order, and that all pages are of one computation.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::{
    analytics::leaderboard::keeper,
    db_tests::{Api, chain::Chain, key},
};

/// Wallets, vaults and models in hours of the last day, of the last week, and before.
const HOURS: &str = "
    delete from app.ranking_generation;
    insert into chain.hourly (kind, subject, mint, hour, claims, settled, payouts)
    values
      ('wallet', key(9, 30), key(1, 1), '2026-01-01 05:00:00Z', 1, 1000000, 1500000),
      ('wallet', key(9, 29), key(1, 1), '2026-01-01 05:00:00Z', 2, 2000000, 2500000),
      ('wallet', key(9, 31), key(1, 1), '2025-12-27 00:00:00Z', 1, 600000, 600000),
      ('wallet', key(9, 32), key(1, 1), '2025-12-01 00:00:00Z', 1, 700000, 2700000),
      ('wallet', key(9, 34), key(1, 1), '2026-01-01 05:00:00Z', 1, 500000, 0),
      ('wallet', key(9, 30), key(1, 2), '2026-01-01 05:00:00Z', 1, 1, 4);
    insert into chain.hourly (kind, subject, mint, hour, bets, staked, sales, sold, sold_for, purchases, bought,
      bought_for)
    values
      ('wallet', key(9, 31), key(1, 1), '2026-01-01 05:00:00Z', 0, 0, 1, 300000, 270000, 1, 200000, 150000),
      ('wallet', key(9, 33), key(1, 1), '2026-01-01 05:00:00Z', 3, 900000, 0, 0, 0, 0, 0, 0);
    insert into chain.hourly (kind, subject, mint, hour, earnings)
    values
      ('wallet', key(9, 2), key(1, 1), '2026-01-01 06:00:00Z', 3),
      ('wallet', key(9, 3), key(1, 1), '2026-01-01 06:00:00Z', 3),
      ('wallet', key(9, 4), key(1, 1), '2026-01-01 06:00:00Z', 1);
    insert into chain.hourly (kind, subject, mint, hour, bets, staked, policies, renewals, premiums, voids)
    values
      ('model', key(2, 1), key(1, 1), '2026-01-01 06:00:00Z', 2, 300000, 1, 1, 50000, 0),
      ('model', key(2, 2), key(1, 1), '2026-01-01 06:00:00Z', 0, 0, 0, 0, 0, 9);
    insert into chain.vault (address, life, is_current, mint, ended_slot)
    values (key(6, 3), id(1460, 0), true, key(1, 1), null), (key(6, 4), id(1460, 1), true, key(1, 1), null);
    insert into chain.hourly (kind, subject, mint, hour, assets, leaving, shares)
    values
      ('vault', key(6, 1), key(1, 1), '2025-12-20 00:00:00Z', 1000000, 0, 1000000000),
      ('vault', key(6, 1), key(1, 1), '2026-01-01 05:00:00Z', 1200000, 100000, 1000000000),
      -- Closed, without shares, and begun this week.
      ('vault', key(6, 2), key(1, 1), '2026-01-01 05:00:00Z', 9000000, 0, 1000000000),
      ('vault', key(6, 3), key(1, 1), '2026-01-01 05:00:00Z', 5, 0, 0),
      ('vault', key(6, 4), key(1, 1), '2026-01-01 06:00:00Z', 900000, 0, 1000000000)";

fn path(board: &str, query: &str) -> String {
    let mint = key(1, 1);
    format!("/api/v1/analytics/leaderboard/{board}?mint={mint}{query}")
}

/// The fields of each place that aren't null, but for the rank, which counts from 1.
fn places(body: &Value) -> Vec<Value> {
    let places = body["places"]["items"].as_array().unwrap();
    let fields = |(rank, place): (u64, &Value)| {
        assert_eq!(place["rank"], rank, "{body}");
        let fields = ["subject", "value", "basis", "receipts", "slashes", "trades"];
        let own = fields.iter().map(|field| match &place[*field]["scaled"] {
            Value::Null => place[*field].clone(),
            scaled => scaled.clone(),
        });
        Value::Array(own.filter(|field| !field.is_null()).collect())
    };
    (1..).zip(places).map(fields).collect()
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn each_board_ranks_by_its_own_value(_: PgPoolOptions, options: PgConnectOptions) {
    Chain::connect(&options).await.run(HOURS).await;
    let api = Api::new(options);
    // 16 bettors of two tokens, 9 oracles, 3 models and 6 vaults in three periods
    assert_eq!(keeper::compute(&api.db).await.unwrap(), Some(34));
    let bettor = |number, value, basis| json!([key(9, number), value, basis]);
    let [first, second, last] = [
        bettor(29, "0.5", "2"),
        bettor(30, "0.5", "1"),
        bettor(34, "-0.5", "0.5"),
    ];
    for (period, expected) in [
        (
            "day",
            // 270,000 - 300,000 + 200,000 - 150,000
            vec![&first, &second, &bettor(31, "0.02", "0.5"), &last],
        ),
        // The refund of 600,000 adds nothing to the profit.
        (
            "week",
            vec![&first, &second, &bettor(31, "0.02", "1.1"), &last],
        ),
        (
            "all",
            vec![
                &bettor(32, "2", "0.7"),
                &first,
                &second,
                &bettor(31, "0.02", "1.1"),
                &last,
            ],
        ),
    ] {
        let body = api.ok(&path("bettors", &format!("&period={period}"))).await;
        assert_eq!(
            places(&body).iter().collect::<Vec<_>>(),
            expected,
            "{period}"
        );
        assert_eq!(
            (&body["slot"], &body["until"]),
            (&json!(2000), &json!("2026-01-02T00:00:00Z"))
        );
    }
    // Among equals, an oracle with fewer slashes is better.
    let oracles = api.ok(&path("oracles", "&period=day")).await;
    assert_eq!(
        places(&oracles),
        [
            json!([key(9, 3), "3", "0"]),
            json!([key(9, 2), "3", "2"]),
            json!([key(9, 4), "1", "0"]),
        ]
    );
    let models = api.ok(&path("models", "&period=day")).await;
    assert_eq!(places(&models), [json!([key(2, 1), "0.35", "4"])]);
    // 1,100,001 / 1,000,001 and 900,001 / 1,000,001, less 1, rounded down
    for period in ["day", "week", "all"] {
        let vaults = api
            .ok(&path("underwriters", &format!("&period={period}")))
            .await;
        assert_eq!(
            places(&vaults),
            [
                json!([key(6, 1), "0.099999", "1.2"]),
                json!([key(6, 4), "-0.1", "0.9"]),
            ],
            "{period}"
        );
    }
    // Of a token that the mirror lacks, amounts are in base units.
    let other = format!("/api/v1/analytics/leaderboard/bettors?mint={}", key(1, 2));
    assert_eq!(
        places(&api.ok(&other).await),
        [json!([key(9, 30), "3", "1"])]
    );
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn all_pages_are_of_one_computation(_: PgPoolOptions, options: PgConnectOptions) {
    let mut chain = Chain::connect(&options).await;
    chain.run(HOURS).await;
    let api = Api::new(options);
    let first_page = path("bettors", "&limit=2");

    // Given no ranking yet
    let body = api.ok(&first_page).await;
    assert_eq!(
        (&body["slot"], &body["until"], &body["places"]),
        (
            &Value::Null,
            &Value::Null,
            &json!({ "items": [], "next_cursor": null })
        )
    );

    // When one is computed, and another one with a new best bettor after its first page
    assert!(keeper::compute(&api.db).await.unwrap().is_some());
    assert_eq!(keeper::compute(&api.db).await.unwrap(), None, "too soon");
    let body = api.ok(&first_page).await;
    let cursor = body["places"]["next_cursor"].as_str().unwrap();
    let second_page = format!("{first_page}&cursor={cursor}");
    chain
        .run(
            "update app.ranking_generation set made_at = made_at - interval '1 hour';
             update chain.cursor set slot = 2001;
             insert into chain.hourly (kind, subject, mint, hour, claims, settled, payouts)
             values ('wallet', key(9, 35), key(1, 1), '2026-01-01 05:00:00Z', 1, 1, 9000000)",
        )
        .await;
    assert!(keeper::compute(&api.db).await.unwrap().is_some());

    // Then the first page has the new one, and the second page the old one
    let body = api.ok(&first_page).await;
    assert_eq!(
        (&body["slot"], &body["places"]["items"][0]["subject"]),
        (&json!(2001), &json!(key(9, 35)))
    );
    let body = api.ok(&second_page).await;
    let items = body["places"]["items"].as_array().unwrap().iter();
    let ranks: Vec<_> = items
        .map(|place| (place["rank"].clone(), place["subject"].clone()))
        .collect();
    assert_eq!(
        ranks,
        [(json!(3), json!(key(9, 30))), (json!(4), json!(key(9, 31)))]
    );
    assert_eq!(body["slot"], 2000);

    // and ten minutes after a newer one, it is gone
    chain
        .run(
            "update app.ranking_generation set made_at = now() - interval '10 minutes 1 second'
             where slot = 2001",
        )
        .await;
    assert!(keeper::compute(&api.db).await.unwrap().is_some());
    let (status, body) = api.get(&second_page).await;
    assert_eq!(status, StatusCode::GONE, "{body}");
    assert_eq!(body["type"], "https://api.test/problems/cursor-expired");

    // and a mirror that was rebuilt has none
    chain.run("update chain.cursor set epoch = 2").await;
    assert_eq!(api.ok(&first_page).await["slot"], Value::Null);
    assert_eq!(api.get(&second_page).await.0, StatusCode::GONE);
}
