use std::vec::IntoIter;

use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, Model, SeatRuled};

/// An oracle's bond on one model.
///
/// Address: PDA of `["seat", model, oracle]`.
/// Amounts are in base units of the model's bond mint.
#[account]
pub struct Seat {
    pub model: Address,
    pub oracle: Address,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// The seat's whole bond, including what is unbonding, and penalties that the model has taken from
    /// its copy of the bond but not yet from here.
    pub bonded: u64,
    /// Amount that is unbonding. It can be slashed until it is withdrawn.
    pub unbonding: u64,
    /// Unix time from which `unbonding` can be withdrawn; 0 if nothing is unbonding.
    pub release_at: i64,
    /// Number of submissions ever made.
    pub submissions: u64,
    /// Number of rulings that slashed this seat.
    pub slashes: u64,
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Seat>() == 2 * 32 + 6 * 8 + 8);

impl Seat {
    /// Returns the bond less what is unbonding. This amount decides whether the seat counts.
    pub fn active(&self) -> u64 {
        self.bonded.saturating_sub(self.unbonding) // never below 0: see `slash`
    }

    /// Adds `amount`, which the model's bond vault holds, to the bond.
    pub fn add(&mut self, amount: u64) {
        self.bonded += amount;
    }

    /// Starts to unbond `amount`. The whole unbonding amount can be withdrawn from `release_at`.
    pub fn unbond(&mut self, amount: u64, release_at: i64) -> Result<()> {
        require!(0 < amount, DriftShieldError::ZeroAmount);
        require!(amount <= self.active(), DriftShieldError::BondTooSmall);
        self.unbonding += amount; // at most `bonded`
        self.release_at = release_at;
        Ok(())
    }

    /// Removes the unbonding amount and returns it. Refused before `release_at`.
    pub fn release(&mut self, now: i64) -> Result<u64> {
        let amount = self.unbonding;
        require!(0 < amount, DriftShieldError::NothingUnbonding);
        require!(self.release_at <= now, DriftShieldError::StillUnbonding);
        self.bonded -= amount; // part of `bonded`
        self.unbonding = 0;
        self.release_at = 0;
        Ok(amount)
    }

    /// Takes the open penalties of the oracle at `index` from the bond, and returns them.
    pub fn pay_penalty(&mut self, model: &mut Model, index: usize) -> u64 {
        let penalty = core::mem::take(&mut model.penalties[index]);
        self.bonded -= penalty; // part of the active bond
        penalty
    }

    /// Slashes `amount`, or the whole bond if that is less, and returns the slashed amount. The
    /// unbonding amount is slashed last.
    pub fn slash(&mut self, amount: u64) -> u64 {
        let taken = amount.min(self.bonded);
        self.bonded -= taken;
        self.unbonding = self.unbonding.min(self.bonded);
        self.slashes = self.slashes.wrapping_add(1); // once per ruling
        taken
    }

    /// Loads the seats of `oracles`, indices of the model's oracles in ascending order. The order
    /// excludes duplicates.
    pub fn load_all(
        model: &Account<Model>,
        oracles: impl Iterator<Item = usize>,
        views: Vec<AccountView>,
    ) -> Result<Vec<Account<Self>>> {
        let mut seats = Vec::with_capacity(views.len());
        let mut views = views.into_iter();
        for oracle in oracles {
            let view = views.next().ok_or(DriftShieldError::WrongSeats)?;
            // SAFETY: the seats belong to different oracles, so each is loaded once.
            let seat = unsafe { Account::<Self>::load_mut(view) }
                .map_err(|_| DriftShieldError::WrongSeats)?;
            require!(
                seat.model == *model.address() && seat.oracle == model.oracles[oracle],
                DriftShieldError::WrongSeats
            );
            seats.push(seat);
        }
        require!(views.next().is_none(), DriftShieldError::WrongSeats);
        Ok(seats)
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}

impl SeatRuled {
    /// Numbers an event of `seat`, and returns the seat's state after it.
    pub(crate) fn of(seat: &mut Account<Seat>) -> Self {
        Self {
            seat: *seat.address(),
            seat_seq: seat.next_seq(),
            oracle: seat.oracle,
            bonded: seat.bonded,
            unbonding: seat.unbonding,
        }
    }
}

/// Adds the reward of the oracle at `index`, which is being removed, to the bond in its seat, the
/// next of `seats`. The oracle can withdraw it from there. A payment could be blocked, by an oracle
/// that gives its token account away or by the mint's issuer, and with it the removal. Returns
/// `None`, and takes no seat, if there is neither a reward nor an open penalty, which the bond pays.
pub(crate) fn move_reward(
    model: &mut Account<Model>,
    index: usize,
    seats: &mut IntoIter<AccountView>,
) -> Result<Option<SeatRuled>> {
    let reward = core::mem::take(&mut model.rewards[index]);
    if reward == 0 && model.penalties[index] == 0 {
        return Ok(None);
    }
    let view = seats.next().ok_or(DriftShieldError::WrongRewardSeats)?;
    // SAFETY: the seats that an instruction passes belong to different oracles, so each is loaded
    // once.
    let mut seat = unsafe { Account::<Seat>::load_mut(view) }
        .map_err(|_| DriftShieldError::WrongRewardSeats)?;
    require!(
        seat.model == *model.address() && seat.oracle == model.oracles[index],
        DriftShieldError::WrongRewardSeats
    );
    seat.pay_penalty(model, index);
    seat.add(reward); // the model's bond vault holds it
    Ok(Some(SeatRuled::of(&mut seat)))
}
