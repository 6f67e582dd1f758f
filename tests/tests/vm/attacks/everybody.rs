//! A world in which everybody has something to lose, and how they all get it back.

use driftshield_sdk::{
    Account, Address, FeePayee, ID, Instruction, MarketTerms, PremiumPayee, address, instruction,
};
use driftshield_tests::{insurance::*, world::*};

/// What the window of the market and the policy drifts to.
const DRIFT: u64 = 200_000;

/// A market with bets, a vault with shares, a policy, bonds, and treasuries that earned something.
#[derive(Clone)]
pub struct Everybody {
    pub insured: Insured,
    pub creator: Wallet,
    pub winner: Wallet,
    pub loser: Wallet,
    pub holder: Wallet,
    pub market: Address,
    pub window: u64,
}

impl Everybody {
    pub fn new() -> Self {
        let mut insured = Insured::new();
        let [creator, winner, loser, holder] =
            [(); 4].map(|()| insured.world.wallet(1_000 * TOKEN));
        insured.buy(&holder, 1, insured.terms()).unwrap();
        let window = insured.policy(&holder, 1).first_window;
        let terms = MarketTerms {
            thresholds: vec![DRIFT],
            first_window: window,
            last_window: window,
            close_ts: insured.model().window_start(window).unwrap(),
            ..market_terms(&insured.world, &insured.model)
        };
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

    /// Every token account of the program's, and what it holds.
    pub fn token_accounts(&self) -> Vec<(Address, u64)> {
        let world = &self.insured.world;
        let mut found = vec![];
        for (_, bytes) in world.svm.get_program_accounts(&ID) {
            match Account::decode(&bytes.data).unwrap() {
                Account::Collateral(collateral) => found.push(collateral.treasury),
                Account::Model(model) => found.push(model.bond_vault),
                Account::Market(market) => found.push(market.vault),
                Account::Vault(vault) => found.extend([vault.tokens, vault.escrow]),
                _ => {}
            }
        }
        found.iter().map(|at| (*at, world.tokens(at))).collect()
    }

    fn send(&mut self, instruction: Instruction) {
        self.insured.world.send(instruction, &[]).unwrap();
    }

    /// The window drifts, and all is settled, paid, collected and closed, by nobody in particular but
    /// the owners of shares and bonds. Returns what each has in the end.
    pub fn redeem(mut self) -> Vec<(&'static str, u64)> {
        while self.insured.window < self.window {
            self.insured.measure(CALM_DRIFT);
        }
        self.insured.measure(DRIFT);
        self.end_market();
        self.insured
            .claim(&self.holder.clone(), 1, self.window)
            .unwrap();
        let policy = self.insured.policy(&self.holder, 1);
        let expires = policy.expires_at(&self.insured.model()).unwrap();
        self.insured.world.warp_to(expires);
        self.send(instruction::expire_policy(&policy));
        self.end_vault();
        self.end_bonds();
        let world = &self.insured.world;
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
        all.iter()
            .map(|(name, wallet)| (*name, world.tokens(&wallet.tokens)))
            .collect()
    }

    fn end_market(&mut self) {
        let market = self.market;
        let before = self.insured.world.market(&market);
        self.send(instruction::settle_market(market, &before, 1));
        for owner in [self.winner.address(), self.loser.address()] {
            self.send(instruction::claim(owner, market, &before));
        }
        for payee in [FeePayee::Treasury, FeePayee::Creator] {
            self.send(instruction::collect_fees(market, &before, payee));
        }
        self.send(instruction::close_market(market, &before));
        assert!(!self.insured.world.exists(&market));
    }

    fn end_vault(&mut self) {
        let provider = self.insured.provider();
        self.insured.leave(&provider);
        let (at, model) = (self.insured.vault, self.insured.model.address);
        let vault = self.insured.vault();
        for payee in [PremiumPayee::Treasury, PremiumPayee::Manager] {
            self.send(instruction::collect_manager_fees(at, &vault, payee));
        }
        self.send(instruction::close_exposure(at, &vault, model));
        self.send(instruction::close_vault(at, &vault, false));
        assert!(!self.insured.world.exists(&at));
    }

    fn end_bonds(&mut self) {
        let model = self.insured.model.address;
        let state = self.insured.model();
        for oracle in &self.insured.model.oracles {
            let world = &mut self.insured.world;
            let bonded = world.seat(&model, &oracle.address()).bonded;
            let unbond = instruction::request_unbond(oracle.address(), model, bonded);
            world.send(unbond, &[&oracle.key]).unwrap();
        }
        self.insured.world.pass(state.unbond_secs);
        for oracle in self.insured.model.oracles.clone() {
            let (oracle, seat) = (oracle.address(), address::seat(&model, &oracle.address()));
            self.send(instruction::withdraw_bond(oracle, model, &state));
            self.send(instruction::close_seat(oracle, model));
            assert!(!self.insured.world.exists(&seat));
        }
    }
}

/// All accounts of the program.
pub fn accounts(world: &World) -> Vec<(Address, solana_account::Account)> {
    world.svm.get_program_accounts(&ID)
}

/// What nothing in the program could bring about: `account` holds `amount`.
pub fn set_tokens(world: &mut World, account: &Address, amount: u64) {
    let mut state = world.svm.get_account(account).unwrap();
    state.data[64..72].copy_from_slice(&amount.to_le_bytes());
    world.svm.set_account(*account, state).unwrap();
}
