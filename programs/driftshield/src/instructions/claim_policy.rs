use anchor_lang::{prelude::*, AccountClose};
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    Account, DriftShieldError, Exposure, Model, Policy, PolicyClaimed, Vault,
};

/// Accounts of `claim_policy`, `cancel_policy`, `expire_policy` and `begin_policy`, which all pay the
/// holder. Remaining accounts of the last two: the pages of the model's `Series` that hold the windows
/// in question, in order.
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
    pub fn claim_policy(&mut self) -> Result<PolicyClaimed> {
        self.vault.accrue(Clock::get()?.unix_timestamp);
        let amount = self.policy.due()?;
        self.spend(amount);
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
            first_window: self.policy.peak_window,
            value: self.policy.peak,
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

    /// Takes `amount` of what is set aside for the policy out of the vault and the risk.
    fn spend(&mut self, amount: u64) {
        self.policy.pay(&mut self.vault, amount);
        self.exposure.release(amount);
        self.model.release_cover(amount);
    }

    /// Takes what is set aside for the policy out of the vault and the risk, and returns the amount.
    pub(super) fn take_set_aside(&mut self) -> u64 {
        let amount = self.policy.set_aside();
        if 0 < amount {
            self.spend(amount);
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
}
