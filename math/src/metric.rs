//! Drift metrics: the distance of a window's counts from the reference counts of the model.
//!
//! All numbers are fixed-point in a `u64`. A share is Q63: `count · ⌊2⁶³ / sum⌋`, a single
//! multiplication. As a sum is below 2³⁶, a share is too small by at most 2⁻²⁷ = 7·10⁻⁹ of itself.
//! Arithmetic per bin wraps, and a comment next to it gives its bound: on SBPF a check would cost
//! four more instructions with each sum, and a 128-bit multiplication with each product.

use core::iter::zip;

use crate::ln::{self, ln, ln_ratio};

/// How a window's drift is computed from its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Population stability index: Σ (q − p) · ln(q / p).
    Psi,
    /// Square root of the Jensen-Shannon divergence to base 2, in [0, 1].
    JensenShannon,
    /// Largest absolute difference of the cumulative shares.
    KolmogorovSmirnov,
    /// ½ Σ abs(q − p).
    TotalVariation,
    /// Share of wrong predictions (bin 1 of 2) less the reference's, at least 0.
    ErrorRate,
}

/// 1.0 in micro-units.
const MICRO: u64 = 1_000_000;

/// 1.0 as a share (Q63).
const WHOLE: u64 = 1 << 63;

/// Floor of the shares in PSI and Jensen-Shannon: 0.0001.
const SMALLEST_SHARE: u64 = WHOLE / 10_000;

/// Returns the drift of `current` counts from `reference` counts, by bin, in micro-units, to the
/// nearest.
///
/// Both have the same 2 to 16 bins (2 for the error rate) and neither is all zeros. The result is
/// within 1 micro-unit of the exact value. For the last three metrics it equals the exact value if
/// that is a whole number: their error before rounding is below 0.02.
pub fn drift(metric: Metric, reference: &[u32], current: &[u32]) -> u64 {
    match metric {
        Metric::Psi => psi(reference, current),
        Metric::JensenShannon => jensen_shannon(reference, current),
        Metric::KolmogorovSmirnov => kolmogorov_smirnov(reference, current),
        Metric::TotalVariation => total_variation(reference, current),
        Metric::ErrorRate => error_rate(reference, current),
    }
}

/// Returns Σ (q − p) · ln(q / p).
///
/// Each term is computed as (larger − smaller) · ln(larger / smaller) ≥ 0.
/// Bound of the error in micro-units, for at most 16 bins, with Σ abs(q − p) ≤ 2 and
/// the logarithm ≤ 9.22:
///
/// - shares: 2⁻²⁷ · (9.22 + 2) < 0.1
/// - logarithm: 9·10⁻⁸ · 2 < 0.2
/// - differences truncated to Q30: 2⁻³⁰ · 9.22 · 16 < 0.14
/// - rounding to the nearest: 0.5
fn psi(reference: &[u32], current: &[u32]) -> u64 {
    let mut sum = 0_u64; // Q59: at most 18.5 of the 32 that fit
    for (p, q) in shares(reference, current, SMALLEST_SHARE) {
        let (low, high) = ordered(p, q);
        let gap = (high - low) >> 33; // Q30: below 2³⁰
        let term = gap.wrapping_mul(ln_ratio(high, low)); // ln 10⁴ in Q29 is below 2³³
        sum = sum.wrapping_add(term);
    }
    let micro_q39 = (sum >> 20).wrapping_mul(MICRO); // below 2⁴⁴ · 2²⁰
    round(micro_q39, 39)
}

/// Returns √(½ Σ [p·log₂(p/s) + q·log₂(q/s)]) with s = (p + q)/2.
///
/// With δ = abs(q − p)/(q + p), a bin's term is (p + q)·h(δ) / (4 ln 2), where
/// h(δ) = (1 + δ)·ln(1 + δ) + (1 − δ)·ln(1 − δ) ≥ 0.
/// No term is negative, so none cancels another, and a small divergence keeps the relative
/// precision that the root needs.
///
/// To first order the root is the norm of δ with weights (p + q)/(4 ln 2). Bound of the error in
/// micro-units:
///
/// - errors of δ: 0.02. They are below 2⁻²⁷ from the shares' reciprocals, 2⁻³³/(p + q) from
///   truncating the shares to Q33, and 2⁻²⁹ from the division.
/// - relative error of h: 0.25. It is 2·10⁻⁶ at worst, at δ = ¼, where the root is below 0.25.
/// - error of the root: 0.001
/// - rounding to the nearest: 0.5
fn jensen_shannon(reference: &[u32], current: &[u32]) -> u64 {
    /// 1 / √(4 ln 2) in micro-units, Q8.
    const SCALE: u64 = 153_743_668;

    let mut sum = 0_u64; // Q62: at most (2 + 32 · 0.0001) · 2 ln 2 = 2.8 of the 4 that fit
    for (p, q) in shares(reference, current, SMALLEST_SHARE) {
        let (low, high) = ordered(p >> 30, q >> 30); // Q33
        sum = sum.wrapping_add(divergence(high - low, high + low));
    }
    round(isqrt(sum).wrapping_mul(SCALE), 31 + 8) // the root is Q31, below 2³²
}

/// Returns (p + q) · h(δ) in Q62, from abs(q − p) and p + q in Q33.
#[inline(always)]
fn divergence(difference: u64, sum: u64) -> u64 {
    const SIXTH: u64 = (ln::ONE + 3) / 6;
    const FIFTEENTH: u64 = (ln::ONE + 7) / 15;
    const TWENTY_EIGHTH: u64 = (ln::ONE + 14) / 28;

    let delta = (difference << ln::BITS) / sum; // the difference is below 2³³; δ < 1 − 0.0001
    if delta < ln::ONE / 4 {
        // h = δ² · (1 + δ²/6 + δ⁴/15 + δ⁶/28 + δ⁸/45 + …); the omitted terms are below 4·10⁻⁷ of
        // it. (p + q)·δ² = abs(q − p)·δ keeps all its 62 bits. All factors in Q29 are below 2²⁹.
        let square = delta.wrapping_mul(delta) >> ln::BITS;
        let series = FIFTEENTH + (square.wrapping_mul(TWENTY_EIGHTH) >> ln::BITS);
        let series = SIXTH + (square.wrapping_mul(series) >> ln::BITS);
        let series = square.wrapping_mul(series) >> ln::BITS;
        let leading = difference.wrapping_mul(delta);
        leading.wrapping_add((leading >> ln::BITS).wrapping_mul(series))
    } else {
        // ln(1 − δ) = ln(1 + δ) − ln((1 + δ)/(1 − δ)), so
        // h = 2·ln(1 + δ) − (1 − δ)·ln((1 + δ)/(1 − δ)).
        let (more, less) = (ln::ONE + delta, ln::ONE - delta);
        let ratio = ln_ratio(more << 33, less << 33); // as Q62
        let h = 2 * ln(more) - (less.wrapping_mul(ratio) >> ln::BITS); // 2²⁹ · 2³³
        sum.wrapping_mul(h) // at most 2 · 2 ln 2 = 2.8 of the 4 that fit
    }
}

/// Returns the largest abs(P − Q), where P and Q are the cumulative shares.
fn kolmogorov_smirnov(reference: &[u32], current: &[u32]) -> u64 {
    let (mut p_sum, mut q_sum, mut largest) = (0_u64, 0_u64, 0); // at most 1.0
    for (p, q) in shares(reference, current, 0) {
        p_sum = p_sum.wrapping_add(p);
        q_sum = q_sum.wrapping_add(q);
        largest = largest.max(p_sum.abs_diff(q_sum));
    }
    micro_units(largest)
}

/// Returns ½ Σ abs(q − p), computed as Σ max(q − p, 0): the two are equal because both shares sum
/// to 1.
fn total_variation(reference: &[u32], current: &[u32]) -> u64 {
    let mut excess = 0_u64; // at most 1.0
    for (p, q) in shares(reference, current, 0) {
        if p < q {
            excess = excess.wrapping_add(q - p);
        }
    }
    micro_units(excess)
}

/// Returns the increase of the share of wrong predictions, which bin 1 counts.
fn error_rate(reference: &[u32], current: &[u32]) -> u64 {
    let wrong = |counts: &[u32]| inverse(total(counts)).wrapping_mul(counts[1].into());
    micro_units(wrong(current).saturating_sub(wrong(reference)))
}

/// Iterates over the shares (p, q) of the bins in Q63, none below `smallest`.
#[inline(always)]
fn shares<'a>(
    reference: &'a [u32],
    current: &'a [u32],
    smallest: u64,
) -> impl Iterator<Item = (u64, u64)> + 'a {
    let p_unit = inverse(total(reference));
    let q_unit = inverse(total(current));
    // count ≤ sum, so count · ⌊2⁶³ / sum⌋ ≤ 2⁶³.
    let share = move |count: u32, unit: u64| unit.wrapping_mul(count.into()).max(smallest);
    zip(reference, current).map(move |(&r, &c)| (share(r, p_unit), share(c, q_unit)))
}

#[inline(always)]
fn inverse(sum: u64) -> u64 {
    WHOLE / sum
}

/// Returns the sum of `counts`. It fits: there are at most 16 counts of 32 bits.
#[inline(always)]
fn total(counts: &[u32]) -> u64 {
    counts
        .iter()
        .fold(0, |sum, &count| sum.wrapping_add(count.into()))
}

#[inline(always)]
fn ordered(a: u64, b: u64) -> (u64, u64) {
    if a < b { (a, b) } else { (b, a) }
}

/// Converts a Q63 share, at most 1.0, to micro-units.
#[inline(always)]
fn micro_units(share: u64) -> u64 {
    round((share >> 20).wrapping_mul(MICRO), 43)
}

/// Returns `value` / 2^`bits`, rounded to the nearest integer.
#[inline(always)]
fn round(value: u64, bits: u32) -> u64 {
    ((value >> (bits - 1)) + 1) >> 1
}

/// Quantiles 1 − 0.05/366 of the chi-squared distribution of 1 to 15 degrees of freedom, in units
/// of 10⁻⁹, rounded up. A year of daily windows stays below them with a probability of 95%.
const CHI_SQUARED: [u64; 15] = [
    14_548_297_754,
    17_796_731_214,
    20_454_811_477,
    22_834_939_911,
    25_044_367_612,
    27_135_013_126,
    29_136_717_002,
    31_068_523_339,
    32_943_478_761,
    34_770_991_593,
    36_558_115_530,
    38_310_302_856,
    40_031_873_039,
    41_726_318_185,
    43_396_509_915,
];

/// Square of the normal distribution's one-sided quantile 1 − 0.05/366, in units of 10⁻⁹, rounded
/// up.
const Z_SQUARED: u64 = 13_245_575_286;

/// ln(2 · 366 / 0.05) / 2, in units of 10⁻⁹, rounded up.
const KOLMOGOROV_SMIRNOV_FACTOR: u64 = 4_795_756_394;

/// 1 / (8 ln 2), in units of 10⁻⁹, rounded up.
const INVERSE_8_LN_2: u64 = 180_336_881;

/// Returns the noise floor in micro-units: the smallest drift that is distinguished from sampling
/// noise, where `min_samples` rows are drawn from the distribution of `reference`. `min_samples` is
/// at least 1 and at most the sum of `reference`.
///
/// The floor is factor · (1/`min_samples` + 1/m) for PSI and the root of that for the other
/// metrics, with m the sum of `reference`. Every step rounds up, by less than 2 micro-units in all,
/// and the result is at least 1.
pub fn noise_floor(metric: Metric, reference: &[u32], min_samples: u64) -> u64 {
    let m = total(reference);
    let chi_squared = CHI_SQUARED[reference.len() - 2];
    // In units of 10⁻¹², whose root is a micro-unit.
    let factor = match metric {
        Metric::Psi => chi_squared * 1_000,
        Metric::JensenShannon => (chi_squared * INVERSE_8_LN_2).div_ceil(MICRO),
        Metric::KolmogorovSmirnov => KOLMOGOROV_SMIRNOV_FACTOR * 1_000,
        Metric::TotalVariation => chi_squared * 1_000 / 4,
        Metric::ErrorRate => error_variance(reference[1].into(), m, min_samples),
    };
    let noise = factor.div_ceil(min_samples) + factor.div_ceil(m);
    let floor = match metric {
        Metric::Psi => noise.div_ceil(MICRO),
        _ => root_rounded_up(noise),
    };
    floor.max(1)
}

/// Returns z²·p(1 − p) in units of 10⁻¹², rounded up. p is the reference's share of wrong
/// predictions, but at least min(20/`min_samples`, ½).
fn error_variance(wrong: u64, m: u64, min_samples: u64) -> u64 {
    let (wrong, m, min_samples) = (u128::from(wrong), u128::from(m), u128::from(min_samples));
    // p as a fraction.
    let (least, least_of) = if min_samples < 40 {
        (1, 2)
    } else {
        (20, min_samples)
    };
    let (p, whole) = if wrong * least_of < least * m {
        (least, least_of)
    } else {
        (wrong, m)
    };
    // z² is below 2³⁴, p below 2³², `whole` at most 2³⁶.
    let variance = (u128::from(Z_SQUARED) * 1_000 * p * (whole - p)).div_ceil(whole * whole);
    variance as u64 // at most z²/4
}

fn root_rounded_up(value: u64) -> u64 {
    let root = isqrt(value);
    if root * root < value { root + 1 } else { root }
}

/// Returns ⌊√`value`⌋ by Newton's method, in a third of the instructions of the standard library's
/// on SBPF.
fn isqrt(value: u64) -> u64 {
    if value == 0 {
        return 0;
    }
    // Starts from a power of two in (√value, 2·√value] and decreases to the root in five or six
    // steps.
    let (mut root, mut rest) = (2_u64, value);
    for bits in [16, 8, 4, 2, 1] {
        if rest >> (2 * bits) != 0 {
            rest >>= 2 * bits;
            root <<= bits;
        }
    }
    loop {
        let next = root.wrapping_add(value / root) >> 1; // at most 2³² + 2³²
        if root <= next {
            return root;
        }
        root = next;
    }
}

/// Returns the median of 1 to 7 values; of an even number, the lower of the middle two.
pub fn median(values: &mut [u64]) -> u64 {
    // Insertion sort: the standard library's sort would add several kilobytes to the program.
    for sorted in 1..values.len() {
        let mut i = sorted;
        while i > 0 && values[i] < values[i - 1] {
            values.swap(i, i - 1);
            i -= 1;
        }
    }
    values[(values.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_have_no_drift() {
        for metric in [
            Metric::Psi,
            Metric::JensenShannon,
            Metric::KolmogorovSmirnov,
            Metric::TotalVariation,
        ] {
            assert_eq!(drift(metric, &[100, 300, 600], &[1, 3, 6]), 0);
        }
        assert_eq!(drift(Metric::ErrorRate, &[900, 100], &[9, 1]), 0);
    }

    #[test]
    fn drift_equals_values_worked_out_by_hand() {
        // From 50:50 to 75:25.
        let (reference, current) = ([50, 50], [300, 100]);
        assert_eq!(drift(Metric::Psi, &reference, &current), 274_653); // ln 3 / 4
        assert_eq!(drift(Metric::JensenShannon, &reference, &current), 220_896);
        assert_eq!(
            drift(Metric::KolmogorovSmirnov, &reference, &current),
            250_000
        );
        assert_eq!(drift(Metric::TotalVariation, &reference, &current), 250_000);
        assert_eq!(drift(Metric::ErrorRate, &reference, &current), 0);
        assert_eq!(drift(Metric::ErrorRate, &current, &reference), 250_000);
    }

    #[test]
    fn the_median_is_the_lower_of_the_middle_two() {
        assert_eq!(median(&mut [5]), 5);
        assert_eq!(median(&mut [9, 3]), 3);
        assert_eq!(median(&mut [7, 1, 4]), 4);
        assert_eq!(median(&mut [8, 2, 6, 4]), 4);
        assert_eq!(median(&mut [7, 6, 5, 4, 3, 2, 1]), 4);
    }

    #[test]
    fn roots_are_floored() {
        for root in [
            1,
            2,
            3,
            1_000,
            65_535,
            65_536,
            3_037_000_499,
            u64::from(u32::MAX),
        ] {
            assert_eq!(isqrt(root * root), root);
            assert_eq!(isqrt(root * root - 1), root - 1);
            assert_eq!(isqrt(root * root + 1), root);
        }
        assert_eq!(isqrt(u64::MAX), u64::from(u32::MAX));
    }
}
