use anchor_lang::prelude::*;
use anchor_spl::{
    token,
    token_interface::{Mint, TokenAccount, TokenInterface},
};

use crate::{Collateral, CollateralRegistered, CollateralTerms, Config, DriftShieldError};

#[event_cpi]
#[derive(Accounts)]
pub struct RegisterCollateral {
    #[account(mut, address = config.admin @ DriftShieldError::NotAdmin)]
    pub admin: Signer,
    pub config: Account<Config>,
    pub mint: InterfaceAccount<Mint>,
    #[account(
        init,
        payer = admin,
        seeds = [b"collateral", mint.address().as_ref()],
        bump
    )]
    pub collateral: Account<Collateral>,
    #[account(
        init,
        payer = admin,
        seeds = [b"treasury", collateral.address().as_ref()],
        bump,
        token::mint = mint,
        token::authority = collateral,
        token::token_program = token_program
    )]
    pub treasury: InterfaceAccount<TokenAccount>,
    pub token_program: Interface<'static, TokenInterface>,
    pub system_program: Program<System>,
}

impl RegisterCollateral {
    pub fn register_collateral(
        &mut self,
        terms: CollateralTerms,
        accepts_freeze: bool,
        bump: u8,
    ) -> Result<CollateralRegistered> {
        require!(
            self.mint.account().owned_by(&token::ID) && *self.token_program.address() == token::ID,
            DriftShieldError::UnsupportedMint
        );
        require!(
            accepts_freeze || self.mint.freeze_authority().is_none(),
            DriftShieldError::FreezeAuthorityNotAccepted
        );
        terms.validate()?;
        *self.collateral = Collateral {
            mint: *self.mint.address(),
            token_program: *self.token_program.address(),
            treasury: *self.treasury.address(),
            seq: 1,
            terms,
            decimals: self.mint.decimals(),
            accepts_freeze: accepts_freeze.into(),
            enabled: true.into(),
            bump,
            reserved: [0; 4],
        };
        Ok(CollateralRegistered {
            collateral: *self.collateral.address(),
            collateral_seq: self.collateral.seq,
            mint: self.collateral.mint,
            token_program: self.collateral.token_program,
            treasury: self.collateral.treasury,
            decimals: self.collateral.decimals,
            accepts_freeze,
            terms,
        })
    }
}
