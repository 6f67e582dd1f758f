//! A run of a plan: day by day, everybody acts, and at the end everybody leaves.

use std::collections::BTreeSet;

use driftshield_sdk::{Measurement, ModelStatus};
use rand::Rng;

use super::{
    bound::Mark,
    cover::Wanted,
    motive::Motive,
    plan::{Plan, Report},
    stage::{ORACLE_WEALTH, Stage},
    truth::{CALM_UNTIL, END, counts},
    watch::LONGEST_STEP,
};
use crate::{insurance::HISTORY, world::TOKEN};

/// The last window after which others take new risk: their cover ends before [`END`].
pub const LAST_TRADE: u64 = END - 10;

#[derive(Clone)]
pub struct Run<'a> {
    pub plan: &'a Plan,
    pub stage: Stage,
    /// Whether the coalition does what it is after.
    pub acts: bool,
    /// How often it did.
    pub deeds: u64,
    /// The state when it first did.
    pub mark: Option<Mark>,
    /// The last window about which its oracles lied.
    pub last_lie: Option<u64>,
    /// Windows after which others traded, and were accepted.
    pub trades: BTreeSet<u64>,
}

impl<'a> Run<'a> {
    /// The state before the coalition acts.
    pub fn start(plan: &'a Plan) -> Self {
        let mut run = Self {
            plan,
            stage: Stage::new(plan),
            acts: false,
            deeds: 0,
            mark: None,
            last_lie: None,
            trades: BTreeSet::new(),
        };
        run.day(HISTORY);
        run.stage.take_positions(plan);
        for window in HISTORY + 1..CALM_UNTIL {
            run.day(window);
        }
        run
    }

    /// Runs to the end. Others don't trade after the windows `left_out`.
    pub fn finish(mut self, acts: bool, left_out: &BTreeSet<u64>) -> Self {
        self.acts = acts;
        for window in CALM_UNTIL..END {
            self.day(window);
            if window <= LAST_TRADE && !left_out.contains(&window) && self.trade(window) {
                self.trades.insert(window);
            }
            if self.plan.motive == Motive::BuyStakes {
                self.stage.offer_stakes();
            }
            self.in_the_evening(window);
        }
        while !self.stage.disputed().is_empty() {
            self.stage.scene.world.pass(LONGEST_STEP);
            self.rule();
            self.stage.settle_due();
        }
        self.stage.wind_down();
        self
    }

    /// From the end of `window` to the end of the time for a challenge of it.
    fn day(&mut self, window: u64) {
        let model = self.stage.scene.model.clone();
        self.stage.scene.world.warp_to_end(&model, window);
        self.rule();
        self.submit(window);
        self.after_submissions(window);
        let state = self.stage.scene.model();
        self.stage.scene.world.pass(state.submit_secs);
        self.stage.settle_due();
        self.before_others_challenge(window);
        if !self.acts || self.plan.motive.is_watched() {
            self.stage.challenge_if_wrong(self.plan, window);
        }
        self.rule();
        self.stage.scene.world.pass(state.challenge_secs);
        self.rule();
        self.stage.settle_due();
    }

    /// The arbiter acts; if it is in the coalition, it waits until its time is over, or rules for the liars.
    fn rule(&mut self) {
        match self.plan.motive {
            Motive::RuleLate if self.acts => {}
            Motive::RuleForLiars if self.acts => self.rule_for_liars(),
            _ => self.stage.rule_honestly(self.plan),
        }
    }

    fn submit(&mut self, window: u64) {
        let model = self.stage.scene.model.clone();
        let lie = self.lie(window);
        if lie.is_some() {
            self.count_deeds(1);
            self.last_lie = Some(window);
        }
        if !self.takes_receipts() {
            return;
        }
        let truth = self.plan.truth.at(window);
        for oracle in 0..self.plan.oracles {
            let report = lie.filter(|_| self.plan.corrupt.contains(&oracle));
            let said: Measurement = match report {
                None => truth,
                Some(Report::Counted(measurement)) => measurement,
                Some(Report::Nothing) => continue,
            };
            if self.stage.scene.model().seat_counts(oracle) {
                let world = &mut self.stage.scene.world;
                let sent = world.submit(&model, oracle, window, &counts(said));
                sent.expect("submit_receipt");
            }
        }
        if lie.is_some() && self.plan.flees {
            self.flee();
        }
    }

    /// Whether the model takes submissions: a retired one does only while something depends on it.
    fn takes_receipts(&self) -> bool {
        let model = self.stage.scene.model();
        model.status == ModelStatus::Active || 0 < model.exposure
    }

    /// Counts `deeds` that the coalition is about to do, or has just done.
    pub fn count_deeds(&mut self, deeds: u64) {
        if deeds == 0 {
            return;
        }
        self.deeds += deeds;
        self.mark.get_or_insert_with(|| Mark::of(&self.stage));
    }

    /// Others buy cover, deposit or withdraw. Returns whether the program accepted it.
    fn trade(&mut self, window: u64) -> bool {
        let mut random = self.plan.random(window);
        let holder = self.stage.cast.holders[random.random_range(0..2)].clone();
        let provider = self.stage.cast.provider.clone();
        match random.random_range(0..8) {
            0..3 => {
                let wanted = Wanted {
                    persistence: random.random_range(1..=2),
                    ..Wanted::of(random.random_range(2..=5), random.random_range(3..=6))
                };
                self.stage.cover(&holder, wanted)
            }
            3 => {
                let amount = random.random_range(1..=20) * 100 * TOKEN;
                self.stage.scene.deposit(&provider, amount).is_ok()
            }
            4 => {
                let shares = self.stage.scene.shares(&provider) / 2;
                self.stage.scene.request(&provider, shares).is_ok()
            }
            _ => false,
        }
    }

    /// What the oracles outside the coalition have been paid.
    pub fn honest_pay(&self) -> u64 {
        let oracles = self.stage.scene.model.oracles.iter().enumerate();
        let honest = oracles.filter(|(oracle, _)| !self.plan.corrupt.contains(oracle));
        let tokens = honest.map(|(_, oracle)| self.stage.scene.world.tokens(&oracle.tokens));
        tokens.map(|tokens| tokens - ORACLE_WEALTH).sum()
    }

    /// The tokens of everybody in the coalition, less what the helpers of the world gave away.
    pub fn purse(&self) -> u64 {
        let scene = &self.stage.scene;
        let oracles = self.plan.corrupt.iter();
        let oracles = oracles.map(|oracle| &scene.model.oracles[*oracle]);
        let manager = self.plan.has_manager.then_some(&scene.manager);
        let members = oracles
            .chain([&self.stage.cast.friend, &scene.model.owner])
            .chain(manager);
        let tokens: u64 = members
            .map(|member| scene.world.tokens(&member.tokens))
            .sum();
        tokens - self.stage.records.gifts
    }
}
