use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, Account, Collateral, Config, DriftShieldError, TreasuryWithdrawn};

#[event_cpi]
#[derive(Accounts)]
pub struct WithdrawTreasury {
    #[account(address = config.admin @ DriftShieldError::NotAdmin)]
    pub admin: Signer,
    pub config: Account<Config>,
    #[account(mut)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = collateral.treasury @ DriftShieldError::WrongTreasury)]
    pub treasury: UncheckedAccount,
    /// Any token account, chosen by the admin.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = collateral.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl WithdrawTreasury {
    pub fn withdraw_treasury(&mut self, amount: u64) -> Result<TreasuryWithdrawn> {
        require!(0 < amount, DriftShieldError::ZeroAmount);
        token::transfer(
            self.token_program.address(),
            &mut self.treasury,
            &self.mint,
            &mut self.destination,
            self.collateral.cpi_handle(),
            &self.collateral.signer_seeds(),
            amount,
        )?;
        Ok(TreasuryWithdrawn {
            collateral: *self.collateral.address(),
            collateral_seq: self.collateral.next_seq(),
            mint: self.collateral.mint,
            destination: *self.destination.address(),
            amount,
            remaining: token::amount(&self.treasury)?,
        })
    }
}
