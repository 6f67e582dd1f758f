//! Regression by generalised least squares, with each model of the errors.

use super::error_model::{ErrorModel, Filter};

/// Values of the regressors in a window.
pub type Row<const P: usize> = [f64; P];

/// What is known of the size of the errors before the first value, as a number of residuals of one size.
#[derive(Clone, Copy)]
pub struct Prior {
    pub residuals: f64,
    /// Square of each of them.
    pub square: f64,
}

/// A regression with `P` coefficients, whose errors follow one model.
///
/// `squares / freedom` estimates the variance of what is new in a window, to which the covariance and the
/// filter are relative.
pub struct Fit<const P: usize> {
    pub model: ErrorModel,
    pub coefficients: Row<P>,
    pub covariance: [Row<P>; P],
    /// Sum of the squared residuals, with those of the prior.
    pub squares: f64,
    /// Number of residuals, with those of the prior, minus the number of coefficients.
    pub freedom: f64,
    /// What was new in each window with a value, divided by the standard deviation that the filter states.
    pub residuals: Vec<f64>,
    /// Filter before the window that follows the last one.
    pub filter: Filter,
    /// Deviation from the regression that is expected of the window that follows the last one.
    pub carried: f64,
    /// By how much `carried` falls when a coefficient rises by 1.
    pub carried_by: Row<P>,
    /// Logarithm of the restricted likelihood, up to a constant that all models share.
    log_likelihood: f64,
}

/// A window's value and regressors without what the windows before explain, divided by their standard
/// deviation.
struct Whitened<const P: usize> {
    rows: Vec<(f64, Row<P>)>,
    log_variances: f64,
    filter: Filter,
    carried: f64,
    carried_by: Row<P>,
}

fn whiten<const P: usize>(
    model: ErrorModel,
    values: &[Option<f64>],
    regressors: impl Fn(usize) -> Row<P>,
) -> Whitened<P> {
    let mut filter = Filter::new(model);
    let (mut carried, mut carried_by) = (0.0, [0.0; P]);
    let mut rows = Vec::with_capacity(values.len());
    let mut log_variances = 0.0;
    for (position, value) in values.iter().enumerate() {
        let step = filter.step(value.is_some());
        let Some(value) = value else {
            carried *= model.persistence;
            carried_by = carried_by.map(|entry| entry * model.persistence);
            continue;
        };
        let deviation = step.variance.sqrt();
        let new = value - carried;
        carried = model.persistence * carried + step.gain * new;
        let mut row = regressors(position);
        for (entry, carried) in row.iter_mut().zip(&mut carried_by) {
            *entry -= *carried;
            *carried = model.persistence * *carried + step.gain * *entry;
            *entry /= deviation;
        }
        rows.push((new / deviation, row));
        log_variances += step.variance.ln();
    }
    Whitened {
        rows,
        log_variances,
        filter,
        carried,
        carried_by,
    }
}

/// Fits `values` with every model of the errors. `regressors` returns those of the window at a position.
///
/// More values than coefficients must be given, and the regressors must be independent.
pub fn fit_all<const P: usize>(
    values: &[Option<f64>],
    regressors: impl Fn(usize) -> Row<P>,
    prior: Prior,
) -> Vec<Fit<P>> {
    let models = ErrorModel::all().into_iter();
    models
        .map(|model| fit(model, values, &regressors, prior))
        .collect()
}

fn fit<const P: usize>(
    model: ErrorModel,
    values: &[Option<f64>],
    regressors: impl Fn(usize) -> Row<P>,
    prior: Prior,
) -> Fit<P> {
    let whitened = whiten(model, values, regressors);
    let (mut moments, mut products) = ([[0.0; P]; P], [0.0; P]);
    for (value, row) in &whitened.rows {
        for i in 0..P {
            products[i] += row[i] * value;
            for j in 0..P {
                moments[i][j] += row[i] * row[j];
            }
        }
    }
    let (covariance, log_determinant) = inverse(moments);
    let coefficients = covariance.map(|row| dot(&row, &products));
    let residuals: Vec<f64> = whitened
        .rows
        .iter()
        .map(|(value, row)| value - dot(row, &coefficients))
        .collect();
    let squares = residuals
        .iter()
        .map(|residual| residual * residual)
        .sum::<f64>()
        + prior.residuals * prior.square;
    let freedom = residuals.len() as f64 + prior.residuals - P as f64;
    Fit {
        model,
        coefficients,
        covariance,
        squares,
        freedom,
        residuals,
        filter: whitened.filter,
        carried: whitened.carried - dot(&whitened.carried_by, &coefficients),
        carried_by: whitened.carried_by,
        log_likelihood: -0.5 * (whitened.log_variances + log_determinant + freedom * squares.ln()),
    }
}

fn dot<const P: usize>(a: &Row<P>, b: &Row<P>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Inverse of a positive definite matrix, and the logarithm of its determinant, by Gauss and Jordan.
fn inverse<const P: usize>(mut matrix: [Row<P>; P]) -> ([Row<P>; P], f64) {
    let mut inverse: [Row<P>; P] =
        std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 }));
    let mut log_determinant = 0.0;
    for k in 0..P {
        let pivot = matrix[k][k];
        log_determinant += pivot.ln();
        matrix[k] = matrix[k].map(|entry| entry / pivot);
        inverse[k] = inverse[k].map(|entry| entry / pivot);
        for i in (0..P).filter(|&i| i != k) {
            let factor = matrix[i][k];
            for j in 0..P {
                matrix[i][j] -= factor * matrix[k][j];
                inverse[i][j] -= factor * inverse[k][j];
            }
        }
    }
    (inverse, log_determinant)
}

/// How probable the model of each fit is, given the values, if all were equally probable before. The sum
/// is 1.
pub fn weights<const P: usize>(fits: &[Fit<P>]) -> Vec<f64> {
    let logs = fits.iter().map(|fit| fit.log_likelihood);
    let best = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    let relative: Vec<f64> = logs.map(|log| (log - best).exp()).collect();
    let sum: f64 = relative.iter().sum();
    relative.iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Prior = Prior {
        residuals: 0.0,
        square: 0.0,
    };

    fn model(persistence: f64, lasting: f64) -> ErrorModel {
        ErrorModel {
            persistence,
            lasting,
        }
    }

    #[test]
    fn independent_errors_give_ordinary_least_squares() {
        // Values 1, 3, 2, 6 at 0 to 3: the mean is 3, the slope 7/5, the level at 0 is 0.9.
        let values = [1.0, 3.0, 2.0, 6.0].map(Some);
        let line = |position| [1.0, position as f64];
        let fit = fit(model(0.0, 0.0), &values, line, NONE);
        assert!((fit.coefficients[0] - 0.9).abs() < 1e-12);
        assert!((fit.coefficients[1] - 1.4).abs() < 1e-12);
        // Residuals 0.1, 0.7, −1.7, 0.9; the squares of the positions around their mean sum to 5.
        assert!((fit.squares - 4.2).abs() < 1e-12 && fit.freedom == 2.0);
        assert!((fit.covariance[1][1] - 0.2).abs() < 1e-12);
        assert_eq!((fit.carried, fit.carried_by), (0.0, [0.0, 0.0]));
    }

    #[test]
    fn a_random_walk_expects_the_last_value() {
        let values = [Some(1.0), Some(3.0), None, Some(2.0), None];
        let fit = fit(model(1.0, 1.0), &values, |_| [1.0], NONE);
        assert!((fit.coefficients[0] + fit.carried - 2.0).abs() < 1e-12);
        // The level is that of the first window; the steps are 2, and −1 over two windows.
        assert!((fit.coefficients[0] - 1.0).abs() < 1e-12);
        assert!((fit.squares - (4.0 + 0.5)).abs() < 1e-12);
    }

    #[test]
    fn an_autoregressive_model_expects_a_part_of_the_deviation() {
        let values = [0.0, 0.0, 0.0, 0.0, 8.0].map(Some);
        let fit = fit(model(0.6, 1.0), &values, |_| [1.0], NONE);
        let level = fit.coefficients[0];
        assert!((fit.carried - 0.6 * (8.0 - level)).abs() < 1e-12);
        // Twice over a gap.
        let values = [&values[..], &[None]].concat();
        let later = super::fit(model(0.6, 1.0), &values, |_| [1.0], NONE);
        assert!((later.carried - 0.36 * (8.0 - level)).abs() < 1e-12);
    }

    #[test]
    fn the_inverse_of_a_matrix() {
        let (inverse, log_determinant) = inverse([[4.0, 2.0], [2.0, 3.0]]);
        let expected = [[0.375, -0.25], [-0.25, 0.5]];
        for (row, expected) in inverse.iter().zip(expected) {
            for (entry, expected) in row.iter().zip(expected) {
                assert!((entry - expected).abs() < 1e-12);
            }
        }
        assert!((log_determinant - 8.0_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn the_values_choose_the_model() {
        let prior = Prior {
            residuals: 1.0,
            square: 1e-6,
        };
        let favourite = |values: &[f64]| {
            let values: Vec<_> = values.iter().copied().map(Some).collect();
            let fits = fit_all(&values, |_| [1.0], prior);
            let weights = weights(&fits);
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let by_weight = fits.iter().zip(&weights);
            by_weight.max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0.model
        };
        let ramp: Vec<f64> = (0..60).map(f64::from).collect();
        assert_eq!(favourite(&ramp).persistence, 1.0);
        let alternating: Vec<f64> = (0..60).map(|i| f64::from(i % 2)).collect();
        assert_eq!(favourite(&alternating).persistence, -0.3);
    }
}
