//! Values as the mirror holds them and as clients get them.

use std::{fmt::Display, str::FromStr};

use chrono::{DateTime, Utc};
use driftshield_sdk::{Address, math};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _},
};
use sqlx::{
    Database, Decode, Encode, Postgres, Row, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgRow, PgTypeInfo},
    types::{Decimal, Json},
};
use utoipa::ToSchema;

/// A u64 of the program: `numeric(20)` in the mirror, a decimal string in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "1500000", pattern = "^[0-9]+$")]
pub struct U64(pub u64);

impl Serialize for U64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for U64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer).map(Self)
    }
}

/// A number of 64 bits, which JSON holds as a decimal string.
pub fn from_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|error| D::Error::custom(format!("`{text}` is no decimal string: {error}")))
}

impl Type<Postgres> for U64 {
    fn type_info() -> PgTypeInfo {
        Decimal::type_info()
    }
}

impl PgHasArrayType for U64 {
    fn array_type_info() -> PgTypeInfo {
        Decimal::array_type_info()
    }
}

impl Decode<'_, Postgres> for U64 {
    fn decode(value: <Postgres as Database>::ValueRef<'_>) -> Result<Self, BoxDynError> {
        let number = <Decimal as Decode<Postgres>>::decode(value)?;
        Ok(Self(u64::try_from(number)?))
    }
}

impl Encode<'_, Postgres> for U64 {
    fn encode_by_ref(
        &self,
        buffer: &mut <Postgres as Database>::ArgumentBuffer<'_>,
    ) -> Result<IsNull, BoxDynError> {
        <Decimal as Encode<Postgres>>::encode_by_ref(&Decimal::from(self.0), buffer)
    }
}

/// A number as the program holds it, and what it stands for: an amount in base units and in whole
/// tokens, drift in micro-units and in units, a payout multiple in thousandths and in stakes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Scaled {
    pub raw: U64,
    #[schema(example = "1.5", pattern = "^[0-9]+(\\.[0-9]+)?$")]
    pub scaled: String,
}

impl Scaled {
    pub fn new(raw: u64, decimals: u8) -> Self {
        Self {
            raw: U64(raw),
            scaled: scaled(raw.into(), decimals),
        }
    }

    /// From micro-units.
    pub fn drift(raw: u64) -> Self {
        Self::new(raw, 6)
    }

    /// From thousandths of a stake.
    pub fn multiple(raw: u64) -> Self {
        Self::new(raw, 3)
    }
}

/// `raw · 10^-decimals`, exactly and without trailing zeros.
pub fn scaled(raw: u128, decimals: u8) -> String {
    let places = usize::from(decimals);
    let digits = format!("{raw:0>width$}", width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

/// `part` of `whole`, to six places; `None` of nothing.
pub fn ratio(part: u64, whole: u64) -> Option<String> {
    math::mul_div(part, 1_000_000, whole).map(|ratio| scaled(ratio.into(), 6))
}

/// An address in base58, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(value_type = String, example = "DriftSh1e1d11111111111111111111111111111111")]
pub struct Key(String);

impl Key {
    /// `None` where `text` isn't the base58 of 32 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let len = bs58::decode(text).onto(&mut bytes).ok()?;
        (len == bytes.len()).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn address(&self) -> Address {
        let mut bytes = [0; 32];
        bs58::decode(&self.0)
            .onto(&mut bytes)
            .expect("it was checked");
        bytes.into()
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no address: give the base58 of 32 bytes"
            ))
        })
    }
}

/// `None` for what the program holds as zeros where it means none.
pub fn unless_zeros(bytes: String) -> Option<String> {
    // 32 zero bytes, a key's in base58 or a hash's in hexadecimal digits.
    let zeros = ["1".repeat(32), "0".repeat(64)].contains(&bytes);
    (!zeros).then_some(bytes)
}

/// The columns of a row, amounts in a mint of `decimals`.
pub struct Columns<'r> {
    pub row: &'r PgRow,
    pub decimals: u8,
}

impl<'r> Columns<'r> {
    /// Of a row that has its mint's `decimals`.
    pub fn new(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let decimals: i16 = row.try_get("decimals")?;
        let decimals = u8::try_from(decimals).map_err(|error| sqlx::Error::ColumnDecode {
            index: "decimals".to_owned(),
            source: error.into(),
        })?;
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

    pub fn drifts(&self, name: &str, count: usize) -> Result<Vec<Scaled>, sqlx::Error> {
        let drifts: Vec<U64> = self.get(name)?;
        let drifts = drifts.into_iter().take(count);
        Ok(drifts.map(|U64(raw)| Scaled::drift(raw)).collect())
    }

    /// Whether the account is gone from the chain.
    pub fn closed(&self) -> Result<bool, sqlx::Error> {
        let closed_slot: Option<i64> = self.get("closed_slot")?;
        Ok(closed_slot.is_some())
    }

    /// What a closed account has none of, whatever it was last seen with.
    pub fn left(&self, name: &str) -> Result<U64, sqlx::Error> {
        match self.closed()? {
            true => Ok(U64(0)),
            false => self.get(name),
        }
    }

    /// An amount that a closed account has none of, whatever it was last seen with.
    pub fn amount_left(&self, name: &str) -> Result<Scaled, sqlx::Error> {
        let U64(raw) = self.left(name)?;
        Ok(Scaled::new(raw, self.decimals))
    }

    /// A nested struct of the program.
    pub fn nested<T: DeserializeOwned + 'static>(&self, name: &str) -> Result<T, sqlx::Error> {
        let Json(nested) = self.get(name)?;
        Ok(nested)
    }

    /// When a window of the model whose `genesis` and `window_secs` the row has begins; `None` where
    /// no calendar has it.
    pub fn window_start(&self, window: Option<u64>) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        let genesis: i64 = self.get("genesis")?;
        let window_secs: i64 = self.get("window_secs")?;
        let start = window
            .and_then(|window| i64::try_from(window).ok()?.checked_mul(window_secs))
            .and_then(|start| genesis.checked_add(start));
        Ok(start.and_then(|start| DateTime::from_timestamp(start, 0)))
    }

    /// A small count.
    pub fn count(&self, name: &str) -> Result<usize, sqlx::Error> {
        let count: i16 = self.get(name)?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// A time of the program; `None` where no calendar has it.
    pub fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
        Ok(DateTime::from_timestamp(self.get(name)?, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scaled_is_exact() {
        for (raw, decimals, expected) in [
            (1_500_000_u64, 6, "1.5"),
            (1, 6, "0.000001"),
            (0, 6, "0"),
            (10, 0, "10"),
            (1_000_000, 6, "1"),
            (u64::MAX, 9, "18446744073.709551615"),
            (5, 20, "0.00000000000000000005"),
        ] {
            assert_eq!(scaled(raw.into(), decimals), expected);
        }
    }

    #[test]
    fn a_ratio_of_nothing_is_none() {
        assert_eq!(ratio(1, 3).as_deref(), Some("0.333333"));
        assert_eq!(ratio(u64::MAX, u64::MAX).as_deref(), Some("1"));
        assert_eq!(ratio(0, 0), None);
    }

    #[test]
    fn numbers_come_as_decimal_strings() {
        let number = |json| serde_json::from_str::<U64>(json).ok();
        assert_eq!(number("\"18446744073709551615\""), Some(U64(u64::MAX)));
        for other in ["7", "\"-1\"", "\"1.5\"", "\"\"", "\"18446744073709551616\""] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn an_address_is_what_its_text_says() {
        let text = driftshield_sdk::ID.to_string();
        let key = Key::parse(&text).unwrap();
        assert_eq!(key.address(), driftshield_sdk::ID);
    }

    #[test]
    fn only_32_bytes_are_an_address() {
        assert!(Key::parse("DriftSh1e1d11111111111111111111111111111111").is_some());
        assert!(Key::parse("11111111111111111111111111111111").is_some());
        for text in ["", "abc", "0OIl", "111111111111111111111111111111111"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
