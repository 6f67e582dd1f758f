//! Scenes in which an account is closed because everything in it was paid or sold.

use std::time::Duration;

use driftshield_sdk::{
    Address, Ask, Collateral, DepositLimits, Market, TokenProgram, Vault, address,
    instruction::{self, Bet, Purchase},
    rpc::{Keypair, Signer},
};
use driftshield_tests::{
    insurance::brief_vault_terms,
    network::{relay::relay, wait_for},
    world::TOKEN,
};

use super::{
    expected::{CANCELLED, CREATED, Expected, Life, Listed, PaidLife},
    stage::{Sent, Stage},
};

/// Bettors of the fixture.
const SELLER: usize = 0;
const BUYER: usize = 1;
const CLAIMANT: usize = 2;
const PROVIDER: usize = 3;
const CAPITAL: u64 = 1_000 * TOKEN;
const COOLDOWN_SECS: i64 = 1;

/// A position of which all stakes are sold is closed.
pub async fn sold_and_bet_again(stage: &Stage, expected: &mut Expected) {
    let client = &stage.fixture.network.client;
    let (seller, buyer) = (
        &stage.fixture.bettors[SELLER],
        &stage.fixture.bettors[BUYER],
    );
    let number = stage.new_market();
    let created = stage.send(&[stage.create(number, "first")]).await;
    let market = stage.address(number);
    let state: Market = client.get(&market).await.unwrap();
    let bet = |outcome, amount| {
        let source = tokens_of(seller, &state);
        let bet = Bet::unlimited(outcome, amount);
        instruction::place_bet(seller.pubkey(), market, &state, source, bet)
    };
    let now = client.unix_timestamp().await.unwrap();
    let ask = Ask {
        amount: TOKEN,
        valid_until: state.latest_ask_end(&stage.model, now).unwrap(),
        price: 900,
        reports: stage.model.reports,
    };
    let ask = instruction::set_ask(seller.pubkey(), market, &state, 0, ask);
    let began = stage.send_signed(&[bet(0, TOKEN), ask], &[seller]).await;

    let purchase = Purchase {
        outcome: 0,
        amount: TOKEN,
        max_price: 900,
        reports: stage.model.reports,
    };
    let source = tokens_of(buyer, &state);
    let (buyer_key, seller_key) = (buyer.pubkey(), seller.pubkey());
    let buy = instruction::buy_position(buyer_key, market, &state, source, seller_key, purchase);
    let again = [buy, bet(1, 2 * TOKEN)];
    let again = stage.send_signed(&again, &[buyer, seller]).await;

    let scene = "sold and bet again in one transaction";
    expected.paid(
        scene,
        address::position(&market, &seller_key),
        Listed::Market(market),
        &[
            PaidLife::position([0, 0, 0], &began).ended("sold", &again),
            PaidLife::position([0, 2 * TOKEN, 0], &again),
        ],
        &[
            ("BetPlaced", 1),
            ("AskSet", 2),
            ("PositionBought", 3),
            ("BetPlaced", 1),
        ],
    );
    expected.paid(
        scene,
        address::position(&market, &buyer_key),
        Listed::Market(market),
        &[PaidLife::position([TOKEN, 0, 0], &again)],
        &[("PositionBought", 1)],
    );
    expected.market(
        scene,
        market,
        &[Life::open("first", &created)],
        &[
            CREATED,
            ("BetPlaced", 2),
            ("AskSet", 3),
            ("PositionBought", 4),
            ("BetPlaced", 5),
        ],
    );
}

fn tokens_of(owner: &Keypair, market: &Market) -> Address {
    address::token_account(&owner.pubkey(), &market.mint, TokenProgram::SplToken)
}

/// A market with one bet, that will be void because its window gets no value.
pub struct VoidMarket {
    number: u64,
    created: Sent,
    bet: Sent,
}

/// Creates a market that closes in some ten seconds, and bets one token.
pub async fn open_void_market(stage: &Stage) -> VoidMarket {
    let client = &stage.fixture.network.client;
    let now = client.unix_timestamp().await.unwrap();
    let number = stage.new_market();
    let window = stage.model.windows_over(now + 10) + 1;
    let created = stage.create_on(number, "first", window);
    let created = stage.send(&[created]).await;
    let market = stage.address(number);
    let state: Market = client.get(&market).await.unwrap();
    let bettor = &stage.fixture.bettors[CLAIMANT];
    let source = tokens_of(bettor, &state);
    let bet = Bet::unlimited(1, TOKEN);
    let bet = instruction::place_bet(bettor.pubkey(), market, &state, source, bet);
    VoidMarket {
        number,
        created,
        bet: stage.send_signed(&[bet], &[bettor]).await,
    }
}

/// Settles a market, claims the stake inside a CPI, and closes the market. Then another one is
/// created and cancelled at its address.
pub async fn claimed_and_created_again(stage: &Stage, expected: &mut Expected, void: &VoidMarket) {
    let client = &stage.fixture.network.client;
    let market = stage.address(void.number);
    let state: Market = client.get(&market).await.unwrap();
    let settle = instruction::settle_market(market, &state);
    wait_for("the settlement", Duration::from_secs(60), async || {
        let settle = std::slice::from_ref(&settle);
        client.send(settle, &[&stage.creator]).await.ok()
    })
    .await;
    let owner = stage.fixture.bettors[CLAIMANT].pubkey();
    let claim = instruction::claim(owner, market, &state);
    let claimed = stage.send(&[relay(&[claim])]).await;
    let closed = stage
        .send(&[instruction::close_market(market, &state)])
        .await;
    let again = [
        stage.create(void.number, "second"),
        stage.cancel(void.number),
    ];
    let again = stage.send(&again).await;

    let scene = "settled, claimed, closed and created again";
    expected.market(
        scene,
        market,
        &[
            Life::open("first", &void.created).ended("void", &closed),
            Life::cancelled("second", &again, &again),
        ],
        &[
            CREATED,
            ("BetPlaced", 2),
            ("MarketSettled", 3),
            ("Claimed", 4),
            ("MarketClosed", 5),
            CREATED,
            CANCELLED,
        ],
    );
    let position = PaidLife::position([0, TOKEN, 0], &void.bet);
    expected.paid(
        scene,
        address::position(&market, &owner),
        Listed::Market(market),
        &[position.ended("claimed", &claimed).paid(TOKEN)],
        &[("BetPlaced", 1), ("Claimed", 2)],
    );
}

/// A withdrawal request is cancelled and made again in one transaction, and then paid inside a CPI.
pub async fn withdrawn(stage: &Stage, expected: &mut Expected) {
    let client = &stage.fixture.network.client;
    let owner = &stage.fixture.bettors[PROVIDER];
    let (key, id) = (owner.pubkey(), stage.new_market());
    let collateral = address::collateral(&stage.model.bond_mint);
    let collateral: Collateral = client.get(&collateral).await.unwrap();
    let create = instruction::create_vault(
        key,
        id,
        &collateral,
        COOLDOWN_SECS,
        0,
        brief_vault_terms(CAPITAL),
    );
    stage.send_signed(&[create], &[owner]).await;
    let vault = address::vault(&key, id);
    let state: Vault = client.get(&vault).await.unwrap();
    let source = address::token_account(&key, &state.mint, TokenProgram::SplToken);
    let limits = DepositLimits::as_read(&state, 0);
    let deposit = [
        instruction::create_share_account(&key, &key, &state),
        instruction::deposit(key, vault, &state, source, CAPITAL, limits),
    ];
    stage.send_signed(&deposit, &[owner]).await;

    let state: Vault = client.get(&vault).await.unwrap();
    let request = instruction::request_withdraw(key, vault, &state, state.shares / 2);
    let first = std::slice::from_ref(&request);
    let requested = stage.send_signed(first, &[owner]).await;
    let again = [instruction::cancel_withdraw(key, vault, &state), request];
    let again = stage.send_signed(&again, &[owner]).await;
    let unlocks = client.unix_timestamp().await.unwrap() + COOLDOWN_SECS;
    wait_for("the cooldown", Duration::from_secs(20), async || {
        (unlocks < client.unix_timestamp().await.unwrap()).then_some(())
    })
    .await;
    let paid = relay(&[instruction::withdraw(key, vault, &state)]);
    let paid = stage.send(&[paid]).await;
    expected.paid(
        "cancelled and requested again in one transaction",
        address::withdraw_request(&vault, &key),
        Listed::Vault(vault),
        &[
            PaidLife::request(&requested).ended("cancelled", &again),
            PaidLife::request(&again)
                .ended("paid", &paid)
                .paid(CAPITAL / 2),
        ],
        &[
            ("WithdrawRequested", 1),
            ("WithdrawCancelled", 2),
            ("WithdrawRequested", 1),
            ("Withdrawn", 2),
        ],
    );
}
