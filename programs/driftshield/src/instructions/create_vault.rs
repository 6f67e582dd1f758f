use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    math, token, Account, Collateral, Config, DriftShieldError, Vault, VaultCreated, VaultTerms,
    WHOLE_INDEX,
};

#[event_cpi]
#[derive(Accounts)]
#[instruction(id: u64)]
pub struct CreateVault {
    #[account(mut)]
    pub manager: Signer,
    pub config: Account<Config>,
    pub collateral: Account<Collateral>,
    #[account(address = collateral.mint @ DriftShieldError::WrongMint)]
    pub mint: UncheckedAccount,
    #[account(
        init,
        payer = manager,
        seeds = [b"vault", manager.address().as_ref(), &id.to_le_bytes()],
        bump
    )]
    pub vault: Account<Vault>,
    /// Token account of the capital. Created here: PDA of `["vault_tokens", vault]`.
    #[account(mut)]
    pub tokens: UncheckedAccount,
    /// Mint of the shares. Created here: PDA of `["shares", vault]`.
    #[account(mut)]
    pub share_mint: UncheckedAccount,
    pub token_program: Interface<'static, TokenInterface>,
    pub share_token_program: Program<Token>,
    pub system_program: Program<System>,
}

impl CreateVault {
    pub fn create_vault(
        &mut self,
        id: u64,
        cooldown_secs: i64,
        manager_fee_bps: u16,
        terms: VaultTerms,
        bump: u8,
    ) -> Result<VaultCreated> {
        self.collateral.require_enabled()?;
        terms.validate()?;
        self.open_tokens()?;
        let now = Clock::get()?.unix_timestamp;
        let params = &self.config.params;
        let vault = &mut *self.vault; // all zeros, and too large to be built on the stack
        vault.manager = *self.manager.address();
        vault.mint = *self.mint.address();
        vault.tokens = *self.tokens.address();
        vault.share_mint = *self.share_mint.address();
        vault.id = id;
        vault.seq = 1;
        vault.created_at = now;
        vault.cooldown_secs = cooldown_secs;
        vault.waiting_secs = params.waiting_secs;
        vault.claim_grace_secs = params.claim_grace_secs;
        vault.bucket_secs = params.bucket_secs;
        vault.exit_secs = params.exit_secs;
        vault.season_secs = params.season_secs;
        vault.leaving_index = WHOLE_INDEX;
        vault.accrued_at = now;
        vault.terms = terms;
        vault.next_terms = terms;
        vault.protocol_fee_bps = params.premium_fee_bps;
        vault.manager_fee_bps = manager_fee_bps;
        vault.token_program = self.collateral.token_program;
        vault.decimals = self.collateral.decimals;
        vault.bump = bump;
        vault.require_creation()?;
        Ok(VaultCreated {
            vault: *self.vault.address(),
            vault_seq: self.vault.seq,
            manager: self.vault.manager,
            id,
            mint: self.vault.mint,
            share_mint: self.vault.share_mint,
            cooldown_secs,
            waiting_secs: self.vault.waiting_secs,
            claim_grace_secs: self.vault.claim_grace_secs,
            bucket_secs: self.vault.bucket_secs,
            exit_secs: self.vault.exit_secs,
            season_secs: self.vault.season_secs,
            protocol_fee_bps: self.vault.protocol_fee_bps,
            manager_fee_bps,
            terms,
        })
    }

    fn open_tokens(&mut self) -> Result<()> {
        let (payer, vault) = (*self.manager.account(), *self.vault.address());
        token::open(
            &payer,
            &mut self.tokens,
            b"vault_tokens",
            &vault,
            &self.mint,
            self.token_program.address(),
        )?;
        token::open_mint(
            &payer,
            &mut self.share_mint,
            b"shares",
            &vault,
            self.collateral
                .decimals
                .saturating_add(math::SHARE_DECIMALS),
        )
    }
}
