//! Accounts and events as JSON, decoded by the program's IDL: what databases and web clients
//! hold of them.
//!
//! Names are those of the structs' fields. Numbers of 64 bits and more are decimal strings, for
//! they pass what JavaScript can count; smaller ones are numbers. Keys are base58, hashes hex,
//! an enum is its variant's name in snake case, texts are strings; padding is left out.

use std::{collections::HashMap, sync::LazyLock};

use anchor_lang::Address;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{DecodeError, discriminator};

/// An account or an event, told by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The struct's name: `Market`, `BetPlaced`.
    pub name: &'static str,
    pub fields: Map<String, Value>,
}

/// Decodes an account that the program owns.
pub fn account(data: &[u8]) -> Result<Decoded, DecodeError> {
    describe(&IDL.accounts, data)
}

/// Decodes an event, `discriminator ‖ body`.
pub fn event(data: &[u8]) -> Result<Decoded, DecodeError> {
    describe(&IDL.events, data)
}

/// The name of the account type with this discriminator.
pub fn account_name(discriminator: &[u8]) -> Option<&'static str> {
    let known = IDL.accounts.iter();
    let mut known = known.filter(|known| known.discriminator == discriminator);
    known.next().map(|known| known.name.as_str())
}

/// The fields of an account type in order, padding left out. `None` for a name that is none.
pub fn account_fields(name: &str) -> Option<Vec<&'static str>> {
    IDL.accounts.iter().find(|known| known.name == name)?;
    Some(
        fields_of(name)
            .iter()
            .map(|field| field.name.as_str())
            .filter(|name| *name != PADDING)
            .collect(),
    )
}

const PADDING: &str = "reserved";
/// Byte arrays that hold UTF-8, padded with zeros.
const TEXTS: [&str; 3] = ["name", "question", "uri"];

#[derive(Deserialize)]
struct Idl {
    accounts: Vec<Discriminated>,
    events: Vec<Discriminated>,
    types: Vec<TypeDef>,
}

#[derive(Deserialize)]
struct Discriminated {
    name: String,
    discriminator: [u8; 8],
}

#[derive(Deserialize)]
struct TypeDef {
    name: String,
    #[serde(rename = "type")]
    body: Body,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Body {
    Struct { fields: Vec<Field> },
    Enum { variants: Vec<Variant> },
    Type { alias: Type },
}

#[derive(Deserialize)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    ty: Type,
}

#[derive(Deserialize)]
struct Variant {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Bool,
    U8,
    U16,
    U32,
    U64,
    U128,
    I64,
    Pubkey,
    String,
    Option(Box<Type>),
    Vec(Box<Type>),
    Array(Box<Type>, usize),
    Defined { name: String },
}

static IDL: LazyLock<Idl> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../idl/driftshield.json"))
        .expect("the committed IDL has the shape of one")
});

static TYPES: LazyLock<HashMap<&str, &Body>> = LazyLock::new(|| {
    IDL.types
        .iter()
        .map(|def| (def.name.as_str(), &def.body))
        .collect()
});

fn fields_of(name: &str) -> &'static [Field] {
    match TYPES.get(name) {
        Some(Body::Struct { fields }) => fields,
        _ => unreachable!("the IDL defines the struct {name}"),
    }
}

fn describe(known: &'static [Discriminated], data: &[u8]) -> Result<Decoded, DecodeError> {
    let tag = discriminator(data)?;
    let name = known
        .iter()
        .find(|known| known.discriminator == tag)
        .map(|known| known.name.as_str())
        .ok_or(DecodeError::Unknown(tag))?;
    let mut bytes = Bytes(&data[tag.len()..]);
    match bytes.fields(fields_of(name)) {
        Some(fields) if bytes.0.is_empty() => Ok(Decoded { name, fields }),
        _ => Err(DecodeError::Malformed(name)),
    }
}

/// What is left to decode. Accounts have no implicit padding, so that they read like events.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn fields(&mut self, fields: &[Field]) -> Option<Map<String, Value>> {
        let mut object = Map::new();
        for field in fields {
            let value = match &field.ty {
                Type::Array(_, len) if TEXTS.contains(&field.name.as_str()) => {
                    Value::from(text(self.take(*len)?))
                }
                ty => self.value(ty)?,
            };
            if field.name != PADDING {
                object.insert(field.name.clone(), value);
            }
        }
        Some(object)
    }

    fn value(&mut self, ty: &Type) -> Option<Value> {
        Some(match ty {
            Type::Bool => match self.number::<1>()? {
                [0] => Value::from(false),
                [1] => Value::from(true),
                _ => return None,
            },
            Type::U8 => u8::from_le_bytes(self.number()?).into(),
            Type::U16 => u16::from_le_bytes(self.number()?).into(),
            Type::U32 => u32::from_le_bytes(self.number()?).into(),
            Type::U64 => u64::from_le_bytes(self.number()?).to_string().into(),
            Type::U128 => u128::from_le_bytes(self.number()?).to_string().into(),
            Type::I64 => i64::from_le_bytes(self.number()?).to_string().into(),
            Type::Pubkey => Address::from(self.number::<32>()?).to_string().into(),
            Type::String => {
                let bytes = self.counted()?;
                let text = std::str::from_utf8(self.take(bytes)?).ok()?;
                without_zeros(text).into()
            }
            Type::Option(ty) => match self.number::<1>()? {
                [0] => Value::Null,
                [1] => self.value(ty)?,
                _ => return None,
            },
            Type::Vec(ty) => {
                let len = self.counted()?;
                self.values(ty, len)?
            }
            Type::Array(ty, len) if matches!(**ty, Type::U8) => hex(self.take(*len)?).into(),
            Type::Array(ty, len) => self.values(ty, *len)?,
            Type::Defined { name } => self.defined(name)?,
        })
    }

    fn counted(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.number()?) as usize)
    }

    fn values(&mut self, ty: &Type, len: usize) -> Option<Value> {
        (0..len).map(|_| self.value(ty)).collect()
    }

    fn defined(&mut self, name: &str) -> Option<Value> {
        // An account holds the number of an enum's variant as a byte that may be any: its type has
        // the enum's name behind `Pod`.
        let body = name
            .strip_prefix("Pod")
            .and_then(|name| TYPES.get(name))
            .or_else(|| TYPES.get(name))?;
        match body {
            Body::Struct { fields } => self.fields(fields).map(Value::Object),
            Body::Enum { variants } => {
                let [index] = self.number()?;
                variants
                    .get(usize::from(index))
                    .map(|variant| snake_case(&variant.name).into())
            }
            Body::Type { alias } => self.value(alias),
        }
    }
}

/// UTF-8 up to the padding.
fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    without_zeros(&String::from_utf8_lossy(&bytes[..end]))
}

/// Anybody can put zeros into a text, and databases take none.
fn without_zeros(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A text of the chain for a terminal: anybody can write one that moves the cursor, or that
/// reads another way than it is written.
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

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_chain_steer_no_terminal() {
        assert_eq!(printable("Größe \u{1f600} 'a'"), "Größe \u{1f600} 'a'");
        assert_eq!(printable("a\u{1b}[2Kb\n"), "a\\u{1b}[2Kb\\u{a}");
        assert_eq!(printable("\u{202e}x"), "\\u{202e}x");
    }

    #[test]
    fn a_length_that_lies_takes_no_memory() {
        let mut bytes = Bytes(&[0xff; 12]);
        assert_eq!(bytes.value(&Type::Vec(Box::new(Type::U64))), None);
        let mut bytes = Bytes(&[0xff; 12]);
        assert_eq!(bytes.value(&Type::String), None);
    }
}
