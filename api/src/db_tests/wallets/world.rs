//! A wallet, the 20th, with a part in everything. Amounts are in base units of one token.

use driftshield_sdk::{
    Account, AccountKind, Address, Ask, Event, FeePayee, Market, MarketState, PotTotals,
    RewardPayee, VaultTotals,
    events::{
        BetPlaced, Claimed, Deposited, FeesCollected, PositionBought, RewardCollected,
        WithdrawRequested, Withdrawn,
    },
};
use sqlx::postgres::PgConnectOptions;

use crate::db_tests::{address, chain::Chain};

/// Markets: resolved, void and open.
const RESOLVED: u8 = 10;
const VOID: u8 = 11;
const OPEN: u8 = 12;
/// Vaults: one with the wallet's shares, one that the wallet manages, and a closed one.
const VAULT: u8 = 10;
const MANAGED: u8 = 11;
const CLOSED: u8 = 12;
/// Model, with the wallet as its oracle.
const MODEL: u8 = 10;

pub struct World;

impl World {
    /// Stores the wallet's accounts and events.
    pub async fn store(options: &PgConnectOptions) {
        let mut chain = Chain::connect(options).await;
        chain.run(ROWS).await;
        store_markets(&mut chain).await;
        store_vaults(&mut chain).await;
        store_model(&mut chain).await;
        for (slot, event) in (1_701..).zip(events()) {
            // The event doesn't name the market's creator.
            let creator = [(wallet(), "creator")];
            let is_fee = matches!(event, Event::FeesCollected(_));
            let unnamed = if is_fee { &creator[..] } else { &[] };
            chain.event(slot, &event, unnamed).await;
        }
    }
}

/// What the tables say of the accounts, as far as it is read.
const ROWS: &str = r#"
insert into chain.market (address, life, is_current, status, creator, model, mint, total, creator_credit)
values
  (key(4, 10), id(1650, 0), true, 'resolved', key(9, 20), key(2, 10), key(1, 1), 4000000, 30000),
  (key(4, 11), id(1650, 1), true, 'void', key(9, 5), key(2, 10), key(1, 1), 600000, 0),
  (key(4, 12), id(1650, 2), true, 'open', key(9, 5), key(2, 10), key(1, 1), 4000000, 0);
insert into chain.position (address, life, is_current, ended_slot, status, payout, market, owner, stakes)
values
  (key(5, 10), id(1704, 0), true, null, 'open', null, key(4, 10), key(9, 20), '{0, 500000, 0}'),
  (key(5, 11), id(1701, 0), true, 1709, 'claimed', 600000, key(4, 11), key(9, 20), '{300000, 300000, 0}'),
  (key(5, 12), id(1705, 0), true, null, 'open', null, key(4, 12), key(9, 20), '{0, 1000000, 0}');
insert into chain.vault (address, life, is_current, ended_slot, manager, mint)
values
  (key(6, 10), id(1660, 0), true, null, key(9, 7), key(1, 1)),
  (key(6, 11), id(1660, 1), true, null, key(9, 20), key(1, 1)),
  (key(6, 12), id(1660, 2), true, 1720, key(9, 7), key(1, 1));
insert into chain.withdraw_request (address, life, is_current, status, vault, owner)
values (key(8, 10), id(1710, 0), true, 'open', key(6, 10), key(9, 20));
insert into chain.policy (address, life, is_current, status, vault, model, holder)
values (key(10, 10), id(1670, 0), true, 'open', key(6, 10), key(2, 10), key(9, 20));
insert into chain.model (address, life, is_current, status, bond_mint)
values (key(2, 10), id(1640, 0), true, 'active', key(1, 1));
insert into chain.seat (address, life, is_current, model, oracle)
values (key(13, 10), id(1641, 0), true, key(2, 10), key(9, 20));
insert into chain.receipt (address, life, is_current, status, model, challenger, challenger_credit)
values (key(11, 10), id(1642, 0), true, 'final', key(2, 10), key(9, 20), 9000);
insert into chain.hourly (kind, subject, mint, hour, bets, staked, rents, sales, sold, sold_for, purchases, bought,
  bought_for, claims, settled, payouts)
values ('wallet', key(9, 20), key(1, 1), '2026-01-01 07:00:00Z', 5, 2250000, 45000, 1, 250000, 225000, 1, 100000,
  80000, 1, 600000, 600000);
insert into chain.hourly (kind, subject, mint, hour, policies, premiums, cover_claims, cover_paid, refunds)
values ('wallet', key(9, 20), key(1, 1), '2025-12-01 07:00:00Z', 1, 30000, 1, 100000, 5000);
"#;

fn wallet() -> Address {
    address(9, 20)
}

/// A market with stakes of 3,000,000 and 1,000,000.
fn market(state: MarketState) -> Market {
    let Account::Market(mut market) = Account::zeroed(AccountKind::Market) else {
        unreachable!()
    };
    market.mint = address(1, 1);
    market.state = state.into();
    (market.pools[0], market.pools[1]) = (3_000_000, 1_000_000);
    (market.total, market.owed) = (4_000_000, 4_000_000);
    (market.protocol_fee_bps, market.creator_fee_bps) = (200, 100);
    (market.threshold_count, market.positions) = (2, 5);
    *market
}

async fn store_markets(chain: &mut Chain) {
    let mut resolved = market(MarketState::Resolved);
    (resolved.outcome, resolved.winnings) = (1, 2_910_000);
    (resolved.creator, resolved.creator_credit) = (wallet(), 30_000);
    let open = market(MarketState::Open);
    for (number, market, stake) in [(RESOLVED, resolved, 500_000), (OPEN, open, 1_000_000)] {
        let market = Account::Market(Box::new(market));
        chain.account(address(4, number), &market).await;
        let mut position = Account::zeroed(AccountKind::Position);
        if let Account::Position(position) = &mut position {
            (position.market, position.owner) = (address(4, number), wallet());
            position.stakes[1] = stake;
        }
        chain.account(address(5, number), &position).await;
    }
}

async fn store_vaults(chain: &mut Chain) {
    let mut vault = Account::zeroed(AccountKind::Vault);
    if let Account::Vault(vault) = &mut vault {
        (vault.mint, vault.decimals) = (address(1, 1), 6);
        (vault.assets, vault.leaving) = (2_300_000, 199_999);
        (vault.leaving_index, vault.shares) = (1_000_000_000, 1_750_000_000);
    }
    chain.account(address(6, VAULT), &vault).await;
    let mut managed = Account::zeroed(AccountKind::Vault);
    if let Account::Vault(vault) = &mut managed {
        (vault.mint, vault.decimals) = (address(1, 1), 6);
        (vault.manager, vault.manager_credit) = (wallet(), 4_000);
    }
    chain.account(address(6, MANAGED), &managed).await;
    let mut request = Account::zeroed(AccountKind::WithdrawRequest);
    if let Account::WithdrawRequest(request) = &mut request {
        (request.vault, request.owner) = (address(6, VAULT), wallet());
        (request.value, request.index) = (199_999, 1_000_000_000);
    }
    chain.account(address(8, 10), &request).await;
    let mut policy = Account::zeroed(AccountKind::Policy);
    if let Account::Policy(policy) = &mut policy {
        (policy.vault, policy.holder) = (address(6, VAULT), wallet());
        (policy.cover, policy.paid, policy.worth) = (500_000, 100_000, 250_000);
    }
    chain.account(address(10, 10), &policy).await;
}

async fn store_model(chain: &mut Chain) {
    let mut model = Account::zeroed(AccountKind::Model);
    if let Account::Model(model) = &mut model {
        (model.bond_mint, model.oracle_count) = (address(1, 1), 1);
        model.oracles[0] = wallet();
        (model.rewards[0], model.penalties[0]) = (7_000, 1_000);
    }
    chain.account(address(2, MODEL), &model).await;
    let mut seat = Account::zeroed(AccountKind::Seat);
    if let Account::Seat(seat) = &mut seat {
        (seat.model, seat.oracle) = (address(2, MODEL), wallet());
        (seat.bonded, seat.unbonding) = (50_000, 20_000);
    }
    chain.account(address(13, 10), &seat).await;
    let mut receipt = Account::zeroed(AccountKind::Receipt);
    if let Account::Receipt(receipt) = &mut receipt {
        (receipt.model, receipt.challenger) = (address(2, MODEL), wallet());
        receipt.challenger_credit = 9_000;
    }
    chain.account(address(11, 10), &receipt).await;
}

/// The wallet's events, of which each has a slot.
fn events() -> Vec<Event> {
    vec![
        bet(VOID, 100_000, 2_000),
        bet(VOID, 200_000, 4_000),
        bet(VOID, 300_000, 6_000),
        bet(RESOLVED, 400_000, 8_000),
        bet(OPEN, 1_250_000, 25_000),
        deposited(VAULT, 1_000_000, 1_000_000_000),
        sale(OPEN, wallet(), address(9, 21), 250_000, 225_000),
        sale(RESOLVED, address(9, 21), wallet(), 100_000, 80_000),
        claimed(VOID, 600_000),
        requested(VAULT, 250_000_000, 299_999),
        withdrawn(VAULT, 100_000, 199_999),
        deposited(CLOSED, 10_000, 10_000_000),
        requested(CLOSED, 10_000_000, 12_000),
        withdrawn(CLOSED, 12_000, 0),
        Event::FeesCollected(FeesCollected {
            market: address(4, RESOLVED),
            market_seq: 9,
            payee: FeePayee::Creator,
            destination: address(0, 6),
            amount: 5_000,
            owed: 0,
        }),
        Event::RewardCollected(RewardCollected {
            model: address(2, MODEL),
            model_seq: 9,
            payee: RewardPayee::Oracle,
            oracle: wallet(),
            destination: address(0, 6),
            amount: 2_500,
            totals: NO_POT,
        }),
    ]
}

const NO_POT: PotTotals = PotTotals {
    held: 0,
    waiting: 0,
    unearned: 0,
    until: 0,
};

fn bet(market: u8, amount: u64, rent: u64) -> Event {
    Event::BetPlaced(BetPlaced {
        market: address(4, market),
        market_seq: 2,
        position: address(5, market),
        position_seq: 1,
        model: address(2, MODEL),
        model_seq: 3,
        owner: wallet(),
        outcome: 1,
        amount,
        stake: amount,
        pool: amount,
        total: amount,
        multiple: 1_000,
        market_risk: 0,
        exposure: 1,
        rent,
        pot: NO_POT,
    })
}

fn sale(market: u8, seller: Address, buyer: Address, amount: u64, paid: u64) -> Event {
    Event::PositionBought(PositionBought {
        market: address(4, market),
        market_seq: 4,
        seller_position: address(5, 20),
        seller_position_seq: 2,
        position: address(5, 21),
        position_seq: 1,
        seller,
        buyer,
        destination: address(0, 6),
        outcome: 1,
        amount,
        price: 900,
        paid,
        stake: amount,
        seller_stake: 0,
        seller_ask: Ask::default(),
        seller_total: 0,
        positions: 2,
    })
}

fn claimed(market: u8, paid: u64) -> Event {
    Event::Claimed(Claimed {
        market: address(4, market),
        market_seq: 5,
        position: address(5, market),
        position_seq: 4,
        owner: wallet(),
        destination: address(0, 6),
        paid,
        owed: 0,
        positions: 0,
    })
}

fn deposited(vault: u8, amount: u64, shares: u64) -> Event {
    Event::Deposited(Deposited {
        vault: address(6, vault),
        vault_seq: 2,
        owner: wallet(),
        amount,
        shares,
        totals: VaultTotals::default(),
    })
}

fn requested(vault: u8, shares: u64, value: u64) -> Event {
    Event::WithdrawRequested(WithdrawRequested {
        vault: address(6, vault),
        vault_seq: 3,
        request: address(8, vault),
        request_seq: 1,
        owner: wallet(),
        shares,
        value,
        unlock_at: 0,
        lapses_at: 0,
        totals: VaultTotals::default(),
    })
}

fn withdrawn(vault: u8, amount: u64, value: u64) -> Event {
    Event::Withdrawn(Withdrawn {
        vault: address(6, vault),
        vault_seq: 4,
        request: address(8, vault),
        request_seq: 2,
        owner: wallet(),
        destination: address(0, 6),
        amount,
        value,
        shares: 0,
        is_short: false,
        reserved_until: 0,
        totals: VaultTotals::default(),
    })
}
