//! Laws of drift, from which series are drawn.

use std::f64::consts::TAU;

use rand::{Rng, rngs::StdRng};
use rand_distr::{ChiSquared, Distribution, StandardNormal, StudentT};

/// Noise floor of the models, in micro-units.
pub const NOISE_FLOOR: u64 = 40_000;
/// Mean drift of a window of a model without drift.
const NOISE: f64 = 10_000.0;
/// Degrees of freedom of that drift: of ten bins.
const FREEDOM: f64 = 9.0;

/// How drift develops. `NOISE` is chi-squared, as the PSI of a model without drift is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Noise alone, independent from window to window.
    WhiteNoise,
    /// The logarithm is autoregressive of order 1, around a random level.
    Autoregressive(f64),
    /// The level rises by a random amount, in a random window of the history or of the future.
    Step,
    /// The level rises or falls by a random amount in each window.
    Trend,
    /// The level has a period of seven windows.
    Seasonal,
    /// Values have Student's distribution with 3 degrees of freedom, without a sign.
    HeavyTails,
    /// A random walk that is reflected at 0.
    RandomWalk,
    /// Noise, and rare windows with a high value.
    Spikes,
    /// Noise on a random walk that is reflected at 0.
    LocalLevel,
}

impl Law {
    pub const ALL: [Self; 12] = [
        Self::WhiteNoise,
        Self::Autoregressive(0.3),
        Self::Autoregressive(0.6),
        Self::Autoregressive(0.9),
        Self::Autoregressive(0.97),
        Self::Step,
        Self::Trend,
        Self::Seasonal,
        Self::HeavyTails,
        Self::RandomWalk,
        Self::Spikes,
        Self::LocalLevel,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::WhiteNoise => "white noise",
            Self::Autoregressive(0.3) => "AR(1), 0.3",
            Self::Autoregressive(0.6) => "AR(1), 0.6",
            Self::Autoregressive(0.9) => "AR(1), 0.9",
            Self::Autoregressive(_) => "AR(1), 0.97",
            Self::Step => "step",
            Self::Trend => "trend",
            Self::Seasonal => "seasonal",
            Self::HeavyTails => "heavy tails",
            Self::RandomWalk => "random walk",
            Self::Spikes => "spikes",
            Self::LocalLevel => "local level",
        }
    }

    /// Draws the drift of consecutive windows, in micro-units.
    pub fn draw(self, windows: usize, rng: &mut StdRng) -> Vec<u64> {
        let drift = match self {
            Self::WhiteNoise => vec![0.0; windows],
            Self::Autoregressive(correlation) => return autoregressive(correlation, windows, rng),
            Self::Step => {
                let (at, rise) = (rng.random_range(0..windows), rng.random_range(1.0..20.0));
                let level = |window| if window < at { 0.0 } else { rise * NOISE };
                (0..windows).map(level).collect()
            }
            Self::Trend => {
                let slope: f64 = rng.random_range(-500.0..1_500.0);
                let start: f64 = rng.random_range(0.0..50_000.0);
                let level = |window: usize| start + slope * window as f64;
                (0..windows).map(level).collect()
            }
            Self::Seasonal => {
                let (size, phase) = (rng.random_range(0.5..6.0), rng.random_range(0.0..TAU));
                let level = |window: usize| {
                    size * NOISE * (1.0 + (phase + TAU * window as f64 / 7.0).sin())
                };
                (0..windows).map(level).collect()
            }
            Self::HeavyTails => return heavy_tails(windows, rng),
            Self::RandomWalk => {
                let step = rng.random_range(0.1..0.8);
                return micro(reflected(2.0 * NOISE, step * NOISE, windows, rng));
            }
            Self::Spikes => (0..windows).map(|_| spike(rng)).collect(),
            Self::LocalLevel => {
                let step = rng.random_range(0.05..0.5);
                reflected(0.0, step * NOISE, windows, rng)
            }
        };
        let noise = ChiSquared::new(FREEDOM).expect("a positive number");
        let with_noise = drift
            .iter()
            .map(|level| level + NOISE / FREEDOM * noise.sample(rng));
        micro(with_noise.collect())
    }
}

/// Drift has no sign, and is in whole micro-units.
fn micro(drift: Vec<f64>) -> Vec<u64> {
    drift.into_iter().map(|drift| drift as u64).collect()
}

fn normal(rng: &mut StdRng) -> f64 {
    rng.sample(StandardNormal)
}

fn autoregressive(correlation: f64, windows: usize, rng: &mut StdRng) -> Vec<u64> {
    let level = NOISE.ln() + rng.random_range(0.0..2.5);
    let new = (1.0 - correlation * correlation).sqrt();
    let mut deviation = normal(rng);
    let drift = (0..windows).map(|_| {
        deviation = correlation * deviation + new * normal(rng);
        (level + 0.5 * deviation).exp()
    });
    micro(drift.collect())
}

fn heavy_tails(windows: usize, rng: &mut StdRng) -> Vec<u64> {
    let student = StudentT::new(3.0).expect("a positive number");
    let drift = (0..windows).map(|_| (NOISE * (2.0 + student.sample(rng))).abs());
    micro(drift.collect())
}

fn reflected(start: f64, step: f64, windows: usize, rng: &mut StdRng) -> Vec<f64> {
    let mut level = start;
    let drift = (0..windows).map(|_| {
        level = (level + step * normal(rng)).abs();
        level
    });
    drift.collect()
}

fn spike(rng: &mut StdRng) -> f64 {
    if rng.random::<f64>() < 0.03 {
        NOISE * rng.random_range(5.0..50.0)
    } else {
        0.0
    }
}
