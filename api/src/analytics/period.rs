//! Periods of totals and rankings.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Period up to the mirror's latest block, in whole hours (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// The current hour and the 23 hours before it.
    Day,
    /// The current hour and the 167 hours before it.
    Week,
    /// All of the mirror's history.
    #[default]
    All,
}

impl Period {
    pub const EACH: [Self; 3] = [Self::Day, Self::Week, Self::All];

    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::All => "all",
        }
    }

    /// Beginning of the period that ends at `now`; `None` if it has none.
    pub fn start(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let hours = match self {
            Self::Day => 23,
            Self::Week => 167,
            Self::All => return None,
        };
        let hour = now.duration_trunc(TimeDelta::hours(1)).ok()?;
        hour.checked_sub_signed(TimeDelta::hours(hours))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_whole_hours_and_includes_the_current_one() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = at("2026-03-08T10:59:59Z");
        assert_eq!(Period::Day.start(now), Some(at("2026-03-07T11:00:00Z")));
        assert_eq!(Period::Week.start(now), Some(at("2026-03-01T11:00:00Z")));
        assert_eq!(Period::All.start(now), None);
        assert!(
            Period::EACH
                .iter()
                .all(|period| { serde_json::to_value(period).unwrap() == period.name() })
        );
    }
}
