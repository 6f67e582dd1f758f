use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, Model, Seat, SeatClosed};

#[event_cpi]
#[derive(Accounts)]
pub struct CloseSeat {
    /// Receives the seat's rent, which the oracle paid.
    #[account(mut, address = seat.oracle @ DriftShieldError::WrongRentPayer)]
    pub oracle: UncheckedAccount,
    #[account(address = seat.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut, close = oracle)]
    pub seat: Account<Seat>,
}

impl CloseSeat {
    pub fn close_seat(&mut self) -> Result<SeatClosed> {
        // A ruling on an open receipt needs the seats of its submitters. They are all listed: an
        // oracle can't be removed while a receipt to which it has submitted is open.
        // `move_reward` adds a removed oracle's reward to its seat.
        let needed = self
            .model
            .oracle_index(&self.seat.oracle)
            .is_some_and(|index| {
                0 < self.model.tenures[index].open_submissions || 0 < self.model.rewards[index]
            });
        require!(
            self.seat.bonded == 0 && !needed,
            DriftShieldError::SeatInUse
        );
        Ok(SeatClosed {
            model: self.seat.model,
            seat: *self.seat.address(),
            seat_seq: self.seat.next_seq(),
            oracle: self.seat.oracle,
        })
    }
}
