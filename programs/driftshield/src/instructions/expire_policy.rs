use anchor_lang::{prelude::*, AccountClose};

use crate::{ClaimPolicy, DriftShieldError, PolicyExpired};

impl ClaimPolicy {
    pub fn expire_policy(&mut self, pages: Vec<AccountView>) -> Result<PolicyExpired> {
        let now = Clock::get()?.unix_timestamp;
        require!(
            self.policy.expires_at(&self.model)? <= now,
            DriftShieldError::PolicyNotExpired
        );
        let is_lapsed = self.policy.lapses_at(&self.model)? <= now;
        self.vault.accrue(now);
        let paid = self.policy.paid;
        let refund = if is_lapsed {
            0
        } else {
            let windows = self.policy.windows_to_expire();
            let findings =
                self.policy
                    .examine(&mut self.vault, &self.model, windows, pages, true)?;
            findings.require_decided()?;
            self.take_set_aside()
        };
        if self.policy.is_pending() {
            // Its time is over, and nobody has asked for its end: the vault has borne the risk. Its windows
            // are worth nothing: its probation may have failed.
            self.policy.begin(&mut self.vault);
        }
        if 0 < refund {
            self.pay_holder(refund)?;
        }
        self.policy
            .end(&mut self.vault, &mut self.exposure, &mut self.model);
        let event = PolicyExpired {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            exposure: *self.exposure.address(),
            exposure_seq: self.exposure.next_seq(),
            policy: *self.policy.address(),
            policy_seq: self.policy.next_seq(),
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            holder: self.policy.holder,
            destination: *self.destination.address(),
            refund,
            paid,
            totals: self.vault.totals(),
            exposure_cover: self.exposure.cover,
            cover_risk: self.model.cover_risk,
            model_exposure: self.model.exposure,
        };
        self.policy.close(*self.holder.account())?;
        Ok(event)
    }
}
