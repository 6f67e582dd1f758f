//! The oracles' pay.

use anchor_lang::prelude::*;

use crate::{math, DriftShieldError, Model, PotTotals};

impl Model {
    /// Returns the length of an epoch of the pot in seconds.
    fn epoch_secs(&self) -> i64 {
        self.window_secs * self.pot.epoch_windows as i64 // at most 60 days plus a window
    }

    /// Returns the epoch of the pot that contains `now`.
    fn epoch_at(&self, now: i64) -> u64 {
        if now < self.genesis {
            return 0;
        }
        (now - self.genesis) as u64 / self.epoch_secs() as u64 + 1
    }

    /// Adds `amount`, which enters the bond vault, to the oracles' pay for the time until `end`.
    /// The amount streams from the pot's next epoch on.
    pub fn pay_oracles(&mut self, amount: u64, end: i64, now: i64) -> Result<()> {
        self.increase_held(amount)?;
        let (epoch, epoch_secs) = (self.epoch_at(now), self.epoch_secs());
        self.pot.advance(epoch);
        let next_start = self.genesis + epoch as i64 * epoch_secs;
        self.pot.add(amount, end, next_start, epoch_secs);
        Ok(())
    }

    /// Returns the rent of an `amount` at risk in the time from `start` until the receipt of the
    /// window that ends at `window_end` is settled at the latest, and that time.
    pub fn rent(&self, amount: u64, start: i64, window_end: i64) -> Result<(u64, i64)> {
        let end = window_end + self.dispute_secs();
        let secs = (end - start).max(0) as u64;
        let rent = math::rent(amount, self.security_rent_bps, secs);
        Ok((rent.ok_or(DriftShieldError::Overflow)?, end))
    }

    /// Takes the pay for `window`, which is over, out of the pot. Called once a window, when its
    /// receipt is created.
    pub fn take_pay(&mut self, window: u64, now: i64) -> u64 {
        self.pot.advance(self.epoch_at(now));
        self.pot.take(window / self.pot.epoch_windows + 1)
    }

    /// Splits a settled receipt's `pay` equally among the `earners`, bits by oracle. The remainder,
    /// which is all of it without earners, returns to the pot as unearned.
    pub fn reward(&mut self, pay: u64, earners: u8) {
        let count = u64::from(earners.count_ones());
        let each = pay.checked_div(count).unwrap_or(0);
        for (oracle, reward) in self.rewards.iter_mut().enumerate() {
            if earners & (1 << oracle) != 0 {
                *reward += each; // part of the bond vault's balance
            }
        }
        self.pot.unearned += pay - each * count;
    }

    /// Returns the totals of the pot, for events.
    pub fn pot_totals(&self) -> PotTotals {
        PotTotals {
            held: self.held,
            waiting: self.pot.waiting,
            unearned: self.pot.unearned,
            until: self.pot.until,
        }
    }

    /// Takes what is left of the pot. Refused while an oracle can earn a part of it: until the
    /// stream is over, or no receipt is open and none can be created any more.
    pub fn drain_pot(&mut self, now: i64) -> Result<u64> {
        self.pot.advance(self.epoch_at(now));
        let is_unused = !self.takes_receipts() && self.open_receipts == 0;
        require!(is_unused || self.pot.is_over(), DriftShieldError::PotInUse);
        Ok(self.pot.drain())
    }
}
