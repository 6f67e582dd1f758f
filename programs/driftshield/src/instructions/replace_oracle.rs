use anchor_lang::prelude::*;

use crate::{DriftShieldError, Model, OracleReplaced};

#[event_cpi]
#[derive(Accounts)]
pub struct ReplaceOracle {
    #[account(address = model.owner @ DriftShieldError::NotModelOwner)]
    pub owner: Signer,
    #[account(mut)]
    pub model: Account<Model>,
}

impl ReplaceOracle {
    pub fn replace_oracle(
        &mut self,
        oracle: Address,
        successor: Address,
    ) -> Result<OracleReplaced> {
        let model = &mut self.model;
        let slot = model.replace(&oracle, &successor, Clock::get()?.unix_timestamp)?;
        Ok(OracleReplaced {
            model: *model.address(),
            model_seq: model.next_seq(),
            owner: model.owner,
            slot: slot as u8, // below 7
            oracle,
            successor,
            replaced: model.replaced,
        })
    }
}
