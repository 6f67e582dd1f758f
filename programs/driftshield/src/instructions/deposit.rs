use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    pause, token, Account, Collateral, Config, DepositLimits, Deposited, DriftShieldError,
    TokenOwner, Vault,
};

#[event_cpi]
#[derive(Accounts)]
pub struct Deposit {
    pub owner: Signer,
    pub config: Account<Config>,
    #[account(constraint = collateral.mint == vault.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut)]
    pub vault: Account<Vault>,
    /// The owner's token account, which pays the deposit.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    #[account(mut, address = vault.share_mint @ DriftShieldError::WrongShares)]
    pub share_mint: UncheckedAccount,
    /// Token account that receives the shares, chosen by the owner.
    #[account(mut)]
    pub destination: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub share_token_program: Program<Token>,
}

impl Deposit {
    pub fn deposit(&mut self, amount: u64, limits: &DepositLimits) -> Result<Deposited> {
        self.config.require_running(pause::DEPOSITS)?;
        self.collateral.require_enabled()?;
        self.collateral.require_accepted(self.mint.account())?;
        self.vault.accrue(Clock::get()?.unix_timestamp);
        let shares = self.vault.deposit(amount, limits)?;
        token::transfer(
            self.token_program.address(),
            &mut self.source,
            &self.mint,
            &mut self.tokens,
            self.owner.cpi_handle(),
            &[],
            amount,
        )?;
        token::mint_to(
            &mut self.share_mint,
            &mut self.destination,
            self.vault.cpi_handle(),
            &self.vault.signer().seeds(),
            shares,
        );
        self.vault.invariant(token::amount(&self.tokens)?)?;
        Ok(Deposited {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            owner: *self.owner.address(),
            amount,
            shares,
            totals: self.vault.totals(),
        })
    }
}
