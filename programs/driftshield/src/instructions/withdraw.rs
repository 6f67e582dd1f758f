use anchor_lang::{prelude::*, AccountClose};
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, Recipient},
    DriftShieldError, TokenOwner, Vault, WithdrawRequest, Withdrawn,
};

#[event_cpi]
#[derive(Accounts)]
pub struct Withdraw {
    /// Receives the payment and, once no shares are left in the request, the request's rent. Must
    /// sign unless `destination` is the owner's associated token account.
    #[account(mut, address = request.owner @ DriftShieldError::WrongPayee)]
    pub owner: UncheckedAccount,
    #[account(mut, address = request.vault @ DriftShieldError::WrongInsuranceVault)]
    pub vault: Account<Vault>,
    #[account(mut)]
    pub request: Account<WithdrawRequest>,
    #[account(mut, address = vault.escrow @ DriftShieldError::WrongShares)]
    pub escrow: UncheckedAccount,
    #[account(mut, address = vault.share_mint @ DriftShieldError::WrongShares)]
    pub share_mint: UncheckedAccount,
    #[account(mut, address = vault.tokens @ DriftShieldError::WrongVault)]
    pub tokens: UncheckedAccount,
    /// The owner's associated token account, or any account if the owner signs. Ignored if the
    /// payment is 0.
    #[account(mut)]
    pub destination: UncheckedAccount,
    #[account(address = vault.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub share_token_program: Program<Token>,
}

impl Withdraw {
    pub fn withdraw(&mut self) -> Result<Withdrawn> {
        let now = Clock::get()?.unix_timestamp;
        let vault = &mut self.vault;
        vault.accrue(now);
        let (amount, shares) = vault.withdraw(&mut self.request, now)?;
        let signer = vault.signer();
        token::burn(
            &mut self.escrow,
            &mut self.share_mint,
            vault.cpi_handle(),
            &signer.seeds(),
            shares,
        );
        token::pay_to(
            Recipient::Payee(&self.owner),
            self.token_program.address(),
            &mut self.tokens,
            &self.mint,
            &mut self.destination,
            vault,
            amount,
        )?;
        let requested = self.request.shares;
        let event = Withdrawn {
            vault: *vault.address(),
            vault_seq: vault.next_seq(),
            request: *self.request.address(),
            request_seq: self.request.next_seq(),
            owner: self.request.owner,
            destination: *self.destination.address(),
            shares,
            amount,
            requested,
            value: self.request.value,
            totals: vault.totals(),
        };
        if requested == 0 {
            vault.end_request();
            self.request.close(*self.owner.account())?;
        }
        Ok(event)
    }
}
