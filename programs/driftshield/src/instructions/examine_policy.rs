use anchor_lang::prelude::*;

use crate::{Account, DriftShieldError, Model, Policy, PolicyExamined, Vault};

/// Remaining accounts: the pages of the model's `Series` that hold the windows in question, in order.
#[event_cpi]
#[derive(Accounts)]
pub struct ExaminePolicy {
    #[account(address = policy.model @ DriftShieldError::WrongModel)]
    pub model: Account<Model>,
    #[account(mut, address = policy.vault @ DriftShieldError::WrongInsuranceVault)]
    pub vault: Account<Vault>,
    #[account(mut)]
    pub policy: Account<Policy>,
}

impl ExaminePolicy {
    pub fn examine_policy(&mut self, pages: Vec<AccountView>) -> Result<PolicyExamined> {
        let now = Clock::get()?.unix_timestamp;
        self.vault.accrue(now);
        let before = (self.policy.examined_until, self.policy.returned_until);
        let windows = self
            .policy
            .windows_to_examine(&self.model, now, pages.len());
        require!(!windows.is_empty(), DriftShieldError::NothingToExamine);
        let findings = self
            .policy
            .examine(&mut self.vault, &self.model, windows, pages, false)?;
        require!(
            before != (self.policy.examined_until, self.policy.returned_until),
            DriftShieldError::NothingToExamine
        );
        Ok(PolicyExamined {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            policy: *self.policy.address(),
            policy_seq: self.policy.next_seq(),
            model: *self.model.address(),
            holder: self.policy.holder,
            examined_until: self.policy.examined_until,
            peak: self.policy.peak,
            peak_window: self.policy.peak_window,
            worth: self.policy.worth,
            unmeasured: self.policy.unmeasured,
            amount: findings.booked,
            totals: self.vault.totals(),
        })
    }
}
