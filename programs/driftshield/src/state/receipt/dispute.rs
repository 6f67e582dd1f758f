//! Disputes: a challenge, and its end by a ruling or by the lapse of the ruling period.

use core::ops::DerefMut;

use anchor_lang::prelude::*;

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
    /// Amount paid into the seat of each submitter.
    pub reward: u64,
    /// Whether a quorum had agreed on a measurement with which the ruling agrees.
    pub upheld: bool,
}

impl Receipt {
    /// Returns what the challenger and the treasury can collect, in base units of the bond mint.
    pub fn owed(&self) -> u64 {
        self.challenger_credit + self.treasury_credit // parts of the bond vault's balance
    }

    fn is_challenged_by_someone(&self) -> bool {
        self.challenger != Address::default()
    }

    /// Challenges what is proposed. Call `advance` first, which settles the receipt if its
    /// challenge period is over.
    pub fn challenge(&mut self, challenger: &Address, now: i64) -> Result<()> {
        require!(
            self.state != ReceiptState::Final && self.state != ReceiptState::Thin,
            DriftShieldError::ChallengePeriodOver
        );
        require!(
            self.state == ReceiptState::Proposed,
            DriftShieldError::ReceiptNotProposed
        );
        self.state = ReceiptState::Challenged.into();
        self.since = now;
        self.challenger = *challenger;
        Ok(())
    }

    /// Settles a dispute on which the arbiter has not ruled in time: by what a quorum agrees on, or
    /// as Void.
    pub(super) fn lapse(&mut self, model: &mut Model, decided: i64) {
        if self.is_challenged_by_someone() {
            self.challenger_credit = model.challenge_bond;
        }
        self.settle(model, self.agreed(model), decided);
    }

    /// Settles a dispute by what the arbiter found. `seats` are the submitters' seats, in the order
    /// of the oracles.
    pub fn rule<S: DerefMut<Target = Seat>>(
        &mut self,
        model: &mut Model,
        seats: &mut [S],
        found: Measurement,
        now: i64,
    ) -> Result<Ruling> {
        require!(
            self.state == ReceiptState::Challenged,
            DriftShieldError::ReceiptNotChallenged
        );
        let upheld = self
            .agreed(model)
            .is_some_and(|agreed| agreed.agrees(found, model.max_spread));
        let slashed = self.slash(model, seats, found);
        let challenged = self.is_challenged_by_someone();

        let mut reward = 0;
        if challenged && upheld {
            // Half of the challenger's bond goes to the submitters in equal parts.
            reward = model.challenge_bond / 2 / seats.len() as u64;
            for seat in seats.iter_mut() {
                seat.add(reward);
            }
            let rewards = reward * seats.len() as u64; // at most half of the bond
            self.challenger_credit = slashed / 2;
            // Both terms are part of the bond vault's balance.
            self.treasury_credit = (slashed - slashed / 2) + (model.challenge_bond - rewards);
        } else if challenged {
            self.challenger_credit = slashed / 2 + model.challenge_bond;
            self.treasury_credit = slashed - slashed / 2;
        } else {
            self.treasury_credit = slashed;
        }
        for (oracle, seat) in self.submitters().zip(seats.iter()) {
            model.set_bond(oracle, seat.active(), now);
        }

        model.record_latest(self.window, found);
        self.settle(model, Some(found), now);
        Ok(Ruling {
            slashed,
            reward,
            upheld,
        })
    }

    /// Slashes each submitter whose measurement disagrees with `found`. Returns the sum.
    fn slash<S: DerefMut<Target = Seat>>(
        &self,
        model: &Model,
        seats: &mut [S],
        found: Measurement,
    ) -> u64 {
        let mut slashed = 0;
        for (oracle, seat) in self.submitters().zip(seats) {
            if !self.submission(oracle).agrees(found, model.max_spread) {
                slashed += seat.slash(model.slash_amount); // parts of the bond vault's balance
            }
        }
        slashed
    }
}
