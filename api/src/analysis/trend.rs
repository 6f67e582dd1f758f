//! Trend: by how much drift rises from window to window.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{
    History, Refusal, finite,
    regression::{Prior, fit_all, weights},
};

/// Probability of a trend at least as steep, up or down, in a history without one, below which a trend is
/// called significant.
const SIGNIFICANT: f64 = 0.05;

/// A straight line through the history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Change of drift per window, in micro-units.
    pub slope: f64,
    pub standard_error: f64,
    /// Probability of a slope at least as steep, up or down, if there is no trend.
    pub p_value: f64,
}

impl Trend {
    pub fn is_significant(&self) -> bool {
        self.p_value < SIGNIFICANT
    }
}

/// Fits a line with every model of the errors. The slope is the mean of the slopes by the weights of the
/// models, and the standard error includes how far the slopes are apart.
pub fn trend(history: &History) -> Result<Trend, Refusal> {
    let observed = history.enough()?;
    let count = observed.len() as f64;
    let mean = observed.iter().map(|(_, drift)| drift).sum::<f64>() / count;
    let squares = observed.iter().map(|(_, drift)| (drift - mean).powi(2));
    let unit = (squares.sum::<f64>() / count).sqrt();
    if unit == 0.0 {
        return Ok(Trend {
            slope: 0.0,
            standard_error: 0.0,
            p_value: 1.0,
        });
    }
    let values = history.map(|drift| (drift - mean) / unit);
    let len = values.windows().len() as f64;
    let line = |position| [1.0, position as f64 / len - 0.5];
    let rounding = Prior {
        residuals: 1.0,
        // Variance of what rounding to micro-units adds.
        square: 1.0 / (12.0 * unit * unit),
    };
    let fits = fit_all(values.windows(), line, rounding);
    let (mut slope, mut square, mut below) = (0.0, 0.0, 0.0);
    for (fit, weight) in fits.iter().zip(weights(&fits)) {
        let rise = fit.coefficients[1];
        let variance = fit.squares / fit.freedom * fit.covariance[1][1];
        slope += weight * rise;
        square += weight * (variance + rise * rise);
        let student = StudentsT::new(0.0, 1.0, fit.freedom).map_err(|_| Refusal::OutOfRange)?;
        below += weight * student.cdf(rise / variance.sqrt());
    }
    let scale = unit / len;
    Ok(Trend {
        slope: finite(slope * scale)?,
        standard_error: finite((square - slope * slope).max(0.0).sqrt() * scale)?,
        p_value: finite(2.0 * below.min(1.0 - below))?.clamp(0.0, 1.0),
    })
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    fn of(windows: impl IntoIterator<Item = u64>) -> Trend {
        let windows: Vec<_> = windows.into_iter().map(Some).collect();
        trend(&History::new(&windows)).unwrap()
    }

    #[test]
    fn a_straight_line_is_found_exactly() {
        let found = of((0..40).map(|window| 5_000 + 250 * window));
        assert!((found.slope - 250.0).abs() < 1e-6, "{found:?}");
        assert!(found.standard_error < 1.0 && found.is_significant());
    }

    #[test]
    fn a_falling_line_with_gaps_is_found() {
        let windows: Vec<_> = (0..60_u64)
            .map(|window| (window % 7 != 3).then_some(90_000 - 1_000 * window + 700 * (window % 2)))
            .collect();
        let found = trend(&History::new(&windows)).unwrap();
        assert!((found.slope + 1_000.0).abs() < 10.0, "{found:?}");
        assert!(found.is_significant());
    }

    #[test]
    fn equal_windows_have_no_trend() {
        let found = of([7; 20]);
        assert_eq!((found.slope, found.standard_error), (0.0, 0.0));
        assert_eq!((found.p_value, found.is_significant()), (1.0, false));
    }

    #[test]
    fn windows_that_mirror_each_other_have_no_trend() {
        let rising = [40_u64, 10, 30, 20, 50, 35, 15, 45, 25, 5];
        let found = of(rising.into_iter().chain(rising.into_iter().rev()));
        assert!(found.slope.abs() < 1e-9, "{found:?}");
        assert!(0.99 < found.p_value);
    }

    #[test]
    fn a_random_walk_is_rarely_taken_for_a_trend() {
        let (mut found, mut found_by_least_squares) = (0, 0);
        for seed in 0..40 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut level = 1_000_000;
            let mut step = |_| {
                level = level + rng.random_range(0..=20_000) - 10_000;
                level
            };
            let walk: Vec<u64> = (0..80).map(&mut step).collect();
            found += u32::from(of(walk.iter().copied()).is_significant());
            found_by_least_squares += u32::from(2.0 < least_squares_ratio(&walk));
        }
        assert!(found <= 6, "{found} of 40 walks");
        assert!(
            25 < found_by_least_squares,
            "{found_by_least_squares} of 40 walks"
        );
    }

    /// Slope by its standard error, if the windows were independent.
    fn least_squares_ratio(walk: &[u64]) -> f64 {
        let count = walk.len() as f64;
        let mean = walk.iter().sum::<u64>() as f64 / count;
        let points = || {
            (0..)
                .zip(walk)
                .map(|(x, y)| (f64::from(x) - (count - 1.0) / 2.0, *y as f64 - mean))
        };
        let length: f64 = points().map(|(x, _)| x * x).sum();
        let slope = points().map(|(x, y)| x * y).sum::<f64>() / length;
        let squares: f64 = points().map(|(x, y)| (y - slope * x).powi(2)).sum();
        slope.abs() / (squares / (count - 2.0) / length).sqrt()
    }

    #[test]
    fn seven_windows_are_too_few() {
        let refusal = trend(&History::new(&[Some(1); 7]));
        assert_eq!(refusal, Err(Refusal::TooShort { values: 7 }));
    }
}
