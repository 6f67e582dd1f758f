use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, Account, Collateral, DriftShieldError, Vault, VaultClosed};

#[event_cpi]
#[derive(Accounts)]
pub struct CloseVault {
    /// Receives the rent of the vault and its token account, which the manager paid. Must sign to
    /// close the vault during its notice period.
    #[account(mut, address = vault.manager @ DriftShieldError::WrongRentPayer)]
    pub manager: UncheckedAccount,
    #[account(mut, close = manager)]
    pub vault: Account<Vault>,
    #[account(constraint = collateral.mint == vault.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    #[account(address = vault.share_mint @ DriftShieldError::WrongShares)]
    pub share_mint: UncheckedAccount,
    #[account(mut, address = collateral.treasury @ DriftShieldError::WrongTreasury)]
    pub treasury: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl CloseVault {
    pub fn close_vault(&mut self) -> Result<VaultClosed> {
        let circulating = token::supply(&self.share_mint)?;
        require!(
            self.vault.is_empty(circulating)
                && (self.manager.account().is_signer()
                    || self.vault.is_notice_over(Clock::get()?.unix_timestamp)),
            DriftShieldError::VaultInUse
        );
        require!(self.vault.manager_credit == 0, DriftShieldError::FeesLeft);
        let swept = token::sweep(
            self.token_program.address(),
            &mut self.tokens,
            &self.mint,
            &mut self.treasury,
            &self.vault,
            &mut self.manager,
        )?;
        Ok(VaultClosed {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            manager: self.vault.manager,
            swept,
        })
    }
}
