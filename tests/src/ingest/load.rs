//! The recorded load: a random run of every instruction, then the growth of models, markets and positions,
//! then busy trading.

use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use driftshield_sdk::{Address, MarketTerms, instruction};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use solana_signer::Signer;

use super::actions::every_kind_of_event;
use crate::{
    insurance::{CAPITAL, Insured, vault_terms},
    world::*,
};

/// Most random actions of the first part, in which every kind of event happens.
const ACTIONS: usize = 8_000;
const MODELS: usize = 40;
const MARKETS_PER_MODEL: usize = 26;
const BETTORS: usize = 500;
/// Bettors of each market at the start of the trading.
const BETTORS_PER_MARKET: usize = 20;
const OUTCOMES: u8 = 4;
/// Bond of each oracle, in base units.
const BOND: u64 = 200_000 * TOKEN;
/// Smallest stake, in base units.
const STAKE: u64 = TOKEN / 100;
/// Transactions between two seconds of the recorded time.
const TRANSACTIONS_PER_SECOND: u64 = 2_500;
const PAYER_LAMPORTS: u64 = 100_000_000_000_000;

/// What a recording contains.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Summary {
    pub seed: u64,
    pub transactions: u64,
    pub account_updates: u64,
    pub events: u64,
    /// Number of kinds of events: all that the program has.
    pub event_kinds: usize,
    pub markets: usize,
    pub positions: usize,
    /// Number of transactions before the trading, which all of the markets and most of the positions
    /// exist for.
    pub busy_from: u64,
}

/// Records at least `transactions` transactions into `path`.
///
/// # Errors
///
/// The file can't be written, a kind of event never happens, or the program refuses more than a tenth of
/// the trades.
pub fn record(path: &Path, seed: u64, transactions: u64) -> anyhow::Result<Summary> {
    let recorder = Recorder::create(path).with_context(|| path.display().to_string())?;
    let world = every_kind_of_event(recorder, seed, ACTIONS)?;
    let world = world.map_err(|missing| anyhow!("choose another seed: {missing}"))?;
    let mut load = Load::grow(world, seed);
    let busy_from = load.recorder().transactions;
    let mut refused = 0;
    while load.recorder().transactions < transactions {
        refused += u64::from(!load.trade());
    }
    let traded = transactions.saturating_sub(busy_from);
    ensure!(
        refused <= traded / 10,
        "the program refused {refused} of {traded} trades"
    );
    let recorder = load
        .scene
        .world
        .recorder
        .take()
        .expect("the load is recorded");
    let summary = Summary {
        markets: load.markets.len(),
        positions: load.positions.len(),
        busy_from,
        ..Summary::of(seed, &recorder)
    };
    recorder.finish()?;
    Ok(summary)
}

impl Summary {
    /// Of a recording without trading.
    pub fn of(seed: u64, recorder: &Recorder) -> Self {
        Self {
            seed,
            transactions: recorder.transactions,
            account_updates: recorder.updates,
            events: recorder.events.values().sum(),
            event_kinds: recorder.events.len(),
            busy_from: recorder.transactions,
            ..Self::default()
        }
    }
}

fn recorder_of(world: &World) -> &Recorder {
    world.recorder.as_ref().expect("the load is recorded")
}

/// A stake that a bettor has in a market.
#[derive(Clone, Copy)]
struct Stake {
    market: usize,
    bettor: usize,
    outcome: u8,
}

struct Load {
    scene: Insured,
    models: Vec<TestModel>,
    markets: Vec<Address>,
    bettors: Vec<Wallet>,
    /// One stake of each position.
    positions: Vec<Stake>,
    /// Stakes that are for sale.
    asks: Vec<Stake>,
    rng: StdRng,
}

impl Load {
    /// Prepares the program for the trading: a collateral of its own, models, a vault, markets and bettors.
    fn grow(mut world: World, seed: u64) -> Self {
        let payer = world.payer.pubkey();
        world.svm.airdrop(&payer, PAYER_LAMPORTS).expect("lamports");
        let svm = std::mem::take(&mut world.svm);
        world.svm = svm.with_sigverify(false); // takes most of the time
        let admin = world.admin.insecure_clone();
        let (at, guardian) = (admin.pubkey(), world.config().guardian);
        for settle in [
            instruction::update_config(at, guardian, params()),
            instruction::set_pause(at, 0),
        ] {
            world.send(settle, &[&admin]).expect("the admin may");
        }
        world.mint = world.second_collateral();
        world.token_program = driftshield_sdk::TokenProgram::SplToken;

        let models: Vec<_> = (0..MODELS)
            .map(|_| world.model_with(spec(&world), 3, BOND))
            .collect();
        let bettors = (0..BETTORS)
            .map(|_| world.wallet(1_000_000 * TOKEN))
            .collect();
        let scene = Insured::around(world, models[0].clone(), vault_terms());
        let mut load = Self {
            scene: scene.with_capital(CAPITAL),
            models,
            markets: vec![],
            bettors,
            positions: vec![],
            asks: vec![],
            rng: StdRng::seed_from_u64(seed),
        };
        load.create_markets();
        load.place_first_bets();
        load
    }

    fn recorder(&self) -> &Recorder {
        recorder_of(&self.scene.world)
    }

    fn create_markets(&mut self) {
        let world = &mut self.scene.world;
        for model in &self.models {
            let creator = world.wallet(0);
            for id in 0..MARKETS_PER_MODEL as u64 {
                let terms = MarketTerms {
                    thresholds: vec![100_000, 200_000, 400_000],
                    ..market_terms(world, model)
                };
                let market = world.create_market(model, &creator, id, terms);
                self.markets.push(market.expect("create_market"));
            }
        }
    }

    fn place_first_bets(&mut self) {
        for market in 0..self.markets.len() {
            for place in 0..BETTORS_PER_MARKET {
                let bettor = (market * BETTORS_PER_MARKET + place) % BETTORS;
                let stake = self.stake_in(market, bettor);
                assert!(self.bet(stake), "a first bet is accepted");
                self.positions.push(stake);
            }
        }
    }

    fn stake_in(&mut self, market: usize, bettor: usize) -> Stake {
        Stake {
            market,
            bettor,
            outcome: self.rng.random_range(0..OUTCOMES),
        }
    }

    /// Sends a random transaction. Returns whether the program accepted it.
    fn trade(&mut self) -> bool {
        if self
            .recorder()
            .transactions
            .is_multiple_of(TRANSACTIONS_PER_SECOND)
        {
            self.scene.world.pass(1);
        }
        match self.rng.random_range(0..100) {
            0..72 => {
                let known = self.any_stake();
                let stake = self.stake_in(known.market, known.bettor);
                self.bet(stake)
            }
            72..74 => self.open_position(),
            74..84 => self.offer(),
            84..92 => self.buy(),
            92..96 => self.deposit(),
            96..98 => self.withdraw(),
            _ => self.bond(),
        }
    }

    fn any_stake(&mut self) -> Stake {
        let index = self.rng.random_range(0..self.positions.len());
        self.positions[index]
    }

    fn bet(&mut self, stake: Stake) -> bool {
        let amount = STAKE * self.rng.random_range(1..10);
        let (market, bettor) = (self.markets[stake.market], &self.bettors[stake.bettor]);
        let world = &mut self.scene.world;
        world.bet(&market, bettor, stake.outcome, amount).is_ok()
    }

    fn open_position(&mut self) -> bool {
        let market = self.rng.random_range(0..self.markets.len());
        let bettor = self.rng.random_range(0..BETTORS);
        let stake = self.stake_in(market, bettor);
        let mut others = self.positions.iter();
        let is_new = !others.any(|other| (other.market, other.bettor) == (market, bettor));
        let is_accepted = self.bet(stake);
        if is_new && is_accepted {
            self.positions.push(stake);
        }
        is_accepted
    }

    fn offer(&mut self) -> bool {
        let stake = self.any_stake();
        let (market, owner) = (self.markets[stake.market], &self.bettors[stake.bettor]);
        let world = &mut self.scene.world;
        let is_accepted = world
            .offer(&market, owner, stake.outcome, STAKE, 900)
            .is_ok();
        if is_accepted {
            self.asks.push(stake);
        }
        is_accepted
    }

    /// Buys a stake that is for sale; bets if there is none.
    fn buy(&mut self) -> bool {
        let Some(stake) = self.asks.pop() else {
            let stake = self.any_stake();
            return self.bet(stake);
        };
        // An owner of a position in the same market, so that the purchase opens none.
        let buyer = stake.market * BETTORS_PER_MARKET % BETTORS;
        let buyer = (buyer + usize::from(buyer == stake.bettor)) % BETTORS;
        let (market, seller) = (self.markets[stake.market], &self.bettors[stake.bettor]);
        let world = &mut self.scene.world;
        let purchase = world.purchase(&market, stake.outcome, STAKE);
        let bought = world.buy_stake(&market, &self.bettors[buyer], seller, purchase);
        bought.is_ok()
    }

    fn any_bettor(&mut self) -> Wallet {
        let index = self.rng.random_range(0..BETTORS);
        self.bettors[index].clone()
    }

    fn deposit(&mut self) -> bool {
        let provider = self.any_bettor();
        self.scene.deposit(&provider, TOKEN).is_ok()
    }

    /// Requests a withdrawal, or cancels the one that the provider has requested; deposits if the provider
    /// has neither.
    fn withdraw(&mut self) -> bool {
        let provider = self.any_bettor();
        let shares = self.scene.shares(&provider);
        if 0 < shares {
            return self.scene.request(&provider, shares.div_ceil(2)).is_ok();
        }
        self.scene.cancel_request(&provider).is_ok() || self.scene.deposit(&provider, TOKEN).is_ok()
    }

    fn bond(&mut self) -> bool {
        let model = self.rng.random_range(0..MODELS);
        let oracle = self.rng.random_range(0..3);
        let model = &self.models[model];
        self.scene.world.bond(model, oracle, TOKEN).is_ok()
    }
}
