//! Volatility: how much drift changes from window to window.

use super::{History, Refusal, finite};

/// Number of changes that the statistics need.
pub const MIN_CHANGES: usize = 2;
/// Weight of the past in the exponentially weighted average, as in RiskMetrics (1996) for daily data.
const DECAY: f64 = 0.94;

/// Size of the changes between consecutive windows with values, in micro-units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Volatility {
    /// Standard deviation of the changes.
    pub standard_deviation: f64,
    /// Root of the exponentially weighted mean of the squared changes, of which the newest weighs most.
    pub ewma: f64,
    /// Number of changes.
    pub changes: usize,
}

pub fn volatility(history: &History) -> Result<Volatility, Refusal> {
    let changes: Vec<f64> = history
        .pairs()
        .map(|(before, after)| after - before)
        .collect();
    if changes.len() < MIN_CHANGES {
        return Err(Refusal::TooSparse {
            changes: changes.len(),
        });
    }
    let count = changes.len() as f64;
    let mean = changes.iter().sum::<f64>() / count;
    let squares: f64 = changes.iter().map(|change| (change - mean).powi(2)).sum();
    let weighted = changes.iter().map(|change| change * change);
    let weighted = weighted
        .reduce(|average, square| DECAY * average + (1.0 - DECAY) * square)
        .unwrap_or_default();
    Ok(Volatility {
        standard_deviation: finite((squares / (count - 1.0)).sqrt())?,
        ewma: finite(weighted.sqrt())?,
        changes: changes.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(windows: &[Option<u64>]) -> Result<Volatility, Refusal> {
        volatility(&History::new(windows))
    }

    #[test]
    fn only_consecutive_windows_count() {
        // Changes 2 and −4: mean −1, squares 9 + 9.
        let found = of(&[Some(3), Some(5), None, Some(9), Some(5), None]).unwrap();
        assert_eq!(found.changes, 2);
        assert!((found.standard_deviation - 18.0_f64.sqrt()).abs() < 1e-12);
        // 0.94 · 4 + 0.06 · 16
        assert!((found.ewma - 4.72_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn equal_windows_have_none() {
        let found = of(&[Some(7); 9]).unwrap();
        assert_eq!((found.standard_deviation, found.ewma), (0.0, 0.0));
    }

    #[test]
    fn one_change_is_too_few() {
        for windows in [&[][..], &[Some(1)], &[Some(1), Some(2)], &[None; 5]] {
            assert!(matches!(of(windows), Err(Refusal::TooSparse { .. })));
        }
    }
}
