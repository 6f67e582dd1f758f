//! Disputes: a challenge, and its end by a ruling or by the lapse of the ruling period.

use core::ops::DerefMut;

use anchor_lang::prelude::*;

use super::submission::{oracles, Finding};
use crate::{DriftShieldError, Measurement, Model, Receipt, ReceiptState, Seat};

/// Payee of a dispute's credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum ChallengePayee {
    Treasury = 0,
    Challenger = 1,
}

/// Effects of a ruling, in base units of the bond mint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Amount slashed from the seats of oracles that were wrong.
    pub slashed: u64,
    /// Part of the challenger's bond that is paid into the seat of each submitter who agrees with
    /// the ruling.
    pub compensation: u64,
    /// Whether the challenger was right.
    pub vindicated: bool,
}

impl Receipt {
    /// Whether somebody has challenged.
    pub fn has_challenger(&self) -> bool {
        self.challenger != Address::default()
    }

    /// Returns what the challenger asserts.
    pub fn assertion(&self) -> Measurement {
        if self.asserts_thin.get() {
            Measurement::Thin
        } else {
            Measurement::Value(self.asserted)
        }
    }

    /// Challenges what is proposed, or takes part in a dispute that nobody has challenged, by
    /// asserting a measurement. Call `advance` first, which settles the receipt if its time is over.
    pub fn challenge(
        &mut self,
        model: &Model,
        challenger: &Address,
        assertion: Measurement,
        now: i64,
    ) -> Result<()> {
        require!(!self.is_settled(), DriftShieldError::ChallengePeriodOver);
        require!(
            self.state != ReceiptState::Collecting,
            DriftShieldError::ReceiptNotProposed
        );
        require!(!self.has_challenger(), DriftShieldError::AlreadyChallenged);
        require!(
            now < self.since + model.challenge_secs,
            DriftShieldError::ChallengePeriodOver
        );
        let agrees = |proposed| assertion.agrees(proposed, model.max_spread);
        require!(
            !self.agreed(model).is_some_and(agrees),
            DriftShieldError::AssertionAgrees
        );
        require!(
            self.submitted != 0 || assertion != Measurement::Thin,
            DriftShieldError::AssertionThin
        );
        self.state = ReceiptState::Challenged.into();
        self.since = now;
        self.challenger = *challenger;
        self.asserted = assertion.value();
        self.asserts_thin = (assertion == Measurement::Thin).into();
        Ok(())
    }

    /// Returns the end of the time for a ruling: `ruling_secs` after the challenge, or if there is
    /// none, after the end of the time for it. At most `dispute_secs` after the window's end.
    pub(super) fn ruling_end(&self, model: &Model) -> i64 {
        let challenge_secs = if self.has_challenger() {
            0
        } else {
            model.challenge_secs
        };
        self.since + challenge_secs + model.ruling_secs
    }

    /// Settles a dispute on which the arbiter has not ruled in time: by what a quorum agrees on, or
    /// as Void.
    pub(super) fn lapse(&mut self, model: &mut Model, decided: i64) -> Result<()> {
        if self.has_challenger() {
            self.challenger_credit = model.challenge_bond;
        }
        self.settle(model, self.agreed_finding(model), decided)
    }

    /// Settles a dispute by what the arbiter found; `None` means that there is no data, and is
    /// refused if a quorum has submitted. `seats` are the submitters' seats, in the order of the
    /// oracles. What is slashed is held until the admin can return it no more.
    pub fn rule<S: DerefMut<Target = Seat>>(
        &mut self,
        model: &mut Model,
        seats: &mut [S],
        found: Option<Measurement>,
        now: i64,
    ) -> Result<Ruling> {
        require!(
            self.state == ReceiptState::Challenged,
            DriftShieldError::ReceiptNotChallenged
        );
        require!(
            found.is_some() || !self.has_quorum(model),
            DriftShieldError::QuorumSubmitted
        );
        let finding = found.map(|measurement| self.finding(model, measurement));
        let mut ruling = Ruling {
            slashed: self.slash(model, seats, finding),
            compensation: 0,
            vindicated: self.vindicated(model, found),
        };
        if ruling.vindicated {
            self.challenger_credit = model.challenge_bond;
            // Rounded down. The challenger gets it once it can't be returned any more.
            let most = model.challenge_bond.saturating_mul(2);
            self.reward = (ruling.slashed / 2).min(most);
        } else if self.has_challenger() {
            ruling.compensation = self.compensate(model, seats, finding);
        }
        for (oracle, seat) in self.submitters().zip(seats.iter()) {
            model.set_bond(oracle, seat.active(), now);
        }
        if 0 < ruling.slashed {
            self.appeal_until = now + model.appeal_secs;
        }

        if let Some(measurement) = found {
            model.record_latest(self.window, measurement);
        }
        self.settle(model, finding, now)?;
        if ruling.vindicated && matches!(found, Some(Measurement::Value(_))) {
            // Half of the penalties, rounded down, which `settle` has added to the unearned pay.
            let reward = self.penalties.iter().sum::<u64>() / 2;
            model.pot.unearned -= reward;
            self.challenger_credit += reward; // part of the bond vault's balance
        }
        Ok(ruling)
    }

    /// Whether the challenger gets its bond back: a ruled value is nearer to its assertion than to
    /// the proposed value. If there are no two values to compare with, the ruling must agree with
    /// the assertion.
    fn vindicated(&self, model: &Model, found: Option<Measurement>) -> bool {
        let Some(found) = found.filter(|_| self.has_challenger()) else {
            return false;
        };
        match (self.assertion(), self.agreed(model), found) {
            (
                Measurement::Value(asserted),
                Some(Measurement::Value(proposed)),
                Measurement::Value(value),
            ) => value.abs_diff(asserted) < value.abs_diff(proposed),
            (assertion, ..) => assertion.agrees(found, model.max_spread),
        }
    }

    /// Slashes each submitter whose measurement disagrees with `found`, and holds what it loses.
    /// Nobody is slashed if there is no data. Returns the sum.
    fn slash<S: DerefMut<Target = Seat>>(
        &mut self,
        model: &mut Model,
        seats: &mut [S],
        found: Option<Finding>,
    ) -> u64 {
        let agreeing = found.map_or(self.submitted, |found| found.agreeing);
        let mut slashed = 0;
        for (oracle, seat) in oracles(self.submitted).zip(seats) {
            seat.pay_penalty(model, oracle);
            if agreeing & (1 << oracle) == 0 {
                self.held[oracle] = seat.slash(model.slash_amount);
                slashed += self.held[oracle]; // parts of the bond vault's balance
            }
        }
        slashed
    }

    /// Divides the bond of a challenger who was wrong: half goes in equal parts to the seats of the
    /// submitters who agree with `found`, the rest to the treasury. Returns the part of each,
    /// rounded down.
    fn compensate<S: DerefMut<Target = Seat>>(
        &mut self,
        model: &Model,
        seats: &mut [S],
        found: Option<Finding>,
    ) -> u64 {
        let agreeing = found.map_or(0, |found| found.agreeing);
        let count = u64::from(agreeing.count_ones());
        let each = (model.challenge_bond / 2).checked_div(count).unwrap_or(0);
        for (oracle, seat) in self.submitters().zip(seats) {
            if agreeing & (1 << oracle) != 0 {
                seat.add(each);
            }
        }
        self.treasury_credit = model.challenge_bond - each * count;
        each
    }
}
