use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token, Account, Collateral, DriftShieldError, Model, OraclesFunded, TokenOwner,
    MAX_HORIZON_SECS,
};

#[event_cpi]
#[derive(Accounts)]
pub struct FundOracles {
    pub funder: Signer,
    #[account(mut)]
    pub model: Account<Model>,
    /// The funder's token account, which pays the amount.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(constraint = collateral.mint == model.bond_mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: UncheckedAccount,
    #[account(address = model.bond_mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl FundOracles {
    pub fn fund_oracles(&mut self, amount: u64, until: i64) -> Result<OraclesFunded> {
        require!(0 < amount, DriftShieldError::ZeroAmount);
        require!(self.model.takes_receipts(), DriftShieldError::ModelRetired);
        let now = Clock::get()?.unix_timestamp;
        require!(
            now < until && until <= now + MAX_HORIZON_SECS,
            DriftShieldError::InvalidFundingEnd
        );
        self.collateral.require_accepted(self.mint.account())?;
        self.model.pay_oracles(amount, until, now)?;
        token::transfer(
            self.token_program.address(),
            &mut self.source,
            &self.mint,
            &mut self.bond_vault,
            self.funder.cpi_handle(),
            &[],
            amount,
        )?;
        self.model.invariant(token::amount(&self.bond_vault)?)?;
        Ok(OraclesFunded {
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            funder: *self.funder.address(),
            amount,
            until,
            totals: self.model.pot_totals(),
        })
    }
}
