//! How a model measures drift.

use anchor_lang::prelude::*;

use crate::{math, DriftShieldError, Metric, MAX_BINS};

/// Fewest rows expected in the reference's rarest bin, in a window of `min_samples` rows.
pub const MIN_EXPECTED_ROWS: u64 = 50;
/// The noise floor is at least this multiple of `max_spread`. Submissions that agree then differ by
/// little, compared with every threshold and trigger.
pub const SPREADS_IN_NOISE_FLOOR: u64 = 8;

/// How a model's drift is measured. The spec never changes.
#[derive(Clone, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct MetricSpec {
    pub metric: Metric,
    /// Rows of the reference by bin, 2 to 16 bins.
    pub reference: Vec<u32>,
    /// Fewest rows from which a value is computed. Counts with fewer rows are thin.
    pub min_samples: u64,
    /// SHA-256 of the metric-spec document: feature or score, bin edges, rule for missing values.
    pub spec_hash: [u8; 32],
    /// Unix time at which window 0 begins.
    pub genesis: i64,
    /// Length of a window in seconds.
    pub window_secs: i64,
}

impl MetricSpec {
    /// Refuses an invalid number of bins, and too few rows for a sound value.
    pub fn validate(&self) -> Result<()> {
        let bins = self.reference.len();
        let two = self.metric == Metric::ErrorRate;
        require!(
            (2..=MAX_BINS).contains(&bins) && (!two || bins == 2),
            DriftShieldError::InvalidBins
        );
        let rows: u64 = self.reference.iter().map(|&count| u64::from(count)).sum();
        require!(
            1 <= self.min_samples && self.min_samples <= rows,
            DriftShieldError::ReferenceTooSmall
        );
        let rarest = self.reference.iter().copied().min().unwrap_or(0);
        let expected = u128::from(self.min_samples) * u128::from(rarest);
        require!(
            two || u128::from(MIN_EXPECTED_ROWS) * u128::from(rows) <= expected,
            DriftShieldError::SparseReference
        );
        Ok(())
    }

    /// Returns the noise floor of a valid spec, in micro-units: the lowest allowed threshold of a
    /// market and trigger of a policy.
    pub fn noise_floor(&self) -> u64 {
        let window_secs = self.window_secs.max(1) as u64;
        math::noise_floor(
            self.metric.into(),
            &self.reference,
            self.min_samples,
            window_secs,
        )
    }

    /// Returns the largest `max_spread` that a model with this spec may have, rounded down.
    pub fn widest_spread(&self) -> u64 {
        self.noise_floor() / SPREADS_IN_NOISE_FLOOR
    }
}
