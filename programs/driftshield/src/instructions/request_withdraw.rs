use anchor_lang::prelude::*;

use crate::{
    load_or_create, token, Account, DriftShieldError, Vault, WithdrawRequest, WithdrawRequested,
};

#[event_cpi]
#[derive(Accounts)]
pub struct RequestWithdraw {
    /// Pays the rent of a new request.
    #[account(mut)]
    pub owner: Signer,
    #[account(mut)]
    pub vault: Account<Vault>,
    /// The owner's `WithdrawRequest`: PDA of `["withdraw", vault, owner]`. Created here by the
    /// owner's first request, or by the first one after the previous request was closed.
    #[account(mut)]
    pub request: UncheckedAccount,
    /// The owner's token account of shares. Ignored if no shares are added.
    #[account(mut)]
    pub source: UncheckedAccount,
    #[account(mut, address = vault.share_mint @ DriftShieldError::WrongShares)]
    pub share_mint: UncheckedAccount,
    pub share_token_program: Program<Token>,
    pub system_program: Program<System>,
}

impl RequestWithdraw {
    pub fn request_withdraw(&mut self, shares: u64) -> Result<WithdrawRequested> {
        let vault = &mut self.vault;
        let (vault_address, owner) = (*vault.address(), *self.owner.address());
        let (mut request, bump) = load_or_create(
            self.owner.account(),
            &self.request,
            [b"withdraw", vault_address.as_ref(), owner.as_ref()],
            |request: &WithdrawRequest| request.vault == vault_address && request.owner == owner,
            DriftShieldError::WrongRequest,
        )?;
        vault.accrue(Clock::get()?.unix_timestamp);
        if let Some(bump) = bump {
            request.vault = vault_address;
            request.owner = owner;
            request.bump = bump;
            vault.requests += 1; // once per account
        }
        // The shares are burned first, so that only shares that exist are counted.
        if 0 < shares {
            token::burn(
                &mut self.source,
                &mut self.share_mint,
                self.owner.cpi_handle(),
                &[],
                shares,
            );
        }
        vault.request(&mut request, shares)?;
        Ok(WithdrawRequested {
            vault: vault_address,
            vault_seq: vault.next_seq(),
            request: *request.address(),
            request_seq: request.next_seq(),
            owner: request.owner,
            shares,
            value: request.value,
            unlock_at: request.unlock_at,
            lapses_at: request.lapses_at,
            totals: vault.totals(),
        })
    }
}
