//! Simulated futures of a history.

use rand::Rng;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{ChiSquared, Distribution, StandardNormal, StudentT};

use super::{
    error_model::Step,
    regression::{Fit, weights},
};

/// Number of simulated futures. The standard error of a chance is at most ½ / √`PATHS`.
pub const PATHS: usize = 4_000;
/// Number of windows that the assumed distribution of what is new counts as, beside those of the history.
const ASSUMED: f64 = 4.0;
/// Degrees of freedom of that distribution, Student's.
const FREEDOM: f64 = 5.0;
/// Width by which residuals are smoothed, in standard deviations.
const SMOOTHING: f64 = 0.3;

/// Simulates [`PATHS`] futures of `windows` windows, and passes each to `visit`. Values below 0 don't
/// occur: they are 0, and a level below 0 is reflected.
///
/// Each model of the errors has paths in proportion to its weight. A path draws the variance and the level
/// as far as the history leaves them open, and then the windows, one by one.
pub fn simulate(fits: &[Fit<1>], windows: usize, mut visit: impl FnMut(&[f64])) {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut path = vec![0.0; windows];
    let (mut due, mut done) = (0.0, 0);
    for (fit, weight) in fits.iter().zip(weights(fits)) {
        due += weight * PATHS as f64;
        let paths = (due.round() as usize).min(PATHS) - done;
        if paths == 0 {
            continue;
        }
        done += paths;
        let future = Future::new(fit, windows);
        for _ in 0..paths {
            future.draw(&mut path, &mut rng);
            visit(&path);
        }
    }
}

/// What one fit says about the windows to come.
struct Future<'a> {
    fit: &'a Fit<1>,
    steps: Vec<Step>,
    /// Residuals with a mean of 0, relative to the estimated standard deviation of what is new.
    residuals: Vec<f64>,
    squared_scale: ChiSquared<f64>,
    assumed: StudentT<f64>,
}

impl<'a> Future<'a> {
    fn new(fit: &'a Fit<1>, windows: usize) -> Self {
        let mut filter = fit.filter;
        let count = fit.residuals.len() as f64;
        let mean = fit.residuals.iter().sum::<f64>() / count;
        let scale = (fit.squares / fit.freedom).sqrt();
        let residuals = fit.residuals.iter();
        Self {
            fit,
            steps: (0..windows).map(|_| filter.step(true)).collect(),
            residuals: residuals
                .map(|residual| (residual - mean) / scale)
                .collect(),
            squared_scale: ChiSquared::new(fit.freedom).expect("more values than coefficients"),
            assumed: StudentT::new(FREEDOM).expect("a positive number"),
        }
    }

    fn draw(&self, path: &mut [f64], rng: &mut ChaCha8Rng) {
        let fit = self.fit;
        let scale = (fit.squares / self.squared_scale.sample(rng)).sqrt();
        let error = scale * fit.covariance[0][0].sqrt() * normal(rng);
        let level = fit.coefficients[0] + error;
        let mut carried = fit.carried - fit.carried_by[0] * error;
        for (value, step) in path.iter_mut().zip(&self.steps) {
            if level + carried < 0.0 {
                carried = -level - level - carried;
            }
            let new = scale * step.variance.sqrt() * self.new_relative(rng);
            *value = (level + carried + new).max(0.0);
            carried = fit.model.persistence * carried + step.gain * new;
        }
    }

    /// What is new in a window, relative to its standard deviation: a smoothed residual of the history or,
    /// the more probably the shorter the history is, a number of the assumed distribution.
    fn new_relative(&self, rng: &mut ChaCha8Rng) -> f64 {
        let count = self.residuals.len();
        if rng.random::<f64>() * (count as f64 + ASSUMED) < ASSUMED {
            return self.assumed.sample(rng) / (FREEDOM / (FREEDOM - 2.0)).sqrt();
        }
        let residual = self.residuals[rng.random_range(0..count)];
        (residual + SMOOTHING * normal(rng)) / (1.0 + SMOOTHING * SMOOTHING).sqrt()
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(StandardNormal)
}
