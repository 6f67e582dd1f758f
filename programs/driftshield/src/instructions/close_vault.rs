use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, Collateral, DriftShieldError, TokenOwner, Vault, VaultClosed};

#[event_cpi]
#[derive(Accounts)]
pub struct CloseVault {
    /// Receives the rent of the vault and its token accounts, which the manager paid. Must sign to
    /// close the vault during its notice period.
    #[account(mut, address = vault.manager @ DriftShieldError::WrongRentPayer)]
    pub manager: UncheckedAccount,
    #[account(mut, close = manager)]
    pub vault: Account<Vault>,
    #[account(constraint = collateral.mint == vault.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    #[account(mut, address = vault.escrow @ DriftShieldError::WrongShares)]
    pub escrow: UncheckedAccount,
    #[account(mut, address = vault.share_mint @ DriftShieldError::WrongShares)]
    pub share_mint: UncheckedAccount,
    #[account(mut, address = collateral.treasury @ DriftShieldError::WrongTreasury)]
    pub treasury: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub share_token_program: Program<Token>,
}

impl CloseVault {
    pub fn close_vault(&mut self) -> Result<VaultClosed> {
        let donated = token::amount(&self.escrow)?;
        let circulating = token::circulating_shares(&self.share_mint, &self.escrow)?;
        require!(
            self.vault.is_empty(circulating)
                && (self.manager.account().is_signer()
                    || self.vault.is_notice_over(Clock::get()?.unix_timestamp)),
            DriftShieldError::VaultInUse
        );
        require!(self.vault.manager_credit == 0, DriftShieldError::FeesLeft);
        let signer = self.vault.signer();
        if 0 < donated {
            token::burn(
                &mut self.escrow,
                &mut self.share_mint,
                self.vault.cpi_handle(),
                &signer.seeds(),
                donated,
            );
        }
        let swept = token::sweep(
            self.token_program.address(),
            &mut self.tokens,
            &self.mint,
            &mut self.treasury,
            &self.vault,
            &mut self.manager,
        )?;
        token::close(
            self.share_token_program.address(),
            &mut self.escrow,
            &mut self.manager,
            self.vault.cpi_handle(),
            &signer.seeds(),
        );
        Ok(VaultClosed {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            manager: self.vault.manager,
            swept,
        })
    }
}
