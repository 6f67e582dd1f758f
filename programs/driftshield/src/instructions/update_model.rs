use anchor_lang::prelude::*;

use crate::{Config, DriftShieldError, Model, ModelTerms, ModelUpdated};

#[event_cpi]
#[derive(Accounts)]
pub struct UpdateModel {
    #[account(address = model.owner @ DriftShieldError::NotModelOwner)]
    pub owner: Signer,
    pub config: Account<Config>,
    #[account(mut)]
    pub model: Account<Model>,
}

impl UpdateModel {
    pub fn update_model(&mut self, terms: ModelTerms) -> Result<ModelUpdated> {
        let model = &mut self.model;
        require!(model.exposure == 0, DriftShieldError::ModelExposed);
        require!(model.open_receipts == 0, DriftShieldError::ReceiptOpen);
        let now = Clock::get()?.unix_timestamp;
        model.set_terms(&terms, self.config.params.max_spread_limit, now)?;
        model.arbiter = self.config.arbiter;
        model.begin_version();
        Ok(ModelUpdated {
            model: *model.address(),
            model_seq: model.next_seq(),
            owner: model.owner,
            version: model.version,
            arbiter: model.arbiter,
            security: model.security,
            lasting_security: model.lasting_security,
            terms,
        })
    }
}
