//! Terms of a vault: prices and limits of the cover that it sells.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    rows::Token,
    values::{Scaled, U64, from_decimal_string},
};

/// Prices and limits of the cover that a vault sells. Rates are annual.
#[derive(Serialize, ToSchema)]
pub struct VaultTerms {
    /// Minimum cover of a policy.
    pub min_cover: Scaled,
    /// Maximum cover of a policy.
    pub max_cover: Scaled,
    /// Minimum duration of a policy, from the purchase to the end of the last window.
    pub min_duration_secs: i64,
    /// Maximum duration of a policy, from the purchase to the end of the last window.
    pub max_duration_secs: i64,
    /// Base rate, independent of utilisation and drift.
    pub base_bps: u16,
    /// Rate added when utilisation reaches the kink. Below the kink it grows linearly from 0.
    pub slope1_bps: u16,
    /// Rate added on top of `slope1_bps` at full utilisation. Above the kink it grows linearly from
    /// 0.
    pub slope2_bps: u16,
    /// Utilisation at which the slope changes.
    pub kink_bps: u16,
    /// Rate added when the model's drift reaches the policy's trigger. Below the trigger it grows
    /// linearly with drift.
    pub risk_slope_bps: u16,
    /// Part of that rate that a policy pays, by its persistence from 1 to 4.
    pub persistence_bps: [u16; 4],
    /// Maximum part of the capital that policies may lock.
    pub max_utilisation_bps: u16,
    /// Part of a cancelled policy's unused premium that the vault keeps.
    pub cancel_fee_bps: u16,
}

/// JSON form of the terms in the mirror: u64 and i64 as decimal strings.
#[derive(Deserialize)]
pub struct MirroredTerms {
    min_cover: U64,
    max_cover: U64,
    #[serde(deserialize_with = "from_decimal_string")]
    min_duration_secs: i64,
    #[serde(deserialize_with = "from_decimal_string")]
    max_duration_secs: i64,
    base_bps: u16,
    slope1_bps: u16,
    slope2_bps: u16,
    kink_bps: u16,
    risk_slope_bps: u16,
    persistence_bps: [u16; 4],
    max_utilisation_bps: u16,
    cancel_fee_bps: u16,
}

impl VaultTerms {
    pub fn new(terms: MirroredTerms, token: Token) -> Self {
        Self {
            min_cover: token.amount(terms.min_cover),
            max_cover: token.amount(terms.max_cover),
            min_duration_secs: terms.min_duration_secs,
            max_duration_secs: terms.max_duration_secs,
            base_bps: terms.base_bps,
            slope1_bps: terms.slope1_bps,
            slope2_bps: terms.slope2_bps,
            kink_bps: terms.kink_bps,
            risk_slope_bps: terms.risk_slope_bps,
            persistence_bps: terms.persistence_bps,
            max_utilisation_bps: terms.max_utilisation_bps,
            cancel_fee_bps: terms.cancel_fee_bps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_deserialise_from_the_mirror() {
        let terms: MirroredTerms = serde_json::from_str(
            r#"{"min_cover":"1","max_cover":"18446744073709551615","min_duration_secs":"1",
                "max_duration_secs":"34560000","base_bps":100,"slope1_bps":200,"slope2_bps":3000,
                "kink_bps":8000,"risk_slope_bps":500,"persistence_bps":[10000,9000,8000,7000],
                "max_utilisation_bps":9000,"cancel_fee_bps":0}"#,
        )
        .unwrap();
        assert_eq!(terms.max_cover, U64(u64::MAX));
        assert_eq!(terms.max_duration_secs, 34_560_000);
    }
}
