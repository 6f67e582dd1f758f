use anchor_lang::prelude::*;

use crate::{Account, AdminAccepted, Config, DriftShieldError};

#[event_cpi]
#[derive(Accounts)]
pub struct AcceptAdmin {
    #[account(address = config.pending_admin @ DriftShieldError::NotPendingAdmin)]
    pub pending_admin: Signer,
    #[account(mut)]
    pub config: Account<Config>,
}

impl AcceptAdmin {
    pub fn accept_admin(&mut self) -> Result<AdminAccepted> {
        let config = &mut self.config;
        config.admin = config.pending_admin;
        config.pending_admin = Address::default();
        Ok(AdminAccepted {
            config_seq: config.next_seq(),
            admin: config.admin,
        })
    }
}
