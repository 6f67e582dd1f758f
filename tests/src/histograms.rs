//! Random histograms of every kind that a metric has to handle.

use driftshield::Metric;
use rand::Rng;

const MAX_BINS: usize = 16;

/// The counts of a reference and of a window.
pub type Case = (Vec<u32>, Vec<u32>);

/// A reference and a window that `metric` is defined for.
pub fn random_case(rng: &mut impl Rng, metric: Metric) -> Case {
    let bins = random_bins(rng, metric);
    let reference = random_histogram(rng, bins);
    let current = random_window(rng, &reference);
    (reference, current)
}

/// A reference and a window that a model of `metric` accepts, and the model's `min_samples`: at most the
/// rows of either, and enough for 20 expected rows in the reference's rarest bin.
pub fn random_registrable_case(rng: &mut impl Rng, metric: Metric) -> (Case, u64) {
    let smallest = log_uniform(rng, 20, 1 << 27) as f64;
    let reference: Vec<u32> = (0..random_bins(rng, metric))
        .map(|_| (smallest * 31_f64.powf(rng.random())) as u32)
        .collect();
    let least = u64::from(*reference.iter().min().expect("two bins or more"));
    let min_samples = (20 * total(&reference)).div_ceil(least);

    let mut current = random_window(rng, &reference);
    if total(&current) < min_samples {
        let bin = rng.random_range(0..current.len());
        current[bin] += min_samples as u32;
    }
    ((reference, current), min_samples)
}

/// The number of rows.
pub fn total(counts: &[u32]) -> u64 {
    counts.iter().copied().map(u64::from).sum()
}

/// A random integer whose logarithm is uniform.
pub fn log_uniform(rng: &mut impl Rng, low: u64, high: u64) -> u64 {
    let (low_log, high_log) = ((low as f64).ln(), (high as f64).ln());
    (rng.random_range(low_log..=high_log).exp() as u64).clamp(low, high)
}

fn random_bins(rng: &mut impl Rng, metric: Metric) -> usize {
    match metric {
        Metric::ErrorRate => 2,
        _ if rng.random_bool(0.2) => 2,
        _ if rng.random_bool(0.2) => MAX_BINS,
        _ => rng.random_range(2..=MAX_BINS),
    }
}

/// A window that is similar to `reference` or unrelated to it.
fn random_window(rng: &mut impl Rng, reference: &[u32]) -> Vec<u32> {
    match rng.random_range(0..4) {
        0 => slightly_changed(rng, reference),
        1 => rescaled(rng, reference),
        _ => random_histogram(rng, reference.len()),
    }
}

/// The counts with changes to up to three bins.
fn slightly_changed(rng: &mut impl Rng, counts: &[u32]) -> Vec<u32> {
    let mut counts = counts.to_vec();
    let largest_change = log_uniform(rng, 1, 1 << 20) as u32;
    for _ in 0..rng.random_range(0..=3) {
        let bin = rng.random_range(0..counts.len());
        let change = rng.random_range(0..=largest_change);
        counts[bin] = if rng.random() {
            counts[bin].saturating_add(change)
        } else {
            counts[bin].saturating_sub(change)
        };
    }
    with_a_row(rng, counts)
}

/// Counts with another number of rows and about the same shares, up to a random relative jitter.
fn rescaled(rng: &mut impl Rng, counts: &[u32]) -> Vec<u32> {
    let factor = rng.random_range(-5.0..5.0_f64).exp();
    let jitter = rng.random_range(-20.0..0.0_f64).exp();
    let scaled = counts
        .iter()
        .map(|&count| (f64::from(count) * factor * (1.0 + jitter * rng.random::<f64>())) as u32)
        .collect();
    with_a_row(rng, scaled)
}

fn random_histogram(rng: &mut impl Rng, bins: usize) -> Vec<u32> {
    let kind = rng.random_range(0..6);
    let rows = log_uniform(rng, 1, 16 << 32) as f64;
    let full = rng.random_range(0..bins);
    let concentration = rng.random_range(0.2..5.0);
    let weights: Vec<f64> = (0..bins)
        .map(|bin| match kind {
            0 => f64::from(u8::from(bin == full)),
            1 => 1.0,
            // Some bins are empty.
            2 if rng.random() => 0.0,
            // Shares differ widely: they are powers of exponentially distributed numbers.
            _ => (-(1.0 - rng.random::<f64>()).ln()).powf(concentration),
        })
        .collect();
    let sum = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let counts = weights
        .into_iter()
        .map(|weight| match kind {
            // Counts are close to the maximum.
            5 => u32::MAX - rng.random_range(0..1_000),
            _ => (rows * weight / sum) as u32,
        })
        .collect();
    with_a_row(rng, counts)
}

/// The counts, with a row in a random bin if all are empty.
fn with_a_row(rng: &mut impl Rng, mut counts: Vec<u32>) -> Vec<u32> {
    if total(&counts) == 0 {
        let bin = rng.random_range(0..counts.len());
        counts[bin] = 1;
    }
    counts
}
