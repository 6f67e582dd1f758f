//! What the analysis reads: a model's drift, window by window.

use super::{MIN_VALUES, Refusal};

/// Number of newest windows that are analysed.
pub const MAX_WINDOWS: usize = 512;

/// Drift of consecutive windows in micro-units, oldest first. `None` is a window without a value.
///
/// The first window has a value, unless none has.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    windows: Vec<Option<f64>>,
}

impl History {
    /// Takes the newest [`MAX_WINDOWS`] of consecutive windows.
    pub fn new(windows: &[Option<u64>]) -> Self {
        let newest = &windows[windows.len().saturating_sub(MAX_WINDOWS)..];
        let first = newest.iter().position(Option::is_some);
        let windows = newest[first.unwrap_or(newest.len())..].iter();
        Self {
            windows: windows
                .map(|value| value.map(|micro| micro as f64))
                .collect(),
        }
    }

    /// All windows, from the oldest one with a value.
    pub fn windows(&self) -> &[Option<f64>] {
        &self.windows
    }

    /// Position and drift of each window with a value.
    pub fn observed(&self) -> Vec<(usize, f64)> {
        let windows = self.windows.iter().enumerate();
        windows
            .filter_map(|(position, value)| Some((position, (*value)?)))
            .collect()
    }

    /// The windows with a value, if they are enough for an analysis.
    pub fn enough(&self) -> Result<Vec<(usize, f64)>, Refusal> {
        let observed = self.observed();
        if observed.len() < MIN_VALUES {
            return Err(Refusal::TooShort {
                values: observed.len(),
            });
        }
        Ok(observed)
    }

    /// Drift of each pair of consecutive windows with values.
    pub fn pairs(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let pairs = self.windows.windows(2);
        pairs.filter_map(|pair| Some((pair[0]?, pair[1]?)))
    }

    /// The history with each value replaced.
    pub fn map(&self, convert: impl Fn(f64) -> f64) -> Self {
        let windows = self.windows.iter();
        Self {
            windows: windows.map(|value| value.map(&convert)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_starts_at_a_value_and_has_the_newest_windows() {
        let windows = [None, Some(1), None, Some(2), Some(4), None];
        let history = History::new(&windows);
        assert_eq!(history.windows().len(), 5);
        assert_eq!(history.observed(), [(0, 1.0), (2, 2.0), (3, 4.0)]);
        assert_eq!(history.pairs().collect::<Vec<_>>(), [(2.0, 4.0)]);

        let windows: Vec<_> = (0..1_000).map(Some).collect();
        let history = History::new(&windows);
        assert_eq!(history.windows().len(), MAX_WINDOWS);
        assert_eq!(history.windows().last(), Some(&Some(999.0)));
    }

    #[test]
    fn a_history_without_values_is_empty() {
        for windows in [&[][..], &[None; 7]] {
            assert!(History::new(windows).windows().is_empty());
        }
    }

    #[test]
    fn eight_values_are_enough() {
        let windows = [Some(0); 8];
        assert!(History::new(&windows).enough().is_ok());
        assert_eq!(
            History::new(&windows[1..]).enough(),
            Err(Refusal::TooShort { values: 7 })
        );
    }
}
