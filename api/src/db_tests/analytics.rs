//! Totals, rankings and the health of a model, whose numbers are computed by hand.

use axum::http::StatusCode;
use driftshield_sdk::{Account, AccountKind, address::series};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{Api, address, chain::Chain, key};

/// Hours of the platform at the bounds of a day and a week before 2026-01-02 00:00, in two tokens, of which the mirror
/// has one.
const HOURS: &str = "
    insert into chain.hourly (kind, subject, mint, hour, bets, staked, rents)
    values
      ('platform', '', key(1, 1), '2026-01-02 00:00:00Z', 1, 100000, 2000),
      ('platform', '', key(1, 1), '2026-01-01 00:00:00Z', 10, 1000000, 0),
      ('platform', '', key(1, 1), '2025-12-26 01:00:00Z', 1, 7, 0),
      ('platform', '', key(1, 1), '2025-12-26 00:00:00Z', 1, 70, 0),
      ('platform', '', key(1, 1), '-infinity', 1, 700, 0),
      ('platform', '', key(1, 2), '2026-01-02 00:00:00Z', 1, 5, 0);
    insert into chain.hourly (kind, subject, mint, hour, bets, staked, sales, sold, sold_for, claims, settled, payouts,
      fees, markets, settlements, deposited, withdrawn, policies, renewals, premiums, refunds, cover_claims, cover_paid,
      models, submissions, challenges, rulings, slashed, finals, voids, thins, earned, silences, penalties)
    values ('platform', '', key(1, 1), '2026-01-01 01:00:00Z', 2, 500000, 1, 200000, 180000, 3, 900000, 890000,
      10000, 4, 5, 6000000, 7000000, 8, 9, 10, 11, 12, 13,
      14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24)";

fn amount(raw: &str, scaled: &str) -> Value {
    json!({ "raw": raw, "scaled": scaled })
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn totals_are_those_of_whole_hours(_: PgPoolOptions, options: PgConnectOptions) {
    Chain::connect(&options).await.run(HOURS).await;
    let api = Api::new(options);
    let stats = api.ok("/api/v1/analytics/platform/stats").await;
    assert_eq!(stats["until"], "2026-01-02T00:00:00Z");
    assert_eq!(
        stats["day"][0],
        json!({
            "mint": key(1, 1),
            "decimals": 6,
            "models": "14",
            "markets": "4",
            "settlements": "5",
            "bets": "3",
            "staked": amount("600000", "0.6"),
            "payouts": amount("890000", "0.89"),
            "fees": amount("10000", "0.01"),
            "rents": amount("2000", "0.002"),
            "deposited": amount("6000000", "6"),
            "withdrawn": amount("7000000", "7"),
            "policies": "8",
            "renewals": "9",
            "premiums": amount("10", "0.00001"),
            "refunds": amount("11", "0.000011"),
            "cover_claims": "12",
            "cover_paid": amount("13", "0.000013"),
            "submissions": "15",
            "finals": "19",
            "voids": "20",
            "thins": "21",
            "challenges": "16",
            "rulings": "17",
            "slashed": amount("18", "0.000018"),
            "earned": amount("22", "0.000022"),
            "silences": "23",
            "penalties": amount("24", "0.000024"),
        })
    );
    // Of a token that the mirror lacks, amounts are in base units.
    assert_eq!(stats["day"][1]["staked"], amount("5", "5"));
    for (period, bets, staked) in [("week", "14", "1600007"), ("all", "16", "1600777")] {
        let of_token = &stats[period][0];
        assert_eq!(
            (&of_token["bets"], &of_token["staked"]["raw"]),
            (&json!(bets), &json!(staked)),
            "{period}"
        );
    }
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn performance_has_means_and_ratios(_: PgPoolOptions, options: PgConnectOptions) {
    Chain::connect(&options).await.run(HOURS).await;
    let api = Api::new(options);
    let path = "/api/v1/analytics/markets/performance";
    let day = api.ok(&format!("{path}?period=day")).await;
    assert_eq!(
        (&day["from"], &day["until"]),
        (
            &json!("2026-01-01T01:00:00Z"),
            &json!("2026-01-02T00:00:00Z")
        )
    );
    assert_eq!(
        day["tokens"][0],
        json!({
            "mint": key(1, 1),
            "decimals": 6,
            "created": "4",
            "settled": "5",
            "bets": "3",
            "staked": amount("600000", "0.6"),
            "mean_bet": amount("200000", "0.2"),
            "sales": "1",
            "sold": amount("200000", "0.2"),
            "sold_for": amount("180000", "0.18"),
            "sale_price": "0.9",
            "fees": amount("10000", "0.01"),
            "claims": "3",
            "claimed_stakes": amount("900000", "0.9"),
            "payouts": amount("890000", "0.89"),
            "payout_ratio": "0.988888",
        })
    );
    let other = &day["tokens"][1];
    assert_eq!(
        (&other["mint"], &other["decimals"]),
        (&json!(key(1, 2)), &json!(0))
    );
    assert_eq!(other["sale_price"], Value::Null);
    assert_eq!(other["payout_ratio"], Value::Null);
    let all = api.ok(path).await;
    assert_eq!(
        (&all["from"], &all["tokens"][0]["bets"]),
        (&Value::Null, &json!("16"))
    );
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_platform_without_events_has_no_totals(_: PgPoolOptions, options: PgConnectOptions) {
    let api = Api::new(options);
    let stats = api.ok("/api/v1/analytics/platform/stats").await;
    let nothing = json!({ "until": "2026-01-02T00:00:00Z", "day": [], "week": [], "all": [] });
    assert_eq!(stats, nothing);
    let performance = api.ok("/api/v1/analytics/markets/performance").await;
    assert_eq!(performance["tokens"], json!([]));
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn an_empty_mirror_has_no_time(_: PgPoolOptions, options: PgConnectOptions) {
    let mut chain = Chain::connect(&options).await;
    chain
        .run("select chain.clear(); delete from app.ranking_generation")
        .await;
    let api = Api::new(options);
    for path in [
        "analytics/platform/stats",
        "analytics/markets/performance",
        "calendar",
        "oracles",
    ] {
        let (status, body) = api.get(&format!("/api/v1/{path}")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {body}");
        assert_eq!(body["type"], "https://api.test/problems/unavailable");
    }
    let ranking = format!("/api/v1/analytics/leaderboard/models?mint={}", key(1, 1));
    assert_eq!(api.ok(&ranking).await["slot"], Value::Null);
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn the_health_of_a_model_is_that_of_its_due_windows(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    // Given a model with windows of an hour since the day before, each decided twenty minutes after its end at most
    let mut chain = Chain::connect(&options).await;
    let mut model = Account::zeroed(AccountKind::Model);
    if let Account::Model(model) = &mut model {
        (model.genesis, model.window_secs) = (1_767_225_600, 3_600);
        (model.submit_secs, model.challenge_secs) = (600, 600);
        (model.ewma, model.noise_floor, model.final_count) = (15_000, 20_000, 19);
    }
    chain.account(address(2, 50), &model).await;
    let mut page = Account::zeroed(AccountKind::Series);
    if let Account::Series(page) = &mut page {
        let state = |state: u64| state << 56;
        page.entries[..4].copy_from_slice(&[state(2) + 310_000, state(3), state(4), state(1)]);
        // Window 22 is the last one that is due, and has no entry.
        page.entries[4..22].fill(state(2) + 5_000);
        page.entries[23] = state(2);
    }
    chain.account(series(&address(2, 50), 0), &page).await;
    chain
        .run(
            "insert into chain.hourly (kind, subject, mint, hour, challenges, rulings)
             values ('model', key(2, 50), key(1, 1), '2026-01-01 05:00:00Z', 2, 1),
               ('model', key(2, 50), key(1, 1), '2025-01-01 05:00:00Z', 1, 0);
             insert into chain.receipt (address, life, is_current, status, model)
             select key(11, 50 + n), id(1700, n), true, status, key(2, 50)
             from (values (1, 'challenged'), (2, 'challenged'), (3, 'proposed')) r (n, status)",
        )
        .await;
    let api = Api::new(options);
    let health = api
        .ok(&format!("/api/v1/analytics/models/{}", key(2, 50)))
        .await;
    assert_eq!(
        health,
        json!({
            "model": key(2, 50),
            "as_of": "2026-01-02T00:00:00Z",
            "due": {
                "first": "0",
                "last": "22",
                "count": 23,
                "finals": 19,
                "voids": 1,
                "thins": 1,
                "open": 1,
                "missing": 1,
                "final_share": "0.826086",
            },
            "ewma": amount("15000", "0.015"),
            "noise_floor": amount("20000", "0.02"),
            "ewma_over_noise_floor": "0.75",
            "challenges": "3",
            "rulings": "1",
            "disputes": 2,
        })
    );
    let (status, body) = api
        .get(&format!("/api/v1/analytics/models/{}", key(2, 51)))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
}
