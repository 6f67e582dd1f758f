//! Balances, transactions, statements and portfolios of a wallet with a part in everything, whose amounts are
//! computed by hand.

mod world;

use axum::http::StatusCode;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{
    Api,
    chain::{id_of, time_of},
    key,
};
use world::World;

/// Amount in base units of a value with both units.
fn raw(amount: &Value) -> &str {
    amount["raw"].as_str().unwrap_or_else(|| panic!("{amount}"))
}

/// The fields of `object`, each in base units.
fn raws<'a>(object: &'a Value, names: &[&str]) -> Vec<&'a str> {
    names.iter().map(|name| raw(&object[*name])).collect()
}

fn wallet(part: &str) -> String {
    format!("/api/v1/wallet/{}/{part}", key(9, 20))
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_balance_has_what_every_account_is_worth(_: PgPoolOptions, options: PgConnectOptions) {
    World::store(&options).await;
    let api = Api::new(options);
    let balance = api.ok(&wallet("balance")).await;
    let tokens = balance["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 1, "{balance}");
    let names = [
        "staked",
        "claimable",
        "cover",
        "shares",
        "requested",
        "bonded",
        "unbonding",
        "creator_fees",
        "manager_fees",
        "rewards",
        "challenge_credits",
    ];
    assert_eq!(
        raws(&tokens[0], &names),
        [
            "1000000", // in the open market
            "2105000", // 500,000 + 500,000 · 2,910,000 / 1,000,000, and 250,000 - 100,000 of the policy
            "400000",  // 500,000 - 100,000
            "900000",  // 750,000,000 · 2,100,002 / 1,750,001,000
            "199999", "49000", // 50,000 - 1,000
            "20000", "30000", "4000", "7000", "9000",
        ]
    );
    assert_eq!(tokens[0]["mint"], key(1, 1));
    assert_eq!(tokens[0]["claimable"]["scaled"], "2.105");
    assert_eq!(
        balance["shares"],
        json!([{
            "vault": key(6, 10),
            "mint": key(1, 1),
            "shares": { "raw": "750000000", "scaled": "0.75" },
            "worth": { "raw": "900000", "scaled": "0.9" },
            "cost": { "raw": "750000", "scaled": "0.75" },
            "decimals": 9,
        }])
    );
    assert_eq!(balance["truncated"], false);
    let user = format!("/api/v1/users/{}/balance", key(9, 20));
    assert_eq!(api.ok(&user).await, balance);
}

/// Slot, kind, amounts that came in and went out, rent and profit of a movement.
type Expected = (
    i64,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<&'static str>,
);

/// Kinds of all movements with amounts and profits, oldest first: of a slot, what came in and went out, the rent, and
/// the profit.
const MOVEMENTS: [Expected; 14] = [
    (1_701, "bet", "0", "100000", "2000", None),
    (1_702, "bet", "0", "200000", "4000", None),
    (1_703, "bet", "0", "300000", "6000", None),
    (1_704, "bet", "0", "400000", "8000", None),
    (1_705, "bet", "0", "1250000", "25000", None),
    (1_706, "deposit", "0", "1000000", "0", None),
    (1_707, "stake_sold", "225000", "0", "0", Some("-25000")),
    (1_708, "stake_bought", "0", "80000", "0", Some("20000")),
    // A refund, of three bets.
    (1_709, "claim", "600000", "0", "0", Some("0")),
    // 100,000 - 250,000 · 100,000 / 299,999
    (1_711, "withdrawal", "100000", "0", "0", Some("16667")),
    (1_712, "deposit", "0", "10000", "0", None),
    (1_714, "withdrawal", "12000", "0", "0", Some("2000")),
    (1_715, "creator_fee", "5000", "0", "0", Some("5000")),
    (1_716, "reward", "2500", "0", "0", Some("2500")),
];

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn transactions_say_what_each_event_moved(_: PgPoolOptions, options: PgConnectOptions) {
    World::store(&options).await;
    let api = Api::new(options);
    let page = api.ok(&wallet("transactions?limit=500")).await;
    let events = page["items"].as_array().unwrap();
    // Newest first; two requests moved nothing.
    let ids: Vec<_> = events.iter().map(|event| event["id"].clone()).collect();
    let slots = (1_701..=1_716).rev();
    assert_eq!(
        ids,
        slots
            .map(|slot| id_of(slot).to_string())
            .collect::<Vec<_>>()
    );
    let mut found = vec![];
    for event in events.iter().rev() {
        for movement in event["movements"].as_array().unwrap() {
            assert_eq!(movement["mint"], key(1, 1), "{event}");
            found.push((
                event["slot"].as_i64().unwrap(),
                movement["kind"].as_str().unwrap(),
                raw(&movement["incoming"]),
                raw(&movement["outgoing"]),
                raw(&movement["fee"]),
                movement["profit"]["raw"].as_str(),
            ));
        }
    }
    assert_eq!(found, MOVEMENTS);
    assert_eq!(events[0]["roles"], json!(["oracle"]));
    assert_eq!(events[1]["roles"], json!(["creator"]));
    assert_eq!(events[1]["movements"][0]["account"], key(4, 10));
    let user = format!("/api/v1/users/{}/transactions?limit=500", key(9, 20));
    assert_eq!(api.ok(&user).await["items"], page["items"]);

    let user = api.ok(&format!("/api/v1/users/{}", key(9, 20))).await;
    assert_eq!(user["first_seen"], time_of(1_701));
    assert_eq!(user["last_seen"], time_of(1_716));
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_statement_has_one_row_for_each_movement(_: PgPoolOptions, options: PgConnectOptions) {
    World::store(&options).await;
    let api = Api::new(options);
    let (status, headers, text) = api.get_raw(&wallet("statement.csv")).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert_eq!(
        headers["content-type"],
        "text/csv; charset=utf-8; header=present"
    );
    assert_eq!(headers["x-slot"], "2000");
    assert!(!headers.contains_key("etag"));
    let lines: Vec<_> = text.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 1 + MOVEMENTS.len(), "{text}");
    assert_eq!(
        lines[0],
        "time,slot,signature,event_id,kind,account,mint,amount_in,amount_out,fee,realised_profit"
    );
    let signature = bs58::encode([12; 64]).into_string();
    let mint = key(1, 1);
    let row = |slot, kind, account: String, amounts| {
        let (time, id) = (time_of(slot), id_of(slot));
        format!("{time},{slot},{signature},{id},{kind},{account},{mint},{amounts}")
    };
    assert_eq!(lines[1], row(1_701, "bet", key(4, 11), "0,0.1,0.002,"));
    assert_eq!(
        lines[7],
        row(1_707, "stake_sold", key(4, 12), "0.225,0,0,-0.025")
    );
    assert_eq!(lines[9], row(1_709, "claim", key(4, 11), "0.6,0,0,0"));
    assert_eq!(
        lines[10],
        row(1_711, "withdrawal", key(6, 10), "0.1,0,0,0.016667")
    );

    // A part has the movements from its start on, and those before its end.
    let part = format!("?from={}&until={}", time_of(1_709), time_of(1_712));
    let (_, _, text) = api.get_raw(&(wallet("statement.csv") + &part)).await;
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [lines[0], lines[9], lines[10]]
    );
    let (_, _, text) = api
        .get_raw(&wallet("statement.csv?until=2026-01-01T07:00:59.999Z"))
        .await;
    assert_eq!(text, format!("{}\r\n", lines[0]));
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_statement_of_too_many_events_is_refused(_: PgPoolOptions, options: PgConnectOptions) {
    // Given a wallet with an event more than a statement can have, the last one a minute after the others
    let mut chain = super::chain::Chain::connect(&options).await;
    chain
        .run(
            "insert into chain.event (id, slot, signature, data, block_time)
             select id(1750, n), 1750, decode(repeat('0c', 64), 'hex'), '\\x01',
               '2026-01-01 08:00:00Z'::timestamptz + n / 20000 * interval '1 minute'
             from generate_series(0, 20000) n;
             insert into chain.event_party (wallet, event_id, role, is_named)
             select key(9, 40), id(1750, n), 'owner', true from generate_series(0, 20000) n",
        )
        .await;
    let api = Api::new(options);
    let path = format!("/api/v1/wallet/{}/statement.csv", key(9, 40));
    let (status, body) = api.get(&path).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert_eq!(
        body["detail"],
        "the wallet has more than 20000 events from 2025-01-01T00:00:01Z until 2026-01-02T00:00:01Z; give \
         a shorter time"
    );
    let (status, _, text) = api
        .get_raw(&format!("{path}?until=2026-01-01T08:01:00Z"))
        .await;
    assert_eq!(status, StatusCode::OK, "{text}");
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_portfolio_has_costs_values_and_profits(_: PgPoolOptions, options: PgConnectOptions) {
    World::store(&options).await;
    let api = Api::new(options);
    let path = format!("/api/v1/analytics/portfolio?wallet={}", key(9, 20));
    let portfolio = api.ok(&path).await;
    let tokens = portfolio["tokens"].as_array().unwrap();
    assert_eq!((tokens.len(), &tokens[0]["mint"]), (1, &key(1, 1).into()));
    let stakes = &tokens[0]["stakes"];
    assert_eq!(stakes["bets"], "5");
    assert_eq!(
        raws(
            stakes,
            &["staked", "cost_basis", "value", "realised", "unrealised"]
        ),
        [
            "2250000", // 600,000 + 400,000 + 1,250,000
            "1500000", // 500,000 in the resolved market, and 1,000,000 in the open one
            // 1,955,000, and a quarter of 1,000,000 + 3,000,000 · 0.97
            "2932500",
            // 225,000 - 250,000 of the sale, and 100,000 - 80,000 of the purchase. The three bets of the void
            // market are refunded: 600,000 - 600,000.
            "-5000", "1432500",
        ]
    );
    let cover = &tokens[0]["cover"];
    assert_eq!(
        raws(
            cover,
            &[
                "open",
                "premiums",
                "paid",
                "refunds",
                "value",
                "realised",
                "unrealised"
            ]
        ),
        [
            "400000", "30000", "100000", "5000", "150000", "75000", "150000"
        ]
    );
    let shares = &tokens[0]["shares"];
    assert_eq!(
        raws(shares, &["cost_basis", "value", "realised", "unrealised"]),
        [
            "916667",  // 750,000, and 250,000 - 83,333
            "1099999", // 900,000 + 199,999
            "18667",   // 16,667, and 2,000 of the closed vault
            "183332",
        ]
    );
    assert_eq!(
        raws(&tokens[0], &["rents", "realised", "unrealised"]),
        ["45000", "88667", "1765832"]
    );
    assert_eq!(portfolio["truncated"], false);
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_wallet_without_a_part_in_anything_has_nothing(
    _: PgPoolOptions,
    options: PgConnectOptions,
) {
    let api = Api::new(options);
    let wallet = key(9, 99);
    let path = format!("/api/v1/wallet/{wallet}");
    let balance = api.ok(&format!("{path}/balance")).await;
    // The server has no RPC node that knows what is in the wallet itself.
    let missing = &balance["on_chain_missing"];
    assert!(missing.as_str().unwrap().contains("RPC node"), "{missing}");
    let nothing = json!({
        "wallet": wallet, "tokens": [], "shares": [], "truncated": false,
        "on_chain": null, "on_chain_missing": missing,
    });
    assert_eq!(balance, nothing);
    let nothing = json!({ "items": [], "next_cursor": null });
    for list in [
        format!("{path}/transactions"),
        format!("/api/v1/users/{wallet}/transactions"),
        format!("/api/v1/users/{wallet}/models"),
        format!("/api/v1/users/{wallet}/positions"),
    ] {
        assert_eq!(api.ok(&list).await, nothing, "{list}");
    }
    let portfolio = format!("/api/v1/analytics/portfolio?wallet={wallet}");
    let nothing = json!({ "wallet": wallet, "tokens": [], "truncated": false });
    assert_eq!(api.ok(&portfolio).await, nothing);
    let (_, _, text) = api.get_raw(&format!("{path}/statement.csv")).await;
    assert_eq!(text.lines().count(), 1, "{text}");
    let (status, body) = api.get(&format!("/api/v1/users/{wallet}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn a_users_lists_are_those_of_its_wallet(_: PgPoolOptions, options: PgConnectOptions) {
    let api = Api::new(options);
    for (of_user, of_wallet) in [
        (
            format!("users/{}/models?limit=1", key(9, 1)),
            format!("models?owner={}&limit=1", key(9, 1)),
        ),
        (
            format!("users/{}/positions?limit=1", key(9, 6)),
            format!("positions?owner={}&limit=1", key(9, 6)),
        ),
    ] {
        let own = api.ok(&format!("/api/v1/{of_user}")).await;
        assert_eq!(own["items"].as_array().unwrap().len(), 1, "{of_user}");
        let other = api.ok(&format!("/api/v1/{of_wallet}")).await;
        assert_eq!(own, other, "{of_user}");
    }
}

#[sqlx::test(migrator = "crate::db_tests::SCHEMA", fixtures("mirror"))]
async fn the_indexer_is_asked_for_the_open_accounts(_: PgPoolOptions, options: PgConnectOptions) {
    // Given nobody who reads accounts again
    World::store(&options).await;
    let api = Api::new(options);
    let request = axum::http::Request::post(wallet("sync")).body(axum::body::Body::empty());
    let (status, body) = api.send(request.unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    // Two positions, a policy, a request and a seat
    assert_eq!(
        body,
        json!({ "accounts": 5, "waiting": 5, "truncated": false })
    );
    let asked: Vec<String> =
        sqlx::query_scalar("select public.base58(address) from app.refetch order by address")
            .fetch_all(&api.db)
            .await
            .unwrap();
    let expected = [(5, 10), (5, 12), (8, 10), (10, 10), (13, 10)];
    assert_eq!(asked, expected.map(|(kind, number)| key(kind, number)));
}
