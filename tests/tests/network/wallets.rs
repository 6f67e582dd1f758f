//! Wallets, oracles, candles, the calendar and analytics of the API on a running chain.

mod expected;

use std::time::Duration;

use driftshield_sdk::{
    Address, Collateral, DepositLimits, Model, Position, Seat, TokenProgram, Vault, address,
    instruction,
    rpc::{Client, Keypair, Signer},
};
use driftshield_tests::{
    insurance::brief_vault_terms,
    network::{fixture::BETTORS, wait_for},
    world::TOKEN,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{api_fixture::ApiFixture, mirror};
use expected::Expected;

/// Tokens of each wallet at the beginning.
const FUNDS: i128 = 100_000 * TOKEN as i128;
const CAPITAL: u64 = 1_000 * TOKEN;
/// A window that begins ten minutes after the first one, and the index of the market on it.
const LATE_WINDOW: u64 = 300;
const LATE_MARKET: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn wallets_see_what_moved_for_them() {
    // Given sales and bets in a market that ends and in one that doesn't, and a vault with a deposit
    let mut api = ApiFixture::start().await;
    api.fixture.sell(0, [0, 1], 0, TOKEN / 2).await;
    api.fixture.create_market(LATE_WINDOW).await;
    for (bettor, outcome, amount) in [(0, 0, 3), (1, 1, 2), (0, 0, 5), (2, 1, 1)] {
        let amount = amount * TOKEN;
        api.fixture.bet(LATE_MARKET, bettor, outcome, amount).await;
    }
    let vault = open_vault(&api).await;

    // When the first market is settled, and all of its positions are claimed
    let mut crank = api.fixture.start_crank("crank");
    let client = &api.fixture.network.client;
    let market = api.fixture.markets[0];
    wait_for(
        "the first market's end",
        Duration::from_secs(240),
        async || {
            let found = client.find::<driftshield_sdk::Market>(&market).await;
            found.ok()?.is_none().then_some(())
        },
    )
    .await;
    assert!(crank.stop(), "{}", crank.output());
    let pool = api.fixture.network.database().await;
    mirror::wait_until_current(&api.fixture.network, &pool).await;

    // Then everything that the API says about the wallets is as on the chain
    let expected = Expected::read(client, &api.fixture.markets).await;
    for bettor in 0..BETTORS {
        balances_are_what_movements_add_up_to(&api, bettor).await;
        profits_match_the_events(&api, bettor, &expected).await;
        a_statement_has_all_movements(&api, bettor).await;
    }
    shares_are_worth_what_the_vault_says(&api, &vault).await;
    the_leaderboard_ranks_by_profit(&api, &expected).await;
    oracles_match_their_accounts(&api).await;
    candles_add_up_to_the_bets(&api, &expected).await;
    the_calendar_is_in_order(&api).await;
    totals_match_the_events(&api, &expected).await;
    a_wallet_can_be_synced(&api).await;
}

async fn client_model(api: &ApiFixture) -> Model {
    let client = &api.fixture.network.client;
    client.get(&api.fixture.model).await.unwrap()
}

/// Bettor 2 opens a vault, and bettor 3 deposits and requests the withdrawal of a quarter.
async fn open_vault(api: &ApiFixture) -> Address {
    let (manager, provider) = (&api.fixture.bettors[2], &api.fixture.bettors[3]);
    let client = &api.fixture.network.client;
    let mint = client_model(api).await.bond_mint;
    let collateral: Collateral = client.get(&address::collateral(&mint)).await.unwrap();
    let vault = address::vault(&manager.pubkey(), 1);
    let terms = brief_vault_terms(CAPITAL);
    let create = instruction::create_vault(manager.pubkey(), 1, &collateral, 60, 300, terms);
    client.send(&[create], &[manager]).await.unwrap();
    let owner = provider.pubkey();
    let state: Vault = client.get(&vault).await.unwrap();
    let shares = instruction::create_share_account(&owner, &owner, &state);
    client.send(&[shares], &[provider]).await.unwrap();
    let source = tokens_of(provider, &mint);
    let limits = DepositLimits::as_read(&state, 0);
    let deposit = instruction::deposit(owner, vault, &state, source, CAPITAL, limits);
    client.send(&[deposit], &[provider]).await.unwrap();
    let state: Vault = client.get(&vault).await.unwrap();
    let request = instruction::request_withdraw(owner, vault, &state, state.shares / 4);
    client.send(&[request], &[provider]).await.unwrap();
    vault
}

fn tokens_of(owner: &Keypair, mint: &Address) -> Address {
    address::token_account(&owner.pubkey(), mint, TokenProgram::SplToken)
}

fn number(value: &Value) -> i128 {
    let text = value["raw"].as_str().or(value.as_str());
    text.unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

/// All items of a list, read in pages of three.
async fn all(api: &ApiFixture, path: &str) -> Vec<Value> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let (mut items, mut cursor) = (vec![], String::new());
    loop {
        let page = api
            .get_ok(&format!("{path}{separator}limit=3{cursor}"))
            .await;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

fn movements_of(event: &Value) -> &[Value] {
    event["movements"].as_array().unwrap()
}

fn sum<'a>(movements: impl Iterator<Item = &'a Value>, name: &str) -> i128 {
    movements.map(|movement| number(&movement[name])).sum()
}

/// The wallet's tokens are those of the beginning, with what came in and without what went out.
async fn balances_are_what_movements_add_up_to(api: &ApiFixture, bettor: usize) {
    let key = &api.fixture.bettors[bettor];
    let path = format!("/api/v1/wallet/{}", key.pubkey());
    let events = all(api, &format!("{path}/transactions")).await;
    let ids: Vec<_> = events.iter().map(|event| number(&event["id"])).collect();
    assert!(ids.is_sorted_by(|a, b| b < a), "{ids:?}");
    assert!(!events.is_empty());
    let movements = || events.iter().flat_map(movements_of);
    let client = &api.fixture.network.client;
    let mint = client_model(api).await.bond_mint;
    let balance = client.token_balance(&tokens_of(key, &mint)).await.unwrap();
    let net = sum(movements(), "incoming") - sum(movements(), "outgoing") - sum(movements(), "fee");
    assert_eq!(i128::from(balance), FUNDS + net, "bettor {bettor}");
    assert!(movements().all(|movement| movement["mint"] == mint.to_string()));

    // Of the open positions, the market on late windows has all.
    let market = api.fixture.markets[LATE_MARKET];
    let position = address::position(&market, &key.pubkey());
    let position = client.find::<Position>(&position).await.unwrap();
    let staked = position.map_or(0, |position| position.total());
    let body = api.get_ok(&format!("{path}/balance")).await;
    let of_token = &body["tokens"][0];
    let stated = if of_token.is_null() {
        0
    } else {
        number(&of_token["staked"])
    };
    assert_eq!(stated, i128::from(staked), "{body}");
    let user = format!("/api/v1/users/{}", key.pubkey());
    let mut of_user = api.get_ok(&format!("{user}/balance")).await;
    of_user["on_chain"]["slot"] = body["on_chain"]["slot"].clone();
    assert_eq!(of_user, body);
    let on_chain = &body["on_chain"];
    let lamports = client.rpc().get_balance(&key.pubkey()).await.unwrap();
    assert_eq!(number(&on_chain["sol"]), i128::from(lamports));
    assert_eq!(
        number(&on_chain["tokens"][0]["amount"]),
        i128::from(balance)
    );
    assert_eq!(on_chain["tokens"][0]["vault"], Value::Null);
    let user = api.get_ok(&user).await;
    assert_eq!(user["last_seen"], events[0]["time"]);
    assert_eq!(user["first_seen"], events[events.len() - 1]["time"]);
}

async fn profits_match_the_events(api: &ApiFixture, bettor: usize, expected: &Expected) {
    let wallet = api.fixture.bettors[bettor].pubkey();
    let portfolio = api
        .get_ok(&format!("/api/v1/analytics/portfolio?wallet={wallet}"))
        .await;
    let of_token = &portfolio["tokens"][0];
    let profit = expected.profit(&wallet);
    assert_eq!(
        number(&of_token["stakes"]["realised"]),
        profit,
        "{portfolio}"
    );
    assert_eq!(
        number(&of_token["stakes"]["staked"]),
        expected.staked(&wallet)
    );
    assert_eq!(
        number(&of_token["stakes"]["cost_basis"]),
        expected.open(&wallet)
    );
    let unrealised = number(&of_token["stakes"]["unrealised"]);
    let value = number(&of_token["stakes"]["value"]);
    assert_eq!(unrealised, value - expected.open(&wallet));
    assert_eq!(number(&of_token["rents"]), expected.rents(&wallet));

    // The movements say the same.
    let events = all(api, &format!("/api/v1/wallet/{wallet}/transactions")).await;
    let movements = events.iter().flat_map(movements_of);
    let realised: i128 = movements
        .filter(|movement| {
            ["claim", "stake_sold", "stake_bought"].contains(&movement["kind"].as_str().unwrap())
        })
        .map(|movement| number(&movement["profit"]))
        .sum();
    assert_eq!(realised, profit, "bettor {bettor}");
}

/// The statement has the same movements, in the order of the chain, and none of another time.
async fn a_statement_has_all_movements(api: &ApiFixture, bettor: usize) {
    let wallet = api.fixture.bettors[bettor].pubkey();
    let url = format!("{}/api/v1/wallet/{wallet}/statement.csv", api.url);
    let response = reqwest::get(&url).await.unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("text/csv"), "{kind}");
    let text = response.text().await.unwrap();
    let (header, rows) = text.split_once("\r\n").unwrap();
    assert_eq!(
        header,
        "time,slot,signature,event_id,kind,account,mint,amount_in,amount_out,fee,realised_profit"
    );
    let rows: Vec<Vec<&str>> = rows
        .split_terminator("\r\n")
        .map(|row| row.split(',').collect())
        .collect();
    let mut events = all(api, &format!("/api/v1/wallet/{wallet}/transactions")).await;
    events.reverse();
    let scaled = |value: &Value| value["scaled"].as_str().unwrap_or_default().to_owned();
    let movements: Vec<_> = events
        .iter()
        .flat_map(|event| {
            movements_of(event).iter().map(move |movement| {
                vec![
                    event["slot"].to_string(),
                    event["signature"].as_str().unwrap().to_owned(),
                    event["id"].as_str().unwrap().to_owned(),
                    movement["kind"].as_str().unwrap().to_owned(),
                    movement["account"].as_str().unwrap().to_owned(),
                    movement["mint"].as_str().unwrap().to_owned(),
                    scaled(&movement["incoming"]),
                    scaled(&movement["outgoing"]),
                    scaled(&movement["fee"]),
                    scaled(&movement["profit"]),
                ]
            })
        })
        .collect();
    let without_times: Vec<_> = rows.iter().map(|row| row[1..].to_vec()).collect();
    assert_eq!(without_times, movements, "bettor {bettor}");

    // From the time of the last movement on, there are only those of that time.
    let last = rows[rows.len() - 1][0];
    let later = reqwest::get(format!("{url}?from={last}")).await.unwrap();
    let later = later.text().await.unwrap();
    let of_last = rows.iter().filter(|row| row[0] == last).count();
    assert_eq!(later.lines().count(), 1 + of_last, "{later}");
    let none = reqwest::get(format!("{url}?until=2020-01-01T00:00:00Z")).await;
    assert_eq!(none.unwrap().text().await.unwrap().lines().count(), 1);
}

/// The provider's shares are its share tokens, and the program says what they are worth.
async fn shares_are_worth_what_the_vault_says(api: &ApiFixture, vault: &Address) {
    let provider = &api.fixture.bettors[3];
    let client: &Client = &api.fixture.network.client;
    let state: Vault = client.get(vault).await.unwrap();
    let account = address::share_account(&provider.pubkey(), &state);
    let shares = client.token_balance(&account).await.unwrap();
    let body = api
        .get_ok(&format!("/api/v1/wallet/{}/balance", provider.pubkey()))
        .await;
    let [of_vault] = &body["shares"].as_array().unwrap()[..] else {
        panic!("{body}")
    };
    assert_eq!(of_vault["vault"], vault.to_string());
    assert_eq!(number(&of_vault["shares"]), i128::from(shares));
    let worth = i128::from(state.worth(shares));
    assert_eq!(number(&of_vault["worth"]), worth);
    assert_eq!(number(&of_vault["cost"]), i128::from(CAPITAL - CAPITAL / 4));
    let in_wallet = body["on_chain"]["tokens"].as_array().unwrap();
    let in_wallet = in_wallet
        .iter()
        .find(|token| token["vault"] == vault.to_string());
    let in_wallet = in_wallet.unwrap_or_else(|| panic!("{body}"));
    assert_eq!(number(&in_wallet["amount"]), i128::from(shares));
    assert_eq!(in_wallet["account"], account.to_string());
    assert_eq!(in_wallet["amount"]["scaled"], of_vault["shares"]["scaled"]);
    let requested = i128::from(CAPITAL / 4);
    assert_eq!(number(&body["tokens"][0]["requested"]), requested, "{body}");
    let path = format!("/api/v1/analytics/portfolio?wallet={}", provider.pubkey());
    let portfolio = api.get_ok(&path).await;
    let part = &portfolio["tokens"][0]["shares"];
    assert_eq!(
        number(&part["cost_basis"]),
        i128::from(CAPITAL),
        "{portfolio}"
    );
    assert_eq!(number(&part["realised"]), 0);
}

async fn the_leaderboard_ranks_by_profit(api: &ApiFixture, expected: &Expected) {
    let mint = client_model(api).await.bond_mint;
    let mut profits: Vec<_> = api
        .fixture
        .bettors
        .iter()
        .map(|key| (-expected.profit(&key.pubkey()), key.pubkey()))
        .collect();
    profits.sort_unstable();
    let path = |board: &str| format!("/api/v1/analytics/leaderboard/{board}?mint={mint}");
    let ranked = wait_for("the rankings", Duration::from_secs(60), async || {
        let (_, body) = api.get(&path("bettors")).await;
        let slot = body["slot"].as_u64()?;
        let places = body["places"]["items"].as_array()?.clone();
        (expected.slot <= slot).then_some(places)
    })
    .await;
    let found: Vec<_> = ranked
        .iter()
        .map(|place| {
            let subject = place["subject"].as_str().unwrap().to_owned();
            (-number(&place["value"]), subject)
        })
        .collect();
    let profits: Vec<_> = profits
        .into_iter()
        .map(|(profit, key)| (profit, key.to_string()))
        .collect();
    assert_eq!(found, profits);
    let ranks: Vec<_> = ranked.iter().map(|place| place["rank"].as_u64()).collect();
    assert_eq!(ranks, [1, 2, 3, 4].map(Some));

    // Pages are of one computation.
    let first = api.get_ok(&(path("bettors") + "&period=day&limit=2")).await;
    let cursor = first["places"]["next_cursor"].as_str().unwrap();
    let next = format!("{}&period=day&limit=2&cursor={cursor}", path("bettors"));
    let next = api.get_ok(&next).await;
    assert_eq!(next["slot"], first["slot"]);
    assert_eq!(next["places"]["items"][0]["rank"], 3);

    let oracles = api.get_ok(&path("oracles")).await;
    let oracle = &oracles["places"]["items"][0];
    assert_eq!(oracle["subject"], api.fixture.oracle.pubkey().to_string());
    let model = client_model(api).await;
    assert!(
        i128::from(model.final_count) <= number(&oracle["receipts"]),
        "{oracles}"
    );
    let models = api.get_ok(&path("models")).await;
    let model = &models["places"]["items"][0];
    assert_eq!(model["subject"], api.fixture.model.to_string());
    assert_eq!(number(&model["value"]), expected.volume());
    let underwriters = api.get_ok(&path("underwriters")).await;
    assert_eq!(underwriters["places"]["items"][0]["value"]["scaled"], "0");
}

async fn oracles_match_their_accounts(api: &ApiFixture) {
    let oracle = api.fixture.oracle.pubkey();
    let model = client_model(api).await;
    let client = &api.fixture.network.client;
    let key = address::seat(&api.fixture.model, &oracle);
    let seat: Seat = client.get(&key).await.unwrap();
    let body = api.get_ok(&format!("/api/v1/oracles/{oracle}")).await;
    let [found] = &body["seats"]["items"].as_array().unwrap()[..] else {
        panic!("{body}")
    };
    assert_eq!(found["model"], api.fixture.model.to_string());
    assert_eq!(
        number(&found["bonded"]),
        i128::from(seat.bonded - model.penalties[0])
    );
    assert_eq!(number(&found["submitted"]), i128::from(seat.submissions));
    assert_eq!(number(&found["reward"]), i128::from(model.rewards[0]));
    assert_eq!(
        (&found["counts"], &found["outvoted"]),
        (&json!(true), &json!("0"))
    );
    assert!(found["last_seen"].is_string());
    assert_eq!(
        number(&body["totals"][0]["submitted"]),
        i128::from(seat.submissions)
    );
    let list = api.get_ok("/api/v1/oracles").await;
    let [listed] = &list["items"].as_array().unwrap()[..] else {
        panic!("{list}")
    };
    assert_eq!(
        (&listed["oracle"], &listed["seats"]),
        (&json!(oracle.to_string()), &json!(1))
    );
    assert_eq!(listed["recent"], body["totals"]);
    let (status, problem) = api
        .get(&format!("/api/v1/oracles/{}", api.fixture.model))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");

    let health = format!("/api/v1/analytics/models/{}", api.fixture.model);
    let health = api.get_ok(&health).await;
    assert_eq!(number(&health["ewma"]), i128::from(model.ewma));
    assert_eq!(
        number(&health["noise_floor"]),
        i128::from(model.noise_floor)
    );
    let due = &health["due"];
    assert!(1 <= due["finals"].as_u64().unwrap(), "{health}");
    let counted: u64 = ["finals", "voids", "thins", "open", "missing"]
        .map(|name| due[name].as_u64().unwrap())
        .iter()
        .sum();
    assert_eq!(Some(counted), due["count"].as_u64());
}

async fn candles_add_up_to_the_bets(api: &ApiFixture, expected: &Expected) {
    for (index, market) in api.fixture.markets.iter().enumerate() {
        for interval in ["5m", "1h", "1d"] {
            let path = format!("/api/v1/markets/{market}/candles?interval={interval}");
            let candles = all(api, &path).await;
            let bets: u64 = candles
                .iter()
                .map(|candle| candle["bets"].as_u64().unwrap())
                .sum();
            let staked = sum(candles.iter(), "staked");
            assert_eq!(
                (bets, staked),
                expected.bets(market),
                "market {index}, {interval}"
            );
            let times: Vec<_> = candles
                .iter()
                .map(|candle| candle["from"].as_str().unwrap())
                .collect();
            assert!(times.is_sorted_by(|a, b| b < a), "{times:?}");
        }
    }
    let late = api.fixture.markets[LATE_MARKET];
    let path = format!("/api/v1/markets/{late}/candles?interval=1d&limit=1");
    let candle = &api.get_ok(&path).await["items"][0];
    // 8 of 11 tokens are on outcome 0.
    assert_eq!(candle["outcomes"][0]["close"], "0.727272");
    assert_eq!(candle["outcomes"][2]["high"], "0");
}

async fn the_calendar_is_in_order(api: &ApiFixture) {
    let model = client_model(api).await;
    let late = api.fixture.markets[LATE_MARKET].to_string();
    let closes = model.window_start(LATE_WINDOW).unwrap();
    let dates = all(api, "/api/v1/calendar?from=2020-01-01T00:00:00Z").await;
    let of = |kind: &str| {
        let found: Vec<_> = dates.iter().filter(|date| date["kind"] == kind).collect();
        found
            .into_iter()
            .map(|date| date["address"].clone())
            .collect::<Vec<_>>()
    };
    let times: Vec<_> = dates
        .iter()
        .map(|date| date["time"].as_str().unwrap().to_owned())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(of("market_closes").contains(&json!(late)), "{dates:?}");
    assert_eq!(of("withdrawal_lapses").len(), 1, "{dates:?}");
    assert!(of("window_ends").is_empty());

    let time = |secs: i64| {
        let time = sqlx::types::chrono::DateTime::from_timestamp(secs, 0).unwrap();
        time.to_rfc3339().replace("+00:00", "Z")
    };
    let (from, until) = (time(closes), time(closes + 2 * model.window_secs));
    let of_model = format!("model={}&from={from}&until={until}", api.fixture.model);
    let dates = all(api, &format!("/api/v1/calendar?{of_model}")).await;
    let found: Vec<_> = dates
        .iter()
        .map(|date| (date["kind"].as_str().unwrap(), date["window"].as_str()))
        .collect();
    let window = |number: u64| number.to_string();
    let due = LATE_WINDOW - 1 - model.submit_secs as u64 / model.window_secs as u64;
    let (ended, next) = (window(LATE_WINDOW - 1), window(LATE_WINDOW));
    let (first_due, next_due) = (window(due), window(due + 1));
    assert_eq!(
        found,
        [
            ("market_closes", None),
            ("window_ends", Some(ended.as_str())),
            ("window_due", Some(first_due.as_str())),
            ("window_ends", Some(next.as_str())),
            ("window_due", Some(next_due.as_str())),
        ]
    );
}

async fn totals_match_the_events(api: &ApiFixture, expected: &Expected) {
    let stats = api.get_ok("/api/v1/analytics/platform/stats").await;
    for period in ["day", "week", "all"] {
        let of_token = &stats[period][0];
        assert_eq!(number(&of_token["staked"]), expected.volume(), "{stats}");
        assert_eq!(number(&of_token["deposited"]), i128::from(CAPITAL));
    }
    let performance = api
        .get_ok("/api/v1/analytics/markets/performance?period=week")
        .await;
    let of_token = &performance["tokens"][0];
    assert_eq!(
        number(&of_token["created"]),
        api.fixture.markets.len() as i128
    );
    assert_eq!(number(&of_token["claims"]), expected.claims() as i128);
    assert_eq!(of_token["sale_price"], "0.9");
}

async fn a_wallet_can_be_synced(api: &ApiFixture) {
    let wallet = api.fixture.bettors[0].pubkey();
    let url = format!("{}/api/v1/wallet/{wallet}/sync", api.url);
    let response = reqwest::Client::new().post(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["accounts"], &body["truncated"]),
        (&json!(1), &json!(false))
    );
    let pool = api.fixture.network.database().await;
    wait_for("the requests' end", Duration::from_secs(20), async || {
        let left: i64 = sqlx::query_scalar("select count(*) from app.refetch")
            .fetch_one(&pool)
            .await
            .ok()?;
        (left == 0).then_some(())
    })
    .await;
}
