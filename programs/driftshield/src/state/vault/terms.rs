use anchor_lang::{bytemuck, prelude::*};

use crate::{
    math::{Curve, BPS, MAX_PERSISTENCE},
    DriftShieldError,
};

/// Smallest `max_utilisation_bps` of a vault.
const MIN_MAX_UTILISATION_BPS: u16 = 5_000;

/// How a vault prices cover, and limits of the cover that it sells. Rates are annual, in bps.
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
pub struct VaultTerms {
    /// Smallest cover of a policy, in base units, at least 1.
    pub min_cover: u64,
    /// Largest cover of a policy, in base units, at least `min_cover`.
    pub max_cover: u64,
    /// Shortest paid duration in seconds, at least 1: from the purchase, or the end of the renewed
    /// term, to the end of the last window.
    pub min_duration_secs: i64,
    /// Longest paid duration in seconds, at least `min_duration_secs`.
    pub max_duration_secs: i64,
    /// Rate that is charged at any utilisation and drift.
    pub base_bps: u16,
    /// Rate added at the kink, in proportion below it.
    pub slope1_bps: u16,
    /// Rate added at full utilisation on top of `slope1_bps`, in proportion above the kink.
    pub slope2_bps: u16,
    /// Utilisation at which the slope changes, above 0 and below 10 000.
    pub kink_bps: u16,
    /// Rate added if the model's drift is at the trigger, in proportion below it. Policies with a
    /// ramp or persistence pay a part of it.
    pub risk_slope_bps: u16,
    /// Part of the risk rate that a policy pays, in bps, by its persistence from 1 to 4: 10 000 for
    /// 1, and not rising.
    pub persistence_bps: [u16; MAX_PERSISTENCE as usize],
    /// Largest part of the capital that cover may lock, 5 000 to 10 000. The lower bound limits how
    /// much capital cover can hold back from liquidity providers who leave: at most twice the
    /// cover. For a purchase, capital that is requested for withdrawal or reserved doesn't
    /// count.
    pub max_utilisation_bps: u16,
    /// Part of a cancelled policy's unused premium that the vault keeps, at most 10 000.
    pub cancel_fee_bps: u16,
    pub reserved: [u8; 2],
}

impl VaultTerms {
    pub fn validate(&self) -> Result<()> {
        let whole = BPS as u16;
        require!(
            1 <= self.min_cover
                && self.min_cover <= self.max_cover
                && 1 <= self.min_duration_secs
                && self.min_duration_secs <= self.max_duration_secs
                && (1..whole).contains(&self.kink_bps)
                && (MIN_MAX_UTILISATION_BPS..=whole).contains(&self.max_utilisation_bps)
                && self.cancel_fee_bps <= whole
                && self.persistence_bps[0] == whole
                && self.persistence_bps.is_sorted_by(|one, more| more <= one)
                && self.reserved == [0; 2],
            DriftShieldError::InvalidVaultTerms
        );
        Ok(())
    }

    pub fn curve(&self) -> Curve {
        Curve {
            slope1_bps: self.slope1_bps,
            slope2_bps: self.slope2_bps,
            kink_bps: self.kink_bps,
        }
    }
}
