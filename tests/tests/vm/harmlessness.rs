//! If every privileged key but the upgrade authority were stolen, nothing that anybody has would be worth
//! less, but by a dispute's ruling or by a quorum's false counts that nobody challenged: from the states
//! that random runs come to.
//!
//! Worth is what the exit pays. Each state has two futures, in which the honest oracles measure the same
//! and everybody leaves at once: one without the thieves, and one in which they do their worst.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anchor_lang_idl::types::Idl;
use driftshield_sdk::{Address, address};
use driftshield_tests::{
    idl,
    soak::{
        Driver, Step,
        attackers::{self, Attackers},
        books::{Amount, Books, DAY},
        call::Call,
        checkpoints,
        wind_down::{self, Holding, Payouts},
    },
};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// States of a run that are looked at.
const STOPS: usize = 25;
/// Windows of each model that are measured after the theft.
const MEASURED: usize = 2;
/// Windows of the thieves' own model that they measure: a history within the notice of its listings, and
/// one beyond that.
const OWN_WINDOWS: [u64; 18] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 24, 25, 26, 27, 28, 29, 30, 31, 32,
];
/// How long thieves go on.
const SIEGE: i64 = 2 * DAY;
/// Shares are whole: each partial withdrawal rounds less than a unit away, and so does each deposit of
/// others.
const ROUNDING: Amount = 8;
/// What is held back is paid in parts, whenever anybody asks for it: after a loss, the earlier it is the
/// less has streamed since. In these runs that is a smaller part than this of what is paid.
const EARLIER: Amount = 1_000_000;

/// What thieves do beside all the rest.
#[derive(Clone, Copy, Default)]
struct Plan {
    /// They make a model that only they measure, and sell cover on it.
    sells: bool,
    /// They rule on what is in dispute.
    rules: bool,
}

/// What goes on after a state.
struct Future<'a> {
    driver: &'a mut Driver,
    seed: u64,
    since: i64,
    /// Everything that somebody has, and what was paid for it.
    owned: BTreeSet<Holding>,
    payouts: Payouts,
    /// Who tells the truth, by model that something depends on, and the windows that they will measure.
    honest: BTreeMap<Address, Vec<Address>>,
    windows: BTreeMap<Address, Vec<u64>>,
    thieves: Option<Attackers>,
    /// Whether they sell cover on a model of their own.
    sells: bool,
    /// The thieves' own model, which they measure as they like.
    own_model: Option<Address>,
    /// How many of the thieves' sales were looked at.
    looked_at: usize,
}

fn seed_of(seed: u64, of: &Address, window: u64) -> u64 {
    let bytes: [u8; 8] = of.as_ref()[..8].try_into().unwrap();
    seed ^ u64::from_le_bytes(bytes) ^ window.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl<'a> Future<'a> {
    fn new(driver: &'a mut Driver, seed: u64, plan: Option<Plan>) -> Self {
        let Plan { sells, rules } = plan.unwrap_or_default();
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
            looked_at: 0,
            driver,
        }
    }

    fn books(&self) -> &Books {
        &self.driver.books
    }

    fn told<T>(&self, checked: driftshield_tests::soak::Checked<T>) -> T {
        checked.unwrap_or_else(|violation| panic!("{}\n{}", violation.0, self.driver.transcript()))
    }

    /// Everybody leaves, whatever the thieves do.
    fn run(&mut self) {
        // Anybody can have capital freed and paid out that has cooled down, which leaves losses to others:
        // so all that is due comes first, in both futures.
        self.leave();
        self.begin_theft();
        self.strike(14);
        for call in wind_down::withdrawal_requests(self.books()) {
            if let Call::RequestWithdraw {
                signer: who, vault, ..
            } = &call
                && self.owned.contains(&Holding::Shares(*vault, *who))
            {
                self.carry_out(call);
            }
        }
        self.leave();
        while let Some(at) = self.next() {
            let waited = self.driver.step(Step::Until(at));
            self.told(waited);
            self.measure();
            if at < self.since + SIEGE {
                self.strike(2);
                self.use_own_model();
            }
            self.leave();
        }
    }

    /// When something happens next.
    fn next(&self) -> Option<i64> {
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
        self.told(done)
    }

    /// What is due is paid, and bonds are asked back once nothing depends on them.
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
        for call in wind_down::unbond_requests(self.books()) {
            if let Call::RequestUnbond {
                signer: who, model, ..
            } = &call
            {
                let measures = self.windows.get(model).is_some_and(|windows| {
                    let last = windows.last().unwrap();
                    self.books().now < self.books().models[model].submit_end(*last).unwrap()
                });
                if !measures && self.owned.contains(&Holding::Bond(*model, *who)) {
                    self.carry_out(call);
                }
            }
        }
    }

    /// The honest oracles tell the same drift of each window in both futures.
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

    fn strike(&mut self, tricks: usize) {
        let Some(mut thieves) = self.thieves.take() else {
            return;
        };
        let struck = thieves.attack(self.driver, tricks, &mut self.payouts);
        self.thieves = Some(thieves);
        self.told(struck);
        self.look_at_sales();
    }

    fn steal(&mut self, call: Call) -> bool {
        let Some(mut thieves) = self.thieves.take() else {
            return false;
        };
        let done = thieves.execute(self.driver, call, &mut self.payouts);
        self.thieves = Some(thieves);
        let done = self.told(done);
        self.look_at_sales();
        done
    }

    /// Nobody bears cover that was sold on a listing of the thieves' while its shares were cooling down or
    /// held back.
    fn look_at_sales(&mut self) {
        let Some(thieves) = &self.thieves else { return };
        let new = thieves.sales[self.looked_at..].to_vec();
        self.looked_at = thieves.sales.len();
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
                "{sale:?} is borne by one of {owned:?}, which could not leave\n{}",
                self.driver.transcript()
            );
        }
    }

    /// An accomplice opens accounts for shares, and thieves list a model of their own wherever it can be.
    fn begin_theft(&mut self) {
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
        let tool = thieves.puppet_oracle;
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
        let source = self.books().own_account(&tool, &mint);
        self.steal(Call::Bond {
            signer: tool,
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

    /// Thieves who sell cover pause nothing.
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

    /// A window of it is measured; cover is bought as soon as there is a history, and claimed when the
    /// model is said to drift.
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

#[derive(Default)]
struct Seen {
    compared: u64,
    paid: u64,
    excused: u64,
    sold: u64,
    tried: BTreeMap<&'static str, (u64, u64)>,
}

fn nothing_is_worth_less(seed: u64, step: usize, driver: &Driver, plan: Plan, seen: &mut Seen) {
    let whence = format!("seed {seed}, step {step}");
    // Given a state, and what everybody is paid who leaves it while nothing else happens
    let number = seed_of(seed, &driver.actors.address(0), step as u64);
    let mut calm = driver.fork();
    let mut without = Future::new(&mut calm, number, None);
    without.run();
    let (owned, expected) = (without.owned, without.payouts);

    // When every key is stolen, and everybody leaves
    let mut troubled = driver.fork();
    let mut with = Future::new(&mut troubled, number, Some(plan));
    with.run();
    let found = with.payouts;
    let thieves = with.thieves.unwrap();

    // Then nobody is paid less
    for holding in owned {
        let [was, is] = [&expected, &found].map(|of| of.get(&holding).copied().unwrap_or(0));
        let rounding = match holding {
            Holding::Shares(..) => ROUNDING + was / EARLIER,
            _ => 0,
        };
        seen.compared += 1;
        seen.paid += u64::from(0 < was);
        if is + rounding < was && thieves.may_lower(&driver.books, &holding) {
            seen.excused += 1;
            continue;
        }
        assert!(
            was <= is + rounding,
            "{whence}: {holding:?} paid {is} instead of {was}\n{}",
            troubled.transcript()
        );
    }
    seen.sold += thieves
        .sales
        .iter()
        .filter(|sale| sale.on_stolen_listing)
        .count() as u64;
    for (name, (tried, succeeded)) in thieves.attempts {
        let all = seen.tried.entry(name).or_default();
        all.0 += tried;
        all.1 += succeeded;
    }
}

fn thieves_strike(seeds: &[(u64, usize)], rules: bool) {
    let mut seen = Seen::default();
    for &(seed, every) in seeds {
        for (step, driver) in checkpoints(seed, every, STOPS) {
            let sells = step / every % 4 == 0;
            let plan = Plan { sells, rules };
            nothing_is_worth_less(seed, step, &driver, plan, &mut seen);
        }
    }
    // Every instruction was tried, most have succeeded, and most that was compared was paid
    let file = fs::read_to_string(idl::root().join("idl/driftshield.json")).unwrap();
    let idl: Idl = serde_json::from_str(&file).unwrap();
    for instruction in idl.instructions {
        let (tried, succeeded) = seen
            .tried
            .get(&*instruction.name)
            .copied()
            .unwrap_or((0, 0));
        let never = match &*instruction.name {
            "initialize" => true,
            "rule_receipt" => !rules,
            _ => false,
        };
        let name = instruction.name;
        assert!(0 < tried, "thieves never tried {name}");
        assert!(
            !never || succeeded == 0,
            "thieves have {succeeded} times succeeded in {name}"
        );
    }
    let successful = seen.tried.values().filter(|(_, succeeded)| 0 < *succeeded);
    assert!(30 <= successful.count(), "{:?}", seen.tried);
    let (compared, paid, excused) = (seen.compared, seen.paid, seen.excused);
    assert!(compared < 2 * paid, "{paid} of {compared} were paid");
    assert!(
        2 * excused < compared,
        "{excused} excused, {compared} compared"
    );
    assert!(0 < seen.sold, "thieves sold nothing on their listings");
}

#[test]
fn thieves_take_nothing_from_early_states() {
    thieves_strike(&[(201, 5), (202, 7)], false);
}

#[test]
fn thieves_take_nothing_from_states_of_some_hundred_steps() {
    thieves_strike(&[(203, 9), (204, 12)], false);
}

#[test]
fn thieves_take_nothing_from_late_states() {
    thieves_strike(&[(205, 14), (206, 18)], false);
}

#[test]
fn thieves_take_nothing_but_by_rulings() {
    thieves_strike(&[(207, 7), (208, 10)], true);
}
