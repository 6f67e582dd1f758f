//! The program's integer arithmetic of drift, compared with the formulas in floating point.

use driftshield::{Metric, math};
use driftshield_tests::histograms::{
    Case, log_uniform, random_case, random_registrable_case, total,
};
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

fn noise_floor(metric: Metric, reference: &[u32], min_samples: u64) -> u64 {
    math::noise_floor(metric.into(), reference, min_samples)
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

#[test]
fn noise_floor_is_at_most_two_above_the_formula_rounded_up() {
    let quantiles = Quantiles::new();
    for metric in METRICS {
        for seed in 0..10_000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (reference, min_samples) = if seed % 2 == 0 {
                let ((reference, _), min_samples) = random_registrable_case(&mut rng, metric);
                (reference, min_samples)
            } else {
                let (reference, _) = random_case(&mut rng, metric);
                let min_samples = log_uniform(&mut rng, 1, total(&reference));
                (reference, min_samples)
            };
            let floor = noise_floor(metric, &reference, min_samples) as f64;
            let formula = quantiles.noise_floor(metric, &reference, min_samples);
            assert!(
                formula <= floor && floor <= formula.ceil().max(1.0) + 2.0,
                "{metric:?} with seed {seed}: floor {floor}, formula {formula}, \
                 min_samples {min_samples}, reference {reference:?}",
            );
        }
    }
}

/// Windows drawn from the reference distribution have no drift: noise alone must not reach the floor.
#[test]
fn noise_stays_under_the_noise_floor() {
    let mut rng = StdRng::seed_from_u64(3);
    let shares = [0.04, 0.06, 0.1, 0.1, 0.2, 0.2, 0.1, 0.1, 0.06, 0.04];
    let draw = |rng: &mut StdRng, rows: u32| {
        let mut counts = [0_u32; 10];
        for _ in 0..rows {
            let mut quantile: f64 = rng.random();
            let bin = shares.iter().position(|share| {
                quantile -= share;
                quantile < 0.0
            });
            counts[bin.unwrap_or(9)] += 1;
        }
        counts
    };
    for metric in METRICS {
        let mut over = 0;
        for _ in 0..366 {
            let (mut reference, mut window) = (
                draw(&mut rng, 5_000).to_vec(),
                draw(&mut rng, 1_000).to_vec(),
            );
            if metric == Metric::ErrorRate {
                for counts in [&mut reference, &mut window] {
                    *counts = vec![counts[1..].iter().sum(), counts[0]];
                }
            }
            over += u32::from(
                drift(metric, &reference, &window) >= noise_floor(metric, &reference, 1_000),
            );
        }
        // In a year, one window reaches the floor with a probability of 0.05, two with 0.001.
        assert!(
            over < 2,
            "{metric:?}: {over} of 366 windows without drift reach the noise floor"
        );
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

/// Quantiles at level 1 − 0.05/366.
struct Quantiles {
    /// Of the chi-squared distribution, for 1 to 15 degrees of freedom.
    chi_squared: Vec<f64>,
    /// Of the normal distribution.
    z: f64,
}

impl Quantiles {
    fn new() -> Self {
        const TAIL: f64 = 0.05 / 366.0;
        Self {
            chi_squared: (1..=15)
                .map(|degrees| chi_squared_quantile(degrees, TAIL))
                .collect(),
            // A normal variable exceeds z half as often as its square exceeds z².
            z: chi_squared_quantile(1, 2.0 * TAIL).sqrt(),
        }
    }

    /// The noise floor in micro-units, before rounding.
    fn noise_floor(&self, metric: Metric, reference: &[u32], min_samples: u64) -> f64 {
        let chi_squared = self.chi_squared[reference.len() - 2];
        let m = total(reference) as f64;
        let s = 1.0 / min_samples as f64 + 1.0 / m;
        let floor = match metric {
            Metric::Psi => chi_squared * s,
            Metric::JensenShannon => (chi_squared * s / (8.0 * 2_f64.ln())).sqrt(),
            Metric::KolmogorovSmirnov => ((2.0 * 366.0 / 0.05_f64).ln() / 2.0 * s).sqrt(),
            Metric::TotalVariation => 0.5 * (chi_squared * s).sqrt(),
            Metric::ErrorRate => {
                let least = (20.0 / min_samples as f64).min(0.5);
                let p = (f64::from(reference[1]) / m).max(least);
                self.z * (p * (1.0 - p) * s).sqrt()
            }
        };
        MICRO * floor
    }
}

/// The value that a chi-squared variable exceeds with probability `tail`, found by bisection.
fn chi_squared_quantile(degrees: u32, tail: f64) -> f64 {
    let (mut low, mut high) = (10.0, 100.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if upper_gamma(f64::from(degrees) / 2.0, middle / 2.0) < tail {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// The regularised upper incomplete gamma function Q(a, x), for `a` a multiple of ½. Starts with
/// Q(½, x) = erfc √x or Q(1, x) = e⁻ˣ, and applies Q(a + 1, x) = Q(a, x) + xᵃ·e⁻ˣ / Γ(a + 1).
fn upper_gamma(a: f64, x: f64) -> f64 {
    let (mut at, mut q) = if a.fract() == 0.0 {
        (1.0, (-x).exp())
    } else {
        (0.5, erfc(x.sqrt()))
    };
    let mut gamma = if a.fract() == 0.0 {
        1.0
    } else {
        std::f64::consts::PI.sqrt()
    };
    while at < a {
        gamma *= at;
        q += x.powf(at) * (-x).exp() / gamma;
        at += 1.0;
    }
    q
}

/// The complementary error function, by its continued fraction, which converges fast for x over 2.
fn erfc(x: f64) -> f64 {
    let fraction = (1..200)
        .rev()
        .fold(x, |tail, k| x + f64::from(k) / 2.0 / tail);
    (-x * x).exp() / std::f64::consts::PI.sqrt() / fraction
}
