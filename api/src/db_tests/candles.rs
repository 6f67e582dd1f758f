//! Candles of a market, whose shares and sums are computed by hand.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{Api, chain::Chain, key};

/// Odds of a market with three outcomes and fees of 3%: bets in two hours of one day, and one two days later.
const ODDS: &str = "
    insert into chain.market (address, life, is_current, status, creator, model, mint, pools, total, threshold_count,
      protocol_fee_bps, creator_fee_bps, decimals, close_ts)
    values (key(4, 30), id(1700, 0), true, 'open', key(9, 5), key(2, 1), key(1, 1), '{5000000, 3000000, 0}', 8000000, 2,
      200, 100, 6, 1767400000);
    insert into chain.odds (market, event_id, block_time, pools)
    values
      (key(4, 30), id(1700, 0), '2026-01-01 07:55:00Z', '{0, 0, 0}'),
      (key(4, 30), id(1701, 0), '2026-01-01 07:59:59Z', '{1000000, 0, 0}'),
      (key(4, 30), id(1702, 0), '2026-01-01 08:00:00Z', '{1000000, 1000000, 0}'),
      (key(4, 30), id(1703, 0), '2026-01-01 08:04:59Z', '{1000000, 3000000, 0}'),
      (key(4, 30), id(1704, 0), null, '{2000000, 3000000, 0}'),
      (key(4, 30), id(1705, 0), '2026-01-01 08:59:00Z', '{3000000, 3000000, 0}'),
      (key(4, 30), id(1706, 0), '2026-01-03 00:00:00Z', '{5000000, 3000000, 0}')";

async fn api(options: PgConnectOptions) -> Api {
    Chain::connect(&options).await.run(ODDS).await;
    Api::new(options)
}

fn path(query: &str) -> String {
    format!("/api/v1/markets/{}/candles?{query}", key(4, 30))
}

/// Start, end, number of bets and stakes of each candle.
fn intervals(page: &Value) -> Vec<Value> {
    let candles = page["items"].as_array().unwrap().iter();
    let interval = |candle: &Value| {
        json!([
            candle["from"],
            candle["until"],
            candle["bets"],
            candle["staked"]["scaled"]
        ])
    };
    candles.map(interval).collect()
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn intervals_without_bets_are_left_out(_: PgPoolOptions, options: PgConnectOptions) {
    let api = api(options).await;
    for (interval, expected) in [
        (
            "5m",
            vec![
                json!(["2026-01-03T00:00:00Z", "2026-01-03T00:05:00Z", 1, "2"]),
                // The bet without a time belongs to the next one.
                json!(["2026-01-01T08:55:00Z", "2026-01-01T09:00:00Z", 2, "2"]),
                json!(["2026-01-01T08:00:00Z", "2026-01-01T08:05:00Z", 2, "3"]),
                json!(["2026-01-01T07:55:00Z", "2026-01-01T08:00:00Z", 1, "1"]),
            ],
        ),
        (
            "1h",
            vec![
                json!(["2026-01-03T00:00:00Z", "2026-01-03T01:00:00Z", 1, "2"]),
                json!(["2026-01-01T08:00:00Z", "2026-01-01T09:00:00Z", 4, "5"]),
                json!(["2026-01-01T07:00:00Z", "2026-01-01T08:00:00Z", 1, "1"]),
            ],
        ),
        (
            "1d",
            vec![
                json!(["2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", 1, "2"]),
                json!(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", 5, "6"]),
            ],
        ),
    ] {
        let whole = api.ok(&path(&format!("interval={interval}"))).await;
        assert_eq!(intervals(&whole), expected, "{interval}");

        // Pages are cut between candles, and each has the stakes since the candle before it.
        let (mut items, mut cursor) = (vec![], String::new());
        loop {
            let page = api
                .ok(&path(&format!("interval={interval}&limit=1{cursor}")))
                .await;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(json!(items), whole["items"], "{interval}");
    }
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_candle_has_the_shares_after_each_bet(_: PgPoolOptions, options: PgConnectOptions) {
    let api = api(options).await;
    // An hour is the default.
    let hours = api.ok(&path("")).await;
    let multiple = |raw: &str, scaled: &str| json!({ "raw": raw, "scaled": scaled });
    // Shares of outcome 0: 1/2, 1/4, 2/5, 1/2. If it wins, its 3 tokens win 3 · 0.97.
    assert_eq!(
        hours["items"][1]["outcomes"],
        json!([
            {
                "outcome": 0, "open": "0.5", "high": "0.5", "low": "0.25", "close": "0.5",
                "multiple": multiple("1970", "1.97"),
            },
            {
                "outcome": 1, "open": "0.5", "high": "0.75", "low": "0.5", "close": "0.5",
                "multiple": multiple("1970", "1.97"),
            },
            { "outcome": 2, "open": "0", "high": "0", "low": "0", "close": "0", "multiple": null },
        ])
    );
    assert_eq!(hours, api.ok(&path("interval=1h")).await);
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_life_of_a_market_has_its_own_candles(_: PgPoolOptions, options: PgConnectOptions) {
    let api = api(options).await;
    // The second market's address has had two lives, both without a bet.
    let (life, market) = (1_202_i64 << 31, key(4, 2));
    for query in ["", &format!("?life={life}")] {
        let path = format!("/api/v1/markets/{market}/candles{query}");
        let nothing = json!({ "items": [], "next_cursor": null });
        assert_eq!(api.ok(&path).await, nothing, "{path}");
    }
    let path = format!("/api/v1/markets/{market}/candles?life=7");
    let (status, body) = api.get(&path).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
}
