//! A vault's prices and limits.

use std::array;

use anyhow::Context;
use clap::Args;
use driftshield_sdk::{VaultTerms, defaults};

use crate::{
    args::{Amount, AmountError, Duration, units_or},
    collateral::too_many_decimals,
};

/// Prices and limits of a vault. Prices are per year, in basis points of the cover.
#[derive(Args)]
pub struct TermsArgs {
    /// Smallest cover of a policy [create: 1 token]
    #[arg(long, value_name = "AMOUNT")]
    min_cover: Option<Amount>,
    /// Largest cover of a policy [create: 100000 tokens]
    #[arg(long, value_name = "AMOUNT")]
    max_cover: Option<Amount>,
    /// Shortest time from a purchase to the end of the last covered window [create: 1d]
    #[arg(long, value_name = "DURATION")]
    min_duration: Option<Duration>,
    /// Longest time from a purchase to the end of the last covered window [create: 400d]
    #[arg(long, value_name = "DURATION")]
    max_duration: Option<Duration>,
    /// Base price per year, in basis points of the cover [create: 200]
    #[arg(long, value_name = "BPS")]
    base_bps: Option<u16>,
    /// Price of utilisation at the kink; proportionally less below it [create: 400]
    #[arg(long, value_name = "BPS")]
    slope1_bps: Option<u16>,
    /// Additional price of utilisation at 100%; proportionally less down to the kink [create: 6000]
    #[arg(long, value_name = "BPS")]
    slope2_bps: Option<u16>,
    /// Utilisation above which the price rises by slope 2, 1 to 9999 [create: 8000]
    #[arg(long, value_name = "BPS")]
    kink_bps: Option<u16>,
    /// Price of risk for a drift at the trigger; proportionally less below it [create: 1000]
    #[arg(long, value_name = "BPS")]
    risk_slope_bps: Option<u16>,
    /// Parts of the price of risk for a persistence of 1 to 4, in basis points: 10000 first, and not
    /// rising [create: 10000,9000,8000,7000]
    #[arg(long, value_name = "BPS", value_delimiter = ',', num_args = 4)]
    persistence_bps: Option<Vec<u16>>,
    /// Largest part of the capital that policies may lock [create: 9000]
    #[arg(long, value_name = "BPS")]
    max_utilisation_bps: Option<u16>,
    /// Part of the unused premium that is kept when a policy is cancelled [create: 1000]
    #[arg(long, value_name = "BPS")]
    cancel_fee_bps: Option<u16>,
}

impl TermsArgs {
    /// `base`, changed by the options that are given.
    pub fn apply_to(&self, base: VaultTerms, decimals: u8) -> Result<VaultTerms, AmountError> {
        let secs = |given: Option<Duration>, base| given.map_or(base, |Duration(secs)| secs);
        Ok(VaultTerms {
            min_cover: units_or(&self.min_cover, base.min_cover, decimals)?,
            max_cover: units_or(&self.max_cover, base.max_cover, decimals)?,
            min_duration_secs: secs(self.min_duration, base.min_duration_secs),
            max_duration_secs: secs(self.max_duration, base.max_duration_secs),
            base_bps: self.base_bps.unwrap_or(base.base_bps),
            slope1_bps: self.slope1_bps.unwrap_or(base.slope1_bps),
            slope2_bps: self.slope2_bps.unwrap_or(base.slope2_bps),
            kink_bps: self.kink_bps.unwrap_or(base.kink_bps),
            risk_slope_bps: self.risk_slope_bps.unwrap_or(base.risk_slope_bps),
            persistence_bps: match &self.persistence_bps {
                Some(parts) => array::from_fn(|index| parts[index]), // four, see the argument
                None => base.persistence_bps,
            },
            max_utilisation_bps: self.max_utilisation_bps.unwrap_or(base.max_utilisation_bps),
            cancel_fee_bps: self.cancel_fee_bps.unwrap_or(base.cancel_fee_bps),
            ..base
        })
    }
}

/// Defaults of `create`. Fails if one token exceeds 64 bits.
pub fn default_terms(decimals: u8) -> anyhow::Result<VaultTerms> {
    defaults::vault_terms(decimals).with_context(|| too_many_decimals(decimals))
}
