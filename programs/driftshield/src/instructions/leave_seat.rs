use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, LeaveRequested, Model};

#[event_cpi]
#[derive(Accounts)]
pub struct LeaveSeat {
    pub oracle: Signer,
    #[account(mut)]
    pub model: Account<Model>,
}

impl LeaveSeat {
    pub fn leave_seat(&mut self) -> Result<LeaveRequested> {
        let model = &mut self.model;
        let index = model
            .oracle_index(self.oracle.address())
            .ok_or(DriftShieldError::NotAnOracle)?;
        model.leave(index, Clock::get()?.unix_timestamp)?;
        Ok(LeaveRequested {
            model: *model.address(),
            model_seq: model.next_seq(),
            oracle: *self.oracle.address(),
            leave_at: model.tenures[index].leave_at,
            lasting_security: model.lasting_security,
        })
    }
}
