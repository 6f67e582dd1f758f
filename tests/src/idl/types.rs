//! Lookups in an IDL, and the sizes and names of its types.

use anchor_lang_idl::types::{
    Idl, IdlArrayLen, IdlDefinedFields, IdlField, IdlInstruction, IdlType, IdlTypeDef, IdlTypeDefTy,
};
use anyhow::{Context, Result};

pub fn find<'a>(idl: &'a Idl, name: &str) -> Result<&'a IdlTypeDef> {
    idl.types
        .iter()
        .find(|definition| definition.name == name)
        .with_context(|| format!("the IDL has no type {name}; add it in tests/src/idl/build.rs"))
}

/// The named fields of a struct; empty for other types.
pub fn fields(definition: &IdlTypeDef) -> &[IdlField] {
    match &definition.ty {
        IdlTypeDefTy::Struct {
            fields: Some(IdlDefinedFields::Named(fields)),
        } => fields,
        _ => &[],
    }
}

/// The size of a value in bytes; `None` if it varies, or if the IDL lacks the type.
pub fn size(idl: &Idl, ty: &IdlType) -> Option<usize> {
    Some(match ty {
        IdlType::Bool | IdlType::U8 | IdlType::I8 => 1,
        IdlType::U16 | IdlType::I16 => 2,
        IdlType::U32 | IdlType::I32 | IdlType::F32 => 4,
        IdlType::U64 | IdlType::I64 | IdlType::F64 => 8,
        IdlType::U128 | IdlType::I128 => 16,
        IdlType::U256 | IdlType::I256 | IdlType::Pubkey => 32,
        IdlType::Array(inner, IdlArrayLen::Value(length)) => length * size(idl, inner)?,
        IdlType::Defined { name, .. } => {
            let definition = find(idl, name).ok()?;
            match &definition.ty {
                IdlTypeDefTy::Type { alias } => size(idl, alias)?,
                IdlTypeDefTy::Enum { .. } => 1,
                IdlTypeDefTy::Struct { .. } => fields(definition)
                    .iter()
                    .map(|field| size(idl, &field.ty))
                    .sum::<Option<usize>>()?,
            }
        }
        _ => return None,
    })
}

/// The instructions in the order of their numbers.
pub fn by_number(idl: &Idl) -> Vec<&IdlInstruction> {
    let mut instructions: Vec<_> = idl.instructions.iter().collect();
    instructions.sort_by_key(|instruction| &instruction.discriminator);
    instructions
}

/// The numbered variants of an enum: `0 Open, 1 Resolved, …`. `None` for other types.
pub fn numbers(definition: &IdlTypeDef) -> Option<String> {
    let IdlTypeDefTy::Enum { variants } = &definition.ty else {
        return None;
    };
    let numbers: Vec<String> = variants
        .iter()
        .enumerate()
        .map(|(number, variant)| format!("{number} {}", variant.name))
        .collect();
    Some(numbers.join(", "))
}

/// The name of a type without `Pod`, the prefix of its form in accounts.
pub fn enum_name(name: &str) -> &str {
    name.strip_prefix("Pod").unwrap_or(name)
}

/// The name of a type in Markdown. A defined type is linked to its section; `PodBool` is `bool`.
pub fn type_name(ty: &IdlType) -> String {
    match ty {
        IdlType::Defined { name, .. } if name == "PodBool" => "bool".into(),
        IdlType::Defined { name, .. } => {
            let name = enum_name(name);
            format!("[{name}](#{})", name.to_lowercase())
        }
        IdlType::Option(inner) => format!("option of {}", type_name(inner)),
        IdlType::Vec(inner) => format!("list of {}", type_name(inner)),
        IdlType::Array(inner, IdlArrayLen::Value(length)) => {
            format!("{length} × {}", type_name(inner))
        }
        IdlType::Pubkey => "address".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Hexadecimal digits, with a space between bytes.
pub fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}
