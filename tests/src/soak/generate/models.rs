//! Calls about models, bonds and receipts.

use driftshield_sdk::{Address, ChallengePayee, Metric, ModelTerms, address};
use rand::{Rng, seq::SliceRandom};

use super::{super::prelude, Chooser};
use crate::soak::{
    books::{Model, Receipt, State},
    call::Call,
    run::Step,
};

impl Chooser<'_> {
    fn any_model(&mut self) -> Option<Address> {
        let all: Vec<Address> = self.books.models.keys().copied().collect();
        self.pick(&all)
    }

    pub(super) fn register_model(&mut self) -> Option<Call> {
        let who = self.actor("owner");
        let tokens = self.driver.cast.tokens;
        let token = self.mostly(&tokens[..2], &tokens)?;
        let metrics = [
            Metric::ErrorRate,
            Metric::Psi,
            Metric::JensenShannon,
            Metric::KolmogorovSmirnov,
            Metric::TotalVariation,
        ];
        let metric = self.pick(&metrics)?;
        let ahead = self.dice.random_range(0..=3_600);
        let mut spec = prelude::spec(metric, self.books.now + ahead, 3_600);
        if self.chance(20) {
            match self.up_to(4) {
                0 => spec.reference[0] = 1, // sparse, but of two bins
                1 => spec.window_secs = self.pick(&[0, 59, 60, 86_400, 86_401])?,
                2 => spec.genesis += self.pick(&[-3_601, 31 * 24 * 3_600, i64::MAX / 4])?,
                3 => spec.reference.truncate(1),
                _ => spec.min_samples = u64::MAX,
            }
        }
        Some(Call::RegisterModel {
            who,
            id: self.up_to(3),
            mint: token.mint,
            spec,
            terms: self.model_terms(),
        })
    }

    fn model_terms(&mut self) -> ModelTerms {
        let mut oracles = self.driver.cast.of("oracle");
        oracles.shuffle(self.dice);
        oracles.truncate(self.dice.random_range(1..=6));
        let mut terms = prelude::model_terms(oracles);
        terms.max_spread = self.up_to(30_000);
        if self.chance(15) {
            match self.up_to(3) {
                0 => terms.quorum = 0,
                1 => terms.oracles.push(terms.oracles[0]),
                2 => terms.max_spread = 1_000_001,
                _ => terms.name = "a name of more than thirty-two bytes".into(),
            }
        }
        terms
    }

    pub(super) fn update_model(&mut self) -> Option<Call> {
        let books = self.books;
        let idle: Vec<Address> = books
            .models
            .keys()
            .filter(|at| books.exposure_of(at) == 0 && books.open_receipts(at) == 0)
            .copied()
            .collect();
        let all: Vec<Address> = books.models.keys().copied().collect();
        let model = self.mostly(&idle, &all)?;
        Some(Call::UpdateModel {
            who: self.mostly_by(books.models[&model].owner),
            model,
            terms: self.model_terms(),
        })
    }

    /// Mostly one that came later: a run needs some that go on.
    pub(super) fn retire_model(&mut self) -> Option<Call> {
        let later: Vec<Address> = self
            .books
            .models
            .iter()
            .filter(|(_, model)| 0 < model.id)
            .map(|(at, _)| *at)
            .collect();
        let model = self.pick(&later)?;
        Some(Call::RetireModel {
            who: self.mostly_by(self.books.models[&model].owner),
            model,
        })
    }

    pub(super) fn bond(&mut self) -> Option<Call> {
        let books = self.books;
        let mut weak = Vec::new();
        let mut all = Vec::new();
        for (at, model) in &books.models {
            for oracle in &model.oracles {
                all.push((*at, *oracle));
                if !model.counts(oracle) {
                    weak.push((*at, *oracle));
                }
            }
        }
        let (model, oracle) = self.mostly(&weak, &all)?;
        let who = self.mostly_by(oracle);
        let state = &books.models[&model];
        let source = self.source(&who, &state.mint);
        let all = self.tokens(&source);
        let amount = if self.chance(70) {
            state.min_bond as u64
        } else {
            self.amount(2 * state.min_bond, all)
        };
        Some(Call::Bond {
            who,
            model,
            source,
            amount,
        })
    }

    pub(super) fn request_unbond(&mut self) -> Option<Call> {
        let seats: Vec<(Address, Address)> = self
            .books
            .seats
            .values()
            .map(|seat| (seat.model, seat.oracle))
            .collect();
        let (model, who) = self.pick(&seats)?;
        let active = self.books.seats[&address::seat(&model, &who)].active();
        let all = self.chance(50);
        Some(Call::RequestUnbond {
            who,
            model,
            amount: if all {
                active as u64
            } else {
                self.amount(active / 4, active)
            },
        })
    }

    pub(super) fn withdraw_bond(&mut self) -> Option<Call> {
        let (books, now) = (self.books, self.books.now);
        let seats = books.seats.values();
        let due: Vec<(Address, Address)> = seats
            .clone()
            .filter(|seat| 0 < seat.unbonding && seat.release_at <= now)
            .map(|seat| (seat.model, seat.oracle))
            .collect();
        let all: Vec<_> = seats.map(|seat| (seat.model, seat.oracle)).collect();
        let (model, oracle) = self.mostly(&due, &all)?;
        let (destination, signed) = self.destination(&oracle, &books.models[&model].mint);
        Some(Call::WithdrawBond {
            oracle,
            model,
            destination,
            signed,
        })
    }

    pub(super) fn close_seat(&mut self) -> Option<Call> {
        let seats = self.books.seats.values();
        let empty: Vec<(Address, Address)> = seats
            .clone()
            .filter(|seat| seat.bonded == 0)
            .map(|seat| (seat.model, seat.oracle))
            .collect();
        let all: Vec<_> = seats.map(|seat| (seat.model, seat.oracle)).collect();
        let (model, oracle) = self.mostly(&empty, &all)?;
        Some(Call::CloseSeat { oracle, model })
    }

    // Receipts.

    /// Counts whose drift is about `value`, by bin.
    pub fn counts(&mut self, model: &Model, value: u64) -> Vec<u32> {
        if model.metric == Metric::ErrorRate {
            let wrong = value.min(1_000_000) as u32;
            return vec![1_000_000 - wrong, wrong];
        }
        // Half of the bins gain what the others lose: by a distance d PSI is about d².
        let d = match model.metric {
            Metric::Psi => (value * 100).isqrt(),
            Metric::JensenShannon | Metric::KolmogorovSmirnov => value / 50,
            _ => value / 100,
        };
        let d = d.min(9_900) as u32;
        (0..model.reference.len())
            .map(|bin| if bin % 2 == 0 { 10_000 + d } else { 10_000 - d })
            .collect()
    }

    /// Mostly little drift.
    fn value(&mut self) -> u64 {
        if self.chance(65) {
            self.dice.random_range(0..20_000)
        } else {
            self.dice.random_range(20_000..900_000)
        }
    }

    /// The window that is to be measured next, and when: the last one that is over, while it takes
    /// submissions, else the one that is running.
    fn window(&self, at: &Address) -> (u64, i64) {
        let (books, model) = (self.books, &self.books.models[at]);
        let now = books.now;
        let running = (now - model.genesis).max(0) / model.window_secs;
        let end = model.genesis + running * model.window_secs;
        if 0 < running && now < end + model.periods.submit_secs {
            let window = running as u64 - 1;
            let receipt = books.receipts.get(&address::receipt(at, window));
            if receipt.is_none_or(|receipt| receipt.state == State::Collecting) {
                return (window, now);
            }
        }
        (running as u64, end + model.window_secs)
    }

    /// All oracles tell the same, and nobody challenges.
    pub fn measure_calmly(mut self, at: &Address) -> Vec<Step> {
        let value = self.up_to(5_000);
        self.measured(at, value, 0, false, true)
    }

    /// Mostly all oracles tell the same, and it becomes Final.
    pub(super) fn measure(&mut self) -> Vec<Step> {
        let books = self.books;
        let needed: Vec<Address> = books
            .models
            .iter()
            .filter(|(at, model)| {
                let counting = model.oracles.iter().filter(|oracle| model.counts(oracle));
                let active = !model.is_retired || 0 < books.exposure_of(at);
                active && model.quorum <= counting.count()
            })
            .map(|(at, _)| *at)
            .collect();
        let all: Vec<Address> = books.models.keys().copied().collect();
        let Some(at) = self.mostly(&needed, &all) else {
            return vec![];
        };
        let value = self.value();
        let absent = if self.chance(80) {
            0
        } else {
            self.up_to(4) as usize
        };
        let disagree = self.chance(12);
        let finalize = self.chance(55);
        self.measured(&at, value, absent, disagree, finalize)
    }

    fn measured(
        &mut self,
        at: &Address,
        value: u64,
        absent: usize,
        disagree: bool,
        finalize: bool,
    ) -> Vec<Step> {
        let model = &self.books.models[at];
        let (window, begins) = self.window(at);
        let receipt = self.books.receipts.get(&address::receipt(at, window));
        let has =
            |place: usize| receipt.is_some_and(|receipt| receipt.submissions.contains_key(&place));
        let mut awaited: Vec<Address> = (0..model.oracles.len())
            .filter(|&place| model.counts(&model.oracles[place]) && !has(place))
            .map(|place| model.oracles[place])
            .collect();
        awaited.shuffle(self.dice);
        awaited.truncate(awaited.len().saturating_sub(absent));
        let mut steps = vec![Step::Until(begins)];
        for who in awaited {
            let off = if disagree && self.chance(50) {
                150_000
            } else {
                0
            };
            let counts = self.counts(model, value + off);
            steps.push(Step::Call(self.submission(who, *at, window, counts)));
        }
        if finalize {
            let late = if absent == 0 {
                0
            } else {
                model.periods.submit_secs
            };
            steps.push(Step::Until(begins + late + model.periods.challenge_secs));
            steps.push(Step::Call(Call::FinalizeReceipt { model: *at, window }));
        }
        steps
    }

    fn submission(&mut self, who: Address, model: Address, window: u64, counts: Vec<u32>) -> Call {
        let mut evidence = [0; 32];
        self.dice.fill(&mut evidence);
        Call::SubmitReceipt {
            who,
            model,
            window,
            counts,
            evidence,
            uri: "https://evidence.example/0".into(),
        }
    }

    /// A window is measured and challenged, and mostly ruled on.
    pub(super) fn dispute(&mut self) -> Vec<Step> {
        let Some(at) = self.any_model() else {
            return vec![];
        };
        let (value, ruled) = (self.value(), self.value());
        let disagree = self.chance(30);
        let mut steps = self.measured(&at, value, 0, disagree, false);
        let model = &self.books.models[&at];
        let (window, _) = self.window(&at);
        let receipt = self.books.receipts.get(&address::receipt(&at, window));
        let mut places: Vec<usize> = receipt.map_or(vec![], |receipt| {
            receipt.submissions.keys().copied().collect()
        });
        for step in &steps {
            if let Step::Call(Call::SubmitReceipt { who, .. }) = step {
                places.extend(model.index(who));
            }
        }
        places.sort();
        let seats = places
            .iter()
            .map(|&place| address::seat(&at, &model.oracles[place]));
        let seats = seats.collect();
        let who = self.actor("stranger");
        steps.push(Step::Call(Call::ChallengeReceipt {
            who,
            model: at,
            window,
            source: self.source(&who, &model.mint),
        }));
        if self.chance(70) {
            let value = if self.chance(40) { value } else { ruled };
            steps.push(Step::Call(Call::RuleReceipt {
                who: model.arbiter,
                model: at,
                window,
                counts: self.counts(model, value),
                seats,
            }));
        }
        steps
    }

    /// A window that a policy covers drifts past its trigger, and mostly that is claimed at once.
    pub(super) fn strike(&mut self) -> Vec<Step> {
        let books = self.books;
        let covered: Vec<Address> = books
            .policies
            .iter()
            .filter(|(_, policy)| {
                let (window, _) = self.window(&policy.model);
                (policy.first_window..=policy.last_window).contains(&window)
            })
            .map(|(at, _)| *at)
            .collect();
        // Best of all one that its vault is at stake for.
        let heavy: Vec<Address> = covered
            .iter()
            .filter(|at| {
                let policy = &books.policies[at];
                9 * books.vaults[&policy.vault].assets <= 10 * policy.open_cover()
            })
            .copied()
            .collect();
        let heaviest = if self.chance(70) {
            self.pick(&heavy)
        } else {
            None
        };
        let Some(at) = heaviest.or_else(|| self.pick(&covered)) else {
            return self.measure();
        };
        let policy = &books.policies[&at];
        let (trigger, exhaustion) = (policy.terms.trigger, policy.terms.exhaustion);
        let all = self.chance(70);
        let value = if all {
            exhaustion
        } else {
            trigger + self.up_to(exhaustion - trigger)
        };
        // By some metrics a drift is only about what was aimed at.
        let value = value.min(900_000);
        let mut steps = self.measured(&policy.model, value + value / 10, 0, false, true);
        if self.chance(70) {
            let (window, _) = self.window(&policy.model);
            let mint = books.vaults[&policy.vault].mint;
            let (destination, signed) = self.destination(&policy.holder, &mint);
            steps.push(Step::Call(Call::ClaimPolicy {
                policy: at,
                receipts: vec![address::receipt(&policy.model, window)],
                destination,
                signed,
            }));
        }
        steps
    }

    /// One submission, of somebody, at any time.
    pub(super) fn submit_receipt(&mut self) -> Option<Call> {
        let at = self.any_model()?;
        let model = &self.books.models[&at];
        let oracle = self.pick(&model.oracles)?;
        let who = self.mostly_by(oracle);
        let running = ((self.books.now - model.genesis).max(0) / model.window_secs) as u64;
        let windows = [running.saturating_sub(1), running, running + 1, 0, u64::MAX];
        let window = self.mostly(&windows[..1], &windows)?;
        let value = self.value();
        let mut counts = self.counts(model, value);
        if self.chance(8) {
            counts.pop();
        } else if self.chance(4) {
            counts.fill(1);
        }
        Some(self.submission(who, at, window, counts))
    }

    fn receipt(&mut self, likely: impl Fn(&Receipt) -> bool) -> Option<(Address, u64)> {
        let receipts = self.books.receipts.values();
        let named = |receipt: &Receipt| (receipt.model, receipt.window);
        let all: Vec<(Address, u64)> = receipts.clone().map(named).collect();
        let likely: Vec<_> = receipts
            .filter(|receipt| likely(receipt))
            .map(named)
            .collect();
        self.mostly(&likely, &all)
    }

    pub(super) fn challenge_receipt(&mut self) -> Option<Call> {
        let (model, window) = self.receipt(|receipt| receipt.state == State::Proposed)?;
        let who = self.actor("stranger");
        let mint = self.books.models[&model].mint;
        Some(Call::ChallengeReceipt {
            who,
            model,
            window,
            source: self.source(&who, &mint),
        })
    }

    pub(super) fn rule_receipt(&mut self) -> Option<Call> {
        let (at, window) = self.receipt(|receipt| receipt.state == State::Challenged)?;
        let receipt_at = address::receipt(&at, window);
        let (model, receipt) = (&self.books.models[&at], &self.books.receipts[&receipt_at]);
        let value = if self.chance(60) {
            receipt.value
        } else {
            self.value()
        };
        let mut seats: Vec<Address> = receipt
            .submissions
            .keys()
            .filter_map(|&place| model.oracles.get(place))
            .map(|oracle| address::seat(&at, oracle))
            .collect();
        if self.chance(8) {
            seats.pop();
        } else if self.chance(4) {
            seats.reverse();
        }
        Some(Call::RuleReceipt {
            who: self.mostly_by(model.arbiter),
            model: at,
            window,
            counts: self.counts(model, value),
            seats,
        })
    }

    pub(super) fn finalize_receipt(&mut self) -> Option<Call> {
        let books = self.books;
        let (model, window) = self.receipt(|receipt| {
            let model = &books.models[&receipt.model];
            let waits = match receipt.state {
                State::Collecting => model.submit_end(receipt.window).unwrap_or(i64::MAX),
                State::Proposed => receipt.since + model.periods.challenge_secs,
                State::Challenged => receipt.since + model.periods.ruling_secs,
                State::Final | State::Void => i64::MAX,
            };
            waits <= books.now
        })?;
        Some(Call::FinalizeReceipt { model, window })
    }

    pub(super) fn collect_challenge(&mut self) -> Option<Call> {
        let owes = |receipt: &Receipt| 0 < receipt.challenger_credit + receipt.treasury_credit;
        let (model, window) = self.receipt(owes)?;
        let receipt = &self.books.receipts[&address::receipt(&model, window)];
        let mint = self.books.models[&model].mint;
        let (payee, destination, signed) = if 0 < receipt.challenger_credit || self.chance(20) {
            let challenger = receipt.challenger.unwrap_or_default();
            let (destination, signed) = self.destination(&challenger, &mint);
            (ChallengePayee::Challenger, destination, signed)
        } else {
            let treasury = self.treasury_or_any(&mint);
            (ChallengePayee::Treasury, treasury, false)
        };
        Some(Call::CollectChallenge {
            model,
            window,
            payee,
            destination,
            signed: signed && receipt.challenger.is_some(),
        })
    }

    pub(super) fn close_receipt(&mut self) -> Option<Call> {
        let books = self.books;
        let (model, window) = self.receipt(|receipt| {
            let until = books.models[&receipt.model].retention_end(receipt.window);
            until.is_ok_and(|until| until <= books.now)
        })?;
        Some(Call::CloseReceipt { model, window })
    }
}
