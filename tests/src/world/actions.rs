//! Instructions that tests send in the name of wallets: bonds, receipts and markets.

use driftshield_sdk::{
    Address, Ask, FeePayee, MarketTerms, MetricSpec, ModelTerms, address,
    instruction::{self, Bet, Purchase},
};
use litesvm::types::FailedTransactionMetadata;
use spl_token_interface::instruction::{AuthorityType, set_authority};

use super::{
    Outcome, TOKEN, TestModel, Wallet, World,
    fixtures::{model_terms, spread},
    spec,
};

impl World {
    /// Registers a model with `oracles` oracles, and bonds each with `bond` base units.
    pub fn model_with(&mut self, spec: MetricSpec, oracles: usize, bond: u64) -> TestModel {
        let max_spread = spread(&spec);
        self.model_with_spread(spec, max_spread, oracles, bond)
    }

    /// Registers a model whose oracles may differ by `max_spread`.
    pub fn model_with_spread(
        &mut self,
        spec: MetricSpec,
        max_spread: u64,
        oracles: usize,
        bond: u64,
    ) -> TestModel {
        let owner = self.wallet(0);
        let oracles: Vec<Wallet> = (0..oracles).map(|_| self.wallet(10 * bond)).collect();
        let terms = ModelTerms {
            max_spread,
            ..model_terms(&oracles)
        };
        let collateral = self.collateral();
        let register = instruction::register_model(owner.address(), 1, &collateral, spec, terms);
        self.send(register, &[&owner.key]).expect("register_model");
        let model = TestModel {
            address: address::model(&owner.address(), 1),
            owner,
            oracles,
        };
        if bond > 0 {
            for oracle in 0..model.oracles.len() {
                self.bond(&model, oracle, bond).expect("bond");
            }
        }
        model
    }

    /// Registers a model with [`spec`], and three oracles that each bond ten times the minimum.
    pub fn default_model(&mut self) -> TestModel {
        let spec = spec(self);
        self.model_with(spec, 3, 10_000 * TOKEN)
    }

    /// Bonds `amount` base units for the oracle at index `oracle`.
    pub fn bond(&mut self, model: &TestModel, oracle: usize, amount: u64) -> Outcome {
        let oracle = &model.oracles[oracle];
        let bond = instruction::bond(
            oracle.address(),
            model.address,
            &self.model(&model.address),
            oracle.tokens,
            amount,
        );
        self.send(bond, &[&oracle.key])
    }

    // Receipts.

    /// Sets the clock to the end of `window`, unless the window is over already.
    pub fn warp_to_end(&mut self, model: &TestModel, window: u64) {
        let end = self
            .model(&model.address)
            .window_end(window)
            .expect("in range");
        self.warp_to(end.max(self.now()));
    }

    /// Submits `counts` for the oracle at index `oracle`.
    pub fn submit(
        &mut self,
        model: &TestModel,
        oracle: usize,
        window: u64,
        counts: &[u32],
    ) -> Outcome {
        let oracle = &model.oracles[oracle];
        let submit = instruction::submit_receipt(
            oracle.address(),
            model.address,
            window,
            counts.to_vec(),
            [oracle.address().as_ref()[0]; 32],
            "https://evidence.example/0".into(),
        );
        self.send(submit, &[&oracle.key])
    }

    /// Lets all oracles submit `counts` for `window`, after its end.
    pub fn submit_all(&mut self, model: &TestModel, window: u64, counts: &[u32]) {
        self.warp_to_end(model, window);
        for oracle in 0..model.oracles.len() {
            self.submit(model, oracle, window, counts)
                .expect("submit_receipt");
        }
    }

    /// Makes the receipt of `window` Final: all oracles submit `counts`, and nobody challenges.
    pub fn finalize_with(&mut self, model: &TestModel, window: u64, counts: &[u32]) {
        self.submit_all(model, window, counts);
        self.pass(self.model(&model.address).challenge_secs);
        self.finalize(model, window).expect("finalize_receipt");
    }

    /// Applies the steps of a receipt that are due, without a signature.
    pub fn finalize(&mut self, model: &TestModel, window: u64) -> Outcome {
        let finalize = instruction::finalize_receipt(&self.receipt(&model.address, window));
        self.send(finalize, &[])
    }

    /// Challenges `window` by asserting `counts`.
    pub fn challenge(
        &mut self,
        model: &TestModel,
        window: u64,
        challenger: &Wallet,
        counts: &[u32],
    ) -> Outcome {
        let challenge = instruction::challenge_receipt(
            challenger.address(),
            model.address,
            &self.model(&model.address),
            window,
            counts.to_vec(),
            challenger.tokens,
        );
        self.send(challenge, &[&challenger.key])
    }

    /// Rules on a receipt as the arbiter.
    pub fn rule(&mut self, model: &TestModel, window: u64, counts: &[u32]) -> Outcome {
        let rule = instruction::rule_receipt(
            model.address,
            &self.model(&model.address),
            &self.receipt(&model.address, window),
            Some(counts.to_vec()),
        );
        let arbiter = self.arbiter.insecure_clone();
        self.send(rule, &[&arbiter])
    }

    // Markets.

    /// Creates market `id` of `creator` on `model`, and returns its address.
    pub fn create_market(
        &mut self,
        model: &TestModel,
        creator: &Wallet,
        id: u64,
        terms: MarketTerms,
    ) -> Result<Address, Box<FailedTransactionMetadata>> {
        let create = instruction::create_market(
            creator.address(),
            id,
            model.address,
            &self.model(&model.address),
            terms,
        );
        self.send(create, &[&creator.key])?;
        Ok(address::market(&creator.address(), id))
    }

    /// Bets `amount`. The bettor first gets the security rent in addition to its tokens, so that
    /// tests can count stakes.
    pub fn bet(&mut self, market: &Address, bettor: &Wallet, outcome: u8, amount: u64) -> Outcome {
        let rent = self.bet_rent(market, amount);
        let bet = instruction::place_bet(
            bettor.address(),
            *market,
            &self.market(market),
            bettor.tokens,
            Bet::unlimited(outcome, amount),
        );
        self.send_with_tokens(&bettor.tokens, rent, |world| {
            world.send(bet, &[&bettor.key])
        })
    }

    /// The security rent of a bet now.
    pub fn bet_rent(&self, market: &Address, amount: u64) -> u64 {
        let market = self.market(market);
        let model = self.model(&market.model);
        let rent = market.rent(&model, amount, self.now());
        rent.map_or(0, |(rent, _)| rent)
    }

    /// An ask that ends as late as the market allows, as of now.
    pub fn ask(&self, market: &Address, amount: u64, price: u32) -> Ask {
        let state = self.market(market);
        let model = self.model(&state.model);
        Ask {
            amount,
            valid_until: state.latest_ask_end(&model, self.now()).expect("in range"),
            price,
            reports: model.reports,
        }
    }

    pub fn set_ask(&mut self, market: &Address, owner: &Wallet, outcome: u8, ask: Ask) -> Outcome {
        let state = self.market(market);
        let set = instruction::set_ask(owner.address(), *market, &state, outcome, ask);
        self.send(set, &[&owner.key])
    }

    /// Offers `amount` for sale until as late as the market allows.
    pub fn offer(
        &mut self,
        market: &Address,
        owner: &Wallet,
        outcome: u8,
        amount: u64,
        price: u32,
    ) -> Outcome {
        let ask = self.ask(market, amount, price);
        self.set_ask(market, owner, outcome, ask)
    }

    /// The purchase of `amount` at any price.
    pub fn purchase(&self, market: &Address, outcome: u8, amount: u64) -> Purchase {
        Purchase {
            outcome,
            amount,
            max_price: u32::MAX,
            reports: self.model(&self.market(market).model).reports,
        }
    }

    pub fn buy_stake(
        &mut self,
        market: &Address,
        buyer: &Wallet,
        seller: &Wallet,
        purchase: Purchase,
    ) -> Outcome {
        let buy = instruction::buy_position(
            buyer.address(),
            *market,
            &self.market(market),
            buyer.tokens,
            seller.address(),
            purchase,
        );
        self.send(buy, &[&buyer.key])
    }

    // Token accounts.

    /// Makes `to` the owner of the token account of `from`.
    pub fn give_away(&mut self, from: &Wallet, to: &Address) {
        let give = set_authority(
            &spl_token_interface::ID,
            &from.tokens,
            Some(to),
            AuthorityType::AccountOwner,
            &from.address(),
            &[],
        );
        let sent = self.send(give.expect("an instruction"), &[&from.key]);
        sent.expect("set_authority");
    }

    // The oracles' pay.

    /// Adds `amount` of `funder` to the oracles' pay for the next `secs` seconds.
    pub fn fund(&mut self, model: &TestModel, funder: &Wallet, amount: u64, secs: i64) -> Outcome {
        let fund = instruction::fund_oracles(
            funder.address(),
            model.address,
            &self.model(&model.address),
            funder.tokens,
            amount,
            self.now() + secs,
        );
        self.send(fund, &[&funder.key])
    }

    /// Collects the reward of the oracle at index `oracle`, without a signature.
    pub fn collect_reward(&mut self, model: &TestModel, oracle: usize) -> Outcome {
        let state = self.model(&model.address);
        let collect = instruction::collect_reward(model.address, &state, oracle);
        self.send(collect, &[])
    }

    /// Settles the decided windows of a market, without a signature.
    pub fn settle(&mut self, market: &Address) -> Outcome {
        let settle = instruction::settle_market(*market, &self.market(market));
        self.send(settle, &[])
    }

    /// Claims a position, without a signature.
    pub fn claim(&mut self, market: &Address, owner: &Address) -> Outcome {
        let claim = instruction::claim(*owner, *market, &self.market(market));
        self.send(claim, &[])
    }

    /// Collects both fees of a market, without a signature.
    pub fn collect_fees(&mut self, market: &Address) {
        let state = self.market(market);
        for payee in [FeePayee::Treasury, FeePayee::Creator] {
            let collect = instruction::collect_fees(*market, &state, payee);
            self.send(collect, &[]).expect("collect_fees");
        }
    }
}
