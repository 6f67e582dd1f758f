use anchor_lang::prelude::*;

use crate::{
    token, Account, DriftShieldError, TokenOwner, Vault, WithdrawCancelled, WithdrawRequest,
};

#[event_cpi]
#[derive(Accounts)]
pub struct CancelWithdraw {
    /// Receives the request's rent.
    #[account(mut, address = request.owner @ DriftShieldError::NotShareOwner)]
    pub owner: Signer,
    #[account(mut, address = request.vault @ DriftShieldError::WrongInsuranceVault)]
    pub vault: Account<Vault>,
    #[account(mut, close = owner)]
    pub request: Account<WithdrawRequest>,
    #[account(mut, address = vault.share_mint @ DriftShieldError::WrongShares)]
    pub share_mint: UncheckedAccount,
    /// Token account that receives the returned shares, chosen by the owner.
    #[account(mut)]
    pub destination: UncheckedAccount,
    pub share_token_program: Program<Token>,
}

impl CancelWithdraw {
    pub fn cancel_withdraw(&mut self) -> Result<WithdrawCancelled> {
        let vault = &mut self.vault;
        vault.accrue(Clock::get()?.unix_timestamp);
        let shares = vault.take_back(&mut self.request)?;
        vault.end_request();
        token::mint_to(
            &mut self.share_mint,
            &mut self.destination,
            vault.cpi_handle(),
            &vault.signer().seeds(),
            shares,
        );
        Ok(WithdrawCancelled {
            vault: *vault.address(),
            vault_seq: vault.next_seq(),
            request: *self.request.address(),
            request_seq: self.request.next_seq(),
            owner: self.request.owner,
            shares,
            totals: vault.totals(),
        })
    }
}
