//! Traffic of which a decoder can lack some events and accounts.

use driftshield_sdk::{
    Address, Aggregate, Collateral, DepositLimits, Instruction, Market, MarketTerms, Model,
    TokenProgram, Vault, address, instruction,
    rpc::{Keypair, Signer},
};
use driftshield_tests::{insurance::vault_terms, network::fixture::Fixture, world::TOKEN};
use sqlx::PgPool;

use super::older::Older;

/// A window that begins ten minutes after the first one.
const LATE_WINDOW: u64 = 300;
const COOLDOWN_SECS: i64 = 600;

/// What was created.
pub struct Traffic {
    /// A market with bets and a sale.
    busy: Address,
    /// A market that was cancelled.
    cancelled: Address,
    /// A market that was created and cancelled in one transaction.
    brief: Address,
    /// A market that is open.
    open: Address,
    vault: Address,
    model: Address,
}

async fn send(fixture: &Fixture, signer: &Keypair, instructions: &[Instruction]) {
    let client = &fixture.network.client;
    client.send(instructions, &[signer]).await.unwrap();
}

impl Traffic {
    pub async fn play(fixture: &mut Fixture) -> Self {
        for _ in 0..3 {
            fixture.create_market(LATE_WINDOW).await;
        }
        let fixture = &*fixture;
        let [busy, cancelled, open] = fixture.markets[2..] else {
            panic!("the fixture has other markets");
        };
        for (bettor, outcome) in [(0, 0), (1, 1), (2, 2), (3, 0), (1, 2)] {
            fixture.place_bet(2, bettor, outcome).await;
        }
        fixture.sell(2, [2, 3], 2, TOKEN).await; // all of it
        fixture.sell(2, [0, 3], 0, TOKEN / 2).await;
        for (bettor, outcome) in [(0, 1), (3, 2)] {
            fixture.place_bet(2, bettor, outcome).await;
        }
        let client = &fixture.network.client;
        let state: Market = client.get(&cancelled).await.unwrap();
        let cancel = instruction::cancel_market(cancelled, &state, true);
        send(fixture, &fixture.creator, &[cancel]).await;
        Self {
            busy,
            cancelled,
            brief: create_and_cancel(fixture, &state).await,
            open,
            vault: fund_vault(fixture).await,
            model: fixture.model,
        }
    }

    /// Turns events into what a decoder leaves that does not know them. Returns their ids.
    pub async fn forget_events(&self, pool: &PgPool) -> Vec<i64> {
        let older = Older::new(pool);
        let mut forgotten = vec![];
        for (name, account, place) in [
            ("BetPlaced", self.busy, 1),
            ("BetPlaced", self.busy, 2),
            ("PositionBought", self.busy, 0),
            ("PositionBought", self.busy, 1),
            ("MarketCancelled", self.cancelled, 0),
            ("MarketCreated", self.brief, 0),
            ("MarketCancelled", self.brief, 0),
            ("MarketCreated", self.open, 0),
            ("Deposited", self.vault, 0),
            ("Deposited", self.vault, 2),
            ("WithdrawRequested", self.vault, 0),
            ("WithdrawCancelled", self.vault, 0),
        ] {
            forgotten.push(older.event(name, &account, place).await);
        }
        for id in &forgotten {
            older.forget_event(*id).await;
        }
        older.forget_odds_after(forgotten[0], &self.busy).await;
        for market in [self.cancelled, self.brief] {
            older.forget_cancellation(&market).await;
        }
        older.forget_sale(&self.busy).await;
        older.forget_request(&self.vault).await;
        older.forget_life(&self.brief).await;
        older.rename_life(&self.open).await;
        forgotten
    }

    /// Turns accounts into what a decoder leaves that does not know them, and removes rows that Postgres
    /// could have refused.
    pub async fn forget_accounts(&self, pool: &PgPool) {
        let older = Older::new(pool);
        older.make_stale("model", &self.model).await;
        older.make_stale("vault", &self.vault).await;
        older.make_unknown("seat").await;
        older.make_unknown("config").await;
        older.refuse_asks(&self.busy).await;
        older.refuse_parties(&self.busy).await;
    }
}

/// Creates and cancels a market in one transaction. `other` is a market with the same token.
async fn create_and_cancel(fixture: &Fixture, other: &Market) -> Address {
    let creator = fixture.creator.pubkey();
    let id = 1_000;
    let brief = address::market(&creator, id);
    let model: Model = fixture.network.client.get(&fixture.model).await.unwrap();
    let terms = MarketTerms {
        model_version: model.version,
        thresholds: vec![200_000, 500_000],
        aggregate: Aggregate::Max,
        first_window: LATE_WINDOW,
        last_window: LATE_WINDOW,
        min_observed: 1,
        close_ts: model.window_start(LATE_WINDOW).unwrap(),
        creator_fee_bps: 100,
        question: "created and cancelled at once".into(),
    };
    let state = Market {
        vault: address::market_vault(&brief),
        ..*other
    };
    let both = [
        instruction::create_market(creator, id, fixture.model, &model, terms),
        instruction::cancel_market(brief, &state, true),
    ];
    send(fixture, &fixture.creator, &both).await;
    brief
}

/// Creates a vault with three deposits, of which a withdrawal is requested and cancelled.
async fn fund_vault(fixture: &Fixture) -> Address {
    let client = &fixture.network.client;
    let owner = &fixture.bettors[0];
    let key = owner.pubkey();
    let model: Model = client.get(&fixture.model).await.unwrap();
    let collateral = address::collateral(&model.bond_mint);
    let collateral: Collateral = client.get(&collateral).await.unwrap();
    let terms = vault_terms();
    let create = instruction::create_vault(key, 1, &collateral, COOLDOWN_SECS, 0, terms);
    send(fixture, owner, &[create]).await;
    let vault = address::vault(&key, 1);
    for deposit in 0..3 {
        let state: Vault = client.get(&vault).await.unwrap();
        let source = address::token_account(&key, &state.mint, TokenProgram::SplToken);
        let limits = DepositLimits::as_read(&state, 0);
        let mut instructions = vec![];
        if deposit == 0 {
            instructions.push(instruction::create_share_account(&key, &key, &state));
        }
        let amount = 100 * TOKEN + deposit;
        instructions.push(instruction::deposit(
            key, vault, &state, source, amount, limits,
        ));
        send(fixture, owner, &instructions).await;
    }
    let state: Vault = client.get(&vault).await.unwrap();
    let request = instruction::request_withdraw(key, vault, &state, state.shares / 2);
    send(fixture, owner, &[request]).await;
    let cancel = instruction::cancel_withdraw(key, vault, &state);
    send(fixture, owner, &[cancel]).await;
    vault
}
