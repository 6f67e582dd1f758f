use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    Account, Claimed, DriftShieldError, Market, Position,
};

#[event_cpi]
#[derive(Accounts)]
pub struct Claim {
    /// Receives the payout and the position's rent. Must sign unless `destination` is the owner's
    /// associated token account.
    #[account(mut, address = position.owner @ DriftShieldError::WrongPayee)]
    pub owner: UncheckedAccount,
    #[account(mut, address = position.market @ DriftShieldError::WrongMarket)]
    pub market: Account<Market>,
    #[account(mut, close = owner)]
    pub position: Account<Position>,
    #[account(mut, address = market.vault @ DriftShieldError::WrongVault)]
    pub vault: UncheckedAccount,
    /// The owner's associated token account, or any account if the owner signs. Ignored if the
    /// payout is 0.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = market.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl Claim {
    pub fn claim(&mut self) -> Result<Claimed> {
        let paid = self.market.claim(&self.position)?;
        token::pay_to(
            Recipient::Payee(&self.owner),
            self.token_program.address(),
            &mut self.vault,
            &self.mint,
            &mut self.destination,
            &self.market,
            paid,
        )?;
        Ok(Claimed {
            market: *self.market.address(),
            market_seq: self.market.next_seq(),
            position: *self.position.address(),
            position_seq: self.position.next_seq(),
            owner: self.position.owner,
            destination: *self.destination.address(),
            paid,
            owed: self.market.owed,
            positions: self.market.positions,
        })
    }
}
