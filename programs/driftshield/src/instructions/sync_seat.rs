use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, Model, Seat, SeatSynced};

#[event_cpi]
#[derive(Accounts)]
pub struct SyncSeat {
    #[account(mut, address = seat.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub seat: Account<Seat>,
}

impl SyncSeat {
    pub fn sync_seat(&mut self) -> Result<SeatSynced> {
        // An oracle that is no longer listed has no open penalties.
        let index = self
            .model
            .oracle_index(&self.seat.oracle)
            .ok_or(DriftShieldError::NotListed)?;
        let penalty = self.seat.pay_penalty(&mut self.model, index);
        require!(0 < penalty, DriftShieldError::NoPenaltyOpen);
        Ok(SeatSynced {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            seat: *self.seat.address(),
            seat_seq: self.seat.next_seq(),
            oracle: self.seat.oracle,
            penalty,
            bonded: self.seat.bonded,
            unbonding: self.seat.unbonding,
        })
    }
}
