//! Calls about receipts, and sequences of steps that measure a window, dispute it or trigger a policy.

use driftshield_sdk::{Address, ChallengePayee, Metric, address};
use rand::{Rng, seq::SliceRandom};

use super::Generator;
use crate::soak::{
    books::{Model, Policy, Receipt, ReceiptState, Series, pages},
    call::Call,
    step::Step,
};

impl Generator<'_> {
    fn any_model(&mut self) -> Option<Address> {
        let all: Vec<Address> = self.books.models.keys().copied().collect();
        self.pick(&all)
    }

    /// Counts by bin whose drift is about `value` micro-units.
    pub fn counts(&mut self, model: &Model, value: u64) -> Vec<u32> {
        if model.metric == Metric::ErrorRate {
            let wrong = value.min(1_000_000) as u32;
            return vec![1_000_000 - wrong, wrong];
        }
        // Half of the bins gain d rows each, the others lose d: PSI is then about d².
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

    /// Counts by bin with too few rows for a value, sometimes none.
    pub fn thin_counts(&mut self, model: &Model) -> Vec<u32> {
        vec![u32::from(self.chance(60)); model.reference.len()]
    }

    /// How many percent of the oracles count too few rows for a value in a window: usually none, sometimes
    /// all, sometimes some.
    fn thin_share(&mut self) -> u32 {
        self.pick(&[0, 0, 0, 0, 0, 0, 50, 100]).expect("some")
    }

    /// A random drift in micro-units, usually small.
    fn random_drift(&mut self) -> u64 {
        if self.chance(65) {
            self.rng.random_range(0..20_000)
        } else {
            self.rng.random_range(20_000..900_000)
        }
    }

    /// The next window to measure, and when: the last ended window while it accepts submissions, otherwise
    /// the running window.
    fn next_window(&self, at: &Address) -> (u64, i64) {
        let (books, model) = (self.books, &self.books.models[at]);
        let now = books.now;
        let running = model.running_window(now);
        let start = model.genesis + running as i64 * model.window_secs;
        if 0 < running && now < start + model.periods.submit_secs {
            let window = running - 1;
            let receipt = books.receipts.get(&address::receipt(at, window));
            let is_settled = books.end_of(at, window).is_some();
            let is_collecting =
                receipt.is_none_or(|receipt| receipt.state == ReceiptState::Collecting);
            if !is_settled && is_collecting {
                return (window, now);
            }
        }
        (running, start + model.window_secs)
    }

    /// Measures the next window with little drift: all oracles agree, and the receipt becomes Final.
    pub fn calm_measurement(mut self, at: &Address) -> Vec<Step> {
        let value = self.up_to(5_000);
        self.measurement(at, value, 0, false, true, 0)
    }

    /// Measures the next window of a model. Usually all oracles agree; in about half of the cases the receipt
    /// is finalized as well.
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
        let Some(at) = self.prefer(&needed, &all) else {
            return vec![];
        };
        let value = self.random_drift();
        let absent = if self.chance(80) {
            0
        } else {
            self.up_to(4) as usize
        };
        let disagree = self.chance(12);
        let finalize = self.chance(55);
        let thin = self.thin_share();
        self.measurement(&at, value, absent, disagree, finalize, thin)
    }

    /// Waits for the end of the next window, and submits counts with a drift of about `value` for all
    /// oracles that count except `absent` of them. If they `disagree`, about half of the oracles submit a
    /// higher drift. `thin` percent of the oracles count too few rows for a value. If `finalize`, waits
    /// until the receipt can be finalized, and finalizes it.
    fn measurement(
        &mut self,
        at: &Address,
        value: u64,
        absent: usize,
        disagree: bool,
        finalize: bool,
        thin: u32,
    ) -> Vec<Step> {
        let model = &self.books.models[at];
        let (window, start) = self.next_window(at);
        let receipt = self.books.receipts.get(&address::receipt(at, window));
        let has_submitted =
            |index: usize| receipt.is_some_and(|receipt| receipt.submissions.contains_key(&index));
        let mut submitters: Vec<Address> = (0..model.oracles.len())
            .filter(|&index| model.counts(&model.oracles[index]) && !has_submitted(index))
            .map(|index| model.oracles[index])
            .collect();
        submitters.shuffle(self.rng);
        submitters.truncate(submitters.len().saturating_sub(absent));
        let mut steps = vec![Step::Until(start)];
        for signer in submitters {
            let offset = if disagree && self.chance(50) {
                150_000
            } else {
                0
            };
            let counts = if self.chance(thin) {
                self.thin_counts(model)
            } else {
                self.counts(model, value + offset)
            };
            steps.push(Step::Call(self.submission(signer, *at, window, counts)));
        }
        if finalize {
            // An incomplete receipt is proposed at the end of the submit period.
            let delay = if absent == 0 {
                0
            } else {
                model.periods.submit_secs
            };
            steps.push(Step::Until(start + delay + model.periods.challenge_secs));
            steps.push(Step::Call(Call::FinalizeReceipt { model: *at, window }));
        }
        steps
    }

    fn submission(
        &mut self,
        signer: Address,
        model: Address,
        window: u64,
        counts: Vec<u32>,
    ) -> Call {
        let mut evidence = [0; 32];
        self.rng.fill(&mut evidence);
        Call::SubmitReceipt {
            signer,
            model,
            window,
            counts,
            evidence,
            uri: "https://evidence.example/0".into(),
        }
    }

    /// Measures the next window of a model and challenges the receipt; usually the arbiter rules on it.
    pub(super) fn dispute(&mut self) -> Vec<Step> {
        let Some(at) = self.any_model() else {
            return vec![];
        };
        let (value, other_value) = (self.random_drift(), self.random_drift());
        let disagree = self.chance(30);
        let thin = self.thin_share();
        let mut steps = self.measurement(&at, value, 0, disagree, false, thin);
        let model = &self.books.models[&at];
        let (window, _) = self.next_window(&at);
        let receipt = self.books.receipts.get(&address::receipt(&at, window));
        let mut submitters: Vec<usize> = receipt.map_or(vec![], |receipt| {
            receipt.submissions.keys().copied().collect()
        });
        for step in &steps {
            if let Step::Call(Call::SubmitReceipt { signer, .. }) = step {
                submitters.extend(model.index(signer));
            }
        }
        submitters.sort();
        // The receipt may be settled, and its model have other oracles now.
        let submitters = submitters
            .iter()
            .filter_map(|&index| model.oracles.get(index));
        let seats = submitters
            .map(|oracle| address::seat(&at, oracle))
            .collect();
        let signer = self.actor("stranger");
        let asserted = if self.chance(60) { other_value } else { value };
        steps.push(Step::Call(Call::ChallengeReceipt {
            signer,
            model: at,
            window,
            counts: self.counts(model, asserted),
            source: self.source(&signer, &model.mint),
        }));
        if self.chance(70) {
            let value = if self.chance(40) { value } else { other_value };
            let counts = if self.chance(20) {
                self.thin_counts(model)
            } else {
                self.counts(model, value)
            };
            steps.push(Step::Call(Call::RuleReceipt {
                signer: model.arbiter,
                model: at,
                window,
                counts: Some(counts),
                seats,
            }));
        }
        steps
    }

    /// Measures the next window of a model on which a policy is on probation.
    pub(super) fn measure_probation(&mut self, policy: &Policy) -> Vec<Step> {
        let value = if self.chance(85) {
            self.up_to(5_000)
        } else {
            policy.terms.trigger.min(800_000) + 100_000
        };
        self.measurement(&policy.model, value, 0, false, true, 0)
    }

    /// Measures a covered window with a drift at or above the policy's trigger, and usually claims at once.
    /// Without a covered window, measures any model.
    pub(super) fn trigger_policy(&mut self) -> Vec<Step> {
        let books = self.books;
        let covered: Vec<Address> = books
            .policies
            .iter()
            .filter(|(_, policy)| {
                let (window, _) = self.next_window(&policy.model);
                (policy.first_window..=policy.last_window).contains(&window)
            })
            .map(|(at, _)| *at)
            .collect();
        // Prefer a policy that covers nine tenths of its vault's assets or more: its claim may wipe the
        // vault out.
        let ruinous: Vec<Address> = covered
            .iter()
            .filter(|at| {
                let policy = &books.policies[at];
                9 * books.vaults[&policy.vault].assets <= 10 * policy.open_cover()
            })
            .copied()
            .collect();
        let preferred = if self.chance(70) {
            self.pick(&ruinous)
        } else {
            None
        };
        let Some(at) = preferred.or_else(|| self.pick(&covered)) else {
            return self.measure();
        };
        let policy = &books.policies[&at];
        let (trigger, exhaustion) = (policy.terms.trigger, policy.terms.exhaustion);
        let in_full = self.chance(70);
        let value = if in_full {
            exhaustion
        } else {
            trigger + self.up_to(exhaustion - trigger)
        };
        // With some metrics the drift of `counts` is only approximate: aim a tenth higher.
        let value = value.min(900_000);
        let mut steps = self.measurement(&policy.model, value + value / 10, 0, false, true, 0);
        if self.chance(70) {
            let (window, _) = self.next_window(&policy.model);
            let mint = books.vaults[&policy.vault].mint;
            let (destination, signed) = self.destination(&policy.holder, &mint);
            let model = &books.models[&policy.model];
            if let Ok(idle) = model.idle_from(window)
                && self.chance(60)
            {
                steps.push(Step::Until(idle)); // by then, all windows before it are decided, too
            }
            let first = policy.returned_until;
            steps.push(Step::Call(Call::ExaminePolicy {
                policy: at,
                pages: pages(&policy.model, first, window.max(first)),
            }));
            steps.push(Step::Call(Call::ClaimPolicy {
                policy: at,
                destination,
                signed,
            }));
            if self.chance(30) {
                steps.extend(self.deposit_into(policy.vault));
            }
        }
        steps
    }

    /// A single submission, at any time, for any window.
    pub(super) fn submit_receipt(&mut self) -> Option<Call> {
        let at = self.any_model()?;
        let model = &self.books.models[&at];
        let oracle = self.pick(&model.oracles)?;
        let signer = self.usually(oracle);
        let running = model.running_window(self.books.now);
        let windows = [running.saturating_sub(1), running, running + 1, 0, u64::MAX];
        let window = self.prefer(&windows[..1], &windows)?;
        let value = self.random_drift();
        let mut counts = self.counts(model, value);
        if self.chance(8) {
            counts.pop();
        } else if self.chance(4) {
            counts.fill(1);
        }
        Some(self.submission(signer, at, window, counts))
    }

    fn receipt(&mut self, likely: impl Fn(&Receipt) -> bool) -> Option<(Address, u64)> {
        let receipts = self.books.receipts.values();
        let id = |receipt: &Receipt| (receipt.model, receipt.window);
        let all: Vec<(Address, u64)> = receipts.clone().map(id).collect();
        let likely: Vec<_> = receipts.filter(|receipt| likely(receipt)).map(id).collect();
        self.prefer(&likely, &all)
    }

    /// Windows whose submit period ended without a submission, and that can still be challenged if
    /// something depends on them.
    fn missing_windows(&self) -> Vec<(Address, u64)> {
        let books = self.books;
        let models = books.models.iter();
        let exposed = models.filter(|(at, _)| 0 < books.exposure_of(at));
        let ended = exposed.filter_map(|(at, model)| {
            let latest = books.now - model.genesis - model.periods.submit_secs;
            let window = (latest / model.window_secs).checked_sub(1)?;
            Some((*at, u64::try_from(window).ok()?))
        });
        let is_missing = |(at, window): &(Address, u64)| {
            let receipt = address::receipt(at, *window);
            books.end_of(at, *window).is_none() && !books.receipts.contains_key(&receipt)
        };
        ended.filter(is_missing).collect()
    }

    pub(super) fn challenge_receipt(&mut self) -> Option<Call> {
        let missing = self.missing_windows();
        let (model, window) = if !missing.is_empty() && self.chance(50) {
            self.pick(&missing)?
        } else {
            self.receipt(|receipt| {
                let is_disputed = receipt.state == ReceiptState::Challenged;
                receipt.state == ReceiptState::Proposed
                    || is_disputed && receipt.challenger.is_none()
            })?
        };
        let signer = self.actor("stranger");
        let state = &self.books.models[&model];
        let mint = state.mint;
        let asserted = self.random_drift();
        Some(Call::ChallengeReceipt {
            signer,
            model,
            window,
            counts: self.counts(state, asserted),
            source: self.source(&signer, &mint),
        })
    }

    pub(super) fn rule_receipt(&mut self) -> Option<Call> {
        let (at, window) = self.receipt(|receipt| receipt.state == ReceiptState::Challenged)?;
        let receipt_at = address::receipt(&at, window);
        let (model, receipt) = (&self.books.models[&at], &self.books.receipts[&receipt_at]);
        let value = if self.chance(60) {
            receipt.value
        } else {
            self.random_drift()
        };
        let counts = if self.chance(15) {
            self.thin_counts(model)
        } else {
            self.counts(model, value)
        };
        let mut seats: Vec<Address> = receipt
            .submissions
            .keys()
            .filter_map(|&index| model.oracles.get(index))
            .map(|oracle| address::seat(&at, oracle))
            .collect();
        if self.chance(8) {
            seats.pop();
        } else if self.chance(4) {
            seats.reverse();
        }
        Some(Call::RuleReceipt {
            signer: self.usually(model.arbiter),
            model: at,
            window,
            counts: Some(counts).filter(|_| !self.chance(5)),
            seats,
        })
    }

    pub(super) fn return_slashes(&mut self) -> Option<Call> {
        let books = self.books;
        let (at, window) = self.receipt(|receipt| {
            let until = receipt.appeal_until;
            until.is_some_and(|until| books.now < until)
        })?;
        let receipt = &books.receipts[&address::receipt(&at, window)];
        let model = &books.models[&at];
        let slashed = receipt.held.keys();
        let oracles = slashed.filter_map(|&index| model.oracles.get(index));
        let mut seats: Vec<Address> = oracles.map(|oracle| address::seat(&at, oracle)).collect();
        if self.chance(8) {
            seats.pop();
        }
        let admin = books.config.as_ref()?.admin;
        Some(Call::ReturnSlashes {
            signer: self.usually(admin),
            model: at,
            window,
            seats,
        })
    }

    pub(super) fn finalize_receipt(&mut self) -> Option<Call> {
        let books = self.books;
        let (model, window) =
            self.receipt(|receipt| books.decided_at(receipt).is_some_and(|at| at <= books.now))?;
        Some(Call::FinalizeReceipt { model, window })
    }

    pub(super) fn collect_challenge(&mut self) -> Option<Call> {
        let now = self.books.now;
        let has_credit = |receipt: &Receipt| {
            let is_final = receipt.appeal_until.is_some_and(|until| until <= now);
            is_final || 0 < receipt.challenger_credit + receipt.treasury_credit
        };
        let (model, window) = self.receipt(has_credit)?;
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

    pub(super) fn close_series(&mut self) -> Option<Call> {
        let books = self.books;
        let series = books.series.values();
        let id = |series: &Series| (series.model, series.page);
        let all: Vec<(Address, u64)> = series.clone().map(id).collect();
        let closable = series.filter(|series| books.closable_at(series) <= books.now);
        let closable: Vec<_> = closable.map(id).collect();
        let (model, page) = self.prefer(&closable, &all)?;
        Some(Call::CloseSeries { model, page })
    }
}
