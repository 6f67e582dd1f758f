use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, Vault, VaultTerms, VaultUpdated};

#[event_cpi]
#[derive(Accounts)]
pub struct UpdateVault {
    #[account(address = vault.manager @ DriftShieldError::NotManager)]
    pub manager: Signer,
    #[account(mut)]
    pub vault: Account<Vault>,
}

impl UpdateVault {
    pub fn update_vault(&mut self, terms: VaultTerms) -> Result<VaultUpdated> {
        self.vault.announce(terms, Clock::get()?.unix_timestamp)?;
        Ok(VaultUpdated {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            manager: self.vault.manager,
            terms,
            terms_at: self.vault.terms_at,
            totals: self.vault.totals(),
        })
    }
}
