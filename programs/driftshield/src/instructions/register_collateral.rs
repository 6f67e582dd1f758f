use anchor_lang::prelude::*;
use anchor_spl::token_interface::TokenInterface;

use crate::{
    token::{self, MintProfile},
    Account, Collateral, CollateralRegistered, CollateralTerms, Config, DriftShieldError,
};

#[event_cpi]
#[derive(Accounts)]
pub struct RegisterCollateral {
    #[account(mut, address = config.admin @ DriftShieldError::NotAdmin)]
    pub admin: Signer,
    pub config: Account<Config>,
    /// Validated by `MintProfile`.
    pub mint: UncheckedAccount,
    #[account(
        init,
        payer = admin,
        seeds = [b"collateral", mint.address().as_ref()],
        bump
    )]
    pub collateral: Account<Collateral>,
    /// Token account of the protocol's earnings. Created here: PDA of `["treasury", collateral]`.
    #[account(mut)]
    pub treasury: UncheckedAccount,
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
        let profile = MintProfile::read(self.mint.account())?;
        require!(
            accepts_freeze || !profile.has_freeze_authority,
            DriftShieldError::FreezeAuthorityNotAccepted
        );
        terms.validate()?;
        token::open(
            self.admin.account(),
            &mut self.treasury,
            b"treasury",
            self.collateral.address(),
            &self.mint,
            self.token_program.address(),
        )?;
        *self.collateral = Collateral {
            mint: *self.mint.address(),
            treasury: *self.treasury.address(),
            seq: 1,
            terms,
            extensions: profile.extensions,
            token_program: profile.program.into(),
            decimals: profile.decimals,
            accepts_freeze: accepts_freeze.into(),
            enabled: true.into(),
            bump,
            reserved: [0; 7],
        };
        Ok(CollateralRegistered {
            collateral: *self.collateral.address(),
            collateral_seq: self.collateral.seq,
            mint: self.collateral.mint,
            token_program: profile.program,
            extensions: profile.extensions,
            treasury: self.collateral.treasury,
            decimals: self.collateral.decimals,
            accepts_freeze,
            terms,
        })
    }
}
