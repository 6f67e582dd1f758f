//! Statistics in JSON: drift as decimal strings, probabilities as numbers.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Statistic in units of drift, rounded to six decimal places (micro-units), as a decimal string. Unlike an
/// exact drift, it can be negative.
// The number is in micro-units.
#[derive(Clone, Copy, Debug, PartialEq, ToSchema)]
#[schema(value_type = String, example = "0.001250", pattern = "^-?[0-9]+\\.[0-9]{6}$")]
pub struct Statistic(pub f64);

impl Serialize for Statistic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // At most as far from 0 as an `i128`, and never "-0".
        let micro = self.0.round() as i128;
        let sign = if micro < 0 { "-" } else { "" };
        let (whole, part) = (
            micro.unsigned_abs() / 1_000_000,
            micro.unsigned_abs() % 1_000_000,
        );
        serializer.collect_str(&format_args!("{sign}{whole}.{part:06}"))
    }
}

/// Probability, as a number from 0 to 1 that is rounded to four decimal places.
#[derive(Clone, Copy, Debug, PartialEq, ToSchema)]
#[schema(value_type = f64, minimum = 0, maximum = 1, example = 0.125)]
pub struct Probability(pub f64);

impl Serialize for Probability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0.clamp(0.0, 1.0) * 1e4).round() / 1e4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_has_six_places() {
        for (micro, expected) in [
            (0.0, "0.000000"),
            (-0.4, "0.000000"),
            (1.5, "0.000002"),
            (-1_250_000.0, "-1.250000"),
            (12_345_678.0, "12.345678"),
        ] {
            assert_eq!(serde_json::to_value(Statistic(micro)).unwrap(), expected);
        }
    }

    #[test]
    fn a_probability_has_four_places() {
        for (number, expected) in [(0.0, 0.0), (0.123_456, 0.1235), (1.0, 1.0), (1.1, 1.0)] {
            assert_eq!(serde_json::to_value(Probability(number)).unwrap(), expected);
        }
    }
}
