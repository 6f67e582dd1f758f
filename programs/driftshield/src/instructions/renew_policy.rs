use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    pause, quote_renewal, token, Account, Collateral, Config, DriftShieldError, Exposure, Model,
    Policy, PolicyRenewed, Quote, TokenOwner, Vault,
};

#[event_cpi]
#[derive(Accounts)]
pub struct RenewPolicy {
    /// Pays the premium and the security rent. Must sign unless the policy has `auto_renew`.
    #[account(address = policy.holder @ DriftShieldError::NotHolder)]
    pub holder: UncheckedAccount,
    /// The holder's renewal authority, to which the holder delegates premiums. All policies of the
    /// holder share it.
    #[account(seeds = [b"renewal", holder.address().as_ref()], bump)]
    pub renewal: UncheckedAccount,
    pub config: Account<Config>,
    #[account(constraint = collateral.mint == vault.mint @ DriftShieldError::WrongCollateral)]
    pub collateral: Account<Collateral>,
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
    /// The holder's token account, which pays the premium and the security rent.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    /// Token account that receives the security rent.
    #[account(mut, address = model.bond_vault @ DriftShieldError::WrongVault)]
    pub bond_vault: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl RenewPolicy {
    pub fn renew_policy(&mut self, renewal_bump: u8) -> Result<PolicyRenewed> {
        self.config.require_running(pause::RENEWALS)?;
        self.collateral.require_enabled()?;
        self.collateral.require_accepted(self.mint.account())?;
        let now = Clock::get()?.unix_timestamp;
        let quote = quote_renewal(
            &mut self.vault,
            &self.exposure,
            &self.model,
            &self.policy,
            self.holder.account().is_signer(),
            now,
        )
        .map_err(DriftShieldError::from)?;
        self.policy.hold(&mut self.vault, &quote);
        self.model
            .observe(self.policy.first_window, quote.last_window);
        self.model.pay_oracles(quote.rent, quote.rent_end, now)?;
        self.pay(&quote, renewal_bump)?;
        self.vault.invariant(token::amount(&self.tokens)?)?;
        self.model.invariant(token::amount(&self.bond_vault)?)?;
        Ok(PolicyRenewed {
            vault: *self.vault.address(),
            vault_seq: self.vault.next_seq(),
            exposure: *self.exposure.address(),
            exposure_seq: self.exposure.next_seq(),
            policy: *self.policy.address(),
            policy_seq: self.policy.next_seq(),
            model: *self.model.address(),
            model_seq: self.model.next_seq(),
            holder: self.policy.holder,
            from_window: quote.from_window,
            last_window: quote.last_window,
            end: quote.end,
            premium: quote.premium,
            protocol_part: quote.protocol_part,
            manager_part: quote.manager_part,
            streamed_part: quote.streamed_part,
            rent: quote.rent,
            totals: self.vault.totals(),
            pot: self.model.pot_totals(),
        })
    }

    /// Transfers the premium and the security rent: signed by the holder, or else by the renewal
    /// authority as the holder's delegate.
    fn pay(&mut self, quote: &Quote, renewal_bump: u8) -> Result<()> {
        let holder = *self.holder.address();
        let bump = [renewal_bump];
        let seeds = [b"renewal", holder.as_ref(), &bump];
        let (authority, seeds) = if self.holder.account().is_signer() {
            (self.holder.cpi_handle(), &[][..])
        } else {
            require!(
                self.policy.auto_renew.get(),
                DriftShieldError::NotAutoRenewed
            );
            let delegated = token::delegated(&self.source, &holder, self.renewal.address())?;
            require!(
                quote.price() <= delegated,
                DriftShieldError::TooLittleDelegated
            );
            (self.renewal.cpi_handle(), &seeds[..])
        };
        token::transfer_two(
            self.token_program.address(),
            &mut self.source,
            &self.mint,
            [
                (&mut self.tokens, quote.premium),
                (&mut self.bond_vault, quote.rent),
            ],
            authority,
            seeds,
        )
    }
}
