//! Conversion of a file's values to keys and measured numbers.

use std::fmt;

use chrono::DateTime;

/// Microseconds in a second.
pub const MICROS: i64 = 1_000_000;

/// Reason to refuse an integer that an `f64` can't hold exactly: two different integers could
/// compare as equal.
pub const INEXACT: &str = "is beyond ±2^53, the limit up to which integers are measured exactly";

/// How the column that orders the rows is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Integers unchanged; Parquet timestamps in their own unit.
    Integer,
    /// Microseconds since 1970, read from unix seconds, RFC 3339 texts or Parquet timestamps.
    Time,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "an integer",
            Self::Time => "a time (unix seconds or RFC 3339)",
        })
    }
}

/// The integer as an `f64`; `None` if it is beyond ±2^53.
pub fn exact_f64(value: i64) -> Option<f64> {
    (value.unsigned_abs() <= 1 << 53).then_some(value as f64)
}

/// Microseconds since 1970 from fractional unix seconds, rounded down. `None` beyond ±2^53
/// microseconds, where an `f64` no longer holds every integer.
pub fn micros_from_secs(secs: f64) -> Option<i64> {
    let micros = (secs * MICROS as f64).floor();
    (micros.abs() < 2f64.powi(53)).then_some(micros as i64)
}

/// Microseconds since 1970 from an RFC 3339 text.
pub fn micros_from_rfc3339(text: &str) -> Option<i64> {
    let time = DateTime::parse_from_rfc3339(text.trim()).ok()?;
    Some(time.timestamp_micros())
}
