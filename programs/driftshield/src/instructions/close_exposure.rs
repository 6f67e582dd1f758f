use anchor_lang::prelude::*;

use crate::{token, Account, DriftShieldError, Exposure, ExposureClosed, Model, Vault};

#[event_cpi]
#[derive(Accounts)]
pub struct CloseExposure {
    /// Receives the exposure's rent, which the manager paid.
    #[account(mut, address = vault.manager @ DriftShieldError::WrongRentPayer)]
    pub manager: UncheckedAccount,
    #[account(address = exposure.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut, address = exposure.vault @ DriftShieldError::WrongInsuranceVault)]
    pub vault: Account<Vault>,
    #[account(mut, close = manager)]
    pub exposure: Account<Exposure>,
    #[account(address = vault.share_mint @ DriftShieldError::WrongShares)]
    pub share_mint: UncheckedAccount,
}

impl CloseExposure {
    pub fn close_exposure(&mut self) -> Result<ExposureClosed> {
        let now = Clock::get()?.unix_timestamp;
        let circulating = token::supply(&self.share_mint)?;
        let is_dead = self
            .exposure
            .is_dead(&self.vault, &self.model, circulating, now);
        require!(
            self.exposure.policies == 0 && is_dead,
            DriftShieldError::ExposureInUse
        );
        self.vault.exposures -= 1;
        Ok(ExposureClosed {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            exposure: *self.exposure.address(),
            exposure_seq: self.exposure.next_seq(),
            model: self.exposure.model,
            manager: self.vault.manager,
        })
    }
}
