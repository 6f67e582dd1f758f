//! The oracles' pay: rent, funding, and what each window pays.

use driftshield_sdk::{Address, RewardPayee, address};

use super::{Amount, BPS, Books, DAY, HORIZON, Model, Verdict, fits, require};

/// From `epoch` on, and before the epoch `end`, each window pays `rate`.
#[derive(Clone, Copy, Debug)]
struct Change {
    epoch: u64,
    end: u64,
    rate: Amount,
}

/// The pot, as its whole history: every number follows from the payments so far.
#[derive(Clone, Debug)]
pub struct Pot {
    /// Number of windows of an epoch.
    pub epoch_windows: u64,
    epoch_secs: i64,
    genesis: i64,
    /// Everything that was ever paid in.
    paid: Amount,
    /// Mean end of what was waiting at the last payment.
    pub until: i64,
    /// Changes of the rate since the pot was last drained, in ascending order. Of one epoch, the last
    /// counts.
    changes: Vec<Change>,
    /// The amount released before the pot was last drained.
    released_before: Amount,
    /// The epoch of the last payment or of the last new receipt: the accounts on chain are of it.
    pub epoch: u64,
    /// What receipts took, less what they returned.
    taken: Amount,
    /// Penalties, less what challengers got of them.
    forfeited: Amount,
    /// What the treasury collected of what was waiting, and of what was unearned.
    drained: (Amount, Amount),
}

impl Pot {
    pub fn new(genesis: i64, window_secs: i64, lag_secs: i64) -> Self {
        let epoch_windows = (lag_secs as u64).div_ceil(window_secs as u64);
        Self {
            epoch_windows,
            epoch_secs: epoch_windows as i64 * window_secs,
            genesis,
            paid: 0,
            until: 0,
            changes: vec![],
            released_before: 0,
            epoch: 0,
            taken: 0,
            forfeited: 0,
            drained: (0, 0),
        }
    }

    /// The start of an epoch after the one before genesis.
    fn start(&self, epoch: u64) -> i64 {
        self.genesis + (epoch as i64 - 1) * self.epoch_secs
    }

    fn epoch_at(&self, now: i64) -> u64 {
        let mut epoch = ((now - self.genesis).max(0) / self.epoch_secs) as u64;
        while self.start(epoch + 1) <= now {
            epoch += 1;
        }
        epoch
    }

    /// What each window of `epoch` pays, by the payments before that epoch.
    pub fn rate(&self, epoch: u64) -> Amount {
        let change = self.changes.iter().rfind(|change| change.epoch <= epoch);
        change.map_or(0, |change| if epoch < change.end { change.rate } else { 0 })
    }

    /// The amount that all epochs up to `self.epoch` have released to their windows.
    fn released(&self) -> Amount {
        let mut released = self.released_before;
        for (index, change) in self.changes.iter().enumerate() {
            let next = self.changes.get(index + 1).map(|next| next.epoch);
            let until = next.unwrap_or(u64::MAX).min(change.end).min(self.epoch + 1);
            let epochs = until.saturating_sub(change.epoch);
            released += change.rate * Amount::from(epochs * self.epoch_windows);
        }
        released
    }

    pub fn waiting(&self) -> Amount {
        self.paid - self.released() - self.drained.0
    }

    pub fn unearned(&self) -> Amount {
        self.released() + self.forfeited - self.taken - self.drained.1
    }

    /// When no window can be paid any more, unless more is paid in.
    pub fn over_at(&self) -> i64 {
        self.start(self.later().1 + 1)
    }

    /// Takes what is left, and ends the stream.
    fn drain(&mut self) -> Amount {
        let left = (self.waiting(), self.unearned());
        self.drained.0 += left.0;
        self.drained.1 += left.1;
        self.until = 0;
        // No window is paid any more by the payments so far.
        self.released_before = self.released();
        self.changes.clear();
        left.0 + left.1
    }

    /// What each window after the current epoch pays, and the first epoch without pay.
    pub fn later(&self) -> (Amount, u64) {
        match self.changes.last() {
            Some(change) => (change.rate, change.end),
            None => (0, 0),
        }
    }

    fn pay_in(&mut self, amount: Amount, end: i64, now: i64) {
        self.epoch = self.epoch_at(now);
        let waiting = self.waiting();
        let next = self.start(self.epoch + 1);
        let ahead = |time: i64| (time - next).max(0) as Amount;
        let weighted = waiting * ahead(self.until) + amount * ahead(end);
        self.until = next + (weighted / (waiting + amount)) as i64;
        let epochs = ahead(self.until).div_ceil(self.epoch_secs as Amount).max(1) as u64;
        let windows = Amount::from(epochs * self.epoch_windows);
        self.paid += amount;
        self.changes.push(Change {
            epoch: self.epoch + 1,
            end: self.epoch + 1 + epochs,
            rate: (waiting + amount) / windows,
        });
    }

    /// Takes what `window` pays, for a new receipt.
    pub(super) fn take(&mut self, window: u64, now: i64) -> Amount {
        self.epoch = self.epoch_at(now);
        let pay = self.rate(window / self.epoch_windows + 1);
        self.taken += pay;
        pay
    }

    /// Adds a penalty to what is unearned.
    pub(super) fn forfeit(&mut self, penalty: Amount) {
        self.forfeited += penalty;
    }

    /// Takes a challenger's part of the penalties.
    pub(super) fn reward_challenger(&mut self, part: Amount) {
        self.forfeited -= part;
    }

    /// Returns a part of what a receipt took.
    pub(super) fn give_back(&mut self, amount: Amount) {
        self.taken -= amount;
    }
}

impl Model {
    /// The rent of `amount` from `start` until the window that ends at `window_end` is decided, and
    /// that time.
    pub fn rent(&self, amount: Amount, start: i64, window_end: i64) -> Verdict<(Amount, i64)> {
        let end = window_end + self.dispute_secs();
        let year = Amount::from(365 * DAY as u64);
        let product = amount * Amount::from(self.rent_bps) * (end - start).max(0) as Amount;
        let rent = product.div_ceil(BPS * year).max(1);
        Ok((fits(rent)?, end))
    }
}

impl Books {
    /// Transfers `amount` into the pot, for the time until `end`.
    pub(super) fn pay_oracles(
        &mut self,
        payer: &Address,
        source: &Address,
        at: &Address,
        amount: Amount,
        end: i64,
    ) -> Verdict {
        let now = self.now;
        let model = self.model_mut(at)?;
        let mint = model.mint;
        model.pot.pay_in(amount, end, now);
        fits(model.pot.waiting())?;
        fits(self.held(at))?;
        self.transfer(payer, source, &address::bond_vault(at), &mint, amount)
    }

    pub(super) fn fund_oracles(
        &mut self,
        signer: &Address,
        at: &Address,
        source: &Address,
        amount: u64,
        until: i64,
    ) -> Verdict {
        require(0 < amount, "the amount is 0")?;
        require(self.takes_receipts(at)?, "no oracle can earn it")?;
        require(
            self.now < until && until <= self.now + HORIZON,
            "the end is out of range",
        )?;
        self.pay_oracles(signer, source, at, amount.into(), until)
    }

    /// Whether receipts can still be created: the model is active, or something depends on it.
    pub fn takes_receipts(&self, at: &Address) -> Verdict<bool> {
        Ok(!self.model(at)?.is_retired || 0 < self.exposure_of(at))
    }

    pub(super) fn collect_reward(
        &mut self,
        oracle: &Address,
        at: &Address,
        payee: RewardPayee,
        destination: &Address,
        signed: bool,
    ) -> Verdict {
        let is_unused = !self.takes_receipts(at)? && self.open_receipts(at) == 0;
        let now = self.now;
        let model = self.model_mut(at)?;
        require(model.index(oracle).is_some(), "the oracle is not listed")?;
        let (vault, mint) = (address::bond_vault(at), model.mint);
        match payee {
            RewardPayee::Treasury => {
                let is_over = model.pot.over_at() <= now;
                require(is_unused || is_over, "the pot can still pay oracles")?;
                model.pot.epoch = model.pot.epoch_at(now);
                let left = model.pot.drain();
                require(0 < left, "there is nothing to collect")?;
                self.pay_treasury(&vault, &mint, destination, left)
            }
            RewardPayee::Oracle => {
                let reward = model.rewards.remove(oracle).unwrap_or(0);
                require(0 < reward, "there is nothing to collect")?;
                self.pay(&vault, oracle, signed, destination, reward)
            }
        }
    }
}
