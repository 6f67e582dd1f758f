use anchor_lang::prelude::*;

use crate::{Account, ArbiterProposed, Config, DriftShieldError};

#[event_cpi]
#[derive(Accounts)]
pub struct ProposeArbiter {
    #[account(address = config.arbiter @ DriftShieldError::NotCurrentArbiter)]
    pub arbiter: Signer,
    #[account(mut)]
    pub config: Account<Config>,
}

impl ProposeArbiter {
    pub fn propose_arbiter(&mut self, pending_arbiter: Address) -> Result<ArbiterProposed> {
        let config = &mut self.config;
        config.pending_arbiter = pending_arbiter;
        Ok(ArbiterProposed {
            config_seq: config.next_seq(),
            arbiter: config.arbiter,
            pending_arbiter,
        })
    }
}
