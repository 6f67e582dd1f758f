//! Oracles: what they submitted and missed, what they have, and when they were last seen.

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{Api, chain::Chain, key};

/// What two oracles did more than thirty days before the mirror's latest block, and since.
const DEEDS: &str = "
    insert into chain.hourly (kind, subject, mint, hour, submissions, earnings, earned, silences, penalties)
    values
      ('wallet', key(9, 2), key(1, 1), '2025-12-02 23:00:00Z', 5, 4, 4000000, 0, 0),
      ('wallet', key(9, 2), key(1, 1), '2025-12-03 00:00:00Z', 2, 1, 1500000, 2, 7),
      ('wallet', key(9, 3), key(1, 1), '2025-12-02 23:00:00Z', 4, 3, 300, 1, 3),
      -- Of a wallet that is no oracle.
      ('wallet', key(9, 6), key(1, 1), '2026-01-01 00:00:00Z', 0, 0, 0, 0, 0);
    update chain.model set slash_amount = 250000;
    insert into chain.penalty (model, event_id, oracle, \"window\", amount)
    values (key(2, 1), id(1501, 0), key(9, 2), 2, 3), (key(2, 1), id(1502, 0), key(9, 2), 3, 4),
      (key(2, 2), id(1503, 0), key(9, 2), 3, 5);
    -- The latest event of the seat is no submission; the one before it is, and so is one of the earlier life.
    insert into chain.event (id, slot, signature, name, body, data, block_time)
    values
      (id(940, 0), 940, decode(repeat('05', 64), 'hex'), 'ReceiptSubmitted', '{}', '\\x01', '2026-01-01 01:00:00Z'),
      (id(1700, 0), 1700, decode(repeat('05', 64), 'hex'), 'ReceiptSubmitted', '{}', '\\x01', '2026-01-01 08:00:00Z'),
      (id(1701, 0), 1701, decode(repeat('05', 64), 'hex'), 'SeatSynced', '{}', '\\x01', '2026-01-01 09:00:00Z');
    insert into chain.event_account (account, event_id, number)
    values (key(13, 1), id(940, 0), 2), (key(13, 1), id(1700, 0), 2), (key(13, 1), id(1701, 0), 3)";

async fn api(options: PgConnectOptions) -> Api {
    Chain::connect(&options).await.run(DEEDS).await;
    Api::new(options)
}

fn fields(object: &Value, names: &[&str]) -> Value {
    let own = names
        .iter()
        .map(|name| ((*name).to_owned(), object[*name].clone()));
    Value::Object(own.collect())
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn an_oracle_has_what_it_ever_did(_: PgPoolOptions, options: PgConnectOptions) {
    let api = api(options).await;
    let oracle = api.ok(&format!("/api/v1/oracles/{}", key(9, 2))).await;
    assert_eq!(
        oracle["totals"],
        json!([{
            "mint": key(1, 1),
            "decimals": 6,
            "submitted": "7",
            "agreed": "5",
            "earned": { "raw": "5500000", "scaled": "5.5" },
            "missed": "2",
            "penalties": { "raw": "7", "scaled": "0.000007" },
        }])
    );
    let seats = oracle["seats"]["items"].as_array().unwrap();
    let [earlier, seat] = &seats[..] else {
        panic!("{oracle}")
    };
    let names = [
        "bonded",
        "unbonding",
        "release_at",
        "counts",
        "reward",
        "submitted",
        "missed",
        "penalties",
        "outvoted",
        "slashed_at_most",
        "last_seen",
        "closed",
    ];
    assert_eq!(
        fields(seat, &names),
        json!({
            "bonded": { "raw": "5000000", "scaled": "5" },
            "unbonding": { "raw": "1000000", "scaled": "1" },
            "release_at": "2026-01-02T00:00:00Z",
            "counts": true,
            "reward": { "raw": "1", "scaled": "0.000001" },
            "submitted": "7",
            "missed": "2",
            "penalties": { "raw": "7", "scaled": "0.000007" },
            "outvoted": "2",
            "slashed_at_most": { "raw": "500000", "scaled": "0.5" },
            "last_seen": "2026-01-01T08:00:00Z",
            "closed": false,
        })
    );
    // What the model says of its oracles is of the open seat.
    assert_eq!(
        fields(
            earlier,
            &[
                "bonded",
                "reward",
                "counts",
                "submitted",
                "last_seen",
                "closed"
            ]
        ),
        json!({
            "bonded": { "raw": "0", "scaled": "0" },
            "reward": { "raw": "0", "scaled": "0" },
            "counts": false,
            "submitted": "1",
            "last_seen": "2026-01-01T01:00:00Z",
            "closed": true,
        })
    );

    // The other one is about to leave, and has an open penalty.
    let oracle = api.ok(&format!("/api/v1/oracles/{}", key(9, 3))).await;
    let seat = &oracle["seats"]["items"][0];
    assert_eq!(
        fields(
            seat,
            &[
                "bonded",
                "counts",
                "reward",
                "missed",
                "outvoted",
                "last_seen"
            ]
        ),
        json!({
            "bonded": { "raw": "5999997", "scaled": "5.999997" },
            "counts": false,
            "reward": { "raw": "2", "scaled": "0.000002" },
            "missed": "1",
            "outvoted": "0",
            "last_seen": null,
        })
    );
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn the_list_has_what_oracles_did_in_thirty_days(_: PgPoolOptions, options: PgConnectOptions) {
    let api = api(options).await;
    let list = api.ok("/api/v1/oracles").await;
    assert_eq!(
        list["items"],
        json!([
            {
                "oracle": key(9, 2),
                "seats": 1,
                "slashes": "2",
                "recent": [{
                    "mint": key(1, 1),
                    "decimals": 6,
                    "submitted": "2",
                    "agreed": "1",
                    "earned": { "raw": "1500000", "scaled": "1.5" },
                    "missed": "2",
                    "penalties": { "raw": "7", "scaled": "0.000007" },
                }],
            },
            { "oracle": key(9, 3), "seats": 1, "slashes": "0", "recent": [] },
        ])
    );
    assert_eq!(list["next_cursor"], Value::Null);
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_wallet_without_a_seat_is_no_oracle(_: PgPoolOptions, options: PgConnectOptions) {
    let api = api(options).await;
    let (status, body) = api.get(&format!("/api/v1/oracles/{}", key(9, 6))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("oracle {} is not in the mirror", key(9, 6))));
}
