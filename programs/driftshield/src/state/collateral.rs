use anchor_lang::{bytemuck, prelude::*};

use crate::{
    token::{MintProfile, PodTokenProgram},
    DriftShieldError,
};

/// A token that bonds, markets and vaults accept.
///
/// Address: PDA of `["collateral", mint]`.
#[account]
pub struct Collateral {
    pub mint: Address,
    /// Token account of the protocol's earnings: PDA of `["treasury", collateral]`.
    pub treasury: Address,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    pub terms: CollateralTerms,
    /// The mint's Token-2022 extensions at registration: bit `n` is set for extension type `n`.
    pub extensions: u32,
    /// The mint's token program at registration.
    pub token_program: PodTokenProgram,
    /// The mint's decimals at registration.
    pub decimals: u8,
    /// Whether the admin accepted that the mint has a freeze authority.
    pub accepts_freeze: PodBool,
    /// Whether new risk may be taken in this token.
    pub enabled: PodBool,
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Collateral>() == 2 * 32 + 8 + 40 + 16);

/// Amounts of a collateral, in base units of the mint. New models copy all but `min_bet`, which
/// applies to every bet as soon as it is set.
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
    /// Bond from which a seat counts, at least twice `slash_amount`. A seat goes on counting down to
    /// half of it, so one slash doesn't end it.
    pub min_bond: u64,
    /// Amount that an oracle loses when a ruling proves it wrong, or its whole bond if that is
    /// less. At least 2.
    pub slash_amount: u64,
    /// Bond that a challenger puts up, at least 1.
    pub challenge_bond: u64,
    /// Amount that an oracle loses for each window for which it owed a submission and was silent, at
    /// most a sixteenth of `slash_amount`.
    pub absence_penalty: u64,
}

impl CollateralTerms {
    pub fn validate(&self) -> Result<()> {
        require!(
            1 <= self.min_bet
                && 2 <= self.slash_amount
                && self.slash_amount <= self.min_bond / 2
                && 1 <= self.challenge_bond
                && self.absence_penalty <= self.slash_amount / 16, // rounded down
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

    /// Refuses payments in a mint that no longer matches its registration. Since registration, the
    /// mint may have gained allowed extensions and given up its freeze authority.
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
        super::next_seq(&mut self.seq)
    }

    /// Returns the seeds that sign for the collateral, the owner of its treasury.
    pub fn signer_seeds(&self) -> [&[u8]; 3] {
        [
            b"collateral",
            self.mint.as_ref(),
            core::slice::from_ref(&self.bump),
        ]
    }
}
