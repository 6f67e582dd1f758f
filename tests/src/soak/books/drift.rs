//! Drift of counts from a reference, in fractions or floating point.

use driftshield_sdk::Metric;

/// The lowest and the highest drift, in micro-units, that the protocol allows for `counts`. For PSI and
/// Jensen-Shannon, both are within 2 of the result in floating point. For the other metrics, the drift is
/// a rational number: both equal the drift if it is an integer, and otherwise the integers around it.
pub fn drift(metric: Metric, reference: &[u32], counts: &[u32]) -> (u64, u64) {
    let total = |counts: &[u32]| counts.iter().map(|&count| i128::from(count)).sum::<i128>();
    let (m, n) = (total(reference), total(counts));
    // Differences of shares times m · n, which are integers.
    let gaps = std::iter::zip(reference, counts)
        .map(|(&p, &q)| i128::from(q) * m - i128::from(p) * n)
        .collect::<Vec<_>>();
    let (numerator, denominator) = match metric {
        Metric::ErrorRate => (gaps[1].max(0), m * n),
        Metric::TotalVariation => (gaps.iter().map(|gap| gap.abs()).sum(), 2 * m * n),
        Metric::KolmogorovSmirnov => {
            let running = gaps.iter().scan(0, |sum, gap| {
                *sum += gap;
                Some(i128::abs(*sum))
            });
            (running.max().unwrap_or(0), m * n)
        }
        Metric::Psi | Metric::JensenShannon => {
            let value = logarithmic(metric, reference, counts);
            return ((value - 2.0).max(0.0).ceil() as u64, (value + 2.0) as u64);
        }
    };
    let micro = numerator * 1_000_000;
    let floor = (micro / denominator) as u64;
    let is_integer = micro % denominator == 0;
    (floor, if is_integer { floor } else { floor + 1 })
}

/// PSI or the Jensen-Shannon distance, in micro-units.
fn logarithmic(metric: Metric, reference: &[u32], counts: &[u32]) -> f64 {
    let shares = |counts: &[u32]| {
        let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
        let share = |&count: &u32| (f64::from(count) / total).max(0.0001);
        counts.iter().map(share).collect::<Vec<f64>>()
    };
    let pairs = std::iter::zip(shares(reference), shares(counts));
    let value = if metric == Metric::Psi {
        pairs.map(|(p, q)| (q - p) * (q / p).ln()).sum::<f64>()
    } else {
        let divergence = pairs.map(|(p, q)| {
            let middle = (p + q) / 2.0;
            (p * (p / middle).log2() + q * (q / middle).log2()) / 2.0
        });
        divergence.sum::<f64>().max(0.0).sqrt()
    };
    value * 1_000_000.0
}
