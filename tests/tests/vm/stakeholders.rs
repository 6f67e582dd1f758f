//! A fixture in which every role has funds at stake, and their orderly exit.

use driftshield_sdk::{
    Account, Address, FeePayee, ID, Instruction, MarketTerms, PremiumPayee, address, instruction,
};
use driftshield_tests::{insurance::*, world::*};

/// Drift of the shared window in [`Stakeholders::redeem`], in micro-units: outcome 1 wins, and half of
/// the cover is paid.
const DRIFT: u64 = 200_000;

/// A vault with capital and a policy, a market with bets on both outcomes, and bonded oracles. The
/// market and the policy depend on the same window.
#[derive(Clone)]
pub struct Stakeholders {
    pub insured: Insured,
    pub creator: Wallet,
    /// Bets on outcome 1: the drift reaches 0.2.
    pub winner: Wallet,
    /// Bets on outcome 0.
    pub loser: Wallet,
    /// Holds policy 1.
    pub holder: Wallet,
    pub market: Address,
    /// The only window of the market and the first window of the policy.
    pub window: u64,
}

impl Stakeholders {
    pub fn new() -> Self {
        Self::around(Insured::new())
    }

    /// Adds a policy and a market to a vault with capital.
    pub fn around(mut insured: Insured) -> Self {
        let [creator, winner, loser, holder] =
            [(); 4].map(|()| insured.world.wallet(1_000 * TOKEN));
        insured.buy(&holder, 1, insured.terms()).unwrap();
        let window = insured.policy(&holder, 1).first_window;
        let terms = market_terms_on(&insured.world, &insured.model, window, window);
        let world = &mut insured.world;
        let market = world.create_market(&insured.model, &creator, 1, terms);
        let market = market.unwrap();
        world.bet(&market, &winner, 1, 30 * TOKEN).unwrap();
        world.bet(&market, &loser, 0, 50 * TOKEN).unwrap();
        Self {
            insured,
            creator,
            winner,
            loser,
            holder,
            market,
            window,
        }
    }

    /// Finalizes the windows before the shared window, without drift, and begins the policy.
    pub fn measure_history(&mut self) {
        while self.insured.window < self.window {
            self.insured.measure(CALM_DRIFT);
        }
        let holder = self.holder.clone();
        self.insured.begin(&holder, 1).unwrap();
    }

    /// Finalizes the shared window with `drift`, and the windows before it without.
    pub fn measure(&mut self, drift: u64) {
        self.measure_history();
        self.insured.measure(drift);
    }

    /// All token accounts of the program, with their balances.
    pub fn token_accounts(&self) -> Vec<(Address, u64)> {
        let world = &self.insured.world;
        let mut found = vec![];
        for (_, account) in world.accounts() {
            match account {
                Account::Collateral(collateral) => found.push(collateral.treasury),
                Account::Model(model) => found.push(model.bond_vault),
                Account::Market(market) => found.push(market.vault),
                Account::Vault(vault) => found.push(vault.tokens),
                _ => {}
            }
        }
        found
            .iter()
            .map(|account| (*account, world.tokens(account)))
            .collect()
    }

    fn send(&mut self, instruction: Instruction) {
        self.insured.world.send(instruction, &[]).unwrap();
    }

    /// Everybody [leaves](Self::leave). Returns the final token balance of every wallet, with its role.
    pub fn redeem(mut self) -> Vec<(&'static str, u64)> {
        self.leave();
        let world = &self.insured.world;
        let balances = self.wallets().into_iter();
        balances
            .map(|(name, wallet)| (name, world.tokens(&wallet.tokens)))
            .collect()
    }

    /// Settles, pays, collects and closes everything. Only the owners of shares and of bonds sign.
    pub fn leave(&mut self) {
        self.measure(DRIFT);
        self.close_market();
        let holder = self.holder.clone();
        self.insured.claim(&holder, 1).unwrap();
        let policy = self.insured.policy(&holder, 1);
        let expires = policy.expires_at(&self.insured.model()).unwrap();
        self.insured.world.warp_to(expires);
        let vault = self.insured.vault();
        self.send(instruction::expire_policy(&policy, &vault));
        self.close_vault();
        self.close_seats();
    }

    /// Everybody but the model's owner, with the role.
    pub fn wallets(&self) -> Vec<(&'static str, &Wallet)> {
        let mut all = vec![
            ("winner", &self.winner),
            ("loser", &self.loser),
            ("holder", &self.holder),
            ("creator", &self.creator),
            ("provider", &self.insured.lp),
            ("manager", &self.insured.manager),
        ];
        let oracles = self.insured.model.oracles.iter();
        all.extend(oracles.map(|oracle| ("oracle", oracle)));
        all
    }

    fn close_market(&mut self) {
        let market = self.market;
        let before = self.insured.world.market(&market);
        self.send(instruction::settle_market(market, &before));
        for owner in [self.winner.address(), self.loser.address()] {
            self.send(instruction::claim(owner, market, &before));
        }
        for payee in [FeePayee::Treasury, FeePayee::Creator] {
            self.send(instruction::collect_fees(market, &before, payee));
        }
        self.send(instruction::close_market(market, &before));
        assert!(!self.insured.world.exists(&market));
    }

    fn close_vault(&mut self) {
        let provider = self.insured.provider();
        self.insured.leave(&provider);
        let (address, model) = (self.insured.vault, self.insured.model.address);
        let vault = self.insured.vault();
        for payee in [PremiumPayee::Treasury, PremiumPayee::Manager] {
            self.send(instruction::collect_manager_fees(address, &vault, payee));
        }
        self.send(instruction::close_exposure(address, &vault, model));
        self.send(instruction::close_vault(address, &vault, false));
        assert!(!self.insured.world.exists(&address));
    }

    fn close_seats(&mut self) {
        let model = self.insured.model.address;
        let state = self.insured.model();
        for oracle in &self.insured.model.oracles {
            let world = &mut self.insured.world;
            let bonded = world.seat(&model, &oracle.address()).bonded;
            let unbond = instruction::request_unbond(oracle.address(), model, bonded);
            world.send(unbond, &[&oracle.key]).unwrap();
        }
        self.insured.world.pass(state.unbond_secs);
        for (index, oracle) in self.insured.model.oracles.clone().iter().enumerate() {
            let world = &mut self.insured.world;
            if 0 < world.model(&model).rewards[index] {
                world.collect_reward(&self.insured.model, index).unwrap();
            }
            let (oracle, seat) = (oracle.address(), address::seat(&model, &oracle.address()));
            self.send(instruction::withdraw_bond(oracle, model, &state));
            self.send(instruction::close_seat(oracle, model));
            assert!(!self.insured.world.exists(&seat));
        }
    }
}

/// The terms of [`market_terms`] on windows `first` to `last`; betting closes when the first begins.
pub fn market_terms_on(world: &World, model: &TestModel, first: u64, last: u64) -> MarketTerms {
    let state = world.model(&model.address);
    MarketTerms {
        first_window: first,
        last_window: last,
        close_ts: state.window_start(first).unwrap(),
        ..market_terms(world, model)
    }
}

/// All accounts of the program, undecoded.
pub fn raw_accounts(world: &World) -> Vec<(Address, solana_account::Account)> {
    world.svm.get_program_accounts(&ID)
}
