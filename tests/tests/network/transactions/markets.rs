//! Two wallets trade in a market.

use std::time::Duration;

use driftshield_sdk::{Market, Model, Position, address, rpc::Signer};
use driftshield_tests::{network::wait_for, world::TOKEN};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    oracle::{Oracle, model, wait_until},
    wallet::{FUNDS, Wallet, bound, created, decode, event},
};
use crate::api_fixture::ApiFixture;

/// Windows between now and the one on which the market is.
const WINDOWS_AHEAD: u64 = 25;

async fn market(api: &ApiFixture, market: &str) -> Market {
    let client = &api.fixture.network.client;
    client.get(&market.parse().unwrap()).await.unwrap()
}

/// A market on a window that begins in less than a minute, and the window.
async fn open_market(api: &ApiFixture, creator: &Wallet<'_>) -> (String, u64) {
    let state = model(&api.fixture).await;
    let now = api.fixture.network.client.unix_timestamp().await.unwrap();
    let window = state.next_window(now) + WINDOWS_AHEAD;
    let request = json!({
        "model": api.fixture.model.to_string(),
        "question": "Will it drift?",
        "thresholds": ["200000"],
        "aggregate": "max",
        "first_window": window.to_string(),
        "last_window": window.to_string(),
        "creator_fee_bps": 100,
    });
    let mut low = request.clone();
    low["thresholds"] = json!(["1"]);
    assert_eq!(
        creator.post_refused("/markets", low).await,
        "BelowNoiseFloor"
    );
    let reply = creator.post("/markets", request).await;
    let key = created(&reply, "market");
    let market = market(api, &key).await;
    assert_eq!(market.creator, creator.key.pubkey());
    assert_eq!(market.close_ts, state.window_start(window).unwrap());
    assert_eq!(market.min_observed, 1);
    (key, window)
}

/// The wallet bets with the tightest bounds, which land, while tighter ones are refused.
async fn bet(api: &ApiFixture, wallet: &Wallet<'_>, key: &str, outcome: u8, amount: u64) {
    let path = format!("/markets/{key}/bet");
    let request = json!({ "outcome": outcome, "amount": amount.to_string() });
    let (status, proposed) = wallet.request(Method::POST, &path, request.clone()).await;
    assert_eq!(status, StatusCode::OK, "{proposed}");
    let least = bound(&proposed, "min_multiple");
    let mut tighter = request.clone();
    tighter["min_multiple"] = json!((least + 1).to_string());
    assert_eq!(wallet.post_refused(&path, tighter).await, "MultipleTooLow");
    let highest = bound(&proposed, "max_rent");
    if 0 < highest {
        let mut tighter = request.clone();
        tighter["max_rent"] = json!((highest - 1).to_string());
        assert_eq!(wallet.post_refused(&path, tighter).await, "RentTooHigh");
    }
    let reply = wallet.post(&path, request).await;
    let placed = event(&reply, "BetPlaced");
    assert_eq!(
        placed["multiple"],
        bound(&reply, "min_multiple").to_string()
    );
    let state = market(api, key).await;
    let multiple = state.multiple(usize::from(outcome));
    assert_eq!(multiple, bound(&reply, "min_multiple"));
    let summary = reply["summary"].as_str().unwrap();
    assert!(summary.starts_with("Bets "), "{summary}");
}

/// The seller offers 2 tokens of its stake, and the buyer takes 1.5 of them from the cheapest ask.
async fn sell(api: &ApiFixture, seller: &Wallet<'_>, buyer: &Wallet<'_>, key: &str) {
    let asks = format!("/markets/{key}/asks");
    let ask = |amount: u64| json!({ "outcome": 0, "amount": amount.to_string(), "price": 900 });
    let too_much = seller.post_refused(&asks, ask(6 * TOKEN)).await;
    assert_eq!(too_much, "AskAboveStake");
    seller.post(&asks, ask(2 * TOKEN)).await;

    let buy = format!("/markets/{key}/buy");
    let purchase = |amount: u64| json!({ "outcome": 0, "amount": amount.to_string() });
    let mut of_seller = purchase(3 * TOKEN);
    of_seller["seller"] = json!(seller.address());
    assert_eq!(buyer.post_refused(&buy, of_seller).await, "AboveAsk");
    let mut dear = purchase(TOKEN);
    dear["seller"] = json!(seller.address());
    dear["max_price"] = json!(899);
    assert_eq!(buyer.post_refused(&buy, dear).await, "PriceTooHigh");

    // The mirror has to know of the ask before it can say who asks least.
    let (before, amount) = (seller.tokens().await, 3 * TOKEN / 2);
    let reply = wait_for("the ask", Duration::from_secs(20), async || {
        let (status, reply) = buyer.request(Method::POST, &buy, purchase(amount)).await;
        (status == StatusCode::OK).then_some(reply)
    })
    .await;
    assert_eq!(bound(&reply, "max_price"), 900);
    buyer.sign_and_send(&reply).await;
    assert_eq!(seller.tokens().await - before, amount * 9 / 10);
    let stakes = async |owner: &Wallet<'_>| {
        let position = address::position(&key.parse().unwrap(), &owner.key.pubkey());
        let client = &api.fixture.network.client;
        client.get::<Position>(&position).await.unwrap().stakes
    };
    assert_eq!(stakes(seller).await[0], 7 * TOKEN / 2);
    assert_eq!(stakes(buyer).await[0], amount);

    // The rest of the ask is taken back
    let nothing = json!({ "outcome": 0, "amount": "0" });
    let reply = seller.post(&asks, nothing).await;
    assert!(reply["summary"].as_str().unwrap().starts_with("Removes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_trades_in_a_market_with_the_api_and_its_key_alone() {
    let api = ApiFixture::start().await;
    let [creator, seller, buyer] = [
        Wallet::funded(&api).await,
        Wallet::funded(&api).await,
        Wallet::funded(&api).await,
    ];
    let _oracle = Oracle::start(&api.fixture);
    let (key, window) = open_market(&api, &creator).await;
    let path = |name: &str| format!("/markets/{key}/{name}");

    // Given bets on both outcomes, and a sale
    refuse_bets(&api, &seller, &path("bet")).await;
    bet(&api, &seller, &key, 0, 5 * TOKEN).await;
    bet(&api, &buyer, &key, 1, 3 * TOKEN).await;
    sell(&api, &seller, &buyer, &key).await;
    assert_eq!(
        seller.post_refused(&path("resolve"), json!({})).await,
        "WindowUndecided"
    );
    assert_eq!(
        seller.post_refused(&path("claim"), json!({})).await,
        "MarketNotSettled"
    );

    // When the window is measured, then a late bet is refused, and anyone settles the market
    let state: Model = model(&api.fixture).await;
    wait_until(&api.fixture, state.window_start(window).unwrap()).await;
    let late = json!({ "outcome": 0, "amount": TOKEN.to_string() });
    assert_eq!(
        seller.post_refused(&path("bet"), late).await,
        "BettingClosed"
    );
    let reply = wait_for("the window", Duration::from_secs(60), async || {
        let (path, body) = (path("resolve"), json!({}));
        let (status, reply) = creator.request(Method::POST, &path, body).await;
        (status == StatusCode::OK).then_some(reply)
    })
    .await;
    creator.sign_and_send(&reply).await;
    let summary = reply["summary"].as_str().unwrap();
    assert!(summary.contains("resolves to outcome 0"), "{summary}");
    assert_eq!(
        seller.post_refused(&path("resolve"), json!({})).await,
        "MarketSettled"
    );

    // and both are paid what the simulation says
    let mut paid = 0;
    for wallet in [&seller, &buyer] {
        let before = wallet.tokens().await;
        let reply = wallet.post(&path("claim"), json!({})).await;
        let payout: u64 = event(&reply, "Claimed")["paid"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(wallet.tokens().await - before, payout);
        paid += payout;
        let (status, problem) = wallet
            .request(Method::POST, &path("claim"), json!({}))
            .await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    }
    let fees = 3 * TOKEN * 3 / 100; // 2% and 1% of the losing stakes
    assert!((8 * TOKEN - fees).abs_diff(paid) <= 2, "{paid}");
    assert!(FUNDS < seller.tokens().await);
}

/// Bets that are refused before they are built, in their simulation, and by other programs.
async fn refuse_bets(api: &ApiFixture, wallet: &Wallet<'_>, path: &str) {
    let bet = |outcome: u8, amount: &str| json!({ "outcome": outcome, "amount": amount });
    assert_eq!(
        wallet.post_refused(path, bet(9, "1000000")).await,
        "NoSuchOutcome"
    );
    assert_eq!(wallet.post_refused(path, bet(0, "1")).await, "BetTooSmall");
    let dear = wallet.fails(path, bet(0, &(2 * FUNDS).to_string())).await;
    assert!(dear.contains("insufficient tokens"), "{dear}");
    for (request, expected, named) in [
        (bet(0, "0"), StatusCode::UNPROCESSABLE_ENTITY, "`amount`"),
        (json!({ "outcome": 0 }), StatusCode::BAD_REQUEST, "amount"),
        (
            json!({ "outcome": 300, "amount": "1" }),
            StatusCode::BAD_REQUEST,
            "outcome",
        ),
        (
            json!({ "outcome": 0, "amount": 1 }),
            StatusCode::BAD_REQUEST,
            "amount",
        ),
        (
            json!({ "outcome": 0, "amount": "1", "colour": 1 }),
            StatusCode::BAD_REQUEST,
            "colour",
        ),
    ] {
        let (status, problem) = wallet.request(Method::POST, path, request).await;
        assert_eq!(status, expected, "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{detail}");
    }
    // A wallet with tokens and no SOL
    let poor = Wallet::empty(api);
    let detail = poor.fails(path, bet(0, "1000000")).await;
    assert!(detail.contains("insufficient tokens"), "{detail}");
    let resolve = path.replace("/bet", "/resolve");
    let (status, problem) = poor.request(Method::POST, &resolve, json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        problem["detail"].as_str().unwrap().contains("has no SOL"),
        "{problem}"
    );
    // An account that is no market
    let model = format!("/markets/{}/bet", api.fixture.model);
    let (status, problem) = wallet
        .request(Method::POST, &model, bet(0, "1000000"))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("is a Model, not a Market")
    );
}

/// The transaction of an answer needs no signature but the wallet's.
#[tokio::test(flavor = "multi_thread")]
async fn bounds_hold_back_a_bet_that_others_overtake() {
    let api = ApiFixture::start().await;
    let [creator, first, second] = [
        Wallet::funded(&api).await,
        Wallet::funded(&api).await,
        Wallet::funded(&api).await,
    ];
    let (key, _) = open_market(&api, &creator).await;
    let path = format!("/markets/{key}/bet");
    let on = |outcome: u8| json!({ "outcome": outcome, "amount": TOKEN.to_string() });
    first.post(&path, on(0)).await;
    second.post(&path, on(1)).await;

    // Given a bet that was built, when another lands first
    let (status, overtaken) = first.request(Method::POST, &path, on(0)).await;
    assert_eq!(status, StatusCode::OK, "{overtaken}");
    second.post(&path, on(0)).await;

    // Then it would fail by its bound, and another that is built now lands
    let transaction = decode(&overtaken["transaction"]);
    let client = &api.fixture.network.client;
    let slot = api.current_slot().await;
    let simulated = client
        .simulate_message(transaction.message, slot)
        .await
        .unwrap();
    let failure = simulated.failure.expect("a refusal");
    let known = failure.code().and_then(driftshield_sdk::error::by_code);
    assert_eq!(known.unwrap().name, "MultipleTooLow");
    let again: Value = first.post(&path, on(0)).await;
    assert!(bound(&again, "min_multiple") < bound(&overtaken, "min_multiple"));
}
