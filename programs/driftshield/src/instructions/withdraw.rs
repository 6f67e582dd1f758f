use anchor_lang::{prelude::*, AccountClose};
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    Account, DriftShieldError, Vault, WithdrawRequest, Withdrawn,
};

#[event_cpi]
#[derive(Accounts)]
pub struct Withdraw {
    /// Receives the payment and, once nothing is left of the request, the request's rent. Must
    /// sign unless `destination` is the owner's associated token account.
    #[account(mut, address = request.owner @ DriftShieldError::WrongPayee)]
    pub owner: UncheckedAccount,
    #[account(mut, address = request.vault @ DriftShieldError::WrongInsuranceVault)]
    pub vault: Account<Vault>,
    #[account(mut)]
    pub request: Account<WithdrawRequest>,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    /// The owner's associated token account, or any account if the owner signs. Ignored if the
    /// payment is 0.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
}

impl Withdraw {
    pub fn withdraw(&mut self) -> Result<Withdrawn> {
        let now = Clock::get()?.unix_timestamp;
        let vault = &mut self.vault;
        vault.accrue(now);
        let amount = vault.withdraw(&mut self.request, now)?;
        let is_over = self.request.is_over();
        if is_over {
            vault.end_request();
        }
        token::pay_to(
            Recipient::Payee(&self.owner),
            self.token_program.address(),
            &mut self.tokens,
            &self.mint,
            &mut self.destination,
            vault,
            amount,
        )?;
        let event = Withdrawn {
            vault: *vault.address(),
            vault_seq: vault.next_seq(),
            request: *self.request.address(),
            request_seq: self.request.next_seq(),
            owner: self.request.owner,
            destination: *self.destination.address(),
            amount,
            value: self.request.value,
            shares: self.request.shares,
            is_short: self.request.is_short.get(),
            reserved_until: self.request.reserved_until,
            totals: vault.totals(),
        };
        if is_over {
            self.request.close(*self.owner.account())?;
        }
        Ok(event)
    }
}
