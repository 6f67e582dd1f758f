use anchor_lang::{prelude::*, AccountClose};

use crate::{ClaimPolicy, PolicyBegun, Probation};

impl ClaimPolicy {
    pub fn begin_policy(&mut self, pages: Vec<AccountView>) -> Result<PolicyBegun> {
        self.policy.require_pending()?;
        let now = Clock::get()?.unix_timestamp;
        self.vault.accrue(now);
        let windows = self.policy.windows_to_begin();
        let is_over = self.policy.term.end <= now; // the term before; always if the next one begins
        let findings =
            self.policy
                .examine(&mut self.vault, &self.model, windows, pages, is_over)?;
        let probation = findings.probation()?;
        let mut refund = 0;
        if probation == Probation::Passed {
            self.policy.begin(&mut self.vault);
        } else {
            let failed = probation == Probation::Failed;
            refund = self.policy.void(&mut self.vault, failed);
        }
        // A renewal that is void leaves the terms that have begun.
        let is_over = self.policy.last_window < self.policy.first_window;
        if is_over {
            self.policy
                .end(&mut self.vault, &mut self.exposure, &mut self.model);
        }
        if 0 < refund {
            self.pay_holder(refund)?;
        }
        let event = self.begun(probation, refund, is_over);
        if is_over {
            self.policy.close(*self.holder.account())?;
        }
        Ok(event)
    }

    fn begun(&mut self, probation: Probation, refund: u64, is_over: bool) -> PolicyBegun {
        PolicyBegun {
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
            probation,
            is_over,
            refund,
            last_window: self.policy.last_window,
            worth: self.policy.worth,
            unmeasured: self.policy.unmeasured,
            totals: self.vault.totals(),
            exposure_cover: self.exposure.cover,
            cover_risk: self.model.cover_risk,
            model_exposure: self.model.exposure,
        }
    }
}
