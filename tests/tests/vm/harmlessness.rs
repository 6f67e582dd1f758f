//! Harmlessness of privileged keys: if all of them but the upgrade authority were stolen, no holding would
//! lose value. The exceptions are a dispute's ruling, false counts of a quorum that nobody challenged, a
//! challenger's reward of which the admin returns the slashes, and the penalties of a stolen oracle that is
//! silent. Tested from the states that random runs reach.
//!
//! The value of a holding is the amount that its exit pays. From each state, everybody leaves at once in two
//! runs: one without thieves, and one in which the thieves attack. The honest oracles measure the same in
//! both.

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{Address, address};
use driftshield_tests::soak::{
    Driver, Step,
    attackers::{self, Attackers},
    books::{Amount, Books, DAY},
    call::Call,
    checkpoints,
    wind_down::{self, Holding, Payouts},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::committed_idl;

/// Number of states of a run that are tested.
const STOPS: usize = 16;
/// Number of windows of each model that the honest oracles measure after the theft.
const MEASURED: usize = 2;
/// Windows of the thieves' own model that they measure: a history during the notice of its listings, and
/// another one after it.
const OWN_WINDOWS: [u64; 18] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 24, 25, 26, 27, 28, 29, 30, 31, 32,
];
/// How long the thieves act after the theft, in seconds.
const ATTACK_SECS: i64 = 2 * DAY;
/// Rounding that shares may lose, in base units: shares are whole numbers, so each partial withdrawal and
/// each deposit of others rounds by less than a base unit.
const ROUNDING: Amount = 8;
/// A payout may be smaller by `payout / EARLY_PAYMENT_DIVISOR`. Anybody can have blocked capital paid in
/// parts; after a loss, an earlier payment contains less of the premiums that still stream. In these runs
/// the difference stays below this fraction.
const EARLY_PAYMENT_DIVISOR: Amount = 250_000;

/// What the thieves do in addition to random instructions.
#[derive(Clone, Copy, Default)]
struct AttackPlan {
    /// They register a model that only they measure, and sell cover on it.
    sells: bool,
    /// They rule on disputed receipts.
    rules: bool,
}

/// One run from a state, in which everybody leaves.
struct ExitRun<'a> {
    driver: &'a mut Driver,
    seed: u64,
    /// Start of the run, unix seconds.
    since: i64,
    /// All holdings at the start of the run.
    owned: BTreeSet<Holding>,
    /// Amounts paid, by holding.
    payouts: Payouts,
    /// Honest oracles by model.
    honest: BTreeMap<Address, Vec<Address>>,
    /// Windows that the honest oracles measure, by each model that a market or a policy depends on.
    windows: BTreeMap<Address, Vec<u64>>,
    /// `None` in the run without thieves.
    thieves: Option<Attackers>,
    /// Whether the thieves sell cover on a model of their own.
    sells: bool,
    /// The thieves' own model, for which they submit any value.
    own_model: Option<Address>,
    /// Number of the thieves' sales that are checked already.
    checked_sales: usize,
}

/// A seed that depends on an address and a window.
fn seed_of(seed: u64, of: &Address, window: u64) -> u64 {
    let bytes: [u8; 8] = of.as_ref()[..8].try_into().unwrap();
    seed ^ u64::from_le_bytes(bytes) ^ window.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl<'a> ExitRun<'a> {
    fn new(driver: &'a mut Driver, seed: u64, plan: Option<AttackPlan>) -> Self {
        let AttackPlan { sells, rules } = plan.unwrap_or_default();
        let thieves = Attackers::new(driver, seed, rules);
        let books = &driver.books;
        let needed = books.models.iter().filter(|(at, model)| {
            0 < books.exposure_of(at) && thieves.honest[*at].len() == model.quorum
        });
        let windows = needed.map(|(at, model)| {
            let running = ((books.now - model.genesis).max(0) / model.window_secs) as u64;
            (*at, (running..).take(MEASURED).collect())
        });
        let windows: BTreeMap<Address, Vec<u64>> = windows.collect();
        Self {
            seed,
            since: books.now,
            owned: wind_down::holdings(books),
            payouts: Payouts::new(),
            honest: thieves.honest.clone(),
            windows,
            thieves: plan.is_some().then_some(thieves),
            sells,
            own_model: None,
            checked_sales: 0,
            driver,
        }
    }

    fn books(&self) -> &Books {
        &self.driver.books
    }

    /// Panics at a violation, with the transcript of the run.
    fn expect<T>(&self, checked: driftshield_tests::soak::Checked<T>) -> T {
        checked.unwrap_or_else(|violation| panic!("{}\n{}", violation.0, self.driver.transcript()))
    }

    /// Everybody leaves, whatever the thieves do.
    fn run(&mut self) {
        // Anybody can trigger payouts that are due, and an earlier payout bears no later losses. So both
        // runs start with all payouts that are due.
        self.leave();
        self.prepare_theft();
        self.strike(14);
        self.request_withdrawals(|_| true);
        self.leave();
        while let Some(at) = self.next_event() {
            let waited = self.driver.step(Step::Until(at));
            self.expect(waited);
            self.measure();
            if at < self.since + ATTACK_SECS {
                self.strike(2);
                self.use_own_model();
            }
            self.leave();
        }
    }

    /// Time of the next window end or due payout, unix seconds.
    fn next_event(&self) -> Option<i64> {
        let books = self.books();
        let ends = self.windows.iter().flat_map(|(at, windows)| {
            let model = &books.models[at];
            let over = windows.last().map(|&last| model.submit_end(last));
            let ends = windows.iter().map(|&window| model.window_end(window));
            ends.chain(over).map(Result::unwrap)
        });
        let own = self.own_model.into_iter().flat_map(|at| {
            let model = &books.models[&at];
            OWN_WINDOWS.map(|window| model.window_end(window).unwrap())
        });
        let due = wind_down::next_due_before_retention(books);
        let all = ends.chain(own).chain(due);
        all.filter(|at| books.now < *at).min()
    }

    fn carry_out(&mut self, call: Call) -> bool {
        let done = wind_down::execute(self.driver, call, &mut self.payouts);
        self.expect(done)
    }

    /// The owners of shares request the withdrawal of `which` amounts.
    fn request_withdrawals(&mut self, which: impl Fn(u64) -> bool) {
        for call in wind_down::withdrawal_requests(self.books()) {
            if let Call::RequestWithdraw {
                signer: who,
                vault,
                shares,
                ..
            } = &call
                && which(*shares)
                && self.owned.contains(&Holding::Shares(*vault, *who))
            {
                self.carry_out(call);
            }
        }
    }

    /// Triggers all payouts that are due, requests again what an exit window gave back, and unbonds the
    /// oracles that have nothing left to measure.
    fn leave(&mut self) {
        let kinds = [
            wind_down::finalizations,
            wind_down::settlements,
            wind_down::market_payouts,
            wind_down::policy_payouts,
            wind_down::vault_payouts,
            wind_down::model_payouts,
        ];
        for _ in 0..2 {
            for kind in kinds {
                for call in kind(self.books()) {
                    self.carry_out(call);
                }
            }
        }
        self.request_withdrawals(|shares| shares == 0);
        for call in wind_down::unbond_requests(self.books()) {
            if let Call::RequestUnbond {
                signer: who, model, ..
            } = &call
            {
                let is_needed = self.windows.get(model).is_some_and(|windows| {
                    let last = windows.last().unwrap();
                    self.books().now < self.books().models[model].submit_end(*last).unwrap()
                });
                if !is_needed && self.owned.contains(&Holding::Bond(*model, *who)) {
                    self.carry_out(call);
                }
            }
        }
    }

    /// The honest oracles submit a window that ends now. Its drift is the same in both runs.
    fn measure(&mut self) {
        let mut calls = Vec::new();
        for (at, windows) in &self.windows {
            let model = &self.books().models[at];
            let now = self.books().now;
            for &window in windows {
                if model.window_end(window).unwrap() != now {
                    continue;
                }
                let mut dice = StdRng::seed_from_u64(seed_of(self.seed, at, window));
                let value = if dice.random_ratio(2, 3) {
                    dice.random_range(0..20_000)
                } else {
                    dice.random_range(20_000..600_000)
                };
                for oracle in &self.honest[at] {
                    let mut thieves = Attackers::new(self.driver, self.seed, false);
                    calls.push(thieves.submission(self.driver, *oracle, *at, window, value));
                }
            }
        }
        for call in calls {
            self.carry_out(call);
        }
    }

    // The thieves.

    /// The thieves try `attempts` random instructions.
    fn strike(&mut self, attempts: usize) {
        let Some(mut thieves) = self.thieves.take() else {
            return;
        };
        let struck = thieves.attack(self.driver, attempts, &mut self.payouts);
        self.thieves = Some(thieves);
        self.expect(struck);
        self.check_sales();
    }

    /// The thieves carry out `call`. Returns whether it succeeded.
    fn steal(&mut self, call: Call) -> bool {
        let Some(mut thieves) = self.thieves.take() else {
            return false;
        };
        let done = thieves.execute(self.driver, call, &mut self.payouts);
        self.thieves = Some(thieves);
        let done = self.expect(done);
        self.check_sales();
        done
    }

    /// Asserts that no shares under a withdrawal request have to bear cover that was sold on the thieves'
    /// listings: all requests are due, and the vault has enough free capital to pay them.
    fn check_sales(&mut self) {
        let Some(thieves) = &self.thieves else { return };
        let new = thieves.sales[self.checked_sales..].to_vec();
        self.checked_sales = thieves.sales.len();
        let books = &self.driver.books;
        for sale in new.into_iter().filter(|sale| sale.on_stolen_listing) {
            let requests = books.requests_of(&sale.vault);
            let owned: Vec<_> = requests
                .filter(|request| {
                    self.owned
                        .contains(&Holding::Shares(request.vault, request.owner))
                })
                .collect();
            let vault = &books.vaults[&sale.vault];
            let values = owned
                .iter()
                .map(|request| request.value.min(vault.worth(request.shares)));
            assert!(
                owned.iter().all(|request| request.unlock_at <= sale.at)
                    && values.sum::<Amount>() <= vault.free_assets(books.locked(&sale.vault)),
                "{sale:?} is borne by one of {owned:?}, which could not be withdrawn before\n{}",
                self.driver.transcript()
            );
        }
    }

    /// An accomplice opens share accounts in every vault. If the plan is to sell cover, the thieves register
    /// a model and list it in every vault of the model's mint.
    fn prepare_theft(&mut self) {
        let Some(thieves) = &self.thieves else { return };
        let who = thieves.accomplice;
        let vaults: Vec<Address> = self.books().vaults.keys().copied().collect();
        for vault in vaults {
            self.carry_out(Call::OpenShares { signer: who, vault });
        }
        if !self.sells {
            return;
        }
        let mints: Vec<Address> = self.books().collaterals.keys().copied().collect();
        let mint = mints[self.seed as usize / 4 % mints.len()];
        self.allow_risk(&mint);
        let terms = self.books().collaterals[&mint].terms;
        let thieves = self.thieves.as_ref().unwrap();
        let oracle = thieves.puppet_oracle;
        let register = thieves.register_model(self.books(), mint);
        let Call::RegisterModel {
            signer: who, id, ..
        } = &register
        else {
            unreachable!()
        };
        let model = address::model(who, *id);
        if !self.steal(register) {
            return;
        }
        self.own_model = Some(model);
        self.thieves.as_mut().unwrap().own_model = Some(model);
        let source = self.books().own_account(&oracle, &mint);
        self.steal(Call::Bond {
            signer: oracle,
            model,
            source,
            amount: terms.min_bond,
        });
        let vaults = self.books().vaults.iter();
        let vaults = vaults.filter(|(_, vault)| vault.mint == mint);
        let vaults: Vec<Address> = vaults.map(|(at, _)| *at).collect();
        for vault in vaults {
            let list = attackers::listing(self.books(), &vault, &model);
            self.steal(list);
        }
    }

    /// Enables the collateral and clears all pause flags, so that the thieves can sell cover.
    fn allow_risk(&mut self, mint: &Address) {
        let admin = self.books().config.as_ref().unwrap().admin;
        let collateral = &self.books().collaterals[mint];
        let enable = Call::UpdateCollateral {
            signer: admin,
            mint: *mint,
            terms: collateral.terms,
            enabled: true,
        };
        let is_enabled = collateral.enabled;
        if self.books().config.as_ref().unwrap().paused != 0 {
            self.steal(Call::SetPause {
                signer: admin,
                flags: 0,
            });
        }
        if !is_enabled {
            self.steal(enable);
        }
    }

    /// The thieves measure the window of their model that ends now: without drift until they have bought
    /// cover on it, then with a drift that lets them claim.
    fn use_own_model(&mut self) {
        let Some(model) = self.own_model else { return };
        let state = &self.books().models[&model];
        let ends = |window: &u64| state.window_end(*window) == Ok(self.books().now);
        let Some(window) = OWN_WINDOWS.into_iter().find(ends) else {
            return;
        };
        let mint = state.mint;
        self.allow_risk(&mint);
        let listed = self.books().exposures.values();
        let listed = listed.filter(|exposure| exposure.model == model);
        let vaults: Vec<Address> = listed.map(|exposure| exposure.vault).collect();
        for vault in vaults {
            let mut thieves = self.thieves.take().unwrap();
            let buy = thieves.buy(self.books(), &vault, &model);
            self.thieves = Some(thieves);
            self.steal(buy.expect("a listing"));
        }
        let is_sold = self.books().policies.values().any(|of| of.model == model);
        let mut thieves = self.thieves.take().unwrap();
        let value = if is_sold { 900_000 } else { 0 };
        let submit = thieves.submission(self.driver, thieves.puppet_oracle, model, window, value);
        self.thieves = Some(thieves);
        self.steal(submit);
    }
}

/// Counts over all runs, which show that the test is not vacuous.
#[derive(Default)]
struct Statistics {
    /// Holdings whose payouts were compared.
    compared: u64,
    /// Holdings that were paid without thieves.
    paid: u64,
    /// Holdings that were paid less for one of the allowed reasons.
    excused: u64,
    /// Sales of cover on the thieves' listings.
    sold: u64,
    /// How often each instruction was tried by thieves, and how often it succeeded.
    attempts: BTreeMap<&'static str, (u64, u64)>,
}

impl Statistics {
    /// Asserts that the thieves tried every instruction, that most succeeded, that they sold cover, and that
    /// more than half of the holdings were paid and fewer than half excused. Unless `rules`, also asserts
    /// that no ruling of the thieves succeeded.
    fn assert_meaningful(&self, rules: bool) {
        for instruction in committed_idl::instructions() {
            let (tried, succeeded) = self
                .attempts
                .get(&*instruction.name)
                .copied()
                .unwrap_or((0, 0));
            let must_fail = match &*instruction.name {
                "initialize" => true,
                "rule_receipt" => !rules,
                _ => false,
            };
            let name = &instruction.name;
            assert!(0 < tried, "thieves never tried {name}");
            assert!(
                !must_fail || succeeded == 0,
                "thieves succeeded {succeeded} times in {name}"
            );
        }
        let successful = self
            .attempts
            .values()
            .filter(|(_, succeeded)| 0 < *succeeded);
        assert!(30 <= successful.count(), "{:?}", self.attempts);
        let (compared, paid, excused) = (self.compared, self.paid, self.excused);
        assert!(
            compared < 2 * paid,
            "only {paid} of {compared} holdings were paid"
        );
        assert!(
            2 * excused < compared,
            "{excused} of {compared} holdings were excused"
        );
        assert!(0 < self.sold, "thieves sold no cover on their listings");
    }
}

/// Compares what every holding is paid in a run without thieves and in one with them.
fn assert_no_holding_loses_value(
    seed: u64,
    step: usize,
    driver: &Driver,
    plan: AttackPlan,
    statistics: &mut Statistics,
) {
    let context = format!("seed {seed}, step {step}");
    // Given a state, and what every holding is paid in a run without thieves
    let run_seed = seed_of(seed, &driver.actors.address(0), step as u64);
    let mut calm = driver.fork();
    let mut calm_run = ExitRun::new(&mut calm, run_seed, None);
    calm_run.run();
    let (owned, expected) = (calm_run.owned, calm_run.payouts);

    // When every privileged key is stolen, and everybody leaves
    let mut attacked = driver.fork();
    let mut attacked_run = ExitRun::new(&mut attacked, run_seed, Some(plan));
    attacked_run.run();
    let found = attacked_run.payouts;
    let thieves = attacked_run.thieves.unwrap();

    // Then no holding is paid less
    for holding in owned {
        let [without, with] = [&expected, &found].map(|of| of.get(&holding).copied().unwrap_or(0));
        let tolerance = match holding {
            Holding::Shares(..) => ROUNDING + without / EARLY_PAYMENT_DIVISOR,
            _ => 0,
        };
        statistics.compared += 1;
        statistics.paid += u64::from(0 < without);
        if with + tolerance < without && thieves.may_lower(&driver.books, &holding) {
            statistics.excused += 1;
            continue;
        }
        assert!(
            without <= with + tolerance,
            "{context}: {holding:?} was paid {with} instead of {without}\n{}",
            attacked.transcript()
        );
    }
    statistics.sold += thieves
        .sales
        .iter()
        .filter(|sale| sale.on_stolen_listing)
        .count() as u64;
    for (name, (tried, succeeded)) in thieves.attempts {
        let all = statistics.attempts.entry(name).or_default();
        all.0 += tried;
        all.1 += succeeded;
    }
}

/// Tests [`STOPS`] states of each run. A run is given by its seed and the number of steps between two
/// tested states.
fn assert_harmless(seeds: &[(u64, usize)], rules: bool) {
    let mut statistics = Statistics::default();
    for &(seed, every) in seeds {
        for (step, driver) in checkpoints(seed, every, STOPS) {
            let sells = step / every % 4 == 0;
            let plan = AttackPlan { sells, rules };
            assert_no_holding_loses_value(seed, step, &driver, plan, &mut statistics);
        }
    }
    statistics.assert_meaningful(rules);
}

#[test]
fn thieves_take_nothing_from_early_states() {
    assert_harmless(&[(201, 8), (202, 11)], false);
}

#[test]
fn thieves_take_nothing_from_states_after_some_hundred_steps() {
    assert_harmless(&[(203, 14), (204, 19)], false);
}

#[test]
fn thieves_take_nothing_from_late_states() {
    assert_harmless(&[(205, 22), (206, 28)], false);
}

#[test]
fn thieves_with_the_arbiters_key_take_nothing_but_by_rulings() {
    assert_harmless(&[(207, 11), (208, 16)], true);
}
