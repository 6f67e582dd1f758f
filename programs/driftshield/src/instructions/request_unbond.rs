use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, Model, Seat, UnbondRequested};

#[event_cpi]
#[derive(Accounts)]
pub struct RequestUnbond {
    #[account(address = seat.oracle @ DriftShieldError::NotAnOracle)]
    pub oracle: Signer,
    #[account(mut, address = seat.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub seat: Account<Seat>,
}

impl RequestUnbond {
    pub fn request_unbond(&mut self, amount: u64) -> Result<UnbondRequested> {
        let (model, seat) = (&mut self.model, &mut self.seat);
        let now = Clock::get()?.unix_timestamp;
        let listed = model.oracle_index(&seat.oracle);
        if let Some(index) = listed {
            seat.pay_penalty(model, index);
        }
        seat.unbond(amount, now + model.unbond_secs)?;
        // The seat of an oracle that is no longer listed secures nothing.
        if let Some(index) = listed {
            // Never more than before: only `bond` counts the bond of an oracle that was listed
            // again.
            let bond = seat.active().min(model.bonds[index]);
            model.unbond(index, bond, now)?;
        }
        Ok(UnbondRequested {
            model: *model.address(),
            model_seq: model.next_seq(),
            seat: *seat.address(),
            seat_seq: seat.next_seq(),
            oracle: seat.oracle,
            amount,
            bonded: seat.bonded,
            unbonding: seat.unbonding,
            release_at: seat.release_at,
            security: model.security,
            lasting_security: model.lasting_security,
        })
    }
}
