use anchor_lang::{prelude::*, AccountClose};

use crate::{token, ClaimPolicy, DriftShieldError, PolicyCancelled};

impl ClaimPolicy {
    pub fn cancel_policy(&mut self) -> Result<PolicyCancelled> {
        require!(
            self.holder.account().is_signer(),
            DriftShieldError::NotHolder
        );
        let now = Clock::get()?.unix_timestamp;
        self.vault.accrue(now);
        let paid = self.policy.paid;
        let unused = self.policy.cancel(&mut self.vault, now);
        let refund = unused + self.take_set_aside(); // parts of one balance
        self.policy
            .end(&mut self.vault, &mut self.exposure, &mut self.model);
        token::pay(
            self.token_program.address(),
            &mut self.tokens,
            &self.mint,
            &mut self.destination,
            &self.vault,
            refund,
        )?;
        let event = PolicyCancelled {
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
