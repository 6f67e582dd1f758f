use anchor_lang::{prelude::*, AccountClose};
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    DriftShieldError, Exposure, Model, Policy, PolicyClaimed, Receipt, Vault,
};

/// Accounts of `claim_policy` and `cancel_policy`, which both pay the holder. Remaining accounts of
/// a claim: as many Final receipts as the policy's persistence, of consecutive windows in order.
#[event_cpi]
#[derive(Accounts)]
pub struct ClaimPolicy {
    /// Receives the payment or refund and, when the policy ends, the policy's rent. Must sign to
    /// cancel, and to claim unless `destination` is the holder's associated token account.
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
    pub fn claim_policy(&mut self, receipts: Vec<AccountView>) -> Result<PolicyClaimed> {
        let now = Clock::get()?.unix_timestamp;
        require!(
            now < self.policy.expires_at(&self.model)?,
            DriftShieldError::PolicyExpired
        );
        self.vault.accrue(now);
        let (first_window, lowest) = self.check_run(receipts)?;
        let amount = self.policy.claim(lowest)?;
        self.vault.pay_claim(amount);
        self.exposure.release(amount);
        self.model.lower_risk(amount);
        let is_over = self.policy.open_cover() == 0;
        if is_over {
            self.policy
                .end(&mut self.vault, &mut self.exposure, &mut self.model);
        }
        token::pay_to(
            Recipient::Payee(&self.holder),
            self.token_program.address(),
            &mut self.tokens,
            &self.mint,
            &mut self.destination,
            &self.vault,
            amount,
        )?;
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
            paid: self.policy.paid,
            cover: self.policy.cover,
            totals: self.vault.totals(),
            exposure_cover: self.exposure.cover,
            at_risk: self.model.at_risk,
            model_exposure: self.model.exposure,
        };
        if is_over {
            self.policy.close(*self.holder.account())?;
        }
        Ok(event)
    }

    /// Checks the receipts of a run. Returns the run's first window and lowest value.
    fn check_run(&self, receipts: Vec<AccountView>) -> Result<(u64, u64)> {
        require!(
            receipts.len() == usize::from(self.policy.persistence),
            DriftShieldError::WrongRunLength
        );
        let mut next = None;
        let mut lowest = u64::MAX;
        for view in &receipts {
            let receipt =
                Account::<Receipt>::load(*view).map_err(|_| DriftShieldError::WrongReceipt)?;
            lowest = lowest.min(self.policy.require_in_run(&receipt, next)?);
            next = Some(receipt.window + 1); // its times fit an i64
        }
        let after = next.ok_or(DriftShieldError::WrongRunLength)?;
        Ok((after - receipts.len() as u64, lowest))
    }
}
