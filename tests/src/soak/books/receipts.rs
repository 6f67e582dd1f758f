//! Receipts: submissions of the oracles, the drift that follows from them, and disputes.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, ChallengePayee, address, math};
use sha2::{Digest, Sha256};

use super::{
    Amount, Books, EventValues, Model, Verdict, WindowEnd, drift::drift, limits, require,
    silence::Risk,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptState {
    Collecting,
    Proposed,
    Challenged,
    Final,
    Void,
    Thin,
}

#[derive(Clone, Debug)]
pub struct Submission {
    /// The drift; `None` if the counts have fewer rows than a value needs.
    pub value: Option<u64>,
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
    /// The median of the submitted values, or the value of the ruling; 0 if there is none.
    pub value: u64,
    pub challenger: Option<Address>,
    /// What the challenger asserts; `None` if it asserts that the window is thin.
    pub asserted: Option<u64>,
    /// What each oracle, by index, lost by the ruling and can still get back.
    pub held: BTreeMap<usize, Amount>,
    /// The challenger's part of it.
    pub reward: Amount,
    /// From when it can't be returned any more.
    pub appeal_until: Option<i64>,
    pub challenger_credit: Amount,
    pub treasury_credit: Amount,
    /// The window's pay, which the receipt took out of the pot.
    pub pay: Amount,
    /// Indices of the oracles that earned a part of it.
    pub earners: Vec<usize>,
    /// What the silent oracles, by index, lost when the receipt was settled.
    pub penalties: BTreeMap<usize, Amount>,
}

impl Receipt {
    /// A receipt without submissions.
    fn new(model: &Address, window: u64, payer: &Address, version: u32) -> Self {
        Self {
            model: *model,
            window,
            payer: *payer,
            version,
            submissions: BTreeMap::new(),
            state: ReceiptState::Collecting,
            since: 0,
            value: 0,
            challenger: None,
            asserted: None,
            held: BTreeMap::new(),
            reward: 0,
            appeal_until: None,
            challenger_credit: 0,
            treasury_credit: 0,
            pay: 0,
            earners: vec![],
            penalties: BTreeMap::new(),
        }
    }

    pub fn is_settled(&self) -> bool {
        self.end().is_some()
    }

    /// How the receipt's window ended; `None` while the receipt is open.
    fn end(&self) -> Option<WindowEnd> {
        match self.state {
            ReceiptState::Collecting | ReceiptState::Proposed | ReceiptState::Challenged => None,
            ReceiptState::Final => Some(WindowEnd::Final(self.value)),
            ReceiptState::Void => Some(WindowEnd::Void),
            ReceiptState::Thin => Some(WindowEnd::Thin),
        }
    }

    fn is_owed(&self) -> bool {
        0 < self.challenger_credit + self.treasury_credit + self.slashed()
    }

    /// The sum of what oracles lost and can still get back.
    pub fn slashed(&self) -> Amount {
        self.held.values().sum()
    }

    /// The amount that the model's bond vault holds for the receipt.
    pub(super) fn held(&self, challenge_bond: Amount) -> Amount {
        let is_challenged = self.state == ReceiptState::Challenged && self.challenger.is_some();
        let bond = if is_challenged { challenge_bond } else { 0 };
        let pay = if self.is_settled() { 0 } else { self.pay };
        bond + self.challenger_credit + self.treasury_credit + self.slashed() + pay
    }

    /// The median of the submitted values: of two middle values, the lower; 0 if there is none.
    fn median(&self) -> u64 {
        let submissions = self.submissions.values();
        let mut values: Vec<u64> = submissions.filter_map(|each| each.value).collect();
        values.sort();
        let middle = values.len().saturating_sub(1) / 2;
        values.get(middle).copied().unwrap_or(0)
    }

    fn has_quorum(&self, model: &Model) -> bool {
        model.quorum <= self.submissions.len()
    }

    /// Whether a quorum has submitted, and every seat that counts.
    fn is_complete(&self, model: &Model) -> bool {
        let has_submitted = |oracle| self.submissions.contains_key(&oracle);
        let start = model.genesis + model.window_secs * self.window as i64;
        let is_awaited = |&index: &usize| {
            let oracle = &model.oracles[index];
            model.counts(oracle) && model.standings[oracle].listed_at <= start
        };
        let mut awaited = (0..model.oracles.len()).filter(is_awaited);
        self.has_quorum(model) && awaited.all(has_submitted)
    }

    /// When the arbiter's time is over: without a challenger, somebody may challenge first.
    fn ruling_end(&self, model: &Model) -> i64 {
        let challenge_secs = match self.challenger {
            Some(_) => 0,
            None => model.periods.challenge_secs,
        };
        self.since + challenge_secs + model.periods.ruling_secs
    }

    /// What a quorum agrees on: that the window is thin, or the median if a quorum lies within
    /// `max_spread` of it.
    fn agreement(&self, model: &Model) -> Option<WindowEnd> {
        let count_near = |found: Option<u64>| {
            let submissions = self.submissions.values();
            submissions
                .filter(|each| model.agree(each.value, found))
                .count()
        };
        if model.quorum <= count_near(None) {
            Some(WindowEnd::Thin)
        } else if model.quorum <= count_near(Some(self.median())) {
            Some(WindowEnd::Final(self.median()))
        } else {
            None
        }
    }
}

impl Model {
    /// Whether two findings agree: both are thin (`None`), or both are values within `max_spread`.
    fn agree(&self, one: Option<u64>, other: Option<u64>) -> bool {
        match (one, other) {
            (Some(one), Some(other)) => one.abs_diff(other) <= self.max_spread,
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// The drift of `counts` on chain; `None` if they have fewer than `min_samples` rows. Fails if the
    /// protocol does not allow it.
    fn drift(&self, counts: &[u32], values: &EventValues) -> Verdict<Option<u64>> {
        require(
            counts.len() == self.reference.len(),
            "the number of bins is wrong",
        )?;
        let rows: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if rows < self.min_samples {
            return Ok(None);
        }
        let (low, high) = drift(self.metric, &self.reference, counts);
        // A refused call has no event. Within the tolerance, the refusal may depend on the exact drift.
        let of_program = || math::drift(self.metric.into(), &self.reference, counts);
        let value = values.drift.unwrap_or_else(of_program);
        require((low..=high).contains(&value), "the drift is wrong")?;
        Ok(Some(value))
    }

    fn propose(&mut self, receipt: &mut Receipt, since: i64) {
        receipt.since = since;
        let agreement = receipt.agreement(self);
        if let Some(WindowEnd::Final(value)) = agreement {
            self.update_latest(receipt.window, value);
        }
        receipt.state = match agreement {
            Some(_) => ReceiptState::Proposed,
            None => ReceiptState::Challenged,
        };
    }

    fn update_latest(&mut self, window: u64, value: u64) {
        if self.latest.is_none_or(|(latest, _)| latest <= window) {
            self.latest = Some((window, value));
        }
    }

    /// Makes a receipt Final, Void or Thin, shares its pay, and appends it to the receipt chain.
    fn settle(&mut self, receipt: &mut Receipt, end: WindowEnd, since: i64, risk: Risk) -> Verdict {
        receipt.since = since;
        let state = match end {
            WindowEnd::Final(value) => {
                receipt.state = ReceiptState::Final;
                receipt.value = value;
                self.final_receipts.push((receipt.window, value));
                self.update_latest(receipt.window, value);
                3
            }
            WindowEnd::Void => {
                receipt.state = ReceiptState::Void;
                4
            }
            WindowEnd::Thin => {
                receipt.state = ReceiptState::Thin;
                receipt.value = 0;
                5
            }
        };
        let agreed = match end {
            WindowEnd::Final(value) => Some(Some(value)),
            WindowEnd::Void => None,
            WindowEnd::Thin => Some(None),
        };
        if let Some(agreed) = agreed {
            let submissions = receipt.submissions.iter();
            receipt.earners = submissions
                .filter(|(_, submission)| self.agree(submission.value, agreed))
                .map(|(oracle, _)| *oracle)
                .collect();
        }
        if agreed.is_some() {
            self.penalise(receipt, risk, since)?;
        }
        let mut left = receipt.pay;
        for earner in &receipt.earners {
            let part = receipt.pay / receipt.earners.len() as Amount;
            if 0 < part {
                *self.rewards.entry(self.oracles[*earner]).or_default() += part;
            }
            left -= part;
        }
        self.pot.give_back(left);
        let submissions = receipt.submissions.values();
        let samples: u64 = submissions.map(|submission| submission.samples).sum();
        let mut link = Sha256::new();
        link.update(self.chain);
        link.update(receipt.window.to_le_bytes());
        link.update([state]);
        link.update(receipt.value.to_le_bytes());
        link.update(samples.to_le_bytes());
        for oracle in 0..7 {
            let submission = receipt.submissions.get(&oracle);
            link.update(submission.map_or([0; 32], |submission| submission.evidence));
        }
        self.chain = link.finalize().into();
        Ok(())
    }

    /// Applies all state transitions that are due by `now`, each as of the time at which it became due.
    /// Returns whether the state changed.
    fn advance(&mut self, receipt: &mut Receipt, now: i64, risk: Risk) -> Verdict<bool> {
        let before = receipt.state;
        if receipt.state == ReceiptState::Collecting {
            let end = self.submit_end(receipt.window)?;
            if end <= now {
                self.propose(receipt, end);
            } else if receipt.is_complete(self) {
                self.propose(receipt, now);
            }
        }
        let challenge_end = receipt.since + self.periods.challenge_secs;
        let ruling_end = receipt.ruling_end(self);
        if receipt.state == ReceiptState::Proposed && challenge_end <= now {
            let proposed = receipt.agreement(self).expect("a quorum agrees");
            self.settle(receipt, proposed, challenge_end, risk)?;
        } else if receipt.state == ReceiptState::Challenged && ruling_end <= now {
            if receipt.challenger.is_some() {
                receipt.challenger_credit = self.challenge_bond;
            }
            let end = receipt.agreement(self).unwrap_or(WindowEnd::Void);
            self.settle(receipt, end, ruling_end, risk)?;
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
            ReceiptState::Challenged => Some(receipt.ruling_end(model)),
            ReceiptState::Final | ReceiptState::Void | ReceiptState::Thin => None,
        }
    }

    /// Applies the state transitions of a receipt that are due, short of writing its end into the series.
    /// Returns whether the state changed.
    fn advance(&mut self, at: &Address) -> Verdict<bool> {
        let now = self.now;
        let receipt = self.receipts.get(at).ok_or("there is no such receipt")?;
        let risk = self.risk(&receipt.model);
        let receipt = self.receipts.get_mut(at).expect("read");
        let model = self.models.get_mut(&receipt.model);
        let model = model.expect("models are never closed");
        let moved = model.advance(receipt, now, risk)?;
        let penalties = receipt.penalties.values().filter(|lost| 0 < **lost);
        self.rare_events.silence_penalised += u64::from(moved) * penalties.count() as u64;
        if moved && receipt.state == ReceiptState::Void {
            self.rare_events.receipts_voided += 1;
        }
        if moved && receipt.is_settled() && 0 < receipt.pay {
            self.rare_events.windows_paid += u64::from(!receipt.earners.is_empty());
            self.rare_events.pay_unearned += u64::from(receipt.earners.is_empty());
        }
        Ok(moved)
    }

    /// Writes the end of a settled receipt into the series, and closes the receipt if it owes nothing.
    fn record(&mut self, at: &Address) -> Verdict {
        let receipt = self.receipts.get(at).ok_or("there is no such receipt")?;
        let Some(end) = receipt.end() else {
            return Ok(());
        };
        let page = address::series_page(&receipt.model, receipt.window / 256);
        let series = self.series.get_mut(&page).ok_or("there is no such page")?;
        if series.ends.insert(receipt.window, end).is_none() && end == WindowEnd::Thin {
            self.rare_events.windows_thin += 1;
        }
        if !receipt.is_owed() {
            self.receipts.remove(at);
        }
        Ok(())
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
        require(
            model.standings[signer].listed_at <= model.window_start(window)?,
            "the window began before the oracle was listed",
        )?;
        let page = self.series.get(&address::series_page(at, window / 256));
        require(
            page.is_none_or(|page| !page.ends.contains_key(&window)),
            "the window is settled",
        )?;
        let receipt_at = address::receipt(at, window);
        let is_needed = !model.is_retired || 0 < exposure;
        require(
            is_needed || self.receipts.contains_key(&receipt_at),
            "the model is retired and nothing depends on it",
        )?;
        let pay = if self.receipts.contains_key(&receipt_at) {
            0
        } else {
            model.pot.take(window, now)
        };
        let new = Receipt {
            pay,
            ..Receipt::new(at, window, signer, model.version)
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
            value: model.drift(counts, values)?,
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
        self.open_page(at, window, signer);
        Ok(())
    }

    /// Opens the dispute about a window for which nobody has submitted.
    fn dispute_missing(&mut self, signer: &Address, at: &Address, window: u64) -> Verdict {
        require(self.end_of(at, window).is_none(), "the window is settled")?;
        require(
            self.takes_receipts(at)?,
            "the model is retired and nothing depends on it",
        )?;
        let (risk, now) = (self.risk(at), self.now);
        let model = self.model(at)?;
        let since = model.submit_end(window)?;
        require(since <= now, "oracles can still submit")?;
        require(
            now < since + model.periods.challenge_secs,
            "the challenge period is over",
        )?;
        require(
            model.observes(window, risk.is_exposed)?,
            "nothing depends on the window",
        )?;
        let receipt = Receipt {
            state: ReceiptState::Challenged,
            since,
            ..Receipt::new(at, window, signer, model.version)
        };
        self.receipts.insert(address::receipt(at, window), receipt);
        self.rare_events.missing_challenged += 1;
        self.open_page(at, window, signer);
        Ok(())
    }

    pub(super) fn challenge_receipt(
        &mut self,
        signer: &Address,
        at: &Address,
        window: u64,
        counts: &[u32],
        source: &Address,
        values: &EventValues,
    ) -> Verdict {
        let receipt_at = address::receipt(at, window);
        if self.receipts.contains_key(&receipt_at) {
            self.advance(&receipt_at)?;
        } else {
            self.dispute_missing(signer, at, window)?;
        }
        let now = self.now;
        let model = &self.models[at];
        let receipt = self.receipts.get_mut(&receipt_at).expect("advanced");
        let asserted = model.drift(counts, values)?;
        match receipt.state {
            ReceiptState::Proposed => {}
            ReceiptState::Challenged => require(
                receipt.challenger.is_none() && now < receipt.since + model.periods.challenge_secs,
                "somebody has challenged, or the time for it is over",
            )?,
            _ => require(false, "the receipt is neither Proposed nor Challenged")?,
        }
        let agrees = match receipt.agreement(model) {
            Some(WindowEnd::Final(value)) => model.agree(Some(value), asserted),
            Some(WindowEnd::Thin) => asserted.is_none(),
            _ => false,
        };
        require(!agrees, "the assertion agrees with what is proposed")?;
        require(
            asserted.is_some() || !receipt.submissions.is_empty(),
            "thin counts are asserted for a missing window",
        )?;
        receipt.asserted = asserted;
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
        counts: Option<&[u32]>,
        seats: &[Address],
        values: &EventValues,
    ) -> Verdict {
        require(
            self.model(at)?.arbiter == *signer,
            "only the arbiter may rule",
        )?;
        let receipt_at = address::receipt(at, window);
        self.advance(&receipt_at)?;
        let (risk, now) = (self.risk(at), self.now);
        let receipt = &self.receipts[&receipt_at];
        require(
            receipt.state == ReceiptState::Challenged,
            "the receipt is not Challenged",
        )?;
        let submitters: Vec<usize> = receipt.submissions.keys().copied().collect();
        for index in submitters {
            // The seats pay their penalties first.
            let oracle = self.models[at].oracles[index];
            self.pay_penalty(at, &oracle)?;
        }
        let model = self.models.get_mut(at).expect("read");
        let receipt = self.receipts.get_mut(&receipt_at).expect("advanced");
        let found = match counts {
            Some(counts) => Some(model.drift(counts, values)?),
            None => {
                require(!receipt.has_quorum(model), "a quorum has submitted")?;
                None
            }
        };
        let submitters = receipt.submissions.keys();
        let expected: Vec<Address> = submitters
            .map(|&oracle| address::seat(at, &model.oracles[oracle]))
            .collect();
        require(
            seats == expected,
            "the seats are not those of the submitters",
        )?;

        model.reports += 1;
        // Each submitter who disagrees with the ruling loses `slash_amount`, at most its bond.
        let agrees = |value| found.is_none_or(|found| model.agree(value, found));
        for ((oracle, submission), seat) in std::iter::zip(&receipt.submissions, seats) {
            if !agrees(submission.value) {
                let seat = self.seats.get_mut(seat).ok_or("the oracle has no seat")?;
                let taken = model.slash_amount.min(seat.bonded);
                seat.bonded -= taken;
                seat.unbonding = seat.unbonding.min(seat.bonded);
                seat.slashes += 1;
                if 0 < taken {
                    receipt.held.insert(*oracle, taken);
                }
                self.rare_events.oracles_slashed += 1;
            }
        }
        let slashed = receipt.slashed();
        if 0 < slashed {
            receipt.appeal_until = Some(now + model.periods.appeal_secs);
        }
        // The challenger was right if the ruled value is nearer to its assertion than to the proposed one;
        // without these three values, if the ruling agrees with it.
        let proposed = match receipt.agreement(model) {
            Some(WindowEnd::Final(value)) => Some(value),
            _ => None,
        };
        let is_right = match (receipt.asserted, proposed, found) {
            (Some(asserted), Some(proposed), Some(Some(value))) => {
                value.abs_diff(asserted) < value.abs_diff(proposed)
            }
            (asserted, _, Some(found)) => model.agree(asserted, found),
            (_, _, None) => false,
        };
        let is_right = is_right && receipt.challenger.is_some();
        let bond = model.challenge_bond;
        if is_right {
            receipt.challenger_credit = bond;
            receipt.reward = (slashed / 2).min(2 * bond);
        } else if receipt.challenger.is_some() {
            // Half of a lost bond goes to the submitters who agree, the rest to the treasury.
            let agreeing: Vec<&Address> = std::iter::zip(receipt.submissions.values(), seats)
                .filter(|(each, _)| found.is_some_and(|found| model.agree(each.value, found)))
                .map(|(_, seat)| seat)
                .collect();
            let mut left = bond;
            for seat in &agreeing {
                let part = bond / 2 / agreeing.len() as Amount;
                let seat = self.seats.get_mut(*seat);
                seat.ok_or("the oracle has no seat")?.bonded += part;
                left -= part;
            }
            receipt.treasury_credit = left;
        }
        for seat in seats {
            let seat = &self.seats[seat];
            model.set_active_bond(&seat.oracle, seat.active(), false, now);
        }
        match found {
            Some(Some(value)) => model.update_latest(window, value),
            Some(None) if model.latest.is_some_and(|(latest, _)| latest == window) => {
                let newest = model
                    .final_receipts
                    .iter()
                    .max_by_key(|(window, _)| *window);
                model.latest = newest.copied();
            }
            _ => {}
        }
        let end = match found {
            Some(Some(value)) => WindowEnd::Final(value),
            Some(None) => WindowEnd::Thin,
            None => WindowEnd::Void,
        };
        model.settle(receipt, end, now, risk)?;
        let penalties: Amount = receipt.penalties.values().sum();
        if is_right && matches!(end, WindowEnd::Final(_)) {
            receipt.challenger_credit += penalties / 2;
            model.pot.reward_challenger(penalties / 2);
        }
        self.rare_events.silence_penalised += u64::from(0 < penalties);
        self.rare_events.disputes_ruled += 1;
        self.record(&receipt_at)
    }

    pub(super) fn return_slashes(
        &mut self,
        signer: &Address,
        at: &Address,
        window: u64,
        seats: &[Address],
    ) -> Verdict {
        require(
            self.config()?.admin == *signer,
            "only the admin may return slashes",
        )?;
        let (receipt_at, now) = (address::receipt(at, window), self.now);
        let receipt = self.receipts.get(&receipt_at);
        let receipt = receipt.ok_or("there is no such receipt")?;
        let until = receipt.appeal_until.ok_or("nothing is held")?;
        require(now < until, "the time for an appeal is over")?;
        let model = self.model(at)?;
        let slashed = receipt.held.iter();
        let slashed = slashed.map(|(&index, &amount)| (model.oracles[index], amount));
        let slashed: Vec<(Address, Amount)> = slashed.collect();
        let expected = slashed.iter().map(|(oracle, _)| address::seat(at, oracle));
        require(
            expected.eq(seats.iter().copied()),
            "the seats are not those of the slashed oracles",
        )?;
        for (oracle, amount) in slashed {
            self.pay_penalty(at, &oracle)?;
            let seat = self.seats.get_mut(&address::seat(at, &oracle));
            let seat = seat.ok_or("the oracle has no seat")?;
            seat.bonded += amount;
            let active = seat.active();
            self.model_mut(at)?
                .set_active_bond(&oracle, active, false, now);
        }
        let receipt = self.receipts.get_mut(&receipt_at).expect("read");
        receipt.held.clear();
        (receipt.reward, receipt.appeal_until) = (0, None);
        if !receipt.is_owed() {
            self.receipts.remove(&receipt_at);
        }
        self.rare_events.slashes_returned += 1;
        Ok(())
    }

    pub(super) fn finalize_receipt(&mut self, at: &Address, window: u64) -> Verdict {
        let receipt_at = address::receipt(at, window);
        let moved = self.advance(&receipt_at)?;
        require(moved, "no state transition is due")?;
        self.record(&receipt_at)
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
        let receipt_at = address::receipt(at, window);
        let receipt = self.receipts.get_mut(&receipt_at);
        let receipt = receipt.ok_or("there is no such receipt")?;
        if receipt.appeal_until.is_some_and(|end| end <= self.now) {
            let slashed = receipt.slashed();
            receipt.challenger_credit += receipt.reward;
            receipt.treasury_credit += slashed - receipt.reward;
            receipt.held.clear();
            (receipt.reward, receipt.appeal_until) = (0, None);
        }
        let challenger = receipt.challenger.unwrap_or_default();
        let credit = match payee {
            ChallengePayee::Treasury => &mut receipt.treasury_credit,
            ChallengePayee::Challenger => &mut receipt.challenger_credit,
        };
        let amount = std::mem::take(credit);
        require(0 < amount, "there is nothing to collect")?;
        if !receipt.is_owed() {
            self.receipts.remove(&receipt_at);
        }
        match payee {
            ChallengePayee::Treasury => self.pay_treasury(&vault, &mint, destination, amount),
            ChallengePayee::Challenger => {
                self.pay(&vault, &challenger, signed, destination, amount)
            }
        }
    }
}
