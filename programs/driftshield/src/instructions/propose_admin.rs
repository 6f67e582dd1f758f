use anchor_lang::prelude::*;

use crate::{Account, AdminProposed, Config, DriftShieldError};

#[event_cpi]
#[derive(Accounts)]
pub struct ProposeAdmin {
    #[account(address = config.admin @ DriftShieldError::NotAdmin)]
    pub admin: Signer,
    #[account(mut)]
    pub config: Account<Config>,
}

impl ProposeAdmin {
    pub fn propose_admin(&mut self, pending_admin: Address) -> Result<AdminProposed> {
        let config = &mut self.config;
        config.pending_admin = pending_admin;
        Ok(AdminProposed {
            config_seq: config.next_seq(),
            admin: config.admin,
            pending_admin,
        })
    }
}
