//! Settings and terms that runs start from.

use driftshield_sdk::{
    Address, CollateralTerms, ConfigParams, Metric, MetricSpec, ModelTerms, VaultTerms,
};

use crate::world::{DAY, HOUR};

pub const MINUTE: i64 = 60;
/// The cooldown of vaults: longer than two windows of an hour and their dispute.
pub const COOLDOWN: i64 = 4 * HOUR;

/// Short periods, so that every account completes its life cycle within a day.
pub fn params() -> ConfigParams {
    ConfigParams {
        submit_secs: 30 * MINUTE,
        challenge_secs: 20 * MINUTE,
        ruling_secs: 30 * MINUTE,
        appeal_secs: 30 * MINUTE,
        unbond_secs: 2 * HOUR,
        leave_secs: 3 * HOUR,
        replace_secs: 2 * HOUR,
        retention_secs: 521 * DAY,
        claim_grace_secs: HOUR,
        waiting_secs: HOUR + 30 * MINUTE, // a window of an hour, and its submissions
        exit_secs: 3 * HOUR,
        season_secs: DAY,
        bucket_secs: 12 * HOUR,
        min_window_secs: MINUTE,
        max_window_secs: DAY,
        max_spread_limit: 1_000_000,
        security_multiple: 6, // half of it for each budget
        min_security_rent_bps: 1,
        max_security_rent_bps: 5_000,
        protocol_fee_bps: 200,
        premium_fee_bps: 500,
    }
}

/// Terms for a collateral if each actor starts with `wealth` base units of it.
pub fn collateral_terms(wealth: u64) -> CollateralTerms {
    CollateralTerms {
        min_bet: wealth / 100_000_000,
        min_bond: wealth / 50,
        slash_amount: wealth / 100,
        challenge_bond: wealth / 10_000 + 1,
        absence_penalty: wealth / 10_000,
    }
}

pub fn vault_terms(max_utilisation_bps: u16) -> VaultTerms {
    VaultTerms {
        min_cover: 1,
        max_cover: u64::MAX,
        min_duration_secs: MINUTE,
        max_duration_secs: 400 * DAY,
        base_bps: 100,
        slope1_bps: 400,
        slope2_bps: 6_000,
        kink_bps: 8_000,
        risk_slope_bps: 1_000,
        persistence_bps: [10_000, 9_000, 8_000, 7_000],
        max_utilisation_bps,
        cancel_fee_bps: 1_000,
        reserved: [0; 2],
    }
}

/// A quorum of more than half, and a spread that every [`spec`] allows.
pub fn model_terms(oracles: Vec<Address>) -> ModelTerms {
    ModelTerms {
        quorum: (oracles.len() / 2 + 1) as u8,
        oracles,
        max_spread: 600,
        security_rent_bps: 200,
        market_budget_bps: 5_000,
        cover_budget_bps: 5_000,
        name: "soaked".into(),
        uri: "https://models.example/soaked".into(),
        metadata_hash: [1; 32],
        artifact_hash: [2; 32],
    }
}

/// A flat reference, or for an error rate one without errors.
pub fn spec(metric: Metric, genesis: i64, window_secs: i64) -> MetricSpec {
    MetricSpec {
        metric,
        reference: match metric {
            Metric::ErrorRate => vec![1_000_000, 0],
            _ => vec![10_000; 10],
        },
        min_samples: 1_000,
        spec_hash: [7; 32],
        genesis,
        window_secs,
    }
}
