//! Accounts as lists of typed fields, decoded with the program's IDL, for databases that have a
//! column for each field.

use std::{collections::HashMap, sync::LazyLock};

use anchor_lang_idl_spec::{IdlField, IdlType};
use serde_json::Value;

use crate::{
    AccountKind, DecodeError, discriminator,
    json::{PADDING, Reader, TEXTS, array_len, fields_of, padded_text},
};

/// A field of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the struct's field.
    pub name: &'static str,
    pub ty: FieldType,
}

/// Type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// A key or hash: 32 bytes.
    Bytes,
    Text,
    Bool,
    U8,
    U16,
    U32,
    I64,
    U64,
    U128,
    /// Name of an enum's variant, in snake case.
    Variant,
    BytesList,
    U32List,
    U64List,
    I128List,
    /// A struct or a list of structs.
    Json,
}

/// Value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    Bytes([u8; 32]),
    /// Text of the type `Text` or `Variant`.
    Text(String),
    Bool(bool),
    U8(u8),
    U16(u16),
    U32(u32),
    I64(i64),
    U64(u64),
    U128(u128),
    BytesList(Vec<[u8; 32]>),
    U32List(Vec<u32>),
    U64List(Vec<u64>),
    I128List(Vec<i128>),
    Json(Value),
}

/// Fields of an account type, in order and without padding.
pub fn of_kind(kind: AccountKind) -> impl Iterator<Item = Field> {
    LAYOUTS[&kind].iter().filter_map(|slot| slot.field)
}

/// Decodes the data of an account into the values of its fields, in the order of [`of_kind`].
pub fn decode(data: &[u8]) -> Result<(AccountKind, Vec<FieldValue>), DecodeError> {
    let discriminator = discriminator(data)?;
    let kind = AccountKind::of_data(data).ok_or(DecodeError::Unknown(discriminator))?;
    let mut reader = Reader(&data[discriminator.len()..]);
    let layout = &LAYOUTS[&kind];
    let mut values = Vec::with_capacity(layout.len());
    for slot in layout {
        let value = match slot.field {
            Some(field) => value(&mut reader, field.ty, slot.idl),
            None => reader.value(&slot.idl.ty).map(FieldValue::Json),
        };
        let value = value.ok_or(DecodeError::Malformed(kind.name()))?;
        if slot.field.is_some() {
            values.push(value);
        }
    }
    if reader.0.is_empty() {
        Ok((kind, values))
    } else {
        Err(DecodeError::Malformed(kind.name()))
    }
}

/// A field of the struct; padding has no [`Field`].
struct Slot {
    field: Option<Field>,
    idl: &'static IdlField,
}

static LAYOUTS: LazyLock<HashMap<AccountKind, Vec<Slot>>> = LazyLock::new(|| {
    let layout = |kind: AccountKind| fields_of(kind.name()).iter().map(Slot::new).collect();
    let kinds = AccountKind::ALL.iter();
    kinds.map(|&kind| (kind, layout(kind))).collect()
});

impl Slot {
    fn new(idl: &'static IdlField) -> Self {
        let field = (idl.name != PADDING).then(|| Field {
            name: &idl.name,
            ty: field_type(idl),
        });
        Self { field, idl }
    }
}

fn field_type(field: &IdlField) -> FieldType {
    match &field.ty {
        IdlType::Pubkey => FieldType::Bytes,
        IdlType::Bool => FieldType::Bool,
        IdlType::U8 => FieldType::U8,
        IdlType::U16 => FieldType::U16,
        IdlType::U32 => FieldType::U32,
        IdlType::I64 => FieldType::I64,
        IdlType::U64 => FieldType::U64,
        IdlType::U128 => FieldType::U128,
        IdlType::Array(_, _) if TEXTS.contains(&field.name.as_str()) => FieldType::Text,
        IdlType::Array(element, len) => match (&**element, array_len(len)) {
            (IdlType::U8, 32) => FieldType::Bytes,
            (IdlType::Pubkey, _) => FieldType::BytesList,
            (IdlType::Array(inner, len), _) if **inner == IdlType::U8 && array_len(len) == 32 => {
                FieldType::BytesList
            }
            (IdlType::U32, _) => FieldType::U32List,
            (IdlType::U64, _) => FieldType::U64List,
            (IdlType::I128, _) => FieldType::I128List,
            _ => FieldType::Json,
        },
        IdlType::Defined { name, .. } if name.starts_with("Pod") => FieldType::Variant,
        _ => FieldType::Json,
    }
}

fn value(reader: &mut Reader<'_>, ty: FieldType, idl: &IdlField) -> Option<FieldValue> {
    let len = match &idl.ty {
        IdlType::Array(_, len) => array_len(len),
        _ => 1,
    };
    Some(match ty {
        FieldType::Bytes => FieldValue::Bytes(reader.array()?),
        FieldType::Text => FieldValue::Text(padded_text(reader.take(len)?)),
        FieldType::Bool => match reader.array()? {
            [0] => FieldValue::Bool(false),
            [1] => FieldValue::Bool(true),
            _ => return None,
        },
        FieldType::U8 => FieldValue::U8(u8::from_le_bytes(reader.array()?)),
        FieldType::U16 => FieldValue::U16(u16::from_le_bytes(reader.array()?)),
        FieldType::U32 => FieldValue::U32(u32::from_le_bytes(reader.array()?)),
        FieldType::I64 => FieldValue::I64(i64::from_le_bytes(reader.array()?)),
        FieldType::U64 => FieldValue::U64(u64::from_le_bytes(reader.array()?)),
        FieldType::U128 => FieldValue::U128(u128::from_le_bytes(reader.array()?)),
        FieldType::Variant => match reader.value(&idl.ty)? {
            Value::String(name) => FieldValue::Text(name),
            other => FieldValue::Json(other),
        },
        FieldType::BytesList => FieldValue::BytesList(list(len, || reader.array())?),
        FieldType::U32List => {
            FieldValue::U32List(list(len, || reader.array().map(u32::from_le_bytes))?)
        }
        FieldType::U64List => {
            FieldValue::U64List(list(len, || reader.array().map(u64::from_le_bytes))?)
        }
        FieldType::I128List => {
            FieldValue::I128List(list(len, || reader.array().map(i128::from_le_bytes))?)
        }
        FieldType::Json => FieldValue::Json(reader.value(&idl.ty)?),
    })
}

fn list<T>(len: usize, element: impl FnMut() -> Option<T>) -> Option<Vec<T>> {
    std::iter::repeat_with(element).take(len).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Account, json};

    #[test]
    fn the_fields_are_those_of_the_json_form() {
        for &kind in AccountKind::ALL {
            let data = Account::zeroed(kind).encode();
            let json = json::account(&data).unwrap().fields;
            let names: Vec<_> = of_kind(kind).map(|field| field.name).collect();
            let expected: BTreeSet<_> = json.keys().map(String::as_str).collect();
            assert_eq!(names.iter().copied().collect::<BTreeSet<_>>(), expected);
            let (decoded, values) = decode(&data).unwrap();
            assert_eq!((decoded, values.len()), (kind, names.len()));
        }
    }

    #[test]
    fn values_have_the_type_of_their_field() {
        let mut market = Account::zeroed(AccountKind::Market);
        if let Account::Market(market) = &mut market {
            market.pools[1] = u64::MAX;
            market.close_ts = -7;
            market.question[..2].copy_from_slice(b"ok");
        }
        let (_, values) = decode(&market.encode()).unwrap();
        let fields: HashMap<_, _> = of_kind(AccountKind::Market)
            .map(|field| field.name)
            .zip(values)
            .collect();
        assert_eq!(
            fields["pools"],
            FieldValue::U64List(vec![0, u64::MAX, 0, 0, 0, 0, 0, 0])
        );
        assert_eq!(fields["close_ts"], FieldValue::I64(-7));
        assert_eq!(fields["question"], FieldValue::Text("ok".into()));
        assert_eq!(fields["state"], FieldValue::Text("open".into()));
    }

    #[test]
    fn data_of_another_length_is_refused() {
        let data = Account::zeroed(AccountKind::Seat).encode();
        for data in [&data[..data.len() - 1], &[&data[..], &[0]].concat()] {
            assert_eq!(decode(data), Err(DecodeError::Malformed("Seat")));
        }
    }
}
