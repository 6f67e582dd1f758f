//! The program's integer arithmetic of drift, compared with the formulas in floating point.

use driftshield::{Metric, math};
use driftshield_tests::histograms::{Case, random_case, random_registrable_case, total};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Maximum error in micro-units. The protocol allows 2.
const TOLERANCE_MICRO: f64 = 1.0;
const MICRO: f64 = 1e6;

const METRICS: [Metric; 5] = [
    Metric::Psi,
    Metric::JensenShannon,
    Metric::KolmogorovSmirnov,
    Metric::TotalVariation,
    Metric::ErrorRate,
];

fn drift(metric: Metric, reference: &[u32], current: &[u32]) -> u64 {
    math::drift(metric.into(), reference, current)
}

#[test]
fn drift_equals_the_formula() {
    for metric in METRICS {
        let mut worst = 0.0_f64;
        for seed in 0..20_000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (reference, current) = if seed % 4 == 0 {
                random_registrable_case(&mut rng, metric).0
            } else {
                random_case(&mut rng, metric)
            };
            let error = error_of(metric, &reference, &current);
            assert!(
                error < TOLERANCE_MICRO,
                "{metric:?} is off by {error} micro-units with seed {seed}: {reference:?} {current:?}",
            );
            worst = worst.max(error);
        }
        println!("{metric:?}: largest error {worst:.3} micro-units");
    }
}

/// Covers pairs of histograms that random ones seldom hit: shares around the floor, full and empty bins,
/// and the smallest and largest sums.
#[test]
fn drift_equals_the_formula_at_the_limits() {
    const MAX: u32 = u32::MAX;
    for bins in [2, 3, 10, 16] {
        let mut histograms = vec![vec![1; bins], vec![MAX; bins]];
        for (full, rest) in [
            (1, 0),
            (MAX, 0),
            (MAX, 1),
            (MAX, 429_496),
            (MAX, 429_497),
            (0, MAX),
            (1, MAX),
            (MAX - 1, MAX),
        ] {
            for bin in [0, bins - 1] {
                let mut histogram = vec![rest; bins];
                histogram[bin] = full;
                histograms.push(histogram);
            }
        }
        // Shares just under, at and just over the floor of 0.0001.
        for count in [99_998, 99_999, 100_000, 100_001] {
            let mut histogram = vec![0; bins];
            (histogram[0], histogram[1]) = (1_000_000_000 - count, count);
            histograms.push(histogram);
        }
        for (reference, current) in pairs(&histograms) {
            for metric in METRICS {
                if metric == Metric::ErrorRate && bins != 2 {
                    continue;
                }
                let error = error_of(metric, &reference, &current);
                assert!(
                    error < TOLERANCE_MICRO,
                    "{metric:?} is off by {error} micro-units: {reference:?} {current:?}"
                );
            }
        }
    }
}

/// A drift of exactly 0.05 has to reach a threshold of 0.05.
#[test]
fn drifts_of_whole_micro_units_are_exact() {
    let mut rng = StdRng::seed_from_u64(1);
    for _ in 0..10_000 {
        let rows = [1_u32, 2, 10, 64, 1_000, 125_000, 1_000_000];
        let (m, n) = (rows[rng.random_range(0..7)], rows[rng.random_range(0..7)]);
        let (r, c) = (rng.random_range(0..=m), rng.random_range(0..=n));
        let exact = u64::from((c * (1_000_000 / n)).abs_diff(r * (1_000_000 / m)));
        let (reference, current) = ([m - r, r], [n - c, c]);
        assert_eq!(
            drift(Metric::KolmogorovSmirnov, &reference, &current),
            exact,
            "{reference:?} {current:?}"
        );
        assert_eq!(
            drift(Metric::TotalVariation, &reference, &current),
            exact,
            "{reference:?} {current:?}"
        );
        let worse = u64::from((c * (1_000_000 / n)).saturating_sub(r * (1_000_000 / m)));
        assert_eq!(
            drift(Metric::ErrorRate, &reference, &current),
            worse,
            "{reference:?} {current:?}"
        );
    }
}

/// A single row in 5,000 must not decide a market, whatever its bin. Bins that were empty are an exception,
/// but a bin with a tenth of the reference is never empty in an honest window.
#[test]
fn an_outlier_hardly_changes_psi() {
    let mut rng = StdRng::seed_from_u64(2);
    let reference = [500; 10];
    for _ in 0..1_000 {
        let mut window = [0_u32; 10];
        let spread = rng.random_range(0.5..1.5_f64);
        for _ in 0..5_000 {
            window[(rng.random::<f64>().powf(spread) * 10.0) as usize] += 1;
        }
        let before = drift(Metric::Psi, &reference, &window);
        for bin in 0..10 {
            let mut with_outlier = window;
            with_outlier[bin] += 1;
            let after = drift(Metric::Psi, &reference, &with_outlier);
            assert!(
                after.abs_diff(before) < 10_000,
                "an outlier in bin {bin} changes PSI from {before} to {after}: {window:?}"
            );
        }
    }
}

fn pairs(histograms: &[Vec<u32>]) -> impl Iterator<Item = Case> {
    histograms
        .iter()
        .flat_map(move |a| histograms.iter().map(move |b| (a.clone(), b.clone())))
}

/// The absolute error of the program's drift, in micro-units.
fn error_of(metric: Metric, reference: &[u32], current: &[u32]) -> f64 {
    let value = drift(metric, reference, current) as f64;
    (value - MICRO * drift_f64(metric, reference, current)).abs()
}

/// The formulas of `docs/protocol.md`, literally.
///
/// All results are within 10⁻⁹ of the exact value, except those of Jensen-Shannon, whose terms cancel if
/// the shares are nearly equal. Each term is then p·log₂(1 + small), and rounding the quotient adds an
/// error of at most p · 2⁻⁵² / ln 2. So the sum of all terms is within 7 · 10⁻¹⁶, and its root, even at 0,
/// within 0.03 micro-units.
fn drift_f64(metric: Metric, reference: &[u32], current: &[u32]) -> f64 {
    let (m, n) = (total(reference) as f64, total(current) as f64);
    let unfloored: Vec<(f64, f64)> = std::iter::zip(reference, current)
        .map(|(&r, &c)| (f64::from(r) / m, f64::from(c) / n))
        .collect();
    let floored = unfloored
        .iter()
        .map(|&(p, q)| (p.max(0.0001), q.max(0.0001)));
    match metric {
        Metric::Psi => floored.map(|(p, q)| (q - p) * (q / p).ln()).sum(),
        Metric::JensenShannon => {
            let divergence: f64 = floored
                .map(|(p, q)| {
                    let mean = (p + q) / 2.0;
                    0.5 * (p * (p / mean).log2() + q * (q / mean).log2())
                })
                .sum();
            divergence.max(0.0).sqrt()
        }
        Metric::KolmogorovSmirnov => {
            let (mut cumulative, mut largest) = (0.0, 0.0_f64);
            for (p, q) in unfloored {
                cumulative += q - p;
                largest = largest.max(f64::abs(cumulative));
            }
            largest
        }
        Metric::TotalVariation => unfloored.iter().map(|(p, q)| (q - p).abs()).sum::<f64>() / 2.0,
        Metric::ErrorRate => (unfloored[1].1 - unfloored[1].0).max(0.0),
    }
}
