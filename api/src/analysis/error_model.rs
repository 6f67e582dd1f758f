//! Models of how far a window's deviation from a regression lasts, and the Kalman filter that removes
//! the autocorrelation.

/// A deviation is the sum of two parts: one decays by `persistence` from each window to the next one, and
/// the other is gone in the next window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorModel {
    /// Above −1 and at most 1. With 1, the lasting part is a random walk.
    pub persistence: f64,
    /// Share of the lasting part in the variance of what is new in a window, 0 to 1.
    pub lasting: f64,
}

/// Persistence of the models without a part that is gone in the next window (autoregressive models).
const PERSISTENCE: [f64; 9] = [-0.3, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 1.0];
/// Persistence of the models with both parts; 1 is the local-level model.
const PERSISTENCE_WITH_NOISE: [f64; 5] = [0.8, 0.9, 0.95, 0.98, 1.0];
/// Shares of the lasting part in models with both parts.
const LASTING: [f64; 4] = [0.01, 0.05, 0.2, 0.5];

impl ErrorModel {
    /// All models: independent windows, autoregressive ones, and those with both parts.
    pub fn all() -> Vec<Self> {
        let independent = Self {
            persistence: 0.0,
            lasting: 0.0,
        };
        let autoregressive = PERSISTENCE.map(|persistence| Self {
            persistence,
            lasting: 1.0,
        });
        let both = PERSISTENCE_WITH_NOISE.into_iter().flat_map(|persistence| {
            LASTING.map(|lasting| Self {
                persistence,
                lasting,
            })
        });
        let all = [independent].into_iter().chain(autoregressive);
        all.chain(both).collect()
    }
}

/// State of the Kalman filter before a window. Variances are relative to that of what is new in a window.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    model: ErrorModel,
    /// Variance of the lasting part, given all windows before.
    variance: f64,
}

/// What the filter says about a window.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Variance of the window's deviation, given all windows before.
    pub variance: f64,
    /// By how much what is new in the window raises the deviation that is expected of the next one.
    pub gain: f64,
}

impl Filter {
    /// The filter before the first window.
    pub fn new(model: ErrorModel) -> Self {
        let forgotten = 1.0 - model.persistence * model.persistence;
        Self {
            model,
            // A random walk starts with its first step, because the regression has an unknown level.
            variance: model.lasting / if 0.0 < forgotten { forgotten } else { 1.0 },
        }
    }

    /// Moves to the next window. `has_value` says whether this one has a value.
    pub fn step(&mut self, has_value: bool) -> Step {
        let ErrorModel {
            persistence,
            lasting,
        } = self.model;
        let variance = self.variance + 1.0 - lasting;
        let share = if has_value {
            self.variance / variance
        } else {
            0.0
        };
        self.variance = persistence * persistence * self.variance * (1.0 - share) + lasting;
        Step {
            variance,
            gain: persistence * share,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(persistence: f64, lasting: f64, windows: &[bool]) -> Vec<(f64, f64)> {
        let mut filter = Filter::new(ErrorModel {
            persistence,
            lasting,
        });
        let steps = windows.iter().map(|has_value| filter.step(*has_value));
        steps.map(|step| (step.variance, step.gain)).collect()
    }

    #[test]
    fn independent_windows_carry_nothing() {
        assert_eq!(steps(0.0, 0.0, &[true; 3]), [(1.0, 0.0); 3]);
    }

    #[test]
    fn an_autoregressive_model_starts_with_its_stationary_variance() {
        // 1 / (1 − 0.6²) = 1.5625; from then on, only what is new.
        let found = steps(0.6, 1.0, &[true; 3]);
        let expected = [(1.5625, 0.6), (1.0, 0.6), (1.0, 0.6)];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found.0 - expected.0).abs() < 1e-12);
            assert!((found.1 - expected.1).abs() < 1e-12);
        }
    }

    #[test]
    fn a_local_level_is_smoothed() {
        // Before: 0.5, plus 0.5 of noise. Half of what is new lasts, so 0.25 + 0.5 is left.
        let found = steps(1.0, 0.5, &[true, true]);
        assert_eq!(found[0], (1.0, 0.5));
        assert_eq!(found[1], (1.25, 0.6));
    }

    #[test]
    fn uncertainty_grows_over_a_window_without_a_value() {
        assert_eq!(
            steps(1.0, 1.0, &[true, false, true]),
            [(1.0, 1.0), (1.0, 0.0), (2.0, 1.0)]
        );
    }
}
