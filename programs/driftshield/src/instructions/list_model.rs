use anchor_lang::prelude::*;

use crate::{DriftShieldError, Exposure, ListingTerms, Model, ModelListed, Vault};

#[event_cpi]
#[derive(Accounts)]
pub struct ListModel {
    /// Pays the exposure's rent with the first listing.
    #[account(mut, address = vault.manager @ DriftShieldError::NotManager)]
    pub manager: Signer,
    #[account(constraint = model.bond_mint == vault.mint @ DriftShieldError::WrongMint)]
    pub model: Account<Model>,
    #[account(mut)]
    pub vault: Account<Vault>,
    #[account(
        init_if_needed,
        payer = manager,
        seeds = [b"exposure", vault.address().as_ref(), model.address().as_ref()],
        bump
    )]
    pub exposure: Account<Exposure>,
    pub system_program: Program<System>,
}

impl ListModel {
    pub fn list_model(&mut self, terms: ListingTerms, bump: u8) -> Result<ModelListed> {
        self.model.require_active()?;
        let now = Clock::get()?.unix_timestamp;
        self.exposure.list(&self.vault, &self.model, &terms, now)?;
        let exposure = &mut self.exposure;
        if exposure.is_new() {
            exposure.vault = *self.vault.address();
            exposure.model = *self.model.address();
            exposure.bump = bump;
            self.vault.exposures += 1; // one an account
        }
        Ok(ModelListed {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            exposure: *exposure.address(),
            exposure_seq: exposure.next_seq(),
            manager: self.vault.manager,
            model: exposure.model,
            terms,
            active_at: exposure.active_at,
        })
    }
}
