//! The world of a run: a model, a vault, a market, and everybody who takes part.

use anchor_lang::{AccountDeserialize, Discriminator};
use driftshield_sdk::{Address, Aggregate, ConfigParams, ID, MarketTerms, Measurement, address};
use rand::{Rng, seq::IndexedRandom};

use super::{
    cover::Wanted,
    motive::{Interest, Motive},
    plan::{Plan, SPREAD},
    truth::{CALM_UNTIL, END, TRIGGER},
};
use crate::{insurance::*, world::*};

/// Bond of each oracle: enough for several slashes.
const BOND: u64 = 100_000 * TOKEN;
/// Tokens that each oracle starts with.
pub const ORACLE_WEALTH: u64 = 10 * BOND;
/// Tokens that everybody else starts with.
const WEALTH: u64 = 200_000 * TOKEN;
/// The first window that the market observes.
pub const MARKET_START: u64 = CALM_UNTIL - 2;
/// The last window that the market observes.
pub const MARKET_END: u64 = CALM_UNTIL + 7;
/// Windows that the policies of the start cover.
pub const COVERED: u64 = 12;

/// Whoever is neither oracle nor owner, manager or the first provider.
#[derive(Clone)]
pub struct Cast {
    /// The coalition's holder, bettor, provider and challenger.
    pub friend: Wallet,
    /// Recounts every window.
    pub challenger: Wallet,
    pub holders: [Wallet; 2],
    pub bettors: [Wallet; 2],
    /// The second provider.
    pub provider: Wallet,
}

/// What a run remembers of its transactions.
#[derive(Clone, Default)]
pub struct Records {
    /// Security rents that the helpers of the world added to the friend's tokens.
    pub gifts: u64,
    /// Premiums of the others, and of the friend.
    pub premiums: u64,
    pub own_premium: u64,
    /// Security rents and cancel fees of others' renewals.
    pub renewals: u64,
    /// Cover that was sold, and to how many policies.
    pub covers: u64,
    pub policies: u64,
    /// When the friend requested its capital.
    pub left_at: Option<i64>,
    /// When the vault's capital bears claims and premium that is set aside, and how much.
    pub losses: Vec<(i64, u64)>,
}

#[derive(Clone)]
pub struct Stage {
    pub scene: Insured,
    pub market: Address,
    pub cast: Cast,
    pub records: Records,
}

impl Stage {
    /// A world with measured history and capital.
    pub fn new(plan: &Plan) -> Self {
        let params = ConfigParams {
            security_multiple: 1, // as in production
            ..params()
        };
        let mut world = World::with(params, insurance_terms());
        world.solvency_checks = false; // once at the end of a run
        let spec = coarse_spec(&world);
        let model = world.model_with(spec, plan.oracles, BOND);
        let scene = Insured::around(world, model, vault_terms());
        assert_eq!(scene.model().max_spread, SPREAD);
        let mut stage = Self::around(scene, plan);
        for window in 0..HISTORY {
            let Measurement::Value(drift) = plan.truth.at(window) else {
                unreachable!("the history is calm")
            };
            stage.scene.measure(drift);
        }
        stage.provide(plan);
        stage
    }

    fn around(mut scene: Insured, plan: &Plan) -> Self {
        let world = &mut scene.world;
        let cast = Cast {
            friend: world.wallet(WEALTH),
            challenger: world.wallet(WEALTH),
            holders: [world.wallet(WEALTH), world.wallet(WEALTH)],
            bettors: [world.wallet(WEALTH), world.wallet(WEALTH)],
            provider: world.wallet(WEALTH),
        };
        let mut random = plan.random(2);
        let windows = MARKET_END - MARKET_START + 1;
        let aggregates = [Aggregate::Max, Aggregate::Last, Aggregate::Mean];
        let terms = MarketTerms {
            aggregate: match plan.motive {
                Motive::BuyStakes => Aggregate::Max, // whose end its buyer knows best
                _ => *aggregates.choose(&mut random).expect("some"),
            },
            min_observed: *[0, windows * 4 / 5].choose(&mut random).expect("some"),
            thresholds: vec![TRIGGER],
            first_window: MARKET_START,
            last_window: MARKET_END,
            close_ts: scene.model().window_start(MARKET_START).expect("in range"),
            ..market_terms(&scene.world, &scene.model)
        };
        let creator = cast.challenger.clone();
        let model = scene.model.clone();
        let market = scene.world.create_market(&model, &creator, 1, terms);
        Self {
            market: market.expect("create_market"),
            scene,
            cast,
            records: Records::default(),
        }
    }

    /// The providers deposit, and somebody pays for attested monitoring.
    fn provide(&mut self, plan: &Plan) {
        let mut random = plan.random(0);
        let (lp, provider) = (self.scene.provider(), self.cast.provider.clone());
        self.deposit(&lp, CAPITAL);
        self.deposit(&provider, random.random_range(1..=5) * 1_000 * TOKEN);
        if plan.interest.has_capital() {
            let friend = self.cast.friend.clone();
            self.deposit(&friend, random.random_range(1..=50) * 1_000 * TOKEN);
        }
        let (model, funder) = (self.scene.model.clone(), self.cast.challenger.clone());
        let secs = (END - HISTORY) as i64 * DAY;
        let amount = *[TOKEN, 300 * TOKEN].choose(&mut random).expect("some");
        let funded = self.scene.world.fund(&model, &funder, amount, secs);
        funded.expect("fund_oracles");
    }

    /// Everybody takes the positions of the start: cover and stakes.
    pub fn take_positions(&mut self, plan: &Plan) {
        let mut random = plan.random(1);
        let holders = self.cast.holders.clone();
        let percents = [random.random_range(15..=25), random.random_range(10..=20)];
        for (holder, percent) in std::iter::zip(&holders, percents) {
            let wanted = Wanted {
                percent,
                windows: COVERED,
                persistence: random.random_range(1..=MAX_PERSISTENCE),
                auto_renew: plan.motive == Motive::RenewOnRunning,
            };
            assert!(self.cover(holder, wanted), "cover is sold");
            if wanted.auto_renew {
                self.scene.delegate(holder, WEALTH);
            }
        }
        let bettors = self.cast.bettors.clone();
        for (outcome, bettor) in bettors.iter().enumerate() {
            let percent = random.random_range(15..=30);
            self.stake(bettor, outcome as u8, percent);
        }
        let friend = self.cast.friend.clone();
        if plan.interest.has_cover() {
            let wanted = Wanted::of(40, COVERED);
            assert!(self.cover(&friend, wanted), "cover is sold");
        }
        match plan.interest {
            Interest::High => self.stake(&friend, 1, 20),
            Interest::Low => self.stake(&friend, 0, 20),
            _ => {}
        }
    }

    /// All accounts of a type, in the order of their addresses, so that a seed determines a run.
    pub fn all<T: AccountDeserialize + Discriminator>(&self) -> Vec<(Address, T)> {
        let accounts = self.scene.world.svm.get_program_accounts(&ID).into_iter();
        let of_type = accounts.filter(|(_, account)| account.data.starts_with(T::DISCRIMINATOR));
        let mut all: Vec<(Address, T)> = of_type
            .map(|(address, account)| {
                let decoded = T::try_deserialize(&mut &account.data[..]);
                (address, decoded.expect("an account of this type"))
            })
            .collect();
        all.sort_by_key(|(address, _)| *address);
        all
    }

    /// Gives the coalition `gift` base units.
    pub fn give(&mut self, gift: u64) {
        self.scene.world.mint_to(&self.cast.friend.tokens, gift);
    }

    pub fn deposit(&mut self, owner: &Wallet, amount: u64) {
        self.scene.deposit(owner, amount).expect("deposit");
    }

    fn stake(&mut self, bettor: &Wallet, outcome: u8, percent: u64) {
        let model = self.scene.model();
        // Both budgets are equal.
        let amount = model.cover_limit() * percent / 100;
        let rent = self.scene.world.bet_rent(&self.market, amount);
        let bet = self.scene.world.bet(&self.market, bettor, outcome, amount);
        bet.expect("place_bet");
        self.count_gift(bettor, rent);
    }

    /// Each bettor offers a part of its stake for as much as it has bet.
    pub fn offer_stakes(&mut self) {
        let bettors = self.cast.bettors.clone();
        for (outcome, bettor) in bettors.iter().enumerate() {
            if let Some(stake) = self.stake_of(bettor, outcome) {
                let world = &mut self.scene.world;
                let sent = world.offer(&self.market, bettor, outcome as u8, stake / 4, 1_000);
                sent.expect("set_ask");
            }
        }
    }

    /// The stake of `bettor` on `outcome` if the market isn't settled.
    pub fn stake_of(&self, bettor: &Wallet, outcome: usize) -> Option<u64> {
        let at = address::position(&self.market, &bettor.address());
        let world = &self.scene.world;
        let is_open = world.exists(&at) && !world.market(&self.market).is_settled();
        is_open.then(|| world.position(&self.market, &bettor.address()).stakes[outcome])
    }

    /// Remembers that a helper of the world has added a security rent to the payer's tokens.
    pub fn count_gift(&mut self, payer: &Wallet, rent: u64) {
        if payer.address() == self.cast.friend.address() {
            self.records.gifts += rent;
        }
    }
}
