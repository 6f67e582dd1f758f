//! Premiums and payouts of policies.

use crate::{BPS, mul_div};

/// Seconds of a year, the period of annual rates.
pub const YEAR_SECS: u64 = 365 * 24 * 60 * 60;
/// Fraction bits of costs, which are computed in 2⁻³² base units.
const SCALE_BITS: u32 = 32;

/// A vault's annual rate as a function of its utilisation, in bps.
///
/// `curve(u) = u ≤ kink ? slope1 · u / kink : slope1 + slope2 · (u − kink) / (1 − kink)`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Curve {
    pub slope1_bps: u16,
    pub slope2_bps: u16,
    /// Above 0 and below 10 000.
    pub kink_bps: u16,
}

impl Curve {
    /// Returns `assets · ∫ curve(u) du` from 0 to `locked / assets`: the annual cost of the first
    /// `locked` base units of cover, in bps of 2⁻³² of a base unit.
    ///
    /// With x = locked, A = assets and k = kink, the integral is
    ///
    /// - up to the kink `slope1 · x² / (2 · A · k)`,
    /// - beyond it `slope1 · (x − A·k/2) + slope2 · (x²/A − 2·k·x + k²·A) / (2 · (1 − k))`.
    ///
    /// `locked` is at most `assets`, which is above 0. All intermediate results are below 2¹²⁷.
    fn integral(&self, locked: u64, assets: u64) -> u128 {
        let (slope1, slope2) = (u128::from(self.slope1_bps), u128::from(self.slope2_bps));
        let (kink, bps) = (u128::from(self.kink_bps), u128::from(BPS));
        let (x, a) = (u128::from(locked), u128::from(assets));
        let square = x * x;
        let square = ((square / a) << SCALE_BITS) + ((square % a) << SCALE_BITS) / a; // x²/A
        if x * bps <= a * kink {
            return slope1 * bps * square / (2 * kink);
        }
        let first = slope1 * ((x << SCALE_BITS) - ((a * kink) << SCALE_BITS) / (2 * bps));
        let above = (bps * square + ((kink * kink * a) << SCALE_BITS) / bps)
            .saturating_sub((2 * kink * x) << SCALE_BITS); // negative only by rounding, at the kink
        first + slope2 * above / (2 * (bps - kink))
    }
}

/// Inputs of a premium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Premium {
    pub cover: u64,
    pub base_bps: u16,
    pub curve: Curve,
    pub risk_slope_bps: u16,
    /// Current drift of the model, in the unit of `trigger`.
    pub drift: u64,
    /// Above 0.
    pub trigger: u64,
    /// The vault's capital, at least `locked + cover` and above 0.
    pub assets: u64,
    /// Locked capital before the purchase.
    pub locked: u64,
    pub duration_secs: u64,
}

impl Premium {
    /// Returns the premium,
    /// `⌈cover · (base + utilisation + risk) · duration / (10 000 · 365 days)⌉` and at least 1.
    /// `utilisation` is the mean of the curve from `locked` to `locked + cover`, and
    /// `risk = risk_slope · min(1, drift / trigger)`.
    ///
    /// The sum before rounding up is within 2⁻¹⁶ of a base unit per year of the exact one, and is
    /// the same however a purchase is split. `None` if the premium doesn't fit 64 bits.
    ///
    /// ```
    /// use driftshield_math::{Curve, Premium, YEAR_SECS};
    /// let premium = Premium {
    ///     cover: 400_000,
    ///     base_bps: 100,
    ///     curve: Curve { slope1_bps: 400, slope2_bps: 6_000, kink_bps: 8_000 },
    ///     risk_slope_bps: 1_000,
    ///     drift: 50_000,
    ///     trigger: 200_000,
    ///     assets: 1_000_000,
    ///     locked: 0,
    ///     duration_secs: YEAR_SECS,
    /// };
    /// // 1% base, 1% as the mean from 0 to 40% utilisation, 2.5% for a quarter of the trigger.
    /// assert_eq!(premium.charge(), Some(18_000));
    /// ```
    pub fn charge(&self) -> Option<u64> {
        let cover = u128::from(self.cover);
        let locked = self.locked + self.cover; // at most the assets
        let utilisation = self
            .curve
            .integral(locked, self.assets)
            .saturating_sub(self.curve.integral(self.locked, self.assets));
        let base = (cover * u128::from(self.base_bps)) << SCALE_BITS;
        let annual = base + utilisation + self.risk()?; // below 2⁹⁸, in bps

        // annual · duration / year, split into quotient and remainder so that both products fit.
        let year = u128::from(BPS) * u128::from(YEAR_SECS);
        let duration = u128::from(self.duration_secs);
        let rest = annual % year * duration;
        let scaled = annual / year * duration + rest / year;
        let exact = rest.is_multiple_of(year) && scaled.is_multiple_of(1 << SCALE_BITS);
        let premium = (scaled >> SCALE_BITS) + u128::from(!exact);
        u64::try_from(premium.max(1)).ok()
    }

    /// Returns `cover · risk_slope · min(1, drift / trigger)`, scaled, in bps.
    fn risk(&self) -> Option<u128> {
        let trigger = u128::from(self.trigger);
        let drift = u128::from(self.drift).min(trigger);
        let slope = u128::from(self.cover) * u128::from(self.risk_slope_bps); // below 2⁸⁰
        let product = slope.checked_mul(drift)?; // drift is far below 2⁴⁸
        Some(((product / trigger) << SCALE_BITS) + ((product % trigger) << SCALE_BITS) / trigger)
    }
}

/// Returns what a policy of `cover` is worth at a drift of `value`, which is at or above `trigger`:
/// `cover · min(1, (value − trigger) / (exhaustion − trigger))`, rounded down, at least 1. All of
/// `cover` if `exhaustion` equals `trigger`.
///
/// ```
/// assert_eq!(driftshield_math::worth(1_000, 200, 600, 300), 250);
/// assert_eq!(driftshield_math::worth(1_000, 200, 200, 200), 1_000);
/// ```
pub fn worth(cover: u64, trigger: u64, exhaustion: u64, value: u64) -> u64 {
    if exhaustion <= value {
        return cover;
    }
    mul_div(cover, value.saturating_sub(trigger), exhaustion - trigger)
        .unwrap_or(cover) // unreachable: the fraction is below 1
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURVE: Curve = Curve {
        slope1_bps: 400,
        slope2_bps: 6_000,
        kink_bps: 8_000,
    };

    fn premium(cover: u64, locked: u64) -> Premium {
        Premium {
            cover,
            base_bps: 50,
            curve: CURVE,
            risk_slope_bps: 700,
            drift: 13,
            trigger: 39,
            assets: 1_000_000_000,
            locked,
            duration_secs: YEAR_SECS / 3,
        }
    }

    #[test]
    fn beyond_the_kink_both_slopes_are_charged() {
        // Given a year, no other cost, and cover of the whole capital
        let whole = Premium {
            base_bps: 0,
            risk_slope_bps: 0,
            duration_secs: YEAR_SECS,
            ..premium(1_000_000_000, 0)
        };
        // 80% at a mean of 2%, and 20% at 4% plus half of 60%.
        assert_eq!(whole.charge(), Some(16_000_000 + 8_000_000 + 60_000_000));
    }

    #[test]
    fn a_split_purchase_costs_the_same_except_for_rounding() {
        let whole = premium(900_000_000, 50_000_000).charge().unwrap();
        let parts: u64 = (0..100)
            .map(|part| {
                premium(9_000_000, 50_000_000 + part * 9_000_000)
                    .charge()
                    .unwrap()
            })
            .sum();
        assert!((whole..=whole + 100).contains(&parts), "{whole} {parts}");
    }

    #[test]
    fn the_largest_numbers_fit_or_are_none() {
        let largest = Premium {
            cover: u64::MAX,
            base_bps: u16::MAX,
            curve: Curve {
                slope1_bps: u16::MAX,
                slope2_bps: u16::MAX,
                kink_bps: 9_999,
            },
            risk_slope_bps: u16::MAX,
            drift: 100_000_000,
            trigger: u64::MAX,
            assets: u64::MAX,
            locked: 0,
            duration_secs: 400 * 24 * 60 * 60,
        };
        assert_eq!(largest.charge(), None);
        for kink_bps in [1, 5_000, 9_999] {
            let curve = Curve {
                kink_bps,
                ..largest.curve
            };
            let short = Premium {
                curve,
                duration_secs: 1_000_000,
                ..largest
            };
            assert!(short.charge().is_some());
        }
    }

    #[test]
    fn a_drift_beyond_all_metrics_is_none() {
        let beyond = Premium {
            risk_slope_bps: u16::MAX,
            drift: u64::MAX,
            trigger: u64::MAX,
            ..premium(u64::MAX, 0)
        };
        assert_eq!(beyond.risk(), None);
    }

    #[test]
    fn a_premium_is_at_least_one_base_unit() {
        let least = Premium {
            cover: 1,
            base_bps: 0,
            risk_slope_bps: 0,
            duration_secs: 1,
            ..premium(1, 0)
        };
        assert_eq!(least.charge(), Some(1));
    }

    #[test]
    fn a_policy_is_worth_at_least_one_base_unit_and_at_most_its_cover() {
        assert_eq!(worth(1_000, 200, 600, 200), 1);
        assert_eq!(worth(1_000, 200, 600, 599), 997);
        assert_eq!(worth(1_000, 200, 600, 600), 1_000);
        assert_eq!(worth(1_000, 200, 600, u64::MAX), 1_000);
        assert_eq!(worth(u64::MAX, 0, u64::MAX, u64::MAX - 1), u64::MAX - 1);
    }
}
