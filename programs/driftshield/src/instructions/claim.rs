use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, Claimed, DriftShieldError, Market, Position};

#[event_cpi]
#[derive(Accounts)]
pub struct Claim {
    /// Is paid and gets the rent back; signs where the destination is not its associated token
    /// account.
    #[account(mut, address = position.owner @ DriftShieldError::WrongPayee)]
    pub owner: UncheckedAccount,
    #[account(mut, address = position.market @ DriftShieldError::WrongMarket)]
    pub market: Account<Market>,
    #[account(mut, close = owner)]
    pub position: Account<Position>,
    #[account(mut, address = market.vault @ DriftShieldError::WrongVault)]
    pub vault: UncheckedAccount,
    /// The owner's associated token account, or any that it signs for. Not looked at where nothing
    /// is paid.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = market.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl Claim {
    pub fn claim(&mut self) -> Result<Claimed> {
        let paid = self.market.claim(&self.position)?;
        if 0 < paid {
            token::require_destination(
                &self.owner,
                &self.destination,
                self.token_program.address(),
                &self.mint,
            )?;
            token::transfer(
                self.token_program.address(),
                &mut self.vault,
                &self.mint,
                &mut self.destination,
                self.market.cpi_handle(),
                &self.market.signer().seeds(),
                paid,
            )?;
        }
        self.market.invariant(token::amount(&self.vault)?)?;
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
