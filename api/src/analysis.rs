//! Drift analysis: what a model's history says about its drift to come.
//!
//! Pure functions of a [`History`] and of thresholds. The same input always gives the same result, in a
//! time that [`MAX_WINDOWS`], [`MAX_THRESHOLDS`] and [`MAX_AHEAD`] bound. Drift is in micro-units.
//! `docs/drift-analysis.md` states the formulas, their sources and what they are worth.

mod chances;
mod changes;
mod error_model;
mod history;
mod paths;
#[cfg(test)]
mod properties;
mod regression;
mod trend;
mod volatility;

use std::fmt::{self, Display, Formatter};

pub use chances::{Chance, Chances, MAX_AHEAD, MAX_THRESHOLDS, Question, chances};
pub use changes::{Change, MAX_CHANGES, changes};
pub use history::{History, MAX_WINDOWS};
pub use paths::PATHS;
pub use trend::{Trend, trend};
pub use volatility::{Volatility, volatility};

/// Number of windows with a value that an analysis needs.
// The program sells no cover on less history either.
pub const MIN_VALUES: usize = driftshield_sdk::MIN_HISTORY as usize;

/// Why a part of the analysis has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too few windows have a value.
    TooShort { values: usize },
    /// Too few consecutive windows have a value.
    TooSparse { changes: usize },
    /// The values are so far apart that the result is no finite number.
    OutOfRange,
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { values } => write!(
                f,
                "the history has {values} windows with a value; {MIN_VALUES} are needed"
            ),
            Self::TooSparse { changes } => write!(
                f,
                "the history has {changes} changes between consecutive windows; {} are needed",
                volatility::MIN_CHANGES
            ),
            Self::OutOfRange => f.write_str("the values are too far apart for this statistic"),
        }
    }
}

/// Returns the number if it is finite. Each statistic passes through here.
fn finite(number: f64) -> Result<f64, Refusal> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(Refusal::OutOfRange)
    }
}
