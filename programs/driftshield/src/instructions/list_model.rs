use anchor_lang::prelude::*;

use crate::{
    load_or_create, Account, DriftShieldError, Exposure, ListingTerms, Model, ModelListed, Vault,
};

#[event_cpi]
#[derive(Accounts)]
pub struct ListModel {
    /// Pays the rent of a new exposure.
    #[account(mut, address = vault.manager @ DriftShieldError::NotManager)]
    pub manager: Signer,
    #[account(constraint = model.bond_mint == vault.mint @ DriftShieldError::WrongMint)]
    pub model: Account<Model>,
    #[account(mut)]
    pub vault: Account<Vault>,
    /// The vault's `Exposure` to the model: PDA of `["exposure", vault, model]`. Created here by
    /// the first listing.
    #[account(mut)]
    pub exposure: UncheckedAccount,
    pub system_program: Program<System>,
}

impl ListModel {
    pub fn list_model(&mut self, terms: ListingTerms) -> Result<ModelListed> {
        self.model.require_active()?;
        let now = Clock::get()?.unix_timestamp;
        let (vault, model) = (*self.vault.address(), *self.model.address());
        let (mut exposure, bump) = load_or_create(
            self.manager.account(),
            &self.exposure,
            [b"exposure", vault.as_ref(), model.as_ref()],
            |exposure: &Exposure| exposure.vault == vault && exposure.model == model,
            DriftShieldError::WrongExposure,
        )?;
        exposure.list(&self.vault, &self.model, &terms, now)?;
        self.vault.revise();
        if let Some(bump) = bump {
            exposure.vault = vault;
            exposure.model = model;
            exposure.bump = bump;
            self.vault.exposures += 1; // once per account
        }
        Ok(ModelListed {
            vault,
            vault_seq: self.vault.next_seq(),
            exposure: *exposure.address(),
            exposure_seq: exposure.next_seq(),
            manager: self.vault.manager,
            model,
            terms,
            active_at: exposure.active_at,
        })
    }
}
