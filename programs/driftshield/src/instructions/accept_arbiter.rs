use anchor_lang::prelude::*;

use crate::{Account, ArbiterAccepted, Config, DriftShieldError};

#[event_cpi]
#[derive(Accounts)]
pub struct AcceptArbiter {
    #[account(address = config.pending_arbiter @ DriftShieldError::NotPendingArbiter)]
    pub pending_arbiter: Signer,
    #[account(mut)]
    pub config: Account<Config>,
}

impl AcceptArbiter {
    pub fn accept_arbiter(&mut self) -> Result<ArbiterAccepted> {
        let config = &mut self.config;
        config.arbiter = config.pending_arbiter;
        config.pending_arbiter = Address::default();
        Ok(ArbiterAccepted {
            config_seq: config.next_seq(),
            arbiter: config.arbiter,
        })
    }
}
