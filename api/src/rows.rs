//! Rows of the mirror: the columns that types of accounts have in common, and conversions of columns to
//! the API's types.
//!
//! Each type of the API that is read from a table has a row beside it, a struct with the columns that the
//! type is made of, and a function that makes the type.

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use crate::{
    bytes::Key,
    event_id::EventId,
    values::{Scaled, U64},
};

/// Lets a type be selected: reads its row, and converts it.
macro_rules! select_by_row {
    ($type:ty, $row:ty) => {
        impl sqlx::FromRow<'_, sqlx::postgres::PgRow> for $type {
            fn from_row(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                <$row>::from_row(row).map(Self::from)
            }
        }
    };
}
pub(crate) use select_by_row;

/// Columns that all types of accounts have.
#[derive(FromRow)]
pub struct AccountColumns {
    pub address: Key,
    pub life: EventId,
    pub is_stale: bool,
    pub slot: i64,
    pub began_slot: Option<i64>,
    pub began_at: Option<DateTime<Utc>>,
    pub ended_slot: Option<i64>,
    pub ended_at: Option<DateTime<Utc>>,
    pub seq: U64,
}

impl AccountColumns {
    /// Whether the account is closed on chain.
    pub fn is_closed(&self) -> bool {
        self.ended_slot.is_some()
    }

    /// The number, or 0 if the account is closed: its row still has the last number.
    pub fn unless_closed(&self, number: U64) -> U64 {
        if self.is_closed() { U64(0) } else { number }
    }
}

/// Decimals of a token in which a row has amounts.
#[derive(Clone, Copy, FromRow)]
pub struct Token {
    #[sqlx(try_from = "i16")]
    pub decimals: u8,
}

impl Token {
    pub fn amount(self, U64(raw): U64) -> Scaled {
        Scaled::new(raw, self.decimals)
    }

    /// Shares of a vault of the token.
    pub fn shares(self, U64(raw): U64) -> Scaled {
        Scaled::shares(raw, self.decimals)
    }
}

/// Drift, from micro-units.
pub fn drift(U64(raw): U64) -> Scaled {
    Scaled::drift(raw)
}

/// When the windows of a model begin.
#[derive(Clone, Copy, FromRow)]
pub struct WindowColumns {
    pub genesis: i64,
    pub window_secs: i64,
}

impl WindowColumns {
    /// Start of a window. `None` if `window` is `None`, if the arithmetic overflows, or if the start is
    /// outside the calendar's range.
    pub fn start(self, window: Option<u64>) -> Option<DateTime<Utc>> {
        let since_genesis = i64::try_from(window?).ok()?.checked_mul(self.window_secs)?;
        time(self.genesis.checked_add(since_genesis)?)
    }
}

/// A time in unix seconds; `None` if it is outside the calendar's range.
pub fn time(secs: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(secs, 0)
}

/// A time in unix seconds, of which 0 means that it is not set.
pub fn time_if_set(secs: i64) -> Option<DateTime<Utc>> {
    time(secs).filter(|_| secs != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_starts_after_those_before_it() {
        let windows = WindowColumns {
            genesis: 1_000,
            window_secs: 60,
        };
        let start = |window| windows.start(Some(window));
        assert_eq!(start(0), time(1_000));
        assert_eq!(start(3), time(1_180));
        assert_eq!((start(u64::MAX), windows.start(None)), (None, None));
        assert_eq!(start(i64::MAX.unsigned_abs() / 60), None);
    }

    #[test]
    fn a_time_of_zero_is_not_set() {
        assert_eq!(time_if_set(0), None);
        assert_eq!(time_if_set(7), time(7));
        assert_eq!(time(i64::MAX), None);
    }
}
