/// What somebody found a window to be: an oracle by its counts, a quorum by its submissions, or the
/// arbiter by a ruling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measurement {
    /// Drift, in micro-units.
    Value(u64),
    /// The window has fewer rows than the model's `min_samples`, and therefore no value.
    Thin,
}

impl Measurement {
    /// Whether two measurements agree: both are thin, or their values lie within `max_spread`.
    pub fn agrees(self, other: Self, max_spread: u64) -> bool {
        match (self, other) {
            (Self::Value(value), Self::Value(other)) => value.abs_diff(other) <= max_spread,
            (Self::Thin, Self::Thin) => true,
            _ => false,
        }
    }

    /// Returns the drift in micro-units; 0 if the window is thin.
    pub fn value(self) -> u64 {
        match self {
            Self::Value(value) => value,
            Self::Thin => 0,
        }
    }
}
