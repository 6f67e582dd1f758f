use anchor_lang::prelude::*;

use crate::math;

/// How a window's drift is computed from its counts.
#[pod_wrapper]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum Metric {
    /// Population stability index: Σ (q − p) · ln(q / p).
    Psi = 0,
    /// Square root of the Jensen-Shannon divergence to base 2, in [0, 1].
    JensenShannon = 1,
    /// Largest absolute difference of the cumulative shares.
    KolmogorovSmirnov = 2,
    /// ½ Σ abs(q − p).
    TotalVariation = 3,
    /// Share of wrong predictions (bin 1 of 2) less the reference's, at least 0.
    ErrorRate = 4,
}

/// The metric as the argument of [`math::drift`] and [`math::noise_floor`].
impl From<Metric> for math::Metric {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Psi => Self::Psi,
            Metric::JensenShannon => Self::JensenShannon,
            Metric::KolmogorovSmirnov => Self::KolmogorovSmirnov,
            Metric::TotalVariation => Self::TotalVariation,
            Metric::ErrorRate => Self::ErrorRate,
        }
    }
}
