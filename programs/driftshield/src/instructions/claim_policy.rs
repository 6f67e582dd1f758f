use core::ops::RangeInclusive;

use anchor_lang::{prelude::*, AccountClose};
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    DriftShieldError, Exposure, Model, Policy, PolicyClaimed, Series, Vault,
};

/// Accounts of `claim_policy`, `cancel_policy`, `expire_policy` and `begin_policy`, which all pay the
/// holder. Remaining accounts: the pages of the model's `Series` that hold the windows in question,
/// in order.
#[event_cpi]
#[derive(Accounts)]
pub struct ClaimPolicy {
    /// Receives the payment or refund and, when the policy ends, the policy's rent. Must sign to
    /// cancel, and to be paid unless `destination` is the holder's associated token account.
    #[account(mut, address = policy.holder @ DriftShieldError::WrongPayee)]
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
    #[account(mut)]
    pub policy: Account<Policy>,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    /// The holder's associated token account, or any account if the holder signs.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl ClaimPolicy {
    pub fn claim_policy(
        &mut self,
        first_window: u64,
        pages: Vec<AccountView>,
    ) -> Result<PolicyClaimed> {
        let now = Clock::get()?.unix_timestamp;
        require!(
            now < self.policy.expires_at(&self.model)?,
            DriftShieldError::PolicyExpired
        );
        self.vault.accrue(now);
        let run = self.policy.run(first_window)?;
        let lowest = self.lowest_of_run(&run, pages)?;
        let amount = self.policy.due(lowest)?;
        self.spend(amount, self.model.decided_by(*run.end())?);
        let is_over = self.policy.open_cover() == 0;
        let mut refund = 0;
        if is_over {
            if self.policy.is_pending() {
                refund = self.policy.void(&mut self.vault, true);
            }
            self.policy
                .end(&mut self.vault, &mut self.exposure, &mut self.model);
        }
        self.pay_holder(amount + refund)?; // parts of one balance
        let event = PolicyClaimed {
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
            first_window,
            value: lowest,
            amount,
            refund,
            paid: self.policy.paid,
            cover: self.policy.cover,
            totals: self.vault.totals(),
            exposure_cover: self.exposure.cover,
            cover_risk: self.model.cover_risk,
            model_exposure: self.model.exposure,
        };
        if is_over {
            self.policy.close(*self.holder.account())?;
        }
        Ok(event)
    }

    /// Takes `amount` of the policy's open cover out of the vault, as a loss of `at`, and out of the risk.
    fn spend(&mut self, amount: u64, at: i64) {
        self.policy.pay(&mut self.vault, amount, at);
        self.exposure.release(amount);
        self.model.release_cover(amount);
    }

    /// Takes what is set aside for the policy out of the vault and the risk, and returns the amount.
    pub(super) fn take_set_aside(&mut self) -> u64 {
        let amount = self.policy.set_aside();
        if 0 < amount {
            let now = self.vault.accrued_at;
            self.spend(amount, now);
        }
        amount
    }

    /// Pays `amount` from the vault to the holder.
    #[inline(never)] // one copy keeps the binary small
    pub(super) fn pay_holder(&mut self, amount: u64) -> Result<()> {
        token::pay_to(
            Recipient::Payee(&self.holder),
            self.token_program.address(),
            &mut self.tokens,
            &self.mint,
            &mut self.destination,
            &self.vault,
            amount,
        )
    }

    /// Reads the windows of `run` from `pages`. Returns their lowest value.
    fn lowest_of_run(&self, run: &RangeInclusive<u64>, pages: Vec<AccountView>) -> Result<u64> {
        let needed = Series::pages_of(run.clone());
        require!(
            pages.len() == needed.clone().count(),
            DriftShieldError::WrongSeries
        );
        let mut lowest = u64::MAX;
        for (page, view) in needed.zip(pages) {
            let page = Series::load(&self.policy.model, page, view)?
                .ok_or(DriftShieldError::WrongSeries)?;
            for window in run.clone().filter(|window| page.windows().contains(window)) {
                lowest = lowest.min(self.policy.require_reached(page.entry(window))?);
            }
        }
        Ok(lowest)
    }
}
