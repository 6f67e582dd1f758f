use anchor_lang::prelude::*;

use crate::{DriftShieldError, Model, Policy, PremiumSetAside, Vault};

/// Remaining accounts: the pages of the model's `Series` that hold the windows in question, in order.
#[event_cpi]
#[derive(Accounts)]
pub struct SetAsidePremium {
    #[account(address = policy.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut, address = policy.vault @ DriftShieldError::WrongInsuranceVault)]
    pub vault: Account<Vault>,
    #[account(mut)]
    pub policy: Account<Policy>,
}

impl SetAsidePremium {
    pub fn set_aside_premium(&mut self, pages: Vec<AccountView>) -> Result<PremiumSetAside> {
        let now = Clock::get()?.unix_timestamp;
        self.vault.accrue(now);
        let windows = self.policy.windows_to_set_aside(&self.model, now);
        let findings = self
            .policy
            .examine_all(&self.model, &self.vault, windows, pages)?;
        let amount = self.policy.set_premium_aside(&mut self.vault, &findings);
        require!(0 < amount, DriftShieldError::NothingToSetAside);
        Ok(PremiumSetAside {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            policy: *self.policy.address(),
            policy_seq: self.policy.next_seq(),
            model: *self.model.address(),
            holder: self.policy.holder,
            amount,
            examined_until: self.policy.examined_until,
            totals: self.vault.totals(),
        })
    }
}
