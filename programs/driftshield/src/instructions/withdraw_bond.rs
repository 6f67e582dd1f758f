use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, Account, BondWithdrawn, DriftShieldError, Model, Seat};

#[event_cpi]
#[derive(Accounts)]
pub struct WithdrawBond {
    /// Receives the payment. Must sign unless `destination` is the oracle's associated token
    /// account.
    #[account(address = seat.oracle @ DriftShieldError::WrongPayee)]
    pub oracle: UncheckedAccount,
    #[account(mut, address = seat.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut)]
    pub seat: Account<Seat>,
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: UncheckedAccount,
    /// The oracle's associated token account, or any account if the oracle signs.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = model.bond_mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl WithdrawBond {
    pub fn withdraw_bond(&mut self) -> Result<BondWithdrawn> {
        token::require_destination(
            &self.oracle,
            &self.destination,
            self.token_program.address(),
            &self.mint,
        )?;
        let amount = self.seat.release(Clock::get()?.unix_timestamp)?;
        self.model.decrease_held(amount);
        token::pay(
            self.token_program.address(),
            &mut self.bond_vault,
            &self.mint,
            &mut self.destination,
            &self.model,
            amount,
        )?;
        Ok(BondWithdrawn {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            seat: *self.seat.address(),
            seat_seq: self.seat.next_seq(),
            oracle: self.seat.oracle,
            destination: *self.destination.address(),
            amount,
            bonded: self.seat.bonded,
            held: self.model.held,
        })
    }
}
