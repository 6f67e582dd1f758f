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
    /// Returns `assets · ∫ curve(min(u, 1)) du` from 0 to `locked / assets`: the annual cost of the
    /// first `locked` base units of cover, in bps of 2⁻³² of a base unit. Every division rounds up
    /// if `up`, else down.
    ///
    /// With x = min(locked, assets), A = assets and k = kink, the integral is
    ///
    /// - up to the kink `slope1 · x² / (2 · A · k)`,
    /// - beyond it `slope1 · (x − A·k/2) + slope2 · (x²/A − 2·k·x + k²·A) / (2 · (1 − k))`,
    /// - and `slope1 + slope2` for each base unit beyond `assets`.
    ///
    /// All intermediate results are below 2¹²⁷.
    fn integral(&self, locked: u64, assets: u64, up: bool) -> u128 {
        let divide = |number: u128, by: u128| (number + if up { by - 1 } else { 0 }) / by;
        let (slope1, slope2) = (u128::from(self.slope1_bps), u128::from(self.slope2_bps));
        let (kink, bps) = (u128::from(self.kink_bps), u128::from(BPS));
        let (x, a) = (u128::from(locked.min(assets)), u128::from(assets));
        let full = (u128::from(locked - locked.min(assets)) * (slope1 + slope2)) << SCALE_BITS;
        if a == 0 {
            return full;
        }
        let (whole, rest) = (x * x / a, x * x % a);
        let square = (whole << SCALE_BITS) + divide(rest << SCALE_BITS, a); // x²/A
        if x * bps <= a * kink {
            return full + divide(slope1 * bps * square, 2 * kink);
        }
        // A part that is subtracted is rounded the other way.
        let below = |number: u128, by: u128| (number + if up { 0 } else { by - 1 }) / by;
        let first = slope1 * ((x << SCALE_BITS) - below((a * kink) << SCALE_BITS, 2 * bps));
        let above = (bps * square + divide((kink * kink * a) << SCALE_BITS, bps))
            .saturating_sub((2 * kink * x) << SCALE_BITS); // negative only by rounding, at the kink
        full + first + divide(slope2 * above, 2 * (bps - kink))
    }
}

/// Inputs of a premium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Premium {
    pub cover: u64,
    pub base_bps: u16,
    pub curve: Curve,
    pub risk_slope_bps: u16,
    /// Part of the risk that is charged for the policy's persistence, in bps, at most 10 000.
    pub persistence_bps: u16,
    /// Current drift of the model, in the unit of `trigger`.
    pub drift: u64,
    /// Above 0.
    pub trigger: u64,
    /// At least `trigger`.
    pub exhaustion: u64,
    /// The vault's seasoned capital.
    pub seasoned: u64,
    /// Locked capital before the purchase.
    pub locked: u64,
    pub duration_secs: u64,
}

impl Premium {
    /// Returns the premium,
    /// `⌈cover · (base + utilisation + risk · shape) · duration / (10 000 · 365 days)⌉` and at least
    /// 1, where
    ///
    /// - `utilisation` is the mean of the curve from `locked / seasoned` to
    ///   `(locked + cover) / seasoned`, with a utilisation of at most 1,
    /// - `risk = risk_slope · min(1, drift / trigger)`,
    /// - `shape = ½ · (1 + trigger / exhaustion) · persistence_bps / 10 000`.
    ///
    /// The sum before rounding up is never below the exact one. It is above it by at most 2⁻¹⁶ of a
    /// base unit and 2⁻⁴⁶ of the cost of risk, per year. The parts of a split purchase cost at least
    /// as much as the whole. `None` if the premium doesn't fit 64 bits.
    ///
    /// ```
    /// use driftshield_math::{Curve, Premium, YEAR_SECS};
    /// let premium = Premium {
    ///     cover: 400_000,
    ///     base_bps: 100,
    ///     curve: Curve { slope1_bps: 400, slope2_bps: 6_000, kink_bps: 8_000 },
    ///     risk_slope_bps: 1_000,
    ///     persistence_bps: 5_000,
    ///     drift: 50_000,
    ///     trigger: 200_000,
    ///     exhaustion: 400_000,
    ///     seasoned: 1_000_000,
    ///     locked: 0,
    ///     duration_secs: YEAR_SECS,
    /// };
    /// // 1% base; 1% as the mean from 0 to 40% utilisation; and 2.5% for a quarter of the trigger,
    /// // of which the ramp leaves three quarters, and the persistence half of these.
    /// assert_eq!(premium.charge(), Some(11_750));
    /// ```
    pub fn charge(&self) -> Option<u64> {
        let cover = u128::from(self.cover);
        let locked = self.locked.checked_add(self.cover)?;
        let utilisation = self
            .curve
            .integral(locked, self.seasoned, true)
            .saturating_sub(self.curve.integral(self.locked, self.seasoned, false));
        let base = (cover * u128::from(self.base_bps)) << SCALE_BITS;
        let annual = base + utilisation + self.risk(); // below 2¹¹⁵, in bps

        // annual · duration / year, split into quotient and remainder so that both products fit.
        let year = u128::from(BPS) * u128::from(YEAR_SECS);
        let duration = u128::from(self.duration_secs);
        let (whole, rest) = (annual / year, annual % year);
        let scaled = (whole.checked_mul(duration)?) + (rest * duration).div_ceil(year);
        u64::try_from(scaled.div_ceil(1 << SCALE_BITS).max(1)).ok()
    }

    /// Returns `cover · risk_slope · min(1, drift / trigger) · shape`, scaled, in bps, rounded up.
    fn risk(&self) -> u128 {
        const BITS: u32 = 48;
        if self.drift == 0 || self.risk_slope_bps == 0 {
            return 0;
        }
        let (trigger, exhaustion) = (u128::from(self.trigger), u128::from(self.exhaustion));
        // The sum is below 2⁶⁵, the factor at most 2⁴⁸.
        let shape = (((trigger + exhaustion) * u128::from(self.persistence_bps)) << BITS)
            .div_ceil(2 * exhaustion * u128::from(BPS));
        let reached = (u128::from(self.drift).min(trigger) * shape).div_ceil(trigger);
        let slope = u128::from(self.cover) * u128::from(self.risk_slope_bps); // below 2⁸⁰
        (slope * reached).div_ceil(1 << (BITS - SCALE_BITS)) // of less than 2¹²⁸
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
            persistence_bps: 10_000,
            drift: 13,
            trigger: 39,
            exhaustion: 39,
            seasoned: 1_000_000_000,
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
    fn utilisation_is_at_most_1() {
        // Given cover beyond the seasoned capital, which may even be 0, and no other cost
        let beyond = |seasoned, locked| Premium {
            base_bps: 0,
            risk_slope_bps: 0,
            duration_secs: YEAR_SECS,
            seasoned,
            ..premium(1_000_000_000, locked)
        };
        // Then what is beyond costs both slopes: 64%.
        assert_eq!(beyond(0, 0).charge(), Some(640_000_000));
        assert_eq!(beyond(1_000_000, 1_000_000).charge(), Some(640_000_000));
        // 16.8 of 20 cents of the example above on 500 million, the rest at 64%.
        assert_eq!(
            beyond(500_000_000, 0).charge(),
            Some(42_000_000 + 320_000_000)
        );
    }

    #[test]
    fn a_ramp_and_persistence_lower_the_cost_of_risk() {
        // Given a year of cover at a drift of a quarter of the trigger, and no other cost
        let cost = |exhaustion, persistence_bps| {
            let risk = Premium {
                base_bps: 0,
                curve: Curve {
                    slope1_bps: 0,
                    slope2_bps: 0,
                    kink_bps: 8_000,
                },
                persistence_bps,
                trigger: 52,
                exhaustion,
                duration_secs: YEAR_SECS,
                ..premium(600_000_000, 0)
            };
            risk.charge().unwrap()
        };
        assert_eq!(cost(52, 10_000), 10_500_000);
        assert_eq!(cost(104, 10_000), 7_875_000);
        assert_eq!(cost(104, 5_000), 3_937_500);
        assert_eq!(cost(u64::MAX, 10_000), 5_250_001);
    }

    #[test]
    fn the_parts_of_a_split_purchase_cost_at_least_the_whole() {
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
        for (seasoned, kink_bps, trigger) in [
            (u64::MAX, 1, u64::MAX),
            (u64::MAX, 5_000, 1),
            (u64::MAX - 1, 9_999, u64::MAX - 1),
            (1, 9_999, 1),
            (0, 1, 1),
        ] {
            let largest = Premium {
                cover: u64::MAX,
                base_bps: u16::MAX,
                curve: Curve {
                    slope1_bps: u16::MAX,
                    slope2_bps: u16::MAX,
                    kink_bps,
                },
                risk_slope_bps: u16::MAX,
                persistence_bps: 10_000,
                drift: u64::MAX,
                trigger,
                exhaustion: u64::MAX,
                seasoned,
                locked: 0,
                duration_secs: 400 * 24 * 60 * 60,
            };
            assert_eq!(largest.charge(), None);
            let short = Premium {
                cover: u64::MAX / 4,
                duration_secs: 100_000,
                ..largest
            };
            assert!(short.charge().is_some());
            let after_others = Premium {
                locked: 1,
                ..largest
            };
            assert_eq!(after_others.charge(), None);
        }
    }

    #[test]
    fn a_premium_beyond_the_largest_numbers_is_none() {
        // Cover and locked capital together have more than 64 bits.
        assert_eq!(premium(1, u64::MAX).charge(), None);
        // 2⁷⁰ a year, scaled, times 2⁵⁸ seconds has more than 128.
        let long = Premium {
            base_bps: 10_000,
            curve: Curve {
                slope1_bps: 0,
                slope2_bps: 0,
                kink_bps: 1,
            },
            risk_slope_bps: 0,
            duration_secs: 1 << 58,
            ..premium(YEAR_SECS << 38, 0)
        };
        assert_eq!(long.charge(), None);
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
