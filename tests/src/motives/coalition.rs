//! What the coalition does, and when.

use driftshield_sdk::{
    DriftShieldError, Measurement, ModelTerms, Receipt, ReceiptState, VaultTerms, instruction,
};
use solana_signer::Signer;

use super::{
    cover::Wanted,
    motive::{Lie, Motive},
    plan::Report,
    run::{LAST_TRADE, Run},
    stage::{MARKET_END, MARKET_START},
    truth::{CALM_UNTIL, counts},
};
use crate::{insurance::*, world::*};

/// Most false rulings of a run: each slashes the honest oracles, who would have left after a few.
const FALSE_RULINGS: u64 = 2;
/// The window after which a friend of the manager buys: the announced terms have taken effect.
const CHEAP_FROM: u64 = CALM_UNTIL + 9;
/// Percent of the budget for cover, and windows, that a coalition buys on what it knows.
const KNOWN: (u64, u64) = (15, 4);

impl Run<'_> {
    /// What the coalition's oracles do about `window` instead of submitting the truth.
    pub fn lie(&self, window: u64) -> Option<Report> {
        let lie = self.plan.motive.lie().filter(|_| self.acts)?;
        let report = self.plan.lie(window, lie)?;
        let is_timely = match self.plan.motive {
            // Once the cover has begun, its holder wants drift to be measured.
            Motive::BuyAndWithhold => self.stage.is_on_probation(&self.stage.cast.friend),
            Motive::LeaveAndWithhold => self.is_delay_of_use(window),
            _ => self.deeds < self.plan.most_lies,
        };
        if !is_timely {
            return None;
        }
        // Who owes no submission breaks no rule by silence.
        let model = self.stage.scene.model();
        let is_owed = model.observes(window).expect("in range");
        let is_breach = is_owed || lie != Lie::Silence || !self.plan.motive.is_watched();
        is_breach.then_some(report)
    }

    /// The coalition's oracles ask for their bonds. The program refuses that if too little would be left
    /// to secure what is at risk.
    pub fn flee(&mut self) {
        let (model, state) = (self.stage.scene.model.clone(), self.stage.scene.model());
        for oracle in &self.plan.corrupt {
            let (key, bond) = (&model.oracles[*oracle], state.bonds[*oracle]);
            let unbond = instruction::request_unbond(key.address(), model.address, bond);
            let _ = self.stage.scene.world.send(unbond, &[&key.key]);
        }
    }

    /// Once the oracles have submitted.
    pub fn after_submissions(&mut self, window: u64) {
        let drifts = CALM_UNTIL <= window && self.plan.truth.drifts(window);
        match self.plan.motive {
            Motive::ChallengeOwn if self.acts => self.challenge_own(window),
            Motive::LeaveFirst if self.acts && self.deeds == 0 && drifts => {
                self.count_deeds(1);
                self.request_all();
            }
            // A report ends every ask, so nobody sells to somebody who has read it.
            Motive::BuyStakes if self.acts => assert!(!self.buy_stakes(), "sold after a report"),
            _ => {}
        }
    }

    /// When the submit period is over.
    pub fn before_others_challenge(&mut self, window: u64) {
        if !self.acts {
            return;
        }
        match self.plan.motive {
            Motive::ChallengeOwn => self.challenge_own(window),
            // If it challenges some windows that drift only, it may hope for the others to pay first.
            Motive::LeaveAndChallenge
                if self.deeds < self.plan.most_lies && self.is_delay_of_use(window) =>
            {
                self.challenge_with_wish(window);
            }
            Motive::ChallengeFalsely if self.deeds < self.plan.most_lies => {
                self.challenge_with_wish(window);
            }
            Motive::RuleFalsely if self.deeds < FALSE_RULINGS => {
                if let Some(wish) = self.challenge_with_wish(window) {
                    self.stage.rule(window, wish);
                }
            }
            _ => {}
        }
    }

    /// After the trades of others.
    pub fn in_the_evening(&mut self, window: u64) {
        match self.plan.motive {
            Motive::SellCheaply => self.sell_cheaply(window),
            // Leaving and buying break no rule; the three motives within the rules are compared with doing nothing.
            Motive::LeaveAndWithhold | Motive::LeaveAndChallenge
                if self.plan.truth.drifts(window + 1) =>
            {
                self.request_all();
            }
            Motive::BuyAndWithhold if window <= LAST_TRADE => {
                self.buy_what_it_knows();
            }
            Motive::BuyOnRunning | Motive::BuyOnComing if self.acts && window <= LAST_TRADE => {
                let is_bought = self.buy_what_it_knows();
                self.count_deeds(is_bought.into());
            }
            Motive::BuyStakes if self.acts => {
                let is_bought = self.buy_stakes();
                self.count_deeds(is_bought.into());
            }
            Motive::BendAndReturn if self.acts => self.return_slashes(),
            Motive::RenewOnRunning if self.acts && self.plan.truth.drifts(window + 1) => {
                let is_renewed = self.stage.renew_for_holder();
                self.count_deeds(is_renewed.into());
            }
            Motive::DepositLate if self.acts && self.deeds == 0 => self.deposit_late(window),
            Motive::DepositAndRequest if self.acts && self.deeds == 0 => {
                self.count_deeds(1);
                let friend = self.stage.cast.friend.clone();
                self.stage.deposit(&friend, 10 * CAPITAL);
                self.request_all();
            }
            Motive::UseOwnersPowers if self.acts && window == CALM_UNTIL => {
                self.use_owners_powers();
            }
            _ => {}
        }
    }

    // Disputes.

    /// The arbiter rules what the oracles of the coalition have submitted.
    pub fn rule_for_liars(&mut self) {
        for window in self.stage.disputed() {
            let lie = self.plan.lie(window, Lie::Bend);
            let found = match lie {
                Some(Report::Counted(said)) if self.last_lie == Some(window) => said,
                _ => self.plan.truth.at(window),
            };
            self.stage.rule(window, found);
        }
    }

    /// Asserts the truth against what the coalition's oracles submitted, once it is proposed.
    fn challenge_own(&mut self, window: u64) {
        if self.last_lie == Some(window) {
            self.challenge(window, self.plan.truth.at(window));
        }
    }

    /// Asserts what the coalition would like to be true against an honest proposal. Returns the wish.
    fn challenge_with_wish(&mut self, window: u64) -> Option<Measurement> {
        let wish = self.plan.wish(window)?;
        self.challenge(window, wish).then(|| {
            self.count_deeds(1);
            wish
        })
    }

    /// Whether a dispute can delay the end of `window`, or what it is worth, until the friend's capital is paid
    /// out. What a window is worth is borne within two steps after the last dispute about it; and if another
    /// one took its place, that would be a few windows later.
    fn is_delay_of_use(&self, window: u64) -> bool {
        let state = self.stage.scene.model();
        let end = state.window_end(window).expect("in range");
        let usual = end + state.submit_secs + state.challenge_secs;
        let paid_at = self.stage.records.left_at.map(|at| at + COOLDOWN);
        paid_at.is_some_and(|at| {
            usual <= at && at <= end + state.dispute_secs() + 5 * state.window_secs
        })
    }

    fn challenge(&mut self, window: u64, assertion: Measurement) -> bool {
        let receipt = self.stage.open_receipt(window);
        if receipt.is_none_or(|receipt| receipt.state != ReceiptState::Proposed) {
            return false;
        }
        let (model, friend) = (
            self.stage.scene.model.clone(),
            self.stage.cast.friend.clone(),
        );
        let world = &mut self.stage.scene.world;
        let sent = world.challenge(&model, window, &friend, &counts(assertion));
        sent.is_ok()
    }

    /// The admin returns to the liars what rulings slashed.
    fn return_slashes(&mut self) {
        for (_, receipt) in self.stage.all::<Receipt>() {
            if receipt.is_appealable() {
                let (model, state) = (self.stage.scene.model.address, self.stage.scene.model());
                let admin = self.stage.scene.world.admin.insecure_clone();
                let back = instruction::return_slashes(admin.pubkey(), model, &state, &receipt);
                let sent = self.stage.scene.world.send(back, &[&admin]);
                sent.expect("return_slashes");
            }
        }
    }

    // Cover.

    /// Buys cover if it knows that the running window drifts, or that the windows before the first
    /// covered one are calm and a covered one drifts.
    fn buy_what_it_knows(&mut self) -> bool {
        let (now, state) = (self.stage.scene.world.now(), self.stage.scene.model());
        let running = state.next_window(now) - 1;
        let first = self.stage.scene.terms().first_window;
        let truth = &self.plan.truth;
        let is_promising = match self.plan.motive {
            Motive::BuyOnRunning | Motive::BuyAndWithhold => truth.drifts(running),
            _ => (running..first).all(|window| !truth.drifts(window)) && truth.drifts(first),
        };
        let friend = self.stage.cast.friend.clone();
        is_promising && self.stage.cover(&friend, Wanted::of(KNOWN.0, KNOWN.1))
    }

    /// The manager announces that cover is free; its friend buys as soon as that holds. Without the
    /// announcement, the friend buys at the usual price.
    fn sell_cheaply(&mut self, window: u64) {
        let scene = &mut self.stage.scene;
        if window == CALM_UNTIL && self.acts {
            let terms = VaultTerms {
                base_bps: 0,
                slope1_bps: 0,
                slope2_bps: 0,
                risk_slope_bps: 0,
                ..vault_terms()
            };
            let manager = scene.manager.clone();
            let update = instruction::update_vault(manager.address(), scene.vault, terms);
            scene
                .world
                .send(update, &[&manager.key])
                .expect("update_vault");
        }
        if window == CHEAP_FROM {
            let friend = self.stage.cast.friend.clone();
            let is_sold = self.stage.cover(&friend, Wanted::of(KNOWN.0, KNOWN.1));
            self.count_deeds(is_sold.into());
        }
    }

    /// Buys what is offered of the stake on the outcome that will occur. Returns whether it could.
    fn buy_stakes(&mut self) -> bool {
        let mut observed = MARKET_START..=MARKET_END;
        let outcome = usize::from(observed.any(|window| self.plan.truth.drifts(window)));
        let (seller, friend) = (
            self.stage.cast.bettors[outcome].clone(),
            self.stage.cast.friend.clone(),
        );
        if self.stage.stake_of(&seller, outcome).is_none() {
            return false;
        }
        let (market, world) = (self.stage.market, &mut self.stage.scene.world);
        let offered = world.position(&market, &seller.address()).asks[outcome].amount;
        let purchase = world.purchase(&market, outcome as u8, offered);
        world.buy_stake(&market, &friend, &seller, purchase).is_ok()
    }

    // Capital.

    fn request_all(&mut self) {
        let friend = self.stage.cast.friend.clone();
        let shares = self.stage.scene.shares(&friend);
        if 0 < shares {
            let sent = self.stage.scene.request(&friend, shares);
            sent.expect("request_withdraw");
            let now = self.stage.scene.world.now();
            self.stage.records.left_at.get_or_insert(now);
        }
    }

    /// Deposits if premium still streams, no loss is pending, and no window drifts that a policy covers.
    fn deposit_late(&mut self, window: u64) {
        let last = self.stage.last_covered();
        let is_safe = (window + 1..=last).all(|window| !self.plan.truth.drifts(window));
        let vault = self.stage.scene.vault_now();
        if is_safe && vault.pending_losses == 0 && 0 < vault.unearned {
            self.count_deeds(1);
            let friend = self.stage.cast.friend.clone();
            self.stage.deposit(&friend, 5 * CAPITAL);
        }
    }

    // The model.

    fn use_owners_powers(&mut self) {
        let (model, state) = (self.stage.scene.model.clone(), self.stage.scene.model());
        if state.exposure == 0 {
            return; // the owner may change everything
        }
        self.count_deeds(1);
        let owner = model.owner.address();
        let friend = self.stage.cast.friend.address();
        let terms = ModelTerms {
            max_spread: state.max_spread,
            ..model_terms(&model.oracles)
        };
        let update = instruction::update_model(owner, model.address, &state, terms);
        let honest = (0..self.plan.oracles).find(|oracle| !self.plan.corrupt.contains(oracle));
        let oracle = state.oracles[honest.unwrap_or_default()];
        let replace = instruction::replace_oracle(owner, model.address, &state, oracle, friend);
        let retire = instruction::retire_model(owner, model.address);
        let world = &mut self.stage.scene.world;
        let updated = world.send(update, &[&model.owner.key]);
        assert_refused(updated, DriftShieldError::ModelExposed);
        let replaced = world.send(replace, &[&model.owner.key]);
        assert!(
            replaced.is_err(),
            "an oracle whose seat counts was replaced"
        );
        world.send(retire, &[&model.owner.key]).expect("retire");
    }
}
