//! Receipts: what the oracles counted, the drift that follows, and disputes about it.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, ChallengePayee, Metric, address};
use sha2::{Digest, Sha256};

use super::{Amount, Books, Model, Ruled, Seen, limits, require};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
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
    /// By the oracle's place in the model's list.
    pub submissions: BTreeMap<usize, Submission>,
    pub state: State,
    /// When the state began.
    pub since: i64,
    /// The median, or the ruling's value.
    pub value: u64,
    pub challenger: Option<Address>,
    pub challenger_credit: Amount,
    pub treasury_credit: Amount,
}

impl Receipt {
    pub fn is_settled(&self) -> bool {
        matches!(self.state, State::Final | State::Void)
    }

    /// The lower of the middle two.
    fn median(&self) -> u64 {
        let values = self.submissions.values();
        let mut values: Vec<u64> = values.map(|submission| submission.value).collect();
        values.sort();
        values[(values.len() - 1) / 2]
    }

    fn has_quorum(&self, model: &Model) -> bool {
        model.quorum <= self.submissions.len()
    }

    /// A quorum has submitted, and so has every seat that counts.
    fn is_complete(&self, model: &Model) -> bool {
        let has = |oracle| self.submissions.contains_key(&oracle);
        let mut counting = (0..model.oracles.len()).filter(|&i| model.counts(&model.oracles[i]));
        self.has_quorum(model) && counting.all(has)
    }

    /// A quorum lies within `max_spread` of the median.
    fn agrees(&self, model: &Model) -> bool {
        let near =
            |submission: &&Submission| submission.value.abs_diff(self.value) <= model.max_spread;
        model.quorum <= self.submissions.values().filter(near).count()
    }
}

/// The range that the drift of `counts` may be told in: exact where it is a whole number by a metric
/// of sums, within 2 of floating point elsewhere.
pub fn drift(metric: Metric, reference: &[u32], counts: &[u32]) -> (u64, u64) {
    let total = |counts: &[u32]| counts.iter().map(|&count| i128::from(count)).sum::<i128>();
    let (m, n) = (total(reference), total(counts));
    // Differences of shares, times m · n: exact.
    let gaps = std::iter::zip(reference, counts)
        .map(|(&p, &q)| i128::from(q) * m - i128::from(p) * n)
        .collect::<Vec<_>>();
    let (over, under) = match metric {
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
    let micro = over * 1_000_000;
    let (floor, is_whole) = ((micro / under) as u64, micro % under == 0);
    (floor, if is_whole { floor } else { floor + 1 })
}

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
    /// The drift of `counts`, as the chain has told it where the page allows that.
    fn drift(&self, counts: &[u32], least: u64, seen: &Seen) -> Ruled<u64> {
        require(
            counts.len() == self.reference.len(),
            "another number of bins",
        )?;
        let rows: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        require(least <= rows, "too few rows")?;
        let (low, high) = drift(self.metric, &self.reference, counts);
        let value = seen.drift.unwrap_or(low);
        require((low..=high).contains(&value), "the drift is another")?;
        Ok(value)
    }

    fn propose(&mut self, receipt: &mut Receipt, since: i64) {
        receipt.since = since;
        receipt.state = if receipt.agrees(self) {
            self.note_latest(receipt);
            State::Proposed
        } else {
            State::Challenged
        };
    }

    fn note_latest(&mut self, receipt: &Receipt) {
        if self
            .latest
            .is_none_or(|(window, _)| window <= receipt.window)
        {
            self.latest = Some((receipt.window, receipt.value));
        }
    }

    /// Final or Void: counted, and chained.
    fn settle(&mut self, receipt: &mut Receipt, state: State, since: i64) {
        receipt.state = state;
        receipt.since = since;
        if state == State::Final {
            self.finals.push((receipt.window, receipt.value));
        }
        let submissions = receipt.submissions.values();
        let samples: u64 = submissions.map(|submission| submission.samples).sum();
        let mut link = Sha256::new();
        link.update(self.chain);
        link.update(receipt.window.to_le_bytes());
        link.update([if state == State::Final { 3 } else { 4 }]);
        link.update(receipt.value.to_le_bytes());
        link.update(samples.to_le_bytes());
        for oracle in 0..7 {
            let submission = receipt.submissions.get(&oracle);
            link.update(submission.map_or([0; 32], |submission| submission.evidence));
        }
        self.chain = link.finalize().into();
    }

    /// Every step that time has decided by `now`, each as of the moment that decided it.
    fn advance(&mut self, receipt: &mut Receipt, now: i64) -> Ruled<bool> {
        let before = receipt.state;
        if receipt.state == State::Collecting {
            let end = self.submit_end(receipt.window)?;
            if end <= now && receipt.has_quorum(self) {
                self.propose(receipt, end);
            } else if end <= now {
                self.settle(receipt, State::Void, end);
            } else if receipt.is_complete(self) {
                self.propose(receipt, now);
            }
        }
        let challenge_end = receipt.since + self.periods.challenge_secs;
        let ruling_end = receipt.since + self.periods.ruling_secs;
        if receipt.state == State::Proposed && challenge_end <= now {
            self.settle(receipt, State::Final, challenge_end);
        } else if receipt.state == State::Challenged && ruling_end <= now {
            if receipt.challenger.is_some() {
                receipt.challenger_credit = self.challenge_bond;
            }
            let stands = receipt.agrees(self);
            let state = if stands { State::Final } else { State::Void };
            self.settle(receipt, state, ruling_end);
        }
        Ok(receipt.state != before)
    }
}

impl Books {
    /// Lets time decide on a receipt.
    pub(super) fn advance(&mut self, at: &Address) -> Ruled<bool> {
        let now = self.now;
        let receipt = self.receipts.get_mut(at).ok_or("is no receipt")?;
        let model = self.models.get_mut(&receipt.model).expect("never closed");
        let moved = model.advance(receipt, now)?;
        if moved && receipt.state == State::Void {
            self.happened.receipts_voided += 1;
        }
        Ok(moved)
    }

    #[expect(clippy::too_many_arguments, reason = "what an oracle says")]
    pub(super) fn submit_receipt(
        &mut self,
        who: &Address,
        at: &Address,
        window: u64,
        counts: &[u32],
        evidence: &[u8; 32],
        uri: &str,
        seen: &Seen,
    ) -> Ruled {
        let now = self.now;
        limits::of_text(uri, 128)?;
        let exposure = self.exposure_of(at);
        let model = self.models.get_mut(at).ok_or("is no model")?;
        let oracle = model.index(who).ok_or("is not listed")?;
        require(model.window_end(window)? <= now, "the window is not over")?;
        require(now < model.submit_end(window)?, "the submit period is over")?;
        require(model.counts(who), "the seat does not count")?;
        let receipt_at = address::receipt(at, window);
        let is_needed = !model.is_retired || 0 < exposure;
        require(
            is_needed || self.receipts.contains_key(&receipt_at),
            "nothing depends on the model",
        )?;
        let new = Receipt {
            model: *at,
            window,
            payer: *who,
            version: model.version,
            submissions: BTreeMap::new(),
            state: State::Collecting,
            since: 0,
            value: 0,
            challenger: None,
            challenger_credit: 0,
            treasury_credit: 0,
        };
        let receipt = self.receipts.entry(receipt_at).or_insert(new);
        require(receipt.state == State::Collecting, "is past Collecting")?;
        require(
            !receipt.submissions.contains_key(&oracle),
            "has submitted already",
        )?;
        let submission = Submission {
            value: model.drift(counts, model.min_samples, seen)?,
            samples: counts.iter().map(|&count| u64::from(count)).sum(),
            evidence: *evidence,
        };
        receipt.submissions.insert(oracle, submission);
        receipt.value = receipt.median();
        if receipt.is_complete(model) {
            model.propose(receipt, now);
        }
        let seat = self.seats.get_mut(&address::seat(at, who));
        seat.ok_or("has no seat")?.submissions += 1;
        Ok(())
    }

    pub(super) fn challenge_receipt(
        &mut self,
        who: &Address,
        at: &Address,
        window: u64,
        source: &Address,
    ) -> Ruled {
        let receipt_at = address::receipt(at, window);
        self.advance(&receipt_at)?;
        let now = self.now;
        let receipt = self.receipts.get_mut(&receipt_at).expect("advanced");
        require(receipt.state == State::Proposed, "is not proposed")?;
        receipt.state = State::Challenged;
        receipt.since = now;
        receipt.challenger = Some(*who);
        let model = self.model(at)?;
        let (mint, bond) = (model.mint, model.challenge_bond);
        self.transfer(who, source, &address::bond_vault(at), &mint, bond)
    }

    pub(super) fn rule_receipt(
        &mut self,
        who: &Address,
        at: &Address,
        window: u64,
        counts: &[u32],
        seats: &[Address],
        seen: &Seen,
    ) -> Ruled {
        require(self.model(at)?.arbiter == *who, "only the arbiter may")?;
        let receipt_at = address::receipt(at, window);
        self.advance(&receipt_at)?;
        let now = self.now;
        let model = self.models.get_mut(at).expect("read");
        let receipt = self.receipts.get_mut(&receipt_at).expect("advanced");
        require(receipt.state == State::Challenged, "is not in dispute")?;
        let value = model.drift(counts, 1, seen)?;
        let submitters = receipt.submissions.keys();
        let needed: Vec<Address> = submitters
            .map(|&oracle| address::seat(at, &model.oracles[oracle]))
            .collect();
        require(seats == needed, "the seats are others")?;

        // Each submitter further off than `max_spread` loses `slash_amount`, at most its bond.
        let mut slashed = 0;
        for submission in std::iter::zip(receipt.submissions.values(), &needed) {
            let (submission, seat) = submission;
            if model.max_spread < submission.value.abs_diff(value) {
                let seat = self.seats.get_mut(seat).ok_or("has no seat")?;
                let taken = model.slash_amount.min(seat.bonded);
                seat.bonded -= taken;
                seat.unbonding = seat.unbonding.min(seat.bonded);
                seat.slashes += 1;
                slashed += taken;
                self.happened.oracles_slashed += 1;
            }
        }
        // Of what is slashed half goes to the challenger; all remainders to the treasury.
        let upheld = receipt.value.abs_diff(value) <= model.max_spread;
        let bond = model.challenge_bond;
        if receipt.challenger.is_none() {
            receipt.treasury_credit = slashed;
        } else if upheld {
            let reward = bond / 2 / needed.len() as Amount;
            for seat in &needed {
                self.seats.get_mut(seat).ok_or("has no seat")?.bonded += reward;
            }
            let rewards = reward * needed.len() as Amount;
            receipt.challenger_credit = slashed / 2;
            receipt.treasury_credit = slashed - slashed / 2 + bond - rewards;
        } else {
            receipt.challenger_credit = slashed / 2 + bond;
            receipt.treasury_credit = slashed - slashed / 2;
        }
        for seat in &needed {
            let seat = &self.seats[seat];
            model.standing.insert(seat.oracle, seat.active());
        }
        receipt.value = value;
        model.note_latest(receipt);
        model.settle(receipt, State::Final, now);
        self.happened.disputes_ruled += 1;
        Ok(())
    }

    pub(super) fn finalize_receipt(&mut self, at: &Address, window: u64) -> Ruled {
        let moved = self.advance(&address::receipt(at, window))?;
        require(moved, "time has not decided it")
    }

    pub(super) fn collect_challenge(
        &mut self,
        at: &Address,
        window: u64,
        payee: ChallengePayee,
        destination: &Address,
        signed: bool,
    ) -> Ruled {
        let model = self.model(at)?;
        let (mint, vault) = (model.mint, address::bond_vault(at));
        let receipt = self.receipts.get_mut(&address::receipt(at, window));
        let receipt = receipt.ok_or("is no receipt")?;
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

    /// The program pays the treasury its part.
    pub(super) fn pay_treasury(
        &mut self,
        source: &Address,
        mint: &Address,
        destination: &Address,
        amount: Amount,
    ) -> Ruled {
        require(*destination == self.treasury(mint)?, "is not the treasury")?;
        let owner = self.tokens.get(source).ok_or("pays from no account")?.owner;
        self.transfer(&owner, source, destination, mint, amount)
    }

    pub(super) fn close_receipt(&mut self, at: &Address, window: u64) -> Ruled {
        let until = self.model(at)?.retention_end(window)?;
        let receipt_at = address::receipt(at, window);
        let receipt = self.receipts.get(&receipt_at).ok_or("is no receipt")?;
        require(receipt.is_settled() && until <= self.now, "may be needed")?;
        require(
            receipt.challenger_credit == 0 && receipt.treasury_credit == 0,
            "owes a credit",
        )?;
        self.receipts.remove(&receipt_at);
        Ok(())
    }
}
