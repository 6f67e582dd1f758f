use anchor_lang::prelude::*;

use crate::DriftShieldError;

/// An oracle's bond on one model.
///
/// Address: PDA of `["seat", model, oracle]`.
/// Amounts are in base units of the model's bond mint.
#[account]
pub struct Seat {
    pub model: Address,
    pub oracle: Address,
    /// Number of events that spoke of this account.
    pub seq: u64,
    /// All that the seat holds, with what is unbonding.
    pub bonded: u64,
    /// Asked back; slashable until it is withdrawn.
    pub unbonding: u64,
    /// When `unbonding` can be withdrawn; 0 where nothing is unbonding.
    pub release_at: i64,
    /// Submissions ever made.
    pub submissions: u64,
    /// Rulings that slashed this seat.
    pub slashes: u64,
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Seat>() == 2 * 32 + 6 * 8 + 8);

impl Seat {
    /// The bond beside what is unbonding: what decides whether the seat counts.
    pub fn active(&self) -> u64 {
        self.bonded.saturating_sub(self.unbonding) // never below: see `slash`
    }

    /// Adds `amount`, which the model holds.
    pub fn add(&mut self, amount: u64) {
        self.bonded += amount;
    }

    /// Asks `amount` back, beside what was asked before; all of it waits until `release_at`.
    pub fn unbond(&mut self, amount: u64, release_at: i64) -> Result<()> {
        require!(0 < amount, DriftShieldError::ZeroAmount);
        require!(amount <= self.active(), DriftShieldError::BondTooSmall);
        self.unbonding += amount; // at most `bonded`
        self.release_at = release_at;
        Ok(())
    }

    /// Takes out what has unbonded by `now`.
    pub fn release(&mut self, now: i64) -> Result<u64> {
        let amount = self.unbonding;
        require!(0 < amount, DriftShieldError::NothingUnbonding);
        require!(self.release_at <= now, DriftShieldError::StillUnbonding);
        self.bonded -= amount; // of which it is a part
        self.unbonding = 0;
        self.release_at = 0;
        Ok(amount)
    }

    /// Takes `amount`, or all that there is, from the bond and at last from what is unbonding.
    pub fn slash(&mut self, amount: u64) -> u64 {
        let taken = amount.min(self.bonded);
        self.bonded -= taken;
        self.unbonding = self.unbonding.min(self.bonded);
        self.slashes = self.slashes.wrapping_add(1); // one a ruling
        taken
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }
}
