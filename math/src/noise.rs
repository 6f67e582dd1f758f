//! Noise floors: what a model without drift stays below for a year, with a probability of 95%.
//!
//! The reference (m rows) and a window (n rows) are samples of one distribution. How far apart they
//! are is measured by the *deviance* G, twice the logarithm of the likelihood ratio of "two
//! distributions" and "one". Of a model with W windows a year, a window's deviance is above x with
//! a probability of 0.05/W, where x is that quantile of the chi-squared distribution with
//! (bins − 1) degrees of freedom (Wilks). A floor is the largest drift of a window whose deviance
//! is x.
//!
//! Let λ be the rows that a window has in a bin on average, w = n/(n + m), and 1 − u the ratio of
//! the bin's share in the window to that in the reference. Then the bin's part of the deviance, of
//! PSI and of the squared Jensen-Shannon distance (times 2 ln 2) is
//!
//! - G = 2·λ·u² · Σ (1 − wⁱ⁻¹) · uⁱ⁻² / (i·(i − 1)), over i ≥ 2
//! - PSI = share · u² · Σ uⁱ⁻² / (i − 1)
//! - JS = share · u² · Σ (1 − 2¹⁻ⁱ) · uⁱ⁻² / (i·(i − 1))
//!
//! No term is negative, for a bin with fewer rows than expected, so nothing cancels.
//! Drift per deviance grows with u: it is highest in a bin that is nearly empty. It is lower in a
//! bin with more rows than expected, as n ≤ m. The rarest bin loses most: its u at the deviance x
//! is a bound for all bins, and so is its u at the quantile 1 − 0.05/(10 · bins · W) of one degree
//! of freedom, which all bins together exceed in one year in two hundred.

use crate::{
    Metric,
    ln::{self, LN_2, ln_above_one},
    metric::{MICRO, isqrt, root_rounded_up, total},
};

/// Seconds of a leap year.
const YEAR_SECS: u64 = 366 * 24 * 60 * 60;
/// One year in so many has a window at or above the floor.
const YEARS: u64 = 20;
/// 1.0 in units of 10⁻¹², whose root is a micro-unit.
const PICO: u64 = MICRO * MICRO;
/// 1 / (8 ln 2), in units of 10⁻⁹, rounded up.
const INVERSE_8_LN_2: u64 = 180_336_881;

/// 1.0 as a Q31 number, the format of u and w.
const ONE: u64 = 1 << 31;
/// ln 10⁴ in Q31, rounded up: the largest logarithm of two shares that are at least 0.0001.
const LN_10_000: u64 = 19_779_055_342;
/// π/2 in Q29, rounded down.
const HALF_PI: u64 = 843_314_856;
/// Number of terms of the series that are added. The others are replaced by a bound.
const TERMS: u64 = 48;

/// Returns the noise floor in micro-units: a year of windows of `window_secs` seconds and
/// `min_samples` rows, drawn from one distribution with the reference, stays below it with a
/// probability of 95%. At least 1; above 1 000 000 if so few rows show no drift at all.
///
/// `min_samples` is at least 1 and at most the sum of `reference`; `window_secs` is at least 1.
/// `docs/protocol.md` has the formulas. Every step rounds up, by less than 2% in all.
pub fn noise_floor(metric: Metric, reference: &[u32], min_samples: u64, window_secs: u64) -> u64 {
    let rows = Rows {
        window: min_samples,
        reference: total(reference),
    };
    let tail = log_windows(window_secs);
    let bins = reference.len() as u64;
    let floor = match metric {
        Metric::Psi | Metric::JensenShannon => {
            let x = chi_squared(bins - 1, tail);
            let one_bin = chi_squared(1, tail + ln_above_one((10 * bins) << ln::BITS));
            let rarest = reference.iter().copied().min().unwrap_or(0).into();
            Bin::at(rarest, rows, x.min(one_bin)).floor(metric, x)
        }
        Metric::KolmogorovSmirnov => root_rounded_up(rows.noise(pico((tail + LN_2) / 2))),
        Metric::TotalVariation => {
            root_rounded_up(rows.noise(pico(chi_squared(bins - 1, tail)).div_ceil(4)))
                + MICRO.div_ceil(min_samples)
        }
        Metric::ErrorRate => error_rate(reference[1].into(), rows, tail),
    };
    floor.max(1)
}

/// The numbers of rows that noise depends on.
#[derive(Clone, Copy)]
struct Rows {
    /// Rows of a window: n.
    window: u64,
    /// Rows of the reference: m, at least n.
    reference: u64,
}

impl Rows {
    /// Returns `factor` · (1/n + 1/m), rounded up.
    #[inline(never)]
    fn noise(self, factor: u64) -> u64 {
        factor.div_ceil(self.window) + factor.div_ceil(self.reference)
    }

    /// Returns w = n/(n + m) in Q31.
    fn weight(self) -> u64 {
        let weight = (u128::from(self.window) << 31) / u128::from(self.window + self.reference);
        weight as u64 // at most ½
    }
}

/// The rarest bin of a window that is nearly the least likely one of a year.
struct Bin {
    /// Rows of the bin in the reference.
    count: u64,
    rows: Rows,
    /// By how much the bin's share is below that of the reference, relatively: u.
    loss: u64,
}

impl Bin {
    /// Returns the bin at the largest loss at which its deviance is at most `deviance` (Q29).
    fn at(count: u64, rows: Rows, deviance: u64) -> Self {
        // u² = deviance / (2λ · Σ), with λ = n · count / m. Σ grows with u and is at most 1, so if
        // deviance/λ is 2 or more, u is 1. In Q48.
        let per_row = ((u128::from(deviance) * u128::from(rows.reference)) << 19)
            .checked_div(u128::from(rows.window) * u128::from(count))
            .map_or(1 << 49, |ratio| ratio.min(1 << 49));
        let weight = rows.weight();
        let mut loss = 0;
        // Each step overshoots if the last one was too low: after an odd number, u is too high.
        for _ in 0..9 {
            let square = (per_row << 30) / u128::from(divergence(loss, weight));
            loss = ((isqrt(square.min(1 << 48) as u64) + 1) << 7).min(ONE);
        }
        Self { count, rows, loss }
    }

    /// Returns the noise floor of PSI or Jensen-Shannon at a deviance of `x` (Q29).
    ///
    /// It is the drift per deviance of this bin times x, plus the drift of one row more that the bin
    /// loses: counts are whole numbers (the continuity correction).
    fn floor(&self, metric: Metric, x: u64) -> u64 {
        let row = (u128::from(self.rows.reference) * u128::from(ONE))
            .checked_div(u128::from(self.rows.window) * u128::from(self.count))
            .map_or(ONE, |row| row.min(u128::from(ONE)) as u64 + 1); // 1/λ
        let emptier = (self.loss + row).min(ONE);
        let weight = self.rows.weight();
        let deviance = u128::from(divergence(self.loss, weight));

        // The drift per deviance, relative to that of small deviations: at least 1.
        let drift = |loss| match metric {
            Metric::Psi => psi(loss),
            _ => jensen_shannon(loss),
        };
        let of_small = match metric {
            Metric::Psi => (ONE - weight) / 2,
            _ => 2 * (ONE - weight),
        };
        let excess = u128::from(drift(self.loss)) * u128::from(of_small);
        let scaled = u128::from(x) * (excess / u128::from(ONE)).max(deviance);
        let scaled = scaled.div_ceil(deviance) as u64;

        let square = |loss: u64| u128::from(loss) * u128::from(loss) / u128::from(ONE);
        let part = |loss: u64| square(loss) * u128::from(drift(loss)); // Q62
        let row = part(emptier).saturating_sub(part(self.loss)) >> 31;
        let row = row * u128::from(self.count) * u128::from(PICO)
            / (u128::from(ONE) * u128::from(self.rows.reference));
        let row = row as u64 + 1;
        match metric {
            Metric::Psi => (self.rows.noise(pico(scaled)) + row).div_ceil(MICRO),
            _ => {
                let noise = self.rows.noise(pico(scaled)) + 4 * row; // both times 8 ln 2
                let squared = u128::from(noise) * u128::from(INVERSE_8_LN_2);
                root_rounded_up(squared.div_ceil(1_000_000_000) as u64)
            }
        }
    }
}

/// Returns Σ (1 − wⁱ⁻¹) · uⁱ⁻² / (i·(i − 1)) in Q31, rounded down. At most 1, and at least ¼ for a
/// `weight` of at most ½.
#[inline(never)] // one copy keeps the binary small
fn divergence(loss: u64, weight: u64) -> u64 {
    let (mut sum, mut power, mut weights) = (0, ONE, weight);
    for i in 2..=TERMS {
        sum += (((ONE - weights) * power) >> 31) / (i * (i - 1)); // 2³¹ · 2³¹
        power = (power * loss) >> 31;
        weights = (weights * weight) >> 31;
    }
    sum
}

/// Returns Σ (1 − 2¹⁻ⁱ) · uⁱ⁻² / (i·(i − 1)) in Q31, rounded up.
fn jensen_shannon(loss: u64) -> u64 {
    // The omitted terms are below uⁱ⁻² / (i·(i − 1)), and 1/(i·(i − 1)) from i on sum to 1/(i − 1).
    divergence(loss, ONE / 2) + power(loss, TERMS - 1) / TERMS + TERMS
}

/// Returns Σ uⁱ⁻² / (i − 1) = −ln(1 − u) / u in Q31, rounded up, and at most (ln 10⁴) / u.
fn psi(loss: u64) -> u64 {
    let (mut sum, mut power) = (TERMS, ONE);
    for i in 1..=TERMS {
        sum += power / i;
        power = (power * loss) >> 31;
    }
    // The omitted terms are a part of the geometric series.
    let rest = (power << 31) / (ONE - loss).max(1) / TERMS;
    let highest = (LN_10_000 << 29) / (loss >> 2).max(1);
    (sum + rest).min(highest)
}

/// Returns `base` to the power of `exponent`, in Q31, rounded down.
fn power(base: u64, exponent: u64) -> u64 {
    (0..exponent).fold(ONE, |power, _| (power * base) >> 31)
}

/// Returns the noise floor of the error rate if `wrong` rows of the reference are wrong.
///
/// The tail of a binomial distribution with one row less is below that of the normal distribution
/// at the root of its deviance (Zubkov and Serov, 2012), and the deviance of a share y = p + d is
/// at least n·d² / v(p + d/3), with v(y) = y·(1 − y) (Massart, 1990). So with p = (wrong + 1)/m, the
/// floor is d + 1/n + 1/m, where d² = z² · v(p + w·d + (1 − w)·d/3) · (1/n + 1/m) and z is the normal
/// distribution's quantile.
#[inline(never)] // one copy keeps the binary small
fn error_rate(wrong: u64, rows: Rows, tail: u64) -> u64 {
    let z_squared = u128::from(chi_squared(1, tail - LN_2)); // one side has half of the probability
    let all = rows.window + rows.reference;
    let rate = u128::from(wrong + 1) * u128::from(PICO);
    let rate = rate.div_ceil(rows.reference.into()) as u64;
    let mut difference = u64::MAX;
    // Every step is above the solution and halves the relative distance to it, at least.
    for _ in 0..24 {
        let part = u128::from(difference.min(MICRO)) * u128::from(2 * rows.window + all);
        let part = part.div_ceil(3 * u128::from(all)) as u64 * MICRO;
        let share = (rate + part).min(PICO / 2); // beyond ½ the variance falls
        let variance = u128::from(share) * u128::from(PICO - share) / u128::from(PICO);
        let factor = (z_squared * (variance + 1)) >> ln::BITS; // at most z²/4
        let next = root_rounded_up(rows.noise(factor as u64 + 1));
        if next >= difference {
            break;
        }
        difference = next;
    }
    difference + MICRO.div_ceil(rows.window) + MICRO.div_ceil(rows.reference)
}

/// Returns ln(W / 0.05) in Q29, where W windows of `window_secs` make a year. W counts as 1 if they
/// are longer.
fn log_windows(window_secs: u64) -> u64 {
    // At most 20 · 2²⁵ · 2²⁹.
    ln_above_one(((YEARS * YEAR_SECS) << ln::BITS) / window_secs.clamp(1, YEAR_SECS)) + 1
}

/// Returns the number in Q29 that a chi-squared variable with `degrees` of freedom, 1 to 15, exceeds
/// with a probability of e^−`tail` (Q29, 2 to 30), rounded up by less than 1%.
///
/// The probability is e^(−x/2) · P, with P = Σ (x/2)ⁱ / i! over i < degrees/2 for an even number, and
/// for an odd one √(2/πx) · (Q + x + x²/3 + x³/15 + …), of (degrees + 1)/2 terms, where Q is Mills'
/// ratio times √x, below (x + 2)/(x + 3).
///
/// The equation x = 2·(tail + ln P) is iterated from above. Its right side rises with x, slower than
/// x, except for one degree of freedom, where it falls. So after an even number of steps x is above
/// the solution.
#[inline(never)] // one copy keeps the binary small
fn chi_squared(degrees: u64, tail: u64) -> u64 {
    // Above the quantile: it is at most d + 2√(d · tail) + 2 · tail (Laurent and Massart, 2000).
    const STEPS: usize = 16;
    let mut x = 2 * (degrees << ln::BITS) + 3 * tail;
    for _ in 0..STEPS {
        let root = if degrees.is_multiple_of(2) {
            0
        } else {
            ln_above_one(multiply(x, HALF_PI)) // x is above 2
        };
        x = 2 * (tail + ln_above_one(2 * series(degrees, x)) - LN_2) - root;
    }
    x + (x >> 24) // more than all roundings
}

/// Returns the sum P of [`chi_squared`] in Q29, without the root: at least ⅔, and below 2³² for an `x`
/// of at most 110.
fn series(degrees: u64, x: u64) -> u64 {
    let even = degrees.is_multiple_of(2);
    let (mut sum, factor) = if even {
        (ln::ONE, x / 2)
    } else {
        // (x + 2)/(x + 3), rounded up.
        (ln::ONE - (ln::ONE << ln::BITS) / (x + 3 * ln::ONE), x)
    };
    let mut term = ln::ONE;
    for i in 1..=(degrees - 1) / 2 {
        term = multiply(term, factor) / if even { i } else { 2 * i - 1 };
        sum += term;
    }
    sum
}

/// Returns the product of two Q29 numbers, rounded down.
#[inline(never)] // one copy keeps the binary small
fn multiply(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> ln::BITS) as u64
}

/// Converts a Q29 number, at most 2⁹, to units of 10⁻¹², rounded up.
#[inline(never)] // one copy keeps the binary small
fn pico(value: u64) -> u64 {
    (u128::from(value) * u128::from(PICO)).div_ceil(1 << ln::BITS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of tables, to four digits after the point.
    #[test]
    fn quantiles_equal_those_of_tables() {
        let tail = |probability: f64| (-probability.ln() * ln::ONE as f64) as u64;
        for (degrees, probability, quantile) in [
            (1, 0.05, 3.8415),
            (1, 0.001, 10.8276),
            (2, 0.05, 5.9915),
            (3, 0.001, 16.2662),
            (9, 0.01, 21.6660),
            (10, 0.001, 29.5883),
            (15, 0.05, 24.9958),
            (15, 0.001, 37.6973),
        ] {
            let x = chi_squared(degrees, tail(probability)) as f64 / ln::ONE as f64;
            assert!(
                quantile - 1e-4 < x && x < quantile * 1.01,
                "{degrees}: {x}, not {quantile}"
            );
        }
    }

    #[test]
    fn a_floor_rises_with_the_number_of_windows_and_falls_with_that_of_rows() {
        let reference = [1_000; 10];
        for metric in [
            Metric::Psi,
            Metric::JensenShannon,
            Metric::KolmogorovSmirnov,
            Metric::TotalVariation,
        ] {
            let floor = |rows, secs| noise_floor(metric, &reference, rows, secs);
            let lengths = [1, 60, 3_600, 86_400, 31 * 86_400];
            assert!(lengths.is_sorted_by(|a, b| floor(500, *a) > floor(500, *b)));
            let rows = [500, 1_000, 10_000];
            assert!(rows.is_sorted_by(|a, b| floor(*a, 3_600) > floor(*b, 3_600)));
        }
    }

    #[test]
    fn the_smallest_and_the_largest_numbers_have_a_floor() {
        for metric in [
            Metric::Psi,
            Metric::JensenShannon,
            Metric::KolmogorovSmirnov,
            Metric::TotalVariation,
        ] {
            for secs in [1, u64::MAX] {
                for rows in [1, 16, 16 * u64::from(u32::MAX)] {
                    assert!(1 <= noise_floor(metric, &[u32::MAX; 16], rows, secs));
                }
                assert!(MICRO / 10 < noise_floor(metric, &[1; 16], 16, secs));
                assert!(MICRO / 10 < noise_floor(metric, &[0, 1], 1, secs));
            }
        }
        for reference in [[1, 0], [0, 1], [u32::MAX, u32::MAX]] {
            for secs in [1, u64::MAX] {
                let floor = noise_floor(Metric::ErrorRate, &reference, 1, secs);
                assert!(MICRO < floor, "one row shows no drift");
            }
        }
        let most = 2 * u64::from(u32::MAX);
        assert!(noise_floor(Metric::ErrorRate, &[u32::MAX; 2], most, 1) < 100);
    }
}
