use anchor_lang::{prelude::*, AccountClose};

use crate::{Account, Config, DriftShieldError, Model, Receipt, Seat, SeatRuled, SlashesReturned};

/// Remaining accounts: the `Seat`s of the slashed oracles, writable, in the order of the model's
/// oracles.
#[event_cpi]
#[derive(Accounts)]
pub struct ReturnSlashes {
    #[account(address = config.admin @ DriftShieldError::NotAdmin)]
    pub admin: Signer,
    pub config: Account<Config>,
    #[account(mut, address = receipt.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub receipt: Account<Receipt>,
    /// Receives the receipt's rent if the receipt is closed. May be the admin.
    #[account(mut, unsafe(dup), address = receipt.payer @ DriftShieldError::WrongRentPayer)]
    pub payer: UncheckedAccount,
}

impl ReturnSlashes {
    pub fn return_slashes(&mut self, seats: Vec<AccountView>) -> Result<SlashesReturned> {
        let now = Clock::get()?.unix_timestamp;
        let mut seats = Seat::load_all(&self.model, self.receipt.slashed(), seats)?;
        let amount = self
            .receipt
            .return_slashes(&mut self.model, &mut seats, now)?;
        let event = SlashesReturned {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            receipt: *self.receipt.address(),
            receipt_seq: self.receipt.next_seq(),
            window: self.receipt.window,
            admin: *self.admin.address(),
            amount,
            owed: self.receipt.owed(),
            security: self.model.security,
            lasting_security: self.model.lasting_security,
            seats: seats.iter_mut().map(SeatRuled::of).collect(),
        };
        if self.receipt.is_done() {
            self.receipt.close(*self.payer.account())?;
        }
        Ok(event)
    }
}
