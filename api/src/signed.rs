//! Numbers that can be negative or exceed 64 bits: profits, and sums over many amounts.

use serde::{Serialize, Serializer};
use sqlx::{
    Database, Decode, Postgres, Type, error::BoxDynError, postgres::PgTypeInfo, types::Decimal,
};
use utoipa::ToSchema;

use crate::values::scaled;

/// Sum or profit in base units (`raw`) and in tokens (`scaled`). Can be negative, and can exceed 64 bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Signed {
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, example = "-1500000", pattern = "^-?[0-9]+$")]
    pub raw: i128,
    #[schema(example = "-1.5", pattern = "^-?[0-9]+(\\.[0-9]+)?$")]
    pub scaled: String,
}

impl Signed {
    pub fn new(raw: i128, decimals: u8) -> Self {
        let sign = if raw < 0 { "-" } else { "" };
        Self {
            raw,
            scaled: format!("{sign}{}", scaled(raw.unsigned_abs(), decimals)),
        }
    }
}

/// Serialises a number as a decimal string.
pub fn as_text<S: Serializer>(number: &i128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// A whole `numeric` of the mirror, such as a sum of amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(pub i128);

impl Type<Postgres> for Sum {
    fn type_info() -> PgTypeInfo {
        Decimal::type_info()
    }
}

impl Decode<'_, Postgres> for Sum {
    fn decode(value: <Postgres as Database>::ValueRef<'_>) -> Result<Self, BoxDynError> {
        let number = <Decimal as Decode<Postgres>>::decode(value)?;
        Ok(Self(i128::try_from(number)?))
    }
}

/// `part / whole` with up to six decimal places, rounded towards zero; `None` unless `whole` is above 0.
pub fn quotient(part: i128, whole: i128) -> Option<String> {
    let micros = part.checked_mul(1_000_000)?;
    (0 < whole).then(|| Signed::new(micros / whole, 6).scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_has_a_sign_in_both_units() {
        let loss = Signed::new(-1_500_000, 6);
        assert_eq!(
            serde_json::to_value(&loss).unwrap(),
            serde_json::json!({ "raw": "-1500000", "scaled": "-1.5" })
        );
        assert_eq!(Signed::new(0, 6).scaled, "0");
        assert_eq!(Signed::new(-1, 6).scaled, "-0.000001");
    }

    #[test]
    fn a_quotient_is_rounded_towards_zero() {
        assert_eq!(quotient(-1, 3).as_deref(), Some("-0.333333"));
        assert_eq!(quotient(2, 3).as_deref(), Some("0.666666"));
        assert_eq!(quotient(1, 0), None);
    }
}
