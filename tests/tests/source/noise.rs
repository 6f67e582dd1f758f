//! Noise floors, compared with the formulas of `docs/protocol.md` in floating point, with exact
//! probabilities, and with simulated models.

use driftshield::{Metric, math};
use driftshield_tests::{
    histograms::{log_uniform, random_registrable_case, total},
    noise,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

const MICRO: f64 = 1e6;
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 31 * DAY;
/// Largest accepted share of the few years that a test simulates. `scripts/bench noise` simulates enough of
/// them to show that it is below 0.05.
const FEW: f64 = 0.1;

#[test]
fn a_noise_floor_is_at_most_a_fiftieth_above_the_formula() {
    for metric in noise::BINNED.into_iter().chain([Metric::ErrorRate]) {
        for seed in 0..2_000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let ((reference, _), least) = random_registrable_case(&mut rng, metric);
            let least = if metric == Metric::ErrorRate {
                1
            } else {
                least
            };
            let rows = log_uniform(&mut rng, least, total(&reference).max(least));
            let rows = rows.min(total(&reference));
            let secs = [1, HOUR, DAY, MONTH][rng.random_range(0..4)];
            let floor = math::noise_floor(metric.into(), &reference, rows, secs) as f64;
            let formula = noise_floor(metric, &reference, rows as f64, secs as f64);
            assert!(
                formula * (1.0 - 1e-6) <= floor && floor <= 1.02 * formula.max(1.0) + 3.0,
                "{metric:?} with seed {seed}: floor {floor}, formula {formula}, \
                 min_samples {rows}, windows of {secs} s, reference {reference:?}",
            );
        }
    }
}

/// The probability is summed over all references and windows, so that it is exact. The probability that
/// none of a year's windows reaches the floor is a mean over the references, which the windows share.
#[test]
fn the_error_rate_of_a_year_reaches_its_floor_with_a_probability_of_at_most_5_percent() {
    for window_secs in [1, HOUR, DAY, MONTH] {
        let windows = 366.0 * DAY as f64 / window_secs as f64;
        for rows in [1, 10, 50, 200] {
            for multiple in [1, 3, 20] {
                let all = rows * multiple;
                for rate in [0.0005, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9] {
                    let tail = upper_tail(rows, rate);
                    let references = binomial(all, rate);
                    let reached: f64 = (0..=all)
                        .map(|wrong| {
                            let reference = [(all - wrong) as u32, wrong as u32];
                            let rows = rows as u64;
                            let floor = math::noise_floor(
                                Metric::ErrorRate.into(),
                                &reference,
                                rows,
                                window_secs,
                            );
                            let share = wrong as f64 / all as f64 + floor as f64 / MICRO;
                            let least = (share * rows as f64 - 1e-6).ceil() as usize;
                            let each = tail.get(least).copied().unwrap_or(0.0);
                            references[wrong] * -(windows * (-each).ln_1p()).exp_m1()
                        })
                        .sum();
                    assert!(
                        reached <= 0.05,
                        "{reached}: {rows} rows, {all} in the reference, rate {rate}, {window_secs} s"
                    );
                }
            }
        }
    }
}

/// Windows of an hour: nine of ten model-years without drift would reach a floor for daily windows.
#[test]
fn noise_of_hourly_windows_stays_under_the_floor() {
    for case in noise::sparsest().into_iter().take(5) {
        for outcome in noise::simulate(&case, HOUR, 20, 7, noise::threads()) {
            assert!(outcome.above <= FEW, "{outcome:?}");
        }
    }
}

#[test]
fn noise_of_daily_windows_stays_under_the_floor() {
    for case in noise::sparsest() {
        for outcome in noise::simulate(&case, DAY, 30, 11, noise::threads()) {
            assert!(outcome.above <= FEW, "{outcome:?}");
        }
    }
}

/// The floor in micro-units, before rounding.
fn noise_floor(metric: Metric, reference: &[u32], n: f64, window_secs: f64) -> f64 {
    let (bins, m) = (reference.len() as f64, total(reference) as f64);
    let probability = 0.05 * window_secs / (366.0 * DAY as f64);
    let x = chi_squared_quantile(reference.len() as u32 - 1, probability);
    let s = 1.0 / n + 1.0 / m;
    let share = f64::from(*reference.iter().min().expect("bins")) / m;
    MICRO
        * match metric {
            Metric::Psi | Metric::JensenShannon => {
                let highest = x.min(chi_squared_quantile(1, probability / (10.0 * bins)));
                let ratio = bisect(0.0, 1.0, |ratio| deviance(share, ratio, n, m) < highest);
                let row = (ratio - 1.0 / (n * share)).max(0.0);
                let deviance = deviance(share, ratio, n, m);
                if metric == Metric::Psi {
                    let per_deviance = (psi(share, ratio) / deviance).max(s);
                    x * per_deviance + psi(share, row) - psi(share, ratio)
                } else {
                    let per_deviance = jensen_shannon(share, ratio) / deviance;
                    let least = s / (8.0 * 2_f64.ln());
                    let row = jensen_shannon(share, row) - jensen_shannon(share, ratio);
                    (x * per_deviance.max(least) + row).sqrt()
                }
            }
            Metric::KolmogorovSmirnov => ((2.0 / probability).ln() / 2.0 * s).sqrt(),
            Metric::TotalVariation => 0.5 * (x * s).sqrt() + 1.0 / n,
            Metric::ErrorRate => {
                let z_squared = chi_squared_quantile(1, 2.0 * probability);
                let p = (f64::from(reference[1]) + 1.0) / m;
                let third = (1.0 + 2.0 * n / (n + m)) / 3.0; // w + (1 − w)/3
                let difference = bisect(0.0, 1e3, |d| {
                    let share = (p + third * d.min(1.0)).min(0.5);
                    z_squared * share * (1.0 - share) * s <= d * d
                });
                difference + s
            }
        }
}

/// A bin's part of the deviance, if the window's share is `ratio` times that of the reference.
fn deviance(share: f64, ratio: f64, n: f64, m: f64) -> f64 {
    let both = (m + n * ratio) / (n + m);
    let term = |rows: f64, ratio: f64| rows * share * ratio * (ratio / both).max(1e-300).ln();
    2.0 * (term(n, ratio) + term(m, 1.0))
}

fn psi(share: f64, ratio: f64) -> f64 {
    share * (1.0 - ratio) * -ratio.max(1e-4).ln()
}

fn jensen_shannon(share: f64, ratio: f64) -> f64 {
    let mean = (1.0 + ratio) / 2.0;
    let term = |ratio: f64| ratio * (ratio / mean).max(1e-300).log2();
    share * (term(ratio) + term(1.0)) / 2.0
}

/// The smallest number in a range that satisfies a condition, which all larger ones satisfy too.
fn bisect(mut low: f64, mut high: f64, condition: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if condition(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// The probabilities of 0 to `n` successes.
fn binomial(n: usize, p: f64) -> Vec<f64> {
    let mut ln = n as f64 * (-p).ln_1p();
    let mut probabilities = vec![ln.exp()];
    for k in 1..=n {
        ln += ((n - k + 1) as f64 / k as f64 * p / (1.0 - p)).ln();
        probabilities.push(ln.exp());
    }
    probabilities
}

/// The probabilities of at least 0 to `n` successes.
fn upper_tail(n: usize, p: f64) -> Vec<f64> {
    let mut tail = binomial(n, p);
    for k in (0..n).rev() {
        tail[k] += tail[k + 1];
    }
    tail.iter().map(|tail| tail.min(1.0 - 1e-16)).collect()
}

/// The value that a chi-squared variable exceeds with probability `tail`.
fn chi_squared_quantile(degrees: u32, tail: f64) -> f64 {
    bisect(3.0, 200.0, |x| {
        upper_gamma(f64::from(degrees) / 2.0, x / 2.0) < tail
    })
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

/// The complementary error function, by its continued fraction, which converges fast for x over 1.
fn erfc(x: f64) -> f64 {
    let fraction = (1..400)
        .rev()
        .fold(x, |tail, k| x + f64::from(k) / 2.0 / tail);
    (-x * x).exp() / std::f64::consts::PI.sqrt() / fraction
}
