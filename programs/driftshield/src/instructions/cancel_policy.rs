use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{token, DriftShieldError, Exposure, Model, Policy, PolicyCancelled, Vault};

#[event_cpi]
#[derive(Accounts)]
pub struct CancelPolicy {
    /// Gets the rent back.
    #[account(mut, address = policy.holder @ DriftShieldError::NotHolder)]
    pub holder: Signer,
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
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    /// Where the holder wants what comes back.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl CancelPolicy {
    pub fn cancel_policy(&mut self) -> Result<PolicyCancelled> {
        let now = Clock::get()?.unix_timestamp;
        self.vault.accrue(now);
        let refund = self.policy.cancel(&mut self.vault, now);
        self.policy
            .end(&mut self.vault, &mut self.exposure, &mut self.model)?;
        if 0 < refund {
            token::transfer(
                self.token_program.address(),
                &mut self.tokens,
                &self.mint,
                &mut self.destination,
                self.vault.cpi_handle(),
                &self.vault.signer().seeds(),
                refund,
            )?;
        }
        self.vault.invariant(token::amount(&self.tokens)?)?;
        Ok(PolicyCancelled {
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
            paid: self.policy.paid,
            totals: self.vault.totals(),
            exposure_cover: self.exposure.cover,
            at_risk: self.model.at_risk,
            model_exposure: self.model.exposure,
        })
    }
}
