//! Keys, hashes and signatures: bytes in the mirror, text in JSON.

use std::fmt::{self, Debug, Display, Formatter};

use driftshield_sdk::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sqlx::{
    Database, Decode, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgHasArrayType, PgTypeInfo},
};
use utoipa::ToSchema;

use crate::reason::refuse;

/// Address: 32 bytes, in base58.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(
    value_type = String,
    pattern = "^[1-9A-HJ-NP-Za-km-z]{32,44}$",
    example = "DriftSh1e1d11111111111111111111111111111111"
)]
pub struct Key([u8; 32]);

impl Key {
    /// `None` if `text` is not the base58 of 32 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let len = bs58::decode(text).onto(&mut bytes).ok()?;
        (len == bytes.len()).then_some(Self(bytes))
    }

    /// Whether `text` matches the pattern of the schema, which also texts of other lengths in bytes do.
    fn has_form(text: &str) -> bool {
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte);
        (32..=44).contains(&text.len()) && text.bytes().all(is_digit)
    }

    pub fn address(&self) -> Address {
        self.0.into()
    }
}

impl From<Address> for Key {
    fn from(address: Address) -> Self {
        Self(address.to_bytes())
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(&self.0).into_string())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            let reason = format!("`{text}` is not an address; give 32 bytes in base58");
            refuse(Self::has_form(&text), reason)
        })
    }
}

/// Hash: 32 bytes, in hex.
#[derive(Clone, Copy, Default, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-fA-F]{64}$")]
pub struct Hash([u8; 32]);

impl Hash {
    /// `None` if `text` is not 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? * 16 + low?).ok()?;
        }
        Some(Self(bytes))
    }

    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is not a hash; give 64 hexadecimal digits"
            ))
        })
    }
}

impl Display for Hash {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Signature of a transaction: 64 bytes, in base58.
#[derive(Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String)]
pub struct Signature([u8; 64]);

impl Display for Signature {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(&self.0).into_string())
    }
}

/// `None` if the key or hash is all zeros, which the program uses for "unset".
pub fn none_if_unset<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// Conversions that all types of bytes have: `bytea` in the mirror, their text in JSON.
macro_rules! conversions {
    ($name:ident, $len:literal) => {
        impl Debug for $name {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl Type<Postgres> for $name {
            fn type_info() -> PgTypeInfo {
                <[u8; $len] as Type<Postgres>>::type_info()
            }
        }

        impl PgHasArrayType for $name {
            fn array_type_info() -> PgTypeInfo {
                <[u8; $len]>::array_type_info()
            }
        }

        impl Decode<'_, Postgres> for $name {
            fn decode(value: <Postgres as Database>::ValueRef<'_>) -> Result<Self, BoxDynError> {
                <[u8; $len] as Decode<Postgres>>::decode(value).map(Self)
            }
        }

        impl Encode<'_, Postgres> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut <Postgres as Database>::ArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                <[u8; $len] as Encode<Postgres>>::encode_by_ref(&self.0, buffer)
            }
        }
    };
}

conversions!(Key, 32);
conversions!(Hash, 32);
conversions!(Signature, 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_the_address_of_its_text() {
        let text = driftshield_sdk::ID.to_string();
        let key = Key::parse(&text).unwrap();
        assert_eq!(key.address(), driftshield_sdk::ID);
        assert_eq!(key, driftshield_sdk::ID.into());
        assert_eq!(key.to_string(), text);
        assert_eq!(serde_json::to_value(key).unwrap(), text);
    }

    #[test]
    fn a_key_is_32_bytes() {
        assert!(Key::parse("DriftSh1e1d11111111111111111111111111111111").is_some());
        assert!(Key::parse("11111111111111111111111111111111").is_some());
        for text in ["", "abc", "0OIl", "111111111111111111111111111111111"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_that_only_looks_like_an_address_is_an_invalid_value() {
        use crate::{problem::Problem, reason::problem};

        for (text, has_form) in [
            ("", false),
            ("abc", false),
            ("0riftSh1e1d11111111111111111111111111111111", false),
            ("DriftSh1e1d1111111111111111111111111111111é", false),
            (&"z".repeat(45), false),
            (&"1".repeat(33), true),
            (&"z".repeat(44), true),
        ] {
            let error = serde_json::from_value::<Key>(text.into()).unwrap_err();
            let problem = problem(&error.to_string());
            let is_invalid = matches!(problem, Problem::InvalidValue(_));
            assert_eq!(is_invalid, has_form, "{text}: {problem}");
        }
    }

    #[test]
    fn a_hash_is_hex_with_all_of_its_zeros() {
        let mut bytes = [0; 32];
        bytes[30..].copy_from_slice(&[1, 0xab]);
        let text = Hash(bytes).to_string();
        assert_eq!(text, format!("{}01ab", "0".repeat(60)));
    }

    #[test]
    fn a_hash_is_read_from_64_hexadecimal_digits() {
        let text = format!("0a{}", "f".repeat(62));
        let hash = Hash::parse(&text).unwrap();
        assert_eq!((hash.bytes()[0], hash.bytes()[31]), (10, 255));
        assert_eq!(hash.to_string(), text);
        for text in ["", "0a", &"g".repeat(64), &"é".repeat(32), &"0".repeat(66)] {
            assert_eq!(Hash::parse(text), None, "{text}");
        }
    }

    #[test]
    fn zero_keys_and_hashes_are_none() {
        assert_eq!(none_if_unset(Key::default()), None);
        assert_eq!(none_if_unset(Hash::default()), None);
        let set = Key::from(driftshield_sdk::ID);
        assert_eq!(none_if_unset(set), Some(set));
    }
}
