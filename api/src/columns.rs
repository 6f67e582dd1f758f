//! Columns of a mirror row, converted to the API's types.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::{Decode, Postgres, Row, Type, postgres::PgRow, types::Json};

use crate::values::{Scaled, U64};

/// A database row. Its amounts are of a token with `decimals` decimals.
pub struct Columns<'r> {
    row: &'r PgRow,
    pub decimals: u8,
}

impl<'r> Columns<'r> {
    /// The row must have the column `decimals`.
    pub fn new(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let decimals: i16 = row.try_get("decimals")?;
        let decimals = u8::try_from(decimals).map_err(|error| out_of_range("decimals", error))?;
        Ok(Self { row, decimals })
    }

    pub fn get<T>(&self, name: &str) -> Result<T, sqlx::Error>
    where
        T: Decode<'r, Postgres> + Type<Postgres>,
    {
        self.row.try_get(name)
    }

    pub fn amount(&self, name: &str) -> Result<Scaled, sqlx::Error> {
        let U64(raw) = self.get(name)?;
        Ok(Scaled::new(raw, self.decimals))
    }

    /// The first `count` amounts of an array.
    pub fn amounts(&self, name: &str, count: usize) -> Result<Vec<Scaled>, sqlx::Error> {
        let amounts: Vec<U64> = self.get(name)?;
        let amounts = amounts.into_iter().take(count);
        Ok(amounts
            .map(|U64(raw)| Scaled::new(raw, self.decimals))
            .collect())
    }

    pub fn drift(&self, name: &str) -> Result<Scaled, sqlx::Error> {
        let U64(raw) = self.get(name)?;
        Ok(Scaled::drift(raw))
    }

    /// The first `count` drift values of an array.
    pub fn drifts(&self, name: &str, count: usize) -> Result<Vec<Scaled>, sqlx::Error> {
        let drifts: Vec<U64> = self.get(name)?;
        let drifts = drifts.into_iter().take(count);
        Ok(drifts.map(|U64(raw)| Scaled::drift(raw)).collect())
    }

    /// Whether the account is closed on chain.
    pub fn is_closed(&self) -> Result<bool, sqlx::Error> {
        let ended_slot: Option<i64> = self.get("ended_slot")?;
        Ok(ended_slot.is_some())
    }

    /// The column's number, or 0 if the account is closed: the row then still has the last number.
    pub fn u64_unless_closed(&self, name: &str) -> Result<U64, sqlx::Error> {
        if self.is_closed()? {
            Ok(U64(0))
        } else {
            self.get(name)
        }
    }

    /// The column's amount, or 0 if the account is closed: the row then still has the last amount.
    pub fn amount_unless_closed(&self, name: &str) -> Result<Scaled, sqlx::Error> {
        let U64(raw) = self.u64_unless_closed(name)?;
        Ok(Scaled::new(raw, self.decimals))
    }

    /// A struct nested in the account. The mirror stores the struct as JSON.
    pub fn nested<T: DeserializeOwned + 'static>(&self, name: &str) -> Result<T, sqlx::Error> {
        let Json(nested) = self.get(name)?;
        Ok(nested)
    }

    /// Start of a model's window, from the columns `genesis` and `window_secs`. `None` if `window`
    /// is `None`, if the arithmetic overflows, or if the start is outside the calendar's range.
    pub fn window_start(&self, window: Option<u64>) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        let genesis: i64 = self.get("genesis")?;
        let window_secs: i64 = self.get("window_secs")?;
        let start = window
            .and_then(|window| i64::try_from(window).ok()?.checked_mul(window_secs))
            .and_then(|start| genesis.checked_add(start));
        Ok(start.and_then(|start| DateTime::from_timestamp(start, 0)))
    }

    /// A `smallint` that counts the used entries of an array. A negative number becomes 0.
    pub fn count(&self, name: &str) -> Result<usize, sqlx::Error> {
        let count: i16 = self.get(name)?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// A fee or rate in basis points.
    pub fn basis_points(&self, name: &str) -> Result<u16, sqlx::Error> {
        let basis_points: i32 = self.get(name)?;
        u16::try_from(basis_points).map_err(|error| out_of_range(name, error))
    }

    /// A time in unix seconds; `None` if the time is outside the calendar's range.
    pub fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        Ok(DateTime::from_timestamp(self.get(name)?, 0))
    }
}

fn out_of_range(name: &str, error: std::num::TryFromIntError) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: name.to_owned(),
        source: error.into(),
    }
}
