//! Numbers: their types in the mirror and in JSON.

use std::{fmt::Display, str::FromStr};

use driftshield_sdk::math;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sqlx::{
    Database, Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgTypeInfo},
    types::Decimal,
};
use utoipa::ToSchema;

use crate::reason::refuse;

/// Unsigned 64-bit integer, as a decimal string.
// The mirror holds it as `numeric(20)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "1500000", pattern = "^[0-9]{1,20}$")]
pub struct U64(pub u64);

impl Serialize for U64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for U64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_digits(deserializer, 20, u64::MAX).map(Self)
    }
}

/// Deserialises a number from up to `max_digits` decimal digits, as the pattern of its schema says. `max` is the
/// largest number, which the pattern can't say.
pub fn from_digits<'de, T, D>(deserializer: D, max_digits: usize, max: T) -> Result<T, D::Error>
where
    T: FromStr + Display,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_form = is_digits && (1..=max_digits).contains(&text.len());
    let number = text.parse().ok().filter(|_| has_form);
    number.ok_or_else(|| {
        let reason = format!("`{text}` is not a number; give a whole number from 0 to {max}");
        refuse(has_form, reason)
    })
}

/// Deserialises a number from a decimal string.
pub fn from_decimal_string<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|error| D::Error::custom(format!("`{text}` is not a 64-bit integer: {error}")))
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
        buffer: &mut <Postgres as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        <Decimal as Encode<Postgres>>::encode_by_ref(&Decimal::from(self.0), buffer)
    }
}

/// Number in the program's integer unit (`raw`) and in whole units (`scaled`): an amount in base
/// units and in tokens, drift in micro-units and in units, a payout multiple in thousandths and in
/// stakes.
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

    /// Drift, from micro-units.
    pub fn drift(raw: u64) -> Self {
        Self::new(raw, 6)
    }

    /// Payout multiple, from thousandths of a stake.
    pub fn multiple(raw: u64) -> Self {
        Self::new(raw, 3)
    }

    /// Shares of a vault whose mint has `mint_decimals`.
    pub fn shares(raw: u64, mint_decimals: u8) -> Self {
        Self::new(raw, mint_decimals.saturating_add(math::SHARE_DECIMALS))
    }
}

/// `raw · 10^-decimals` in decimal digits, exact and without trailing zeros.
pub fn scaled(raw: u128, decimals: u8) -> String {
    let places = usize::from(decimals);
    let digits = format!("{raw:0>width$}", width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

/// `part / whole` with up to six decimal places, rounded down; `None` if `whole` is 0.
pub fn ratio(part: u64, whole: u64) -> Option<String> {
    math::mul_div(part, 1_000_000, whole).map(|ratio| scaled(ratio.into(), 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_numbers_are_exact() {
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
    fn a_ratio_is_rounded_down_and_none_for_a_whole_of_zero() {
        assert_eq!(ratio(1, 3).as_deref(), Some("0.333333"));
        assert_eq!(ratio(u64::MAX, u64::MAX).as_deref(), Some("1"));
        assert_eq!(ratio(0, 0), None);
    }

    #[test]
    fn u64_accepts_decimal_strings_only() {
        let number = |json| serde_json::from_str::<U64>(json).ok();
        assert_eq!(number("\"18446744073709551615\""), Some(U64(u64::MAX)));
        for other in [
            "7",
            "\"-1\"",
            "\"+1\"",
            "\"1.5\"",
            "\"\"",
            "\"18446744073709551616\"",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_an_invalid_value() {
        use crate::{problem::Problem, reason::problem};

        for (text, has_form) in [
            ("-1", false),
            ("", false),
            (&"9".repeat(21), false),
            ("18446744073709551616", true),
        ] {
            let error = serde_json::from_value::<U64>(text.into()).unwrap_err();
            let problem = problem(&error.to_string());
            let is_invalid = matches!(problem, Problem::InvalidValue(_));
            assert_eq!(is_invalid, has_form, "{text}: {problem}");
        }
    }
}
