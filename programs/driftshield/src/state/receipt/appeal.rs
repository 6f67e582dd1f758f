//! What a ruling slashed is held, and the admin may return it, for `appeal_secs`. The ruling's value
//! stays in any case.

use core::ops::DerefMut;

use anchor_lang::prelude::*;

use crate::{DriftShieldError, Model, Receipt, Seat, MAX_ORACLES};

impl Receipt {
    /// Whether slashed amounts are held.
    pub fn is_appealable(&self) -> bool {
        self.appeal_until != 0
    }

    /// Returns the sum of the slashed amounts that are held.
    pub fn held(&self) -> u64 {
        self.held.iter().sum() // parts of the bond vault's balance
    }

    /// Returns the oracles whose slashed amounts are held.
    pub fn slashed(&self) -> impl Iterator<Item = usize> + '_ {
        (0..MAX_ORACLES).filter(|&oracle| 0 < self.held[oracle])
    }

    /// Credits what is held to the challenger and the treasury, if the time for its return is over.
    pub fn end_appeal(&mut self, model: &mut Model, now: i64) {
        if self.is_appealable() && self.appeal_until <= now {
            // Parts of the bond vault's balance; the reward is at most half of what is held.
            self.challenger_credit += self.reward;
            self.treasury_credit += self.held() - self.reward;
            self.release_held(model);
        }
    }

    /// Returns what is held to the `seats` of the slashed oracles, in their order. Returns the sum.
    pub fn return_slashes<S: DerefMut<Target = Seat>>(
        &mut self,
        model: &mut Model,
        seats: &mut [S],
        now: i64,
    ) -> Result<u64> {
        require!(self.is_appealable(), DriftShieldError::NothingHeld);
        require!(now < self.appeal_until, DriftShieldError::AppealPeriodOver);
        for (oracle, seat) in self.slashed().zip(seats) {
            seat.pay_penalty(model, oracle);
            seat.add(self.held[oracle]);
            model.set_bond(oracle, seat.active(), now);
        }
        let returned = self.held();
        self.release_held(model);
        Ok(returned)
    }

    /// Ends the holding: from now on nothing can be returned.
    fn release_held(&mut self, model: &mut Model) {
        self.held = [0; MAX_ORACLES];
        self.reward = 0;
        self.appeal_until = 0;
        self.stop_counting(model);
    }

    /// Removes the receipt from the model's count of open receipts, and from those of its
    /// submitters.
    pub(super) fn stop_counting(&self, model: &mut Model) {
        model.open_receipts = model.open_receipts.saturating_sub(1); // it was counted at creation
        for oracle in self.submitters() {
            model.tenures[oracle].open_submissions -= 1; // it was counted at submission
        }
    }
}
