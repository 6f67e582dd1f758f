//! How often the noise of models without drift reaches their noise floor, by simulation.

use std::{num::NonZero, sync::atomic::AtomicU64, sync::atomic::Ordering, thread};

use driftshield::{Metric, math};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::Serialize;

use crate::histograms::total;

/// A model without drift.
pub struct Case {
    pub name: &'static str,
    pub metrics: &'static [Metric],
    /// Rows of the reference, by bin.
    pub reference: Vec<u32>,
    pub edges: Edges,
}

/// Where the edges of the bins come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// They are quantiles of the reference, as `crank spec` chooses them. The reference's counts are then
    /// given, and the true shares are random: spacings of order statistics.
    Quantiles,
    /// They were fixed before the reference was drawn, with the shares of `Case::reference`.
    Fixed,
}

/// The metrics of any number of bins.
pub const BINNED: [Metric; 4] = [
    Metric::Psi,
    Metric::JensenShannon,
    Metric::KolmogorovSmirnov,
    Metric::TotalVariation,
];

/// The sparsest models that registration accepts: a window has fifty rows in the rarest bin, of two to
/// sixteen bins, equal or as uneven as possible, with the smallest reference and with a large one. Error
/// rates, for which no number of rows is required, have few errors or few rows.
pub fn sparsest() -> Vec<Case> {
    let binned = |name, reference, edges| Case {
        name,
        metrics: &BINNED,
        reference,
        edges,
    };
    let errors = |name, reference: [u32; 2]| Case {
        name,
        metrics: &[Metric::ErrorRate],
        reference: reference.to_vec(),
        edges: Edges::Fixed,
    };
    let uneven = |rows| [vec![rows; 15], vec![85 * rows]].concat();
    vec![
        binned("2 equal bins", vec![50; 2], Edges::Quantiles),
        binned(
            "2 equal bins, large reference",
            vec![5_000; 2],
            Edges::Quantiles,
        ),
        binned("2 bins, one of 2%", vec![50, 2_450], Edges::Quantiles),
        binned(
            "2 bins, one of 2%, large reference",
            vec![5_000, 245_000],
            Edges::Quantiles,
        ),
        binned(
            "4 equal bins, large reference",
            vec![5_000; 4],
            Edges::Quantiles,
        ),
        binned("16 equal bins", vec![50; 16], Edges::Quantiles),
        binned(
            "16 equal bins, large reference",
            vec![5_000; 16],
            Edges::Quantiles,
        ),
        binned("16 bins, 15 of 1%", uneven(50), Edges::Quantiles),
        binned(
            "16 bins, 15 of 1%, large reference",
            uneven(5_000),
            Edges::Quantiles,
        ),
        binned("16 equal bins, fixed edges", vec![200; 16], Edges::Fixed),
        binned(
            "2 bins, one of 2%, fixed edges",
            vec![200, 9_800],
            Edges::Fixed,
        ),
        errors("1 error in 1,000 rows", [999, 1]),
        errors("1 error in 1,000 rows, large reference", [99_900, 100]),
        errors("50% of 50 rows", [25, 25]),
        errors("20% of 1,000 rows, large reference", [80_000, 20_000]),
    ]
}

/// What a simulation shows of one metric.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub case: &'static str,
    pub metric: String,
    pub window_secs: u64,
    pub model_years: u64,
    pub seed: u64,
    /// Share of the model-years with a window at or above the floor.
    pub above: f64,
    /// The floor, relative to what 95% of the model-years stay at or below: how much higher than needed
    /// it is.
    pub ratio: f64,
}

/// Simulates `years` years of the model with windows of `window_secs`, on `threads` threads. The outcome
/// depends on `seed` alone.
pub fn simulate(
    case: &Case,
    window_secs: u64,
    years: u64,
    seed: u64,
    threads: usize,
) -> Vec<Outcome> {
    let next = AtomicU64::new(0);
    let run = || {
        let mut done = vec![];
        loop {
            let year = next.fetch_add(1, Ordering::Relaxed);
            if years <= year {
                return done;
            }
            let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(1 << 32).wrapping_add(year));
            done.push(simulate_year(case, window_secs, &mut rng));
        }
    };
    let done: Vec<Year> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let done = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        done.flatten().collect()
    });
    let outcome = |(index, metric): (usize, &Metric)| {
        let above = done
            .iter()
            .filter(|year| year[index].floor <= year[index].highest);
        // By how much the year's floor could be lower.
        let mut ratios: Vec<f64> = done
            .iter()
            .map(|year| year[index].highest as f64 / year[index].floor as f64)
            .collect();
        ratios.sort_by(f64::total_cmp);
        Outcome {
            case: case.name,
            metric: format!("{metric:?}"),
            window_secs,
            model_years: years,
            seed,
            above: rounded(above.count() as f64 / years as f64, 1e4),
            ratio: rounded(1.0 / ratios[(ratios.len() * 95).div_ceil(100) - 1], 1e3),
        }
    };
    case.metrics.iter().enumerate().map(outcome).collect()
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// One year of one metric.
struct Highest {
    highest: u64,
    floor: u64,
}

/// One year, by metric.
type Year = Vec<Highest>;

fn simulate_year(case: &Case, window_secs: u64, rng: &mut StdRng) -> Year {
    let windows = (366 * 24 * 60 * 60_u64).div_ceil(window_secs);
    let run = simulate_windows(case, windows, rng);
    let floor =
        |metric: Metric| math::noise_floor(metric.into(), &run.reference, run.rows, window_secs);
    let metrics = case.metrics.iter().zip(run.highest);
    metrics
        .map(|(&metric, highest)| Highest {
            highest,
            floor: floor(metric),
        })
        .collect()
}

/// A number of windows of a model without drift.
pub struct Run {
    pub reference: Vec<u32>,
    /// Rows of each window.
    pub rows: u64,
    /// The largest drift of all windows, by metric.
    pub highest: Vec<u64>,
}

pub fn simulate_windows(case: &Case, windows: u64, rng: &mut StdRng) -> Run {
    let (shares, reference, rows) = draw_model(case, rng);
    let sampler = Sampler::new(rows);
    let mut highest = vec![0; case.metrics.len()];
    let mut counts = vec![0; shares.len()];
    for _ in 0..windows {
        sampler.multinomial(&shares, &mut counts, rng);
        for (&metric, highest) in case.metrics.iter().zip(&mut highest) {
            *highest = (*highest).max(math::drift(metric.into(), &reference, &counts));
        }
    }
    Run {
        reference,
        rows,
        highest,
    }
}

/// The true shares, a reference, and the smallest `min_samples` that registration accepts with it. Of an
/// error rate it is a hundredth of a large reference, and all of another one.
fn draw_model(case: &Case, rng: &mut StdRng) -> (Vec<f64>, Vec<u32>, u64) {
    let all = total(&case.reference);
    let given: Vec<f64> = case.reference.iter().map(|&rows| f64::from(rows)).collect();
    if case.edges == Edges::Quantiles {
        let gaps: Vec<f64> = given.iter().map(|&rows| gamma(rows, rng)).collect();
        let sum: f64 = gaps.iter().sum();
        let shares = gaps.iter().map(|gap| gap / sum).collect();
        return (
            shares,
            case.reference.clone(),
            least_samples(&case.reference),
        );
    }
    let shares: Vec<f64> = given.iter().map(|rows| rows / all as f64).collect();
    let sampler = Sampler::new(all);
    let mut reference = vec![0; given.len()];
    loop {
        sampler.multinomial(&shares, &mut reference, rng);
        if case.metrics == [Metric::ErrorRate] {
            return (
                shares,
                reference,
                if all <= 1_000 { all } else { all / 100 },
            );
        }
        let least = least_samples(&reference);
        if least <= all {
            return (shares, reference, least);
        }
    }
}

fn least_samples(reference: &[u32]) -> u64 {
    let rarest = u64::from(*reference.iter().min().expect("two bins or more"));
    (driftshield::MIN_EXPECTED_ROWS * total(reference)).div_ceil(rarest.max(1))
}

/// A gamma-distributed number, by the method of Marsaglia and Tsang (2000).
fn gamma(shape: f64, rng: &mut StdRng) -> f64 {
    let d = shape - 1.0 / 3.0;
    loop {
        // A normally distributed number, by Box and Muller.
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * rng.random::<f64>()).cos();
        let v = (1.0 + normal / (9.0 * d).sqrt()).powi(3);
        let accepted = (1.0 - rng.random::<f64>()).ln();
        if 0.0 < v && accepted < normal * normal / 2.0 + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// Draws from binomial distributions of up to a number of rows.
struct Sampler {
    rows: u64,
    /// The logarithms of the factorials.
    ln_factorials: Vec<f64>,
}

impl Sampler {
    fn new(rows: u64) -> Self {
        let mut ln_factorials = vec![0.0];
        for i in 1..=rows {
            ln_factorials.push(ln_factorials.last().expect("0!") + (i as f64).ln());
        }
        Self {
            rows,
            ln_factorials,
        }
    }

    /// Draws the counts of all rows, bin by bin.
    fn multinomial(&self, shares: &[f64], counts: &mut [u32], rng: &mut StdRng) {
        let (mut rows, mut rest) = (self.rows, 1.0);
        let last = shares.len() - 1;
        for (count, share) in counts[..last].iter_mut().zip(shares) {
            let drawn = self.binomial(rows, (share / rest).min(1.0), rng);
            (*count, rows, rest) = (drawn as u32, rows - drawn, rest - share);
        }
        counts[last] = rows as u32;
    }

    /// Inverts the distribution function, from the mode outwards on both sides in turn.
    fn binomial(&self, n: u64, p: f64, rng: &mut StdRng) -> u64 {
        if n == 0 || p <= 0.0 {
            return 0;
        }
        if 1.0 <= p {
            return n;
        }
        let mode = (((n + 1) as f64 * p) as u64).min(n);
        let ln = |i: u64| self.ln_factorials[i as usize];
        let (k, q) = (mode as f64, (n - mode) as f64);
        let at_mode = (ln(n) - ln(mode) - ln(n - mode) + k * p.ln() + q * (-p).ln_1p()).exp();
        let odds = p / (1.0 - p);
        let (mut low, mut high) = ((mode, at_mode), (mode, at_mode));
        let mut left = rng.random::<f64>() - at_mode;
        while 0.0 <= left {
            let (before, exhausted) = (left, low.0 == 0 && high.0 == n);
            if high.0 < n {
                high.1 *= odds * (n - high.0) as f64 / (high.0 + 1) as f64;
                high.0 += 1;
                left -= high.1;
                if left < 0.0 {
                    return high.0;
                }
            }
            if 0 < low.0 {
                low.1 *= low.0 as f64 / (odds * (n - low.0 + 1) as f64);
                low.0 -= 1;
                left -= low.1;
                if left < 0.0 {
                    return low.0;
                }
            }
            // What is left is a rounding error.
            if exhausted || left == before {
                break;
            }
        }
        mode
    }
}

/// The number of processors, at most two.
pub fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(2)
}
