use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, Model, ModelRetired, ModelStatus};

#[event_cpi]
#[derive(Accounts)]
pub struct RetireModel {
    #[account(address = model.owner @ DriftShieldError::NotModelOwner)]
    pub owner: Signer,
    #[account(mut)]
    pub model: Account<Model>,
}

impl RetireModel {
    pub fn retire_model(&mut self) -> Result<ModelRetired> {
        let model = &mut self.model;
        model.require_active()?;
        model.status = ModelStatus::Retired.into();
        Ok(ModelRetired {
            model: *model.address(),
            model_seq: model.next_seq(),
            owner: model.owner,
        })
    }
}
