use core::ops::RangeInclusive;

use anchor_lang::{prelude::*, AccountClose};

use crate::{ClaimPolicy, Findings, PolicyBegun, Probation, Series};

impl ClaimPolicy {
    pub fn begin_policy(&mut self, pages: Vec<AccountView>) -> Result<PolicyBegun> {
        self.policy.require_pending()?;
        let now = Clock::get()?.unix_timestamp;
        self.vault.accrue(now);
        let findings = self.examine(self.policy.windows_to_begin(), pages, now)?;
        let probation = findings.probation()?;
        let mut refund = 0;
        if probation == Probation::Passed {
            self.policy.begin(&mut self.vault, &findings);
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

    /// Reads `windows` from `pages`, and returns what they say about the policy.
    #[inline(never)] // one copy keeps the binary small
    pub(super) fn examine(
        &self,
        windows: RangeInclusive<u64>,
        pages: Vec<AccountView>,
        now: i64,
    ) -> Result<Findings> {
        let mut findings = self.policy.findings(&self.model);
        Series::read(&self.model, windows, pages, now, |window, entry| {
            self.policy.examine(window, entry, &mut findings);
        })?;
        Ok(findings)
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
            unmeasured: self.policy.unmeasured,
            totals: self.vault.totals(),
            exposure_cover: self.exposure.cover,
            cover_risk: self.model.cover_risk,
            model_exposure: self.model.exposure,
        }
    }
}
