//! Receipts: submissions of the oracles, the drift that follows from them, and disputes.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, ChallengePayee, Metric, address};
use sha2::{Digest, Sha256};

use super::{Amount, Books, EventValues, Model, Verdict, limits, require};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptState {
    Collecting,
    Proposed,
    Challenged,
    Final,
    Void,
}

#[derive(Clone, Debug)]
pub struct Submission {
    pub value: u64,
    pub samples: u64,
    pub evidence: [u8; 32],
}

#[derive(Clone, Debug)]
pub struct Receipt {
    pub model: Address,
    pub window: u64,
    pub payer: Address,
    pub version: u32,
    /// By the oracle's index in the model's list.
    pub submissions: BTreeMap<usize, Submission>,
    pub state: ReceiptState,
    /// When the state began; 0 while Collecting.
    pub since: i64,
    /// The median of the submissions, or the value of the ruling.
    pub value: u64,
    pub challenger: Option<Address>,
    pub challenger_credit: Amount,
    pub treasury_credit: Amount,
}

impl Receipt {
    pub fn is_settled(&self) -> bool {
        matches!(self.state, ReceiptState::Final | ReceiptState::Void)
    }

    /// The amount that the model's bond vault holds for the receipt.
    pub(super) fn held(&self, challenge_bond: Amount) -> Amount {
        let is_challenged = self.state == ReceiptState::Challenged && self.challenger.is_some();
        let bond = if is_challenged { challenge_bond } else { 0 };
        bond + self.challenger_credit + self.treasury_credit
    }

    /// The median of the submissions: of two middle values, the lower.
    fn median(&self) -> u64 {
        let values = self.submissions.values();
        let mut values: Vec<u64> = values.map(|submission| submission.value).collect();
        values.sort();
        values[(values.len() - 1) / 2]
    }

    fn has_quorum(&self, model: &Model) -> bool {
        model.quorum <= self.submissions.len()
    }

    /// Whether a quorum has submitted, and every seat that counts.
    fn is_complete(&self, model: &Model) -> bool {
        let has_submitted = |oracle| self.submissions.contains_key(&oracle);
        let mut counting = (0..model.oracles.len()).filter(|&i| model.counts(&model.oracles[i]));
        self.has_quorum(model) && counting.all(has_submitted)
    }

    /// Whether a quorum lies within `max_spread` of the receipt's value.
    fn agrees(&self, model: &Model) -> bool {
        let near =
            |submission: &&Submission| submission.value.abs_diff(self.value) <= model.max_spread;
        model.quorum <= self.submissions.values().filter(near).count()
    }
}

/// The lowest and the highest drift, in micro-units, that the protocol allows for `counts`. For PSI and
/// Jensen-Shannon, both are within 2 of the result in floating point. For the other metrics, the drift is
/// a rational number: both equal the drift if it is an integer, and otherwise the integers around it.
pub fn drift(metric: Metric, reference: &[u32], counts: &[u32]) -> (u64, u64) {
    let total = |counts: &[u32]| counts.iter().map(|&count| i128::from(count)).sum::<i128>();
    let (m, n) = (total(reference), total(counts));
    // Differences of shares times m · n, which are integers.
    let gaps = std::iter::zip(reference, counts)
        .map(|(&p, &q)| i128::from(q) * m - i128::from(p) * n)
        .collect::<Vec<_>>();
    let (numerator, denominator) = match metric {
        Metric::ErrorRate => (gaps[1].max(0), m * n),
        Metric::TotalVariation => (gaps.iter().map(|gap| gap.abs()).sum(), 2 * m * n),
        Metric::KolmogorovSmirnov => {
            let running = gaps.iter().scan(0, |sum, gap| {
                *sum += gap;
                Some(i128::abs(*sum))
            });
            (running.max().unwrap_or(0), m * n)
        }
        Metric::Psi | Metric::JensenShannon => {
            let value = logarithmic(metric, reference, counts);
            return ((value - 2.0).max(0.0).ceil() as u64, (value + 2.0) as u64);
        }
    };
    let micro = numerator * 1_000_000;
    let floor = (micro / denominator) as u64;
    let is_integer = micro % denominator == 0;
    (floor, if is_integer { floor } else { floor + 1 })
}

/// PSI or the Jensen-Shannon distance, in micro-units.
fn logarithmic(metric: Metric, reference: &[u32], counts: &[u32]) -> f64 {
    let shares = |counts: &[u32]| {
        let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
        let share = |&count: &u32| (f64::from(count) / total).max(0.0001);
        counts.iter().map(share).collect::<Vec<f64>>()
    };
    let pairs = std::iter::zip(shares(reference), shares(counts));
    let value = if metric == Metric::Psi {
        pairs.map(|(p, q)| (q - p) * (q / p).ln()).sum::<f64>()
    } else {
        let divergence = pairs.map(|(p, q)| {
            let middle = (p + q) / 2.0;
            (p * (p / middle).log2() + q * (q / middle).log2()) / 2.0
        });
        divergence.sum::<f64>().max(0.0).sqrt()
    };
    value * 1_000_000.0
}

impl Model {
    /// The drift of `counts` on chain. Fails if the protocol does not allow it, or if there are fewer than
    /// `min_rows` rows.
    fn drift(&self, counts: &[u32], min_rows: u64, values: &EventValues) -> Verdict<u64> {
        require(
            counts.len() == self.reference.len(),
            "the number of bins is wrong",
        )?;
        let rows: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        require(min_rows <= rows, "there are too few rows")?;
        let (low, high) = drift(self.metric, &self.reference, counts);
        let value = values.drift.unwrap_or(low);
        require((low..=high).contains(&value), "the drift is wrong")?;
        Ok(value)
    }

    fn propose(&mut self, receipt: &mut Receipt, since: i64) {
        receipt.since = since;
        receipt.state = if receipt.agrees(self) {
            self.update_latest(receipt);
            ReceiptState::Proposed
        } else {
            ReceiptState::Challenged
        };
    }

    fn update_latest(&mut self, receipt: &Receipt) {
        if self
            .latest
            .is_none_or(|(window, _)| window <= receipt.window)
        {
            self.latest = Some((receipt.window, receipt.value));
        }
    }

    /// Makes a receipt Final or Void, and appends it to the receipt chain.
    fn settle(&mut self, receipt: &mut Receipt, state: ReceiptState, since: i64) {
        receipt.state = state;
        receipt.since = since;
        if state == ReceiptState::Final {
            self.final_receipts.push((receipt.window, receipt.value));
        }
        let submissions = receipt.submissions.values();
        let samples: u64 = submissions.map(|submission| submission.samples).sum();
        let mut link = Sha256::new();
        link.update(self.chain);
        link.update(receipt.window.to_le_bytes());
        link.update([if state == ReceiptState::Final { 3 } else { 4 }]);
        link.update(receipt.value.to_le_bytes());
        link.update(samples.to_le_bytes());
        for oracle in 0..7 {
            let submission = receipt.submissions.get(&oracle);
            link.update(submission.map_or([0; 32], |submission| submission.evidence));
        }
        self.chain = link.finalize().into();
    }

    /// Applies all state transitions that are due by `now`, each as of the time at which it became due.
    /// Returns whether the state changed.
    fn advance(&mut self, receipt: &mut Receipt, now: i64) -> Verdict<bool> {
        let before = receipt.state;
        if receipt.state == ReceiptState::Collecting {
            let end = self.submit_end(receipt.window)?;
            if end <= now && receipt.has_quorum(self) {
                self.propose(receipt, end);
            } else if end <= now {
                self.settle(receipt, ReceiptState::Void, end);
            } else if receipt.is_complete(self) {
                self.propose(receipt, now);
            }
        }
        let challenge_end = receipt.since + self.periods.challenge_secs;
        let ruling_end = receipt.since + self.periods.ruling_secs;
        if receipt.state == ReceiptState::Proposed && challenge_end <= now {
            self.settle(receipt, ReceiptState::Final, challenge_end);
        } else if receipt.state == ReceiptState::Challenged && ruling_end <= now {
            if receipt.challenger.is_some() {
                receipt.challenger_credit = self.challenge_bond;
            }
            let stands = receipt.agrees(self);
            let state = if stands {
                ReceiptState::Final
            } else {
                ReceiptState::Void
            };
            self.settle(receipt, state, ruling_end);
        }
        Ok(receipt.state != before)
    }
}

impl Books {
    /// The time at which the next state transition of a receipt is due; `None` if the receipt is settled.
    pub fn decided_at(&self, receipt: &Receipt) -> Option<i64> {
        let model = &self.models[&receipt.model];
        match receipt.state {
            ReceiptState::Collecting => {
                let end = model.submit_end(receipt.window);
                Some(end.expect("in range, as the receipt exists"))
            }
            ReceiptState::Proposed => Some(receipt.since + model.periods.challenge_secs),
            ReceiptState::Challenged => Some(receipt.since + model.periods.ruling_secs),
            ReceiptState::Final | ReceiptState::Void => None,
        }
    }

    /// Applies the state transitions of a receipt that are due. Returns whether the state changed.
    pub(super) fn advance(&mut self, at: &Address) -> Verdict<bool> {
        let now = self.now;
        let receipt = self
            .receipts
            .get_mut(at)
            .ok_or("there is no such receipt")?;
        let model = self.models.get_mut(&receipt.model);
        let model = model.expect("models are never closed");
        let moved = model.advance(receipt, now)?;
        if moved && receipt.state == ReceiptState::Void {
            self.rare_events.receipts_voided += 1;
        }
        Ok(moved)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the arguments of the instruction"
    )]
    pub(super) fn submit_receipt(
        &mut self,
        signer: &Address,
        at: &Address,
        window: u64,
        counts: &[u32],
        evidence: &[u8; 32],
        uri: &str,
        values: &EventValues,
    ) -> Verdict {
        let now = self.now;
        limits::check_text(uri, 128)?;
        let exposure = self.exposure_of(at);
        let model = self.models.get_mut(at).ok_or("there is no such model")?;
        let oracle = model.index(signer).ok_or("the oracle is not listed")?;
        require(model.window_end(window)? <= now, "the window is not over")?;
        require(now < model.submit_end(window)?, "the submit period is over")?;
        require(model.counts(signer), "the seat does not count")?;
        let receipt_at = address::receipt(at, window);
        let is_needed = !model.is_retired || 0 < exposure;
        require(
            is_needed || self.receipts.contains_key(&receipt_at),
            "the model is retired and nothing depends on it",
        )?;
        let new = Receipt {
            model: *at,
            window,
            payer: *signer,
            version: model.version,
            submissions: BTreeMap::new(),
            state: ReceiptState::Collecting,
            since: 0,
            value: 0,
            challenger: None,
            challenger_credit: 0,
            treasury_credit: 0,
        };
        let receipt = self.receipts.entry(receipt_at).or_insert(new);
        require(
            receipt.state == ReceiptState::Collecting,
            "the receipt is past Collecting",
        )?;
        require(
            !receipt.submissions.contains_key(&oracle),
            "the oracle has submitted already",
        )?;
        let submission = Submission {
            value: model.drift(counts, model.min_samples, values)?,
            samples: counts.iter().map(|&count| u64::from(count)).sum(),
            evidence: *evidence,
        };
        model.reports += 1;
        receipt.submissions.insert(oracle, submission);
        receipt.value = receipt.median();
        if receipt.is_complete(model) {
            model.propose(receipt, now);
        }
        let seat = self.seats.get_mut(&address::seat(at, signer));
        seat.ok_or("the oracle has no seat")?.submissions += 1;
        Ok(())
    }

    pub(super) fn challenge_receipt(
        &mut self,
        signer: &Address,
        at: &Address,
        window: u64,
        source: &Address,
    ) -> Verdict {
        let receipt_at = address::receipt(at, window);
        self.advance(&receipt_at)?;
        let now = self.now;
        let receipt = self.receipts.get_mut(&receipt_at).expect("advanced");
        require(
            receipt.state == ReceiptState::Proposed,
            "the receipt is not Proposed",
        )?;
        receipt.state = ReceiptState::Challenged;
        receipt.since = now;
        receipt.challenger = Some(*signer);
        let model = self.models.get_mut(at).ok_or("there is no such model")?;
        model.reports += 1;
        let (mint, bond) = (model.mint, model.challenge_bond);
        self.transfer(signer, source, &address::bond_vault(at), &mint, bond)
    }

    pub(super) fn rule_receipt(
        &mut self,
        signer: &Address,
        at: &Address,
        window: u64,
        counts: &[u32],
        seats: &[Address],
        values: &EventValues,
    ) -> Verdict {
        require(
            self.model(at)?.arbiter == *signer,
            "only the arbiter may rule",
        )?;
        let receipt_at = address::receipt(at, window);
        self.advance(&receipt_at)?;
        let now = self.now;
        let model = self.models.get_mut(at).expect("read");
        let receipt = self.receipts.get_mut(&receipt_at).expect("advanced");
        require(
            receipt.state == ReceiptState::Challenged,
            "the receipt is not Challenged",
        )?;
        let value = model.drift(counts, 1, values)?;
        let submitters = receipt.submissions.keys();
        let expected: Vec<Address> = submitters
            .map(|&oracle| address::seat(at, &model.oracles[oracle]))
            .collect();
        require(
            seats == expected,
            "the seats are not those of the submitters",
        )?;

        model.reports += 1;
        // Each submitter who is off by more than `max_spread` loses `slash_amount`, at most its bond.
        let mut slashed = 0;
        for (submission, seat) in std::iter::zip(receipt.submissions.values(), seats) {
            if model.max_spread < submission.value.abs_diff(value) {
                let seat = self.seats.get_mut(seat).ok_or("the oracle has no seat")?;
                let taken = model.slash_amount.min(seat.bonded);
                seat.bonded -= taken;
                seat.unbonding = seat.unbonding.min(seat.bonded);
                seat.slashes += 1;
                slashed += taken;
                self.rare_events.oracles_slashed += 1;
            }
        }
        // Half of the slashed amount goes to the challenger, all remainders to the treasury.
        let upheld = receipt.value.abs_diff(value) <= model.max_spread;
        let bond = model.challenge_bond;
        if receipt.challenger.is_none() {
            receipt.treasury_credit = slashed;
        } else if upheld {
            let reward = bond / 2 / seats.len() as Amount;
            for seat in seats {
                let seat = self.seats.get_mut(seat);
                seat.ok_or("the oracle has no seat")?.bonded += reward;
            }
            let rewards = reward * seats.len() as Amount;
            receipt.challenger_credit = slashed / 2;
            receipt.treasury_credit = slashed - slashed / 2 + bond - rewards;
        } else {
            receipt.challenger_credit = slashed / 2 + bond;
            receipt.treasury_credit = slashed - slashed / 2;
        }
        for seat in seats {
            let seat = &self.seats[seat];
            model.active_bonds.insert(seat.oracle, seat.active());
        }
        receipt.value = value;
        model.update_latest(receipt);
        model.settle(receipt, ReceiptState::Final, now);
        self.rare_events.disputes_ruled += 1;
        Ok(())
    }

    pub(super) fn finalize_receipt(&mut self, at: &Address, window: u64) -> Verdict {
        let moved = self.advance(&address::receipt(at, window))?;
        require(moved, "no state transition is due")
    }

    pub(super) fn collect_challenge(
        &mut self,
        at: &Address,
        window: u64,
        payee: ChallengePayee,
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let model = self.model(at)?;
        let (mint, vault) = (model.mint, address::bond_vault(at));
        let receipt = self.receipts.get_mut(&address::receipt(at, window));
        let receipt = receipt.ok_or("there is no such receipt")?;
        let challenger = receipt.challenger.unwrap_or_default();
        let credit = match payee {
            ChallengePayee::Treasury => &mut receipt.treasury_credit,
            ChallengePayee::Challenger => &mut receipt.challenger_credit,
        };
        let amount = std::mem::take(credit);
        require(0 < amount, "there is nothing to collect")?;
        match payee {
            ChallengePayee::Treasury => self.pay_treasury(&vault, &mint, destination, amount),
            ChallengePayee::Challenger => {
                self.pay(&vault, &challenger, signed, destination, amount)
            }
        }
    }

    pub(super) fn close_receipt(&mut self, at: &Address, window: u64) -> Verdict {
        let until = self.model(at)?.retention_end(window)?;
        let receipt_at = address::receipt(at, window);
        let receipt = self.receipts.get(&receipt_at);
        let receipt = receipt.ok_or("there is no such receipt")?;
        require(
            receipt.is_settled() && until <= self.now,
            "the receipt may still be needed",
        )?;
        require(
            receipt.challenger_credit == 0 && receipt.treasury_credit == 0,
            "a credit is not collected",
        )?;
        self.receipts.remove(&receipt_at);
        Ok(())
    }
}
