use anchor_lang::prelude::*;

use crate::{Account, Config, ConfigParams, ConfigUpdated, DriftShieldError};

#[event_cpi]
#[derive(Accounts)]
pub struct UpdateConfig {
    #[account(address = config.admin @ DriftShieldError::NotAdmin)]
    pub admin: Signer,
    #[account(mut)]
    pub config: Account<Config>,
}

impl UpdateConfig {
    pub fn update_config(
        &mut self,
        guardian: Address,
        params: ConfigParams,
    ) -> Result<ConfigUpdated> {
        params.validate()?;
        let config = &mut self.config;
        config.guardian = guardian;
        config.params = params;
        Ok(ConfigUpdated {
            config_seq: config.next_seq(),
            guardian,
            params,
        })
    }
}
