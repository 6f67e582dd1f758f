//! Accounts and events as JSON for databases and web clients, decoded with the program's IDL.
//!
//! Field names are those of the structs. Integers of 64 bits and more are decimal strings, because
//! JavaScript numbers cannot hold them exactly; smaller integers are numbers. Keys are base58,
//! hashes are hexadecimal, enums are the variant's name in snake case, and texts are strings.
//! Padding is omitted.

use std::{collections::HashMap, sync::LazyLock};

use anchor_lang::Address;
use anchor_lang_idl_spec::{IdlArrayLen, IdlDefinedFields, IdlField, IdlType, IdlTypeDefTy};
use heck::ToSnakeCase;
use serde_json::{Map, Value};

use crate::{DecodeError, discriminator, idl::IDL};

/// An account or event, decoded into JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Name of the struct, for example `Market` or `BetPlaced`.
    pub name: &'static str,
    pub fields: Map<String, Value>,
}

/// Decodes the data of an account that the program owns.
pub fn account(data: &[u8]) -> Result<Decoded, DecodeError> {
    decode(data, account_name)
}

/// Decodes an event, `discriminator ‖ body`.
pub fn event(data: &[u8]) -> Result<Decoded, DecodeError> {
    decode(data, event_name)
}

/// Name of the account type with this discriminator.
pub fn account_name(discriminator: &[u8]) -> Option<&'static str> {
    let mut accounts = IDL.accounts.iter();
    let account = accounts.find(|account| account.discriminator == discriminator)?;
    Some(&account.name)
}

/// Name of the event with this discriminator.
fn event_name(discriminator: &[u8]) -> Option<&'static str> {
    let mut events = IDL.events.iter();
    let event = events.find(|event| event.discriminator == discriminator)?;
    Some(&event.name)
}

/// Field names of an account type, in order and without padding. `None` if no account type has
/// this name.
pub fn account_fields(name: &str) -> Option<Vec<&'static str>> {
    IDL.accounts.iter().find(|account| account.name == name)?;
    Some(
        fields_of(name)
            .iter()
            .map(|field| field.name.as_str())
            .filter(|name| *name != PADDING)
            .collect(),
    )
}

/// Name of the fields that are padding.
pub(crate) const PADDING: &str = "reserved";
/// Names of the byte arrays that hold UTF-8, padded with zeros.
pub(crate) const TEXTS: [&str; 3] = ["name", "question", "uri"];

/// The IDL's type definitions by name.
static TYPES: LazyLock<HashMap<&str, &IdlTypeDefTy>> = LazyLock::new(|| {
    IDL.types
        .iter()
        .map(|definition| (definition.name.as_str(), &definition.ty))
        .collect()
});

/// Fields of a struct that the IDL defines.
pub(crate) fn fields_of(name: &str) -> &'static [IdlField] {
    match TYPES.get(name) {
        Some(IdlTypeDefTy::Struct {
            fields: Some(IdlDefinedFields::Named(fields)),
        }) => fields,
        _ => unreachable!("the IDL defines the struct {name}"),
    }
}

fn decode(
    data: &[u8],
    name_of: impl FnOnce(&[u8]) -> Option<&'static str>,
) -> Result<Decoded, DecodeError> {
    let discriminator = discriminator(data)?;
    let name = name_of(&discriminator).ok_or(DecodeError::Unknown(discriminator))?;
    let mut reader = Reader(&data[discriminator.len()..]);
    match reader.fields(fields_of(name)) {
        Some(fields) if reader.0.is_empty() => Ok(Decoded { name, fields }),
        _ => Err(DecodeError::Malformed(name)),
    }
}

/// Bytes that are not decoded yet. Accounts have no implicit padding, so accounts and events are
/// decoded the same way. Every method returns `None` if the bytes are too few or invalid.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn fields(&mut self, fields: &[IdlField]) -> Option<Map<String, Value>> {
        let mut object = Map::new();
        for field in fields {
            let value = match &field.ty {
                IdlType::Array(_, len) if TEXTS.contains(&field.name.as_str()) => {
                    Value::from(padded_text(self.take(array_len(len))?))
                }
                ty => self.value(ty)?,
            };
            if field.name != PADDING {
                object.insert(field.name.clone(), value);
            }
        }
        Some(object)
    }

    pub(crate) fn value(&mut self, ty: &IdlType) -> Option<Value> {
        Some(match ty {
            IdlType::Bool => match self.array::<1>()? {
                [0] => Value::from(false),
                [1] => Value::from(true),
                _ => return None,
            },
            IdlType::U8 => u8::from_le_bytes(self.array()?).into(),
            IdlType::U16 => u16::from_le_bytes(self.array()?).into(),
            IdlType::U32 => u32::from_le_bytes(self.array()?).into(),
            IdlType::U64 => u64::from_le_bytes(self.array()?).to_string().into(),
            IdlType::U128 => u128::from_le_bytes(self.array()?).to_string().into(),
            IdlType::I128 => i128::from_le_bytes(self.array()?).to_string().into(),
            IdlType::I64 => i64::from_le_bytes(self.array()?).to_string().into(),
            IdlType::Pubkey => Address::from(self.array::<32>()?).to_string().into(),
            IdlType::String => {
                let len = self.length()?;
                let text = std::str::from_utf8(self.take(len)?).ok()?;
                replace_nul(text).into()
            }
            IdlType::Option(ty) => match self.array::<1>()? {
                [0] => Value::Null,
                [1] => self.value(ty)?,
                _ => return None,
            },
            IdlType::Vec(ty) => {
                let len = self.length()?;
                self.values(ty, len)?
            }
            IdlType::Array(ty, len) if **ty == IdlType::U8 => {
                const_hex::encode(self.take(array_len(len))?).into()
            }
            IdlType::Array(ty, len) => self.values(ty, array_len(len))?,
            IdlType::Defined { name, .. } => self.defined(name)?,
            other => unreachable!("the IDL has no field of type {other:?}"),
        })
    }

    /// Length prefix of a string or vector.
    fn length(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.array()?) as usize)
    }

    fn values(&mut self, ty: &IdlType, len: usize) -> Option<Value> {
        (0..len).map(|_| self.value(ty)).collect()
    }

    fn defined(&mut self, name: &str) -> Option<Value> {
        // In an account, an enum is a plain byte that could have any value. The type of that byte
        // is named after the enum with the prefix `Pod`.
        let definition = name
            .strip_prefix("Pod")
            .and_then(|name| TYPES.get(name))
            .or_else(|| TYPES.get(name))?;
        match definition {
            IdlTypeDefTy::Struct { .. } => self.fields(fields_of(name)).map(Value::Object),
            IdlTypeDefTy::Enum { variants } => {
                let [index] = self.array()?;
                let variant = variants.get(usize::from(index))?;
                Some(variant.name.to_snake_case().into())
            }
            IdlTypeDefTy::Type { alias } => self.value(alias),
        }
    }
}

pub(crate) fn array_len(len: &IdlArrayLen) -> usize {
    match len {
        IdlArrayLen::Value(len) => *len,
        IdlArrayLen::Generic(name) => unreachable!("the IDL has no array of generic length {name}"),
    }
}

/// UTF-8 text without the zeros that pad it.
pub(crate) fn padded_text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    replace_nul(&String::from_utf8_lossy(&bytes[..end]))
}

/// Replaces NUL characters, which databases reject.
fn replace_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Escapes control characters and characters that change the writing direction, so that a text from
/// the chain can be printed to a terminal. Unescaped, an attacker's text could move the cursor or
/// show false content.
pub fn printable(text: &str) -> String {
    let misleads = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        if misleads(letter) {
            printable.extend(letter.escape_unicode());
        } else {
            printable.push(letter);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_direction_characters_are_escaped() {
        assert_eq!(printable("Größe \u{1f600} 'a'"), "Größe \u{1f600} 'a'");
        assert_eq!(printable("a\u{1b}[2Kb\n"), "a\\u{1b}[2Kb\\u{a}");
        assert_eq!(printable("\u{202e}x"), "\\u{202e}x");
    }

    #[test]
    fn a_length_prefix_beyond_the_data_is_refused() {
        let mut reader = Reader(&[0xff; 12]);
        assert_eq!(reader.value(&IdlType::Vec(Box::new(IdlType::U64))), None);
        let mut reader = Reader(&[0xff; 12]);
        assert_eq!(reader.value(&IdlType::String), None);
    }
}
