use anchor_lang::prelude::*;

use crate::{DriftShieldError, Exposure, Model, Policy, PolicyExpired, Vault};

#[event_cpi]
#[derive(Accounts)]
pub struct ExpirePolicy {
    /// Receives the policy's rent.
    #[account(mut, address = policy.holder @ DriftShieldError::WrongRentPayer)]
    pub holder: UncheckedAccount,
    #[account(mut, address = policy.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut, address = policy.vault @ DriftShieldError::WrongInsuranceVault)]
    pub vault: Account<Vault>,
    #[account(
        mut,
        constraint = exposure.vault == policy.vault @ DriftShieldError::WrongInsuranceVault,
        constraint = exposure.model == policy.model @ DriftShieldError::WrongModel
    )]
    pub exposure: Account<Exposure>,
    #[account(mut, close = holder)]
    pub policy: Account<Policy>,
}

impl ExpirePolicy {
    pub fn expire_policy(&mut self) -> Result<PolicyExpired> {
        let now = Clock::get()?.unix_timestamp;
        require!(
            self.policy.expires_at(&self.model)? <= now,
            DriftShieldError::PolicyNotExpired
        );
        self.vault.accrue(now);
        self.policy
            .end(&mut self.vault, &mut self.exposure, &mut self.model);
        Ok(PolicyExpired {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            exposure: *self.exposure.address(),
            exposure_seq: self.exposure.next_seq(),
            policy: *self.policy.address(),
            policy_seq: self.policy.next_seq(),
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            holder: self.policy.holder,
            paid: self.policy.paid,
            totals: self.vault.totals(),
            exposure_cover: self.exposure.cover,
            cover_risk: self.model.cover_risk,
            model_exposure: self.model.exposure,
        })
    }
}
