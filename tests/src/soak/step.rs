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

/// Runs `act`. A panic counts as a violation: the checks of [`crate::world::World`] panic.
pub fn guarded<T>(act: impl FnOnce() -> Checked<T>) -> Checked<T> {
    let acting = std::panic::AssertUnwindSafe(act);
    std::panic::catch_unwind(acting).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or(panic.downcast_ref::<&str>().copied());
        Err(Violation(format!(
            "panicked: {}",
            message.unwrap_or("without a message")
        )))
    })
}
