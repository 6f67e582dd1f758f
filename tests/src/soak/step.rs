//! Steps of a run, and the violations that checks find.

use super::call::Call;

/// One step of a run.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "only a few exist at a time")]
pub enum Step {
    /// Waits until a unix timestamp in seconds; does nothing if it has passed.
    Until(i64),
    /// Changes the rent, to a number of lamports per byte.
    Rent(u64),
    Call(Call),
}

/// A description of a property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

pub type Checked<T = ()> = Result<T, Violation>;

/// Returns a violation unless `holds`.
pub(super) fn ensure(holds: bool, description: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Violation(description()))
    }
}
