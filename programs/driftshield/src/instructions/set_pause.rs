use anchor_lang::prelude::*;

use crate::{pause, Account, Config, DriftShieldError, PauseSet};

#[event_cpi]
#[derive(Accounts)]
pub struct SetPause {
    /// The guardian or the admin.
    pub authority: Signer,
    #[account(mut)]
    pub config: Account<Config>,
}

impl SetPause {
    pub fn set_pause(&mut self, paused: u8) -> Result<PauseSet> {
        require!(
            paused & !pause::ALL == 0,
            DriftShieldError::UnknownPauseFlag
        );
        let config = &mut self.config;
        let authority = *self.authority.address();
        if authority != config.admin {
            require!(authority == config.guardian, DriftShieldError::NotGuardian);
            require!(
                config.paused & !paused == 0,
                DriftShieldError::GuardianCannotUnpause
            );
        }
        config.paused = paused;
        Ok(PauseSet {
            config_seq: config.next_seq(),
            authority,
            paused,
        })
    }
}
