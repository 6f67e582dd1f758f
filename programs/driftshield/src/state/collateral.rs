use anchor_lang::{bytemuck, prelude::*};

use crate::{
    token::{MintProfile, PodTokenProgram},
    DriftShieldError,
};

/// A token that markets, cover and bonds may settle in.
///
/// Address: PDA of `["collateral", mint]`.
#[account]
pub struct Collateral {
    pub mint: Address,
    /// Token account that the protocol's part goes to: PDA of `["treasury", collateral]`.
    pub treasury: Address,
    /// Number of events that spoke of this account.
    pub seq: u64,
    pub terms: CollateralTerms,
    /// Token-2022 extensions of the mint when it was accepted: bits by Token-2022's numbers of the
    /// types.
    pub extensions: u32,
    /// The token program of the mint when it was accepted.
    pub token_program: PodTokenProgram,
    /// The mint's decimals when it was accepted.
    pub decimals: u8,
    /// Whether the admin accepted a mint that has a freeze authority.
    pub accepts_freeze: PodBool,
    /// Whether new risk may be taken in this token.
    pub enabled: PodBool,
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Collateral>() == 2 * 32 + 8 + 32 + 16);

/// Amounts in base units of the mint. New models copy them but for `min_bet`, which holds for every
/// bet from when it is set.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    AnchorSerialize,
    AnchorDeserialize,
    IdlType,
    bytemuck::Pod,
    bytemuck::Zeroable,
)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
#[repr(C)]
pub struct CollateralTerms {
    /// Smallest bet, at least 1.
    pub min_bet: u64,
    /// Smallest bond with which a seat counts, at least `slash_amount`.
    pub min_bond: u64,
    /// What an oracle loses when a ruling proves it wrong, at least 2.
    pub slash_amount: u64,
    /// What a challenger puts up, at least 1.
    pub challenge_bond: u64,
}

impl CollateralTerms {
    pub fn validate(&self) -> Result<()> {
        require!(
            1 <= self.min_bet
                && 2 <= self.slash_amount
                && self.slash_amount <= self.min_bond
                && 1 <= self.challenge_bond,
            DriftShieldError::InvalidCollateralTerms
        );
        Ok(())
    }
}

impl Collateral {
    pub fn require_enabled(&self) -> Result<()> {
        require!(self.enabled.get(), DriftShieldError::CollateralDisabled);
        Ok(())
    }

    /// Refuses money in a mint that is no longer what was accepted. Metadata may have been added
    /// and a freeze authority given up since.
    #[inline(never)] // one copy keeps the binary small
    pub fn require_accepted(&self, mint: &AccountView) -> Result<()> {
        let profile = MintProfile::read(mint).map_err(|_| DriftShieldError::MintChanged)?;
        require!(
            self.token_program == profile.program
                && self.decimals == profile.decimals
                && self.extensions & !profile.extensions == 0
                && (self.accepts_freeze.get() || !profile.has_freeze_authority),
            DriftShieldError::MintChanged
        );
        Ok(())
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next(&mut self.seq)
    }

    /// Seeds with which the program signs for the collateral, owner of its treasury.
    pub fn signer_seeds(&self) -> [&[u8]; 3] {
        [
            b"collateral",
            self.mint.as_ref(),
            core::slice::from_ref(&self.bump),
        ]
    }
}
