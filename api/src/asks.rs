//! Asks: offers to sell a part of a stake.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::values::{Scaled, U64, from_decimal_string};

/// Offer to sell a part of a stake on an outcome.
#[derive(Serialize, ToSchema)]
pub struct Ask {
    /// Index of the outcome.
    pub outcome: u8,
    /// Part of the stake that is for sale.
    pub amount: Scaled,
    /// Price per stake.
    pub price: Scaled,
    /// Time from which the ask has fallen; null if it is after all calendars.
    pub valid_until: Option<DateTime<Utc>>,
    /// Whether the ask has fallen before `valid_until`: the market is settled, or an oracle, a
    /// challenger or the arbiter has reported on the model since the ask was set.
    pub fallen: bool,
}

/// An ask as the mirror stores it.
#[derive(Deserialize)]
pub struct StoredAsk {
    amount: U64,
    #[serde(deserialize_with = "from_decimal_string")]
    valid_until: i64,
    price: u32,
    reports: u32,
}

impl StoredAsk {
    /// The asks of a position by outcome; outcomes without an ask are left out. `reports` is the
    /// current number of reports on the model, `None` if the market is settled.
    pub fn list(stored: Vec<Self>, decimals: u8, reports: Option<u32>) -> Vec<Ask> {
        let with_outcome = (0..).zip(stored);
        with_outcome
            .filter(|(_, ask)| ask.amount.0 != 0)
            .map(|(outcome, ask)| Ask {
                outcome,
                amount: Scaled::new(ask.amount.0, decimals),
                price: Scaled::multiple(ask.price.into()),
                valid_until: DateTime::from_timestamp(ask.valid_until, 0),
                fallen: reports != Some(ask.reports),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_asks_with_an_amount_are_listed() {
        let stored = json!([
            { "amount": "0", "valid_until": "0", "price": 0, "reports": 0 },
            { "amount": "1500000", "valid_until": "0", "price": 950, "reports": 3 },
            { "amount": "1", "valid_until": i64::MAX.to_string(), "price": 1, "reports": 4 },
        ]);
        let stored = || serde_json::from_value(stored.clone()).unwrap();
        let asks = StoredAsk::list(stored(), 6, Some(4));
        let [first, second] = &asks[..] else {
            panic!("{} asks", asks.len());
        };
        assert_eq!((first.outcome, first.fallen), (1, true));
        assert_eq!(
            (&*first.amount.scaled, &*first.price.scaled),
            ("1.5", "0.95")
        );
        assert_eq!(first.valid_until, DateTime::from_timestamp(0, 0));
        assert_eq!((second.outcome, second.fallen), (2, false));
        assert_eq!(second.valid_until, None);
        assert!(StoredAsk::list(stored(), 6, None)[1].fallen);
    }
}
